"""Where the records of a CSV text begin and end, found without splitting them into cells.

The rules are those of Python's csv module: a quote opens a cell only at its start, is doubled to stand for
itself, and lets separators and line breaks into the cell. What that module lets pass in silence (text after a
closing quote, a quote that is never closed) is a broken record here, and reading goes on at the next line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["BROKEN", "Records", "find_records"]

BROKEN: Final = -1
"""Number of cells of a record whose quotes are wrong, or that has a bare carriage return."""

_COMMA, _QUOTE, _NEWLINE, _RETURN = b',"\n\r'
# One cell: quoted, or up to the next separator. Possessive, so that a long cell costs one pass.
_CELL: Final = re.compile(rb'"(?:[^"]|"")*+"|[^",\r\n][^,\r\n]*+|(?=[,\r\n])|\Z')
_END: Final = re.compile(rb"\r?(?:\n|\Z)")

Ints = NDArray[np.int64]
_NOTHING: Final[Ints] = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Records:
    """Records of a text in order; empty lines are none.

    start, end : (n,) offsets in bytes, without the line break
    line : (n,) line of the text each begins in, from 1
    cells : (n,) number of cells, or BROKEN
    """

    start: Ints
    end: Ints
    line: Ints
    cells: Ints


def find_records(content: bytes) -> Records:
    """Find the records of a UTF-8 text whose cells are separated by commas."""
    if not content:
        return Records(_NOTHING, _NOTHING, _NOTHING, _NOTHING)
    text = np.frombuffer(content, np.uint8)
    breaks = np.flatnonzero(text == _NEWLINE)
    commas = np.flatnonzero(text == _COMMA)
    quotes = np.flatnonzero(text == _QUOTE)
    if len(quotes) == 0:
        return _records(text, breaks, commas, breaks, quotes)
    if _well_formed(text, quotes):
        # Outside every quoted cell an even number of quotes has gone before.
        records = _records(text, _outside(breaks, quotes), _outside(commas, quotes), breaks, quotes)
        lines = _records(text, breaks, commas, breaks, _NOTHING)
        if not _swallows(records, lines, int(records.cells[0])).any():
            return records
    return _line_by_line(content, text, breaks, commas, quotes)


def _swallows(records: Records, lines: Records, expected: int) -> NDArray[np.bool_]:
    """(n,) whether a record over several lines is rather two stray quotes that found each other.

    Then it has not the `expected` number of cells, or two of its lines would be records by themselves. To
    believe in it would lose the lines between the quotes.
    """
    first = np.searchsorted(lines.start, records.start)
    after = np.searchsorted(lines.start, records.end)
    alike = np.concatenate([[0], np.cumsum(lines.cells == expected)])
    swallows: NDArray[np.bool_] = (after - first > 1) & (
        (records.cells != expected) | (alike[after] - alike[first] > 1)
    )
    return swallows


def _outside(places: Ints, quotes: Ints) -> Ints:
    outside: Ints = places[np.searchsorted(quotes, places) % 2 == 0]
    return outside


def _well_formed(text: NDArray[np.uint8], quotes: Ints) -> bool:
    """Whether every quote opens a cell at its start, closes one at its end, or is one of a doubled pair."""
    if len(quotes) % 2:
        return False
    opening, closing = quotes[0::2], quotes[1::2]
    before = np.where(opening > 0, text[opening - 1], _NEWLINE)
    after = np.where(closing + 1 < len(text), text[np.minimum(closing + 1, len(text) - 1)], _NEWLINE)
    doubled = closing[:-1] + 1 == opening[1:]
    opens = np.isin(before, (_COMMA, _NEWLINE))
    closes = np.isin(after, (_COMMA, _NEWLINE, _RETURN))
    opens[1:] |= doubled
    closes[:-1] |= doubled
    return bool(opens.all() and closes.all())


def _records(text: NDArray[np.uint8], ends: Ints, commas: Ints, breaks: Ints, quotes: Ints) -> Records:
    """Records between line breaks `ends`, with separators `commas`; both only those outside quotes."""
    start = np.concatenate([[0], ends + 1])
    end = np.concatenate([ends, [len(text)]])
    end = end - ((end > start) & (text[np.maximum(end, 1) - 1] == _RETURN))
    cells = np.diff(np.searchsorted(commas, np.append(start, len(text) + 1))) + 1
    returns = np.flatnonzero(text == _RETURN)
    if len(returns):
        bare = _outside(returns[text[np.minimum(returns + 1, len(text) - 1)] != _NEWLINE], quotes)
        bare = bare[bare < len(text) - 1]
        cells[np.searchsorted(start, bare, side="right") - 1] = BROKEN
    full = np.flatnonzero(end > start)
    line = np.searchsorted(breaks, start[full]) + 1
    return Records(start[full], end[full], line.astype(np.int64), cells[full])


def _line_by_line(
    content: bytes, text: NDArray[np.uint8], breaks: Ints, commas: Ints, quotes: Ints
) -> Records:
    """Records of a text with wrong quotes: only lines with a quote are looked at one at a time."""
    lines = _records(text, breaks, commas, breaks, _NOTHING)
    expected, _ = _count(content, int(lines.start[0]))
    cells = lines.cells.copy()
    end = lines.end.copy()
    keep = np.ones(len(cells), bool)
    quoted = np.unique(np.searchsorted(lines.start, quotes, side="right") - 1)
    inside_until = -1
    for place in quoted.tolist():
        if lines.start[place] < inside_until:
            continue
        count, closed = _count(content, int(lines.start[place]))
        after = int(np.searchsorted(lines.start, closed))
        if after - place > 1 and (count != expected or (lines.cells[place:after] == expected).sum() > 1):
            count = BROKEN  # as in `_swallows`
        cells[place] = count
        if count != BROKEN:
            end[place] = inside_until = closed
            keep[place + 1 : after] = False
    return Records(lines.start[keep], end[keep], lines.line[keep], cells[keep])


def _count(content: bytes, start: int) -> tuple[int, int]:
    """Number of cells of the record at `start` and where it ends; BROKEN if its quotes are wrong."""
    count, place = 0, start
    while True:
        cell = _CELL.match(content, place)
        if cell is None:
            return BROKEN, place
        count, place = count + 1, cell.end()
        if content[place : place + 1] != b",":
            break
        place += 1
    return (BROKEN if _END.match(content, place) is None else count), place
