"""Do the models of leads recover the truth? The simulator's exact probabilities beside ours and the base rate.

    python -m benchmarks.leads [--deals 30000] [--seed 3]

A company is simulated from 2022 to 2026. Everybody learns from what was recorded before 2025, and is then asked
about every lead open at the start of each month from January to June 2025. MAE is the mean distance from the
exact P(converted within h days | everything recorded). `becomes won` within 180 days is held against what
happened: its mean beside the share that came, and how well it ranks.
"""

from __future__ import annotations

import time
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from forecast.evaluation import metrics
from forecast.evaluation.baselines import BaseRate
from forecast.features import FrozenCustomers
from forecast.history import DatedRecords, History, Leads, make_landmarks
from forecast.models import FitSettings, fit_leads
from forecast.periods import as_of_us
from forecast.simulator import Simulation, simulate

__all__ = ["HORIZONS_DAYS", "compare"]

HORIZONS_DAYS: Final = (30, 90, 180)
LEARN_UNTIL: Final = pd.Timestamp("2025-01-01", tz="UTC")
_ASKED: Final = pd.date_range(LEARN_UNTIL, periods=6, freq="MS")


def compare(simulation: Simulation, settings: FitSettings) -> tuple[pd.DataFrame, dict[str, float | str]]:
    """One row a forecaster with MAE, Brier score and AUC by horizon; and what else is worth saying."""
    deals = History.from_tables(simulation.tables)
    leads = Leads.from_tables(simulation.tables, deals)
    history, learn_us = leads.history, as_of_us(LEARN_UNTIL)
    begun = time.process_time()
    models = fit_leads(leads, deals, LEARN_UNTIL, settings)
    fit_seconds = time.process_time() - begun
    if models is None:
        raise ValueError("the simulated company has no leads")
    constant = BaseRate()
    constant.fit(history, make_landmarks(history, until_us=learn_us))
    customers = FrozenCustomers.of(DatedRecords.of(deals).freeze(deals, learn_us), history)
    asked = [history.open_deals(as_of_us(moment)) for moment in _ASKED]
    lead = np.concatenate(asked)
    moments = np.repeat(_ASKED, [len(each) for each in asked])
    at_us = np.repeat([as_of_us(moment) for moment in _ASKED], [len(each) for each in asked])
    ours, won = models.chances(history, lead, at_us, HORIZONS_DAYS, customers)
    ids = history.deal_ids[lead]
    truth = simulation.lead_truth_within(ids, moments, HORIZONS_DAYS)
    table = simulation.tables.leads.set_index("lead_id").loc[ids]
    waited = pd.DatetimeIndex(table["converted_at"]) - moments
    events = simulation.tables.deal_events
    wins = events[(events["field"] == "stage") & (events["value"] == "won")]
    won_at = wins.groupby("deal_id")["recorded_at"].min()
    won_after = pd.DatetimeIndex(table["deal_id"].map(won_at)) - moments
    rows = []
    for name, predicted in {
        "ours": ours,
        "base rate": constant.predict(history, lead, at_us, HORIZONS_DAYS),
        "truth": truth,
    }.items():
        row: dict[str, float | str] = {"forecaster": name}
        for at, horizon in enumerate(HORIZONS_DAYS):
            came = np.asarray(waited < pd.Timedelta(days=horizon), dtype=np.float64)
            row[f"MAE{horizon}"] = float(np.abs(predicted[:, at] - truth[:, at]).mean())
            row[f"Brier{horizon}"] = metrics.brier(came, predicted[:, at])
            row[f"AUC{horizon}"] = metrics.auc(came, predicted[:, at])
        rows.append(row)
    came = np.asarray(won_after < pd.Timedelta(days=HORIZONS_DAYS[-1]), dtype=np.float64)
    about: dict[str, float | str] = {
        "leads": len(leads),
        "asked": len(lead),
        "rung": models.outcome.name,
        "fit_seconds": fit_seconds,
        "becomes_won": float(won[:, -1].mean()),
        "became_won": float(came.mean()),
        "auc_won": metrics.auc(came, won[:, -1]),
        "after": models.ladder_after[0].reason,
    }
    return pd.DataFrame(rows), about


@click.command(help="Models of leads against the exact truth of a simulated company.")
@click.option("--deals", default=30_000, show_default=True)
@click.option("--seed", default=3, show_default=True)
def main(deals: int, seed: int) -> None:
    found, about = compare(simulate(deals, seed=seed), FitSettings())
    shown = found.set_index("forecaster").T
    table = Table(title=f"P(converted within h days): {deals:,} deals, {about['leads']:,} leads, seed {seed}")
    for head in ("", *shown.columns):
        table.add_column(head, justify="right" if head else "left")
    for metric, values in shown.iterrows():
        table.add_row(str(metric), *(f"{value:.4f}" for value in values))
    console = Console()
    console.print(table)
    console.print(
        f"{about['asked']:,} looks at open leads; rung {about['rung']}; fit {about['fit_seconds']:.1f} s CPU. "
        f"Becomes a won deal within 180 days: foretold {about['becomes_won']:.2%}, "
        f"came {about['became_won']:.2%}, AUC {about['auc_won']:.3f}; {about['after']}. {machine()}"
    )


if __name__ == "__main__":
    main()
