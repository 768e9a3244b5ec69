"""Learn the kinds of deals by expectation and maximisation.

What is observed of a deal is its whole course until it was first won or lost, or until the end of what may be
seen. Every count is drawn to what is usual for all deals, so a kind says nothing on what was seen too seldom.

Source: Dempster, Laird and Rubin 1977; shrinkage as Gamma-Poisson and Dirichlet-multinomial.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse
from scipy.linalg import expm

from forecast.arrays import Bools, Floats, Ints
from forecast.features.kinds.courses import BANDS_DAYS, LEVELS, Courses, Labels, read_courses
from forecast.features.kinds.kinds import CHANCES, KINDS, Kinds
from forecast.history import CATEGORIES, LOST, OPEN, WON, History
from forecast.history.columns import BANT, CATEGORY, FIELDS, STAGE
from forecast.periods import DAY_US

__all__ = ["fit_kinds"]

# With fewer closings kinds would be guesses, and their odds one more thing to overfit.
_MIN_CLOSED: Final = 200
_MIN_EACH: Final = 30
_MOVES: Final = 5.0  # expected moves of one sort that a kind's ratio is diluted with
_ACTIVITIES: Final = 20.0
_CHOICES: Final = 10.0  # answers, or categories of a stage
_DATES: Final = 20.0
_STEPS: Final = 150
_CLOSE: Final = 1e-7  # of the log-likelihood: smaller gains are none


@dataclass(frozen=True)
class _Observed:
    """n deals, each until its end.

    counts : (n, L) labels seen
    stood : (n, S) days in each stage; watched : (n, bands) days by age, weighted by the pace of the stage
    dates, further : (n,) close dates said, and the sum of how much further than usual they lie
    """

    counts: scipy.sparse.csr_matrix
    stood: Floats
    watched: Floats
    dates: Floats
    further: Floats


def fit_kinds(history: History, until_us: int, use: tuple[str, ...]) -> Kinds | None:
    """Learn from what was recorded before `until_us`.

    use : names of the features the field policy lets in; what it keeps out is not read here either
    None where too few deals were won or lost to tell kinds apart.
    """
    stages = tuple(
        name for name, kind in zip(history.stages.names, history.stages.kind, strict=True) if kind == OPEN
    )
    deal, end_us, kind = _ends(history, until_us)
    won, lost = int((kind == WON).sum()), int((kind == LOST).sum())
    if won + lost < _MIN_CLOSED or min(won, lost) < _MIN_EACH or not stages:
        return None
    labels = Labels(len(stages))
    courses = read_courses(history, stages)
    seen = _seen(history, courses, deal, end_us)
    pace = _pace(history, courses, seen, stages)
    usual, variance = _usual_dates(courses, seen, len(stages))
    observed = _observe(history, courses, seen, deal, end_us, stages, pace, usual, use)
    share = _first_guess(observed, labels, kind)
    usual_moves = _usual_moves(observed, labels)
    best = -np.inf
    for _ in range(_STEPS):
        kinds = _maximise(observed, labels, share, stages, usual_moves, pace, usual, variance)
        log_likelihood, share = _expect(observed, kinds)
        if log_likelihood - best < _CLOSE * abs(log_likelihood):
            break
        best = log_likelihood
    return _in_order(kinds, labels, usual_moves)


def _ends(history: History, until_us: int) -> tuple[Ints, Ints, Ints]:
    """Deals known, the moment before which each was watched, and how it ended (OPEN if it did not)."""
    closings = history.closings
    end_us = np.full(len(history), until_us)
    kind = np.full(len(history), OPEN, dtype=np.int64)
    known = np.flatnonzero(closings.at_us < until_us)[::-1]  # the first closing of a deal is written last
    end_us[closings.deal[known]] = closings.at_us[known] + 1
    kind[closings.deal[known]] = closings.kind[known]
    deal = np.flatnonzero(history.known_from_us() < until_us)
    return deal, end_us[deal], kind[deal]


def _seen(history: History, courses: Courses, deal: Ints, end_us: Ints) -> Bools:
    """(N,) entries that were recorded while their deal was watched."""
    ends = np.zeros(len(history), dtype=np.int64)
    ends[deal] = end_us
    return history.at_us < ends[courses.deal]


def _pace(history: History, courses: Courses, seen: Bools, stages: tuple[str, ...]) -> Floats:
    """(S,) activities a day in each stage, relative to all stages together."""
    labels = Labels(len(stages))
    worked = np.flatnonzero(seen & (courses.label >= labels.activity) & (courses.label < labels.inbound))
    slot = courses.slots[history.stage(courses.deal[worked], history.at_us[worked])]
    known = seen[courses.stays]
    days = (history.at_us[courses.stays] - courses.stood_from_us) / DAY_US
    stood = np.bincount(courses.left[known], days[known], len(stages)) + 1.0
    number = np.bincount(slot[slot >= 0], minlength=len(stages))
    usual = (number.sum() + 1.0) / stood.sum()
    pace: Floats = (number + _ACTIVITIES) / (stood * usual + _ACTIVITIES)
    return pace


def _usual_dates(courses: Courses, seen: Bools, stages: int) -> tuple[Floats, float]:
    """(S,) mean log of the days ahead of close dates said in each stage, and the variance around it."""
    known = seen[courses.dated]
    slot, ahead = courses.ahead_slot[known], courses.ahead_log_days[known]
    if not len(slot):
        return np.zeros(stages), 1.0
    number = np.bincount(slot, minlength=stages)
    usual = (np.bincount(slot, ahead, stages) + ahead.mean()) / (number + 1.0)
    return usual, max(float(np.mean((ahead - usual[slot]) ** 2)), 0.01)


def _observe(
    history: History,
    courses: Courses,
    seen: Bools,
    deal: Ints,
    end_us: Ints,
    stages: tuple[str, ...],
    pace: Floats,
    usual: Floats,
    use: tuple[str, ...],
) -> _Observed:
    labels = Labels(len(stages))
    row = np.full(len(history), -1, dtype=np.int64)
    row[deal] = np.arange(len(deal))
    slots = courses.slots
    allowed = _allowed(labels, use)

    stays = courses.stays[seen[courses.stays]]
    ended = seen[courses.stays]
    told = [(courses.deal[seen], courses.label[seen]), (courses.deal[stays], courses.also[ended])]
    now = slots[history.stage(deal, end_us)]
    said = history.last(deal, CATEGORY, end_us)
    here = np.flatnonzero((now >= 0) & ~np.isnan(said))
    said_now = labels.category + now[here] * len(CATEGORIES) + said[here].astype(np.int64)
    owner = np.concatenate([*(part for part, _ in told), deal[here]])
    label = np.concatenate([*(part for _, part in told), said_now])
    keep = (label >= 0) & allowed[label]
    counts = scipy.sparse.csr_matrix(
        (np.ones(int(keep.sum())), (row[owner[keep]], label[keep])), shape=(len(deal), labels.count)
    )

    # Stays that ended, and the one each open deal is in.
    since_us = history.last_at_us(deal, STAGE, end_us)
    open_ = np.flatnonzero(now >= 0)
    who = np.concatenate((row[courses.deal[stays]], open_))
    slot = np.concatenate((courses.left[ended], now[open_]))
    from_us = np.concatenate((courses.stood_from_us[ended], since_us[open_]))
    until_us = np.concatenate((history.at_us[stays], end_us[open_]))
    created_us = history.columns.created_at_us[deal][who]
    low, high = (np.maximum(at - created_us, 0) / DAY_US for at in (from_us, until_us))
    size = len(deal)
    stood = np.bincount(who * len(stages) + slot, high - low, size * len(stages)).reshape(size, -1)
    watched = np.zeros((size, len(BANDS_DAYS)))
    if "activities_total" in use:
        for band, begin in enumerate(BANDS_DAYS):
            end = BANDS_DAYS[band + 1] if band + 1 < len(BANDS_DAYS) else np.inf
            inside = np.maximum(np.minimum(high, end) - np.maximum(low, begin), 0.0)
            watched[:, band] = np.bincount(who, inside * pace[slot], size)

    dated = seen[courses.dated] & ("days_to_close" in use)
    further = courses.ahead_log_days[dated] - usual[courses.ahead_slot[dated]]
    of = row[courses.deal[courses.dated[dated]]]
    dates, sums = np.bincount(of, minlength=size).astype(np.float64), np.bincount(of, further, size)
    return _Observed(counts, stood.astype(np.float64), watched, dates, sums.astype(np.float64))


def _allowed(labels: Labels, use: tuple[str, ...]) -> Bools:
    """(L,) whether a label may be read."""
    allowed = np.ones(labels.count, dtype=bool)
    allowed[labels.activity : labels.answer] = "activities_total" in use
    for at, field in enumerate(BANT):
        start = labels.answer + LEVELS * at
        allowed[start : start + LEVELS] = FIELDS[field] in use
    allowed[labels.category :] = "category" in use
    return allowed


def _first_guess(observed: _Observed, labels: Labels, kind: Ints) -> Floats:
    """(n, KINDS) shares of each deal: by its end, its answers and its age, softly, with a little chance."""
    answers = observed.counts[:, labels.answer : labels.category].toarray().reshape(len(kind), -1, LEVELS)
    good = (answers[..., 2] - answers[..., 0]).sum(axis=1)
    rank = (
        1.0 * (kind == WON)
        - 1.0 * (kind == LOST)
        + 0.3 * good
        - 0.3 * np.log1p(observed.stood.sum(axis=1) / 100.0)
        + np.random.default_rng(0).normal(0.0, 0.3, len(kind))
    )
    place = np.argsort(np.argsort(rank, kind="stable"), kind="stable") / len(rank)
    centre = (np.arange(KINDS) + 0.5) / KINDS
    share = np.exp(-((place[:, None] - centre) ** 2) / (2.0 * (0.6 / KINDS) ** 2))
    guess: Floats = share / share.sum(axis=1, keepdims=True)
    return guess


def _usual_moves(observed: _Observed, labels: Labels) -> Floats:
    """(S, S + 2) moves a day from each stage to each target, of all deals."""
    number = np.asarray(observed.counts[:, : labels.activity].sum(axis=0)).reshape(labels.stages, -1)
    rate: Floats = (number + 0.01) / (observed.stood.sum(axis=0)[:, None] + 10.0)
    return rate


def _maximise(
    observed: _Observed,
    labels: Labels,
    share: Floats,
    stages: tuple[str, ...],
    usual_moves: Floats,
    pace: Floats,
    usual: Floats,
    variance: float,
) -> Kinds:
    """Rates and probabilities of each kind, given how much of each deal belongs to it."""
    number = np.asarray(observed.counts.T @ share)  # (L, KINDS)
    weights = np.zeros((labels.count, KINDS))
    stood = observed.stood.T @ share
    expected = usual_moves[:, :, None] * stood[:, None]
    ratio = (number[: labels.activity].reshape(expected.shape) + _MOVES) / (expected + _MOVES)
    weights[: labels.activity] = np.log(ratio).reshape(-1, KINDS)

    acted = number[labels.activity : labels.inbound]
    watched = observed.watched.T @ share
    overall = (acted.sum(axis=1) + 0.1) / (watched.sum(axis=1) + 1.0)
    working = (acted + _ACTIVITIES) / (watched + _ACTIVITIES / overall[:, None])
    received, all_ = number[labels.inbound], acted.sum(axis=0)
    mean = (received.sum() + 1.0) / (all_.sum() + 3.0)
    inbound = np.minimum((received + _ACTIVITIES * mean) / (all_ + _ACTIVITIES), 1.0 - 1e-6)
    weights[labels.activity : labels.inbound] = np.log(working) + np.log1p(-inbound)
    weights[labels.inbound] = np.log(inbound) - np.log1p(-inbound)

    for start, end, width in (
        (labels.answer, labels.category, LEVELS),
        (labels.category, labels.count, len(CATEGORIES)),
    ):
        chosen = number[start:end].reshape(-1, width, KINDS)
        common = chosen.sum(axis=2, keepdims=True) + 0.5
        common = common / common.sum(axis=1, keepdims=True)
        likely = (chosen + _CHOICES * common) / (chosen.sum(axis=1, keepdims=True) + _CHOICES)
        weights[start:end] = np.log(likely).reshape(-1, KINDS)
    return Kinds(
        stages=stages,
        prior=np.log(share.mean(axis=0) + 1e-9),
        weights=weights,
        leaving=(ratio * usual_moves[:, :, None]).sum(axis=1),
        working=working,
        pace=pace,
        ahead_log_days=usual,
        ahead_shift=(observed.further @ share) / (observed.dates @ share + _DATES),
        ahead_variance=variance,
        chances=np.zeros((len(CHANCES), len(stages), KINDS)),  # of no use before all is learnt
    )


def _expect(observed: _Observed, kinds: Kinds) -> tuple[float, Floats]:
    """Log-likelihood of all courses, and (n, KINDS) the probability of each kind given a deal's course."""
    shift = kinds.ahead_shift
    joint = (
        kinds.prior
        + observed.counts @ kinds.weights
        - observed.stood @ kinds.leaving
        - observed.watched @ kinds.working
        + (observed.further[:, None] * shift - observed.dates[:, None] * shift**2 / 2.0)
        / kinds.ahead_variance
    )
    most = joint.max(axis=1, keepdims=True)
    share = np.exp(joint - most)
    total = share.sum(axis=1, keepdims=True)
    return float((most + np.log(total)).sum()), share / total


