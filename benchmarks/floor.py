"""How near to the truth could anybody come with what the features say?

    python -m benchmarks.floor [--deals 30000] [--seeds 1,2,3] [--landmarks 60000]

What a CRM records does not say all about a deal, and what it says does not all fit into columns. So part of the
distance between a forecast and the exact probability no learning can remove. Here it is measured: trees are
taught the exact probabilities themselves, without the luck of who was won, on landmarks of the same companies,
with our features and the day of the year and of the quarter; then they are asked what everybody is asked in
`benchmarks.accuracy`. They see no season and no clock as ours do, so the figure is no proof of a limit: it says
how far a large flexible model comes that has been spared the noise, and everybody who learns from outcomes has
it beside the rest.
"""

from __future__ import annotations

import sys

import lightgbm
import numpy as np
import pandas as pd
from click import command, option
from rich.console import Console
from rich.table import Table
from scipy.special import expit, logit

from benchmarks.machine import machine
from benchmarks.numbers import Numbers
from benchmarks.simulated import HORIZONS_DAYS, LEARN_UNTIL, monthly_landmarks
from forecast.arrays import Floats, Ints
from forecast.cli import run as run_command
from forecast.features import build
from forecast.history import DatedRecords, History, TrackRecords, make_landmarks
from forecast.models import FitSettings, fit_models
from forecast.periods import as_of_us
from forecast.simulator import simulate

__all__ = ["distances", "main"]

_TREES = {
    "objective": "l2",
    "num_leaves": 31,
    "learning_rate": 0.06,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "feature_fraction": 0.6,
    "lambda_l2": 5.0,
    "num_threads": 1,
    "deterministic": True,
    "verbosity": -1,
}
_ROUNDS = 700
_NEVER, _SURE = 1e-4, 1.0 - 1e-4


def distances(deals: int, seed: int, most: int) -> tuple[Floats, Floats]:
    """(H,) mean distance from the exact P(won within h) of our fit, and of trees taught the exact ones.

    most : landmarks the trees are taught on
    """
    simulation = simulate(deals=deals, seed=seed)
    history = History.from_tables(simulation.tables)
    learn_us = as_of_us(LEARN_UNTIL)
    asked = monthly_landmarks(history, as_of_us(simulation.until))
    taught = make_landmarks(history, until_us=learn_us, every_days=FitSettings().landmark_every_days)
    taught = taught.thin(most, np.random.default_rng(seed))

    def truth(deal: Ints, at_us: Ints) -> Floats:
        moments = pd.to_datetime(at_us, unit="us", utc=True)
        return simulation.truth_within(history.deal_ids[deal], moments, HORIZONS_DAYS)

    fitted = fit_models(history, LEARN_UNTIL, FitSettings())
    records = DatedRecords.of(history, fitted.records.dilution)

    def design(deal: Ints, at_us: Ints, known: TrackRecords) -> Floats:
        day = pd.to_datetime(at_us, unit="us").day_of_year.to_numpy()
        features = build(history, deal, at_us, known, fitted.kinds)
        return np.column_stack((*features.values, day, (day - 1) % 91))  # noqa: PD011  (no pandas)

    exact = truth(asked.deal, asked.at_us)
    lessons = logit(np.clip(truth(taught.deal, taught.at_us), _NEVER, _SURE))
    columns = design(taught.deal, taught.at_us, records)
    frozen = records.freeze(history, learn_us).bind(history)
    questions = design(asked.deal, asked.at_us, frozen)
    spared = np.column_stack(
        [
            expit(
                lightgbm.train(_TREES, lightgbm.Dataset(columns, lessons[:, h]), _ROUNDS).predict(questions)
            )
            for h in range(len(HORIZONS_DAYS))
        ]
    )
    ours = fitted.win_probability(history, asked.deal, asked.at_us, [float(h) for h in HORIZONS_DAYS])
    return np.abs(ours - exact).mean(axis=0), np.abs(spared - exact).mean(axis=0)


@command(epilog="Example: python -m benchmarks.floor --seeds 1")
@option("--deals", default=30_000, show_default=True, help="Deals to simulate.")
@option("--seeds", default="1,2,3", show_default=True, type=Numbers(), help="Of the simulations.")
@option("--landmarks", default=60_000, show_default=True, help="Landmarks the trees are taught on.")
def main(deals: int, seeds: tuple[int, ...], landmarks: int) -> None:
    """Measure how far trees come that were taught the exact probabilities."""
    found = np.array([distances(deals, seed, landmarks) for seed in seeds])
    table = Table(title=f"Mean distance from the exact P(won within h), medians of {len(seeds)} companies")
    for heading in ("", *(f"{horizon} d" for horizon in HORIZONS_DAYS)):
        table.add_column(heading, justify="right" if heading else "left")
    for row, label in enumerate(("Forecast, taught by outcomes", "trees, taught by the truth")):
        table.add_row(label, *(f"{value:.4f}" for value in np.median(found[:, row], axis=0)))
    console = Console(highlight=False)
    console.print(table)
    console.print(machine())


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.floor"))
