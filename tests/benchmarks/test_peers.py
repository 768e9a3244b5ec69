"""Peers give probabilities, find a truth that is simple enough, and see only what they may learn from."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lifelines import CoxPHFitter

from benchmarks.accuracy import main
from benchmarks.peers import CoxPeer, ForestPeer, Peer, PersonPeriodPeer, SurvivalBoostPeer, all_peers
from benchmarks.peers.cost import measure_apart
from benchmarks.peers.field import OURS, Field, Lesson, Questions
from benchmarks.peers.interface import incidence_of_hazards
from benchmarks.peers.scores import days_to_win
from benchmarks.peers.static import LogisticPeer, TreesPeer
from benchmarks.simulated import monthly_landmarks
from forecast.cli import run
from forecast.evaluation.baselines import all_baselines
from forecast.history import History
from forecast.models import FitSettings
from forecast.periods import DAY_US, as_of_us
from forecast.simulator import simulate
from forecast.tables import Tables

UNTIL = pd.Timestamp("2025-01-01", tz="UTC")
HORIZONS = (7.0, 30.0, 90.0)
QUICK: dict[str, Callable[[], Peer]] = {
    "cox": CoxPeer,
    "forest": lambda: ForestPeer(most_rows=1_000, trees=20),
    "survival_boost": lambda: SurvivalBoostPeer(most_rows=1_000, rounds=8, learning_rate=0.3),
    "person_period": PersonPeriodPeer,
    "logistic": LogisticPeer,
    "trees": TreesPeer,
}


@pytest.fixture(scope="module")
def tables() -> Tables:
    """A company of 300 deals from 2022 to 2026."""
    return simulate(deals=300, seed=3).tables


@pytest.fixture(scope="module")
def lesson(tables: Tables) -> Lesson:
    return Lesson(History.from_tables(tables), UNTIL, FitSettings(max_landmarks=2_000, windows=1))


@pytest.fixture(scope="module")
def questions(lesson: Lesson) -> Questions:
    asked = monthly_landmarks(lesson.history, as_of_us(pd.Timestamp("2026-01-01", tz="UTC")))
    return Questions(asked, HORIZONS, HORIZONS)


@given(
    steps=arrays(np.float64, (3, 2, 5), elements=st.floats(0.0, 4.0, allow_subnormal=False)),
)
def test_open_won_and_lost_are_all_there_is(steps: np.ndarray) -> None:
    won, lost = np.cumsum(steps, axis=2).transpose(1, 0, 2)
    incidence = incidence_of_hazards(won, lost)
    still_open = np.exp(-(won + lost))
    np.testing.assert_allclose(incidence[:, :, 1:].sum(axis=1) + still_open, 1.0, atol=1e-12)
    assert (np.diff(incidence, axis=2) >= 0.0).all()
    assert (incidence[:, :, 0] == 0.0).all()


@pytest.mark.parametrize("name", QUICK)
def test_what_a_peer_says_are_probabilities(name: str, lesson: Lesson, questions: Questions) -> None:
    peer = QUICK[name]()
    marks, rows = lesson.landmarks, questions.landmarks
    kept = np.arange(len(marks))[: peer.most_rows]
    taken = marks.take(kept)
    peer.fit(lesson.design[kept], taken.at_us, taken.duration_days, taken.cause.astype(np.int64))
    incidence = peer.predict(lesson.encode(rows.deal, rows.at_us), rows.at_us, HORIZONS)
    assert incidence.shape == (len(rows), 2, len(HORIZONS))
    assert (incidence >= 0.0).all()
    assert (incidence.sum(axis=1) <= 1.0 + 1e-9).all()
    # SurvivalBoost does not promise this, and is taken as it is.
    assert name == "survival_boost" or (np.diff(incidence, axis=2) >= -1e-9).all()


@pytest.mark.parametrize("name", ["cox", "forest", "survival_boost", "person_period"])
def test_a_peer_finds_constant_hazards_that_one_feature_doubles(name: str) -> None:
    """Losses compete and half the deals are cut off: who ignored either would be far off."""
    rng, rows = np.random.default_rng(1), 1_500 if name == "survival_boost" else 4_000
    doubled = rng.random(rows) < 0.5
    won, lost, cut = 0.01 * (1.0 + doubled), 0.02, 0.01
    draws = rng.exponential(1.0 / np.stack((won, np.full(rows, lost), np.full(rows, cut)))).T
    duration, cause = draws.min(axis=1), (draws.argmin(axis=1) + 1) % 3
    # A second feature that means nothing; spread over two years, so that no date means anything either.
    design = np.column_stack((doubled - 0.5, rng.normal(size=rows)))
    at_us = as_of_us(UNTIL) + (rng.random(rows) * 730 * DAY_US).astype(np.int64)
    # With two columns forty rounds are soon done.
    peer = SurvivalBoostPeer() if name == "survival_boost" else QUICK[name]()
    peer.fit(design, at_us, duration, cause)
    asked = np.column_stack((np.repeat([-0.5, 0.5], 200), rng.normal(size=400)))
    said = peer.predict(asked, at_us[:400], (30.0, 90.0))
    for half, rate in enumerate((0.01, 0.02)):
        for place, days in enumerate((30.0, 90.0)):
            left = 1.0 - np.exp(-(rate + lost) * days)
            for which, of_cause in enumerate((rate, lost)):
                expected = of_cause / (rate + lost) * left
                mean = said[200 * half : 200 * (half + 1), which, place].mean()
                assert abs(mean - expected) < (0.1 if name == "survival_boost" else 0.06)


@pytest.mark.parametrize("least", [0.03, 0.1, 2.0])
def test_a_cox_fit_whose_search_does_not_end_is_not_believed(
    least: float, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slopes may be anything and its baseline nothing; the next penalty is taken, or the peer fails."""
    taken, whole = [], CoxPHFitter.fit

    def cut_short(self: CoxPHFitter, *arguments: Any) -> CoxPHFitter:
        taken.append(self.penalizer)
        return whole(self, *arguments, fit_options={"max_steps": 2} if self.penalizer < least else None)

    monkeypatch.setattr(CoxPHFitter, "fit", cut_short)
    marks = lesson.landmarks
    lesson_of_cox = lesson.design, marks.at_us, marks.duration_days, marks.cause.astype(np.int64)
    if least > 1.0:
        with pytest.raises(ArithmeticError, match="does not converge"):
            CoxPeer().fit(*lesson_of_cox)
    else:
        CoxPeer().fit(*lesson_of_cox)
        assert max(taken) == least


