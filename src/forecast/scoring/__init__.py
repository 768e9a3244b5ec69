"""Scores of open deals and of open leads, why, what would move them, and which will never be decided."""

from forecast.scoring.curves import CURVE_DAYS, win_and_loss
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
from forecast.scoring.undecided import UNDECIDED_COLUMNS, Followed, followed, no_decision, undecided_sums

__all__ = [
    "CURVE_DAYS",
    "HORIZONS_DAYS",
    "LEAD_SCORE_COLUMNS",
    "QUESTION_COLUMNS",
    "SCORE_COLUMNS",
    "UNDECIDED_COLUMNS",
    "Followed",
    "answer_rates",
    "followed",
    "lead_models",
    "no_decision",
    "open_questions",
    "score_arrays",
    "score_columns",
    "score_deals",
    "score_lead_arrays",
    "score_leads",
    "score_open_deals",
    "score_open_leads",
    "undecided_sums",
    "win_and_loss",
]
