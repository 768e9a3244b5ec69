"""Do the models recover the truth? Exact probabilities of the simulator beside every baseline's.

    python -m benchmarks.truth [--deals 30000] [--seed 1] [--markdown FILE]

A company is simulated from 2022 to 2026. Everybody learns from what was recorded before 2025, and is then
asked about every deal open at the start of each month from January to June 2025: half a year later is still
inside the data. MAE is the mean distance from the exact P(won within h days | everything recorded), which
nobody in a real company can know; Brier and AUC are against what happened. `truth` shows what is possible.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine, peak_gigabytes
from forecast.evaluation.baselines import all_baselines
from forecast.evaluation.scoreboard import measure
from forecast.history import History, Landmarks, make_landmarks
from forecast.models import FitSettings, fit_models
from forecast.periods import as_of_us
from forecast.simulator import Simulation, simulate

__all__ = ["HORIZONS_DAYS", "compare", "monthly_landmarks"]

HORIZONS_DAYS: Final = (30, 90, 180)
LEARN_UNTIL: Final = pd.Timestamp("2025-01-01", tz="UTC")
_ASKED: Final = pd.date_range(LEARN_UNTIL, periods=6, freq="MS")
_SHOWN: Final = {
    **{f"mae_{h}d": (f"MAE{h}", ".4f") for h in HORIZONS_DAYS},
    "brier_90d": ("Brier90", ".4f"),
    "auc_90d": ("AUC90", ".3f"),
    "fit_seconds": ("fit CPU s", ".1f"),
    "predict_ms": ("ms / 1k deals", ".1f"),
}


def monthly_landmarks(history: History, until_us: int) -> Landmarks:
    """Every deal open at the start of each asked month, followed until `until_us`."""
    monthly = []
    for moment in _ASKED:
        # A grid wider than the data has one point: the moment itself.
        every = make_landmarks(history, until_us=until_us, first_us=as_of_us(moment), every_days=10_000.0)
        monthly.append(every.take(every.at_us == as_of_us(moment)))
    return Landmarks(
        *(np.concatenate([getattr(one, name) for one in monthly]) for name in Landmarks.__dataclass_fields__)
    )


def compare(simulation: Simulation, settings: FitSettings) -> pd.DataFrame:
    """One row a forecaster, `truth` last: distance from the truth, scores, cost.

    Columns forecaster, mae_30d, mae_90d, mae_180d, brier_90d, auc_90d, fit_seconds, predict_ms (CPU time; the
    last per 1,000 deals). `attrs["asked"]` is the number of deals asked about.
    """
    history = History.from_tables(simulation.tables)
    until_us = as_of_us(simulation.until)
    asked = monthly_landmarks(history, until_us)
    truth = simulation.truth_within(
        history.deal_ids[asked.deal], pd.to_datetime(asked.at_us, unit="us", utc=True), HORIZONS_DAYS
    )
    predictions: dict[str, np.ndarray] = {}
    cost: dict[str, tuple[float, float]] = {}

    def ask(name: str, fit: Callable[[], Any], predict: Callable[[Any], np.ndarray]) -> None:
        begun = time.process_time()
        fitted = fit()
        done = time.process_time()
        predictions[name] = predict(fitted)
        cost[name] = (done - begun, (time.process_time() - done) / len(asked) * 1e6)

    ask(
        "ours",
        lambda: fit_models(history, LEARN_UNTIL, settings),
        lambda models: models.win_probability(history, asked.deal, asked.at_us, HORIZONS_DAYS),
    )
    learn = make_landmarks(
        history, until_us=as_of_us(LEARN_UNTIL), every_days=settings.landmark_every_days
    ).thin(settings.max_landmarks, np.random.default_rng(settings.seed))
    for baseline in all_baselines(settings.seed):
        ask(
            baseline.name,
            lambda one=baseline: one.fit(history, learn),  # type: ignore[misc]
            lambda _, one=baseline: one.predict(history, asked.deal, asked.at_us, HORIZONS_DAYS),  # type: ignore[misc]
        )
    predictions["truth"] = truth
    scores = measure(asked, predictions, HORIZONS_DAYS, until_us=until_us)
    at_90 = scores[scores["horizon_days"] == 90].pivot_table(
        index="forecaster", columns="metric", values="value", sort=False
    )
    table = pd.DataFrame(
        [
            {
                "forecaster": name,
                **{f"mae_{h}d": float(np.abs(p - truth)[:, at].mean()) for at, h in enumerate(HORIZONS_DAYS)},
                "brier_90d": float(at_90.loc[name, "brier"]),
                "auc_90d": float(at_90.loc[name, "auc"]),
                "fit_seconds": cost.get(name, (np.nan, np.nan))[0],
                "predict_ms": cost.get(name, (np.nan, np.nan))[1],
            }
            for name, p in predictions.items()
        ]
    )
    table.attrs["asked"] = len(asked)
    return table


def _labels() -> dict[str, str]:
    return {"ours": "this model", **{one.name: one.label for one in all_baselines()}, "truth": "the truth"}


def _cells(table: pd.DataFrame) -> list[list[str]]:
    labels = _labels()
    return [
        [
            labels[row["forecaster"]],
            *(
                "-" if np.isnan(row[name]) else format(row[name], style)
                for name, (_, style) in _SHOWN.items()
            ),
        ]
        for row in table.to_dict("records")
    ]


def _markdown(table: pd.DataFrame) -> str:
    head = ["", *(heading for heading, _ in _SHOWN.values())]
    lines = [head, ["---", *["---:"] * len(_SHOWN)], *_cells(table)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


@click.command(epilog="Example: python -m benchmarks.truth --deals 5000 --markdown out/truth.md")
@click.option("--deals", default=30_000, show_default=True, help="Deals to simulate.")
@click.option("--seed", default=1, show_default=True, help="Of the simulation.")
@click.option(
    "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write the table there too."
)
def main(deals: int, seed: int, markdown: Path | None) -> None:
    """Compare models and baselines with the simulator's exact probabilities."""
    console = Console(highlight=False, width=120)
    simulation = simulate(deals=deals, seed=seed)
    table = compare(simulation, FitSettings())
    shown = Table()
    shown.add_column("", no_wrap=True)
    for heading, _ in _SHOWN.values():
        shown.add_column(heading, justify="right", no_wrap=True)
    for cells in _cells(table):
        shown.add_row(*cells, style="bold" if cells[0] == "this model" else None)
    about = (
        f"{deals:,} deals, seed {seed}; {table.attrs['asked']:,} questions; "
        f"peak memory {peak_gigabytes():.1f} GB; {machine()}"
    )
    console.print(shown)
    console.print(about)
    if markdown is not None:
        markdown.write_text(f"{_markdown(table)}\n{about}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
