"""A deal's chances over time: won and lost by each of a few days, as one draws them."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.history import History
from forecast.periods import Period, as_of_us
from forecast.scoring.scores import marks_and_span

__all__ = ["CURVE_DAYS", "win_and_loss"]

CURVE_DAYS: Final = (7, 14, 21, 30, 45, 60, 90, 120, 150, 180, 240, 300, 365, 540, 730)
"""Days after the as-of moment; the horizons of docs/scores.md are among them, and the cap is the last."""
_BLOCK: Final = 4_096


def win_and_loss(
    history: History, bundle: Bundle, deal: Ints, as_of: pd.Timestamp, period: Period | None = None
) -> tuple[Floats, Floats]:
    """(n, D) chances of being won, and of being lost, by each of CURVE_DAYS, of given open deals.

    period : of the scores the curve stands beside. The time axis is theirs, so at their horizons the curve
        is their columns; between its edges, days apart, it runs straight.
    """
    models, at_us = bundle.models, as_of_us(as_of)
    cells = models.cells(at_us, marks_and_span(as_of, period)[0])
    days, edges = np.array(CURVE_DAYS, dtype=np.float64), cells.edges_days
    after = np.searchsorted(edges, days - 1e-9).clip(1, len(edges) - 1)
    part = np.clip((days - edges[after - 1]) / (edges[after] - edges[after - 1]), 0.0, 1.0)

    def on_days(at_edges: Floats) -> Floats:
        before, behind = at_edges[:, after - 1], at_edges[:, after]
        found: Floats = np.where(part > 1.0 - 1e-9, behind, before + part * (behind - before))
        return found

    features = models.features(history, deal, np.full(len(deal), at_us))
    won, lost = np.empty((len(deal), len(days))), np.empty((len(deal), len(days)))
    for start in range(0, len(deal), _BLOCK):
        rows = slice(start, start + _BLOCK)
        curves = cells.curves(models.log_hazard(features.take(rows)))
        won[rows] = on_days(curves.won)
        lost[rows] = on_days(np.maximum(curves.decided - curves.won, 0.0))
    return won, lost
