"""A held-out period, and models of a known quality in place of fits that take seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forecast.history import WON, History
from forecast.periods import DAY_US
from training.holdout import Holdout

HOLDOUT = Holdout(
    pd.Timestamp("2025-07-04", tz="UTC"), pd.Timestamp("2026-01-01", tz="UTC"), (30, 90), quarter=None
)


@dataclass(frozen=True)
class Oracle:
    """Knows what comes, and says so with a strength from 0 (nothing) to 1 (everything)."""

    strength: float

    def win_probability(self, history: History, deal: Any, at_us: Any, horizons_days: Any) -> Any:
        won = history.closings.kind == WON
        first = np.full(len(history), np.iinfo(np.int64).max)
        np.minimum.at(first, history.closings.deal[won], history.closings.at_us[won])
        after_us = first[deal][:, None] - np.asarray(at_us)[:, None]
        comes = (after_us >= 0) & (after_us < np.asarray(horizons_days) * DAY_US)
        return 0.15 + self.strength * (comes - 0.15)
