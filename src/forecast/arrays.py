"""Names for the arrays that pass between modules. They tell the type; shapes and units stand in docstrings."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "Ints", "Moments", "Texts"]

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Bools: TypeAlias = NDArray[np.bool_]
# Of `str`, None for unknown.
Texts: TypeAlias = NDArray[np.object_]
# Microseconds since 1970 in UTC: many moments, or one that all rows share.
Moments: TypeAlias = NDArray[np.int64] | np.int64
