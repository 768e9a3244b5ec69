"""Metrics of a whole curve: what happens to a deal, and when, of which not all has been seen yet.

`metric(duration_days, cause, predicted, ..., *, weight=None) -> float`. What happened takes two columns here:
duration_days (n,) from the landmark to the outcome or to the end of what was seen, and cause (n,), 0 not seen
to end, 1 won, 2 lost. What was said is a cumulative incidence: P(outcome within h days). Rows that were cut
off are made up for by IPCW, as `metrics.censoring` explains, with the censoring times of the same rows.

All of it is half-open: within h days is duration < h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from forecast.arrays import Bools, Floats, Ints
from forecast.evaluation.metrics.censoring import FOLLOWED_AT_LEAST, censoring_survival, state_within
from forecast.evaluation.metrics.incidence import cumulative_incidence, incidence_at
from forecast.evaluation.metrics.probability import brier
from forecast.history import LOST, OPEN, WON

__all__ = ["aalen_johansen_calibration", "concordance_index", "integrated_brier", "ipcw_brier"]

_STATES: Final = (OPEN, WON, LOST)


def ipcw_brier(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    predicted: npt.ArrayLike,
    horizon_days: float,
    *,
    of_cause: int = WON,
    follow_up_days: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Brier score of the state after `horizon_days`, as if all rows had been followed that long; 0 is perfect.

    predicted: (n,) P(`of_cause` within the horizon), or (n, 3) P(open), P(won), P(lost) at the horizon. With
        three states the squared distances of all three are added, so that the worst possible is 2
    of_cause: for (n,): 1 won or 2 lost, or 0 for P(still open at the horizon)
    follow_up_days: given, rows are weighted the administrative way instead of by IPCW

    NaN where fewer than one row in twenty was followed that long.
    Source: Graf et al., Statistics in Medicine 18 (1999); competing risks, Schoop et al., Biometrical Journal
    53 (2011); three states, Spitoni et al., Biometrical Journal 60 (2018).
    """
    duration, causes, said, own, followed = _rows(duration_days, cause, predicted, weight, follow_up_days)
    return _brier_at(duration, causes, said, horizon_days, of_cause, followed, own)


