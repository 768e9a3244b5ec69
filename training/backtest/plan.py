"""Which quarters are tested, and from which moments each of them is forecast.

E.g. data until 31 December 2025, two quarters, weeks 0 and 12: 2025Q3 as of 1 July and 23 September, 2025Q4 as
of 1 October and 24 December.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

import pandas as pd

from forecast.errors import DataError
from forecast.history import History
from forecast.periods import Period, to_timestamp

__all__ = ["Origin", "Plan", "make_plan"]

# A quarter with no more than this to go counts as complete: data often end on the evening of its last day.
_COMPLETE_WITHIN: Final = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Origin:
    """One moment from which a quarter is forecast.

    before : the look before it in the same quarter, None for the first
    after : the next look in the same quarter, or the quarter's end
    """

    period: Period
    week: int
    as_of: pd.Timestamp
    before: pd.Timestamp | None
    after: pd.Timestamp

    @property
    def name(self) -> str:
        """For people, e.g. `2025Q3 week 2`."""
        return f"{self.period.label} week {self.week}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All origins, in order of time, and plain sentences about what had to be left out."""

    origins: tuple[Origin, ...]
    notes: tuple[str, ...]

    @property
    def quarters(self) -> tuple[Period, ...]:
        """The quarters tested, oldest first."""
        return tuple(period for period, _ in groupby(self.origins, key=lambda origin: origin.period))


def make_plan(
    history: History,
    until: pd.Timestamp,
    *,
    quarters: int,
    weeks: Sequence[int],
    min_history_days: float,
) -> Plan:
    """The last complete quarters before `until`, each forecast from the given weeks.

    weeks : whole weeks after the quarter's start
    min_history_days : a quarter is left out if less than this was recorded before its start
    Raises DataError if not one quarter can be tested.
    """
    known_us = history.known_from_us()
    first = to_timestamp(int(known_us.min())) if len(known_us) else until
    learnt = pd.Timedelta(days=min_history_days)
    period = Period.containing(until + _COMPLETE_WITHIN).previous()
    found: list[Period] = []
    while len(found) < quarters and period.start - learnt >= first:
        found.append(period)
        period = period.previous()
    if not found:
        raise DataError(
            f"no quarter can be tested: what was recorded runs from {first:%Y-%m-%d} to {until:%Y-%m-%d}, and "
            f"a quarter needs {min_history_days:g} days before it to learn from; bring more history or lower "
            "backtest.min_history_days",
            code="too_little_history",
        )
    notes = []
    if len(found) < quarters:
        few = "1 quarter" if len(found) == 1 else f"{len(found)} quarters"
        notes.append(
            f"{quarters} quarters were asked for; with a history from {first:%Y-%m-%d} to {until:%Y-%m-%d} "
            f"only {few} can be tested."
        )
    origins: list[Origin] = []
    for quarter in reversed(found):
        moments = [quarter.start + pd.Timedelta(weeks=week) for week in sorted(set(weeks))]
        ends = [*moments[1:], quarter.end]
        befores = [None, *moments[:-1]]
        origins += [
            Origin(quarter, week, moment, before, after)
            for week, moment, before, after in zip(sorted(set(weeks)), moments, befores, ends, strict=True)
        ]
    return Plan(tuple(origins), tuple(notes))
