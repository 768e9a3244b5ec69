"""Naive Bayes on counts, as Odoo's predictive lead scoring computes it.

Tables hold, for each value of each field, how many closed deals with it were won and lost, each plus 0.1. The
score of winning is the share won times, for each field, the share of won deals that had the deal's value; that
of losing likewise; the probability is the first over their sum. Stages count by reach: a won deal in every
stage, a lost one in its last stage and those before. Values no closed deal had are passed over. Odoo keeps one
set of tables a sales team; here a pipeline has one, and a pipeline in which nothing closed takes the tables of
all together.

Source: odoo/odoo, addons/crm/models/crm_lead.py, `_pls_get_naive_bayes_probabilities` and
`_pls_prepare_frequencies` (versions 14 to 16). What is read: the values just before a deal closed, which is
when Odoo counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.evaluation.baselines.stages import last_of
from forecast.features import custom_spec, decide_fields
from forecast.history import OPEN, WON, History, Landmarks
from forecast.history.columns import FIELDS
from forecast.periods import DAY_US

__all__ = ["NaiveBayes"]

# So that no share is 0; Odoo takes 0.1 because 1 would weigh too much on few records.
_ADDED: Final = 0.1
_LEAST: Final = 0.0001
_WON, _LOST = 0, 1


@dataclass
class NaiveBayes:
    """P(won) by Odoo's count tables over stage, source, kind of business and custom attributes.

    The same at every horizon: it says how likely a deal is won, not when, and this is how its users read it.
    Custom attributes that the field policy keeps from our own models are kept from it too.

    closed: (P + 1, 2) counts of closed deals, won and lost, by pipeline; the last row is all of them
    stage: (S, 2) such counts by stage
    fields: place of the attribute (-1 source, -2 kind of business, else a custom one) -> (P + 1, V + 1, 2)
        such counts by pipeline and value; the last value, unknown, has none
    """

    name: ClassVar[str] = "naive_bayes"
    label: ClassVar[str] = "naive Bayes (Odoo)"
    closed: Floats = field(default_factory=lambda: np.empty((0, 2)))
    stage: Floats = field(default_factory=lambda: np.empty((0, 2)))
    fields: dict[int, Floats] = field(default_factory=dict)

    def fit(self, history: History, landmarks: Landmarks) -> None:
        """Count the deals whose last known state is won or lost."""
        last = landmarks.take(last_of(landmarks.deal)) if len(landmarks) else landmarks
        done = last.take(last.cause != OPEN)
        # Read before the closing itself, so that the stage is the last open one.
        closing_us = done.at_us + np.rint(done.duration_days * DAY_US).astype(np.int64)
        outcome = np.where(done.cause == WON, _WON, _LOST)
        stage = history.stage(done.deal, closing_us)
        pipeline_of = _pipelines(history)
        pipeline, pipelines = pipeline_of[stage], int(pipeline_of.max(initial=-1)) + 1

        closed = np.zeros((pipelines + 1, 2))
        np.add.at(closed, (pipeline, outcome), 1.0)
        self.stage = _reached(history, stage, outcome, pipeline_of, closed)
        seen = closed.sum(axis=1) > 0.0
        closed[-1] = closed.sum(axis=0) + _ADDED * seen.sum()
        closed[:-1][seen[:-1]] += _ADDED
        self.closed = closed

        until_us = (
            int((landmarks.at_us + landmarks.duration_days * DAY_US).max()) + 1 if len(landmarks) else 0
        )
        used = {one.feature for one in decide_fields(history, until_us) if one.used}
        custom = [
            place for place, name in enumerate(history.columns.custom) if custom_spec(name).name in used
        ]
        self.fields = {}
        for place in (-1, -2, *custom):
            value, unknown = _values(history, place, done.deal, closing_us)
            counts = np.zeros((pipelines + 1, unknown + 1, 2))
            np.add.at(counts, (pipeline, value, outcome), 1.0)
            counts[:, unknown] = 0.0
            counts = np.where(counts.sum(axis=2, keepdims=True) > 0.0, counts + _ADDED, 0.0)
            counts[-1] = counts[:-1].sum(axis=0)
            self.fields[place] = counts

    def predict(self, history: History, deal: Ints, at_us: Ints, horizons_days: Sequence[float]) -> Floats:
        """(n, H), every column the same."""
        stage = history.stage(deal, at_us)
        row = _pipelines(history)[stage]
        row = np.where(self.closed[row].sum(axis=1) > 0.0, row, -1)
        # With nothing closed anywhere both are as likely.
        closed = np.where(self.closed[row] > 0.0, self.closed[row], _ADDED)
        score = np.log(closed / closed.sum(axis=1, keepdims=True)) + _factor(self.stage[stage], closed)
        for place, counts in self.fields.items():
            value, _ = _values(history, place, deal, at_us)
            score += _factor(counts[row, value], counts[row].sum(axis=1))
        won = 1.0 / (1.0 + np.exp(np.clip(score[:, _LOST] - score[:, _WON], -700.0, 700.0)))
        shown = np.clip(np.round(won, 4), _LEAST, 1.0 - _LEAST)
        return np.repeat(shown[:, None], len(horizons_days), axis=1)


def _reached(history: History, stage: Ints, outcome: Ints, pipeline_of: Ints, closed: Floats) -> Floats:
    """(S, 2) counts of the stages that closed deals reached, plus 0.1 where there is any."""
    step = history.stages.step
    reached = np.zeros((len(history.stages), 2))
    is_open = history.stages.kind == OPEN
    reached[:, _WON] = closed[pipeline_of, _WON]
    lost = np.bincount(stage[outcome == _LOST], minlength=len(history.stages)).astype(np.float64)
    for pipeline in np.unique(pipeline_of):
        mine = np.flatnonzero((pipeline_of == pipeline) & is_open)
        mine = mine[np.argsort(step[mine])]
        reached[mine, _LOST] = np.cumsum(lost[mine][::-1])[::-1]
    return np.where(reached.sum(axis=1, keepdims=True) > 0.0, reached + _ADDED, 0.0)


def _pipelines(history: History) -> Ints:
    """(S,) which pipeline each stage belongs to, as a number."""
    return np.unique(np.array(history.stages.pipeline), return_inverse=True)[1].astype(np.int64)


def _values(history: History, place: int, deal: Ints, at_us: Ints) -> tuple[Ints, int]:
    """(n,) codes of an attribute as known before each moment, and the code that stands for unknown."""
    if place < 0:
        name = "source" if place == -1 else "motion"
        codes: Ints = (history.columns.source if place == -1 else history.columns.motion)[deal]
    else:
        name = history.columns.custom[place]
        codes = np.nan_to_num(history.last(deal, len(FIELDS) + place, at_us), nan=-1.0).astype(np.int64)
    unknown = len(history.vocabulary(name).texts)
    return np.where(codes < 0, unknown, codes), unknown


def _factor(count: Floats, total: Floats) -> Floats:
    """(n, 2) log shares; 0, a factor of one, where the value was never seen or the field never filled."""
    known = (count > 0.0).all(axis=1, keepdims=True) & (total > 0.0).all(axis=1, keepdims=True)
    return np.log(np.where(known, count, 1.0) / np.where(known, total, 1.0))
