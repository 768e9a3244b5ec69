"""The Aalen-Johansen estimate: how often deals were won within h days, with losses competing and censoring.

For all open deals together it is the base rate, by stage it is the strongest rule without a model. The
estimate itself stands in `evaluation.metrics.incidence`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.evaluation.metrics import cumulative_incidence, incidence_at
from forecast.history import History, Landmarks

__all__ = ["AalenJohansenByStage", "BaseRate", "aalen_johansen"]

_NOTHING: Final = (np.empty(0), np.zeros(1))


def aalen_johansen(landmarks: Landmarks) -> tuple[Floats, Floats]:
    """Cumulative incidence of winning: distinct times in days (k,), and (k + 1,) values.

    `values[i]` is P(won before or at the i-th time); `incidence_at` looks up P(won within h).
    """
    return cumulative_incidence(landmarks.duration_days, landmarks.cause, weight=landmarks.weight)


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
        return np.tile(incidence_at(self.curve, horizons_days), (len(deal), 1))


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
        curves = [incidence_at(self.by_stage.get(int(code), self.everyone), horizons_days) for code in stage]
        return np.stack(curves)[place] if curves else np.empty((0, len(horizons_days)))
