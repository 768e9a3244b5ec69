"""SurvivalBoost of hazardous: the published method for exactly this question.

Alberge, Maladiere, Grisel, Abécassis, Varoquaux, AISTATS 2025 (hal-04617672). Its fit builds all earlier trees'
predictions again in every round, so that its time grows with the square of the rounds; with `every_row` it takes
all rows, as its authors would, and hours with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from hazardous import SurvivalBoost

from forecast.arrays import Floats, Ints

__all__ = ["SurvivalBoostPeer"]


@dataclass
class SurvivalBoostPeer:
    """Its own settings, but the censoring estimated once by Kaplan-Meier.

    Landmarks are cut off where the data end, whatever the deal, which is what Kaplan-Meier assumes; to learn the
    censoring with boosting in turns takes longer and told nothing here.
    """

    name: ClassVar[str] = "survival_boost"
    label: ClassVar[str] = "SurvivalBoost (hazardous)"
    seed: int = 0
    most_rows: int | None = 6_000
    rounds: int = 100
    model: Any = None

    def fit(self, design: Floats, at_us: Ints, duration_days: Floats, cause: Ints) -> None:  # noqa: ARG002
        """Learn the incidences of both causes at horizons drawn at random."""
        self.model = SurvivalBoost(
            n_iter=self.rounds,
            ipcw_strategy="kaplan-meier",
            show_progressbar=False,
            random_state=self.seed,
        ).fit(design, pd.DataFrame({"event": np.asarray(cause, dtype=np.int64), "duration": duration_days}))

    def predict(self, design: Floats, at_us: Ints, horizons_days: Sequence[float]) -> Floats:  # noqa: ARG002
        """(n, 2, H); the method does not promise that incidence never falls, and nothing is mended."""
        found = self.model.predict_cumulative_incidence(design, times=np.asarray(horizons_days, dtype=np.float64))
        return np.asarray(found[:, 1:], dtype=np.float64)
