"""Columns without dates: filled in by closing, telling closed from open, telling won from lost, or a duration.

Such a column is known only as it stands at the end of the data, so the end is compared with itself: open with
closed records, *of those created at the same time*. A field introduced last year is filled in most of the
records that are open, and so it is in the closed ones of last year: no leak. An honest attribute whose deals
close faster is found more often among the closed ones of a cohort; but how many of a cohort have it does not
grow while the cohort closes, as it does when closing fills it in. Both are asked before a field is accused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from scipy.special import bdtr, bdtrc

from forecast.arrays import Bools, Floats, Ints
from forecast.features.leakage.association import Values, rank_correlation
from forecast.features.leakage.fates import Fates
from forecast.features.leakage.findings import Figures, LeakRules, Verdict
from forecast.history import LOST, WON
from forecast.periods import DAY_US

__all__ = ["Judgement", "Words", "judge_undated"]

_FEW_OPEN: Final = 10
_GAP: Final = 0.1  # of fill rates, below which nothing is said
_COMMON: Final = 12  # values looked at one by one
_SAME_DAY: Final = 1.0
_COPIED: Final = 0.3  # of closed records, beyond chance, in which a number is the deal's duration
_CORRELATED: Final = 0.9
_UNLIKELY: Final = 0.01
_NOTABLE_V: Final = 0.6
_NOTABLE_AUC: Final = 0.85


@dataclass(frozen=True, slots=True)
class Words:
    """What records are called in a reason."""

    records: str
    won: str
    lost: str

    def of(self, kind: int) -> str:
        """The word for an outcome."""
        return self.won if kind == WON else self.lost


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its reason, not yet of a named field."""

    verdict: Verdict
    code: str
    reason: str
    figures: Figures


def judge_undated(value: Values, fates: Fates, words: Words, rules: LeakRules) -> Judgement:
    """Judge a column as it stands at the end.

    value : (n,) the column; fates : (n,) what became of the records by then
    """
    filled, won = value.filled, fates.won
    is_open, is_closed = fates.is_open, fates.is_closed
    v, area = value.strength(is_closed, won)
    figures = Figures(
        filled_open=_share(filled, is_open),
        filled_won=_share(filled, is_closed & won),
        filled_lost=_share(filled, is_closed & ~won),
        strength_close=max(v, 2 * area - 1),
    )

    def say(verdict: Verdict, code: str, reason: str) -> Judgement:
        return Judgement(verdict, code, reason, figures)

    closed = int(is_closed.sum())
    if not filled.any():
        return say("ok", "empty", "never filled")
    if closed < rules.min_closed:
        return say("too_few", "too_few", f"too few to tell: only {closed} closed {words.records}")
    copied = _copies_duration(value, fates)
    if copied:
        return say("leaks", "duration", copied)
    # Few open records neither clear nor convict: their ages are too few to compare like with like.
    comparable = int(is_open.sum()) >= _FEW_OPEN
    doubtful = None
    if is_open.any():
        gap = _fill_gap(filled, fates, words, rules)
        if gap is not None and gap.verdict == "leaks":
            return say("leaks" if comparable else "suspicious", gap.code, gap.reason)
        doubtful = gap
    if v > rules.echo:
        told = f"tells {words.won} from {words.lost} by itself (Cramer's V {v:.2f}): an echo"
        return say("leaks", "echo", told)
    if area > rules.echo_auc:
        told = f"tells {words.won} from {words.lost} by itself (AUC {area:.2f}): an echo"
        return say("leaks", "echo", told)
    if is_open.any():
        flag = _tells_closed(value, fates, words, rules)
        if flag:
            return say("leaks" if comparable else "suspicious", "flag", flag)
    if doubtful is not None:
        return say("suspicious", doubtful.code, doubtful.reason)
    if v > _NOTABLE_V or area > _NOTABLE_AUC:
        told = f"tells {words.won} from {words.lost} unusually well (Cramer's V {v:.2f}, AUC {area:.2f})"
        return say("suspicious", "strong", told)
    if not comparable:
        few = f"too few to tell: only {int(is_open.sum())} open {words.records} to compare with"
        return say("too_few", "too_few", few)
    alike = f"without events, but filled alike in open and closed {words.records}"
    apart = abs(figures.filled_open - _share(filled, is_closed)) > _GAP
    return say("ok", "alike", f"{alike} created at the same time" if apart else alike)


class _Gap(NamedTuple):
    verdict: Verdict
    code: str
    reason: str


