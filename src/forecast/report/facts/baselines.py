"""The figures everybody uses today, beside ours: stage-weighted pipeline, and what sellers commit to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.evaluation.baselines import seller_commit_amounts, stage_weighted_amounts
from forecast.history.columns import CATEGORY
from forecast.periods import as_of_us
from forecast.report.facts.plain import Fact

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["baseline_facts"]


def baseline_facts(outlook: Outlook) -> Fact:
    """Booked so far plus open deals by three rules; None for a rule the data cannot feed.

    All three take a deal into the period if the seller's close date lies in it. stage_weighted: amount x the
    CRM's default probability of the stage. commit: whole amount of deals in category commit; best_case:
    commit and best case together. Unknown and unconvertible amounts count for nothing here.
    """
    history, period, at_us = outlook.history, outlook.period, as_of_us(outlook.as_of)
    deal = history.open_deals(at_us)
    moments = np.full(len(deal), at_us, dtype=np.int64)
    booked = float(outlook.inputs.booked["amount"].sum())
    closes_us = history.expected_close_us(deal, moments)
    due = (closes_us >= period.start_us) & (closes_us < period.end_us)
    has_categories = np.isfinite(history.last(deal, CATEGORY, moments)).any()
    has_weights = np.isfinite(history.stages.default_probability).any() and np.isfinite(closes_us).any()
    weighted = stage_weighted_amounts(history, at_us, period)["amount"].sum()
    sure = {
        name: seller_commit_amounts(history, at_us, period, least=name)["amount"].sum()
        for name in ("commit", "best_case")
    }
    return {
        "booked": booked,
        "due_deals": int(due.sum()),
        "due_amount": float(np.nan_to_num(history.amount(deal, moments))[due].sum()),
        "stage_weighted": booked + float(weighted) if has_weights else None,
        **{name: booked + float(amount) if has_categories else None for name, amount in sure.items()},
    }
