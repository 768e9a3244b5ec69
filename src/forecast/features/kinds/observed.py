"""What is observed of whole courses, and what is usual in them: all that kinds are learnt from.

Nothing here knows of kinds. A deal is watched until it was first won or lost, or until the end of what may be
seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse

from forecast.arrays import Bools, Floats, Ints
from forecast.features.kinds.ages import Stays
from forecast.features.kinds.courses import BANDS_DAYS, LEVELS, Courses, Labels, read_courses, rows_of
from forecast.features.kinds.facts import GROUPS, fact_names, fact_values
from forecast.history import CATEGORIES, LOST, OPEN, WON, History, TrackRecords
from forecast.history.columns import BANT, CATEGORY, FIELDS, STAGE
from forecast.periods import DAY_US

__all__ = ["Observed", "Usual", "observe"]

# With fewer closings kinds would be guesses, and their odds one more thing to overfit.
_MIN_CLOSED: Final = 200
_MIN_EACH: Final = 30
_OWN: Final = 30  # deals a motion or a source needs for figures of its own
_MOVES: Final = 20.0  # moves of all with which those of a motion are diluted
_ACTIVITIES: Final = 20.0


@dataclass(frozen=True)
class Usual:
    """What is usual for all deals, whatever their kind.

    motions, sources : M and Q texts that have figures of their own
    moves : (M + 1, S, S + 2) moves a day from each stage to each target, by motion, of all deals last
    pace : (S,) activities a day in each stage, relative to all stages together
    ahead_log_days : (S,) mean log of the days ahead of close dates said in each stage
    ahead_variance : around that
    """

    stages: tuple[str, ...]
    motions: tuple[str, ...]
    sources: tuple[str, ...]
    moves: Floats
    pace: Floats
    ahead_log_days: Floats
    ahead_variance: float

    @property
    def labels(self) -> Labels:
        """Where the labels of each part of a course begin."""
        return Labels(len(self.stages))


@dataclass(frozen=True)
class Observed:
    """n deals, each until its end.

    ended : (n,) how: WON, LOST or OPEN
    motion, source : (n,) rows in the tables by motion and source, M + 1 and Q + 1 long
    counts : (n, L) labels seen
    stays : times in one stage, from one move to the next
    stood : (n, S) days in each stage; aged : (GROUPS, n, S) the same by the pace of each group of moves
    watched : (n, bands) days by age, weighted by the pace of the stage
    dates, further : (n,) close dates said, and the sum of how much further than usual they lie
    facts : (n,) what each fact was just before the end
    factors : (GROUPS, n) log factors of these; at first there are none
    """

    ended: Ints
    motion: Ints
    source: Ints
    counts: scipy.sparse.csr_matrix
    stays: Stays
    stood: Floats
    aged: Floats
    watched: Floats
    dates: Floats
    further: Floats
    facts: Mapping[str, Floats]
    factors: Floats


def observe(
    history: History, until_us: int, use: tuple[str, ...], records: TrackRecords
) -> tuple[Observed, Usual] | None:
    """Read what was recorded before `until_us`.

    use : names of the features the field policy lets in; what it keeps out is not read here either
    None where too few deals were won or lost to tell kinds apart.
    """
    stages = tuple(
        name for name, kind in zip(history.stages.names, history.stages.kind, strict=True) if kind == OPEN
    )
    deal, end_us, ended = _ends(history, until_us)
    won, lost = int((ended == WON).sum()), int((ended == LOST).sum())
    if won + lost < _MIN_CLOSED or min(won, lost) < _MIN_EACH or not stages:
        return None
    labels = Labels(len(stages))
    courses = read_courses(history, stages)
    seen = _seen(history, courses, deal, end_us)
    motions, motion = _named(history, "motion", history.columns.motion, deal, use)
    sources, source = _named(history, "source", history.columns.source, deal, use)
    pace = _pace(history, courses, seen, stages)
    ahead, variance = _usual_dates(courses, seen, len(stages))
    counts, stays, stood, watched, dates, further = _parts(
        history, courses, seen, deal, end_us, stages, pace, ahead, use
    )
    # A closing is written at its moment; what is known of a deal before is read strictly before.
    facts = fact_values(history, records, fact_names(history, use), deal, end_us - 1)
    observed = Observed(
        ended=ended,
        motion=motion,
        source=source,
        counts=counts,
        stays=stays,
        stood=stood,
        aged=np.broadcast_to(stood, (GROUPS, *stood.shape)),
        watched=watched,
        dates=dates,
        further=further,
        facts=facts,
        factors=np.zeros((GROUPS, len(deal))),
    )
    moves = _usual_moves(observed, labels, len(motions))
    return observed, Usual(stages, motions, sources, moves, pace, ahead, variance)


def _named(
    history: History, name: str, code: Ints, deal: Ints, use: tuple[str, ...]
) -> tuple[tuple[str, ...], Ints]:
    """Texts of a column that enough deals have for figures of their own, and (n,) the row of each deal."""
    texts = history.vocabulary(name).texts
    code = code[deal]
    number = np.bincount(code[code >= 0], minlength=len(texts))
    enough = tuple(text for text, deals in zip(texts, number, strict=True) if deals >= _OWN and name in use)
    return enough, rows_of(enough, texts)[code]


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


def _parts(
    history: History,
    courses: Courses,
    seen: Bools,
    deal: Ints,
    end_us: Ints,
    stages: tuple[str, ...],
    pace: Floats,
    usual: Floats,
    use: tuple[str, ...],
) -> tuple[scipy.sparse.csr_matrix, Stays, Floats, Floats, Floats, Floats]:
    """Counts, stays, days stood and watched, dates and how much further they lie, as in `Observed`."""
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
    target = courses.label[stays] - courses.left[ended] * labels.targets
    group = np.where(courses.label[stays] < 0, -1, np.maximum(target - labels.stages + 1, 0))
    group = np.concatenate((group, np.full(len(open_), -1)))
    times = Stays(who, slot, low, high, group)
    return counts, times, stood.astype(np.float64), watched, dates, sums.astype(np.float64)


def _allowed(labels: Labels, use: tuple[str, ...]) -> Bools:
    """(L,) whether a label may be read."""
    allowed = np.ones(labels.count, dtype=bool)
    allowed[labels.activity : labels.answer] = "activities_total" in use
    for at, field in enumerate(BANT):
        start = labels.answer + LEVELS * at
        allowed[start : start + LEVELS] = FIELDS[field] in use
    allowed[labels.category :] = "category" in use
    return allowed


def _usual_moves(observed: Observed, labels: Labels, motions: int) -> Floats:
    """(M + 1, S, S + 2) moves a day from each stage to each target, by motion, of all deals last."""

    def moved(counts: scipy.sparse.csr_matrix) -> Floats:
        return np.asarray(counts[:, : labels.activity].sum(axis=0), np.float64).reshape(labels.stages, -1)

    every: Floats = (moved(observed.counts) + 0.01) / (observed.stood.sum(axis=0)[:, None] + 10.0)
    found = [every] * (motions + 1)
    for motion in range(motions):
        here = observed.motion == motion
        stood = observed.stood[here].sum(axis=0)[:, None]
        found[motion] = (moved(observed.counts[here]) + _MOVES) / (stood + _MOVES / every)
    return np.stack(found)
