"""Landmarks: the rows models learn from. One row per deal open at each moment of a weekly grid.

Training on closed deals only would teach that everything closes. A landmark asks the question that is asked
in use: of a deal open now, what happens next, and when? Deals still open at the end are censored, not dropped.

Example: grid every 7 days, data until 1 Jul. A deal first seen 3 Jun and won 20 Jun 15:00 has landmarks on
5, 12 and 19 Jun with durations 15.6, 8.6 and 1.6 days and cause WON; one first seen 3 Jun and still open has
landmarks on 5, 12, 19 and 26 Jun with durations 26, 19, 12 and 5 days and cause OPEN (censored).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forecast.history.history import History
from forecast.history.stages import OPEN
from forecast.periods import DAY_US

__all__ = ["Landmarks", "make_landmarks"]


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Rows in order of (deal, at_us).

    deal : (n,) index of the deal in its history
    at_us : (n,) the as-of moment
    duration_days : (n,) from there to the outcome or to the end of what is known
    cause : (n,) 0 censored, 1 won, 2 lost
    weight : (n,) how many rows this one stands for (thinning keeps totals)
    """

    deal: NDArray[np.int64]
    at_us: NDArray[np.int64]
    duration_days: NDArray[np.float64]
    cause: NDArray[np.int8]
    weight: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.deal)

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Landmarks:
        """Some of the rows, by mask or position."""
        return Landmarks(
            self.deal[rows], self.at_us[rows], self.duration_days[rows], self.cause[rows], self.weight[rows]
        )

    def thin(self, most: int, rng: np.random.Generator) -> Landmarks:
        """At most `most` rows, drawn at random; each stands for as many as it replaces."""
        if len(self) <= most:
            return self
        kept = self.take(np.sort(rng.choice(len(self), size=most, replace=False)))
        return Landmarks(
            kept.deal, kept.at_us, kept.duration_days, kept.cause, kept.weight * (len(self) / most)
        )


def make_landmarks(
    history: History, *, until_us: int, first_us: int | None = None, every_days: float = 7.0
) -> Landmarks:
    """All landmarks of a history on the grid first_us, first_us + every_days, ... before `until_us`.

    Only entries recorded before `until_us` are seen: outcomes at or after it are censored there. Without
    `first_us` the grid is laid back from `until_us`, so that the newest landmarks lie one step before it.
    """
    step_us = round(every_days * DAY_US)
    deal, at_us, stage = history.stage_entries
    known = at_us < until_us
    deal, at_us, kind = deal[known], at_us[known], history.stages.kind[stage[known]]
    is_open = kind == OPEN
    # A spell starts where a deal becomes open and ends at its next closing.
    first_of_deal = np.ones(len(deal), dtype=bool)
    first_of_deal[1:] = deal[1:] != deal[:-1]
    open_before = np.zeros(len(deal), dtype=bool)
    open_before[1:] = is_open[:-1] & ~first_of_deal[1:]
    starts = np.flatnonzero(is_open & ~open_before)
    closing = np.flatnonzero(~is_open & open_before)
    following = np.searchsorted(closing, starts)
    closed = following < len(closing)
    ends_at = np.full(len(starts), until_us, dtype=np.int64)
    cause = np.zeros(len(starts), dtype=np.int8)
    next_closing = closing[following[closed]]
    mine = deal[next_closing] == deal[starts[closed]]
    spells = np.flatnonzero(closed)[mine]
    ends_at[spells] = at_us[next_closing[mine]]
    cause[spells] = kind[next_closing[mine]]

    start_us = at_us[starts]
    if first_us is None:
        earliest = int(start_us.min()) if len(start_us) else until_us
        first_us = until_us - ((until_us - earliest) // step_us) * step_us
    # Grid point g sees the spell if start < g, and the deal is still open there if g <= end (half-open).
    low = np.maximum((start_us - first_us) // step_us + 1, 0)
    high = (np.where(cause > 0, ends_at, until_us - 1) - first_us) // step_us
    count = np.maximum(high - low + 1, 0)
    spell = np.repeat(np.arange(len(starts)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    at = first_us + (low[spell] + within) * step_us
    return Landmarks(
        deal=deal[starts][spell],
        at_us=at,
        duration_days=(ends_at[spell] - at) / DAY_US,
        cause=cause[spell],
        weight=np.ones(len(at)),
    )
