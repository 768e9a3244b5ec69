"""How much whole quarters scatter around what was expected of them, from a handful of quarters.

A quarter's relative error z is a shared effect u, with variance s2, plus the chance of single deals, with a
known variance c. With few quarters s2 is hardly known, so it is drawn to a prior as if `prior_quarters`
quarters had shown exactly that much. The variance that makes the errors seen most likely under this prior
solves

    s2 = (k * prior_sd^2 + sum_q E[u_q^2 | z_q, s2]) / (k + Q),
    E[u^2 | z, s2] = (h z)^2 + (1 - h) s2,   h = s2 / (s2 + c)

which is iterated (Dempster, Laird and Rubin 1977). A quarter in which chance hides everything (c large)
leaves s2 as it is; one without chance counts by its z^2 in full. Tails are those of a t distribution with k +
sum h^2 degrees of freedom: a quarter gives as many as it can tell.

E.g. prior .15 with 4 quarters, and 8 quarters off by 20 % each with hardly any chance: s2 = (4 x .0225 + 8 x
.04) / 12, so the spread is .185 with nearly 12 degrees of freedom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.arrays import Floats

__all__ = ["Spread", "shrunk_spread"]

_ROUNDS = 500
_ENOUGH = 1e-9


@dataclass(frozen=True, slots=True)
class Spread:
    """A standard deviation, the degrees of freedom it is known with, and how many of them are the prior's."""

    sd: float
    df: float
    prior_df: float

    @property
    def prior_share(self) -> float:
        """How much of what is known is the prior: 1 without data, towards 0 with many telling quarters."""
        return self.prior_df / self.df


def shrunk_spread(error: Floats, chance: Floats, *, prior_sd: float, prior_quarters: float) -> Spread:
    """Spread of the shared effect behind relative errors.

    error : (Q,) relative errors, e.g. wins that came over wins expected, minus 1
    chance : (Q,) variance of each error that single deals explain, more than 0
    """
    variance = prior_sd**2
    held = np.ones(len(error))
    for _ in range(_ROUNDS):
        held = variance / (variance + chance)
        second = (held * error) ** 2 + (1.0 - held) * variance
        found = (prior_quarters * prior_sd**2 + float(second.sum())) / (prior_quarters + len(error))
        done = abs(found - variance) < _ENOUGH
        variance = found
        if done:
            break
    return Spread(float(np.sqrt(variance)), prior_quarters + float((held**2).sum()), prior_quarters)
