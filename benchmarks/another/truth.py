"""The exact chance of a win in the other company: what records say of the hidden part, then day by day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.another.rules import SKIPPED, STAGES, Rules
from forecast.arrays import Floats, Ints

__all__ = ["QUALITIES", "Moment", "won_within"]

# Qualities are normal around means of -0.3 to 0.5 with a deviation of 1: nothing is left beyond the grid.
QUALITIES: Final = np.linspace(-4.5, 4.5, 46)
_AT_ONCE: Final = 1_000  # deals; what they need stays in the processor's cache or near it


@dataclass(frozen=True)
class Moment:
    """deal : (n,) increasing, all that are open; stage : (n,)

    known : (n, 2, Q) log of P(records so far, alive or zombie, quality), up to a constant
    """

    deal: Ints
    stage: Ints
    known: Floats

    def of(self, deal: Ints) -> Moment:
        """Some of them, in the order asked; KeyError if one is not open."""
        place = np.searchsorted(self.deal, deal)
        if (self.deal[np.minimum(place, len(self.deal) - 1)] != deal).any():
            raise KeyError("a deal is not open at this moment")
        return Moment(self.deal[place], self.stage[place], self.known[place])

    def alive(self) -> Floats:
        """(n, Q) P(no zombie and this quality | the records)."""
        weight = np.exp(self.known - self.known.max(axis=(1, 2), keepdims=True))
        alive: Floats = weight[:, 0] / weight.sum(axis=(1, 2))[:, None]
        return alive


def won_within(rules: Rules, moment: Moment, day: int, horizons_days: Sequence[float]) -> Floats:
    """(n, H) P(won within h days from the start of `day`), h in whole days."""
    found = np.empty((len(moment.deal), len(horizons_days)))
    for start in range(0, len(found), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        some = Moment(moment.deal[rows], moment.stage[rows], moment.known[rows])
        found[rows] = _ahead(rules, some, day, horizons_days)
    return found


def _ahead(rules: Rules, moment: Moment, day: int, horizons_days: Sequence[float]) -> Floats:
    """The chain over stages for each quality, a day at a time; the luck to come is 1, its mean."""
    rows = np.arange(len(moment.deal))
    at = np.zeros((len(STAGES), len(rows), len(QUALITIES)), dtype=np.float32)
    at[moment.stage, rows] = moment.alive()
    last = int(max(horizons_days))
    won = np.zeros((len(rows), last + 1))
    known: dict[tuple[float, float], list[tuple[Floats, ...]]] = {}
    for ahead in range(last):
        kind = (float(rules.office[day + ahead]), float(rules.season[day + ahead]))
        if kind not in known:
            known[kind] = [_steps(rules, moment.deal, stage, day + ahead) for stage in range(len(STAGES))]
        steps = known[kind]
        after = np.stack([at[stage] * steps[stage][0] for stage in range(len(STAGES))])
        won[:, ahead + 1] = won[:, ahead]
        for stage, (_, winning, on, back) in enumerate(steps):
            won[:, ahead + 1] += (at[stage] * winning).sum(axis=1)
            if stage == 0:
                after[1] += at[0] * on * (1.0 - SKIPPED)
                after[2] += at[0] * on * SKIPPED
            elif stage + 1 < len(STAGES):
                after[stage + 1] += at[stage] * on
            if stage:
                after[stage - 1] += at[stage] * back
        at = after
    return won[:, np.asarray(horizons_days, dtype=np.int64)]


def _steps(rules: Rules, deal: Ints, stage: int, day: int) -> tuple[Floats, ...]:
    """(n, Q) each: chances of a day to stay, to win, to go on and to go back."""
    rates = rules.rates(deal[:, None], QUALITIES, np.full((len(deal), 1), stage), day)
    leaving = rates.any
    share = -np.expm1(-leaving) / leaving
    parts = (1.0 - share * leaving, share * rates.won, share * rates.on, share * rates.back)
    return tuple(part.astype(np.float32) for part in parts)
