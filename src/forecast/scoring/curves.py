"""A deal's chances over time: won and lost by each of a few days, as one draws them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.history import History
from forecast.periods import as_of_us

__all__ = ["CURVE_DAYS", "win_and_loss"]

CURVE_DAYS: Final = (7, 14, 21, 30, 45, 60, 90, 120, 150, 180, 240, 300, 365, 540, 730)
"""Days after the as-of moment; the horizons of docs/scores.md are among them, and the cap is the last."""
_BLOCK: Final = 4_096


def win_and_loss(history: History, bundle: Bundle, deal: Ints, as_of: pd.Timestamp) -> tuple[Floats, Floats]:
    """(n, D) chances of being won, and of being lost, by each of CURVE_DAYS, of given open deals.

    At the horizons of the scores these are their columns, but for rounding in the last place.
    """
    models, at_us = bundle.models, as_of_us(as_of)
    days = np.array(CURVE_DAYS, dtype=np.float64)
    cells = models.cells(at_us, days)
    features = models.features(history, deal, np.full(len(deal), at_us))
    won, lost = np.empty((len(deal), len(days))), np.empty((len(deal), len(days)))
    for start in range(0, len(deal), _BLOCK):
        rows = slice(start, start + _BLOCK)
        curves = cells.curves(models.log_hazard(features.take(rows)))
        won[rows], lost[rows] = curves.won_by(days), curves.lost_by(days)
    return won, lost
