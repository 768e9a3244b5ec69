"""The field: our models, every baseline and every peer, asked the same questions about the same deals.

Everybody learns from the landmarks that `fit_models` lays with the same settings, drawn with the same seed, and
is blind to what was recorded at or after `until`. Who cannot take all rows takes fewer, and the table says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from benchmarks.peers import all_peers
from benchmarks.peers.cost import Cost, measure_apart
from benchmarks.peers.interface import Peer
from forecast.arrays import Floats, Ints
from forecast.evaluation.baselines import Baseline, all_baselines
from forecast.features import build, decide_fields
from forecast.history import DatedRecords, History, Landmarks, make_landmarks
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.models.encoder import Encoder, fit_encoder
from forecast.periods import as_of_us

__all__ = ["OURS", "Answer", "Field", "Lesson", "Questions", "Round"]

OURS: Final = "ours"
_OUR_LABEL: Final = "Forecast"
_FEW_ROWS: Final = 3_000  # as in our own fit: with fewer, features do not bend


@dataclass(frozen=True)
class Questions:
    """Which deals, as of when, and the horizons the answers are given for.

    landmarks : n deals and moments, with what became of them, which no forecaster is shown
    grid_days : (H,) increasing
    timed_days : horizons of the predictions whose time is measured
    """

    landmarks: Landmarks
    grid_days: tuple[float, ...]
    timed_days: tuple[float, ...]

    def at(self, horizon_days: float) -> int:
        """Column of a horizon."""
        return self.grid_days.index(float(horizon_days))


@dataclass(frozen=True)
class Answer:
    """won : (n, H) P(won within each horizon of the grid); rows : landmarks it learnt from, 0 for the truth"""

    name: str
    label: str
    won: Floats
    cost: Cost
    rows: int
    note: str = ""


@dataclass(frozen=True)
class Round:
    """answers : of those that gave one, ours first; failed : name -> why there is none"""

    answers: tuple[Answer, ...]
    failed: dict[str, str]

    def won(self) -> dict[str, Floats]:
        """Name -> (n, H)."""
        return {answer.name: answer.won for answer in self.answers}


@dataclass(frozen=True)
class Lesson:
    """What may be learnt: a history as far as it was recorded before `until`."""

    history: History
    until: pd.Timestamp
    settings: FitSettings

    @cached_property
    def until_us(self) -> int:
        return as_of_us(self.until)

    @cached_property
    def landmarks(self) -> Landmarks:
        """The rows our own fit learns from."""
        every = make_landmarks(
            self.history, until_us=self.until_us, every_days=self.settings.landmark_every_days
        )
        return every.thin(self.settings.max_landmarks, np.random.default_rng(self.settings.seed))

    @cached_property
    def _records(self) -> DatedRecords:
        return DatedRecords.of(self.history).diluted(self.history, self.until_us)

    @cached_property
    def _learnt(self) -> tuple[Encoder, Floats]:
        features = build(self.history, self.landmarks.deal, self.landmarks.at_us, self._records)
        decisions = decide_fields(
            self.history,
            self.until_us,
            exclude=self.settings.exclude_fields,
            trust=self.settings.trust_fields,
            rules=self.settings.leak_rules,
        )
        use = tuple(decision.feature for decision in decisions if decision.used)
        encoder = fit_encoder(features, use, spline=len(self.landmarks) >= _FEW_ROWS)
        return encoder, encoder.encode(features)

    @property
    def design(self) -> Floats:
        """(n, P) encoded features of the landmarks, track records as they stood at each."""
        return self._learnt[1]

    def encode(self, deal: Ints, at_us: Ints) -> Floats:
        """(n, P) encoded features of deals asked about, track records as they stood at `until`."""
        frozen = self._records.freeze(self.history, self.until_us).bind(self.history)
        return self._learnt[0].encode(build(self.history, deal, at_us, frozen))


@dataclass(frozen=True)
class Field:
    """Who is asked.

    baselines, peers : makers of one of each, not yet fitted
    fork : whether each runs in a process of its own (see `cost`)
    """

    baselines: Callable[[], tuple[Baseline, ...]] = all_baselines
    peers: Callable[[], tuple[Peer, ...]] = all_peers
    fork: bool = True

    def labels(self) -> dict[str, str]:
        """Name -> label of all, in the order of the tables: ours first."""
        return {OURS: _OUR_LABEL, **{one.name: one.label for one in (*self.peers(), *self.baselines())}}

    def ask(
        self, lesson: Lesson, questions: Questions, tell: Callable[[str], None] = lambda _text: None
    ) -> Round:
        """What each says; a peer that fails is told of, ours must not."""
        answers, failed = [], {}
        for answer, error in self._each(lesson, questions, tell):
            if error and answer.name == OURS:
                raise RuntimeError(f"our own models failed: {error}")
            if error:
                failed[answer.name] = error
            else:
                answers.append(answer)
        return Round(tuple(answers), failed)

    def _each(
        self, lesson: Lesson, questions: Questions, tell: Callable[[str], None]
    ) -> Iterator[tuple[Answer, str]]:
        rows, history = questions.landmarks, lesson.history
        labels = self.labels()
        assert lesson.landmarks is not None  # noqa: S101  (made before any child is, so that all share it)

        def answer(
            name: str, fit: Callable[[], object], predict: _Predict, learnt: int
        ) -> tuple[Answer, str]:
            tell(labels[name])
            measured = measure_apart(
                fit,
                lambda fitted: predict(fitted, questions.timed_days),
                lambda fitted: predict(fitted, questions.grid_days)[0],
                fork=self.fork,
            )
            note = measured.note
            if learnt < len(lesson.landmarks):
                note = f"learnt from {learnt:,} of {len(lesson.landmarks):,} landmarks"
            return Answer(name, labels[name], measured.curve, measured.cost, learnt, note), measured.error

        def ours(models: FittedModels, horizons: Sequence[float]) -> tuple[Floats, str]:
            chosen = next((rung.name for rung in models.ladder if rung.chosen), "")
            return models.win_probability(history, rows.deal, rows.at_us, horizons), f"rung {chosen}"

        every = len(lesson.landmarks)
        yield answer(OURS, lambda: fit_models(history, lesson.until, lesson.settings), ours, every)
        design, asked = lesson.design, lesson.encode(rows.deal, rows.at_us)
        for peer in self.peers():
            taken = _drawn(every, peer.most_rows, lesson.settings.seed)
            yield answer(
                peer.name,
                lambda peer=peer, taken=taken: _fitted(peer, lesson.landmarks.take(taken), design[taken]),
                lambda peer, horizons: (peer.predict(asked, rows.at_us, horizons)[:, 0], ""),
                len(taken),
            )
        for baseline in self.baselines():
            yield answer(
                baseline.name,
                lambda baseline=baseline: (baseline.fit(history, lesson.landmarks), baseline)[1],
                lambda one, horizons: (one.predict(history, rows.deal, rows.at_us, horizons), ""),
                every,
            )


_Predict = Callable[..., tuple[Floats, str]]


def _fitted(peer: Peer, landmarks: Landmarks, design: Floats) -> Peer:
    peer.fit(design, landmarks.at_us, landmarks.duration_days, landmarks.cause.astype(np.int64))
    return peer


def _drawn(rows: int, most: int | None, seed: int) -> Ints:
    if most is None or rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, size=most, replace=False))
