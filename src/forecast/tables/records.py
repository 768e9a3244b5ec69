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
_CELL: Final = re.compile(rb'"[^"]*+(?:""[^"]*+)*+"|[^",\r\n][^,\r\n]*+|(?=[,\r\n])|\Z')
_END: Final = re.compile(rb"\r?(?:\n|\Z)")

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


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
    """Find the records of a UTF-8 text whose cells are separated by commas.

    Lines whose quotes are in order by themselves, nearly always all of them, are counted at once; only the
    others are looked at one at a time.
    """
    lines = _Lines(np.frombuffer(content, np.uint8))
    start, end, cells = lines.start, lines.end.copy(), lines.cells()
    keep = np.ones(len(start), bool)
    doubtful = lines.doubtful()
    # Cells of each line if its quotes meant nothing.
    alone = lines.cells_without_quotes
    expected = _count(content, int(start[0]))[0] if len(doubtful) else 0
    inside_until = -1
    for place in doubtful.tolist():
        if start[place] < inside_until:
            continue
        count, closed = _count(content, int(start[place]))
        after = int(np.searchsorted(start, closed))
        # A record over several lines that has not the number of cells of the others, or two of whose lines
        # would be records by themselves, is rather two stray quotes that found each other. To believe in it
        # would lose the lines between them.
        if after - place > 1 and (count != expected or (alone[place:after] == expected).sum() > 1):
            count = BROKEN
        cells[place] = count
        if count != BROKEN:
            end[place] = inside_until = closed
            keep[place + 1 : after] = False
    return Records(start[keep], end[keep], lines.number[keep], cells[keep])


class _Lines:
    """The lines of a text that are not empty, and what stands in them.

    start, end : (n,) offsets, without the line break; number : (n,) from 1
    cells_without_quotes : (n,) number of cells if quotes meant nothing
    """

    def __init__(self, text: NDArray[np.uint8]) -> None:
        self._text = text
        self._commas = np.flatnonzero(text == _COMMA)
        self._quotes = np.flatnonzero(text == _QUOTE)
        breaks = np.flatnonzero(text == _NEWLINE)
        start = np.concatenate([[0], breaks + 1])
        end = np.concatenate([breaks, [len(text)]])
        if len(text):
            end = end - ((end > start) & (text[np.maximum(end, 1) - 1] == _RETURN))
        full = np.flatnonzero(end > start)
        self.start: Ints = start[full]
        self.end: Ints = end[full]
        self.number: Ints = full + 1
        self.cells_without_quotes: Ints = self._counts(self._commas) + 1
        self._quotes_before: Ints = np.searchsorted(self._quotes, self.start)

    def cells(self) -> Ints:
        """(n,) number of cells of each line, its quotes taken to be in order; BROKEN with a bare return."""
        cells = self.cells_without_quotes.copy()
        if len(self._quotes):
            cells = self._counts(self._commas[~self._quoted(self._commas)]) + 1
        returns = np.flatnonzero(self._text == _RETURN)
        if len(returns) and len(cells):
            line = self._line_of(returns)
            # Not those that end a line, nor those of the empty lines before the first.
            bare = (line >= 0) & (returns < self.end[line]) & ~self._quoted(returns)
            cells[line[bare]] = BROKEN
        return cells

    def doubtful(self) -> Ints:
        """Lines with a quote that neither opens a cell, nor closes one at its end, nor is doubled."""
        if not len(self._quotes):
            return np.empty(0, np.int64)
        line = self._line_of(self._quotes)
        opens = (np.arange(len(self._quotes)) - self._quotes_before[line]) % 2 == 0
        before = self._text[np.maximum(self._quotes, 1) - 1]
        after = self._text[np.minimum(self._quotes + 1, len(self._text) - 1)]
        at_start = (self._quotes == self.start[line]) | (before == _COMMA)
        at_end = (self._quotes + 1 == self.end[line]) | (after == _COMMA)
        doubled = np.where(opens, before == _QUOTE, after == _QUOTE)
        wrong = ~(doubled | np.where(opens, at_start, at_end))
        odd = np.flatnonzero(self._counts(self._quotes) % 2)
        return np.union1d(line[wrong], odd)

    def _quoted(self, places: Ints) -> Bools:
        """Whether an odd number of quotes stands before each place in its line."""
        before = np.searchsorted(self._quotes, places) - self._quotes_before[self._line_of(places)]
        quoted: Bools = before % 2 == 1
        return quoted

    def _line_of(self, places: Ints) -> Ints:
        return np.searchsorted(self.start, places, side="right") - 1

    def _counts(self, places: Ints) -> Ints:
        """(n,) how many of the places stand in each line."""
        return np.diff(np.searchsorted(places, np.append(self.start, len(self._text))))


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
