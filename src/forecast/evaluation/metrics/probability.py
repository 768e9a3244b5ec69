"""Metrics of a probability, by the question they answer.

How far off on the whole (`brier`, `brier_skill`, `log_loss`), are the likely ones ranked first (`auc`), and
do 30 % happen three times in ten (`calibration`, `calibration_error`, `reliability`).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, logit, ndtri, xlogy

from forecast.arrays import Floats
from forecast.evaluation.metrics.rows import weighed

__all__ = [
    "Calibration",
    "auc",
    "auc_by_place",
    "brier",
    "brier_skill",
    "calibration",
    "calibration_error",
    "log_loss",
    "reliability",
]

_SMALLEST: Final = float(np.finfo(np.float64).eps)


class Calibration(NamedTuple):
    """Perfect is slope 1 and intercept 0.

    slope: below 1 the predictions are too extreme, above 1 too timid.
    intercept: in log-odds; above 0 more deals are won than was said.
    """

    slope: float
    intercept: float


def brier(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> float:
    """Mean squared distance between what happened and its probability; 0 is perfect.

    >>> brier([1, 0], [0.8, 0.4])
    0.1
    """
    w, y, p = weighed(weight, actual, predicted)
    return _mean((y - p) ** 2, w)


def brier_skill(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    reference: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Share of the reference's Brier score that was removed: 1 perfect, 0 no better, negative worse.

    reference: probabilities of the forecast to beat, (n,) or one number for every row.
    """
    w, y, p, r = weighed(weight, actual, predicted, reference)
    worse = _mean((y - r) ** 2, w)
    return 1.0 - _mean((y - p) ** 2, w) / worse if worse > 0.0 else float("nan")


def log_loss(
    actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None
) -> float:
    """Mean surprise in nats; 0 and 1 are read as the nearest numbers inside, so that it stays finite."""
    w, y, p = weighed(weight, actual, predicted)
    p = np.clip(p, _SMALLEST, 1.0 - _SMALLEST)
    return _mean(np.asarray(-xlogy(y, p) - xlogy(1.0 - y, 1.0 - p), dtype=np.float64), w)


