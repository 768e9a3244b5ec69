"""What a training says about itself when it is done, on one screen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from forecast.evaluation.baselines import all_baselines, all_bookings_baselines
from training.audit_tables import audit_lines
from training.holdout import OURS, Measured
from training.train import Training

__all__ = ["LABELS", "bookings_table", "metrics_table", "show"]

LABELS: Final[Mapping[str, str]] = {
    OURS: "this model",
    **{baseline.name: baseline.label for baseline in all_baselines()},
    **{baseline.name: baseline.label for baseline in all_bookings_baselines()},
    "actual": "what came",
}
# metric -> heading and format; in the order in which they are shown for each horizon
_SHOWN: Final[Mapping[str, tuple[str, str]]] = {
    "brier": ("Brier", ".4f"),
    "skill": ("skill", "+.1%"),
    "auc": ("AUC", ".3f"),
    "calibration_error": ("off by", ".1%"),
}


def show(console: Console, training: Training) -> None:
    """Print metrics beside baselines, what was learnt from, and where the bundle is."""
    measured, counts = training.measured, training.models.counts
    if measured is not None:
        console.print(metrics_table(measured))
        if measured.bookings is not None:
            console.print(bookings_table(measured, training.models.money.reporting))
    chosen = next((rung for rung in training.models.ladder if rung.chosen), None)
    console.print(
        f"Learnt from {counts['won'] + counts['lost']:,} closed deals ({counts['won']:,} won, "
        f"{counts['lost']:,} lost) and {counts['open']:,} open ones, "
        f"as of {training.as_of:%Y-%m-%d %H:%M} UTC."
    )
    console.print(f"Model: {training.models.outcome.name}" + (f" ({chosen.reason})." if chosen else "."))
    if training.leads is not None:
        counts = training.leads.counts
        console.print(
            f"Leads: {counts['converted']:,} converted, {counts['disqualified']:,} disqualified, "
            f"{counts['open']:,} open; model: {training.leads.outcome.name}."
        )
    if training.measured_leads is not None:
        console.print(training.measured_leads.sentence())
    counted, *found = audit_lines(training.audit)
    console.print(counted)
    for line in found:
        console.print(line, style="yellow", markup=False)
    for note in training.notes:
        console.print(note, style="yellow")
    console.print(f"Bundle {training.bundle_id[:12]} written to {training.folder}", style="bold")


def metrics_table(measured: Measured) -> Table:
    """P(won within h) of every forecaster on the held-out landmarks."""
    holdout, table = measured.holdout, measured.table
    about = table[table["forecaster"] == "actual"].pivot_table(
        index="horizon_days", columns="metric", values="value", dropna=False
    )
    caption = "; ".join(
        f"{horizon} d: {row['rows']:,.0f} looks at {row['deals']:,.0f} deals, {row['share_won']:.1%} won"
        for horizon, row in about.iterrows()
    )
    shown = Table(
        title=f"Measured on {holdout.start:%Y-%m-%d} to {holdout.end:%Y-%m-%d}, not seen in training",
        caption=f"{caption}. Skill: share of the base rate's Brier score removed. Off by: mean distance of "
        "probability and share won.",
        title_justify="left",
        caption_justify="left",
    )
    shown.add_column("P(won within h days)", no_wrap=True)
    for horizon in holdout.horizons_days:
        for heading, _ in _SHOWN.values():
            shown.add_column(f"{heading}\n{horizon} d", justify="right")
    values: dict[Any, float] = table.set_index(["forecaster", "horizon_days", "metric"])["value"].to_dict()
    for forecaster in dict.fromkeys(table["forecaster"]):
        if forecaster == "actual":
            continue
        cells = [
            _number(values.get((forecaster, horizon, metric), math.nan), style)
            for horizon in holdout.horizons_days
            for metric, (_, style) in _SHOWN.items()
        ]
        shown.add_row(LABELS[forecaster], *cells, style="bold" if forecaster == OURS else None)
    return shown


def bookings_table(measured: Measured, currency: str) -> RenderableType:
    """Bookings of the held-out quarter, forecast at its first moment."""
    bookings, quarter = measured.bookings, measured.holdout.quarter
    if bookings is None or quarter is None:
        return Text("")
    rows = bookings.to_dict("records")
    actual = next(row["expected"] for row in rows if row["forecaster"] == "actual")
    shown = Table(
        title=f"Bookings of {quarter.label} in {currency}, forecast as of {quarter.start:%Y-%m-%d}",
        title_justify="left",
    )
    for heading in ("", "expected", "80 % range", "error"):
        shown.add_column(heading, justify="left" if not heading else "right")
    for row in rows:
        who, expected = row["forecaster"], row["expected"]
        span = "" if math.isnan(row["p10"]) else f"{row['p10']:,.0f} to {row['p90']:,.0f}"
        error = "" if who == "actual" or actual <= 0 else f"{(expected - actual) / actual:+.0%}"
        shown.add_row(LABELS[who], f"{expected:,.0f}", span, error, style="bold" if who == OURS else None)
    single = Text(
        "One quarter is one number: it shows the size of the error, not which rule is better.", "dim"
    )
    return Group(shown, single)


def _number(value: float, style: str) -> str:
    return "-" if math.isnan(value) else format(value, style)
