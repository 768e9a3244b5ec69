"""Discrete time: LightGBM on a row per deal and span of time, with three classes: won, lost, neither in it.

The strongest simple way to let trees speak of time. A row knows the deal's features as of the landmark, which
span it is, and where in the calendar the span begins; so the quarter's end can be learnt, as far as the spans
are short enough to see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import lightgbm
import numpy as np
import pandas as pd

from benchmarks.peers.forest import along
from forecast.arrays import Floats, Ints
from forecast.periods import DAY_US

__all__ = ["PersonPeriodPeer"]

_EDGES_DAYS: Final = np.array(
    [0, 1, 2, 4, 7, 11, 16, 23, 32, 45, 60, 80, 105, 135, 170, 215, 270, 340, 430, 540, 730], dtype=np.float64
)
_SPANS: Final = len(_EDGES_DAYS) - 1
# The place in the quarter is told only to those who have seen two quarters: in one it is the date itself.
_TWO_QUARTERS_DAYS: Final = 180.0
_LAST_DAYS: Final = 10.0
_SETTINGS: Final[dict[str, Any]] = {
    "objective": "multiclass",
    "num_class": 3,
    "num_leaves": 15,
    "learning_rate": 0.1,
    "min_data_in_leaf": 50,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_ROUNDS: Final = 150
_BLOCK: Final = 4_096


@dataclass
class PersonPeriodPeer:
    """At most 30,000 landmarks, which become about ten rows each."""

    name: ClassVar[str] = "person_period"
    label: ClassVar[str] = "person-period LightGBM"
    seed: int = 0
    most_rows: int | None = 30_000
    quarters: bool = False
    booster: Any = None

    def fit(self, design: Floats, at_us: Ints, duration_days: Floats, cause: Ints) -> None:
        """A row for each span that was seen to its end or in which the deal ended."""
        self.quarters = bool(np.ptp(at_us) >= _TWO_QUARTERS_DAYS * DAY_US)
        last = np.clip(np.searchsorted(_EDGES_DAYS, duration_days, side="right") - 1, 0, _SPANS - 1)
        # Where a landmark was cut off within a span, nobody knows how that span ended.
        spans = np.where((cause == 0) & (duration_days < _EDGES_DAYS[last + 1]), last, last + 1)
        row = np.repeat(np.arange(len(design)), spans)
        span = np.arange(len(row)) - np.repeat(np.cumsum(spans) - spans, spans)
        ended = np.where(span == last[row], cause[row], 0)
        train = lightgbm.Dataset(self._rows(design, at_us, row, span), ended, params={"max_bin": 127})
        self.booster = lightgbm.train({**_SETTINGS, "seed": self.seed}, train, num_boost_round=_ROUNDS)

    def predict(self, design: Floats, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, 2, H); within a span the incidence rises evenly."""
        parts = []
        for start in range(0, max(len(design), 1), _BLOCK):
            block, at = design[start : start + _BLOCK], at_us[start : start + _BLOCK]
            row, span = np.repeat(np.arange(len(block)), _SPANS), np.tile(np.arange(_SPANS), len(block))
            rows = self._rows(block, at, row, span)
            chance = np.asarray(self.booster.predict(rows, num_threads=1)).reshape(len(block), _SPANS, 3)
            still = np.cumprod(chance[:, :, 0], axis=1)
            still = np.concatenate((np.ones((len(block), 1)), still[:, :-1]), axis=1)
            curve = np.zeros((len(block), 2, _SPANS + 1))
            curve[:, :, 1:] = np.cumsum(still[:, :, None] * chance[:, :, 1:], axis=1).transpose(0, 2, 1)
            parts.append(along(_EDGES_DAYS, curve, horizons_days))
        return np.concatenate(parts)

    def _rows(self, design: Floats, at_us: Ints, row: Ints, span: Ints) -> Any:
        """(r, P + 4) features of each row's deal, its span, and where in week and quarter the span lies."""
        begins_us = at_us[row] + (_EDGES_DAYS[span] * DAY_US).astype(np.int64)
        begins = pd.to_datetime(begins_us, unit="us")
        if self.quarters:
            day = begins_us / DAY_US
            end = (begins.to_period("Q").end_time.normalize() + pd.Timedelta(days=1)).as_unit(
                "us"
            ).asi8 / DAY_US
            to_end = end - day
            width = np.diff(_EDGES_DAYS)[span]
            late = np.clip(np.minimum(width, to_end) - np.maximum(to_end - _LAST_DAYS, 0.0), 0.0, None)
            place = (to_end, late)
        else:
            place = (np.zeros(len(row)), np.zeros(len(row)))
        extra = np.column_stack((span, begins.day_of_week, *place))
        return np.column_stack((design[row].astype(np.float32), extra.astype(np.float32)))
