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
from typing import Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import CATEGORIES, OPEN, WON, History
from forecast.history.columns import ACTIVITY, ACTIVITY_IN, BANT, CATEGORY, EXPECTED_CLOSE, STAGE
from forecast.periods import DAY_US

__all__ = ["BANDS_DAYS", "LEVELS", "Courses", "Labels", "band_of", "read_courses", "slots_of"]

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
    """(N,) arrays over the entries of a history, in its order.

    label : of each entry; -1 if it tells nothing
    also : of a stage entry, the category with which the stage before was left; else -1
    left, stood_from_us : of a stage entry, the open stage (slot) that was left and since when it was held; -1
    ahead_log_days, ahead_slot : of a close date, log of the days from its saying to it, and the stage then
    """

    deal: Ints
    label: Ints
    also: Ints
    left: Ints
    stood_from_us: Ints
    ahead_log_days: Floats
    ahead_slot: Ints


def slots_of(history: History, stages: tuple[str, ...]) -> Ints:
    """(codes + 1,) place of each stage code of a history among `stages`; -1 for others, and for code -1."""
    place = {name: at for at, name in enumerate(stages)}
    names = history.stages.names
    kind = history.stages.kind
    found = [place.get(name, -1) if kind[at] == OPEN else -1 for at, name in enumerate(names)]
    return np.array([*found, -1], dtype=np.int64)


def band_of(age_days: Floats) -> Ints:
    """Band of each age."""
    return np.maximum(np.searchsorted(BANDS_DAYS, age_days, side="right") - 1, 0)


def read_courses(history: History, stages: tuple[str, ...]) -> Courses:
    """Read all entries of a history.

    stages : S names of open stages, as `pipeline/stage`
    """
    labels, slots = Labels(len(stages)), slots_of(history, stages)
    fields = len(history.fields)
    group = np.repeat(np.arange(len(history) * fields), history.index.starts[1:] - history.index.starts[:-1])
    deal, field = group // fields, group % fields
    at_us, value = history.at_us, history.value
    size = len(group)
    label, also, left, ahead_slot = np.full((4, size), -1)
    stood_from_us = np.zeros(size, dtype=np.int64)
    ahead = np.full(size, np.nan)

    entered = np.flatnonzero(field == STAGE)
    code = value[entered].astype(np.int64)
    slot, kind = slots[code], history.stages.kind[code]
    target = np.where(kind == OPEN, slot, np.where(kind == WON, labels.stages, labels.stages + 1))
    follows = np.flatnonzero((deal[entered[1:]] == deal[entered[:-1]]) & (slot[:-1] >= 0)) + 1
    here, before = entered[follows], entered[follows - 1]
    left[here], stood_from_us[here] = slot[follows - 1], at_us[before]
    goes = target[follows] >= 0
    label[here[goes]] = left[here[goes]] * labels.targets + target[follows][goes]
    said = history.last(deal[here], CATEGORY, at_us[here])
    told = ~np.isnan(said)
    also[here[told]] = labels.category + left[here[told]] * len(CATEGORIES) + said[told].astype(np.int64)

    worked = np.flatnonzero(field == ACTIVITY)
    age_days = (at_us[worked] - history.columns.created_at_us[deal[worked]]) / DAY_US
    label[worked] = labels.activity + band_of(age_days)
    label[field == ACTIVITY_IN] = labels.inbound

    answered = np.flatnonzero((field >= BANT[0]) & (field <= BANT[-1]) & ~np.isnan(value))
    label[answered] = labels.answer_of(field[answered] - BANT[0], value[answered])

    dated = np.flatnonzero((field == EXPECTED_CLOSE) & ~np.isnan(value))
    ahead[dated] = np.log(np.maximum(value[dated] - at_us[dated] / DAY_US, 1.0))
    ahead_slot[dated] = slots[history.stage(deal[dated], at_us[dated] + 1)]
    return Courses(deal, label, also, left, stood_from_us, ahead, ahead_slot)
