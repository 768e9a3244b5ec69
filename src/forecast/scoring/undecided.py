"""Deals that nobody will decide: what is left of the open pipeline when both clocks have run out.

A deal ends won or lost, or it is never decided: forgotten, and open because nobody closed it. The model has no
third cause for that, because no system records the moment at which a deal is forgotten
(docs/decisions/0015-no-decision-is-what-is-left.md). It is what remains of the two that are recorded:

    P(no decision) = P(still open at the cap) = 1 - P(won by then) - P(lost by then),   cap = 730 days

from the very curves the scores are read off, so won + lost + no decision = 1 for every deal.

The same two years decide whether the data shows such deals at all: of the deals first seen at least a cap ago,
all of which could be followed that long, how many were neither won nor lost in their first 730 days? There is
no censoring in that share. It counts as shown where its lower bound (Clopper and Pearson 1934, one-sided, 95 %)
lies above 1 %. Zero of 60 leaves room for 5 % (1 - 0.05^(1/60)), so with fewer deals than that a low share
shows nothing either way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import betaincinv

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.history import History
from forecast.models import HORIZON_CAP_DAYS
from forecast.periods import DAY_US, Period, as_of_us
from forecast.scoring.scores import marks_and_span

__all__ = ["UNDECIDED_COLUMNS", "Followed", "followed", "no_decision", "undecided_sums"]

UNDECIDED_COLUMNS: Final = (
    "deals", "amount", "unknown_amounts", "undecided_deals", "undecided_amount", "share_of_deals",
    "share_of_amount",
)  # fmt: skip
_BLOCK: Final = 4_096
_CONFIDENCE: Final = 0.95
_LEAST_SHARE: Final = 0.01
_FEWEST: Final = 60


def no_decision(
    history: History,
    bundle: Bundle,
    as_of: pd.Timestamp,
    *,
    deal: Ints | None = None,
    period: Period | None = None,
) -> Floats:
    """(n,) P(neither won nor lost within 730 days of `as_of`) of open deals, in order of deal id.

    deal : indices of open deals; None takes all that are open as of `as_of`
    period : the one the scores are made with, if any: it only makes both agree to the last bit
    """
    models, at_us = bundle.models, as_of_us(as_of)
    chosen = history.open_deals(at_us) if deal is None else deal
    features = models.features(history, chosen, np.full(len(chosen), at_us))
    cells = models.cells(at_us, marks_and_span(as_of, period)[0])
    found = np.empty(len(chosen))
    for start in range(0, len(chosen), _BLOCK):
        rows = slice(start, start + _BLOCK)
        found[rows] = 1.0 - cells.curves(models.log_hazard(features.take(rows))).decided[:, -1]
    return found


def undecided_sums(chance: Floats, amount: Floats, group: NDArray[np.object_] | None = None) -> pd.DataFrame:
    """What is expected never to be decided, in all or by owner, team or whatever `group` names.

    chance : (n,) of `no_decision`
    amount : (n,) on record in the reporting currency, NaN where unknown: such deals count as deals only
    group : (n,) labels, None for a deal of nobody's; without it one row, called None

    Returns UNDECIDED_COLUMNS by group, largest undecided amount first. Shares are NaN where nothing is open.
    """
    labels = np.full(len(chance), None, dtype=object) if group is None else group
    rows = pd.DataFrame(
        {
            "deals": 1,
            "amount": np.nan_to_num(amount),
            "unknown_amounts": np.isnan(amount).astype(np.int64),
            "undecided_deals": chance,
            "undecided_amount": chance * np.nan_to_num(amount),
        }
    )
    sums = rows.groupby(labels, dropna=False).sum()
    if group is None and sums.empty:
        sums = rows.sum().to_frame().T.set_axis([None]).astype(rows.dtypes)
    with np.errstate(invalid="ignore"):
        sums = sums.assign(
            share_of_deals=sums["undecided_deals"] / sums["deals"],
            share_of_amount=sums["undecided_amount"] / sums["amount"],
        )
    return sums[list(UNDECIDED_COLUMNS)].sort_values("undecided_amount", ascending=False, kind="stable")


@dataclass(frozen=True)
class Followed:
    """What the past says of deals that are never decided.

    deals : first seen at least a cap before the as-of moment, so all were followed for that long
    undecided : of these, neither won nor lost within a cap of being first seen
    """

    deals: int
    undecided: int

    @cached_property
    def at_least(self) -> float:
        """Lower bound of the share of deals left undecided; 0 where none was followed.

        >>> round(Followed(2292, 64).at_least, 4)
        0.0225
        """
        if not self.undecided:
            return 0.0
        return float(betaincinv(self.undecided, self.deals - self.undecided + 1, 1.0 - _CONFIDENCE))

    @property
    def verdict(self) -> Literal["seen", "too_few", "not_seen"]:
        """Whether the data shows deals that nobody decides.

        >>> Followed(2292, 64).verdict, Followed(12, 0).verdict, Followed(400, 2).verdict
        ('seen', 'too_few', 'not_seen')
        """
        if self.at_least > _LEAST_SHARE:
            return "seen"
        return "too_few" if self.deals < _FEWEST else "not_seen"


def followed(history: History, as_of: pd.Timestamp) -> Followed:
    """Follow every deal first seen at least 730 days before `as_of` through its first 730 days.

    A deal that was closed and opened again was decided once, and counts as such.
    """
    cap_us = round(HORIZON_CAP_DAYS * DAY_US)
    began = history.known_from_us()
    old = began <= as_of_us(as_of) - cap_us
    closings = history.closings
    decided = np.zeros(len(history), dtype=bool)
    decided[closings.deal[closings.at_us < began[closings.deal] + cap_us]] = True
    return Followed(int(old.sum()), int((old & ~decided).sum()))