def test_the_future_is_invisible_to_whoever_learns(tables: Tables, lesson: Lesson) -> None:
    """Everything recorded at or after the moment is dropped: rows, features and durations stay the same."""
    events, activities = tables.deal_events, tables.activities
    known = tables.deals["created_at"] < UNTIL
    blind = Tables.from_frames(
        stages=tables.stages,
        users=tables.users,
        fx_rates=tables.fx_rates,
        deals=tables.deals[known],
        deal_events=events[events["recorded_at"] < UNTIL],
        activities=activities[activities["occurred_at"] < UNTIL],
    )
    other = Lesson(History.from_tables(blind), UNTIL, lesson.settings)
    for name in ("deal", "at_us", "duration_days", "cause"):
        np.testing.assert_array_equal(getattr(other.landmarks, name), getattr(lesson.landmarks, name), name)
    np.testing.assert_allclose(other.design, lesson.design, atol=1e-12)
    deal = lesson.history.open_deals(lesson.until_us)
    now = np.full(len(deal), lesson.until_us)
    np.testing.assert_allclose(
        other.encode(other.history.index_of(lesson.history.deal_ids[deal]), now),
        lesson.encode(deal, now),
        atol=1e-12,
    )


def test_everybody_is_asked_and_whoever_fails_is_told_of(lesson: Lesson, questions: Questions) -> None:
    class Broken(CoxPeer):
        name = "broken"

        def fit(self, *_: object) -> None:
            raise ValueError("no luck\nsecond line")

    field = Field(peers=lambda: (Broken(), CoxPeer(most_rows=500)), fork=False)
    found = field.ask(lesson, questions)
    assert [answer.name for answer in found.answers] == [OURS, "cox", *(b.name for b in all_baselines())]
    assert found.failed == {"broken": "ValueError: no luck"}
    cox = found.answers[1]
    assert (cox.rows, cox.note) == (500, f"learnt from 500 of {len(lesson.landmarks):,} landmarks")
    for won in found.won().values():
        assert won.shape == (len(questions.landmarks), len(HORIZONS))


