"""Scores of open leads: will one be converted, will it become a won deal, and why.

Columns and their order are a contract (docs/scores.md).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.errors import BundleError
from forecast.features import FrozenCustomers
from forecast.history import History
from forecast.models import HORIZON_CAP_DAYS, LeadModels
from forecast.models.leads import RANKED_BY_DAYS
from forecast.periods import as_of_us
from forecast.scoring.reasons import Chances, Explainer
from forecast.scoring.scores import column_of

__all__ = ["LEAD_SCORE_COLUMNS", "lead_models", "score_lead_arrays", "score_leads", "score_open_leads"]

_BLOCK: Final = 4_096
LEAD_SCORE_COLUMNS: Final = (
    "lead_id", "as_of", "owner_id", "source", "converted_30d", "converted_90d", "disqualified_90d",
    "becomes_won", "score", "grade", "reasons",
)  # fmt: skip


def lead_models(bundle: Bundle) -> LeadModels:
    """The models of leads of a bundle; BundleError if it was trained without any lead."""
    if bundle.leads is None:
        raise BundleError(
            f"bundle {bundle.short_id} cannot score leads: the data it was trained on held none before "
            f"{bundle.trained_until:%Y-%m-%d}; add a leads table and train again",
            code="no_lead_models",
        )
    return bundle.leads


def score_open_leads(
    history: History, bundle: Bundle, as_of: pd.Timestamp, *, reasons: int = 5, locale: str = "en"
) -> pd.DataFrame:
    """Score every lead open as of `as_of`, in order of lead id; columns of the contract.

    history : of leads, see `forecast.history.leads`
    reasons : how many features to name per lead; 0 leaves the column as `[]`
    locale : `en` or `it`, the language of the reasons
    """
    lead = history.open_deals(as_of_us(as_of))
    return score_leads(history, bundle, lead, as_of, reasons=reasons, locale=locale)


def score_leads(
    history: History,
    bundle: Bundle,
    lead: Ints,
    as_of: pd.Timestamp,
    *,
    reasons: int = 5,
    locale: str = "en",
) -> pd.DataFrame:
    """Score given open leads; see `score_open_leads`."""
    arrays = score_lead_arrays(history, bundle, lead, as_of, reasons=reasons, locale=locale)
    return pd.DataFrame({name: column_of(name, values) for name, values in arrays.items()})


def score_lead_arrays(
    history: History,
    bundle: Bundle,
    lead: Ints,
    as_of: pd.Timestamp,
    *,
    reasons: int = 5,
    locale: str = "en",
) -> dict[str, Any]:
    """Scores of given open leads by column of the contract, as plain arrays of shape (n,).

    Texts are objects (None for unknown), `as_of` is int64 microseconds. Raises BundleError if the bundle has no
    models of leads.
    """
    models, at_us = lead_models(bundle), as_of_us(as_of)
    when = np.full(len(lead), at_us)
    features = models.features(history, lead, when, FrozenCustomers.of(bundle.models.records, history))
    place = models.fresh_place(history, lead)
    cells = models.cells(at_us, [30.0, RANKED_BY_DAYS, HORIZON_CAP_DAYS])
    # Cells without anything to tell leads apart have no reasons either.
    explainer = None
    if reasons > 0 and models.outcome.groups != ("stage",):
        explainer = Explainer(models, models.cells(at_us, until_days=RANKED_BY_DAYS), locale=locale)
    numbers: list[Floats] = []
    explained: list[str] = []
    for start in range(0, len(lead), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = features.take(rows)
        if explainer is None:
            coefficients, contributions = models.outcome.coefficients(block), None
        else:
            coefficients, contributions = models.outcome.explain(block)
        pace = models.log_pace(block)
        curves = cells.curves(models.on_bins(coefficients) + pace)
        converted = curves.won_by(np.array([30.0, RANKED_BY_DAYS]))
        lost = curves.lost_by(np.array([RANKED_BY_DAYS]))
        numbers.append(np.column_stack((converted, lost, models.becomes_won(curves, block, place[rows]))))
        if explainer is not None and contributions is not None:
            chances = Chances(converted[:, 1])
            explained += explainer.texts(block, coefficients, contributions, pace, chances, reasons)
    joined = np.concatenate(numbers) if numbers else np.empty((0, 4))
    score = models.score(joined[:, 1])
    data: dict[str, Any] = {
        "lead_id": history.deal_ids[lead],
        "as_of": when,
        "owner_id": history.vocabulary("owner_id").take(history.columns.owner[lead]),
        "source": history.vocabulary("source").take(history.columns.source[lead]),
        "converted_30d": joined[:, 0],
        "converted_90d": joined[:, 1],
        "disqualified_90d": joined[:, 2],
        "becomes_won": joined[:, 3],
        "score": score,
        "grade": models.grades.letters(score),
        "reasons": np.array(explained if explainer is not None else ["[]"] * len(lead), dtype=object),
    }
    return {name: data[name] for name in LEAD_SCORE_COLUMNS}
