"""Measuring the models of leads on the held-out period, beside the share of leads converted in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.evaluation.baselines import BaseRate
from forecast.evaluation.scoreboard import measure, metric_names
from forecast.features import FrozenCustomers
from forecast.history import DatedRecords, History, Leads, make_landmarks
from forecast.models import FitSettings, fit_leads
from forecast.periods import as_of_us
from training.holdout import OURS, Holdout

__all__ = ["MeasuredLeads", "measure_leads"]

_PREFIX: Final = "leads_"


@dataclass(frozen=True, slots=True)
class MeasuredLeads:
    """What came out.

    table: long table of metrics of P(converted within h days), see `evaluation.scoreboard`
    rung: of the measured models
    """

    table: pd.DataFrame
    rung: str

    def metrics(self) -> dict[str, float]:
        """Flat names for a bundle and MLflow: `leads_brier_90d`, `leads_auc_90d_base_rate`."""
        found = metric_names(self.table, ours=OURS)
        return {_PREFIX + name: value for name, value in found.items() if not np.isnan(value)}

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"rung": self.rung, "values": self.metrics()}

    def sentence(self) -> str:
        """The measurement in a line for people, at the longest horizon."""
        found, horizon = self.metrics(), int(self.table["horizon_days"].max())
        auc, skill = (found.get(f"{_PREFIX}{name}_{horizon}d") for name in ("auc", "skill"))
        if auc is None or skill is None:
            return f"Leads: none was seen to be converted within {horizon} days of the held-out looks."
        return (
            f"Leads, converted within {horizon} days, held out: AUC {auc:.3f}, {skill:+.1%} of the base "
            f"rate's Brier score removed ({self.rung})."
        )


def measure_leads(
    leads: Leads, deals: History, holdout: Holdout, settings: FitSettings
) -> MeasuredLeads | None:
    """Fit on what was recorded before the holdout and measure inside it; None without leads in either."""
    start_us, end_us = as_of_us(holdout.start), as_of_us(holdout.end)
    models = fit_leads(leads, deals, holdout.start, settings)
    every, history = settings.landmark_every_days, leads.history
    asked = make_landmarks(history, until_us=end_us, first_us=start_us, every_days=every)
    asked = asked.thin(settings.max_landmarks, np.random.default_rng(settings.seed))
    if models is None or not len(asked):
        return None
    base = BaseRate()
    base.fit(history, make_landmarks(history, until_us=start_us, every_days=every))
    # Track records are frozen at the start, as in use.
    customers = FrozenCustomers.of(DatedRecords.of(deals).freeze(deals, start_us), history)
    horizons = holdout.horizons_days
    ours, _ = models.chances(history, asked.deal, asked.at_us, horizons, customers)
    predictions = {OURS: ours, base.name: base.predict(history, asked.deal, asked.at_us, horizons)}
    return MeasuredLeads(measure(asked, predictions, horizons, until_us=end_us), models.outcome.name)
