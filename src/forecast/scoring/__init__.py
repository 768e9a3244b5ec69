"""Scores of open deals and of open leads, the reasons behind them, and the questions that would move them."""

from forecast.scoring.leads import (
    LEAD_SCORE_COLUMNS,
    lead_models,
    score_lead_arrays,
    score_leads,
    score_open_leads,
)
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
    "LEAD_SCORE_COLUMNS",
    "QUESTION_COLUMNS",
    "SCORE_COLUMNS",
    "answer_rates",
    "lead_models",
    "open_questions",
    "score_arrays",
    "score_columns",
    "score_deals",
    "score_lead_arrays",
    "score_leads",
    "score_open_deals",
    "score_open_leads",
]
