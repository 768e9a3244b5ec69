"""A random survival forest per cause with scikit-survival.

scikit-survival knows one event. Its cumulative hazard with the other cause censored is a cause-specific one,
and two of those make incidences. Of its estimators the forest was taken because it bends and needs no
proportional hazards; its gradient boosting and extra trees were further from the simulator's truth at the
same size, and its Coxnet is the Cox model that lifelines stands for already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from sksurv.ensemble import RandomSurvivalForest

from benchmarks.peers.interface import incidence_of_hazards, on_grid
from forecast.arrays import Floats, Ints

__all__ = ["ForestPeer"]

# Every leaf holds a curve over all distinct times: few times keep memory and the log-rank splits affordable.
_GRID_DAYS: Final = np.concatenate(
    (
        np.arange(1.0, 31.0),
        np.arange(35.0, 121.0, 5.0),
        np.arange(130.0, 401.0, 10.0),
        np.arange(430.0, 761.0, 30.0),
    )
)
_SETTINGS: Final[dict[str, Any]] = {
    "min_samples_leaf": 15,
    "max_features": "sqrt",
    "n_jobs": 1,
}


@dataclass
class ForestPeer:
    """Two forests, on at most 6,000 rows."""

    name: ClassVar[str] = "forest"
    label: ClassVar[str] = "survival forest (scikit-survival)"
    seed: int = 0
    most_rows: int | None = 6_000
    trees: int = 100
    forests: list[Any] = field(default_factory=list)

    def fit(self, design: Floats, at_us: Ints, duration_days: Floats, cause: Ints) -> None:  # noqa: ARG002
        """One forest a cause, the other cause censored."""
        outcome = np.empty(len(design), dtype=[("happened", bool), ("days", np.float64)])
        outcome["days"] = on_grid(duration_days, _GRID_DAYS)
        self.forests = []
        for which in (1, 2):
            outcome["happened"] = cause == which
            self.forests.append(
                RandomSurvivalForest(self.trees, random_state=self.seed, **_SETTINGS).fit(design, outcome)
            )

    def predict(self, design: Floats, at_us: Ints, horizons_days: Sequence[float]) -> Floats:  # noqa: ARG002
        """(n, 2, H); between two times of the grid the incidence rises evenly."""
        hazards = []
        for forest in self.forests:
            found = forest.predict_cumulative_hazard_function(design, return_array=True)
            place = np.searchsorted(forest.unique_times_, _GRID_DAYS, side="right")
            hazards.append(np.column_stack((np.zeros(len(design)), found))[:, place])
        incidence = incidence_of_hazards(*hazards)
        return along(np.concatenate(([0.0], _GRID_DAYS)), incidence, horizons_days)


def along(times_days: Floats, incidence: Floats, horizons_days: Sequence[float]) -> Floats:
    """(n, 2, H) values between (T,) times of (n, 2, T) curves, on straight lines."""
    at = np.clip(np.asarray(horizons_days, dtype=np.float64), times_days[0], times_days[-1])
    upper = np.clip(np.searchsorted(times_days, at, side="left"), 1, len(times_days) - 1)
    part = (at - times_days[upper - 1]) / (times_days[upper] - times_days[upper - 1])
    found: Floats = incidence[:, :, upper - 1] * (1.0 - part) + incidence[:, :, upper] * part
    return found
