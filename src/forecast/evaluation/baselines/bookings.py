"""Bookings of a period by the rules of thumb: weighted pipeline, and what the sellers have committed to.

Both say what is added to what is booked already (`booked_amount`), deal by deal, so that they can be summed
at any level. Amounts are in the reporting currency at the rate of the as-of day; a deal whose amount is
unknown or cannot be converted counts 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.evaluation.baselines.interface import PeriodForecast
from forecast.evaluation.baselines.past import booked_between, nothing_known
from forecast.evaluation.baselines.stages import stage_probability
from forecast.history import CATEGORIES, History
from forecast.history.columns import CATEGORY
from forecast.periods import Period

__all__ = [
    "SellerBestCase",
    "SellerBookings",
    "StageWeightedBookings",
    "amounts_of",
    "booked_amount",
    "due_in",
    "seller_commit_amounts",
    "stage_weighted_amounts",
]


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
    return amounts_of(history, deal, at_us, np.where(due_in(history, deal, at_us, period), share, 0.0))


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
    committed = sure & due_in(history, deal, at_us, period)
    deal, at_us = deal[committed], at_us[committed]
    return amounts_of(history, deal, at_us, np.ones(deal.size))


@dataclass(frozen=True)
class StageWeightedBookings:
    """Booked + `stage_weighted_amounts`; deals not yet created are forgotten, as in such reports.

    otherwise: (S,) probabilities for stages without one of the CRM's; else they count 0
    """

    name: ClassVar[str] = "stage_weighted"
    label: ClassVar[str] = "stage-weighted (CRM)"
    otherwise: Floats | None = None

    def forecast(self, history: History, as_of_us: int, period: Period) -> PeriodForecast:
        """Open deals due in the period by the seller's date."""
        booked = booked_between(history, as_of_us, period.start_us, period.end_us)
        amounts = stage_weighted_amounts(history, as_of_us, period, otherwise=self.otherwise)
        return PeriodForecast(booked, amounts, booked.iloc[:0, 1:])


@dataclass(frozen=True)
class SellerBookings:
    """Booked + what sellers put in a category for the period, at its whole amount.

    Has nothing to say where no open deal of the history has a category: a company that keeps none has not
    committed to 0.

    least: the least sure category that counts
    """

    name: ClassVar[str] = "seller_commit"
    label: ClassVar[str] = "sellers' commit"
    least: str = "commit"

    def forecast(self, history: History, as_of_us: int, period: Period) -> PeriodForecast:
        """Open deals due in the period by the seller's date, in the category or a surer one."""
        booked = booked_between(history, as_of_us, period.start_us, period.end_us)
        amounts = seller_commit_amounts(history, as_of_us, period, least=self.least)
        deal = history.open_deals(as_of_us)
        kept = ~np.isnan(history.last(deal, CATEGORY, np.full(deal.shape, as_of_us, dtype=np.int64))).all()
        return PeriodForecast(booked, amounts, booked.iloc[:0, 1:] if kept else nothing_known())


@dataclass(frozen=True)
class SellerBestCase(SellerBookings):
    """Booked + commit and best case together: what sellers hope for."""

    name: ClassVar[str] = "seller_best_case"
    label: ClassVar[str] = "sellers' best case"
    least: str = "best_case"


def due_in(history: History, deal: Ints, at_us: Ints, period: Period) -> npt.NDArray[np.bool_]:
    """(n,) whether each deal's seller's date, as known before its moment, lies in the period."""
    close_us = history.expected_close_us(deal, at_us)
    due: npt.NDArray[np.bool_] = (close_us >= period.start_us) & (close_us < period.end_us)
    return due


def amounts_of(history: History, deal: Ints, at_us: Ints, share: Floats) -> pd.DataFrame:
    """Columns deal_id, owner_id, amount: what is known before each moment, times a share (n,)."""
    owner = history.vocabulary("owner_id").take(history.owner(deal, at_us))
    return pd.DataFrame(
        {
            "deal_id": pd.array(history.deal_ids[deal], dtype="str"),
            "owner_id": pd.array(owner, dtype="str"),
            "amount": np.nan_to_num(history.amount(deal, at_us)) * share,
        }
    )
