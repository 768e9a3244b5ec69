"""What sellers write about a deal: answers, activities, amounts, dates, categories, owners.

All of it is drawn after the stage paths, in bulk, and depends on nothing but a deal's quality and its stage
at the time. Whatever depends on quality leaves `Points` or `Exposures`: the truth uses them as evidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from forecast.arrays import Bools, Floats, Ints, Texts
from forecast.periods import DAY_US
from forecast.simulator import process
from forecast.simulator.calendar import Clock
from forecast.simulator.cohort import Cohort
from forecast.simulator.company import Company
from forecast.simulator.evidence import Exposures, Points, day_end, safe_log, sort_key
from forecast.simulator.paths import Paths

__all__ = [
    "Activities",
    "Entries",
    "Written",
    "activities",
    "amounts",
    "answers",
    "categories",
    "close_dates",
    "entries_of",
    "owners",
]

_HOUR_US = 3_600_000_000
_LATE_SHARE = 0.06  # of answers, typed in only days later


@dataclass(frozen=True)
class Written:
    """Changes of one field: (n,) deals, moments, values (codes or numbers, as the field wants)."""

    deal: Ints
    moment_us: Ints
    value: NDArray[Any]

    def take(self, rows: Bools) -> Written:
        return Written(self.deal[rows], self.moment_us[rows], self.value[rows])

    def named(self, names: Texts) -> Written:
        """The same with each code replaced by its name."""
        return Written(self.deal, self.moment_us, names[self.value])


@dataclass(frozen=True)
class Entries:
    """Every time a deal entered an open stage, creation included; sorted by deal and time."""

    deal: Ints
    moment_us: Ints
    stage: Ints
    creation: Bools
    reopened: Bools
    key: Ints

    def stage_at(self, deal: Ints, moment_us: Ints) -> Ints:
        """The open stage last entered at or before each moment."""
        return self.stage[np.searchsorted(self.key, sort_key(deal, moment_us), side="right") - 1]


def entries_of(cohort: Cohort, paths: Paths) -> Entries:
    """Creations and the moves to open stages, in order."""
    moves = np.flatnonzero(paths.move_to < process.OPEN_STAGES)
    n = len(cohort)
    deal = np.concatenate([np.arange(n), paths.move_deal[moves]])
    moment_us = np.concatenate([cohort.created_us, paths.move_us[moves]])
    key = sort_key(deal, moment_us)
    order = np.argsort(key, kind="stable")
    return Entries(
        deal=deal[order],
        moment_us=moment_us[order],
        stage=np.concatenate([cohort.first_stage, paths.move_to[moves]])[order],
        creation=(np.arange(len(deal)) < n)[order],
        reopened=np.concatenate([np.zeros(n, bool), paths.move_from[moves] == process.LOST])[order],
        key=key[order],
    )


def _strew(rate: Floats, paths: Paths, clock: Clock, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """A Poisson process of `rate` (spells,) on a clock: spell and moment of each point, by deal and time."""
    since = clock.elapsed(paths.spell_from_us)
    width = clock.elapsed(day_end(paths.spell_until_us)) - since
    spell = np.repeat(np.arange(len(rate)), rng.poisson(rate * width))
    moment_us = clock.moment(since[spell] + width[spell] * rng.random(len(spell)) * (1 - 1e-9))
    order = np.lexsort((moment_us, paths.spell_deal[spell]))
    return spell[order], moment_us[order]


def answers(
    field: int, cohort: Cohort, paths: Paths, clock: Clock, rng: np.random.Generator
) -> tuple[Written, Points]:
    """When one of the BANT questions was answered, and how; now and then typed in days late."""
    spell, moment_us = _strew(process.ANSWER_RATE[paths.spell_stage], paths, clock, rng)
    deal = paths.spell_deal[spell]
    first = np.concatenate([[True], deal[1:] != deal[:-1]])[: len(deal)]
    kept = first | (rng.random(len(deal)) < process.RE_ANSWER_SHARE)
    deal, moment_us = deal[kept], moment_us[kept]
    late = rng.random(len(deal)) < _LATE_SHARE
    moment_us = moment_us + late * rng.integers(1, 20, len(deal)) * DAY_US
    edges = np.cumsum(process.ANSWERS[field], axis=1)[cohort.quality[deal]]
    value = np.minimum((rng.random(len(deal))[:, None] > edges).sum(axis=1), 2)
    written = Written(deal, moment_us, value)
    return written, Points(deal, moment_us, safe_log(process.ANSWERS[field].T[value]))


@dataclass(frozen=True)
class Activities:
    """Calls, e-mails and so on of deals; `direction` is -1 where it has none, 0 out, 1 in."""

    deal: Ints
    moment_us: Ints
    kind: Ints
    direction: Ints


def activities(
    cohort: Cohort, paths: Paths, clock: Clock, rng: np.random.Generator
) -> tuple[Activities, Points, Exposures]:
    """Activities by quality, stage and age; who answers is telling, and zombies fall silent."""
    quality = cohort.quality[paths.spell_deal]
    spell, moment_us = _strew(
        process.ACTIVITY_RATE[quality, paths.spell_band, paths.spell_stage], paths, clock, rng
    )
    deal = paths.spell_deal[spell]
    kind = rng.choice(len(process.ACTIVITY_KINDS), len(deal), p=process.ACTIVITY_KIND_SHARE)
    inbound = process.INBOUND_SHARE[cohort.quality[deal]]
    direction = np.where(kind < 2, (rng.random(len(deal)) < inbound).astype(np.int64), -1)
    rate = process.ACTIVITY_RATE[:, paths.spell_band, paths.spell_stage].T
    said = np.stack([safe_log(1 - process.INBOUND_SHARE), safe_log(process.INBOUND_SHARE), np.zeros(4)])
    return (
        Activities(deal, moment_us, kind, direction),
        Points(deal, moment_us, safe_log(rate)[spell] + said[direction]),
        Exposures(clock, paths.spell_deal, paths.spell_from_us, day_end(paths.spell_until_us), rate),
    )


def amounts(cohort: Cohort, paths: Paths, clock: Clock, rng: np.random.Generator) -> Written:
    """The amount at creation, its revisions (mean one), and the correction at signature; whole tens."""
    spell, moment_us = _strew(process.AMOUNT_RATE[paths.spell_stage], paths, clock, rng)
    deal = paths.spell_deal[spell]
    sd = process.AMOUNT_LOG_SD
    step = rng.normal(-sd * sd / 2, sd, len(deal))

    won = np.flatnonzero(paths.move_to == process.WON)
    won = won[rng.random(len(won)) < process.SIGNED_SHARE]
    # Mostly written with the win itself, otherwise when the contract comes back.
    delay_us = (rng.random(len(won)) < 0.3) * rng.integers(1, 4, len(won)) * DAY_US
    signed_us = paths.move_us[won] + delay_us

    n = len(cohort)
    deals = np.concatenate([np.arange(n), deal, paths.move_deal[won]])
    moments = np.concatenate([cohort.created_us, moment_us, signed_us])
    steps = np.concatenate([np.zeros(n), step, np.log(rng.uniform(*process.SIGNED_RANGE, len(won)))])
    # A revision typed on the day of the win but after it is not one.
    won_us = np.full(n, 2**62)
    won_us[paths.move_deal[won]] = paths.move_us[won]
    keep = np.concatenate([np.ones(n, bool), moment_us < won_us[deal], np.ones(len(won), bool)])
    deals, moments, steps = deals[keep], moments[keep], steps[keep]
    order = np.argsort(sort_key(deals, moments), kind="stable")
    deals, moments, steps = deals[order], moments[order], steps[order]
    running = np.cumsum(steps)
    first = np.searchsorted(deals, np.arange(n))
    running = running - running[first][deals]
    return Written(
        deals, moments, np.maximum(100, np.round(cohort.amount[deals] * np.exp(running) / 10) * 10)
    )


def _month_bounds(day: Ints) -> tuple[Ints, Ints]:
    """First and last day of the month of each day, all as days since 1970."""
    month = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    first, after = (each.astype("datetime64[M]").astype("datetime64[D]") for each in (month, month + 1))
    return first.astype(np.int64), after.astype(np.int64) - 1


def _estimate(day: Ints, stage: Ints, quality: Ints, rng: np.random.Generator) -> Ints:
    """The date a seller expects, said on `day`; days since 1970."""
    log_days = process.ESTIMATE_LOG_DAYS[quality, stage] + process.ESTIMATE_LOG_SD * rng.normal(size=len(day))
    date = day + np.maximum(1, np.floor(np.exp(log_days) + 0.5).astype(np.int64))
    return np.where(rng.random(len(day)) < process.MONTH_END_SHARE, _month_bounds(date)[1], date)


def _estimate_log_likelihood(day: Ints, date: Ints, stage: Ints) -> Floats:
    """log P(date | said on `day` in `stage`), by quality: the exact mass of `_estimate`, (n, qualities)."""
    first, last = _month_bounds(date)

    def up_to(ahead: Ints) -> Floats:
        score = (np.log(np.maximum(ahead, 0.1) + 0.5)[:, None] - process.ESTIMATE_LOG_DAYS.T[stage]) / (
            process.ESTIMATE_LOG_SD
        )
        return np.where((ahead >= 1)[:, None], ndtr(score), 0.0)

    plain = up_to(date - day) - up_to(date - day - 1)
    moved = np.where((date == last)[:, None], up_to(last - day) - up_to(first - 1 - day), 0.0)
    return safe_log((1 - process.MONTH_END_SHARE) * plain + process.MONTH_END_SHARE * moved)


def close_dates(
    cohort: Cohort, paths: Paths, entries: Entries, clock: Clock, end_us: int, rng: np.random.Generator
) -> tuple[Written, Points, Exposures]:
    """The seller's expected close date: said at creation, with some moves, and pushed when overdue.

    At the win the CRM overwrites it with the day of the win.
    """
    said = entries.creation | entries.reopened | (rng.random(len(entries.deal)) < process.RE_ESTIMATE_SHARE)
    closing = np.flatnonzero(paths.move_to >= process.OPEN_STAGES)
    # A date stands until the next one, or until the deal closes.
    deals = np.concatenate([entries.deal[said], paths.move_deal[closing]])
    moments = np.concatenate([entries.moment_us[said], paths.move_us[closing]])
    order = np.argsort(sort_key(deals, moments), kind="stable")
    following = np.append(np.where(deals[order][1:] == deals[order][:-1], moments[order][1:], end_us), end_us)
    stands_until = np.empty(len(deals), np.int64)
    stands_until[order] = following

    n = int(said.sum())
    deal, now_us, until_us = deals[:n], moments[:n], stands_until[:n]
    stage = entries.stage[said]
    dates: list[Written] = []
    evidence: list[Points] = []
    overdue: list[tuple[Ints, Ints, Ints]] = []
    while len(deal):
        day = now_us // DAY_US
        date = _estimate(day, stage, cohort.quality[deal], rng)
        dates.append(Written(deal, now_us, date))
        evidence.append(Points(deal, now_us, _estimate_log_likelihood(day, date, stage)))
        late_us = (date + 1) * DAY_US
        late = np.flatnonzero(late_us < until_us)
        deal, late_us, until_us = deal[late], late_us[late], until_us[late]
        wait = rng.exponential(size=len(deal)) / process.PUSH_RATE[cohort.quality[deal]]
        push_us = clock.moment(clock.elapsed(late_us) + wait)
        overdue.append((deal, late_us, np.minimum(push_us, until_us)))
        pushed = np.flatnonzero(push_us < until_us)
        deal, now_us, until_us = deal[pushed], push_us[pushed], until_us[pushed]
        stage = entries.stage_at(deal, now_us)
        evidence.append(Points(deal, now_us, np.broadcast_to(safe_log(process.PUSH_RATE), (len(deal), 4))))

    won = np.flatnonzero(paths.move_to == process.WON)
    dates.append(Written(paths.move_deal[won], paths.move_us[won], paths.move_us[won] // DAY_US))
    waiting = [np.concatenate(column) for column in zip(*overdue, strict=True)]
    rate = np.broadcast_to(process.PUSH_RATE, (len(waiting[0]), len(process.QUALITIES)))
    return _concat(dates), Points.concat(evidence), Exposures(clock, waiting[0], waiting[1], waiting[2], rate)


def _concat(parts: list[Written]) -> Written:
    return Written(
        np.concatenate([p.deal for p in parts]),
        np.concatenate([p.moment_us for p in parts]),
        np.concatenate([p.value for p in parts]),
    )


def categories(cohort: Cohort, entries: Entries, rng: np.random.Generator) -> tuple[Written, Points]:
    """The seller's own judgement on entering a stage; written only when it changes, evidence either way."""
    edges = np.cumsum(process.CATEGORY_SHARE, axis=2)[cohort.quality[entries.deal], entries.stage]
    value = np.minimum((rng.random(len(entries.deal))[:, None] > edges).sum(axis=1), 3)
    shares = process.CATEGORY_SHARE[:, entries.stage, value].T
    changed = entries.creation | np.concatenate([[True], value[1:] != value[:-1]])
    return (
        Written(entries.deal, entries.moment_us, value).take(changed),
        Points(entries.deal, entries.moment_us, safe_log(shares)),
    )


