"""How often does the gate decide rightly? Pairs of known worth on invented companies whose truth is known.

    python -m benchmarks.gate [--companies 3] [--deals 1500] [--first-seed 1]

For every company a champion and a candidate are made in each of these ways and the gate is asked, with the
settings as they are packaged. `truly worse` counts the companies in which the candidate is farther from the
exact probabilities than the champion (mean squared distance of P(won within 30 and 90 days) on three days of
the period): a candidate made to be worse need not be so everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.machine import machine
from forecast.bundle import Bundle
from forecast.features.registry import BUILT_IN
from forecast.history import History
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.models.level import Level
from forecast.periods import as_of_us
from forecast.simulator import Simulation, simulate
from forecast.tables import known_before
from training.gate import judge
from training.holdout import choose_holdout
from training.settings import read_settings

__all__ = ["Pair", "pairs_of"]

END: Final = pd.Timestamp("2026-01-01", tz="UTC")
HORIZONS: Final = (30, 90)
# One window and one ridge: a fit of seconds, whose rung is linear.
FULL: Final = FitSettings(windows=1, ridge_grid=(12.0,), min_boosted_deals=1_000_000, max_landmarks=20_000)


@dataclass(frozen=True)
class Pair:
    """A champion and a candidate. What is compared may be the settings of a bundle; `worth` is what serves."""

    name: str
    right: str
    champion: FittedModels
    candidate: FittedModels


@dataclass
class Tally:
    """Of one kind of pair, over companies."""

    right: str
    promoted: int = 0
    worse: int = 0
    asked: int = 0
    failed: dict[str, int] = field(default_factory=dict)


def pairs_of(history: History, start: pd.Timestamp) -> list[Pair]:
    """Pairs made from one company. All but those of a newer bundle are asked themselves about the period."""
    every_other = tuple(spec.name for spec in BUILT_IN)[::2]
    full = fit_models(history, start, FULL)
    again = fit_models(history, start, replace(FULL, seed=1, max_landmarks=FULL.max_landmarks // 2))
    cells = fit_models(history, start, replace(FULL, min_closed_deals=1_000_000))
    half = fit_models(history, start, replace(FULL, exclude_fields=every_other))
    newer = fit_models(history, END, FULL)
    return [
        Pair("the same settings, half a year more", "yes", full, newer),
        Pair("as good: half the rows, another seed", "does not matter", full, again),
        Pair("stages alone", "no", full, cells),
        Pair("every other feature left out", "no", full, half),
        Pair("winning hazard x 1.3", "no", full, faster(full)),
        Pair("winning hazard x 1.3 in a newer bundle", "no", full, faster(newer)),
        Pair("linear against stages alone", "yes", cells, full),
        Pair("all features against every other", "yes", half, full),
    ]


def faster(models: FittedModels) -> FittedModels:
    """The same models with 1.3 times the hazard of winning, as a bundle that was tampered with."""
    won, lost = models.level.shift
    return replace(models, level=Level((won + float(np.log(1.3)), lost), "tampered with"))


def distance(company: Simulation, history: History, models: FittedModels, start: pd.Timestamp) -> float:
    """Mean squared distance from the exact probabilities, on three days of the period."""
    found = []
    for days in (0, 45, 90):
        at = start + pd.Timedelta(days=days)
        truth = company.truth_at(at, HORIZONS)
        deal = history.index_of(truth["deal_id"].to_numpy(object)[:: len(HORIZONS)])
        said = models.win_probability(history, deal, np.full(len(deal), as_of_us(at)), HORIZONS)
        found.append(((said - truth["probability"].to_numpy().reshape(said.shape)) ** 2).mean())
    return float(np.mean(found))


def ask(seed: int, deals: int, tally: Callable[[str, str], Tally]) -> None:
    """Ask the gate about every pair of one company."""
    company = simulate(deals=deals, seed=seed)
    history = History.from_tables(company.tables)
    manifest = {"data_fingerprint": known_before(company.tables, END).fingerprint}
    settings = read_settings()
    holdout, _ = choose_holdout(history, END, settings.holdout)
    assert holdout is not None  # noqa: S101  (four years of history)
    for pair in pairs_of(history, holdout.start):
        champion, candidate = (
            # Only what is newer claims to be made from these very data.
            Bundle(
                id=who,
                manifest=manifest if models.trained_until_us == as_of_us(END) else {},
                models=models,
                golden=[],
            )
            for who, models in (("champion", pair.champion), ("candidate", pair.candidate))
        )
        outcome = judge(company.tables, champion, candidate, settings, as_of=END)
        theirs, ours = (
            distance(company, history, one, holdout.start) for one in (pair.champion, pair.candidate)
        )
        found = tally(pair.name, pair.right)
        found.asked += 1
        found.promoted += outcome.passed
        found.worse += ours > theirs
        for code in outcome.failed:
            found.failed[code] = found.failed.get(code, 0) + 1


@click.command()
@click.option("--companies", default=3, show_default=True, type=click.IntRange(1))
@click.option("--deals", default=1500, show_default=True, type=click.IntRange(300))
@click.option("--first-seed", default=1, show_default=True)
def main(companies: int, deals: int, first_seed: int) -> None:
    """Print how often each kind of candidate was promoted."""
    tallies: dict[str, Tally] = {}
    seeds = range(first_seed, first_seed + companies)
    for seed in track(seeds, description="companies", console=Console(stderr=True)):
        ask(seed, deals, lambda name, right: tallies.setdefault(name, Tally(right)))
    table = Table(title=f"{companies} companies of {deals:,} deals; {machine()}", title_justify="left")
    for heading in ("candidate", "to be promoted", "promoted", "truly worse", "failed checks"):
        table.add_column(heading, justify="left" if heading in ("candidate", "failed checks") else "right")
    for name, found in tallies.items():
        failed = ", ".join(f"{code} {count}" for code, count in sorted(found.failed.items()))
        table.add_row(
            name,
            found.right,
            f"{found.promoted} of {found.asked}",
            f"{found.worse} of {found.asked}",
            failed,
        )
    Console(width=140).print(table)


if __name__ == "__main__":
    main()
