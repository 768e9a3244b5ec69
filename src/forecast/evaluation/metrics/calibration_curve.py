"""Calibration without bins: a smooth curve of what happened over what was said, and its distance from it.

The curve is loess: at every probability a straight line through the rows nearest to it, three quarters of
their weight, with tricube weights that fall to 0 at the farthest. Source of the smoother: Cleveland, Journal
of the American Statistical Association 74 (1979), one pass, no robustness steps since outcomes are 0 and 1.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats
from forecast.evaluation.metrics.rows import weighed

__all__ = ["calibration_curve", "integrated_calibration_index"]

_SPAN: Final = 0.75
# Rows of more distinct predictions than this are first put together, neighbours of equal weight: the line
# through three quarters of them does not notice, and the curve costs the same for any number of rows.
_POINTS: Final = 200


def calibration_curve(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    span: float = _SPAN,
) -> tuple[Floats, Floats]:
    """What was said, increasing (k,), and the smoothed share that happened there (k,), k at most 200.

    span: share of the weight in each local line, in (0, 1]
    """
    if not 0.0 < span <= 1.0:
        raise ValueError(f"span {span} is not inside (0, 1]")
    w, y, p = weighed(weight, actual, predicted)
    if not w.size:
        return np.empty(0), np.empty(0)
    at, x, share = _points(w, y, p)
    far = np.abs(x[:, None] - x)  # (k, k) from each asked point to every other
    order = np.argsort(far, axis=1, kind="stable")
    reached = np.cumsum(at[order], axis=1)
    # A tolerance, for sums of weights that should be equal may differ in the last digit.
    enough = np.argmax(reached >= span * at.sum() * (1.0 - 1e-12), axis=1)
    each = np.arange(x.size)
    width = far[each, order[each, enough]][:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        near = np.where(width > 0.0, np.clip(1.0 - (far / width) ** 3, 0.0, None) ** 3, far == 0.0)
    near = near * at
    total = near.sum(axis=1)
    centre, level = near @ x / total, near @ share / total
    aside = x - centre[:, None]
    spread = (near * aside**2).sum(axis=1)
    # Where only one point is near there is no slope: its own share stands.
    level += np.where(
        spread > 1e-15 * total,
        (near * aside * (share - level[:, None])).sum(axis=1) / np.maximum(spread, 1e-300) * (x - centre),
        0.0,
    )
    return x, np.clip(level, 0.0, 1.0)


def integrated_calibration_index(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    span: float = _SPAN,
) -> float:
    """Mean distance between the probability given and the smoothed share that happened; 0 is perfect.

    Like `calibration_error` without its bins. Noise adds to it: with few rows a perfect forecast does not
    reach 0, so show it with an interval (`block_bootstrap`) or beside another forecast on the same rows.
    For outcomes that were cut off, give the outcomes and weights of `won_within`.
    Source: Austin and Steyerberg, Statistics in Medicine 38 (2019).
    """
    w, y, p = weighed(weight, actual, predicted)
    if not w.size:
        return float("nan")
    said, happened = calibration_curve(y, p, weight=w, span=span)
    return float(w @ np.abs(np.interp(p, said, happened) - p) / w.sum())


def _points(w: Floats, y: Floats, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Weight, mean prediction and share that happened, per distinct prediction or per group of neighbours."""
    values, place = np.unique(p, return_inverse=True)
    at: Floats = np.bincount(place, weights=w).astype(np.float64)
    if values.size > _POINTS:
        middle = (np.cumsum(at) - 0.5 * at) / at.sum()
        place = np.unique((middle * _POINTS).astype(np.intp), return_inverse=True)[1][place]
        at = np.bincount(place, weights=w).astype(np.float64)
        values = np.bincount(place, weights=w * p) / at
    return at, values, np.bincount(place, weights=w * y) / at
