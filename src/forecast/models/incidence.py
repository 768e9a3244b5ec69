"""From log-hazards to probabilities: cumulative incidence of won and lost, for any horizon and period.

Both hazards are constant within a cell: a part of one bin within which the season is taken as it is, day by day
for the first four months and week by week after. In a cell with integrated hazards w (won) and l (lost), a
deal still open at its start is won with probability  w / (w + l) * (1 - exp(-(w + l)))  and stays open with
exp(-(w + l)). The products over cells are exact, so open + won + lost = 1 at every horizon.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.errors import UsageError
from forecast.models.bins import Bins
from forecast.models.season import Season, season_days
from forecast.periods import DAY_US

__all__ = ["HORIZON_CAP_DAYS", "Cells", "Curves"]

HORIZON_CAP_DAYS: Final = 730.0
# Season day by day for the quarter asked about, week by week beyond it.
_DAILY: Final = np.arange(120)
_STEP_DAYS: Final = 7.0
_SMALL: Final = 1e-12  # instead of 0 below a fraction bar


@dataclass(frozen=True)
class Cells:
    """The time axis of one as-of moment.

    edges_days : (C + 1,) from 0 to the cap
    bin : (C,) bin each cell lies in
    exposure : (2, C) season days of each cell per cause
    """

    edges_days: Floats
    bin: Ints
    exposure: Floats

    @classmethod
    def at(
        cls,
        as_of_us: int,
        bins: Bins,
        seasons: tuple[Season, Season],
        *,
        marks_days: Floats,
        until_days: float = HORIZON_CAP_DAYS,
    ) -> Cells:
        """Cells after `as_of` that have an edge at every mark (horizon or end of a period).

        Raises UsageError for a mark beyond the cap: no hazard was learnt there, and none is invented.
        """
        marks = np.atleast_1d(np.asarray(marks_days, dtype=np.float64))
        if len(marks) and float(marks.max()) > HORIZON_CAP_DAYS + 1e-9:
            raise UsageError(
                f"a horizon of {marks.max():.0f} days lies beyond the cap of {HORIZON_CAP_DAYS:.0f} days; "
                "ask for a nearer period",
                code="beyond_horizon_cap",
            )
        until = max(until_days, float(marks.max(initial=0.0)))
        # Edges fall on midnights, where the season changes its rate.
        start = as_of_us / DAY_US
        days = math.ceil(start) - start + _DAILY
        weeks = np.arange(days[-1], until, _STEP_DAYS)
        edges = np.concatenate(((0.0, until), marks, bins.edges_days, days, weeks))
        edges.sort()
        edges = edges[np.searchsorted(edges, 0.0) : np.searchsorted(edges, until, side="right")]
        new = np.empty(len(edges), dtype=bool)
        new[0] = True
        np.greater(edges[1:] - edges[:-1], 1e-9, out=new[1:])
        edges = edges[new]
        passed = season_days(seasons, start + edges)
        return cls(edges, bins.of((edges[:-1] + edges[1:]) / 2), passed[:, 1:] - passed[:, :-1])

    def coarse(self, marks_days: tuple[float, ...] = ()) -> Cells:
        """The cells of each bin as one, cut at the marks: ten times cheaper, and good for gradients.

        marks_days : edges of these cells
        """
        begins = np.empty(len(self.bin), dtype=bool)
        begins[0] = True
        np.not_equal(self.bin[1:], self.bin[:-1], out=begins[1:])
        if marks_days:
            at = np.searchsorted(self.edges_days, np.array(marks_days) - 1e-9)
            begins[at[at < len(begins)]] = True
        first = np.flatnonzero(begins)
        edges = np.append(self.edges_days[first], self.edges_days[-1])
        return Cells(edges, self.bin[first], np.add.reduceat(self.exposure, first, axis=1))

    def curves(self, log_hazard: Floats) -> Curves:
        """Cumulative incidence of n rows with (n, 2, J) log hazards."""
        won, lost = self._integrated(log_hazard)
        total = won + lost
        left = np.zeros((len(total), total.shape[1] + 1))
        np.negative(np.expm1(-total.cumsum(axis=1)), out=left[:, 1:])
        step = left[:, 1:] - left[:, :-1]
        cumulative = np.zeros_like(left)
        (step * (won / np.maximum(total, _SMALL))).cumsum(axis=1, out=cumulative[:, 1:])
        return Curves(self.edges_days, cumulative, left)

    def _integrated(self, log_hazard: Floats) -> tuple[Floats, Floats]:
        """(n, C) each: the hazards of winning and of losing, integrated over each cell."""
        both = np.exp(np.minimum(log_hazard, 10.0))[:, :, self.bin] * self.exposure
        return both[:, 0], both[:, 1]

    @cached_property
    def _bins_present(self) -> tuple[Ints, Ints]:
        """Bins that have cells, in order, and the first cell of each."""
        first = np.flatnonzero(np.concatenate(([True], self.bin[1:] != self.bin[:-1])))
        return self.bin[first], first

    def win_gradient(self, log_hazard: Floats, counted: NDArray[np.bool_] | None = None) -> Floats:
        """(n, 2, J) how the win probability by the last cell changes with each log hazard.

        A higher log hazard of winning in a cell wins more inside it, a higher one of losing less; both take
        from what would have been won after it.

        counted : (C,) cells whose wins count, for the chance of being won inside a period; None counts all
        """
        won, lost = self._integrated(log_hazard)
        total = np.maximum(won + lost, _SMALL)
        stay = np.exp(-total)
        open_before = np.exp(total - total.cumsum(axis=1))
        leave = 1.0 - stay
        share = won / total
        inside = 1.0 if counted is None else counted.astype(np.float64)
        gained = open_before * share * leave * inside
        after = gained[:, ::-1].cumsum(axis=1)[:, ::-1] - gained
        # Derivatives of share * leave with respect to both integrated hazards, times these.
        common = (share * stay - share * leave / total) * inside
        by_won = won * (open_before * (common + inside * leave / total) - after)
        by_lost = lost * (open_before * common - after)
        gradient = np.zeros_like(log_hazard)
        present, starts = self._bins_present
        gradient[:, 0, present] = np.add.reduceat(by_won, starts, axis=1)
        gradient[:, 1, present] = np.add.reduceat(by_lost, starts, axis=1)
        return gradient


@dataclass(frozen=True)
class Curves:
    """Incidence of n deals over the edges of their cells.

    edges_days : (C + 1,)
    won, decided : (n, C + 1) chance of being won, and of being won or lost, by each edge; start at 0
    """

    edges_days: Floats
    won: Floats
    decided: Floats

    def take(self, rows: slice) -> Curves:
        """Some of the deals."""
        return Curves(self.edges_days, self.won[rows], self.decided[rows])

    def _at(self, days: Floats) -> Ints:
        return np.searchsorted(self.edges_days, np.asarray(days) - 1e-9)

    def won_by(self, days: Floats) -> Floats:
        """(n, H) chance of being won within each horizon; horizons must be marks of the cells."""
        return self.won[:, self._at(days)]

    def lost_by(self, days: Floats) -> Floats:
        """(n, H) chance of being lost within each horizon."""
        at = self._at(days)
        return np.maximum(self.decided[:, at] - self.won[:, at], 0.0)

    def won_between(self, start_days: float, end_days: float) -> Floats:
        """(n,) chance of being won in [start, end) days after the as-of moment."""
        low, high = self._at(np.array([max(start_days, 0.0), max(end_days, 0.0)]))
        return self.won[:, high] - self.won[:, low]

    def close_quantiles(self, levels: tuple[float, ...]) -> Floats:
        """(n, len(levels)) days by which that share of the wins has happened, given a win before the cap."""
        wanted = self.won[:, -1:] * np.array(levels)
        passed = (self.won[:, None, :] < wanted[:, :, None]).sum(axis=2)
        upper = np.minimum(np.maximum(passed, 1), len(self.edges_days) - 1)
        row = np.arange(len(upper))[:, None]
        low, high = self.won[row, upper - 1], self.won[row, upper]
        part = np.where(high > low, (wanted - low) / np.maximum(high - low, _SMALL), 1.0)
        start, end = self.edges_days[upper - 1], self.edges_days[upper]
        found: Floats = start + np.minimum(np.maximum(part, 0.0), 1.0) * (end - start)
        return found
