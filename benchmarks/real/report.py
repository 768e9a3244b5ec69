"""The results as tables for the terminal and for the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from rich.table import Table

from benchmarks.real.protocols import FORECAST, LABELS, Result, bookings_errors
from forecast.errors import UsageError
from forecast.evaluation import scoreboard

__all__ = ["as_markdown", "as_rich", "put_between_marks"]

_SHOWN: Final = {
    "auc": ("AUC", ".3f"),
    "brier": ("Brier", ".4f"),
    "skill": ("Brier skill", "+.3f"),
    "calibration_error": ("calib. error", ".3f"),
}


def rows_of(result: Result) -> tuple[list[str], list[list[str]]]:
    """Heads of the columns, one per forecaster, and a row of text per metric and horizon."""
    names = list(LABELS)
    rows = []
    for metric, (label, shape) in _SHOWN.items():
        table = scoreboard.wide(result.scores, metric).loc[names]
        for horizon in table.columns:
            rows.append([f"{label} {horizon} d", *_numbers(table[horizon], shape)])
    if result.bookings is not None:
        errors = bookings_errors(result.bookings).loc[names]
        rows.append(["bookings MAPE", *_numbers(errors["mape"], ".0%")])
        rows.append(["bookings bias", *_numbers(errors["bias"], "+.0%")])
    return ["", *LABELS.values()], rows


def about(result: Result) -> list[str]:
    """What a reader must know beside the numbers: how many rows they rest on, and what was chosen."""
    actual = result.scores[result.scores["forecaster"] == "actual"]
    facts = actual.pivot_table(index="horizon_days", columns="metric", values="value", sort=False)
    lines = [
        f"Scored at {horizon} days: {row['rows']:,.0f} rows of {row['deals']:,.0f} open deals, "
        f"{row['share_won']:.1%} of them won by then."
        for horizon, row in facts.iterrows()
    ]
    chosen = next(rung for rung in result.models.ladder if rung.chosen)
    lines.append(f"Rung chosen by the last fit: {chosen.name} ({chosen.reason}).")
    for decision in result.models.decisions:
        if decision.feature.startswith("custom:") and not decision.used:
            lines.append(f"Refused by the field policy: {decision.feature}, {decision.reason}.")
    return lines


def as_rich(result: Result) -> Table:
    """For the terminal."""
    heads, rows = rows_of(result)
    table = Table(title=result.title, caption="\n".join(about(result)), caption_justify="left")
    for number, head in enumerate(heads):
        table.add_column(
            head, justify="right" if number else "left", style="bold" if head == LABELS[FORECAST] else None
        )
    for row in rows:
        table.add_row(*row)
    return table


def as_markdown(result: Result) -> str:
    """For the documentation."""
    heads, rows = rows_of(result)
    parts = [_markdown(heads, rows), *(f"- {line}" for line in about(result))]
    if result.bookings is not None:
        parts += ["", *_bookings_markdown(result.bookings)]
    return "\n".join(parts) + "\n"


def _bookings_markdown(bookings: pd.DataFrame) -> list[str]:
    names = [name for name in LABELS if name in bookings.columns]
    heads = ["as of", "really won", *(LABELS[name] for name in names)]
    rows = [
        [str(row["as_of"]), *(f"{float(row[name]) / 1e3:,.0f}" for name in ("actual", *names))]
        for row in bookings.to_dict("records")
    ]
    title = (
        "What the deals open at each date brought by the end of their quarter, at list price, in thousands:"
    )
    return [title, "", _markdown(heads, rows)]


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


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


def _numbers(values: pd.Series, shape: str) -> list[str]:
    return ["-" if np.isnan(value) else f"{value:{shape}}" for value in values.to_numpy(np.float64)]
