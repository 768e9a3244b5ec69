"""The course of every deal, entry by entry: what a latent class model reads of a history.

An entry that tells something has a label; labels of all parts are counted through:

    moves       from an open stage to each open stage, to won, to lost
    activities  by the age of the deal (bands)
    inbound     an activity that came from the customer
    answers     by BANT question: absent, partly, confirmed
    categories  by the stage that was left: what the seller said when leaving it

A stage entry also ends a stay: the days a deal stood in the stage before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import CATEGORIES, OPEN, WON, History
from forecast.history.columns import ACTIVITY, ACTIVITY_IN, BANT, CATEGORY, EXPECTED_CLOSE, STAGE
from forecast.periods import DAY_US

__all__ = ["BANDS_DAYS", "LEVELS", "Courses", "Labels", "band_of", "read_courses", "rows_of"]

# Ages at which a deal may begin to be worked on differently; the last band has no end.
BANDS_DAYS: Final = np.array([0.0, 30.0, 60.0, 120.0, 240.0])
LEVELS: Final = 3  # of an answer


@dataclass(frozen=True)
class Labels:
    """Where the labels of each part begin, for S open stages; `count` of them in all."""

    stages: int

    @property
    def targets(self) -> int:
        """Where a move may lead: the open stages, won, lost."""
        return self.stages + 2

    @property
    def activity(self) -> int:
        return self.stages * self.targets

    @property
    def inbound(self) -> int:
        return self.activity + len(BANDS_DAYS)

    @property
    def answer(self) -> int:
        return self.inbound + 1

    def answer_of(self, question: Ints | int, answer: Floats | float) -> Ints:
        """Labels of answers (0 to 1) to questions, by their place in `BANT`."""
        level: Ints = np.rint(np.asarray(answer) * (LEVELS - 1)).astype(np.int64)
        return self.answer + question * LEVELS + level

    @property
    def category(self) -> int:
        return self.answer + len(BANT) * LEVELS

    @property
    def count(self) -> int:
        return self.category + self.stages * len(CATEGORIES)


@dataclass(frozen=True)
class Courses:
    """The entries of a history, N in its order.

    slots : (codes + 1,) place of each stage code among the open stages read; -1 for others, and for code -1
    deal, label : (N,) of each entry; label -1 tells nothing
    stays : (T,) stage entries that ended a stay in an open stage, at
    left, stood_from_us, also : (T,) which stage was left, since when it was held, and the label of the category
        with which it was left (-1 for none)
    dated : (C,) entries that set a close date, with
    ahead_log_days, ahead_slot : (C,) log of the days from the saying to the date, and the stage then
    """

    slots: Ints
    deal: Ints
    label: Ints
    stays: Ints
    left: Ints
    stood_from_us: Ints
    also: Ints
    dated: Ints
    ahead_log_days: Floats
    ahead_slot: Ints


@lru_cache(maxsize=16)
def _slots(names: tuple[str, ...], open_: tuple[bool, ...], stages: tuple[str, ...]) -> Ints:
    place = {name: at for at, name in enumerate(stages)}
    found = [place.get(name, -1) if opens else -1 for name, opens in zip(names, open_, strict=True)]
    return np.array([*found, -1], dtype=np.int64)


@lru_cache(maxsize=16)
def _first_labels(stages: int, fields: int) -> Ints:
    """(fields,) where the labels of the fields begin whose entries all have one; -1 for the others."""
    labels = Labels(stages)
    first = np.full(fields, -1)
    first[ACTIVITY], first[ACTIVITY_IN] = labels.activity, labels.inbound
    first[BANT[0] : BANT[-1] + 1] = labels.answer_of(np.arange(len(BANT)), 0.0)
    return first


def rows_of(known: tuple[str, ...], texts: tuple[str, ...]) -> Ints:
    """(T + 1,) row of each of T texts among the known ones; unknown texts, and code -1, have the last."""
    row = {text: at for at, text in enumerate(known)}
    return np.array([*(row.get(text, len(known)) for text in texts), len(known)], dtype=np.int64)


def band_of(age_days: Floats) -> Ints:
    """Band of each age, of 0 or more."""
    return np.searchsorted(BANDS_DAYS, age_days, side="right") - 1


def read_courses(history: History, stages: tuple[str, ...]) -> Courses:
    """Read all entries of a history.

    stages : S names of open stages, as `pipeline/stage`
    """
    labels, kind = Labels(len(stages)), history.stages.kind
    slots = _slots(history.stages.names, tuple((kind == OPEN).tolist()), stages)
    fields = len(history.fields)
    starts, at_us, value = history.index.starts, history.at_us, history.value
    deal, field = np.divmod(np.repeat(np.arange(len(starts) - 1), starts[1:] - starts[:-1]), fields)

    # Activities, inbound ones and answers: where the labels of their field begin, then the band or the level.
    label = _first_labels(len(stages), fields)[field]
    worked = np.flatnonzero(field == ACTIVITY)
    since_us = at_us[worked] - history.columns.created_at_us[deal[worked]]
    label[worked] += band_of(np.maximum(since_us, 0) / DAY_US)
    answered = np.flatnonzero((field >= BANT[0]) & (field <= BANT[-1]))
    level = np.rint(value[answered] * (LEVELS - 1))
    label[answered] = np.where(np.isnan(level), -1.0, label[answered] + level)

    entered = np.flatnonzero(field == STAGE)
    code = value[entered].astype(np.int64)
    slot = slots[code]
    follows = np.flatnonzero((deal[entered[1:]] == deal[entered[:-1]]) & (slot[:-1] >= 0)) + 1
    stays, left, code = entered[follows], slot[follows - 1], code[follows]
    target = np.where(
        kind[code] == OPEN, slots[code], np.where(kind[code] == WON, len(stages), len(stages) + 1)
    )
    label[stays] = np.where(target >= 0, left * labels.targets + target, -1)
    said = history.last(deal[stays], CATEGORY, at_us[stays])
    also = np.where(np.isnan(said), -1.0, labels.category + left * len(CATEGORIES) + said).astype(np.int64)

    dated = np.flatnonzero((field == EXPECTED_CLOSE) & ~np.isnan(value))
    moment_us = at_us[dated]
    then = slots[history.stage(deal[dated], moment_us + 1)]
    if then.min(initial=0) < 0:
        dated, moment_us, then = dated[then >= 0], moment_us[then >= 0], then[then >= 0]
    ahead = np.log(np.maximum(value[dated] - moment_us / DAY_US, 1.0))
    return Courses(slots, deal, label, stays, left, at_us[entered[follows - 1]], also, dated, ahead, then)
