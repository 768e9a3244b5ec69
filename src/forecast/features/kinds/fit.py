"""Learn the kinds of deals by expectation and maximisation.

Every count is drawn to what is usual for all deals, so a kind says nothing on what was seen too seldom. Moves
are compared with those usual for the same motion: a renewal is signed sooner than a new customer, of whatever
kind. Which kinds a motion and a source bring is learnt last, with all else held: kinds that were free to follow
motions would be names of motions, not of what deals have in common beyond them.

Source: Dempster, Laird and Rubin 1977; shrinkage as Gamma-Poisson and Dirichlet-multinomial; shares by motion
and source in a second step as in Bakk and Kuha 2018.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from scipy.linalg import expm
from scipy.special import logsumexp

from forecast.arrays import Floats, Ints
from forecast.features.kinds.ages import Ages, Stays, learn_ages
from forecast.features.kinds.courses import LEVELS, Labels
from forecast.features.kinds.facts import GROUPS, Facts, learn_facts
from forecast.features.kinds.kinds import CHANCES, KINDS, Kinds
from forecast.features.kinds.observed import Observed, Usual, observe
from forecast.history import CATEGORIES, LOST, WON, History, TrackRecords

__all__ = ["fit_kinds"]

_MOVES: Final = 5.0  # expected moves of one sort that a kind's ratio is diluted with
_ACTIVITIES: Final = 20.0
_CHOICES: Final = 10.0  # answers, or categories of a stage
_DATES: Final = 20.0
_DEALS: Final = 20.0  # of a motion, or of a source within it
_STEPS: Final = 150
_TURNS: Final = 2  # of learning facts, and kinds again
_STEPS_EACH: Final = 50
_STEP: Final = 0.1
_CLOSE: Final = 1e-7  # of the log-likelihood: smaller gains are none


def fit_kinds(history: History, until_us: int, use: tuple[str, ...], records: TrackRecords) -> Kinds | None:
    """Learn from what was recorded before `until_us`.

    records : as they stood at any moment

    use : names of the features the field policy lets in; what it keeps out is not read here either
    None where too few deals were won or lost to tell kinds apart.
    """
    found = observe(history, until_us, use, records)
    if found is None:
        return None
    observed, usual = found
    kinds, share = _learn(observed, usual, _first_guess(observed, usual.labels), _STEPS)
    # Rates of all deals that fall with age are what kinds explain; only motions that differ tell both apart.
    has_ages = "age_days" in use and len(usual.motions) > 1
    # Kinds first, or whatever makes kinds differ would be taken for a matter of facts and ages.
    for _ in range(_TURNS if observed.facts or has_ages else 0):
        facts, ages = Facts.none(), kinds.ages
        if observed.facts:
            facts = learn_facts(history, observed.facts, *_moves(observed, kinds, share))
            observed = replace(observed, factors=facts.at(history, observed.facts, len(share)))
        if has_ages:
            ages = learn_ages(*_rates(observed, kinds, share))
            observed = replace(observed, aged=_aged(observed, ages))
        kinds, share = _learn(observed, usual, share, _STEPS_EACH)
        kinds = replace(kinds, facts=facts, ages=ages)
    return _in_order(replace(kinds, prior=_shares(observed, usual, kinds)), usual)


def _learn(observed: Observed, usual: Usual, share: Floats, steps: int) -> tuple[Kinds, Floats]:
    """Kinds from (n, KINDS) shares of each deal, and these shares by them."""
    best = -np.inf
    for _ in range(steps):
        kinds = _maximise(observed, usual, share)
        log_likelihood, share = _expect(kinds.prior, observed, _log_likelihood(observed, kinds))
        if log_likelihood - best < _CLOSE * abs(log_likelihood):
            break
        best = log_likelihood
    return kinds, share


def _moves(observed: Observed, kinds: Kinds, share: Floats) -> tuple[Floats, Floats]:
    """(GROUPS, n) moves of each group that came, and those to be expected by the kinds without facts."""
    groups = _groups(Labels(len(kinds.stages)))
    labels = np.arange(Labels(len(kinds.stages)).activity).reshape(len(kinds.stages), -1)
    came = [np.asarray(observed.counts[:, labels[:, of].ravel()].sum(axis=1)).ravel() for of in groups]
    expected = np.einsum("gns,nsgk,nk->gn", observed.aged, kinds.leaving[observed.motion], share)
    return np.stack(came), expected


def _rates(observed: Observed, kinds: Kinds, share: Floats) -> tuple[Stays, Ints, int, Floats]:
    """What the pace at every age is learnt from: stays, motions, and rates by kinds and facts, without ages."""
    stays = observed.stays
    motion = observed.motion[stays.deal]
    rate = np.einsum("tgk,tk->tg", kinds.leaving[motion, stays.slot], share[stays.deal])
    return stays, motion, len(kinds.motions) + 1, rate * np.exp(observed.factors[:, stays.deal].T)


def _aged(observed: Observed, ages: Ages) -> Floats:
    """(GROUPS, n, S) days in each stage by the pace of each group of moves."""
    stays, (size, stages) = observed.stays, observed.stood.shape
    motion = observed.motion[stays.deal]
    days = ages.passed(motion, stays.until_days) - ages.passed(motion, stays.from_days)
    cell = stays.deal * stages + stays.slot
    found = [
        np.bincount(cell, days[:, group], size * stages).reshape(size, stages) for group in range(GROUPS)
    ]
    return np.stack(found)


def _groups(labels: Labels) -> tuple[slice, slice, slice]:
    """Targets of moves by group: to another open stage, to won, to lost."""
    won = labels.stages
    return slice(0, won), slice(won, won + 1), slice(won + 1, won + 2)


def _first_guess(observed: Observed, labels: Labels) -> Floats:
    """(n, KINDS) shares of each deal: by its end, its answers and its age, softly, with a little chance."""
    kind = observed.ended
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


def _maximise(observed: Observed, usual: Usual, share: Floats) -> Kinds:
    """Rates and probabilities of each kind, given how much of each deal belongs to it."""
    labels = usual.labels
    number = np.asarray(observed.counts.T @ share)  # (L, KINDS)
    weights = np.zeros((labels.count, KINDS))
    expected = np.zeros((labels.stages, labels.targets, KINDS))
    for motion, usual_here in enumerate(usual.moves):
        here = observed.motion == motion
        for group, of in enumerate(_groups(labels)):
            stood = observed.aged[group, here] * np.exp(observed.factors[group, here])[:, None]
            expected[:, of] += usual_here[:, of, None] * (stood.T @ share[here])[:, None]
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
    rows = len(usual.motions) + 1
    return Kinds(
        stages=usual.stages,
        motions=usual.motions,
        sources=usual.sources,
        prior=np.broadcast_to(np.log(share.mean(axis=0) + 1e-9), (rows, len(usual.sources) + 1, KINDS)),
        weights=weights,
        facts=Facts.none(),
        ages=Ages.none(rows),
        leaving=_leaving(ratio * usual.moves[..., None], labels),
        working=working,
        pace=usual.pace,
        ahead_log_days=usual.ahead_log_days,
        ahead_shift=(observed.further @ share) / (observed.dates @ share + _DATES),
        ahead_variance=usual.ahead_variance,
        chances=np.zeros((len(CHANCES), rows, len(usual.stages), KINDS)),  # of no use before all is learnt
        bends=np.zeros((GROUPS, len(CHANCES), rows, len(usual.stages), KINDS)),
    )


def _leaving(rates: Floats, labels: Labels) -> Floats:
    """(M + 1, S, GROUPS, KINDS) rates by group, from those to each target (M + 1, S, S + 2, KINDS)."""
    return np.stack([rates[:, :, of].sum(axis=2) for of in _groups(labels)], axis=2)


def _prior(observed: Observed, usual: Usual, share: Floats) -> Floats:
    """(M + 1, Q + 1, KINDS) log share of each kind by motion and source, each drawn to the one above it."""
    motions, sources = len(usual.motions), len(usual.sources)
    every = share.mean(axis=0)
    found = np.empty((motions + 1, sources + 1, KINDS))
    for motion in range(motions + 1):
        mine = observed.motion == motion
        level = every
        if motion < motions:
            level = (share[mine].sum(axis=0) + _DEALS * every) / (mine.sum() + _DEALS)
        for source in range(sources + 1):
            both = mine & (observed.source == source)
            found[motion, source] = (share[both].sum(axis=0) + _DEALS * level) / (both.sum() + _DEALS)
    return np.log(found + 1e-9)


def _shares(observed: Observed, usual: Usual, kinds: Kinds) -> Floats:
    """(M + 1, Q + 1, KINDS) log shares by motion and source, by the same two steps with all rates held."""
    told, prior, best = _log_likelihood(observed, kinds), kinds.prior, -np.inf
    for _ in range(_STEPS):
        log_likelihood, share = _expect(prior, observed, told)
        if log_likelihood - best < _CLOSE * abs(log_likelihood):
            break
        best, prior = log_likelihood, _prior(observed, usual, share)
    return prior


def _expect(prior: Floats, observed: Observed, told: Floats) -> tuple[float, Floats]:
    """Log-likelihood of all courses, and (n, KINDS) the probability of each kind given a deal's course.

    told : (n, KINDS) log-likelihood of each course, were it of a kind
    """
    joint = told + prior[observed.motion, observed.source]
    total = logsumexp(joint, axis=1, keepdims=True)
    return float(total.sum()), np.exp(joint - total)


def _log_likelihood(observed: Observed, kinds: Kinds) -> Floats:
    """(n, KINDS) of each deal's course, were it of a kind."""
    shift = kinds.ahead_shift
    found: Floats = (
        observed.counts @ kinds.weights
        - np.einsum(
            "gns,nsgk,gn->nk", observed.aged, kinds.leaving[observed.motion], np.exp(observed.factors)
        )
        - observed.watched @ kinds.working
        + (observed.further[:, None] * shift - observed.dates[:, None] * shift**2 / 2.0)
        / kinds.ahead_variance
    )
    return found


