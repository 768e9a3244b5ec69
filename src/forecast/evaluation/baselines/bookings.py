"""Bookings of a period by the rules of thumb: weighted pipeline, and what the sellers have committed to.

Both say what is added to what is booked already (`booked_amount`), deal by deal, so that they can be summed
at any level. Amounts are in the reporting currency at the rate of the as-of day; a deal whose amount is
unknown or cannot be converted counts 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.evaluation.baselines.stages import stage_probability
from forecast.history import CATEGORIES, History
from forecast.history.columns import CATEGORY
from forecast.periods import Period

__all__ = ["booked_amount", "seller_commit_amounts", "stage_weighted_amounts"]


def booked_amount(history: History, as_of_us: int, period: Period) -> float:
    """Amount won in the period as known before `as_of_us`."""
    booked = history.booked(as_of_us, period.start_us, period.end_us)["amount"]
    return float(booked.fillna(0.0).sum())


def stage_weighted_amounts(
    history: History, as_of_us: int, period: Period, *, otherwise: Floats | None = None
) -> pd.DataFrame:
    """Amount times the CRM's probability of the stage, for open deals due in the period by the seller's date.

    otherwise: (S,) probabilities for stages without one of the CRM's, e.g. of a fitted `StageRate`; else 0

    Columns deal_id, owner_id, amount. A deal without a date is due in no period, as in such reports.
    """
    deal = history.open_deals(as_of_us)
    at_us = np.full(deal.shape, as_of_us, dtype=np.int64)
    share = stage_probability(history, deal, at_us, otherwise)
    return _amounts(history, deal, at_us, np.where(_due(history, deal, at_us, period), share, 0.0))


def seller_commit_amounts(
    history: History, as_of_us: int, period: Period, *, least: str = "commit"
) -> pd.DataFrame:
    """The whole amount of open deals that their sellers put in a category for the period.

    least : the least sure category that counts; `best_case` means commit and best case together

    Columns deal_id, owner_id, amount. Empty where sellers keep no category.
    """
    deal = history.open_deals(as_of_us)
    at_us = np.full(deal.shape, as_of_us, dtype=np.int64)
    sure = history.last(deal, CATEGORY, at_us) >= CATEGORIES.index(least)
    committed = sure & _due(history, deal, at_us, period)
    deal, at_us = deal[committed], at_us[committed]
    return _amounts(history, deal, at_us, np.ones(deal.size))


def _due(history: History, deal: Ints, at_us: Ints, period: Period) -> npt.NDArray[np.bool_]:
    close_us = history.expected_close_us(deal, at_us)
    due: npt.NDArray[np.bool_] = (close_us >= period.start_us) & (close_us < period.end_us)
    return due


def _amounts(history: History, deal: Ints, at_us: Ints, share: Floats) -> pd.DataFrame:
    owner = history.vocabulary("owner_id").take(history.owner(deal, at_us))
    return pd.DataFrame(
        {
            "deal_id": pd.array(history.deal_ids[deal], dtype="str"),
            "owner_id": pd.array(owner, dtype="str"),
            "amount": np.nan_to_num(history.amount(deal, at_us)) * share,
        }
    )
