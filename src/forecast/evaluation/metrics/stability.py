"""Does a forecast hold still when nothing happens: between weeks, and between versions of the models.

A number that moves by itself is not trusted, however right it is on average. Two moves are told apart from
news: from one week to the next for deals of which nothing was recorded, and from one model to the next on the
same data. Both compare the same deals and the same target, e.g. P(won by 31 March).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats
from forecast.evaluation.metrics.rows import weighed

__all__ = ["Jump", "carried_forward", "jump", "unexplained_change"]


class Jump(NamedTuple):
    """mean: of the absolute changes; largest: of them; net: of the changes with their sign."""

    mean: float
    largest: float
    net: float


def carried_forward(
    won_by_date: npt.ArrayLike, won_by_now: npt.ArrayLike, open_by_now: npt.ArrayLike
) -> Floats:
    """What an earlier forecast already implied for today: P(won by the date | still open today), (n,).

    won_by_date: (n,) P(won by the date) said then; won_by_now, open_by_now: (n,) P(won by today) and P(still
    open today) said then

    A week without news is news of a kind: a deal that was to close now and did not is less likely to close by
    the date. Curves know that, and this part of the change is no instability. NaN where the earlier forecast
    left no chance of being open today.

    E.g. a deal was given 0.30 by 31 March, of which 0.10 within this week, and 0.15 of being lost within it;
    it is still open: (0.30 - 0.10) / 0.75 = 0.27.
    """
    by_date, by_now, still = (
        np.asarray(one, dtype=np.float64) for one in (won_by_date, won_by_now, open_by_now)
    )
    return np.asarray((by_date - by_now) / np.where(still > 0.0, still, np.nan), dtype=np.float64)


def unexplained_change(
    earlier: npt.ArrayLike,
    later: npt.ArrayLike,
    *,
    news: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Mean absolute change of a forecast over rows of which nothing was recorded in between; 0 is best.

    earlier: (n,) said a week before, best as `carried_forward` to today
    later: (n,) said today of the same thing
    news: (n,) bool, whether anything was recorded in between; such rows are left out

    NaN if there was news of every row.
    """
    told = np.asarray(news, dtype=bool)
    own = np.ones(told.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    w, before, after = weighed(np.where(told, 0.0, own), earlier, later)
    return float(w @ np.abs(after - before) / w.sum()) if w.size else float("nan")


def jump(before: npt.ArrayLike, after: npt.ArrayLike, *, weight: npt.ArrayLike | None = None) -> Jump:
    """How far a forecast moves on unchanged data when only the models are other ones; 0 is best.

    before, after: (n,) of the old and of the new models, as of the same moment. NaN without rows.
    """
    w, old, new = weighed(weight, before, after)
    if not w.size:
        return Jump(float("nan"), float("nan"), float("nan"))
    moved = new - old
    return Jump(float(w @ np.abs(moved) / w.sum()), float(np.abs(moved).max()), float(w @ moved / w.sum()))
