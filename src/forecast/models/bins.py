"""The time axis of the hazard: bins after the as-of moment, and hat functions over log time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.models.season import Season
from forecast.periods import DAY_US

__all__ = ["Bins", "exposures", "hats"]

_EDGES_DAYS: Final = (
    0, 1, 2, 4, 7, 11, 16, 23, 32, 45, 60, 80, 105, 135, 170, 215, 270, 340, 430, 540, 730,
)  # fmt: skip


@dataclass(frozen=True)
class Bins:
    """Within a bin the hazard is constant; the last bin also serves everything after it.

    edges_days : (J + 1,) 0 = first edge, increasing
    """

    edges_days: Floats

    @classmethod
    def for_follow_up(cls, longest_days: float) -> Bins:
        """Bins as far as anybody was followed: beyond that no hazard can be learnt."""
        edges = np.array(_EDGES_DAYS, dtype=np.float64)
        return cls(edges[: max(int(np.searchsorted(edges, longest_days)) + 1, 4)])

    def __len__(self) -> int:
        return len(self.edges_days) - 1

    def of(self, days: Floats) -> Ints:
        """Bin of each duration; an event on an edge belongs to the bin that starts there."""
        at = np.searchsorted(self.edges_days, days, side="right") - 1
        return np.minimum(np.maximum(at, 0), len(self) - 1)

    @cached_property
    def centres_days(self) -> Floats:
        """(J,) geometric middles, half a day for the first."""
        low, high = self.edges_days[:-1], self.edges_days[1:]
        return np.where(low > 0, np.sqrt(np.maximum(low, 1e-9) * high), high / 2)

    def to_json(self) -> list[float]:
        """The edges."""
        return [float(edge) for edge in self.edges_days]

    @classmethod
    def from_json(cls, data: Any) -> Bins:
        """Inverse of `to_json`."""
        return cls(np.array(data, dtype=np.float64))


def hats(knots_days: Floats, at_days: Floats) -> Floats:
    """Hat functions in log time: (len(knots), n) weights that sum to 1 at every time.

    Between two knots the weights shift linearly in log days; before the first and after the last knot they
    stay.
    """
    at = np.clip(np.log(at_days), np.log(knots_days[0]), np.log(knots_days[-1]))
    return np.stack([np.interp(at, np.log(knots_days), unit) for unit in np.eye(len(knots_days))])


def exposures(bins: Bins, season: Season, at_us: Ints, duration_days: Floats) -> Floats:
    """(n, J) season days each landmark spent at risk in each bin, until its duration ended."""
    start = at_us / DAY_US
    edges = np.minimum(bins.edges_days[None, :], duration_days[:, None])
    edges[:, -1] = duration_days  # the last bin is open to the right
    np.maximum(edges[:, -1], edges[:, -2], out=edges[:, -1])
    return np.diff(season.until(start[:, None] + edges), axis=1)
