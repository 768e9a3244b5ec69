"""The Aalen-Johansen estimate: how often deals were won within h days, with losses competing and censoring.

For all open deals together it is the base rate, by stage it is the strongest rule without a model. Text-book
form: at every time somebody won, the share still open before it times the share of those at risk that won.
Source: Aalen and Johansen, Scandinavian Journal of Statistics 5 (1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import WON, History, Landmarks

__all__ = ["AalenJohansenByStage", "BaseRate", "aalen_johansen"]

_NOTHING: Final = (np.empty(0), np.zeros(1))


def aalen_johansen(landmarks: Landmarks) -> tuple[Floats, Floats]:
    """Cumulative incidence of winning: distinct times in days (k,), and (k + 1,) values.

    `values[i]` is P(won before or at the i-th time); look up P(won within h) with
    `searchsorted(times, h, side="left")`, for within is half-open.
    """
    if not len(landmarks):
        return _NOTHING
    times, place = np.unique(landmarks.duration_days, return_inverse=True)
    weight, cause = landmarks.weight, landmarks.cause

    def at_each_time(rows: Floats) -> Floats:
        return np.bincount(place, weights=rows, minlength=times.size).astype(np.float64)

    at_risk = np.cumsum(at_each_time(weight)[::-1])[::-1]
    decided = at_each_time(weight * (cause != 0)) / at_risk
    won = at_each_time(weight * (cause == WON)) / at_risk
    open_before = np.concatenate([[1.0], np.cumprod(1.0 - decided)[:-1]])
    return times, np.concatenate([[0.0], np.cumsum(open_before * won)])


@dataclass
class BaseRate:
    """Every deal gets the share of open deals that were won within h days."""

    name: ClassVar[str] = "base_rate"
    label: ClassVar[str] = "base rate"
    curve: tuple[Floats, Floats] = _NOTHING

    def fit(self, history: History, landmarks: Landmarks) -> None:  # noqa: ARG002  (the interface)
        """Learn one curve."""
        self.curve = aalen_johansen(landmarks)

    def predict(
        self,
        history: History,  # noqa: ARG002  (the interface)
        deal: Ints,
        at_us: Ints,  # noqa: ARG002  (the interface)
        horizons_days: Sequence[float],
    ) -> Floats:
        """(n, H), every row the same."""
        return np.tile(_at(self.curve, horizons_days), (len(deal), 1))


@dataclass
class AalenJohansenByStage:
    """Every deal gets the share of open deals of its stage that were won within h days.

    A stage never seen in training gets the curve of all stages together.
    """

    name: ClassVar[str] = "aalen_johansen"
    label: ClassVar[str] = "Aalen-Johansen by stage"
    everyone: tuple[Floats, Floats] = _NOTHING
    by_stage: dict[int, tuple[Floats, Floats]] = field(default_factory=dict)

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Learn one curve a stage."""
        stage = history.stage(landmarks.deal, landmarks.at_us)
        self.everyone = aalen_johansen(landmarks)
        self.by_stage = {
            int(code): aalen_johansen(landmarks.take(stage == code)) for code in np.unique(stage)
        }

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H) by the stage as known before each moment."""
        stage, place = np.unique(history.stage(deal, at_us), return_inverse=True)
        curves = [_at(self.by_stage.get(int(code), self.everyone), horizons_days) for code in stage]
        return np.stack(curves)[place] if curves else np.empty((0, len(horizons_days)))


def _at(curve: tuple[Floats, Floats], horizons_days: Sequence[float]) -> Floats:
    times, values = curve
    return values[np.searchsorted(times, np.asarray(horizons_days, dtype=np.float64), side="left")]