def test_memory_is_the_forecasters_own_and_a_crash_ends_no_run() -> None:
    def crash(_: object) -> tuple[np.ndarray, str]:
        raise SystemExit(3)

    kept = np.ones(2_000_000)  # held by the parent, so not the child's
    measured = measure_apart(
        lambda: np.ones(10_000_000),
        lambda fitted: (fitted[:10], "fine"),
        lambda fitted: fitted[:3] + kept[:3],
    )
    np.testing.assert_array_equal(measured.curve, [2.0, 2.0, 2.0])
    assert measured.note == "fine"
    assert 70 < measured.cost.peak_mb < 110  # 80 MB of ones
    assert (
        measure_apart(lambda: 1, crash, lambda _: np.zeros(1)).error == "the process was ended from outside"
    )


def test_the_middle_of_the_wins_of_a_curve() -> None:
    grid = np.array([10.0, 20.0, 40.0, 80.0])
    curves = np.array(
        [
            [0.2, 0.4, 0.4, 0.9],  # half of 0.4 by day 10; what comes after day 40 is not asked about
            [0.0, 0.1, 0.4, 0.4],  # 0.2 lies a third of the way from day 20 to day 40
            [0.0, 0.0, 0.0, 0.5],  # nothing by day 40
            [0.3, 0.2, 0.2, 0.2],  # a curve that falls: half of its highest, from day 0
        ]
    )
    found = days_to_win(grid, curves, 40.0)
    np.testing.assert_allclose(found, [10.0, 20.0 + 20.0 / 3.0, np.nan, 5.0])


@pytest.mark.slow
def test_a_run_writes_everybody_into_its_tables_and_charts(tmp_path: Path) -> None:
    page = tmp_path / "accuracy.md"
    page.write_text("before\n<!-- simulated: begin -->\n<!-- simulated: end -->\nafter\n")
    kept = tmp_path / "scores.csv"
    arguments = ["simulated", "--deals", "300", "--seeds", "1,2", "--without", "forest"]
    arguments += ["--without", "survival_boost", "--scores", str(kept), "--docs", str(tmp_path)]
    assert run(main, arguments, "benchmarks.accuracy") == 0
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    labels = ["Forecast", "the truth", *(b.label for b in all_baselines())]
    labels += [peer.label for peer in all_peers() if peer.name not in ("forest", "survival_boost")]
    for label in labels:
        assert len(re.findall(rf"^\| {re.escape(label)} \|", text, flags=re.MULTILINE)) == 2, label
    assert "Medians of seeds 1, 2" in text
    assert (tmp_path / "images" / "accuracy-truth.svg").read_text().startswith("<svg")
    # A second run takes its scores from the file: nothing is simulated, and the same table comes out.
    before = kept.read_bytes()
    assert run(main, arguments, "benchmarks.accuracy") == 0
    assert kept.read_bytes() == before
    assert page.read_text() == text


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(main, ["simulated", "--without", "oracle"], "benchmarks.accuracy") == 2
    assert "expected one of cox, forest" in capsys.readouterr().err
