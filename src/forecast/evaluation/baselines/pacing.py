"""Two rules that look at totals only: how far along the quarter usually is by now, and last year's quarter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
import pandas as pd

from forecast.evaluation.baselines.interface import PeriodForecast
from forecast.evaluation.baselines.past import (
    booked_between,
    complete_periods,
    nothing_known,
    owner_sums,
    same_moment_us,
    year_before,
)
from forecast.history import History
from forecast.periods import Kind, Period

__all__ = ["Linearity", "SameQuarterLastYear"]

_PER_YEAR: Final[dict[Kind, int]] = {"year": 1, "quarter": 4, "month": 12}


@dataclass(frozen=True)
class Linearity:
    """Booked so far over the share of a period's bookings that past periods had by the same moment.

    The share is that of the company, all past periods together; each owner's bookings so far are divided by it.
    Says nothing on the first day of a period: nothing is booked, and a share of nothing is no rate.

    periods: how many past periods are looked at, the newest complete ones
    """

    name: ClassVar[str] = "linearity"
    label: ClassVar[str] = "booked to date / linearity"
    periods: int = 8

    def forecast(self, history: History, as_of_us: int, period: Period) -> PeriodForecast:
        """The rest is NaN where nothing had been booked by this moment of any past period."""
        booked = booked_between(history, as_of_us, period.start_us, period.end_us)
        so_far = whole = 0.0
        for past in complete_periods(history, as_of_us, period.kind, self.periods):
            until_us = min(max(same_moment_us(as_of_us, period, past), past.start_us), past.end_us)
            so_far += float(booked_between(history, as_of_us, past.start_us, until_us)["amount"].sum())
            whole += float(booked_between(history, as_of_us, past.start_us, past.end_us)["amount"].sum())
        if not so_far > 0.0:
            return PeriodForecast(booked, booked.iloc[:0], nothing_known())
        rest = owner_sums(booked)
        return PeriodForecast(
            booked, booked.iloc[:0], rest.assign(amount=rest["amount"] * (whole / so_far - 1.0))
        )


@dataclass(frozen=True)
class SameQuarterLastYear:
    """Bookings of the same period one year before, times growth; the same on every day of the period.

    Growth is the sum of the complete periods of the last year over that of the same periods one year earlier,
    as far as both are recorded; without such a pair there is none, a factor of 1. Of the company; each owner's
    last year is multiplied by it. What is booked already does not enter: the rest may be below 0.
    """

    name: ClassVar[str] = "last_year"
    label: ClassVar[str] = "same quarter last year x growth"

    def forecast(self, history: History, as_of_us: int, period: Period) -> PeriodForecast:
        """The rest is NaN where the same period of last year is not wholly recorded."""
        booked = booked_between(history, as_of_us, period.start_us, period.end_us)
        a_year = _PER_YEAR[period.kind]
        # A forecast of a later period needs one more year: its own is then not among the last complete ones.
        recorded = complete_periods(history, as_of_us, period.kind, 4 * a_year)
        last_year = year_before(period)
        if last_year not in recorded:
            return PeriodForecast(booked, booked.iloc[:0], nothing_known())
        now = before = 0.0
        for one in recorded[:a_year]:
            if year_before(one) in recorded:
                now += _booked(history, as_of_us, one)
                before += _booked(history, as_of_us, year_before(one))
        growth = now / before if before > 0.0 else 1.0
        total = booked_between(history, as_of_us, last_year.start_us, last_year.end_us)
        rest = owner_sums(
            pd.concat(
                [
                    total.assign(amount=total["amount"] * growth),
                    booked.assign(amount=-booked["amount"]),
                ]
            )
        )
        return PeriodForecast(booked, booked.iloc[:0], rest)


def _booked(history: History, as_of_us: int, period: Period) -> float:
    return float(np.sum(booked_between(history, as_of_us, period.start_us, period.end_us)["amount"]))
