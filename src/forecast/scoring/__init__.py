"""Scores of open deals, the reasons behind them, and the questions that would move them."""

from forecast.scoring.questions import QUESTION_COLUMNS, answer_rates, open_questions
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
    "QUESTION_COLUMNS",
    "SCORE_COLUMNS",
    "answer_rates",
    "open_questions",
    "score_arrays",
    "score_columns",
    "score_deals",
    "score_open_deals",
]
