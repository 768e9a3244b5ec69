"""What became of each record and when, as known before a moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from forecast.arrays import Bools, Ints
from forecast.history import LOST, OPEN, WON, History
from forecast.history.history import NEVER_US

__all__ = ["Fates"]

_COHORTS: Final = 20  # groups of records created at the same time
_PER_COHORT: Final = 5  # open records a group should have


@dataclass(frozen=True)
class Fates:
    """(n,) each: of deals, or of leads read as deals.

    created_us, from_us : when created, and when first seen
    closed_us : the closing that still holds; NEVER_US for a record that is open
    kind : OPEN, WON or LOST, -1 for one not yet known
    """

    created_us: Ints
    from_us: Ints
    closed_us: Ints
    kind: Ints
    until_us: int

    @classmethod
    def of(cls, history: History, until_us: int) -> Fates:
        """As known before `until_us`; a record re-opened counts by what it is then."""
        every = np.arange(len(history))
        stage = history.stage(every, np.int64(until_us))
        kind = np.where(stage >= 0, history.stages.kind[stage], -1).astype(np.int64)
        closings = history.closings
        known = closings.at_us < until_us
        closed_us = np.full(len(history), NEVER_US, dtype=np.int64)
        # In order of time within a deal: the last one stays.
        closed_us[closings.deal[known]] = closings.at_us[known]
        closed_us[kind == OPEN] = NEVER_US
        newest = int(history.clock.moments_us[-1]) + 1 if len(history.clock.moments_us) else until_us
        return cls(
            history.columns.created_at_us,
            history.known_from_us(),
            closed_us,
            kind,
            min(until_us, newest),
        )

    @cached_property
    def is_open(self) -> Bools:
        """(n,) open at the end."""
        return np.asarray(self.kind == OPEN)

    @cached_property
    def is_closed(self) -> Bools:
        """(n,) won or lost at the end."""
        return np.asarray((self.kind == WON) | (self.kind == LOST))

    @cached_property
    def won(self) -> Bools:
        """(n,) won at the end."""
        return np.asarray(self.kind == WON)

    @cached_property
    def cohort(self) -> Ints:
        """(n,) groups of records created at the same time, cut so that each holds about as many open ones.

        What is older than the oldest open record, and has nothing to be compared with, is group 0.
        """
        open_us = self.created_us[self.is_open]
        groups = int(np.clip(len(open_us) // _PER_COHORT, 1, _COHORTS))
        if not len(open_us):
            return np.zeros(len(self.kind), dtype=np.int64)
        edges = np.quantile(open_us, np.linspace(0, 1, groups + 1)[:-1]).astype(np.int64)
        return np.searchsorted(np.unique(edges), self.created_us, side="right")
