"""The usual way: a classifier trained on closed deals only, times how long won deals took.

P(won within h) = P(won | closed, what is known) x share of the stage's wins that came within h. It is wrong
in two ways that every such model shares: deals still open (slow ones, forgotten ones) teach it nothing, and
within a stage, who is likely to win and when are taken to be unrelated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.errors import UsageError
from forecast.features import build, spec_of
from forecast.history import WON, DatedRecords, History, Landmarks

__all__ = ["ClosedOnly"]

# Below this the trees cannot split once, and the share of wins stands for everyone.
_LEAST_DEALS: Final = 40
# A stage with fewer wins than this takes the times of all stages.
_LEAST_WINS: Final = 20
_SETTINGS: Final[dict[str, Any]] = {
    "objective": "binary",
    "num_leaves": 15,
    "learning_rate": 0.05,
    "min_data_in_leaf": 40,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_ROUNDS: Final = 150


@dataclass
class ClosedOnly:
    """LightGBM on landmarks of decided deals, every feature our own models have; needs the extra `train`."""

    name: ClassVar[str] = "closed_only"
    label: ClassVar[str] = "closed deals only"
    seed: int = 0
    share_won: float = 0.0
    days_to_win: Floats = field(default_factory=lambda: np.empty(0))
    days_by_stage: dict[int, Floats] = field(default_factory=dict)
    booster: Any = None

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Train on the landmarks whose deal was decided; the rest is dropped, as usual."""
        decided = landmarks.take(landmarks.cause != 0)
        won = decided.cause == WON
        self.days_to_win = np.sort(decided.duration_days[won])
        stage = history.stage(decided.deal[won], decided.at_us[won])
        self.days_by_stage = {
            int(code): np.sort(decided.duration_days[won][stage == code])
            for code, wins in zip(*np.unique(stage, return_counts=True), strict=True)
            if wins >= _LEAST_WINS
        }
        self.share_won = float(won.mean()) if len(decided) else 0.0
        self.booster = None
        if np.unique(decided.deal).size < _LEAST_DEALS or not 0.0 < self.share_won < 1.0:
            return
        lightgbm = _lightgbm()
        features, categories = _features(history, decided.deal, decided.at_us)
        # Landmarks of one deal share its outcome: each deal weighs the same, as one row a deal would.
        _, deal, count = np.unique(decided.deal, return_inverse=True, return_counts=True)
        train = lightgbm.Dataset(features, won.astype(float), weight=1.0 / count[deal])
        train.set_categorical_feature(categories)
        self.booster = lightgbm.train({**_SETTINGS, "seed": self.seed}, train, num_boost_round=_ROUNDS)

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H) chance of winning at all, times the share of the stage's wins within each horizon."""
        ever = np.full(len(deal), self.share_won)
        if self.booster is not None and len(deal):
            ever = np.asarray(self.booster.predict(_features(history, deal, at_us)[0], num_threads=1))
        by_then = np.empty((len(deal), len(horizons_days)))
        stage = history.stage(deal, at_us)
        for code in np.unique(stage):
            days = self.days_by_stage.get(int(code), self.days_to_win)
            within = np.searchsorted(days, np.asarray(horizons_days, dtype=np.float64), side="left")
            by_then[stage == code] = within / max(days.size, 1)
        return ever[:, None] * by_then


def _features(history: History, deal: Ints, at_us: Ints) -> tuple[Floats, list[int]]:
    """(n, F) values with NaN where unknown, and which columns are codes of categories."""
    matrix = build(history, deal, at_us, DatedRecords.of(history))
    return matrix.values.T, [
        column for column, name in enumerate(matrix.names) if spec_of(name).kind == "category"
    ]


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError as error:
        raise UsageError(
            "the baseline 'closed deals only' needs LightGBM; run: pip install 'forecast[train]'",
            code="missing_extra",
        ) from error
    return lightgbm