def _in_order(kinds: Kinds, usual: Usual) -> Kinds:
    """The same kinds in order of the share of their closings that are won, with their chances."""
    labels = usual.labels
    ratio = np.exp(kinds.weights[: labels.activity]).reshape(labels.stages, labels.targets, KINDS)
    rates = ratio * usual.moves[..., None]
    won, lost = rates[-1].sum(axis=0)[labels.stages :]
    order = np.argsort(won / (won + lost + 1e-4), kind="stable")
    return replace(
        kinds,
        prior=kinds.prior[..., order],
        weights=kinds.weights[:, order],
        leaving=kinds.leaving[..., order],
        working=kinds.working[:, order],
        ahead_shift=kinds.ahead_shift[order],
        chances=_chances(rates[..., order]),
        bends=_bends(rates[..., order], labels),
    )


def _chances(rates: Floats) -> Floats:
    """(len(CHANCES), M + 1, S, KINDS) probability to be won, or lost, within so many days from each stage.

    rates : (M + 1, S, S + 2, KINDS) a day from each open stage to each of them, and to the ends, won and lost
    """
    motions, stages, targets, kinds = rates.shape
    chain = np.zeros((motions, kinds, targets, targets))
    chain[:, :, :stages] = np.moveaxis(rates, 3, 1)
    every = np.arange(targets)
    chain[:, :, every, every] = 0.0
    chain[:, :, every, every] = -chain.sum(axis=3)
    found = [expm(chain * days)[:, :, :stages, stages + (cause == "lost")] for cause, days in CHANCES]
    return np.moveaxis(np.stack(found), 2, 3)


def _bends(rates: Floats, labels: Labels) -> Floats:
    """(GROUPS, len(CHANCES), M + 1, S, KINDS) slopes of log(-log(1 - chance)) over the log rates of a group."""

    def scaled(of: slice, step: float) -> Floats:
        changed = rates.copy()
        changed[:, :, of] *= np.exp(step)
        chance = np.clip(_chances(changed), 1e-12, 1.0 - 1e-12)
        found: Floats = np.log(-np.log1p(-chance))
        return found

    return np.stack([(scaled(of, _STEP) - scaled(of, -_STEP)) / (2 * _STEP) for of in _groups(labels)])
