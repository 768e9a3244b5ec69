"""Labels that may not have been seen yet.

"Won within h days" of a landmark is known when the deal was decided, or was followed for h days and stayed
open. Dropping only the unknown rows would keep every early win and lose the deals still open beside them, so
that wins look too frequent. Two honest ways, both as weights for the metrics:

- *administrative*: the end of the data is the only reason for not knowing, so how long each landmark can be
  followed is known beforehand (`follow_up_days`). A landmark followed for less than h days is left out whole,
  also when its deal was won on the first day. Unbiased without any assumption; our back-tests use this one.
- *inverse probability of censoring (IPCW)*: without `follow_up_days`, a row whose label was seen stands also
  for those that were like it but were cut off earlier: it weighs 1 / P(not cut off until then), by the
  Kaplan-Meier estimate of the censoring times. Assumes that censoring does not depend on the deal.
  Source: Graf et al., Statistics in Medicine 18 (1999); the competing-risks form, Schoop et al. (2011).

E.g. the data end on 1 April. A landmark of 1 February (59 days before) won on 5 February: for h = 90 it has
weight 0 by the first way and about 1 by the second.

Time is half-open like everywhere: won within h days is duration < h, and followed for h days is seen for h.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats, Ints
from forecast.history import OPEN, WON

__all__ = [
    "FOLLOWED_AT_LEAST",
    "Labels",
    "States",
    "censoring_survival",
    "seen_win_weight",
    "state_within",
    "won_within",
]

# Where fewer than one row in twenty is still followed, a few rows would stand for all: nothing is said there.
FOLLOWED_AT_LEAST: Final = 0.05


class Labels(NamedTuple):
    """outcome: (n,) 1.0 won within the horizon, else 0.0 (also if unknown); weight: (n,) 0 where unknown."""

    outcome: Floats
    weight: Floats


class States(NamedTuple):
    """state: (n,) 0 open, 1 won, 2 lost at the horizon (0 also if unknown); weight: (n,) 0 where unknown."""

    state: Ints
    weight: Floats


def won_within(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    horizon_days: float,
    *,
    follow_up_days: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> Labels:
    """Outcome and weight of "won within `horizon_days`" for each landmark.

    duration_days: (n,) days from the landmark to the outcome, or to the end of what was seen
    cause: (n,) 0 not seen to end, 1 won, 2 lost
    follow_up_days: (n,) or one number; days each landmark could be followed. Given, labels are weighted the
        administrative way, otherwise by IPCW (see the module)
    weight: (n,) the landmarks' own weights, multiplied in
    """
    states = state_within(duration_days, cause, horizon_days, follow_up_days=follow_up_days, weight=weight)
    return Labels((states.state == WON).astype(np.float64), states.weight)


def seen_win_weight(
    duration_days: npt.ArrayLike, cause: npt.ArrayLike, *, weight: npt.ArrayLike | None = None
) -> Floats:
    """(n,) weights for metrics given a win, of its date or its amount; 0 for rows not seen won.

    Quick wins are seen more often than slow ones, which may come after the end of the data: unweighted, a
    date that is right for all wins looks late for those seen. By IPCW each seen win stands also for those as
    slow that were cut off. Wins where fewer than one row in twenty was followed weigh 0: nothing stands for
    still slower ones, and what is said holds for wins up to there.
    """
    duration, causes = np.asarray(duration_days, dtype=np.float64), np.asarray(cause)
    own = np.ones(duration.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    times, survival = censoring_survival(duration, causes == OPEN, own)
    followed = survival[np.searchsorted(times, duration, side="right")]
    seen = (causes == WON) & (followed >= FOLLOWED_AT_LEAST)
    return np.where(seen, own / np.where(seen, followed, 1.0), 0.0)


def state_within(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    horizon_days: float,
    *,
    follow_up_days: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> States:
    """State at `horizon_days` and weight of each landmark; arguments as for `won_within`."""
    duration = np.asarray(duration_days, dtype=np.float64)
    causes = np.asarray(cause)
    own = np.ones(duration.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    decided = (causes != OPEN) & (duration < horizon_days)
    state = np.where(decided, causes, OPEN).astype(np.int64)
    if follow_up_days is not None:
        followed = np.broadcast_to(np.asarray(follow_up_days, dtype=np.float64), duration.shape)
        return States(state, np.where(followed >= horizon_days, own, 0.0))

    times, survival = censoring_survival(duration, causes == OPEN, own)
    # An outcome at T was seen because censoring came after T; openness at h because it came at h or later.
    followed_to_outcome = survival[np.searchsorted(times, duration, side="right")]
    followed_to_horizon = float(survival[np.searchsorted(times, horizon_days, side="left")])
    if followed_to_horizon < FOLLOWED_AT_LEAST:
        return States(state, np.zeros(duration.shape))
    seen_open = ~decided & (duration >= horizon_days)
    chance = np.where(decided, followed_to_outcome, followed_to_horizon)
    return States(state, np.where(decided | seen_open, own / np.where(chance > 0.0, chance, np.inf), 0.0))


def censoring_survival(
    duration_days: Floats, censored: npt.NDArray[np.bool_], weight: Floats
) -> tuple[Floats, Floats]:
    """Kaplan-Meier estimate of the chance of not yet being cut off: distinct times (k,), survival (k + 1,).

    `survival[i]` holds after the i-th time: look up P(C > t) with `searchsorted(times, t, "right")` and
    P(C >= t) with "left". An outcome at t had C > t, so it is still at risk of censoring at t.
    """
    times, place = np.unique(duration_days, return_inverse=True)
    at_risk = np.cumsum(np.bincount(place, weights=weight, minlength=times.size)[::-1])[::-1]
    cut_off = np.bincount(place, weights=weight * censored, minlength=times.size)
    with np.errstate(invalid="ignore"):
        stays = np.where(at_risk > 0.0, 1.0 - cut_off / at_risk, 1.0)
    return times, np.concatenate([[1.0], np.cumprod(np.clip(stays, 0.0, 1.0))])
