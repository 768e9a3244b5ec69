"""Tables of the accuracy benchmark: for the terminal and, the same, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from rich.table import Table

__all__ = ["ACCURACY", "COST", "Column", "as_markdown", "as_rich", "cells"]


@dataclass(frozen=True)
class Column:
    """One number of a forecaster: which metric at which horizon, under which heading, how it is written.

    aims : what our own model has to reach, by number of deals, where something was set
    """

    metric: str
    horizon_days: int
    heading: str
    style: str
    aims: tuple[tuple[int, str], ...] = ()


ACCURACY: Final = (
    Column("mae", 30, "MAE30", ".4f", ((30_000, "≤ .0145"),)),
    Column("mae", 90, "MAE90", ".4f", ((30_000, "≤ .032"), (5_000, "≤ .045"))),
    Column("mae", 180, "MAE180", ".4f", ((30_000, "≤ .038"),)),
    Column("mae_quarter", 0, "MAE quarter", ".4f", ((30_000, "≤ .0235"),)),
    Column("brier", 90, "Brier90", ".4f"),
    Column("skill", 90, "skill90", ".3f"),
    Column("brier_ratio", 90, "Brier90 / truth's", ".3f", ((30_000, "≤ 1.03"),)),
    Column("integrated_brier_ratio", 180, "IBS / truth's", ".3f", ((30_000, "≤ 1.03"),)),
    Column("log_loss", 90, "log loss90", ".4f"),
    Column("auc", 90, "AUC90", ".3f"),
    Column("concordance", 90, "C", ".3f"),
    Column("concordance_gap", 90, "C below truth's", ".3f", ((30_000, "≤ .010"),)),
    Column("calibration_error", 90, "ECE90", ".3f", ((30_000, "≤ .012"),)),
    Column("ici", 90, "ICI90", ".3f", ((30_000, "≤ .012"),)),
    Column("truth_bias", 90, "bias90", "+.3f"),
    Column("days_to_win", 180, "days to win", ".1f"),
    Column("days_from_truth", 0, "from the true middle", ".1f", ((30_000, "≤ 18"),)),
    Column("bookings_bias", 0, "bookings bias", "+.1%"),
    Column("bookings_error", 0, "bookings error", ".1%", ((30_000, "≤ 10%"),)),
)
COST: Final = (
    Column("rows", 0, "landmarks", ",.0f"),
    Column("fit_seconds", 0, "fit CPU s", ".1f"),
    Column("predict_ms", 0, "CPU ms / 1k deals", ".1f"),
    Column("peak_mb", 0, "memory MB", ".0f"),
)


def cells(
    table: pd.DataFrame, labels: dict[str, str], columns: Sequence[Column], *, deals: int | None = None
) -> tuple[list[str], list[list[str]]]:
    """Heads, and a row per forecaster that has any of these numbers; last the aims, where some were set.

    table : long, columns forecaster, metric, horizon_days, value
    labels : forecaster -> what the first column says, in the order of the rows
    """
    values = table.set_index(["forecaster", "metric", "horizon_days"])["value"].to_dict()
    rows = []
    for name, label in labels.items():
        numbers = [values.get((name, c.metric, c.horizon_days), np.nan) for c in columns]
        if not np.isnan(numbers).all():
            written = [
                "-" if np.isnan(v) else format(v, c.style) for v, c in zip(numbers, columns, strict=True)
            ]
            rows.append([label, *written])
    aims = [dict(c.aims).get(deals, "") if deals is not None else "" for c in columns]
    if any(aims):
        rows.append(["*Forecast has to reach*", *aims])
    return ["", *(c.heading for c in columns)], rows


def as_markdown(heads: list[str], rows: list[list[str]]) -> str:
    """A table of the documentation; the first row, which is ours, in bold."""
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_rich(title: str, heads: list[str], rows: list[list[str]]) -> Table:
    """For the terminal: a column per forecaster, which are fewer than the metrics."""
    table = Table(title=title, title_justify="left")
    for number, row in enumerate([heads, *rows]):
        table.add_column(row[0], justify="right" if number else "left", style="bold" if number == 1 else None)
    for at in range(1, len(heads)):
        table.add_row(heads[at], *(row[at] for row in rows))
    return table
