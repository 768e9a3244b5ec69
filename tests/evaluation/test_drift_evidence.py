"""Evidence that may be looked at every week: bounded while nothing changes, growing once something does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.evaluation.drift.evidence import (
    combined,
    dispersion,
    level_evidence,
    mean_evidence,
    tilt_evidence,
)

WEEKS = 13
QUARTER = np.zeros(WEEKS, np.int64)
EXPECTED = np.full(WEEKS, 90 / 13)


def level(came: np.ndarray, *, shock_sd: float = 0.17, weeks: int = WEEKS) -> np.ndarray:
    quarter = np.arange(weeks) // 13
    expected = np.full(weeks, 90 / 13)
    return level_evidence(came, expected, quarter, shock_sd=shock_sd, shock_df=8.0, shift_sd=0.35).log_e


def test_the_figures_of_the_module_are_what_it_gives() -> None:
    came = np.full(26, 60 / 13)
    with_shock, without = np.exp(level(came, weeks=26)), np.exp(level(came, weeks=26, shock_sd=0.0))
    assert with_shock[[12, 25]] == pytest.approx([1.6, 7.4], abs=0.05)
    assert without[12] == pytest.approx(30.5, abs=0.5)


@pytest.mark.slow
def test_a_level_that_stays_seldom_alarms_although_one_looks_every_week() -> None:
    """Ville: with good and bad quarters as foretold, 1 / 5 is ever reached at most one time in five."""
    rng = np.random.default_rng(0)
    highest = []
    for _ in range(100):
        shock = rng.standard_t(8) * 0.17 * np.sqrt(6 / 8)
        came = rng.poisson(EXPECTED * np.exp(shock)).astype(float)
        highest.append(level(came).max())
    reached = np.exp(highest)
    assert (reached >= 5).mean() <= 0.12
    assert (reached >= 20).mean() <= 0.05


def test_a_null_without_shocks_would_alarm_at_bad_quarters() -> None:
    """Why the shock is part of it: the same clean companies, judged as if all quarters were alike."""
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(40):
        came = rng.poisson(EXPECTED * np.exp(rng.normal(0, 0.25))).astype(float)
        alarms += level(came, shock_sd=0.0).max() >= np.log(5)
    assert alarms / 40 > 0.2


def test_a_level_that_halves_is_found() -> None:
    rng = np.random.default_rng(2)
    found = [level(rng.poisson(np.full(26, 45 / 13)).astype(float), weeks=26).max() for _ in range(10)]
    assert np.mean(np.array(found) >= np.log(10)) > 0.9


def test_a_change_that_begins_later_is_found_too_and_its_size_told() -> None:
    came = np.concatenate((np.full(26, 90 / 13), np.full(13, 30 / 13)))
    evidence = level_evidence(
        came,
        np.full(39, 90 / 13),
        np.arange(39) // 13,
        shock_sd=0.1,
        shock_df=8.0,
        shift_sd=0.5,
    )
    assert evidence.log_e[25] < 0.0 < np.log(5) < evidence.log_e[-1]
    assert np.exp(evidence.low) < 0.5 < np.exp(evidence.high)


def test_what_comes_later_does_not_change_what_was_said() -> None:
    rng = np.random.default_rng(3)
    came = rng.poisson(np.full(26, 7.0)).astype(float)
    assert level(came, weeks=26)[:WEEKS] == pytest.approx(level(came[:WEEKS]))


def test_nothing_expected_says_nothing() -> None:
    evidence = level_evidence(
        np.zeros(3), np.zeros(3), np.zeros(3, np.int64), shock_sd=0.1, shock_df=5.0, shift_sd=0.3
    )
    assert evidence.now == evidence.most == 1.0


def rows_of(rng: np.random.Generator, factor: float, own: float) -> tuple[np.ndarray, ...]:
    """200 deals a week, half of them inside a segment; all win at `factor`, the segment at `own` of it."""
    week = np.repeat(np.arange(WEEKS), 200)
    inside = np.tile([1.0, 0.0], len(week) // 2)
    expected = np.full(len(week), 0.05)
    came = (rng.random(len(week)) < expected * factor * np.where(inside == 1, own, 1.0)).astype(float)
    return inside, came, expected, week


def test_a_bad_quarter_for_all_is_no_news_about_a_segment() -> None:
    rng = np.random.default_rng(4)
    highest = [
        tilt_evidence(*rows_of(rng, 0.5, 1.0), WEEKS, tolerance=0.15, shift_sd=0.35).most for _ in range(40)
    ]
    assert np.mean(np.array(highest) >= 5) <= 0.1


def test_a_segment_that_falls_behind_is_found_whatever_the_order_of_its_rows() -> None:
    rng = np.random.default_rng(5)
    score, came, expected, week = rows_of(rng, 1.0, 0.3)
    found = tilt_evidence(score, came, expected, week, WEEKS, tolerance=0.15, shift_sd=0.35)
    assert found.most > 20
    assert found.high < 0
    order = np.lexsort((rng.random(len(week)), week))
    again = tilt_evidence(
        score[order], came[order], expected[order], week[order], WEEKS, tolerance=0.15, shift_sd=0.35
    )
    assert again.log_e == pytest.approx(found.log_e)


def test_a_mean_that_stays_seldom_alarms_and_one_that_moves_does() -> None:
    rng = np.random.default_rng(6)
    week = np.sort(rng.integers(0, WEEKS, 80))

    def most(mean: float) -> float:
        return mean_evidence(rng.normal(mean, 1, 80), week, WEEKS, tolerance=0.05, shift_sd=0.5).most

    assert np.mean([most(0.0) >= 5 for _ in range(100)]) <= 0.15
    assert np.mean([most(0.8) >= 10 for _ in range(30)]) > 0.9


@given(st.lists(st.lists(st.floats(-5, 5), min_size=4, max_size=4), min_size=1, max_size=5))
def test_the_mean_of_evidence_lies_between_the_least_and_the_most(parts: list[list[float]]) -> None:
    arrays = [np.array(part) for part in parts]
    found = combined(arrays)
    assert (found <= np.max(arrays, axis=0) + 1e-9).all()
    assert (found >= np.min(arrays, axis=0) - 1e-9).all()


def test_scatter_is_one_for_chance_and_more_for_clumps() -> None:
    rng = np.random.default_rng(7)
    expected, group = np.full(52, 10.0), np.arange(52) // 13
    calm = dispersion(rng.poisson(10.0, 52).astype(float), expected, group)
    clumped = dispersion(5.0 * rng.poisson(2.0, 52), expected, group)
    assert 1.0 <= calm < 1.7 < 3.0 < clumped
