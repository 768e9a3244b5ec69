"""The one primitive of point-in-time reading: how many entries of a group came before a moment.

Entries are kept sorted by (group, time). A group is whatever has a history of its own: a field of a deal, the
closings of an owner. Every moment in the data has a rank on one common `Clock`, so that (group, rank) packs
into a single int64 key and one `searchsorted` answers a million questions, or one.

Example, group 7 with entries at 09:00, 10:00 and 12:00: before 10:00 there is one (half-open: an entry at the
asked moment is not yet known), before 10:01 two. The last value before 10:01 is the one at 10:00.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast.arrays import Ints, Moments

__all__ = ["AsOfIndex", "Clock"]


@dataclass(frozen=True, slots=True)
class Clock:
    """All moments at which anything was recorded, once each.

    moments_us : (M,) increasing
    """

    moments_us: Ints

    @classmethod
    def of(cls, *times_us: Ints) -> Clock:
        """The clock of all given times."""
        moments = np.concatenate(times_us) if times_us else np.empty(0, np.int64)
        moments.sort()
        new = np.empty(len(moments), dtype=bool)
        new[:1] = True
        np.not_equal(moments[1:], moments[:-1], out=new[1:])
        return cls(moments[new])

    def rank(self, at_us: Moments) -> Ints:
        """Number of recorded moments strictly before each `at_us` (any shape)."""
        ranks: Ints = np.searchsorted(self.moments_us, at_us, side="left")
        return ranks

    @property
    def span(self) -> int:
        """Ranks lie in [0, span)."""
        return len(self.moments_us) + 1


@dataclass(frozen=True, slots=True)
class AsOfIndex:
    """Entries sorted by (group, time), ready to be asked about any moment.

    starts : (groups + 1,) first entry of each group; entries of g are [starts[g], starts[g + 1])
    keys : (N,) group * span + rank, increasing
    """

    starts: Ints
    keys: Ints
    span: int

    @classmethod
    def of(cls, group: Ints, at_us: Ints, groups: int, clock: Clock) -> AsOfIndex:
        """Index entries that are already sorted by (group, at_us)."""
        starts = np.searchsorted(group, np.arange(groups + 1))
        return cls(starts, group * clock.span + clock.rank(at_us), clock.span)

    def end(self, group: Ints, rank: Ints) -> Ints:
        """Position after the last entry of `group` before the moment with `rank` (shapes broadcast).

        `end - starts[group]` is the number of entries known; if it is positive, `end - 1` is the last of them.
        """
        # An entry exactly at the asked moment has the same rank as the question, so 'left' leaves it out.
        return np.searchsorted(self.keys, group * self.span + rank, side="left")
