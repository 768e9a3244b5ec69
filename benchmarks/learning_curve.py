"""What a small company gets: how good, and how sure, with 0, 20, 40, 100, 200, 400 and 800 closed deals?

    python -m benchmarks.learning_curve [--seeds 9,10,11] [--sizes 0,20,40,100] [--docs docs]

A company that creates 240 deals a year is simulated for five years. Its history is cut at the moment at which
exactly so many deals have closed: everybody learns from what was recorded before it, and from nothing else.
They are then asked about the deals open at that moment and each of the five months after it, and for the
bookings of the two quarters that start next. Probabilities are set against the exact ones of the simulator and
against what came. Rows of all companies are measured together, so that a handful of deals is no sample of its
own.

With `--docs` the tables are put between their marks in small-companies.md of that folder, and the chart into
its images/.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from benchmarks import charts
from benchmarks.bookings import inside, width
from benchmarks.machine import machine
from benchmarks.numbers import Numbers
from benchmarks.peers.field import OURS
from benchmarks.real.report import put_between_marks
from benchmarks.tables import as_markdown
from forecast.bundle import Bundle
from forecast.cli import run as run_command
from forecast.evaluation import metrics
from forecast.evaluation.baselines import (
    AalenJohansenByStage,
    BaseRate,
    ClosedOnly,
    StageWeighted,
    StageWeightedBookings,
)
from forecast.history import WON, History, make_landmarks
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.outlook import make_outlook
from forecast.periods import DAY_US, Period, as_of_us, to_timestamp
from forecast.simulator import Simulation, simulate

__all__ = ["Curve", "main", "measure", "moment_of"]

SIZES: Final = (0, 20, 40, 100, 200, 400, 800)
HORIZONS_DAYS: Final = (30, 90, 180)
DEALS: Final = 1_200
UNTIL: Final = "2027-01-01"
MONTHS: Final = 6  # the moment itself, and five after it
QUARTERS: Final = 2
LABELS: Final = {
    OURS: "Forecast",
    StageWeighted.name: StageWeighted.label,
    BaseRate.name: BaseRate.label,
    AalenJohansenByStage.name: AalenJohansenByStage.label,
    ClosedOnly.name: f"LightGBM, {ClosedOnly.label}",
}


@dataclass(frozen=True)
class Curve:
    """deals : a row per deal, moment, forecaster and horizon: said, true, won; with seed and size
    bookings : a row per quarter: expected, p10, p90, came, crm (stage-weighted), quarters_ahead
    fits : a row per company and size: rung, open, days (of history), shock_sd, arrivals_sd
    """

    deals: pd.DataFrame
    bookings: pd.DataFrame
    fits: pd.DataFrame

    @classmethod
    def joined(cls, parts: Sequence[Curve]) -> Curve:
        """All companies together."""
        names = ("deals", "bookings", "fits")
        return cls(*(pd.concat([getattr(p, name) for p in parts], ignore_index=True) for name in names))


def moment_of(history: History, closed: int) -> pd.Timestamp:
    """The last moment before which exactly `closed` deals have closed: that of the next one's closing.

    E.g. closings of three deals on 3, 8 and 9 March and `closed` 2: 9 March, since known is what was recorded
    before. The history must go on for that long.
    """
    closings = history.closings
    _, first = np.unique(closings.deal, return_index=True)
    return to_timestamp(int(np.sort(closings.at_us[first])[closed]))


def measure(seed: int, sizes: Sequence[int], settings: FitSettings) -> Curve:
    """One company at several sizes."""
    simulation = simulate(deals=DEALS, seed=seed, until=UNTIL)
    history = History.from_tables(simulation.tables)
    parts = []
    for size in sizes:
        as_of = moment_of(history, size)
        models = fit_models(history, as_of, settings)
        mine = {"seed": seed, "size": size}
        known = int(history.known_from_us().min())
        fit = {
            "rung": models.outcome.name,
            "open": models.counts["open"],
            "days": (as_of_us(as_of) - known) / DAY_US,
            "shock_sd": models.shock.sd,
            "arrivals_sd": models.arrivals.sd,
        }
        parts.append(
            Curve(
                _deals(simulation, history, models, as_of).assign(**mine),
                _bookings(simulation, history, models, as_of).assign(**mine),
                pd.DataFrame([fit | mine]),
            )
        )
    return Curve.joined(parts)


def _deals(
    simulation: Simulation, history: History, models: FittedModels, as_of: pd.Timestamp
) -> pd.DataFrame:
    """What everybody says of the open deals, the truth, and what came."""
    learnt_from = make_landmarks(history, until_us=as_of_us(as_of))
    baselines = (StageWeighted(), BaseRate(), AalenJohansenByStage(), ClosedOnly())
    for baseline in baselines:
        baseline.fit(history, learnt_from)
    closings = history.closings
    won = closings.kind == WON
    frames = []
    for month in range(MONTHS):
        at_us = as_of_us(as_of) + round(month * 365.25 / 12) * DAY_US
        deal = history.open_deals(at_us)
        if not len(deal):
            continue
        when = np.full(len(deal), at_us)
        true = simulation.truth_within(history.deal_ids[deal], to_timestamp(at_us), HORIZONS_DAYS)
        said = {OURS: models.incidence(history, deal, at_us, HORIZONS_DAYS)[:, 1]}
        said |= {one.name: one.predict(history, deal, when, HORIZONS_DAYS) for one in baselines}
        for place, horizon in enumerate(HORIZONS_DAYS):
            span = won & (closings.at_us >= at_us) & (closings.at_us < at_us + horizon * DAY_US)
            came = np.isin(deal, closings.deal[span]).astype(np.float64)
            for name, chance in said.items():
                frames.append(
                    pd.DataFrame(
                        {
                            "forecaster": name,
                            "horizon_days": horizon,
                            "said": chance[:, place],
                            "true": true[:, place],
                            "won": came,
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


def _bookings(
    simulation: Simulation, history: History, models: FittedModels, as_of: pd.Timestamp
) -> pd.DataFrame:
    """The company's bookings of the quarters that start next, beside what came."""
    bundle = Bundle("benchmark", {}, models, [])
    period = Period.coming(as_of)
    rows = []
    for ahead in range(1, QUARTERS + 1):
        table = make_outlook(
            simulation.tables, bundle, as_of=as_of, period=period, history=history, reasons=0
        ).bookings.table
        company = table[table["level"] == "company"].iloc[0]
        came = history.booked(period.end_us, period.start_us, period.end_us)["amount"].sum()
        crm = StageWeightedBookings().forecast(history, as_of_us(as_of), period).expected
        rows.append(
            {
                "quarters_ahead": ahead,
                **company[["expected", "p10", "p90", "open", "arrivals"]].to_dict(),
                "came": float(came),
                "crm": crm,
            }
        )
        period = Period.containing(period.end)
    return pd.DataFrame(rows)


