"""How much a whole quarter goes better or worse than its deals one by one would suggest.

Deals are independent only given what they share: the economy, a price change, a sales director who left. For
each of the last quarters a model that learnt only what was recorded before it (see `origins`) says how many
of the deals then open it will win; that is set against the wins that came. What is left after the chance of
single deals is the shared shock, together with what such a model does not know about its own level. It is
read as a change u of the log-hazard, which moves the wins expected, sum of 1 - (1 - p)^exp(u), by -sum (1 -
p) log(1 - p) at u = 0. A few quarters say little about it, so the estimate is drawn to 0.15 with the weight
of four quarters, and its tails are those of a t-distribution (see `spread`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from forecast.history import WON, History, TrackRecords
from forecast.models.clock import DealClock
from forecast.models.level import Level
from forecast.models.origins import Refit
from forecast.models.spread import shrunk_spread
from forecast.periods import DAY_US, Period, to_timestamp

if TYPE_CHECKING:
    from forecast.models.fitted import FittedModels

__all__ = ["Shock", "estimate_shock", "past_quarters"]

_PRIOR_SD: Final = 0.15
_PRIOR_QUARTERS: Final = 4.0
_MOST_QUARTERS: Final = 8


@dataclass(frozen=True, slots=True)
class Shock:
    """Spread of the log-hazard shock that all deals of a period share; t-distributed.

    sd : standard deviation; df : degrees of freedom; quarters : how many it was estimated from
    """

    sd: float
    df: float
    quarters: int


def past_quarters(first_us: int, until_us: int, most: int = _MOST_QUARTERS) -> list[Period]:
    """The last complete quarters that start after `first_us` and end by `until_us`, newest first."""
    found: list[Period] = []
    quarter = Period.containing(to_timestamp(until_us)).previous()
    while len(found) < most and quarter.start_us > first_us:
        found.append(quarter)
        quarter = quarter.previous()
    return found


def estimate_shock(
    models: FittedModels, history: History, records: TrackRecords, until_us: int, refit: Refit
) -> Shock:
    """Shock of a period from the last (at most eight) complete quarters before `until_us`.

    records : dated track records
    refit : the outcome model as it could have been learnt before a moment

    With few wins the level itself is uncertain, for all deals alike: as far as no quarter has shown it, its
    variance, 1 / (wins + 1), is added.
    """
    closings = history.closings
    won_deal = closings.deal[closings.kind == WON]
    won_at = closings.at_us[closings.kind == WON]
    errors: list[float] = []
    chances: list[float] = []
    for quarter in past_quarters(int(history.known_from_us().min()), until_us):
        start_us, end_us = quarter.start_us, quarter.end_us
        deal = history.open_deals(start_us)
        outcome = refit(start_us) if len(deal) else None
        if outcome is None:
            break  # still earlier there was even less to learn from
        days = (end_us - start_us) / DAY_US
        # Clock and level were learnt from all years: whoever stood there had neither.
        earlier = replace(models, outcome=outcome, clock=DealClock.flat(), level=Level.none())
        chance = earlier.win_probability(history, deal, np.full(len(deal), start_us), [days], records)[:, 0]
        expected = float(chance.sum())
        if expected <= 0.0:
            continue
        came = np.isin(deal, won_deal[(won_at >= start_us) & (won_at < end_us)]).sum()
        # Wins answer a shock of the hazard less than fully: a deal that is nearly sure cannot get surer.
        sure = np.minimum(chance, 1.0 - 1e-9)
        moved = float((-(1.0 - sure) * np.log1p(-sure)).sum())
        errors.append((float(came) - expected) / moved)
        chances.append(max(float((chance * (1.0 - chance)).sum()) / moved**2, 1e-9))
    spread = shrunk_spread(
        np.array(errors), np.array(chances), prior_sd=_PRIOR_SD, prior_quarters=_PRIOR_QUARTERS
    )
    level = spread.prior_share / (float(models.counts["won"]) + 1.0)
    return Shock(sd=float(np.sqrt(spread.sd**2 + level)), df=spread.df, quarters=len(errors))
