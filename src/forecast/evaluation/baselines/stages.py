"""The two rules every CRM knows: the win rate of a stage, and the probability once typed in for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import WON, History, Landmarks
from forecast.periods import DAY_US

__all__ = ["StageRate", "StageWeighted", "last_of", "stage_probability"]


@dataclass
class StageRate:
    """Share won of the decided deals that were once seen in the stage; the same at every horizon.

    Each deal counts once a stage. A stage nobody has decided in gets the rate of all decided deals.
    """

    name: ClassVar[str] = "stage_rate"
    label: ClassVar[str] = "stage rate"
    rate: Floats = field(default_factory=lambda: np.empty(0))

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Learn (S,) rates by stage code."""
        decided = landmarks.take(landmarks.cause != 0)
        stages = len(history.stages)
        stage = history.stage(decided.deal, decided.at_us)
        won = (decided.cause == WON).astype(np.float64)
        # Landmarks of one deal repeat its outcome: a slow deal must not count as many. Its last one tells.
        every, each = last_of(decided.deal), last_of(decided.deal * stages + stage)
        overall = (won[every].sum() + 0.5) / (every.size + 1.0)
        count = np.bincount(stage[each], minlength=stages)
        # One deal's worth of the overall rate keeps a stage with a single decided deal off 0 and 1.
        self.rate = (np.bincount(stage[each], weights=won[each], minlength=stages) + overall) / (count + 1.0)

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H), every column the same: a stage rate knows no time."""
        return np.repeat(self.rate[history.stage(deal, at_us)][:, None], len(horizons_days), axis=1)


@dataclass
class StageWeighted:
    """The CRM's probability of the stage if the seller's close date lies in [moment, moment + h), else 0.

    What a weighted pipeline report assumes. A deal without a date counts at every horizon; an overdue one at
    none, as in such reports. A stage without a probability of the CRM's gets its stage rate.
    """

    name: ClassVar[str] = "stage_weighted"
    label: ClassVar[str] = "stage-weighted (CRM)"
    rates: StageRate = field(default_factory=StageRate)

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Learn the rates of stages for which the CRM has no probability."""
        self.rates.fit(history, landmarks)

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H) of the stage's probability or 0."""
        close_us = history.expected_close_us(deal, at_us)
        until_us = at_us[:, None] + np.asarray(horizons_days, dtype=np.float64) * DAY_US
        # The seller's date is a whole day: one of today is not yet over.
        due = (close_us > at_us - DAY_US)[:, None] & (close_us[:, None] < until_us)
        due |= np.isnan(close_us)[:, None]
        return np.where(due, stage_probability(history, deal, at_us, self.rates.rate)[:, None], 0.0)


def last_of(group: Ints) -> Ints:
    """Position of the last row of each group; landmarks come in order of time within a deal."""
    _, first_from_end = np.unique(group[::-1], return_index=True)
    return group.size - 1 - first_from_end


def stage_probability(history: History, deal: Ints, at_us: Ints, otherwise: Floats | None = None) -> Floats:
    """(n,) the CRM's probability of each deal's stage; where it has none, that of `otherwise` (S,), or 0."""
    typed = history.stages.default_probability
    other = np.zeros(typed.shape) if otherwise is None else otherwise
    return np.where(np.isnan(typed), other, typed)[history.stage(deal, at_us)]
