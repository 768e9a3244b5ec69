"""The results as tables for the terminal and for the documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
from rich.table import Table

from benchmarks import tables
from benchmarks.real.protocols import Result
from forecast.errors import UsageError

__all__ = ["as_markdown", "as_rich", "put_between_marks"]


def as_rich(result: Result) -> Table:
    """For the terminal: a column per forecaster."""
    table = tables.as_rich(result.title, *_cells(result))
    table.caption, table.caption_justify = "\n".join(result.lines), "left"
    return table


def as_markdown(result: Result) -> str:
    """For the documentation: a row per forecaster; what it cost below."""
    parts = [
        tables.as_markdown(*_cells(result)),
        tables.as_markdown(*tables.cells(result.scores, result.labels, tables.COST)),
        "".join(f"- {line}\n" for line in result.lines),
    ]
    if result.bookings is not None:
        parts.append(_bookings_markdown(result.bookings, result.labels))
    return "\n".join(parts)


def _cells(result: Result) -> tuple[list[str], list[list[str]]]:
    return tables.cells(result.scores, result.labels, result.columns, deals=0)


def _bookings_markdown(bookings: pd.DataFrame, labels: dict[str, str]) -> str:
    names = [name for name in labels if name in bookings.columns]
    heads = ["as of", "really won", *(labels[name] for name in names)]
    rows = [
        [str(row["as_of"]), *(f"{float(row[name]) / 1e3:,.0f}" for name in ("actual", *names))]
        for row in bookings.to_dict("records")
    ]
    title = (
        "What the deals open at each date brought by the end of their quarter, at list price, in thousands:"
    )
    return f"{title}\n\n{tables.as_markdown(heads, rows)}"


def put_between_marks(path: Path, name: str, block: str) -> None:
    """Replace what a document holds between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.

    A file that does not exist is made with just the block between its marks. Raises UsageError for a document
    without them: nothing else of it is ever changed.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    marked = f"{begin}\n\n{block.strip()}\n\n{end}"
    if not path.exists():
        path.write_text(marked + "\n", encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    changed, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}", lambda _match: marked, text, flags=re.DOTALL
    )
    if count != 1:
        raise UsageError(
            f"{path} has no place for {name}; expected one {begin} followed by {end}", code="no_marks"
        )
    path.write_text(changed, encoding="utf-8")