def _fill_gap(filled: Bools, fates: Fates, words: Words, rules: LeakRules) -> _Gap | None:
    """Whether closing fills a column in (or empties it), of all closed records or of those with one outcome."""
    doubtful = None
    low = _share(filled, fates.is_open)
    won_share = _share(fates.won, fates.is_closed)
    every = {1.0: words.won, 0.0: words.lost}.get(won_share, "closed")
    groups: list[tuple[float, str, Bools]] = []
    for word, mine in (
        (every, fates.is_closed),
        (words.won, fates.is_closed & fates.won),
        (words.lost, fates.is_closed & ~fates.won),
    ):
        if mine.sum() >= rules.min_closed:
            # All closed records are named unless one outcome stands out.
            groups.append((abs(_share(filled, mine) - low) + _GAP * (word == every), word, mine))
    for _, word, mine in sorted(groups, key=lambda group: -group[0]):
        told = f"filled in {low:.0%} of open but {_share(filled, mine):.0%} of {word} {words.records}"
        apart = _odds_differ(filled, fates.is_open, mine, fates.cohort, rules.odds)
        gap, error = _matched_gap(filled, fates.is_open, mine, fates.cohort)
        by = (
            f"it is {'filled in' if (apart or gap) > 0 else 'emptied'} by closing"
            if word == "closed"
            else f"when it is filled depends on what became of the {words.records.removesuffix('s')}"
        )
        rise, doubt = _rise(filled, mine, fates)
        if apart and rise * apart + 2 * doubt > abs(gap) / 2:
            return _Gap("leaks", "filled_by_closing", f"{told}: {by}")
        # An honest field is filled more often in deals that are won: only all that closed can tell here.
        if word != every or abs(gap) < _GAP or abs(gap) < 4 * error:
            continue
        if rise * np.sign(gap) > max(abs(gap) / 2, 3 * doubt):
            return _Gap("leaks", "filled_by_closing", f"{told}: {by}")
        if rise * np.sign(gap) + 2 * doubt > abs(gap) / 2 and doubtful is None:
            doubtful = _Gap("suspicious", "fill_differs", f"{told}: perhaps {by}")
    won, lost = fates.is_closed & fates.won, fates.is_closed & ~fates.won
    # Honest fields, too, are filled more often in deals that are won: so often only by one of the outcomes.
    alone = _odds_differ(filled, lost, won, np.zeros_like(fates.cohort), rules.odds**2)
    if alone and min(won.sum(), lost.sum()) >= rules.min_closed:
        more, fewer = (won, lost) if alone > 0 else (lost, won)
        told = (
            f"filled in {_share(filled, more):.0%} of {words.of(WON if alone > 0 else LOST)} but "
            f"{_share(filled, fewer):.0%} of {words.of(LOST if alone > 0 else WON)} {words.records}: "
            f"when it is filled depends on what became of the {words.records.removesuffix('s')}"
        )
        return _Gap("leaks", "filled_by_closing", told)
    return doubtful


def _tells_closed(value: Values, fates: Fates, words: Words, rules: LeakRules) -> str:
    """Which value, if any, closed records have and open ones of the same time do not, or the reverse."""
    count = np.bincount(value.levels)
    count[0] = 0  # missing is the question of `_fill_gap`
    for level in np.argsort(-count, kind="stable")[:_COMMON]:
        if count[level] < rules.min_closed:
            break
        has = value.levels == level
        apart = _odds_differ(has, fates.is_open, fates.is_closed, fates.cohort, rules.odds)
        if not apart:
            continue
        # Deals nobody will ever close keep their value and stay open: honest, and no cohort gets more of it.
        gap, _ = _matched_gap(has, fates.is_open, fates.is_closed, fates.cohort)
        rise, doubt = _rise(has, fates.is_closed, fates)
        if rise * apart > max(abs(gap) / 2, 2.5 * doubt):
            return (
                f"one value stands in {_share(has, fates.is_open):.0%} of open but "
                f"{_share(has, fates.is_closed):.0%} of closed {words.records}: it tells closed from open"
            )
    return ""


