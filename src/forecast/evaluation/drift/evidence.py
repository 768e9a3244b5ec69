"""Evidence that something is no longer as it was, which may be looked at every week.

A test at 5 % that is repeated every week is wrong far more often than one time in twenty. An *e-process* is a
number that starts at 1 and is, as long as nothing has changed, expected to be no larger the next week: the
chance that it ever reaches 1 / a is at most a, however often and whenever one looks (Ville 1939). Each one
here is a likelihood ratio of two mixtures, "changed by some amount since some week" over "as it was"
(Robbins 1970; mixture SPRT: Johari, Koomen, Pekelis and Walsh 2022; Ramdas et al. 2023):

- `level_evidence`: counts against counts expected. As it was already includes good and bad quarters: the
  level of each quarter is drawn from the distribution of the shock that the bundle carries. A change is a
  shift that stays over quarters.
- `tilt_evidence`: who of those at risk it was, given how many it were. A shock that all share drops out.
- `mean_evidence`: a mean against the mean expected.

Means of e-processes are e-processes, whatever their dependence (Vovk and Wang 2021): `combined` makes one
answer of many without a correction for their number, and one process of changes that began at any of several
weeks.

E.g. 60 wins where 90 were expected in a quarter whose shock has a standard deviation of .17: evidence 1.6, for
quarters like that happen. The same again in the next quarter: 7.4. Were all quarters alike (a shock of 0), the
first one alone would have given 30.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, ndtri, stdtrit

from forecast.arrays import Floats, Ints

__all__ = ["Evidence", "combined", "dispersion", "level_evidence", "mean_evidence", "tilt_evidence"]

_START_EVERY: Final = 4  # weeks between the weeks at which a change may have begun
_SHOCK_NODES: Final = 81
_SHIFT_NODES: Final = 49
_REACH_SD: Final = 6.0  # how far the grids reach
_SURE_DF: Final = 200.0  # from so many degrees of freedom a t distribution is taken for a normal one
_FEWEST_DF: Final = 3.0  # fewer have no variance to match
_EXTREME: Final = 4.0  # standard deviations beyond which a single value tells no more
_INTERVAL: Final = 0.95


@dataclass(frozen=True)
class Evidence:
    """Evidence of a change after each of W weeks.

    log_e : (W,) natural logarithm of the e-process
    shift : most credible change now, drawn to none (log scale for counts, units of the mean for means)
    low, high : 95 % of the credible changes
    """

    log_e: Floats
    shift: float
    low: float
    high: float

    @property
    def now(self) -> float:
        """Evidence after the last week; 1 says nothing either way."""
        return float(np.exp(min(self.log_e[-1], 700.0))) if len(self.log_e) else 1.0

    @property
    def most(self) -> float:
        """The largest there ever was: what the bound holds for."""
        return float(np.exp(min(self.log_e.max(), 700.0))) if len(self.log_e) else 1.0

    @classmethod
    def none(cls, weeks: int) -> Evidence:
        """Nothing to go by."""
        return cls(np.zeros(weeks), 0.0, 0.0, 0.0)


def combined(parts: Sequence[Floats], weights: npt.ArrayLike | None = None) -> Floats:
    """(W,) logarithm of the weighted mean of e-processes given as logarithms; equal weights if none."""
    stacked = np.stack([np.asarray(part, np.float64) for part in parts])
    share = np.ones(len(stacked)) if weights is None else np.asarray(weights, np.float64)
    found: Floats = logsumexp(stacked, axis=0, b=(share / share.sum())[:, None])
    return found


def dispersion(came: Floats, expected: Floats, group: Ints) -> float:
    """How much more weekly counts scatter than chance would, at least 1; levels of groups (quarters) apart.

    came, expected : (W,); group : (W,) weeks of one group share a free level. Pearson's chi-square over its
    degrees of freedom.
    """
    total = dof = 0.0
    for one in np.unique(group):
        here = (group == one) & (expected > 0)
        if here.sum() < 2 or expected[here].sum() <= 0:
            continue
        fitted = expected[here] * came[here].sum() / expected[here].sum()
        if fitted.min() <= 0:
            continue
        total += float(((came[here] - fitted) ** 2 / fitted).sum())
        dof += here.sum() - 1
    return max(1.0, total / dof) if dof else 1.0


def level_evidence(
    came: Floats,
    expected: Floats,
    quarter: Ints,
    *,
    shock_sd: float,
    shock_df: float,
    shift_sd: float,
    scatter: float = 1.0,
) -> Evidence:
    """Whether counts have left the level expected by more than good and bad quarters do.

    came, expected : (W,) of each week; what is expected of a week is told before it begins
    quarter : (W,) number of the quarter of each week, not decreasing
    shock_sd, shock_df : of the shock of a quarter on the log scale, t distributed (`forecast.models.shock`)
    shift_sd : size of the changes looked for, log scale
    scatter : see `dispersion`; counts are divided by it
    """
    weeks = len(came)
    if not weeks or expected.sum() <= 0:
        return Evidence.none(weeks)
    came, expected = came / scatter, expected / scatter
    shock, shock_weight = _shocks(shock_sd, shock_df)
    shift, shift_weight = _shifts(shift_sd)
    starts, belief = _starts(weeks)
    edges = np.flatnonzero(np.concatenate(([True], quarter[1:] != quarter[:-1], [True])))
    log_e = np.empty(weeks)
    posterior = np.zeros(len(shift))
    # Quarters that are over when a week ends do not change any more: their likelihoods are summed once.
    over_null, over_changed = 0.0, np.zeros((len(starts), len(shift)))
    for first, last in pairwise(edges.tolist()):
        for week in range(first, last):
            seen = slice(first, week + 1)
            null = over_null + _log_level(came[seen].sum(), expected[seen].sum(), shock, shock_weight)
            changed = over_changed + np.stack(
                [
                    _log_change(came[seen], expected[seen], max(start - first, 0), shock, shock_weight, shift)
                    for start in starts
                ]
            )
            begun = starts <= week
            share = belief + np.where(begun, 0.0, -np.inf)
            # Starts still to come have nothing to say yet: their ratio is 1.
            waiting = logsumexp(belief[~begun]) if (~begun).any() else -np.inf
            joint = share[:, None] + changed + shift_weight - null
            log_e[week] = np.logaddexp(logsumexp(joint), waiting)
            posterior = np.exp(logsumexp(joint, axis=0) - logsumexp(joint))
        over_null, over_changed = null, changed
    return Evidence(log_e, *_summary(shift, posterior))


def _log_level(came: float, expected: float, shock: Floats, weight: Floats) -> float:
    return float(logsumexp(weight + came * shock - expected * np.exp(shock)))


def _log_change(
    came: Floats, expected: Floats, start: int, shock: Floats, weight: Floats, shift: Floats
) -> Floats:
    """(D,) log-likelihood of a quarter so far, changed by each shift from its week `start` on."""
    before, after = slice(0, start), slice(start, None)
    common = weight + came.sum() * shock - expected[before].sum() * np.exp(shock)
    moved = common[:, None] - expected[after].sum() * np.exp(shock[:, None] + shift)
    found: Floats = logsumexp(moved, axis=0) + came[after].sum() * shift
    return found


def _shocks(sd: float, df: float) -> tuple[Floats, Floats]:
    """Nodes of the shock and the logarithm of their weights; a t distribution of variance sd^2."""
    if sd <= 0:
        return np.zeros(1), np.zeros(1)
    df = max(df, _FEWEST_DF)
    if df >= _SURE_DF:
        nodes = np.linspace(-_REACH_SD, _REACH_SD, _SHOCK_NODES)
        density = -(nodes**2) / 2
        scale = sd
    else:
        reach = max(_REACH_SD, float(stdtrit(df, 1.0 - 1e-5)))
        nodes = np.linspace(-reach, reach, _SHOCK_NODES)
        density = -(df + 1.0) / 2 * np.log1p(nodes**2 / df)
        scale = sd * np.sqrt((df - 2.0) / df)
    return nodes * scale, density - logsumexp(density)


def _shifts(sd: float) -> tuple[Floats, Floats]:
    """Nodes of the changes looked for, and the logarithm of their weights."""
    nodes = np.linspace(-4.0, 4.0, _SHIFT_NODES)
    density = -(nodes**2) / 2
    return nodes * sd, density - logsumexp(density)


def _starts(weeks: int) -> tuple[Ints, Floats]:
    """Weeks at which a change may have begun, and the logarithm of the belief in each.

    Half of it says at once; the j-th later start gets 1 / (2 j (j + 1)), which sums to the other half however
    long one goes on. What is left for starts beyond the last week waits at a ratio of 1.
    """
    starts = np.arange(0, weeks, _START_EVERY)
    later = np.arange(1, len(starts))
    belief = np.concatenate(([0.5], 0.5 / (later * (later + 1.0))))
    beyond = 1.0 - belief.sum()
    return np.append(starts, weeks), np.log(np.maximum(np.append(belief, beyond), 1e-300))


def tilt_evidence(
    score: Floats,
    came: Floats,
    expected: Floats,
    week: Ints,
    weeks: int,
    *,
    tolerance: float,
    shift_sd: float,
) -> Evidence:
    """Whether those with a high score have more than their share of what came.

    score : (n,) of each row, e.g. 1 inside a segment and 0 outside, or a standardised log chance
    came, expected : (n,) 0 or 1, and the number expected; week : (n,) in order, 0 to weeks - 1
    tolerance : standard deviation of the change per unit of score that was always there
    shift_sd : of the change looked for, beside it

    Given how many came in a week, whose they were is multinomial with shares expected x exp(shift x score).
    """
    if not len(score) or not came.any() or np.ptp(score) == 0:
        return Evidence.none(weeks)
    shift, wide = _shifts(float(np.hypot(tolerance, shift_sd)))
    narrow = -((shift / tolerance) ** 2) / 2
    narrow = narrow - logsumexp(narrow)
    log_ratio = np.zeros((weeks, len(shift)))
    bounds = np.searchsorted(week, np.arange(weeks + 1))
    for one in range(weeks):
        rows = slice(bounds[one], bounds[one + 1])
        total, number = expected[rows].sum(), came[rows].sum()
        if total <= 0 or number <= 0:
            continue
        # Rows of one score count together: segments have two, however many deals there are.
        values, place = np.unique(score[rows], return_inverse=True)
        share = np.bincount(place, expected[rows]) / total
        norming = np.log(share @ np.exp(np.outer(values, shift)))
        log_ratio[one] = shift * float(came[rows] @ score[rows]) - number * norming
    passed = np.cumsum(log_ratio, axis=0)
    log_e = logsumexp(passed + wide, axis=1) - logsumexp(passed + narrow, axis=1)
    posterior = np.exp(passed[-1] + wide - logsumexp(passed[-1] + wide))
    return Evidence(np.asarray(log_e, np.float64), *_summary(shift, posterior))


def mean_evidence(value: Floats, week: Ints, weeks: int, *, tolerance: float, shift_sd: float) -> Evidence:
    """Whether the mean of standardised values has left 0.

    value : (n,) with mean 0 and standard deviation 1 if nothing changed; week : (n,) 0 to weeks - 1
    tolerance, shift_sd : as in `tilt_evidence`, in standard deviations
    """
    kept = np.clip(value, -_EXTREME, _EXTREME)
    number = np.bincount(week, minlength=weeks).astype(np.float64)
    total = np.bincount(week, kept, minlength=weeks)
    if not number.any():
        return Evidence.none(weeks)
    starts, belief = _starts(weeks)
    parts = np.zeros((len(starts), weeks))
    for place, start in enumerate(starts):
        before = np.arange(weeks) < start
        n1, s1 = np.cumsum(number * before), np.cumsum(total * before)
        n2, s2 = np.cumsum(number * ~before), np.cumsum(total * ~before)
        parts[place] = _normal_ratio(n1, s1, n2, s2, tolerance**2, shift_sd**2)
    log_e = np.asarray(logsumexp(parts + belief[:, None], axis=0), np.float64)
    # Said of the whole time since the start: a normal mean with a normal prior.
    n, s = number.sum(), total.sum()
    prior = tolerance**2 + shift_sd**2
    mean, sd = s * prior / (1 + n * prior), np.sqrt(prior / (1 + n * prior))
    reach = float(ndtri((1 + _INTERVAL) / 2)) * float(sd)
    return Evidence(log_e, float(mean), float(mean) - reach, float(mean) + reach)


def _normal_ratio(n1: Floats, s1: Floats, n2: Floats, s2: Floats, same: float, more: float) -> Floats:
    """(W,) log ratio of normal sums: a common offset (variance `same`), from a start on changed by `more`."""

    def log_density(extra: float) -> Any:
        # Means per observation, so that no week may be empty of variance.
        a, b, c = n1 + n1**2 * same, n1 * n2 * same, n2 + n2**2 * (same + extra)
        a = np.where(n1 > 0, a, 1.0)
        c = np.where(n2 > 0, c, 1.0)
        determinant = a * c - b * b
        form = (c * s1**2 - 2 * b * s1 * s2 + a * s2**2) / determinant
        return -0.5 * (np.log(determinant) + form)

    found: Floats = log_density(more) - log_density(0.0)
    return found


def _summary(nodes: Floats, weight: Floats) -> tuple[float, float, float]:
    """Mean and the 95 % in the middle of a distribution on a grid."""
    reached = np.cumsum(weight)
    low, high = (1 - _INTERVAL) / 2, (1 + _INTERVAL) / 2
    return (
        float(nodes @ weight),
        float(np.interp(low, reached, nodes)),
        float(np.interp(high, reached, nodes)),
    )
