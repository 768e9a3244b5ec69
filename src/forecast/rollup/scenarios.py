"""Scenarios of a period: what each user books from open deals and from deals not yet created.

All deals share one shock u per scenario, which multiplies the hazard of winning by h = exp(u). Given the
shock they are independent. A deal with win probability p is won in scenario s with probability 1 - exp(-r
h_s), where the rate r is chosen so that the mean over the scenarios is p itself: the shock widens the range
without moving what is expected. E.g. with half of the scenarios at h = 0.5 and half at h = 1.5, a deal of p
= 0.5 has r = 0.76 and is won in 32 % of the poor scenarios and in 68 % of the good ones.

Shocks are not drawn but spread evenly over their distribution (midpoints of equal shares): the same range
with less noise. They are kept within a factor of ten, since a t distribution has no mean on this scale.

The number of deals not yet created has a factor of its own beside h, the same for all owners.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from scipy.special import gammaincinv, ndtri, stdtrit

from forecast.arrays import Floats, Ints
from forecast.rollup.inputs import Uncertainty

__all__ = [
    "affordable_scenarios",
    "arrival_factors",
    "draw_arrivals",
    "draw_open",
    "hazard_factors",
    "win_rates",
]


_FEWEST: Final = 1000
_LARGEST_SHOCK: Final = np.log(10.0)
# Below this rate it is cheaper to draw the wins of many deals together than to ask every deal.
_RARE: Final = 0.02
# Work is counted in (deal, scenario) cells: 1.2e8 of them take about two seconds on one core.
_CELLS: Final = 120_000_000
_CELLS_PER_WIN: Final = 4
_CELLS_PER_RARE_WIN: Final = 30
_CELLS_PER_ARRIVAL: Final = 10
# Two tables of users x scenarios are held at once, 8 bytes a cell.
_USER_CELLS: Final = 6_000_000
_CHUNK: Final = 2_000_000


def affordable_scenarios(won_in_period: Floats, arrivals: int, users: int, wanted: int) -> int:
    """How many scenarios to draw: `wanted`, or fewer (at least 1000) for a very large pipeline."""
    rare = won_in_period < _RARE
    work = (
        (~rare).sum()
        + _CELLS_PER_WIN * won_in_period[~rare].sum()
        + _CELLS_PER_RARE_WIN * won_in_period[rare].sum()
        + _CELLS_PER_ARRIVAL * arrivals
    )
    most = min(_CELLS / max(float(work), 1.0), _USER_CELLS / max(users, 1))
    return min(wanted, max(_FEWEST, int(most)))


def hazard_factors(uncertainty: Uncertainty, scenarios: int) -> Floats:
    """(S,) factor on the hazard of winning per scenario, increasing, with mean 1."""
    share = (np.arange(scenarios) + 0.5) / scenarios
    if np.isinf(uncertainty.shock_df):
        standard = ndtri(share)
    else:
        degrees = uncertainty.shock_df
        standard = stdtrit(degrees, share) / np.sqrt(degrees / (degrees - 2.0))
    factors = np.exp(np.clip(uncertainty.shock_sd * standard, -_LARGEST_SHOCK, _LARGEST_SHOCK))
    return np.asarray(factors / factors.mean(), np.float64)


def arrival_factors(uncertainty: Uncertainty, scenarios: int, rng: np.random.Generator) -> Floats:
    """(S,) factor on the number of deals not yet created per scenario, with mean 1, in random order.

    Gamma distributed, spread evenly like the shocks; the order makes it independent of them.
    """
    variance = uncertainty.arrivals_sd**2
    if variance < 1e-12:
        return np.ones(scenarios)
    share = (rng.permutation(scenarios) + 0.5) / scenarios
    factors = gammaincinv(1.0 / variance, share)
    return np.asarray(factors / factors.mean(), np.float64)


def win_rates(probability: Floats, factors: Floats) -> Floats:
    """(n,) rates r with mean over the scenarios of 1 - exp(-r * factor) equal to the probability.

    Solved once on a grid: on the complementary log-log scale r is so close to a straight line in p that
    interpolation is good to 1e-4 of p even for a shock of 1.5 (1e-5 for 0.15). Below the grid 1 - exp(-r h)
    is r h, and the mean of h is 1.
    """
    grid = np.geomspace(1e-7, 1e3, 240)
    still_open = np.array([np.exp(-rate * factors).mean() for rate in grid])
    hazard = -np.log(np.maximum(still_open, 1e-300))
    with np.errstate(divide="ignore"):
        wanted = -np.log1p(-probability)
        inside = np.interp(np.log(wanted), np.log(hazard), np.log(grid))
    return np.where(wanted < hazard[0], wanted, np.exp(inside))


def draw_open(
    deals: pd.DataFrame, shapes: Floats, owner: Ints, users: int, factors: Floats, rng: np.random.Generator
) -> Floats:
    """(users, S) bookings from open deals.

    deals : won_in_period, amount_if_won, amount_shape.
    shapes : (G, K) equally likely final amounts relative to their mean, by amount_shape.
    owner : (n,) position of each deal's user.
    """
    total = np.zeros((users, len(factors)))
    rate = win_rates(deals["won_in_period"].to_numpy(), factors)
    mean, shape = deals["amount_if_won"].to_numpy(), deals["amount_shape"].to_numpy()
    # Deals of a user stand together, so that a chunk of deals touches only a few rows of `total`.
    by_owner = np.argsort(owner, kind="stable")
    for chosen, wins_of, cost in (
        (by_owner[rate[by_owner] >= _RARE], _wins_one_by_one, 1.0),
        (by_owner[(rate[by_owner] < _RARE) & (rate[by_owner] > 0)], _wins_together, _RARE),
    ):
        step = max(1, int(_CHUNK / (cost * len(factors))))
        for first in range(0, len(chosen), step):
            chunk = chosen[first : first + step]
            deal, scenario = wins_of(rate[chunk], factors, rng)
            won = chunk[deal]
            amount = mean[won] * shapes[shape[won], rng.integers(shapes.shape[1], size=len(won))]
            _add(total, owner[chunk[0]], owner[chunk[-1]] + 1, owner[won], scenario, amount)
    return total


def _wins_one_by_one(rate: Floats, factors: Floats, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """(deal, scenario) of each win: an exponential waiting time that ends before rate x factor."""
    waiting = rng.standard_exponential((len(rate), len(factors)), dtype=np.float32)
    limit = np.multiply.outer(rate.astype(np.float32), factors.astype(np.float32))
    deal, scenario = np.divmod(np.flatnonzero(waiting < limit), len(factors))
    return deal, scenario


def _wins_together(rate: Floats, factors: Floats, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """The same for unlikely deals at the cost of their wins alone.

    Every deal gets a Poisson number of events, spread over the scenarios by their factors. It is won where it
    has at least one, which has probability 1 - exp(-rate x factor) exactly and independently of every other
    deal and scenario: repeats are dropped.
    """
    ends = np.cumsum(factors)
    events = rng.poisson(rate * ends[-1])
    where = rng.random(int(events.sum())) * ends[-1]
    scenario = np.minimum(np.searchsorted(ends, where, side="right"), len(factors) - 1)
    cell = np.sort(np.repeat(np.arange(len(rate)), events) * len(factors) + scenario)
    first = np.diff(cell, prepend=-1) > 0
    deal, scenario = np.divmod(cell[first], len(factors))
    return deal, scenario


def draw_arrivals(
    arrivals: pd.DataFrame, owner: Ints, users: int, factors: Floats, rng: np.random.Generator
) -> Floats:
    """(users, S) bookings from deals not yet created.

    arrivals : deals (mean of a Poisson number, which the shock multiplies), amount_mean, amount_cv. Amounts
    are gamma distributed, so that the sum of k of them is one gamma draw with k times the shape.
    """
    total = np.zeros((users, len(factors)))
    rows = max(1, _CHUNK // len(factors))
    numbers = arrivals[["deals", "amount_mean", "amount_cv"]].to_numpy(np.float64)
    for first in range(0, len(numbers), rows):
        deals, mean, cv = (column[:, None] for column in numbers[first : first + rows].T)
        count = rng.poisson(deals * factors).astype(np.float64)
        # A spread of (nearly) nothing has a shape too large to draw: the sum is then count x mean.
        spread = np.maximum(cv, 1e-6) ** 2
        amount = np.where(cv > 1e-6, rng.standard_gamma(count / spread) * spread, count) * mean
        np.add.at(total, owner[first : first + rows], amount)
    return total


def _add(total: Floats, first: int, last: int, user: Ints, scenario: Ints, amount: Floats) -> None:
    """Add amounts to `total[user, scenario]`; all users lie in [first, last)."""
    scenarios = total.shape[1]
    cell = (user - first) * scenarios + scenario
    summed = np.bincount(cell, weights=amount, minlength=(last - first) * scenarios)
    total[first:last] += summed.reshape(last - first, scenarios)
