"""The Aalen-Johansen estimate of one cause, with the others competing and censoring: what did happen, by when.

Text-book form: at every time somebody had the outcome, the share still open before it times the share of
those at risk that had it. Source: Aalen and Johansen, Scandinavian Journal of Statistics 5 (1978).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats
from forecast.history import OPEN, WON

__all__ = ["cumulative_incidence", "incidence_at"]

_NOTHING: Final = (np.empty(0), np.zeros(1))


def cumulative_incidence(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    *,
    of_cause: int = WON,
    weight: npt.ArrayLike | None = None,
) -> tuple[Floats, Floats]:
    """Cumulative incidence of `of_cause`: distinct times in days (k,), and (k + 1,) values.

    duration_days: (n,) days to the outcome, or to the end of what was seen
    cause: (n,) 0 not seen to end, 1 won, 2 lost
    `values[i]` is the share that had the outcome before or at the i-th time; see `incidence_at`
    """
    duration, causes = np.asarray(duration_days, dtype=np.float64), np.asarray(cause)
    if not duration.size:
        return _NOTHING
    own = np.ones(duration.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    times, place = np.unique(duration, return_inverse=True)

    def at_each_time(rows: Floats) -> Floats:
        return np.bincount(place, weights=rows, minlength=times.size).astype(np.float64)

    at_risk = np.cumsum(at_each_time(own)[::-1])[::-1]
    someone = np.where(at_risk > 0.0, at_risk, np.inf)  # a time that only rows of weight 0 have moves nothing
    decided = at_each_time(own * (causes != OPEN)) / someone
    had_it = at_each_time(own * (causes == of_cause)) / someone
    open_before = np.concatenate([[1.0], np.cumprod(1.0 - decided)[:-1]])
    return times, np.concatenate([[0.0], np.cumsum(open_before * had_it)])


def incidence_at(curve: tuple[Floats, Floats], horizons_days: npt.ArrayLike) -> Floats:
    """(H,) share that had the outcome within each horizon: before it, for within is half-open."""
    times, values = curve
    return values[np.searchsorted(times, np.asarray(horizons_days, dtype=np.float64), side="left")]
