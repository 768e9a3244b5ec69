"""Which open deals decide whether a quota is reached."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints

__all__ = ["DECIDING_COLUMNS", "Stakes", "decide", "deciding_table", "reaches", "sway_of"]


DECIDING_COLUMNS: Final = ("deal_id", "owner_id", "amount_if_won", "won_in_period", "effect", "basis")
# Up to so many deals each is taken out of every scenario; beyond it the sum knows them by two moments only.
_FEW: Final = 60


def reaches(total: Floats | float, quota: Floats | float) -> Any:
    """Whether a total reaches a quota, up to the rounding of a sum of floats; False for a NaN quota."""
    return total >= quota - 1e-9 * np.abs(quota)


def sway_of(effect: Any, won_in_period: Any) -> Any:
    """How far a probability of reaching quota will really move once a deal is settled.

    effect * sqrt(p (1 - p)), the standard deviation over both outcomes. The effect alone would name large deals
    without any real chance: they would move a lot if won, and decide nothing.
    """
    return effect * np.sqrt(won_in_period * (1.0 - won_in_period))


@dataclass(frozen=True)
class Stakes:
    """What n open deals may bring to a period; each (n,).

    chance, amount, log_sd : probability of a win in the period, mean final amount, spread of its logarithm
    rate : hazard that goes with the chance, see `scenarios.win_rates`
    """

    chance: Floats
    amount: Floats
    log_sd: Floats
    rate: Floats

    @classmethod
    def of(cls, deals: pd.DataFrame, rate: Floats) -> Stakes:
        """From the columns won_in_period, amount_if_won and amount_log_sd."""
        return cls(
            deals["won_in_period"].to_numpy(np.float64),
            deals["amount_if_won"].to_numpy(np.float64),
            deals["amount_log_sd"].to_numpy(np.float64),
            rate,
        )

    def take(self, rows: Ints) -> Stakes:
        """Some of the deals."""
        return Stakes(self.chance[rows], self.amount[rows], self.log_sd[rows], self.rate[rows])

    @property
    def spread(self) -> Floats:
        """(n,) variance each deal brings to the total."""
        second_moment = self.amount**2 * np.exp(self.log_sd**2)
        return self.chance * second_moment - (self.chance * self.amount) ** 2

    def effects(
        self, rest: Floats, open_draws: Floats, quota: float, factors: Floats, rng: np.random.Generator
    ) -> Floats:
        """(n,) P(quota reached | won in the period) - P(reached | not won) for each of these deals.

        rest, open_draws : (S,) what booked business and arrivals bring, and what all these deals together do
        factors : (S,) shared shock of each scenario on the hazard of winning
        """
        if len(self.chance) <= _FEW:
            return self._effects_one_by_one(rest, quota, factors, rng)
        return self._effects_by_moments(np.sort(rest + open_draws), quota)

    def _effects_one_by_one(
        self, rest: Floats, quota: float, factors: Floats, rng: np.random.Generator
    ) -> Floats:
        """Every deal is taken out of each scenario, and put back as won: no approximation but the draws.

        The sum of a few deals is lumpy: one that is needed for the quota, and one that is not, differ by more
        than their size, which moments do not see.
        """
        shape = (len(self.chance), len(factors))
        won = rng.standard_exponential(shape) < np.multiply.outer(self.rate, factors)
        noise = rng.standard_normal(shape) * self.log_sd[:, None]
        amount = self.amount[:, None] * np.exp(noise - 0.5 * self.log_sd[:, None] ** 2)
        brought = won * amount
        without = rest + brought.sum(axis=0) - brought
        with_it, without_it = reaches(without + amount, quota), reaches(without, quota)
        found: Floats = with_it.mean(axis=1) - without_it.mean(axis=1)
        return found

    def _effects_by_moments(self, ordered: Floats, quota: float) -> Floats:
        """The total without a deal is read from the same draws, moved and narrowed about their mean.

        So the deal's own mean and variance are taken out of them: exact in the first two moments, and it costs
        two binary searches a deal instead of a new simulation for each.
        """
        variance = ordered.var()
        share = np.clip(self.spread / variance, 0.0, 1.0) if variance > 0 else np.zeros(len(self.chance))
        rest, width = ordered.mean() - self.chance * self.amount, np.sqrt(1.0 - share)
        reached = _at_least(quota - self.amount, rest, width, ordered)
        return reached - _at_least(quota, rest, width, ordered)


def decide(draws: Floats, deals: pd.DataFrame, quota: float) -> pd.DataFrame:
    """The effect of each open deal on the probability that a total reaches its quota, from its draws alone.

    draws : (S,) total bookings per scenario of the company, a region, a team or a user, in any order.
    deals : deal_id, owner_id, won_in_period, amount_if_won, amount_log_sd of the open deals inside that
            total; deals without a known amount are left out.
    quota : in the same currency; NaN if there is none.

    Returns the columns deal_id, owner_id, amount_if_won, won_in_period, effect, basis, largest effect first.
    With a quota (`basis` "quota") the effect is P(reached | won in the period) - P(reached | not won), by
    moments. Without one (`basis` "variance") it is the deal's own variance as a share of the total's.
    """
    known = deals[deals["amount_if_won"].notna()]
    stakes = Stakes.of(known, np.zeros(len(known)))
    ordered = np.sort(np.asarray(draws, np.float64))
    if not np.isnan(quota):
        return deciding_table(known, stakes._effects_by_moments(ordered, quota), "quota")
    variance = ordered.var()
    share = np.clip(stakes.spread / variance, 0.0, 1.0) if variance > 0 else np.zeros(len(known))
    return deciding_table(known, share, "variance")


def deciding_table(deals: pd.DataFrame, effect: Floats, basis: str) -> pd.DataFrame:
    """DECIDING_COLUMNS of deals, largest effect first."""
    table = deals[list(DECIDING_COLUMNS[:4])].assign(effect=effect, basis=basis).astype({"basis": "str"})
    ordering = ["effect", "amount_if_won", "deal_id"]
    return table.sort_values(ordering, ascending=[False, False, True], kind="stable", ignore_index=True)


def _at_least(level: Floats | float, rest: Floats, width: Floats, ordered: Floats) -> Floats:
    """(n,) P(rest + width * (draw - mean of the draws) >= level) for each deal."""
    centre = ordered.mean()
    distance = level - rest
    slack = 1e-9 * (np.abs(level) + np.abs(rest))
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = centre + (distance - slack) / width
    below = np.searchsorted(ordered, bound, side="left") / len(ordered)
    # Without any width left the rest of the total is a single number.
    return np.where(width > 1e-6, 1.0 - below, (distance <= slack).astype(np.float64))
