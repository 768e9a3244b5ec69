"""Past periods as rules of thumb look at them: which are complete, and where in them today would be."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forecast.history import History
from forecast.history.history import NEVER_US
from forecast.periods import Kind, Period, to_timestamp

__all__ = [
    "booked_between",
    "complete_periods",
    "nothing_known",
    "owner_sums",
    "same_moment_us",
    "year_before",
]


def booked_between(history: History, as_of_us: int, start_us: int, end_us: int) -> pd.DataFrame:
    """Deals won in [start, end), known before `as_of_us`: deal_id, owner_id, amount (0 if unknown)."""
    booked = history.booked(as_of_us, start_us, end_us)[["deal_id", "owner_id", "amount"]]
    return booked.assign(amount=booked["amount"].fillna(0.0))


def complete_periods(history: History, as_of_us: int, kind: Kind, most: int) -> list[Period]:
    """At most `most` periods of that kind that were over and wholly recorded before `as_of_us`, newest first.

    The first one recorded is the one that starts when the first deal was known, or the next: of an earlier one
    nobody knows what was booked before.
    """
    known_us = history.known_from_us()
    first_us = int(known_us.min(initial=NEVER_US))
    found: list[Period] = []
    if first_us >= as_of_us:
        return found
    period = Period.containing(to_timestamp(as_of_us), kind).previous()
    while len(found) < most and period.start_us >= first_us:
        found.append(period)
        period = period.previous()
    return found


def same_moment_us(as_of_us: int, period: Period, other: Period) -> int:
    """The moment that lies in `other` where `as_of_us` lies in `period`, by the share of it that has passed.

    E.g. 15 February is half of a first quarter of 90 days; half of a third quarter of 92 is 16 August.
    Before the period's start the share is below 0: the moment lies as long before the other's start.
    """
    share = (as_of_us - period.start_us) / (period.end_us - period.start_us)
    return other.start_us + round(share * (other.end_us - other.start_us))


def year_before(period: Period) -> Period:
    """The same month, quarter or year one year earlier."""
    return Period.containing(period.start - pd.DateOffset(years=1), period.kind)


def owner_sums(rows: pd.DataFrame) -> pd.DataFrame:
    """Columns owner_id, amount: one row an owner, in order of first appearance; unknown owners together."""
    return rows.groupby("owner_id", dropna=False, sort=False)["amount"].sum().reset_index()


def nothing_known() -> pd.DataFrame:
    """The rest of a rule that has nothing to say: one row of an unknown owner with NaN."""
    return pd.DataFrame({"owner_id": pd.array([None], dtype="str"), "amount": [np.nan]})
