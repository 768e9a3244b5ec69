"""The distribution of a small total without draws.

Somebody with a handful of open deals books one of a few sums, and the chance of reaching a quota jumps from
one to the next: scenarios blur just that. Given the shock, deals are independent, so their distributions are
convolved, on a lattice of equal steps by fast Fourier transform; a mean over evenly spread shocks follows.
Deals not yet created are a compound Poisson sum whose transform is closed, and so is its mean over the gamma
factor g (mean 1, variance v) on their number:

    E exp(g h C) = (1 - v h C)^(-1/v),   C = sum of (expected deals) x (transform of an amount - 1)

Each possible amount is put on the nearest point of the lattice, so a sum of n deals is known to n/2 steps,
about a thousandth of the largest total for the most deals that count as a handful.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import gammainc, gammaincinv

from forecast.arrays import Floats
from forecast.rollup.inputs import Uncertainty
from forecast.rollup.scenarios import hazard_factors, win_rates

__all__ = ["FEW_DEALS", "Total", "exact_total"]

FEW_DEALS: Final = 12
_POINTS: Final = 4096
_SHOCKS: Final = 32
# What arrivals may bring: this many standard deviations above their mean. Beyond lies next to nothing, and it
# would come back at the lower end of the lattice.
_FAR: Final = 12.0
_NEARLY_ALL: Final = 1.0 - 1e-6  # of the amounts one arrival may have
_ROUNDING: Final = 1e-13  # what the transforms leave where nothing is


@dataclass(frozen=True)
class Total:
    """A distribution on a lattice.

    step : distance of two points, the first of which is 0
    mass : (P,) probability of each point
    slack : what rounding to the lattice may have taken from a total, or added to it
    """

    step: float
    mass: Floats
    slack: float

    def at_least(self, amount: float) -> float:
        """Probability of reaching an amount; totals within `slack` below it count."""
        if amount <= 0.0:
            return 1.0
        first = max(1, int(np.ceil((amount - self.slack) / self.step - 1e-9)))
        below, above = float(self.mass[:first].sum()), float(self.mass[first:].sum())
        return above / (above + below)

    def quantiles(self, levels: tuple[float, ...]) -> Floats:
        """(len(levels),) smallest amounts reached with at least that probability from below."""
        reached = np.searchsorted(np.cumsum(self.mass), np.array(levels) - 1e-12)
        return np.minimum(reached, len(self.mass) - 1) * self.step


def exact_total(
    deals: pd.DataFrame, shapes: Floats, arrivals: pd.DataFrame, uncertainty: Uncertainty
) -> Total:
    """Bookings from a few open deals and from deals not yet created, as a distribution.

    deals : won_in_period, amount_if_won (0 or more), amount_shape; shapes : (G, K) as in `draw_open`.
    arrivals : deals, amount_mean, amount_cv.
    """
    factors = hazard_factors(uncertainty, _SHOCKS)
    amounts = deals["amount_if_won"].to_numpy()[:, None] * shapes[deals["amount_shape"].to_numpy()]
    coming = arrivals[["deals", "amount_mean", "amount_cv"]].to_numpy(np.float64)
    coming = coming[(coming[:, 0] > 0) & (coming[:, 1] > 0)]
    number, mean, cv = coming.T
    variance = uncertainty.arrivals_sd**2
    # Law of total variance: single deals, then the factors on their number.
    spread = (number * mean**2 * (1 + cv**2)).sum() + (number @ mean) ** 2 * (
        (1 + variance) * (factors**2).mean() - 1
    )
    # A single arrival may be larger than all that usually comes together.
    shape = 1.0 / np.maximum(cv, 1e-6) ** 2
    single = (gammaincinv(shape, _NEARLY_ALL) / shape * mean).max(initial=0.0)
    above = max(_FAR * np.sqrt(spread), single)
    top = amounts.max(axis=1, initial=0.0).sum() + number @ mean + above
    if top <= 0:
        return Total(1.0, np.array([1.0]), 0.0)
    # Rounded up, the largest total lies half a step a deal beyond the top; it must not come back at 0.
    step = top / (_POINTS - 1 - len(deals))

    rate = win_rates(deals["won_in_period"].to_numpy(), factors)
    transform = np.ones((_SHOCKS, _POINTS // 2 + 1), dtype=np.complex128)
    for one, mine in zip(amounts, rate, strict=True):
        points = np.rint(one / step).astype(np.int64)
        won = np.fft.rfft(np.bincount(points, minlength=_POINTS) / len(one))
        chance = -np.expm1(-mine * factors)[:, None]
        transform *= 1.0 + chance * (won - 1.0)
    if len(number):
        rise = np.zeros(_POINTS // 2 + 1, dtype=np.complex128)
        for deals_, mean_, cv_ in coming:
            rise += deals_ * (np.fft.rfft(_gamma_mass(mean_, cv_, step)) - 1.0)
        scaled = factors[:, None] * rise
        transform *= np.exp(scaled) if variance < 1e-12 else (1.0 - variance * scaled) ** (-1.0 / variance)
    mass = np.fft.irfft(transform.mean(axis=0), n=_POINTS)
    mass[mass < _ROUNDING] = 0.0
    # Arrivals vary without steps: rounding them takes and adds alike.
    return Total(step, mass / mass.sum(), 0.5 * len(deals) * step)


def _gamma_mass(mean: float, cv: float, step: float) -> Floats:
    """(_POINTS,) probabilities of lattice points of a gamma distributed amount, with its mean."""
    if cv <= 1e-6:
        # A fixed amount between two points is shared between them, or many of them would drift off together.
        low = min(int(mean / step), _POINTS - 2)
        part = min(mean / step - low, 1.0)
        shared = np.zeros(_POINTS)
        shared[low], shared[low + 1] = 1.0 - part, part
        return shared
    shape = 1.0 / cv**2
    borders = (np.arange(_POINTS) + 0.5) * step
    below = gammainc(shape, borders * shape / mean)
    below[-1] = 1.0
    return np.diff(below, prepend=0.0)
