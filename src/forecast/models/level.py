"""Level: how much more, or less, is won and lost now than the whole past would suggest.

A fit describes the average of its years. Prices, markets and teams drift, and the newest quarters tell. For
each quarter before the as-of moment, the closings that came are set against those the fitted model expects; the
logarithm of their ratio is what is left of that quarter. Three explanations compete for these residuals:

    constant   quarters scatter about zero, each for itself (good and bad quarters)
    trend      they rise or fall steadily
    walk       they wander, so the newest say most

Trend or walk is believed only if the likelihood clearly gains by it; its value at the as-of moment (for a trend
half a quarter on) is then added to the log hazards of the cause, drawn to zero by what its evidence is worth.
One number per cause keeps the curves coherent.

Source: Gaussian regression with correlated errors (kriging, local level model); selection by BIC; shrinkage of
the chosen effect as James and Stein 1961.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.models.bins import Bins
from forecast.models.hazard import CAUSES, Survival
from forecast.periods import DAY_US

__all__ = ["Level", "fit_level", "quarterly_residuals"]

_QUARTER_DAYS: Final = 91.3125
_MOST_QUARTERS: Final = 12
_LEAST_QUARTERS: Final = 6
_LEAST_EXPECTED: Final = 10.0  # closings of a quarter, below which it shows nothing but chance
_SCATTER: Final = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45)  # of single quarters, to choose from
_STEPS: Final = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)  # of a walk, per quarter, to choose from
_AHEAD: Final = 0.5  # quarters: the middle of the one that is asked about
_MOST: Final = 0.7  # a factor of two; beyond it something else is wrong


@dataclass(frozen=True)
class Level:
    """Shift of the log hazards of winning and losing.

    shift : (2,) won, lost
    reason : what was found, for the bundle and the docs of a model
    """

    shift: tuple[float, float]
    reason: str

    @classmethod
    def none(cls, reason: str = "not asked for") -> Level:
        """No shift."""
        return cls((0.0, 0.0), reason)


def quarterly_residuals(
    survival: Survival, log_hazard: Floats, at_us: Ints, duration_days: Floats, bins: Bins, until_us: int
) -> tuple[Floats, Floats]:
    """(2, Q) closings that came and that were expected in each of the quarters before `until_us`, newest last.

    survival : landmarks with season and clock in their exposure; log_hazard : (n, 2, J) fitted to them
    Both are counted in landmarks: several looks at a deal tell of one closing.
    """
    ago = (until_us - at_us) / DAY_US
    middle = np.minimum(bins.centres_days, duration_days[:, None])
    quarter = np.clip((ago[:, None] - middle) // _QUARTER_DAYS, 0, _MOST_QUARTERS).astype(np.int64)
    ended = np.clip((ago - duration_days) // _QUARTER_DAYS, 0, _MOST_QUARTERS).astype(np.int64)
    came, expected = np.zeros((2, _MOST_QUARTERS + 1)), np.zeros((2, _MOST_QUARTERS + 1))
    for k in range(2):
        foretold = (
            survival.exposure[k] * np.exp(np.minimum(log_hazard[:, k], 10.0)) * survival.weight[:, None]
        )
        expected[k] = np.bincount(quarter.ravel(), foretold.ravel(), minlength=_MOST_QUARTERS + 1)
        came[k] = np.bincount(
            ended, (survival.cause == k + 1) * survival.weight, minlength=_MOST_QUARTERS + 1
        )
    # The last column holds all that is older.
    return came[:, _MOST_QUARTERS - 1 :: -1], expected[:, _MOST_QUARTERS - 1 :: -1]


def fit_level(came: Floats, expected: Floats, looks: float) -> Level:
    """Judge the quarters of both causes.

    came, expected : (2, Q) of `quarterly_residuals`; looks : landmarks that tell of the same closing
    """
    shifts, reasons = [], []
    for k, cause in enumerate(CAUSES):
        seen, foretold = came[k] / looks, expected[k] / looks
        usable = foretold >= _LEAST_EXPECTED
        time = np.arange(len(seen), dtype=np.float64)[usable] - (len(seen) - 0.5)
        residual = np.log((seen[usable] + 0.5) / (foretold[usable] + 0.5))
        shift, reason = _judge(time, residual, 1.0 / (foretold[usable] + 0.5))
        shifts.append(float(np.clip(shift, -_MOST, _MOST)))
        reasons.append(f"{cause}: {reason}")
    return Level((shifts[0], shifts[1]), "; ".join(reasons))


def _judge(time: Floats, residual: Floats, chance: Floats) -> tuple[float, str]:
    """Shift at the as-of moment (time 0, in quarters) and why.

    chance : (Q,) variance of each residual by the chance of single deals
    """
    if len(time) < _LEAST_QUARTERS:
        return 0.0, f"{len(time)} quarters are too few to tell a drift"
    ones = np.ones((len(time), 1))
    line = np.hstack((ones, time[:, None] - time.mean()))
    apart = np.diag(np.ones(len(time)))
    together = np.minimum.outer(time - time.min() + 1.0, time - time.min() + 1.0)
    constant = max((_fit(residual, np.diag(chance) + s**2 * apart, ones) for s in _SCATTER), key=_likelihood)
    trend = max((_fit(residual, np.diag(chance) + s**2 * apart, line) for s in _SCATTER), key=_likelihood)
    walk = max(
        (
            _fit(residual, np.diag(chance) + s**2 * apart + step**2 * together, ones, step=step)
            for s in _SCATTER
            for step in _STEPS
        ),
        key=_likelihood,
    )
    best = max((trend, walk), key=_likelihood)
    gain = 2.0 * (best.likelihood - constant.likelihood)
    # One parameter more must gain the logarithm of the number of quarters, and then some: four.
    if gain < max(np.log(len(time)), 4.0):
        return 0.0, f"no drift over {len(time)} quarters (evidence {gain:.1f})"
    worth = 1.0 - 1.0 / gain
    if best is trend:
        slope = float(best.effect[1])
        shift = slope * (_AHEAD - time.mean()) * worth
        return (
            shift,
            f"{slope * 4:+.2f} a year over {len(time)} quarters (evidence {gain:.1f}), now {shift:+.2f}",
        )
    newest = walk.step**2 * (time - time.min() + 1.0)
    mean = float(walk.effect[0])
    shift = (mean + float(newest @ np.linalg.solve(walk.spread, residual - mean))) * worth
    return shift, f"wandering over {len(time)} quarters (evidence {gain:.1f}), now {shift:+.2f}"


@dataclass(frozen=True)
class _Explanation:
    likelihood: float
    effect: Floats
    spread: Floats
    step: float


def _likelihood(one: _Explanation) -> float:
    return one.likelihood


def _fit(residual: Floats, spread: Floats, design: Floats, step: float = 0.0) -> _Explanation:
    """Generalised least squares and its log-likelihood, given the covariance of the residuals."""
    weighted = np.linalg.solve(spread, design)
    effect = np.asarray(np.linalg.solve(design.T @ weighted, weighted.T @ residual), dtype=np.float64)
    left = residual - design @ effect
    _, log_determinant = np.linalg.slogdet(spread)
    return _Explanation(
        float(-0.5 * (left @ np.linalg.solve(spread, left) + log_determinant)), effect, spread, step
    )