def scores(deals: pd.DataFrame) -> pd.DataFrame:
    """Columns size, forecaster, horizon_days and the metrics; all companies of a size together.

    mae, bias : of what was said against the exact probability, without and with its sign
    skill : Brier score below that of the best constant in hindsight, as a share of it
    calibration_error : of what was said against what came
    """
    rows = []
    for (size, name, horizon), part in deals.groupby(["size", "forecaster", "horizon_days"], sort=False):
        said, won = part["said"].to_numpy(), part["won"].to_numpy()
        off = said - part["true"].to_numpy()
        constant = np.full(len(won), won.mean())
        rows.append(
            {
                "size": size,
                "forecaster": name,
                "horizon_days": horizon,
                "mae": float(np.abs(off).mean()),
                "bias": float(off.mean()),
                "skill": metrics.brier_skill(won, said, reference=constant),
                "calibration_error": metrics.calibration_error(won, said),
            }
        )
    return pd.DataFrame(rows)


def tables(curve: Curve) -> list[tuple[list[str], list[list[str]]]]:
    """Heads and rows of the two tables of the documentation: forecasters by size, and what a company gets."""
    found = scores(curve.deals)
    sizes = sorted(found["size"].unique())
    at_90 = found[found["horizon_days"] == 90].set_index(["forecaster", "size"])
    accuracy = [
        [f"{label}: {heading}", *(format(at_90.loc[(name, size), metric], style) for size in sizes)]
        for metric, heading, style in (
            ("mae", "error", ".3f"),
            ("bias", "bias", "+.3f"),
            ("skill", "Brier skill", "+.2f"),
            ("calibration_error", "calibration error", ".3f"),
        )
        for name, label in LABELS.items()
    ]
    ours = found[found["forecaster"] == OURS].set_index(["horizon_days", "size"])
    rows: dict[str, list[str]] = {}
    for size in sizes:
        fits = curve.fits[curve.fits["size"] == size]
        quarters = curve.bookings[curve.bookings["size"] == size]
        rungs = fits["rung"].value_counts()
        said = {
            "open deals then, median": f"{fits['open'].median():.0f}",
            "days of history, median": f"{fits['days'].median():.0f}",
            "rung chosen": ", ".join(f"{rung} {count}" for rung, count in rungs.items()),
            **{
                f"error at {horizon} days": f"{ours.loc[(horizon, size), 'mae']:.3f}"
                for horizon in HORIZONS_DAYS
            },
            "bookings forecast over what came": f"{quarters['expected'].sum() / quarters['came'].sum():.2f}",
            "bookings, stage-weighted over what came": f"{quarters['crm'].sum() / quarters['came'].sum():.2f}",
            "width of the 80 % range over the forecast": f"{width(quarters):.2f}",
            "quarters inside the 80 % range": f"{inside(quarters):.0%} of {len(quarters)}",
        }
        for name, text in said.items():
            rows.setdefault(name, []).append(text)
    heads = ["closed deals", *(f"{size:,}" for size in sizes)]
    return [(heads, [[name, *texts] for name, texts in rows.items()]), (heads, accuracy)]


