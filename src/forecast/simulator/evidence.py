"""What the simulator keeps beside the records: how likely each of them was under every hidden quality.

`Points` are things that happened (a move, an answer, a date), each with its log-likelihood by quality.
`Exposures` are times during which something could have happened, with its rate by quality on a clock.
Together they are the likelihood of everything recorded; `truth.py` turns it into P(quality | recorded before
as_of).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator.calendar import Clock

__all__ = ["Exposures", "Points", "day_end", "sort_key"]

_SECOND_US = 1_000_000
_SECONDS_BITS = 32
# Of what cannot happen; log(0) would turn cumulative sums into NaN.
IMPOSSIBLE = -200.0


def sort_key(deal: Ints, moment_us: Ints) -> Ints:
    """One integer that sorts by deal, then by moment; a fraction of a second counts as the next second.

    All records carry whole seconds, so `recorded_at < as_of` is `sort_key(recorded) < sort_key(as_of)`.
    """
    return (deal << _SECONDS_BITS) + -(-moment_us // _SECOND_US)


def day_end(moment_us: Ints) -> Ints:
    """The midnight that ends each moment's day; a midnight ends its own previous day."""
    return -(-moment_us // DAY_US) * DAY_US


def safe_log(probability: Floats) -> Floats:
    """Logarithm with zero mapped to a number that is zero for all purposes after `exp`."""
    return np.log(np.maximum(probability, np.exp(IMPOSSIBLE)))


@dataclass(frozen=True)
class Points:
    """Things recorded: (n,) deals and moments, (n, qualities) log-likelihoods."""

    deal: Ints
    moment_us: Ints
    log_likelihood: Floats

    @staticmethod
    def concat(parts: list[Points]) -> Points:
        return Points(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Points)})


@dataclass(frozen=True)
class Exposures:
    """Disjoint intervals at risk `[from_us, until_us)` of one clock: (n,) deals, (n, qualities) rates."""

    clock: Clock
    deal: Ints
    from_us: Ints
    until_us: Ints
    rate: Floats
