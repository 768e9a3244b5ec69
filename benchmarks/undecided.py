"""Is the share that will never be decided right? The simulator's exact probabilities beside ours.

    python -m benchmarks.undecided [--deals 6000] [--seeds 1,2,3]

A company is simulated from 2022 to 2026. The models learn from what was recorded before July 2025 and are then
asked about every deal open at the start of each month until December: what is the chance that it is neither won
nor lost within 730 days? The truth is the exact P(undecided | everything recorded before that day). MAE is the
mean distance from it, ICI the mean distance between ours and the truth's mean among deals ours takes for alike
(twentieths), `zombies` the exact chance that nothing will ever close the deal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from forecast.arrays import Floats
from forecast.bundle import load_bundle, write_bundle
from forecast.history import History
from forecast.models import HORIZON_CAP_DAYS, FitSettings, fit_models
from forecast.periods import as_of_us
from forecast.scoring import followed, no_decision, undecided_sums
from forecast.simulator import Simulation, simulate

__all__ = ["Found", "compare", "measures"]

LEARN_UNTIL: Final = pd.Timestamp("2025-07-01", tz="UTC")
_ASKED: Final = pd.date_range(LEARN_UNTIL, periods=6, freq="MS")
_GROUPS: Final = 20


@dataclass(frozen=True)
class Found:
    """Looks at open deals, (n,) each.

    ours, truth : P(neither won nor lost within the cap)
    zombies : exact P(the deal never closes)
    amount : on record, NaN where unknown
    """

    ours: Floats
    truth: Floats
    zombies: Floats
    amount: Floats
    rung: str
    followed: int
    undecided: int


def compare(simulation: Simulation, settings: FitSettings) -> Found:
    """Fit on the past, ask about the open deals of six later months."""
    history = History.from_tables(simulation.tables)
    models = fit_models(history, LEARN_UNTIL, settings)
    with TemporaryDirectory() as folder:
        place = Path(folder) / "bundle"
        write_bundle(models, place, metrics={}, data_fingerprint=simulation.tables.fingerprint)
        bundle = load_bundle(place)
    parts: list[tuple[Floats, ...]] = []
    for as_of in _ASKED:
        deal = history.open_deals(as_of_us(as_of))
        ids = history.deal_ids[deal]
        parts.append(
            (
                no_decision(history, bundle, as_of, deal=deal),
                simulation.undecided_within(ids, as_of, [HORIZON_CAP_DAYS])[:, 0],
                simulation.never_closes(ids, as_of),
                history.amount(deal, np.full(len(deal), as_of_us(as_of))),
            )
        )
    ours, truth, zombies, amount = (np.concatenate(column) for column in zip(*parts, strict=True))
    seen = followed(history, LEARN_UNTIL)
    return Found(ours, truth, zombies, amount, models.outcome.name, seen.deals, seen.undecided)


def measures(found: Found) -> dict[str, float]:
    """Errors against the truth, and the shares by count and by amount."""
    group = pd.qcut(found.ours, _GROUPS, labels=False, duplicates="drop")
    means = pd.DataFrame({"ours": found.ours, "truth": found.truth}).groupby(group).agg(["mean", "size"])
    distance = (means["ours"]["mean"] - means["truth"]["mean"]).abs()
    shares = {
        name: undecided_sums(chance, found.amount).iloc[0]
        for name, chance in (("ours", found.ours), ("truth", found.truth), ("zombies", found.zombies))
    }
    return {
        "looks": float(len(found.ours)),
        "MAE": float(np.abs(found.ours - found.truth).mean()),
        "MAE from zombies": float(np.abs(found.ours - found.zombies).mean()),
        "ICI": float(np.average(distance, weights=means["ours"]["size"])),
        **{f"share of deals, {name}": float(line["share_of_deals"]) for name, line in shares.items()},
        **{f"share of amount, {name}": float(line["share_of_amount"]) for name, line in shares.items()},
        "followed two years": float(found.followed),
        "of these undecided": float(found.undecided),
    }


@click.command(help="The share that will never be decided against the exact truth of simulated companies.")
@click.option("--deals", default=6_000, show_default=True)
@click.option("--seeds", default="1,2,3", show_default=True, help="One company each.")
def main(deals: int, seeds: str) -> None:
    columns, rungs = {}, []
    for seed in seeds.split(","):
        found = compare(simulate(deals, seed=int(seed)), FitSettings())
        columns[f"seed {seed}"] = measures(found)
        rungs.append(found.rung)
    shown = pd.DataFrame(columns)
    table = Table(title=f"P(no decision within {HORIZON_CAP_DAYS:.0f} days): {deals:,} deals")
    for head in ("", *shown.columns):
        table.add_column(head, justify="right" if head else "left")
    for name, values in shown.iterrows():
        whole = name in ("looks", "followed two years", "of these undecided")
        table.add_row(str(name), *(f"{value:,.0f}" if whole else f"{value:.4f}" for value in values))
    console = Console()
    console.print(table)
    console.print(f"rungs {', '.join(rungs)}. {machine()}")


if __name__ == "__main__":
    main()
