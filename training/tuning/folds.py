"""Inner temporal folds: what settings are compared on, all of it before the period that measures the result.

Each fold has an origin. Models learn from what was recorded before it and are asked about the deals open at
weekly looks after it; what is seen of their fate ends with the fold. All folds end where the held-out period
begins, or earlier, so nothing that is recorded in it can move a choice.

E.g. held out from 5 July 2025, horizons of 30 and 90 days: folds of 180 days begin on 6 January 2025,
8 October 2024, 10 July and 11 April, each 90 days before the one after it. A look of 1 March 2025 counts at
30 and at 90 days in the first of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.errors import DataError
from forecast.evaluation.metrics import won_within
from forecast.history import History, Landmarks, make_landmarks
from forecast.models import FittedModels
from forecast.periods import DAY_US, as_of_us

__all__ = ["Fold", "Looks", "choose_folds"]

_FOLDS: Final = 4
_LEAST_STEP_DAYS: Final = 14
# The first origin has at least this share of what lies before the held-out period to learn from.
_LEARNT_SHARE: Final = 1 / 3


@dataclass(frozen=True, slots=True)
class Fold:
    """Learnt before `origin`, asked about and seen in [origin, end).

    horizons_days : those that can be followed inside
    """

    origin: pd.Timestamp
    end: pd.Timestamp
    horizons_days: tuple[int, ...]


def choose_folds(history: History, before: pd.Timestamp, horizons_days: tuple[int, ...]) -> tuple[Fold, ...]:
    """Rolling origins, the newest first, whose folds end at `before` or earlier.

    A fold is as long as two of the longest horizon, less where history is short; up to four are laid, at
    least two weeks apart. Raises DataError if there is no room for two.
    """
    until_us = as_of_us(before)
    known = history.known_from_us()
    span = (until_us - int(known.min(initial=until_us))) / DAY_US
    room = span * (1 - _LEARNT_SHARE)
    horizons = tuple(sorted(horizons_days))
    while horizons and horizons[0] + horizons[-1] + _LEAST_STEP_DAYS > room:
        horizons = horizons[:-1]
    if not horizons:
        raise DataError(
            f"{span:.0f} days of history before {before:%Y-%m-%d}, where the held-out period begins, are too "
            f"few to compare settings on; {min(horizons_days)} days ahead need "
            f"{(2 * min(horizons_days) + _LEAST_STEP_DAYS) / (1 - _LEARNT_SHARE):.0f}",
            code="too_short",
        )
    shortest, longest = horizons[0] + horizons[-1], 2 * horizons[-1]
    length = min(max(int(span / 3), shortest), longest)
    count = min(_FOLDS, 1 + int((room - length) // _LEAST_STEP_DAYS))
    if count < 2:
        length, count = shortest, 2
    step = min(int((room - length) / (count - 1)), max(horizons[-1], _LEAST_STEP_DAYS))
    return tuple(
        Fold(
            (before - pd.Timedelta(days=number * step + length)).floor("D"),
            before - pd.Timedelta(days=number * step),
            horizons,
        )
        for number in range(count)
    )


@dataclass(frozen=True)
class Looks:
    """What a fold asks, and how answers are scored.

    landmarks : n weekly looks, cut off at the fold's end
    won, weight : (n, H) whether the deal was won within each horizon; weights that sum to 1 over the looks,
        0 where the horizon reaches beyond the fold. A horizon at which all fared alike weighs nothing
    """

    fold: Fold
    landmarks: Landmarks
    won: Floats
    weight: Floats

    @classmethod
    def of(cls, history: History, fold: Fold, every_days: float) -> Looks:
        """Lay the looks of a fold."""
        end_us = as_of_us(fold.end)
        marks = make_landmarks(
            history, until_us=end_us, first_us=as_of_us(fold.origin), every_days=every_days
        )
        follow_up_days = (end_us - marks.at_us) / DAY_US
        won, weight = [], []
        for horizon in fold.horizons_days:
            label = won_within(marks.duration_days, marks.cause, horizon, follow_up_days=follow_up_days)
            # In units of what a constant leaves over, or days with few wins would count for nothing.
            total = label.weight.sum()
            share = float(label.outcome @ label.weight) / total if total else 0.0
            unit = share * (1.0 - share) * total
            won.append(label.outcome)
            weight.append(label.weight / unit if unit > 0.0 else np.zeros(len(marks)))
        return cls(fold, marks, np.column_stack(won), np.column_stack(weight))

    def losses(self, models: FittedModels, history: History) -> Floats:
        """(D,) what each deal of the history adds to the fold's loss.

        Their sum is the Brier score as a share of that of the best constant, averaged over horizons: 0 is
        perfect, 1 is no better than the constant.
        """
        marks: Landmarks = self.landmarks
        chance = models.win_probability(history, marks.deal, marks.at_us, self.fold.horizons_days)
        deal: Ints = marks.deal
        each = (self.weight * (self.won - chance) ** 2).sum(axis=1) / max(self.scored, 1)
        found: Floats = np.bincount(deal, each, minlength=len(history)).astype(np.float64)
        return found

    @property
    def scored(self) -> int:
        """Number of horizons that tell forecasts apart."""
        return int((self.weight.sum(axis=0) > 0.0).sum())
