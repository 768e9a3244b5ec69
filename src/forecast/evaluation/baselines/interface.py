"""The interfaces of a baseline: of a deal's chances, and of a period's bookings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.history import History, Landmarks
from forecast.periods import Period

__all__ = ["Baseline", "BookingsBaseline", "PeriodForecast"]


class Baseline(Protocol):
    """P(won within h days) by some rule.

    To add one, implement these two methods and list it in `all_baselines`. A baseline reads a deal only
    through the as-of look-ups of `History`, and learns outcomes only from the landmarks, which are cut off at
    the end of what may be known: so none can see the future.
    """

    name: ClassVar[str]  # in tables and metric names: lower case, no blanks
    label: ClassVar[str]  # for people

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Learn from landmarks of this history."""
        ...

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H) probability that each deal, open as known before its moment, is won within each horizon.

        deal, at_us : (n,) deals of `history` and the moments they are looked at
        """
        ...


@dataclass(frozen=True, slots=True)
class PeriodForecast:
    """Bookings of a period by some rule, in its three parts; amounts in the reporting currency.

    booked: deal_id, owner_id, amount of deals won in the period so far
    open: deal_id, owner_id, amount expected of each open deal; empty for rules that look at totals only
    rest: owner_id, amount expected of everything else: deals not yet created or pulled in; for rules that look
        at totals, all that is still to come. Empty for rules that forget it; one NaN for a rule that has
        nothing to say of this period

    Each part can be summed over the owners of a team, a region or the company: parts add up to the whole.
    """

    booked: pd.DataFrame
    open: pd.DataFrame
    rest: pd.DataFrame

    @property
    def expected(self) -> float:
        """Of the company: the sum of the three parts; NaN if the rule has nothing to say."""
        return float(sum(part["amount"].sum(skipna=False) for part in (self.booked, self.open, self.rest)))

    def by_owner(self) -> pd.DataFrame:
        """Columns owner_id, booked, open, rest, expected: one row an owner, sorted, unknown owners last."""
        parts = {
            name: part.groupby("owner_id", dropna=False)["amount"].sum(min_count=1)
            for name, part in (("booked", self.booked), ("open", self.open), ("rest", self.rest))
        }
        table = pd.DataFrame(parts).astype("float64").fillna(0.0)
        if self.rest["amount"].isna().any():
            table["rest"] = float("nan")
        table["expected"] = table[["booked", "open", "rest"]].sum(axis=1, skipna=False)
        return table.rename_axis("owner_id").reset_index()


class BookingsBaseline(Protocol):
    """Bookings of a period by some rule.

    To add one, implement this method and list it in `all_bookings_baselines`. Whatever the rule has to learn
    from past periods it learns here, from what was recorded before the moment it is asked at.
    """

    name: ClassVar[str]  # in tables and metric names: lower case, no blanks
    label: ClassVar[str]  # for people

    def forecast(self, history: History, as_of_us: int, period: Period) -> PeriodForecast:
        """What is booked in the period and what will still come, as known before `as_of_us`."""
        ...
