"""What every metric does first: bring its arguments to one shape and drop the rows that weigh nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats

__all__ = ["weighed"]


def weighed(weight: npt.ArrayLike | None, *columns: npt.ArrayLike) -> tuple[Floats, ...]:
    """The weights followed by each column, all (m,) float64: the m of n rows whose weight is positive.

    A column may be a scalar, which stands for every row; without weights every row counts 1.
    Raises ValueError for a negative or unknown weight, and for a NaN in a row that counts: an unknown value
    must be given weight 0 on purpose, or a metric would quietly describe other rows than its reader thinks.
    """
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    if len(shape) != 1:
        raise ValueError(f"metrics take columns of shape (n,); got {shape}")
    weights = np.ones(shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if weights.shape != shape:
        raise ValueError(f"{weights.shape} weights for {shape} rows; expected one weight a row")
    if not (weights >= 0.0).all():
        raise ValueError("a weight is negative or NaN; expected weights of 0 or more")
    counts = weights > 0.0
    kept = tuple(np.broadcast_to(array, shape)[counts] for array in arrays)
    if any(np.isnan(column).any() for column in kept):
        raise ValueError("a row that counts holds NaN; give unknown rows weight 0")
    return (weights[counts], *kept)
