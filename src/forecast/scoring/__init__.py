"""Scores of open deals and the reasons behind them."""

from forecast.scoring.scores import (
    HORIZONS_DAYS,
    SCORE_COLUMNS,
    score_arrays,
    score_columns,
    score_deals,
    score_open_deals,
)

__all__ = [
    "HORIZONS_DAYS",
    "SCORE_COLUMNS",
    "score_arrays",
    "score_columns",
    "score_deals",
    "score_open_deals",
]
