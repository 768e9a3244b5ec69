"""Historical conversion by stage and week of the quarter: how revenue platforms project a quarter.

Where a deal stands says more in week 11 than in week 2, for what is to close in the quarter must do so by
then. So past quarters are looked at in the same week, and what became of each stage's deals is taken for what
will become of today's. Source: Gong, "See forecast projection" (help.gong.io): actual sales, plus the open
pipeline weighted by the historical rate for the same time and stage, plus what new and pulled-in deals brought
at that time before; Clari calls its rates historical conversion by stage, over the weeks of the quarter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Ints
from forecast.evaluation.baselines.bookings import amounts_of, due_in
from forecast.evaluation.baselines.interface import PeriodForecast
from forecast.evaluation.baselines.past import (
    booked_between,
    complete_periods,
    nothing_known,
    owner_sums,
    same_moment_us,
)
from forecast.evaluation.metrics import cumulative_incidence, incidence_at
from forecast.history import History, Landmarks
from forecast.periods import DAY_US, Period

__all__ = ["ConversionBookings", "StageWeek", "week_of_quarter"]

# With fewer deals than this a cell says less than its stage in all weeks.
_LEAST_DEALS: Final = 20
_WEEKS: Final = 13
_NOTHING: Final = (np.empty(0), np.zeros(1))


def week_of_quarter(at_us: Ints) -> Ints:
    """(n,) 0 to 12: full weeks since the calendar quarter began; its last day or two count to week 12."""
    month = at_us.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    quarter = (month // 3 * 3).astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
    week: Ints = np.minimum((at_us - quarter) // (7 * DAY_US), _WEEKS - 1)
    return week


@dataclass
class StageWeek:
    """Every deal gets the share of open deals of its stage, in the same week of a quarter, won within h days.

    The cell's Aalen-Johansen curve. A cell of fewer than 20 deals takes its stage's in all weeks, a stage never
    seen that of all deals.
    """

    name: ClassVar[str] = "stage_week"
    label: ClassVar[str] = "stage x week of quarter"
    everyone: tuple[Floats, Floats] = _NOTHING
    by_stage: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)
    by_cell: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Learn one curve a stage and a cell."""
        stage = history.stage(landmarks.deal, landmarks.at_us)
        cell = stage * _WEEKS + week_of_quarter(landmarks.at_us)

        def curve(rows: Landmarks) -> tuple[Floats, Floats]:
            return cumulative_incidence(rows.duration_days, rows.cause, weight=rows.weight)

        self.everyone = curve(landmarks)
        self.by_stage = {int(code): curve(landmarks.take(stage == code)) for code in np.unique(stage)}
        self.by_cell = {}
        for code in np.unique(cell):
            mine = landmarks.take(cell == code)
            if np.unique(mine.deal).size >= _LEAST_DEALS:
                self.by_cell[int(code)] = curve(mine)

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H) by the stage as known before each moment, and by the moment's week."""
        stage = history.stage(deal, at_us)
        cell, place = np.unique(stage * _WEEKS + week_of_quarter(np.asarray(at_us)), return_inverse=True)
        curves = [
            self.by_cell.get(int(code), self.by_stage.get(int(code) // _WEEKS, self.everyone))
            for code in cell
        ]
        asked = [incidence_at(curve, horizons_days) for curve in curves]
        return np.stack(asked)[place] if asked else np.empty((0, len(horizons_days)))


@dataclass(frozen=True)
class ConversionBookings:
    """Booked + open deals due in the period x conversion of their stage at this moment + what else came then.

    The rates are those of the company; each owner's new and pulled-in deals are the mean of their own past.
    A deal without a seller's date counts as due, now and in the past alike. A stage never seen at this moment
    of a period takes the rate of all stages.

    periods: how many past periods are looked at, the newest complete ones; a year of quarters
    """

    name: ClassVar[str] = "conversion"
    label: ClassVar[str] = "conversion by stage and week"
    periods: int = 4

    def forecast(self, history: History, as_of_us: int, period: Period) -> PeriodForecast:
        """NaN for what is open and not yet there without a complete period in the past."""
        booked = booked_between(history, as_of_us, period.start_us, period.end_us)
        deal, at_us = _due(history, as_of_us, period)
        stages = len(history.stages)
        open_amount, won_amount = np.zeros(stages), np.zeros(stages)
        others = []
        past = complete_periods(history, as_of_us, period.kind, self.periods)
        for one in past:
            moment_us = same_moment_us(as_of_us, period, one)
            then, then_us = _due(history, moment_us, one)
            stage = history.stage(then, then_us)
            np.add.at(open_amount, stage, np.nan_to_num(history.amount(then, then_us)))
            won = booked_between(history, as_of_us, max(moment_us, one.start_us), one.end_us)
            place = pd.Index(history.deal_ids[then]).get_indexer(pd.Index(won["deal_id"].astype(object)))
            was_due: Bools = place >= 0
            np.add.at(won_amount, stage[place[was_due]], won["amount"].to_numpy()[was_due])
            others.append(won.loc[~was_due, ["owner_id", "amount"]])
        if not past:
            share = np.full(stages, np.nan)
            rest = nothing_known()
        else:
            every = won_amount.sum() / open_amount.sum() if open_amount.sum() > 0.0 else 0.0
            share = np.where(
                open_amount > 0.0, won_amount / np.where(open_amount > 0.0, open_amount, 1.0), every
            )
            rest = owner_sums(pd.concat(others))
            rest = rest.assign(amount=rest["amount"] / len(past))
        amounts = amounts_of(history, deal, at_us, share[history.stage(deal, at_us)])
        return PeriodForecast(booked, amounts, rest)


def _due(history: History, as_of_us: int, period: Period) -> tuple[Ints, Ints]:
    """Open deals whose seller's date lies in the period or is missing, and the moment for each."""
    deal = history.open_deals(as_of_us)
    at_us = np.full(deal.shape, as_of_us, dtype=np.int64)
    undated = np.isnan(history.expected_close_us(deal, at_us))
    kept = due_in(history, deal, at_us, period) | undated
    return deal[kept], at_us[kept]
