"""Which open deals decide whether a quota is reached."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats

__all__ = ["DECIDING_COLUMNS", "decide", "reaches"]


DECIDING_COLUMNS: Final = ("deal_id", "owner_id", "amount_if_won", "won_in_period", "effect", "basis")


def reaches(total: Floats | float, quota: Floats | float) -> Any:
    """Whether a total reaches a quota, up to the rounding of a sum of floats; False for a NaN quota."""
    return total >= quota - 1e-9 * np.abs(quota)


def decide(draws: Floats, deals: pd.DataFrame, quota: float) -> pd.DataFrame:
    """The effect of each open deal on the probability that a total reaches its quota.

    draws : (S,) total bookings per scenario of the company, a region, a team or a user, in any order.
    deals : deal_id, owner_id, won_in_period, amount_if_won, amount_log_sd of the open deals inside that
            total; deals without a known amount are left out.
    quota : in the same currency; NaN if there is none.

    Returns the columns deal_id, owner_id, amount_if_won, won_in_period, effect, basis, largest effect first.
    With a quota (`basis` "quota") the effect is P(reached | won in the period) - P(reached | not won).
    Without one (`basis` "variance") it is the deal's own variance as a share of the total's.

    The total without a deal is read from the same draws, moved and narrowed about their mean so that the
    deal's own mean and variance are taken out of them. That is exact in the first two moments, and exact
    altogether for the only deal there is; it costs two binary searches a deal instead of a new simulation
    for each.
    """
    known = deals[deals["amount_if_won"].notna()]
    p = known["won_in_period"].to_numpy(np.float64)
    amount = known["amount_if_won"].to_numpy(np.float64)
    second_moment = amount**2 * np.exp(known["amount_log_sd"].to_numpy(np.float64) ** 2)
    spread = p * second_moment - (p * amount) ** 2

    ordered = np.sort(np.asarray(draws, np.float64))
    centre, variance = ordered.mean(), ordered.var()
    share = np.clip(spread / variance, 0.0, 1.0) if variance > 0 else np.zeros(len(known))
    if np.isnan(quota):
        effect, basis = share, "variance"
    else:
        rest, width = centre - p * amount, np.sqrt(1.0 - share)
        effect = _at_least(quota - amount, rest, width, ordered) - _at_least(quota, rest, width, ordered)
        basis = "quota"
    table = known[list(DECIDING_COLUMNS[:4])].assign(effect=effect, basis=basis).astype({"basis": "str"})
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
