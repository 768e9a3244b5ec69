"""The results as tables for the terminal and for the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pandas as pd
from rich.table import Table

from benchmarks.real.protocols import LABELS, Result, bookings_errors
from forecast.errors import UsageError
from forecast.evaluation import scoreboard

__all__ = ["as_markdown", "as_rich", "put_between_marks"]

_SHOWN: Final = {"auc": ("AUC", ".3f"), "brier": ("Brier", ".4f"), "skill": ("skill", "+.3f")}


def rows_of(result: Result) -> tuple[list[str], list[list[str]]]:
    """Column heads, and one row of text per forecaster."""
    horizons = list(dict.fromkeys(result.scores["horizon_days"]))
    heads, columns = ["forecaster"], []
    for metric, (label, shape) in _SHOWN.items():
        table = scoreboard.wide(result.scores, metric)
        for horizon in horizons:
            heads.append(f"{label} {horizon} d")
            columns.append(table[horizon].map(lambda value, shape=shape: _number(value, shape)))
    if result.bookings is not None:
        errors = bookings_errors(result.bookings)
        heads += ["bookings MAPE", "bookings bias"]
        columns += [errors["mape"].map("{:.0%}".format), errors["bias"].map("{:+.0%}".format)]
    rows = [[LABELS[name], *(column.get(name, "") for column in columns)] for name in LABELS]
    return heads, rows


def about(result: Result) -> list[str]:
    """What a reader must know beside the numbers: how many rows they rest on, and what was chosen."""
    actual = result.scores[result.scores["forecaster"] == "actual"]
    facts = actual.pivot_table(index="horizon_days", columns="metric", values="value", sort=False)
    parts = [
        f"{horizon} d: {row['rows']:,.0f} open deals scored ({row['deals']:,.0f} different ones), "
        f"{row['share_won']:.1%} won"
        for horizon, row in facts.iterrows()
    ]
    chosen = next(rung for rung in result.models.ladder if rung.chosen)
    refused = [f"{d.feature} ({d.reason})" for d in result.models.decisions if not d.used]
    custom = [text for text in refused if text.startswith("custom:")]
    lines = ["; ".join(parts) + ".", f"Rung chosen by the last fit: {chosen.name} ({chosen.reason})."]
    if custom:
        lines.append(f"Refused by the field policy: {'; '.join(custom)}.")
    return lines


def as_rich(result: Result) -> Table:
    """For the terminal."""
    heads, rows = rows_of(result)
    table = Table(title=result.title, caption="\n".join(about(result)), caption_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == LABELS["forecast"] else None)
    return table


def as_markdown(result: Result) -> str:
    """For the documentation."""
    heads, rows = rows_of(result)
    lines = [_line(heads), _line(["---", *("---:" for _ in heads[1:])]), *(_line(row) for row in rows), ""]
    lines += about(result)
    if result.bookings is not None:
        lines += ["", *_bookings_markdown(result.bookings)]
    return "\n".join(lines) + "\n"


def _bookings_markdown(bookings: pd.DataFrame) -> list[str]:
    names = [name for name in LABELS if name in bookings.columns]
    heads = ["as of", "really won", *(LABELS[name] for name in names)]
    lines = [_line(heads), _line(["---", *("---:" for _ in heads[1:])])]
    for row in bookings.to_dict("records"):
        lines.append(_line([row["as_of"], *(f"{row[name] / 1e3:,.0f}" for name in ("actual", *names))]))
    return ["Open deals won by the end of the quarter, at list price, in thousands:", "", *lines]


def put_between_marks(path: Path, name: str, block: str) -> None:
    """Replace what a document holds between `<!-- NAME: begin -->` and `<!-- NAME: end -->`.

    A file that does not exist is made with just the block between its marks. Raises UsageError for a document
    without them: nothing else of it is ever changed.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    marked = f"{begin}\n{block}{end}"
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


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _number(value: float, shape: str) -> str:
    return "-" if pd.isna(value) else f"{value:{shape}}"
