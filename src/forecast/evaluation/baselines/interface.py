"""The interface of a baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

from forecast.arrays import Floats, Ints
from forecast.history import History, Landmarks

__all__ = ["Baseline"]


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