def auc(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> float:
    """Chance that a won deal was given more than a deal not won; ties count half. NaN with only one kind."""
    w, y, p = weighed(weight, actual, predicted)
    return auc_by_place(y, np.unique(p, return_inverse=True)[1], w)


def auc_by_place(actual: Floats, place: npt.NDArray[np.intp], weight: Floats) -> float:
    """`auc` of predictions ranked before: many samples of the same rows need them sorted once.

    place: (n,) dense rank of each prediction, from 0
    """
    won, lost = weight * actual, weight * (1.0 - actual)
    if not won.sum() > 0.0 or not lost.sum() > 0.0:
        return float("nan")
    # Per distinct prediction: the weight of the losers it beats is all below plus half of its equals.
    lost_at = np.bincount(place, weights=lost)
    won_at = np.bincount(place, weights=won)
    beaten = np.cumsum(lost_at) - 0.5 * lost_at
    return float(won_at @ beaten / (won.sum() * lost.sum()))


def calibration(
    actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None
) -> Calibration:
    """Slope of a logistic fit of what happened on the log-odds predicted, and the level at slope 1.

    The intercept is the usual calibration in the large: the shift in log-odds that makes the mean prediction
    right. Both NaN with only one kind of outcome; the slope is NaN where every prediction is the same.
    Source: Van Calster et al., BMC Medicine 17:230 (2019).
    """
    w, y, p = weighed(weight, actual, predicted)
    if w.size == 0 or not 0.0 < _mean(y, w) < 1.0:
        return Calibration(float("nan"), float("nan"))
    odds = logit(np.clip(p, _SMALLEST, 1.0 - _SMALLEST))
    (level,) = _logistic(np.ones((w.size, 1)), y, w, offset=odds)
    if np.ptp(odds) == 0.0:
        return Calibration(float("nan"), float(level))
    centre = _mean(odds, w)
    _, slope = _logistic(np.column_stack([np.ones(w.size), odds - centre]), y, w, offset=np.zeros(w.size))
    return Calibration(float(slope), float(level))


def calibration_error(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    bins: int = 20,
) -> float:
    """Mean distance between the probability given and the share that happened, over bins of equal weight.

    The adaptive expected calibration error: bins hold about the same weight, and equal predictions are never
    parted. A perfect forecast does not reach 0 with few rows: each bin's share has noise of its own.
    """
    w, y, p = weighed(weight, actual, predicted)
    if w.size == 0:
        return float("nan")
    gap = np.bincount(_bin(p, w, bins), weights=w * (y - p), minlength=bins)
    return float(np.abs(gap).sum() / w.sum())


def reliability(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    bins: int = 10,
    level: float = 0.9,
) -> pd.DataFrame:
    """The table behind a reliability diagram: what was said and what happened, by bins of equal weight.

    Columns said (mean probability of the bin), happened (share), lower and upper (Wilson's interval of that
    share at `level`, as if rows were independent), rows, weight; in order of said, bins without rows left out.
    Made of the bins of `calibration_error`. Source of the interval: Wilson, Journal of the American Statistical
    Association 22 (1927), with (sum of weights)^2 / sum of squared weights for the number of rows.
    """
    w, y, p = weighed(weight, actual, predicted)
    place = np.unique(_bin(p, w, bins), return_inverse=True)[1] if w.size else np.empty(0, dtype=np.intp)
    total = np.bincount(place, weights=w)
    said, happened = (np.bincount(place, weights=w * one) / total for one in (p, y))
    size = total**2 / np.bincount(place, weights=w**2)
    z = ndtri(0.5 + 0.5 * level)
    middle = (happened + z**2 / (2.0 * size)) / (1.0 + z**2 / size)
    wide = z / (1.0 + z**2 / size) * np.sqrt(happened * (1.0 - happened) / size + (z / (2.0 * size)) ** 2)
    return pd.DataFrame(
        {
            "said": said,
            "happened": happened,
            "lower": np.clip(middle - wide, 0.0, 1.0),
            "upper": np.clip(middle + wide, 0.0, 1.0),
            "rows": np.bincount(place),
            "weight": total,
        }
    )


def _bin(p: Floats, w: Floats, bins: int) -> npt.NDArray[np.intp]:
    """(n,) which of `bins` parts of equal weight each prediction lies in; equal predictions lie together."""
    values, place = np.unique(p, return_inverse=True)
    at = np.bincount(place, weights=w, minlength=values.size)
    # The bin of a distinct prediction is where the middle of its weight lies.
    middle = (np.cumsum(at) - 0.5 * at) / at.sum()
    which: npt.NDArray[np.intp] = np.minimum((middle * bins).astype(np.intp), bins - 1)[place]
    return which


def _logistic(x: Floats, y: Floats, w: Floats, *, offset: Floats) -> Floats:
    """Weighted maximum likelihood of y ~ Bernoulli(expit(offset + x b)) by damped Newton steps: b (k,)."""
    b = np.zeros(x.shape[1])

    def loss(at: Floats) -> float:
        z = offset + x @ at
        return float(w @ (np.logaddexp(0.0, z) - y * z))

    now = loss(b)
    for _ in range(100):
        mean = expit(offset + x @ b)
        gradient = x.T @ (w * (mean - y))
        # The small ridge only keeps the step finite where every fitted probability has reached 0 or 1.
        curvature = x.T @ (x * (w * mean * (1.0 - mean))[:, None]) + 1e-12 * w.sum() * np.eye(b.size)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while (then := loss(b - size * step)) > now and size > 1e-8:
            size *= 0.5
        b, gain, now = b - size * step, now - then, then
        if gain <= 1e-12 * abs(now):
            break
    return b


def _mean(values: Floats, weight: Floats) -> float:
    return float(weight @ values / weight.sum()) if weight.size else float("nan")