def owners(cohort: Cohort, paths: Paths, company: Company, end_us: int, rng: np.random.Generator) -> Written:
    """Who owns each deal since when: whoever opened it, and a colleague when that seller has left."""
    n = len(cohort)
    deal, seller = np.arange(n), cohort.seller
    changes = [Written(deal, cohort.created_us, seller)]
    spell_key = sort_key(paths.spell_deal, paths.spell_until_us)
    move_key = sort_key(paths.move_deal, paths.move_us)
    while len(deal):
        left_us = company.left_us[seller]
        leaves = left_us < end_us
        deal, seller, left_us = deal[leaves], seller[leaves], left_us[leaves]
        # The first spell still running, or beginning, after the seller has gone.
        spell = np.searchsorted(spell_key, sort_key(deal, left_us), side="right")
        inside = spell < len(spell_key)
        spell = np.minimum(spell, len(spell_key) - 1)
        still = inside & (paths.spell_deal[spell] == deal)
        deal, seller, left_us, spell = deal[still], seller[still], left_us[still], spell[still]
        since_us = paths.spell_from_us[spell]
        moment_us = np.maximum(since_us, left_us) + 9 * _HOUR_US
        if len(move_key):
            # A deal that comes back from a loss finds its new owner at that moment.
            move = np.maximum(np.searchsorted(move_key, sort_key(deal, since_us)) - 1, 0)
            reopened = (paths.move_deal[move] == deal) & (paths.move_from[move] == process.LOST)
            moment_us = np.where(reopened & (since_us > left_us), paths.move_us[move], moment_us)
        in_time = moment_us < end_us
        deal, seller, moment_us = deal[in_time], seller[in_time], moment_us[in_time]
        seller = company.assign(company.team[seller], moment_us, rng)
        changes.append(Written(deal, moment_us, seller))
    return _concat(changes)
