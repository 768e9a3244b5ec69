"""Metrics of a number: an amount of bookings or of one deal, both in one currency, or days until a win."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats
from forecast.evaluation.metrics.rows import weighed

__all__ = [
    "Coverage",
    "bias",
    "interval_coverage",
    "mae",
    "mape",
    "mase",
    "median_ape",
    "pinball",
    "quantile_coverage",
    "wape",
]


class Coverage(NamedTuple):
    """share: of actuals inside the interval, ends included; width: mean of upper - lower.

    One without the other says nothing: an interval from 0 to infinity covers everything.
    """

    share: float
    width: float


def wape(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> float:
    """Sum of absolute errors over the sum of actuals: 0.1 is ten per cent off. NaN if nothing was booked."""
    w, y, p = weighed(weight, actual, predicted)
    return _ratio(w * np.abs(p - y), w * np.abs(y))


def bias(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> float:
    """(Sum of predictions - sum of actuals) / sum of actuals: above 0 too much was promised."""
    w, y, p = weighed(weight, actual, predicted)
    return _ratio(w * (p - y), w * np.abs(y))


def mape(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> float:
    """Mean of |error| / |actual|. Rows whose actual is 0 have no percentage and are left out."""
    w, y, p = weighed(weight, actual, predicted)
    has_any = y != 0.0
    w, y, p = w[has_any], y[has_any], p[has_any]
    return _ratio(w * np.abs((p - y) / y), w)


def median_ape(
    actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None
) -> float:
    """Median of |error| / |actual|: half of the deals are nearer. Rows whose actual is 0 are left out.

    With an even number of rows of equal weight, the mean of the two in the middle.
    """
    w, y, p = weighed(weight, actual, predicted)
    has_any = y != 0.0
    w, y, p = w[has_any], y[has_any], p[has_any]
    if not w.size:
        return float("nan")
    error = np.abs((p - y) / y)
    order = np.argsort(error, kind="stable")
    error, reached = error[order], np.cumsum(w[order]) / w.sum()
    # Between the first to reach one half and the first to pass it, with room for a last digit.
    first, passing = np.searchsorted(reached, [0.5 - 1e-12, 0.5 + 1e-12])
    return float(0.5 * (error[first] + error[passing]))


def mae(actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> float:
    """Mean absolute error, in the unit of its arguments: days for a close date."""
    w, y, p = weighed(weight, actual, predicted)
    return _ratio(w * np.abs(p - y), w)


def mase(
    actual: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    reference: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Absolute error over that of a reference on the same rows: below 1 it is beaten. NaN if it is perfect.

    reference: predictions to beat, (n,): for bookings the same quarter of last year times growth. Hyndman and
        Koehler, International Journal of Forecasting 22 (2006), scale by the reference's error in the past;
        on the same rows it needs no past, and few quarters have one.
    """
    w, y, p, r = weighed(weight, actual, predicted, reference)
    return _ratio(w * np.abs(p - y), w * np.abs(r - y))


def pinball(
    actual: npt.ArrayLike, predicted: npt.ArrayLike, *, level: float, weight: npt.ArrayLike | None = None
) -> float:
    """Mean quantile loss of a predicted `level` quantile, in the unit of the amounts; least at the true one.

    >>> pinball([10.0], [8.0], level=0.9)
    1.8
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level {level} is not inside (0, 1)")
    w, y, q = weighed(weight, actual, predicted)
    return _ratio(w * np.maximum(level * (y - q), (level - 1.0) * (y - q)), w)


def interval_coverage(
    actual: npt.ArrayLike,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
) -> Coverage:
    """Share of actuals inside [lower, upper] beside the mean width that it took."""
    w, y, low, high = weighed(weight, actual, lower, upper)
    return Coverage(_ratio(w * ((low <= y) & (y <= high)), w), _ratio(w * (high - low), w))


def quantile_coverage(
    actual: npt.ArrayLike, predicted: npt.ArrayLike, *, weight: npt.ArrayLike | None = None
) -> float:
    """Share of actuals at or below a predicted quantile: near the quantile's level is good."""
    w, y, q = weighed(weight, actual, predicted)
    return _ratio(w * (y <= q), w)


def _ratio(above: Floats, below: Floats) -> float:
    """Sum over sum, NaN where there is nothing below."""
    total = below.sum()
    return float(above.sum() / total) if total > 0.0 else float("nan")