def _copies_duration(value: Values, fates: Fates) -> str:
    """Whether a number is the time from creation to closing, or a date that of the closing."""
    number = value.numbers
    if value.days is not None:
        number = value.days - fates.created_us / DAY_US
    if number is None:
        return ""
    lasted = np.where(fates.is_closed, (fates.closed_us - fates.created_us) / DAY_US, np.nan)
    what = "the day of the closing" if value.days is not None else "how long the deal took"
    for mine in (fates.is_closed, fates.is_closed & fates.won, fates.is_closed & ~fates.won):
        rows = mine & np.isfinite(number)
        found, took = number[rows], lasted[rows]
        together = rank_correlation(found, took)
        if abs(together) > _CORRELATED:
            return f"follows {what} (rank correlation {together:.2f}): computed with the closing date"
        if len(found) < 20:
            continue
        # By chance a number hits another deal's duration just as often.
        hit = float((np.abs(found - took) <= _SAME_DAY).mean())
        chance = float((np.abs(found - np.roll(took, len(took) // 2)) <= _SAME_DAY).mean())
        if hit - chance > _COPIED:
            return f"is {what} in {hit:.0%} of closed deals: computed with the closing date"
    return ""


def _share(has: Bools, rows: Bools) -> float:
    return float(has[rows].mean()) if rows.any() else float("nan")


def _counts(has: Bools, is_open: Bools, mine: Bools, cohort: Ints) -> tuple[Floats, ...]:
    """(C,) closed with, closed without, open with, open without, of the cohorts that have both."""
    size = int(cohort.max(initial=0)) + 1
    cells = [
        np.bincount(cohort[rows], minlength=size).astype(np.float64)
        for rows in (mine & has, mine & ~has, is_open & has, is_open & ~has)
    ]
    both = (cells[0] + cells[1] > 0) & (cells[2] + cells[3] > 0)
    return tuple(cell[both] for cell in cells)


def _odds_differ(has: Bools, is_open: Bools, mine: Bools, cohort: Ints, odds: float) -> int:
    """1 if closed records have a value with more than `odds` times the odds of open ones of their cohort, -1 if
    with less than one part of `odds`, 0 if neither is sure.

    Asked twice: is what the open ones show likely if their odds were just `odds` times smaller than those of
    the closed, and the other way round? Each side is taken as it is while the other is asked, so the
    smaller one decides how sure one can be; a count of nought is no obstacle.
    """
    with_it, without, open_with, open_without = _counts(has, is_open, mine, cohort)
    closed, still = with_it + without, open_with + open_without
    if not len(closed):
        return 0
    for sign, (a, c) in ((1, (with_it, open_with)), (-1, (without, open_without))):
        # How often closed and open ones have it, each cohort leaning on all by the weight of one record.
        p, q = ((n + (n.sum() + 0.5) / (of.sum() + 1)) / (of + 1) for n, of in ((a, closed), (c, still)))
        fewer = float((still * p / (p + odds * (1 - p))).sum() / still.sum())
        more = float((closed * odds * q / (1 - q + odds * q)).sum() / closed.sum())
        unlikely = bdtr(c.sum(), int(still.sum()), fewer), bdtrc(a.sum() - 1, int(closed.sum()), more)
        if max(unlikely) < _UNLIKELY:
            return sign
    return 0


def _matched_gap(has: Bools, is_open: Bools, mine: Bools, cohort: Ints) -> tuple[float, float]:
    """Share closed less share open, averaged over cohorts (Mantel and Haenszel's weights), and its error."""
    a, b, c, d = _counts(has, is_open, mine, cohort)
    closed, still = a + b, c + d
    weight = closed * still / np.maximum(closed + still, 1.0)
    if not weight.sum() > 0:
        return 0.0, np.inf
    # Half a record of either kind: a cohort in which all are filled is not known without error.
    p, q = (a + 0.5) / (closed + 1), (c + 0.5) / (still + 1)
    error = np.sqrt((weight**2 * (p * (1 - p) / closed + q * (1 - q) / still)).sum()) / weight.sum()
    return float((weight * (a / closed - c / still)).sum() / weight.sum()), float(error)


def _rise(has: Bools, mine: Bools, fates: Fates) -> tuple[float, float]:
    """How much more cohorts are filled the more of them has closed (slope of a weighted line), and its error.

    The cohorts that closed long ago are cut into as many groups as those that still have open records.
    """
    rows = fates.is_open | mine
    group = fates.cohort[rows].copy()
    old = group == 0
    if old.any():
        edges = np.quantile(fates.created_us[rows][old], np.linspace(0, 1, 13)[1:-1])
        group[old] = -1 - np.searchsorted(edges, fates.created_us[rows][old])
    place = np.unique(group, return_inverse=True)[1]
    size = np.bincount(place).astype(np.float64)
    closed = np.bincount(place, mine[rows]) / size
    filled = np.bincount(place, has[rows]) / size
    mean_x, mean_y = (size * closed).sum() / size.sum(), (size * filled).sum() / size.sum()
    spread = (size * (closed - mean_x) ** 2).sum()
    if len(size) < 3 or spread < 1e-9:
        return 0.0, np.inf
    slope = (size * (closed - mean_x) * (filled - mean_y)).sum() / spread
    left = filled - mean_y - slope * (closed - mean_x)
    noise = max(mean_y * (1 - mean_y), float((size * left**2).sum() / (len(size) - 2)))
    return float(slope), float(np.sqrt(noise / spread))