def _in_order(kinds: Kinds, labels: Labels, usual_moves: Floats) -> Kinds:
    """The same kinds in order of the share of their closings that are won, with their chances."""
    ratio = np.exp(kinds.weights[: labels.activity]).reshape(*usual_moves.shape, KINDS)
    rates = ratio * usual_moves[:, :, None]
    won, lost = rates.sum(axis=0)[labels.stages :]
    order = np.argsort(won / (won + lost + 1e-4), kind="stable")
    return Kinds(
        stages=kinds.stages,
        prior=kinds.prior[order],
        weights=kinds.weights[:, order],
        leaving=kinds.leaving[:, order],
        working=kinds.working[:, order],
        pace=kinds.pace,
        ahead_log_days=kinds.ahead_log_days,
        ahead_shift=kinds.ahead_shift[order],
        ahead_variance=kinds.ahead_variance,
        chances=_chances(rates[..., order]),
    )


def _chances(rates: Floats) -> Floats:
    """(len(CHANCES), S, KINDS) probability to be won, or lost, within so many days from each stage.

    rates : (S, S + 2, KINDS) a day from each open stage to each of them, to won and to lost, where a chain ends
    """
    stages = len(rates)
    found = np.empty((len(CHANCES), stages, KINDS))
    for kind in range(KINDS):
        chain = np.zeros((stages + 2, stages + 2))
        chain[:stages] = rates[:, :, kind]
        np.fill_diagonal(chain, 0.0)
        np.fill_diagonal(chain, -chain.sum(axis=1))
        for place, (cause, days) in enumerate(CHANCES):
            found[place, :, kind] = expm(chain * days)[:stages, stages + (cause == "lost")]
    return found
