"""The age of a deal: contracts run out and offers expire, for deals of every kind.

A renewal is signed when the contract ends, not before. Who does not know takes one that waits for that day for
a bad deal, and does not see how little speaks for one that let the day pass. So usual rates of moving on, of
winning and losing are multiplied by a pace that depends on the age, for each motion by its own: what came in a
band of ages over what was to be expected given the kinds, drawn to one the more, the less bands differ beyond
chance. A company with one motion has none: rates that fall with age for all deals, and kinds of which the quick
ones leave first, look the same, and only kinds that several motions share tell both apart.

Source: rates that are constant in bands, as in Holford 1980; two time scales as in Efron 2002; what tells
hidden differences from age, as in Elbers and Ridder 1982.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features.kinds.facts import GROUPS
from forecast.history.dilution import dilution

__all__ = ["Ages", "Stays", "age_bands", "learn_ages", "pace_of"]

_BANDS: Final = 12
_NARROW_DAYS: Final = 2.0
_WEEK_DAYS: Final = 7.0
_LEAST_CLOSINGS: Final = 24
_DRAWN: Final = 1_000.0  # moves to be expected that a pace is diluted with where nothing is known
_MOST: Final = 4_000.0  # where bands do not differ


@dataclass(frozen=True)
class Stays:
    """Times in one stage, T of them, of deals that were watched.

    deal : (T,) row of the deal; slot : (T,) place of the stage
    from_days, until_days : (T,) age of the deal at its beginning and end
    group : (T,) group of the move that ended it; -1 for none that is known
    """

    deal: Ints
    slot: Ints
    from_days: Floats
    until_days: Floats
    group: Ints


@dataclass(frozen=True)
class Ages:
    """Pace of each group of moves by motion and age.

    edges_days : (A,) ages at which bands begin, from 0; the last has no end
    pace : (M + 1, GROUPS, A)
    """

    edges_days: Floats
    pace: Floats

    @classmethod
    def none(cls, rows: int) -> Ages:
        """A day is a day at any age; for so many motions, all others among them."""
        return cls(np.zeros(1), np.ones((rows, GROUPS, 1)))

    @property
    def is_flat(self) -> bool:
        """Whether all ages are alike."""
        return len(self.edges_days) == 1

    def passed(self, motion: Ints, age_days: Floats) -> Floats:
        """(..., n, GROUPS) days by the pace of each group until each age (..., n)."""
        band = self.edges_days.searchsorted(age_days, side="right") - 1
        found: Floats = self._by_band[0][motion, band] + self._by_band[1][motion, band] * age_days[..., None]
        return found

    def ahead(self, motion: Ints, age_days: Floats, days: Floats) -> Floats:
        """(GROUPS, C, n) log of the mean pace over the next (C,) days."""
        until = self.passed(motion, np.concatenate((age_days[None], age_days + days[:, None])))
        found: Floats = np.log((until[1:] - until[0]) / days[:, None, None])
        return np.moveaxis(found, 2, 0)

    @cached_property
    def _by_band(self) -> tuple[Floats, Floats]:
        """(M + 1, A, GROUPS) days until an age in a band beyond its pace times that age, and the pace."""
        pace = np.ascontiguousarray(np.moveaxis(self.pace, 1, 2))
        full = pace[:, :-1] * np.diff(self.edges_days)[:, None]
        begun = np.concatenate((np.zeros((len(pace), 1, GROUPS)), np.cumsum(full, axis=1)), axis=1)
        return begun - pace * self.edges_days[:, None], pace

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {"edges_days": self.edges_days.tolist(), "pace": self.pace.tolist()}

    @classmethod
    def from_json(cls, data: dict[str, Any], rows: int) -> Ages:
        """Inverse of `to_json`; ValueError for tables that do not fit each other, or a pace that is none."""
        edges = np.array(data["edges_days"], dtype=np.float64)
        pace = np.array(data["pace"], dtype=np.float64).reshape(rows, GROUPS, len(edges))
        if edges[0] != 0.0 or (np.diff(edges) <= 0).any() or not (pace > 0).all():
            raise ValueError("bands of ages begin at 0 and rise, and a pace is above 0")
        return cls(edges, pace)


def learn_ages(stays: Stays, motion: Ints, rows: int, rate: Floats) -> Ages:
    """The pace at every age by motion, from what came and what was to be expected.

    motion : (T,) row of each stay's deal among so many `rows`; rate : (T, GROUPS) moves to be expected a day
    """
    decided = stays.group > 0
    edges = age_bands(stays.until_days[decided], motion[decided], _BANDS)
    if len(edges) < 2:
        return Ages.none(rows)
    ends = [*edges[1:].tolist(), np.inf]
    ended_in = edges.searchsorted(stays.until_days, side="right") - 1
    pace = np.ones((rows, GROUPS, len(edges)))
    inside = [
        np.maximum(np.minimum(stays.until_days, end) - np.maximum(stays.from_days, begin), 0.0)
        for begin, end in zip(edges.tolist(), ends, strict=True)
    ]
    for group in range(GROUPS):
        came = stays.group == group
        seen = np.bincount(motion[came] * len(edges) + ended_in[came], minlength=rows * len(edges))
        foretold = np.stack(
            [np.bincount(motion, days * rate[:, group], minlength=rows) for days in inside], axis=1
        )
        for row, (number, expected) in enumerate(
            zip(seen.reshape(foretold.shape).astype(np.float64), foretold, strict=True)
        ):
            pace[row, group] = pace_of(number, expected, np.ones(len(edges)))
    return Ages(edges, pace)


def pace_of(came: Floats, expected: Floats, scatter: Floats) -> Floats:
    """(A,) what came in each band over what was to be expected, drawn to one as far as chance may differ.

    scatter : (A,) variance of what came, over its expectation; 1 where everything that came stands for itself
    """
    usual = float(expected @ scatter) / max(float(expected.sum()), 1e-9) or 1.0
    closings = dilution(came - expected, expected, expected * scatter, _DRAWN * usual, _MOST * usual) / usual
    drawn = closings * scatter
    pace: Floats = (came + drawn) / (expected + drawn)
    return pace


def age_bands(age_days: Floats, group: Ints, most: int) -> Floats:
    """(A,) where bands begin, from 0: about equally many of (n,) ages in each, every group counting alike.

    Bands are whole weeks: people work by the week, and parts of it differ by the days they hold. They are
    narrower only where very many ages fall together. One band for too few.
    """
    if len(age_days) < _LEAST_CLOSINGS:
        return np.zeros(1)
    order = np.argsort(age_days, kind="stable")
    share = np.cumsum(1.0 / np.bincount(group)[group[order]])
    cuts = age_days[order][np.searchsorted(share, share[-1] * np.arange(1, most) / most)]
    together = np.diff(cuts) < _NARROW_DAYS
    together = np.append(together, False) | np.append(False, together)
    edges = [0.0]
    for cut, close in zip(cuts.tolist(), together.tolist(), strict=True):
        width = cut - edges[-1]
        if close and width >= _NARROW_DAYS:
            edges.append(cut)
        elif width >= _WEEK_DAYS:
            edges.append(edges[-1] + _WEEK_DAYS * round(width / _WEEK_DAYS))
    return np.array(edges)
