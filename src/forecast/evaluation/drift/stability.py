"""Is the distribution of an input the one it was? The population stability index beside its own chance.

    PSI = sum over bins of (now - then) log(now / then)

is never 0 in samples: with B bins, n values now and m then, and nothing changed, PSI / (1/n + 1/m) follows a
chi-square distribution with B - 1 degrees of freedom (Yurdakul 2018), so that 60 deals in ten bins give .15,
which a fixed limit of .1 would call a drift. And deals open on one day are no independent draws from those of
a year: pipelines grow, age and follow the quarter. How much more than by chance former weeks differed from
the year before them was seen; that factor (a design effect, Rao and Scott 1981) divides the statistic, which
is then compared with an F distribution, because a year holds only a few weeks that differ independently.

Bins are fixed on the reference: tenths of the values, or the categories, rare ones together; unknown values
have a bin of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.special import fdtrc

from forecast.arrays import Floats, Ints

__all__ = [
    "FieldBins",
    "Stability",
    "category_bins",
    "chance_psi",
    "counts_by_week",
    "number_bins",
    "psi",
    "stability",
]

_TENTHS: Final = np.linspace(0.1, 0.9, 9)
_HALF: Final = 0.5  # of a value in every bin, so that an empty one does not make the index infinite
_RARE: Final = 0.02  # categories with a smaller share of the reference are one bin
_LEAST_OLD: Final = 0.5  # share of the reference's weeks a former week needs before it, to be compared
_YEAR_WEEKS: Final = 52
_INDEPENDENT_WEEKS: Final = 8.0  # weeks after which a pipeline has largely been replaced


@dataclass(frozen=True)
class FieldBins:
    """How one field is cut: (n,) values to bins 0 to size - 1; the last bin holds unknown values.

    edges : inner borders of numbers, or None for a category
    place : of each category's code its bin, codes not in it fall into bin `size - 2` (rare and new ones)
    labels : of the bins but the last, for people; empty texts where borders tell
    """

    edges: Floats | None
    place: Ints
    labels: tuple[str, ...]

    @property
    def size(self) -> int:
        return (len(self.edges) + 1 if self.edges is not None else len(self.labels)) + 1

    def of(self, values: Floats) -> Ints:
        """(n,) bin of each value."""
        unknown = np.isnan(values)
        safe = np.where(unknown, 0.0, values)
        if self.edges is not None:
            found = np.searchsorted(self.edges, safe, side="right")
        else:
            code = safe.astype(np.int64)
            known = (code >= 0) & (code < len(self.place))
            # A category that has no text yet has no place to look up either.
            place = self.place if len(self.place) else np.zeros(1, np.int64)
            found = np.where(known, place[np.where(known, code, 0)], self.size - 2)
        return np.where(unknown, self.size - 1, found).astype(np.int64)


def number_bins(values: Floats) -> FieldBins:
    """Tenths of the known values; equal borders (many zeros) are one border."""
    known = values[np.isfinite(values)]
    edges = np.unique(np.quantile(known, _TENTHS)) if len(known) else np.empty(0)
    # A border at the smallest value would leave nothing below it.
    edges = edges[edges > known.min()] if len(known) else edges
    return FieldBins(edges, np.empty(0, np.int64), tuple("" for _ in range(len(edges) + 1)))


def category_bins(values: Floats, texts: tuple[str, ...]) -> FieldBins:
    """A bin for each category with a share of 2 % or more, one for all others."""
    known = values[np.isfinite(values)].astype(np.int64)
    share = np.bincount(known, minlength=len(texts)) / max(len(known), 1)
    frequent = np.flatnonzero(share >= _RARE)
    place = np.full(len(texts), len(frequent), dtype=np.int64)
    place[frequent] = np.arange(len(frequent))
    return FieldBins(None, place, (*(texts[code] for code in frequent), ""))


def counts_by_week(bins: FieldBins, values: Floats, week: Ints, weeks: int) -> Floats:
    """(W, B) values of each week in each bin."""
    flat = np.bincount(week * bins.size + bins.of(values), minlength=weeks * bins.size)
    return flat.reshape(weeks, bins.size).astype(np.float64)


def psi(then: npt.ArrayLike, now: npt.ArrayLike) -> float:
    """Population stability index of two counts of the same bins; 0 for equal shares, else more.

    then, now : (B,) counts. Half a value is added to every bin of the smaller sample, and the same share to
    those of the other.
    """
    old, new = np.asarray(then, np.float64), np.asarray(now, np.float64)
    if old.sum() <= 0 or new.sum() <= 0:
        return float("nan")
    added = _HALF / min(float(old.sum()), float(new.sum()))
    p, q = old / old.sum() + added, new / new.sum() + added
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def chance_psi(then: npt.ArrayLike, now: npt.ArrayLike) -> tuple[float, float]:
    """What PSI is on average if nothing changed, and its degrees of freedom: bins in use, less one."""
    old, new = np.asarray(then, np.float64), np.asarray(now, np.float64)
    dof = float(max(int((old + new > 0).sum()) - 1, 1))
    return dof * (1.0 / max(float(old.sum()), 1.0) + 1.0 / max(float(new.sum()), 1.0)), dof


@dataclass(frozen=True)
class Stability:
    """One field in one week, against the weeks the bundle learnt from.

    psi, expected : as it is, and as chance and the usual wandering of this field make it
    p_value : of that much or more if nothing changed
    """

    psi: float
    expected: float
    p_value: float

    @property
    def excess(self) -> float:
        """What is left of the index beyond chance, never below 0."""
        return max(self.psi - self.expected, 0.0)


def stability(
    counts: Floats, first_week: int, reference_weeks: int, *, phase_weeks: int = 13
) -> list[Stability]:
    """One field in each week from week 0 on.

    counts : (W, B) by week; weeks are numbered from `first_week`, those before 0 are the reference
    reference_weeks : the newest so many before 0 are compared with; older ones tell how former weeks differed
        from the weeks before them
    phase_weeks : a quarter. The same weeks of former quarters are a second reference, those of a year before a
        third: what differs from the year but not from them is the season. The largest p-value counts.
    """
    zero = -first_week
    reference = slice(max(zero - reference_weeks, 0), zero)
    then = counts[reference].sum(axis=0)
    factor, independent = _usual_factor(counts[:zero], reference_weeks)
    found = []
    for place in range(zero, len(counts)):
        now = counts[place]
        one = _compared(then, now, factor, independent)
        for weeks in (_same_phase(place, zero, reference.start, phase_weeks), _year_before(place, zero)):
            if len(weeks) >= 3:
                again = _compared(counts[weeks].sum(axis=0), now, factor, independent)
                if again.p_value > one.p_value:
                    one = Stability(one.psi, one.expected, again.p_value)
        found.append(one)
    return found


def _same_phase(place: int, zero: int, oldest: int, quarter: int) -> Ints:
    """Weeks of the reference in the same part of a quarter, one to either side."""
    back = np.arange(1, (place - oldest) // quarter + 2) * quarter
    weeks = (place - back[:, None] + np.array([-1, 0, 1])).ravel()
    return np.unique(weeks[(weeks >= oldest) & (weeks < zero)])


def _year_before(place: int, zero: int) -> Ints:
    """The same week of the year before, one to either side."""
    weeks = place - _YEAR_WEEKS + np.array([-1, 0, 1])
    return weeks[(weeks >= 0) & (weeks < zero)]


def _compared(then: Floats, now: Floats, factor: float, independent: float) -> Stability:
    expected, dof = chance_psi(then, now)
    value = psi(then, now)
    if np.isnan(value):
        return Stability(0.0, 0.0, 1.0)
    statistic = value / expected / factor
    return Stability(value, expected * factor, float(fdtrc(dof, independent * dof, statistic)))


def _usual_factor(past: Floats, reference_weeks: int) -> tuple[float, float]:
    """How many times more than by chance former weeks differed from the weeks before them (at least 1).

    And from how many independent weeks that is known.
    """
    weeks, ratios = len(past), []
    passed = np.vstack((np.zeros(past.shape[1]), np.cumsum(past, axis=0)))
    for place in range(weeks):
        first = max(place - reference_weeks, 0)
        if place - first < max(_LEAST_OLD * min(reference_weeks, weeks), 1):
            continue
        then, now = passed[place] - passed[first], past[place]
        if then.sum() <= 0 or now.sum() <= 0:
            continue
        ratios.append(psi(then, now) / chance_psi(then, now)[0])
    if not ratios:
        return 1.0, 1.0
    return max(1.0, float(np.mean(ratios))), max(len(ratios) / _INDEPENDENT_WEEKS, 1.0)
