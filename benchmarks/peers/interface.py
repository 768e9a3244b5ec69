"""The interface of a peer, and what those that know only hazards need to become one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np

from forecast.arrays import Floats, Ints

__all__ = ["Peer", "incidence_of_hazards", "on_grid"]


class Peer(Protocol):
    """A competing estimator of when deals are won or lost.

    name : in tables, lower case, no blanks; label : for people
    most_rows : landmarks it is given at most, drawn at random where there are more; None for all
    """

    name: ClassVar[str]
    label: ClassVar[str]
    most_rows: int | None

    def fit(self, design: Floats, at_us: Ints, duration_days: Floats, cause: Ints) -> None:
        """Learn from n landmarks.

        design : (n, P) encoded features, centred
        at_us : (n,) their moments
        duration_days, cause : (n,) days to the outcome or to where they were cut off; 0 censored, 1 won, 2 lost
        """
        ...

    def predict(self, design: Floats, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, 2, H) probability of being won, and of being lost, within each horizon."""
        ...


def incidence_of_hazards(won: Floats, lost: Floats) -> Floats:
    """(n, 2, T + 1) incidence of both causes from cumulative hazards at T times; it starts at 0.

    won, lost : (n, T) cumulative cause-specific hazards, not falling

    Between two times both hazards are taken as constant, so that a deal leaves with 1 - exp(-their sum), shared
    between the causes as their increments are: open + won + lost = 1 at every time.
    """
    steps = np.diff(np.stack((won, lost), axis=1), axis=2, prepend=0.0)
    total = steps.sum(axis=1)
    leaving = np.exp(total - np.cumsum(total, axis=1)) * -np.expm1(-total)
    share = np.divide(steps, total[:, None], out=np.zeros_like(steps), where=total[:, None] > 0.0)
    incidence = np.zeros((len(won), 2, won.shape[1] + 1))
    np.cumsum(leaving[:, None] * share, axis=2, out=incidence[:, :, 1:])
    return incidence


def on_grid(duration_days: Floats, grid_days: Floats) -> Floats:
    """(n,) each duration as the first time of the grid that is not before it; the last one holds the rest."""
    place = np.searchsorted(grid_days, duration_days, side="left")
    found: Floats = grid_days[np.minimum(place, len(grid_days) - 1)]
    return found
