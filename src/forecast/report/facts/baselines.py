"""The figures everybody uses today, beside ours: stage-weighted pipeline, and what sellers commit to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import CATEGORIES, History
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
    history, at_us = outlook.history, as_of_us(outlook.as_of)
    deal = history.open_deals(at_us)
    moments = np.full(len(deal), at_us, dtype=np.int64)
    booked = float(outlook.inputs.booked["amount"].sum())
    amount = np.nan_to_num(history.amount(deal, moments))
    closes_us = history.expected_close_us(deal, moments)
    due = (closes_us >= outlook.period.start_us) & (closes_us < outlook.period.end_us)
    default = history.stages.default_probability[history.stage(deal, moments)]
    return {
        "booked": booked,
        "due_deals": int(due.sum()),
        "due_amount": float(amount[due].sum()),
        "stage_weighted": (
            booked + float((np.nan_to_num(default) * amount)[due].sum())
            if np.isfinite(history.stages.default_probability).any() and np.isfinite(closes_us).any()
            else None
        ),
        **_by_category(history, deal, moments, amount * due, booked),
    }


def _by_category(
    history: History, deal: Ints, at_us: Ints, amount: Floats, booked: float
) -> dict[str, float | None]:
    category = history.last(deal, CATEGORY, at_us)
    if not np.isfinite(category).any():
        return {"commit": None, "best_case": None}
    commit, best_case = CATEGORIES.index("commit"), CATEGORIES.index("best_case")
    return {
        "commit": booked + float(amount[category == commit].sum()),
        "best_case": booked + float(amount[category >= best_case].sum()),
    }
