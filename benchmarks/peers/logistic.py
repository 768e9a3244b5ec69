"""Logistic regression on closed deals: for tables that know how deals ended, and not when."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.linear_model import LogisticRegression

from forecast.arrays import Floats, Ints

__all__ = ["LogisticPeer"]


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
        won = self.model.predict_proba(design)[:, 1]
        return np.repeat(np.stack((won, 1.0 - won), axis=1)[:, :, None], len(horizons_days), axis=2)
