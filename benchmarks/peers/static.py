"""Classifiers on closed deals: for tables that know how deals ended, and not when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import lightgbm
import numpy as np
from sklearn.linear_model import LogisticRegression

from forecast.arrays import Floats, Ints

__all__ = ["LogisticPeer", "TreesPeer"]

# Small trees and many rounds: for a few hundred rows.
_TREES: Final[dict[str, Any]] = {
    "objective": "binary",
    "num_leaves": 6,
    "learning_rate": 0.04,
    "min_data_in_leaf": 8,
    "lambda_l2": 5.0,
    "feature_fraction": 0.6,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_ROUNDS: Final = 120


@dataclass
class LogisticPeer:
    """P(won | closed), the same at every horizon; who is not won is lost."""

    name: ClassVar[str] = "logistic"
    label: ClassVar[str] = "logistic regression (scikit-learn)"
    most_rows: int | None = None
    penalty: float = 10.0
    model: Any = None

    def fit(self, design: Floats, at_us: Ints, duration_days: Floats, cause: Ints) -> None:  # noqa: ARG002
        """Learn from the landmarks whose deal was decided."""
        decided = cause != 0
        self.model = LogisticRegression(C=1.0 / self.penalty, max_iter=1_000).fit(
            design[decided], cause[decided] == 1
        )

    def predict(self, design: Floats, at_us: Ints, horizons_days: Sequence[float]) -> Floats:  # noqa: ARG002
        """(n, 2, H)."""
        return _ever(self.model.predict_proba(design)[:, 1], len(horizons_days))


@dataclass
class TreesPeer:
    """LightGBM, the same at every horizon."""

    name: ClassVar[str] = "trees"
    label: ClassVar[str] = "boosted trees (LightGBM)"
    seed: int = 0
    most_rows: int | None = None
    booster: Any = None

    def fit(self, design: Floats, at_us: Ints, duration_days: Floats, cause: Ints) -> None:  # noqa: ARG002
        """Learn from the landmarks whose deal was decided."""
        decided = cause != 0
        train = lightgbm.Dataset(design[decided], (cause[decided] == 1).astype(np.float64))
        self.booster = lightgbm.train({**_TREES, "seed": self.seed}, train, num_boost_round=_ROUNDS)

    def predict(self, design: Floats, at_us: Ints, horizons_days: Sequence[float]) -> Floats:  # noqa: ARG002
        """(n, 2, H)."""
        return _ever(np.asarray(self.booster.predict(design, num_threads=1)), len(horizons_days))


def _ever(won: Floats, horizons: int) -> Floats:
    """(n, 2, H) of a chance that knows no time."""
    return np.repeat(np.stack((won, 1.0 - won), axis=1)[:, :, None], horizons, axis=2)