def about(seeds: Sequence[int]) -> str:
    """What the numbers were measured on."""
    return (
        f"Simulated companies of {DEALS:,} deals in five years, seeds {', '.join(map(str, seeds))}, all rows "
        f"of a size together; {machine()}."
    )


@click.command(epilog="Example: python -m benchmarks.learning_curve --seeds 1,2 --sizes 0,40,100")
@click.option(
    "--seeds", type=Numbers(), default="9,10,11,12,13,14", show_default=True, help="Of the companies."
)
@click.option(
    "--sizes",
    type=Numbers(),
    default=",".join(map(str, SIZES)),
    show_default=True,
    help="Closed deals at which each history is cut.",
)
@click.option(
    "--docs", type=click.Path(file_okay=False, path_type=Path), help="Put tables and chart into this folder."
)
def main(seeds: tuple[int, ...], sizes: tuple[int, ...], docs: Path | None) -> None:
    """Measure forecasts over the number of closed deals there are to learn from."""
    console, progress = Console(highlight=False, width=160), Console(stderr=True)
    curve = Curve.joined(
        [
            measure(seed, sizes, FitSettings())
            for seed in track(seeds, description="companies", console=progress)
        ]
    )
    said = [as_markdown(*table) for table in tables(curve)]
    for text in said:
        console.print(text, markup=False)
    console.print(about(seeds))
    if docs is not None:
        put_between_marks(docs / "small-companies.md", "company", f"{said[0]}\n{about(seeds)}\n")
        put_between_marks(docs / "small-companies.md", "forecasters", f"{said[1]}\n{about(seeds)}\n")
        chart = charts.size_chart(scores(curve.deals), LABELS)
        charts.write_chart(chart, docs / "images" / "small-companies.svg")


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.learning_curve"))
