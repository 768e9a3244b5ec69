"""Metrics of a whole distribution of an amount: the continuous ranked probability score (CRPS).

It is what the absolute error becomes when a distribution is said instead of a number: in the unit of the
amounts, 0 is perfect, and the distribution that is true has the least on average. Of a single number it is
the absolute error. Source: Gneiting and Raftery, Journal of the American Statistical Association 102 (2007).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from forecast.evaluation.metrics.amounts import pinball
from forecast.evaluation.metrics.rows import weighed

__all__ = ["crps_from_draws", "crps_from_quantiles"]


def crps_from_draws(
    actual: npt.ArrayLike, draws: npt.ArrayLike, *, weight: npt.ArrayLike | None = None
) -> float:
    """Mean CRPS of the distribution that puts 1/m on each of m draws, exactly.

    E|X - y| - E|X - X'| / 2, with the second term from the sorted draws instead of all pairs.

    actual: (n,); draws: (n, m) of each row's distribution, e.g. the scenarios of a period

    >>> crps_from_draws([10.0], [[8.0, 12.0]])
    1.0
    """
    many = np.asarray(draws, dtype=np.float64)
    if many.ndim != 2 or many.shape[1] == 0:
        raise ValueError(f"draws of shape {many.shape}; expected (n, m), one row of draws for each actual")
    size = many.shape[1]
    y = np.asarray(actual, dtype=np.float64)
    if y.shape != many.shape[:1]:
        raise ValueError(f"{many.shape[0]} rows of draws for actuals of shape {y.shape}")
    from_actual = np.abs(many - y[:, None]).mean(axis=1)
    among_draws = np.sort(many, axis=1) @ (2.0 * np.arange(1, size + 1) - size - 1.0) / size**2
    w, score = weighed(weight, from_actual - among_draws)
    return float(w @ score / w.sum()) if w.size else float("nan")


def crps_from_quantiles(
    actual: npt.ArrayLike,
    quantiles: npt.ArrayLike,
    levels: Sequence[float],
    *,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Mean CRPS as twice the quantile loss averaged over levels, each standing for the levels around it.

    quantiles: (n, Q), one column for each of `levels` (Q,), increasing inside (0, 1)

    With levels (k - 1/2) / Q it is exactly the CRPS of Q equal draws at the quantiles. With p10, p50 and p90
    it is a coarse one: compare it only with others from the same levels.
    Source: Laio and Tamea, Hydrology and Earth System Sciences 11 (2007).
    """
    at, said = np.asarray(levels, dtype=np.float64), np.asarray(quantiles, dtype=np.float64)
    if not at.size or not (np.diff(at) > 0.0).all() or at[0] <= 0.0 or at[-1] >= 1.0:
        raise ValueError(f"levels {list(levels)}; expected increasing levels inside (0, 1)")
    if said.ndim != 2 or said.shape[1] != at.size:
        raise ValueError(f"quantiles of shape {said.shape} for {at.size} levels; expected (n, Q)")
    edges = np.concatenate([[0.0], 0.5 * (at[1:] + at[:-1]), [1.0]])
    losses = [
        pinball(actual, said[:, place], level=float(level), weight=weight) for place, level in enumerate(at)
    ]
    return float(2.0 * np.diff(edges) @ np.array(losses))
