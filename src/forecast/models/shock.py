"""How much a whole quarter goes better or worse than its deals one by one would suggest.

Deals are independent only given what they share: the economy, a price change, a sales director who left. At
the start of each past quarter the wins expected from the deals then open are set against the wins that came.
What is left after the chance of single deals is the shared shock. A few quarters say little about it, so the
estimate is drawn to 0.15 with the weight of eight quarters, and its tails are those of a t-distribution.

The quarters were part of the training, which makes their residuals too small; the strong pull makes up for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from forecast.history import WON, History, TrackRecords
from forecast.periods import DAY_US, Period, to_timestamp

if TYPE_CHECKING:
    from forecast.models.fitted import FittedModels

__all__ = ["Shock", "estimate_shock"]

_PRIOR_SD: Final = 0.15
_PRIOR_QUARTERS: Final = 8.0
_DF_WITHOUT_DATA: Final = 4.0
_MOST_QUARTERS: Final = 8
_LEAST_EXPECTED: Final = 5.0  # wins; below that a quarter shows nothing but chance


@dataclass(frozen=True, slots=True)
class Shock:
    """Spread of the log-hazard shock that all deals of a period share; t-distributed.

    sd : standard deviation; df : degrees of freedom; quarters : how many it was estimated from
    """

    sd: float
    df: float
    quarters: int


def estimate_shock(models: FittedModels, history: History, records: TrackRecords, until_us: int) -> Shock:
    """Shock of a period from the last (at most eight) complete quarters before `until_us`.

    With few closed deals the level itself is uncertain, for all deals alike: its variance, 1 / (wins + 1), is
    part of what a period shares.
    """
    closings = history.closings
    won_deal = closings.deal[closings.kind == WON]
    won_at = closings.at_us[closings.kind == WON]
    first_us = int(history.known_from_us().min())
    residuals: list[float] = []
    quarter = Period.containing(to_timestamp(until_us)).previous()
    while len(residuals) < _MOST_QUARTERS and quarter.start_us > first_us:
        start_us, end_us = quarter.start_us, quarter.end_us
        deal = history.open_deals(start_us)
        quarter = quarter.previous()
        if not len(deal):
            continue
        days = (end_us - start_us) / DAY_US
        chance = models.win_probability(history, deal, np.full(len(deal), start_us), [days], records)[:, 0]
        expected = chance.sum()
        if expected < _LEAST_EXPECTED:
            continue
        came = np.isin(deal, won_deal[(won_at >= start_us) & (won_at < end_us)]).sum()
        by_chance = (chance * (1 - chance)).sum()
        residuals.append(float(((came - expected) ** 2 - by_chance) / expected**2))
    quarters = len(residuals)
    variance = (_PRIOR_QUARTERS * _PRIOR_SD**2 + max(sum(residuals), 0.0)) / (_PRIOR_QUARTERS + quarters)
    wins = float(models.counts["won"])
    return Shock(
        sd=float(np.sqrt(variance + 1.0 / (wins + 1.0))), df=_DF_WITHOUT_DATA + quarters, quarters=quarters
    )
