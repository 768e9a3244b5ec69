"""Clocks that run fast and slow: how a sales organisation's time passes through days and hours.

Every hazard of the simulator is a constant rate on one of these clocks. A clock gives each day a weight (its
season) and spreads it over the hours of the day, so "how much has happened by this moment" is one number:
`elapsed(t)`. A process of rate r on a clock has, from a to b, the cumulative hazard
r * (elapsed(b) - elapsed(a)). Simulation inverts it (`moment`), the exact truth adds it up; both read the
same table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.periods import DAY_US

__all__ = ["NEVER_US", "Calendar", "Clock", "Shift", "make_calendar", "quarter_of"]


NEVER_US: Final = np.int64(2**62)
_HOUR_US: Final = 3_600_000_000
_SECOND_US: Final = 1_000_000

# Share of an ordinary day's work done by each hour (UTC): a morning, a lunch break, an afternoon.
_OFFICE_HOURS: Final = (8.0, 9.0, 12.0, 13.0, 17.0, 18.0)
_OFFICE_SHARES: Final = (0.0, 0.08, 0.46, 0.50, 0.92, 1.0)
# The month-end clean-up is one batch, in one minute, after everybody has gone home.
_BATCH_HOURS: Final = (18.5, 18.5 + 1 / 60)
_BATCH_SHARES: Final = (0.0, 1.0)

_HOLIDAYS: Final = ("01-01", "01-06", "04-25", "05-01", "06-02", "08-15", "11-01", "12-08", "12-25", "12-26")


@dataclass(frozen=True)
class Clock:
    """One clock. `weight` (days,) is each day's share of time; hours spread a day's weight over its hours."""

    first_day: int
    weight: Floats
    cumulative: Floats
    hours_us: Floats
    shares: Floats

    @classmethod
    def of(cls, first_day: int, weight: Floats, *, batch: bool = False) -> Clock:
        """A clock with the given daily weights, on office hours or in the clean-up batch's minute."""
        hours, shares = (_BATCH_HOURS, _BATCH_SHARES) if batch else (_OFFICE_HOURS, _OFFICE_SHARES)
        cumulative = np.concatenate([[0.0], np.cumsum(weight)])
        return cls(first_day, weight, cumulative, np.array(hours) * _HOUR_US, np.array(shares))

    def elapsed(self, moment_us: Ints) -> Floats:
        """Clock time passed from the calendar's first midnight to each moment; outside it stands still."""
        day, within_us = np.divmod(moment_us - self.first_day * DAY_US, DAY_US)
        inside = np.clip(day, 0, len(self.weight) - 1)
        passed = self.cumulative[inside] + self.weight[inside] * self.share_of_day(within_us)
        return np.where(day < 0, 0.0, np.where(day >= len(self.weight), self.cumulative[-1], passed))

    def share_of_day(self, within_us: Ints) -> Floats:
        """Share of a day's weight that has passed `within_us` microseconds after midnight."""
        return np.interp(within_us, self.hours_us, self.shares)

    def moment(self, elapsed: Floats) -> Ints:
        """The moment (whole seconds) at which the clock shows `elapsed`; NEVER_US when it never does."""
        day = np.searchsorted(self.cumulative, elapsed, side="right") - 1
        reached = (day < len(self.weight)) & np.isfinite(elapsed)
        day = np.where(reached, day, 0)
        share = np.where(reached, elapsed - self.cumulative[day], 0.0) / np.where(
            reached, self.weight[day], 1.0
        )
        within_us = np.interp(share, self.shares, self.hours_us).astype(np.int64) // _SECOND_US * _SECOND_US
        return np.where(reached, (self.first_day + day) * DAY_US + within_us, NEVER_US)


@dataclass(frozen=True, slots=True)
class Shift:
    """From a midnight on, what happens happens at another rate.

    win : factor on the rate of winning; pace : factor on that of moving through the stages
    """

    at: pd.Timestamp
    win: float = 1.0
    pace: float = 1.0

    def factors(self, days: pd.DatetimeIndex, factor: float) -> Floats:
        """(days,) the factor from `at` on, 1 before it."""
        return np.where(days >= self.at.tz_localize(None), factor, 1.0)


@dataclass(frozen=True)
class Calendar:
    """The clocks of one company.

    progress  moves between open stages        win    winning: quarter ends, drift, shared shocks
    lose      losing, one by one               clean  losing in the month-end clean-up
    touch     everything sellers write and do: activities, answers, pushed dates
    """

    progress: Clock
    win: Clock
    lose: Clock
    clean: Clock
    touch: Clock

    def without_shocks(self, win_shock: Floats, lose_shock: Floats) -> Calendar:
        """The same calendar with every shared shock at its mean of one; shocks are (days,) multipliers."""
        return replace(
            self,
            win=Clock.of(self.win.first_day, self.win.weight / win_shock),
            lose=Clock.of(self.lose.first_day, self.lose.weight / lose_shock),
        )


def quarter_of(days: pd.DatetimeIndex) -> Ints:
    """A running number of the calendar quarter of each day."""
    return (days.year.to_numpy(np.int64) * 4 + days.quarter.to_numpy(np.int64)).astype(np.int64)


def make_calendar(
    days: pd.DatetimeIndex,
    *,
    drift_per_year: float,
    win_shock: Floats,
    lose_shock: Floats,
    shift: Shift | None = None,
) -> Calendar:
    """Clocks over consecutive midnights `days`; shocks are (days,) multipliers with mean one.

    Every clock runs at one per day on average (drift and shocks apart), so rates read as "per day".
    """
    first_day = int(days.as_unit("us").asi8[0] // DAY_US)
    weekday = days.day_of_week.to_numpy()
    working = np.where(weekday < 5, np.where(weekday == 4, 0.9, 1.0), 0.04)
    working = np.where(days.strftime("%m-%d").isin(_HOLIDAYS), np.minimum(working, 0.1), working)
    working = working * np.where(days.month == 8, 0.65, 1.0)

    to_month_end = (days.days_in_month - days.day).to_numpy()
    quarter_start = days.to_period("Q").start_time
    quarter_end = days.to_period("Q").end_time.normalize()
    to_quarter_end = ((quarter_end - days).days).to_numpy()
    since_quarter_start = ((days - quarter_start).days).to_numpy()

    # Sellers hurry before a quarter's end and rest after it; months' ends matter less.
    closing = np.where(to_quarter_end < 12, 1.0 + 3.0 * (12 - to_quarter_end) / 12, 1.0)
    closing = closing * np.where(since_quarter_start < 9, 0.65, 1.0)
    closing = closing * np.where((to_month_end < 3) & (to_quarter_end >= 12), 1.8, 1.0)
    years = (days - days[0]).days.to_numpy() / 365.25

    def per_day(weight: Floats) -> Floats:
        typical = weight[: 4 * 365 + 1]
        return weight / float(typical.mean())

    progress, win = per_day(working), per_day(working * closing) * np.exp(drift_per_year * years)
    if shift is not None:
        progress, win = progress * shift.factors(days, shift.pace), win * shift.factors(days, shift.win)
    return Calendar(
        progress=Clock.of(first_day, progress),
        win=Clock.of(first_day, win * win_shock),
        lose=Clock.of(first_day, per_day(working) * lose_shock),
        clean=Clock.of(first_day, np.where(to_month_end == 0, 1.0, 0.0), batch=True),
        touch=Clock.of(first_day, per_day(working)),
    )