def integrated_brier(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    predicted: npt.ArrayLike,
    horizons_days: Sequence[float],
    *,
    of_cause: int = WON,
    follow_up_days: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Mean of `ipcw_brier` over time, from the first horizon to the last, by the trapezoid rule.

    predicted: (n, H) P(`of_cause` within each horizon), or (n, H, 3) P(open), P(won), P(lost)
    horizons_days: (H,) increasing, two at least; take them close together, e.g. every week

    NaN if the score of any horizon is: then ask for fewer days.
    """
    horizons = np.asarray(horizons_days, dtype=np.float64)
    if horizons.size < 2 or not (np.diff(horizons) > 0.0).all():
        raise ValueError(f"horizons {list(horizons_days)} do not span time; expected two or more, increasing")
    duration, causes, said, own, followed = _rows(duration_days, cause, predicted, weight, follow_up_days)
    if said.ndim < 2 or said.shape[1] != horizons.size:
        raise ValueError(
            f"predictions of shape {said.shape} for {horizons.size} horizons; expected (n, H, ...)"
        )
    scores = np.array(
        [
            _brier_at(duration, causes, said[:, place], horizon, of_cause, followed, own)
            for place, horizon in enumerate(horizons)
        ]
    )
    return float(np.trapezoid(scores, horizons) / (horizons[-1] - horizons[0]))


def concordance_index(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    predicted: npt.ArrayLike,
    *,
    horizon_days: float | None = None,
    of_cause: int = WON,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Chance that of two deals the one with the outcome first was given more; ties count half, 0.5 is a coin.

    A deal won at T is compared with all that were still open at T, and with all that had ended otherwise by
    then: those can never be won. Pairs are weighted by the inverse chance of having been seen.

    predicted: (n,) the higher, the sooner: P(`of_cause` within the horizon)
    horizon_days: only outcomes within it count as first; None for all that were seen

    Outcomes at times where fewer than one row in twenty was still followed are left out, as if the horizon
    ended there. NaN if no pair can be compared. Ranks alone: says nothing of calibration.
    Source: Wolbers et al., Biostatistics 15 (2014), with weights as in Uno et al. (2011). O(n log^2 n).
    """
    duration, causes, said, own, _ = _rows(duration_days, cause, predicted, weight, None)
    if said.ndim != 1:
        raise ValueError(f"predictions of shape {said.shape}; a ranking takes one number a row")
    times, survival = censoring_survival(duration, causes == OPEN, own)
    followed = survival[np.searchsorted(times, duration, side="right")]
    first = (causes == of_cause) & (followed >= FOLLOWED_AT_LEAST)
    if horizon_days is not None:
        first &= duration < horizon_days
    if not first.any():
        return float("nan")
    rank = np.unique(said, return_inverse=True)[1].astype(np.int64)

    # Still open at T: whoever comes after it in time, those cut off at T itself included.
    later = np.lexsort((causes == OPEN, duration))
    after = np.searchsorted(duration[later], duration[first], side="left")
    # Of the rows at T itself, those with an outcome come first and are passed over.
    ended_at = np.bincount(np.searchsorted(times, duration[causes != OPEN]), minlength=times.size)
    after = after + ended_at[np.searchsorted(times, duration[first])]
    beaten, all_open = _outranked(rank[later], own[later], after, rank[first])

    # Ended otherwise by T, newest last: counted from the end of the reversed order.
    other = np.flatnonzero((causes != OPEN) & (causes != of_cause))
    other = other[np.argsort(-duration[other], kind="stable")]
    ended = np.searchsorted(-duration[other], -duration[first], side="left")
    # Their chance to be seen is that of their own time; where it is 0 they come too late for any pair.
    seen = own[other] / np.where(followed[other] > 0.0, followed[other], np.inf)
    beaten_other, all_other = _outranked(rank[other], seen, ended, rank[first])

    each = own[first] / followed[first]
    right = each @ (beaten / followed[first] + beaten_other)
    pairs = each @ (all_open / followed[first] + all_other)
    return float(right / pairs) if pairs > 0.0 else float("nan")


def aalen_johansen_calibration(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    predicted: npt.ArrayLike,
    horizons_days: Sequence[float],
    *,
    of_cause: int = WON,
    power: float = 2.0,
    weight: npt.ArrayLike | None = None,
) -> float:
    """Distance between the mean curve that was said and the Aalen-Johansen curve of what happened; 0 is best.

    The integral over the horizons of |mean predicted - Aalen-Johansen| ^ `power`, over the last horizon; with
    `power` 1 it is a mean distance in probability. Of all deals together: a forecast of the base rate for
    everyone passes it, so it belongs beside a score.

    predicted: (n, H) P(`of_cause` within each horizon), or of still being open for `of_cause` 0
    horizons_days: (H,) increasing; those where fewer than one row in twenty is at risk are left out

    NaN with fewer than two horizons left. Source: Alberge et al., On the calibration of survival models with
    competing risks, AISTATS (2026).
    """
    horizons = np.asarray(horizons_days, dtype=np.float64)
    duration, causes, said, own, _ = _rows(duration_days, cause, predicted, weight, None)
    if said.ndim != 2 or said.shape[1] != horizons.size:
        raise ValueError(f"predictions of shape {said.shape} for {horizons.size} horizons; expected (n, H)")
    if not own.size:
        return float("nan")
    at_risk = np.array([own[duration >= horizon].sum() for horizon in horizons]) / own.sum()
    kept = at_risk >= FOLLOWED_AT_LEAST
    if kept.sum() < 2:
        return float("nan")
    if of_cause == OPEN:
        happened = 1.0 - sum(
            incidence_at(cumulative_incidence(duration, causes, of_cause=one, weight=own), horizons[kept])
            for one in np.unique(causes[causes != OPEN])
        )
    else:
        curve = cumulative_incidence(duration, causes, of_cause=of_cause, weight=own)
        happened = incidence_at(curve, horizons[kept])
    apart = np.abs(own @ said[:, kept] / own.sum() - happened)
    return float(np.trapezoid(apart**power, horizons[kept]) / horizons[kept][-1])


def _rows(
    duration_days: npt.ArrayLike,
    cause: npt.ArrayLike,
    predicted: npt.ArrayLike,
    weight: npt.ArrayLike | None,
    follow_up_days: npt.ArrayLike | None,
) -> tuple[Floats, Ints, Floats, Floats, Floats | None]:
    """Duration, cause, prediction, weight and follow-up of the rows that count; refuses like `rows.weighed`."""
    duration, said = np.asarray(duration_days, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    causes = np.asarray(cause)
    if duration.ndim != 1 or causes.shape != duration.shape or said.shape[:1] != duration.shape:
        raise ValueError(
            f"durations {duration.shape}, causes {causes.shape} and predictions {said.shape}; "
            "expected the same number of rows"
        )
    own = np.ones(duration.shape) if weight is None else np.asarray(weight, dtype=np.float64)
    if own.shape != duration.shape:
        raise ValueError(f"{own.shape} weights for {duration.shape} rows; expected one weight a row")
    if not (own >= 0.0).all():
        raise ValueError("a weight is negative or NaN; expected weights of 0 or more")
    counts: Bools = own > 0.0
    duration, said = duration[counts], said[counts]
    if np.isnan(duration).any() or np.isnan(said).any():
        raise ValueError("a row that counts holds NaN; give unknown rows weight 0")
    followed = None
    if follow_up_days is not None:
        followed = np.broadcast_to(np.asarray(follow_up_days, dtype=np.float64), own.shape)[counts]
    return duration, causes[counts].astype(np.int64), said, own[counts], followed


def _brier_at(
    duration: Floats,
    cause: Ints,
    said: Floats,
    horizon_days: float,
    of_cause: int,
    followed: Floats | None,
    own: Floats,
) -> float:
    seen = state_within(duration, cause, horizon_days, follow_up_days=followed, weight=own)
    if said.ndim == 1:
        return brier(seen.state == of_cause, said, weight=seen.weight)
    if said.shape[1:] != (len(_STATES),):
        raise ValueError(f"predictions of shape {said.shape} at a horizon; expected (n,) or (n, 3)")
    return sum(
        brier(seen.state == state, said[:, place], weight=seen.weight) for place, state in enumerate(_STATES)
    )


def _outranked(rank: Ints, weight: Floats, first: Ints, asked: Ints) -> tuple[Floats, Floats]:
    """For each question: weight of the rows from place `first` on that are ranked below `asked`, and of all.

    rank, weight: (m,); first, asked: (q,). Rows of equal rank count half.

    A suffix of m places is at most log m whole blocks of 1, 2, 4, ... places. Per size of block, all rows are
    sorted by (block, rank) at once and the questions look their place up by bisection.
    """
    size = rank.size
    total = np.concatenate([[0.0], np.cumsum(weight)])
    below = np.zeros(asked.size)
    ranks = int(max(rank.max(initial=0), asked.max(initial=0))) + 1
    at, place, width = first.astype(np.int64), np.arange(size), 1
    while (at < size).any():
        # Place 0 has no bit to ask by: its suffix is everything, the one block that is as wide.
        asks = np.flatnonzero((at < size) & ((at & width != 0) | ((at == 0) & (width >= size))))
        if asks.size:
            key = place // width * ranks + rank
            order = np.argsort(key, kind="stable")
            key, running = key[order], np.concatenate([[0.0], np.cumsum(weight[order])])
            block = at[asks] // width
            wanted = block * ranks + asked[asks]
            before = running[np.searchsorted(key, wanted, side="left")]
            until = running[np.searchsorted(key, wanted, side="right")]
            below[asks] += 0.5 * (before + until) - running[block * width]
            at[asks] += width
        width *= 2
    return below, total[-1] - total[first]
