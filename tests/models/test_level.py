"""Level: a drift is followed, good and bad quarters are not."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.history import Landmarks
from forecast.models import Bins, Season, Survival
from forecast.models.level import fit_level, quarterly_residuals
from forecast.periods import DAY_US

QUARTERS = 12


def quarters(drift_a_year: float, scatter: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(2, 12) closings that came and that were expected; only winning drifts, about its mean of the years."""
    rng = np.random.default_rng(seed)
    expected = np.full((2, QUARTERS), 400.0)
    time = np.arange(QUARTERS) - (QUARTERS - 1) / 2
    log_rate = drift_a_year / 4 * time + rng.normal(0, scatter, QUARTERS)
    came = np.stack([rng.poisson(expected[0] * np.exp(log_rate)), rng.poisson(expected[1])]).astype(float)
    return came, expected


def test_a_clear_drift_is_followed_to_the_as_of_moment() -> None:
    shifts = [fit_level(*quarters(0.3, 0.05, seed), looks=1.0).shift for seed in range(30)]
    # A year and a half from the middle of the years, and half a quarter ahead: 0.3 * (1.375 + 0.125 + 0.125).
    assert np.mean([won for won, _ in shifts]) == pytest.approx(0.3 * 1.625, abs=0.04)
    assert np.abs(np.mean([lost for _, lost in shifts])) < 0.02


def test_good_and_bad_quarters_are_no_drift() -> None:
    won = np.array([fit_level(*quarters(0.0, 0.14, seed), looks=1.0).shift[0] for seed in range(200)])
    assert abs(won.mean()) < 0.02
    # Following every slope would scatter by .14 * .58, see the variance of a line at its end.
    assert won.std() < 0.07


def test_the_newest_quarters_count_most_when_the_level_wanders() -> None:
    found = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        level = np.cumsum(rng.normal(0, 0.3, QUARTERS))
        level -= level.mean()
        expected = np.full((2, QUARTERS), 2_000.0)
        came = np.stack([rng.poisson(expected[0] * np.exp(level)), rng.poisson(expected[1])]).astype(float)
        found.append((fit_level(came, expected, looks=1.0).shift[0], level[-1]))
    shift, last = np.array(found).T
    inside = np.abs(last) < 0.7  # beyond a factor of two nothing is corrected
    assert np.abs(shift - last)[inside].mean() < 0.6 * np.abs(last)[inside].mean()


def test_few_quarters_change_nothing_and_the_reason_is_said() -> None:
    came, expected = quarters(1.0, 0.0, 1)
    expected[:, : QUARTERS - 5] = 0.0  # a company of a year and a quarter
    level = fit_level(came, expected, looks=1.0)
    assert level.shift == (0.0, 0.0)
    assert "too few" in level.reason


def test_several_looks_at_a_deal_are_one_piece_of_evidence() -> None:
    came, expected = quarters(0.2, 0.0, 3)
    once = fit_level(came, expected, looks=1.0).shift[0]
    ten_looks = fit_level(came, expected, looks=10.0).shift[0]
    assert abs(ten_looks) < abs(once)


def test_residuals_are_counted_in_the_quarter_they_fall_into() -> None:
    """A single landmark 100 days before the end, won after 20 days: 80 days before, in the newest quarter."""
    until_us = 21_000 * DAY_US
    bins = Bins.for_follow_up(200)
    landmarks = Landmarks(
        np.array([0]),
        np.array([until_us - 100 * DAY_US]),
        np.array([20.0]),
        np.array([1], np.int8),
        np.ones(1),
    )
    survival = Survival.of(landmarks, bins, (Season.flat(), Season.flat()))
    log_hazard = np.full((1, 2, len(bins)), np.log(0.01))
    came, expected = quarterly_residuals(
        survival, log_hazard, landmarks.at_us, landmarks.duration_days, bins, until_us
    )
    assert came[0].tolist() == [0.0] * 11 + [1.0]
    assert came[1].sum() == 0
    # Of its twenty days about nine lie in the quarter before; bins are counted whole by their middle.
    assert expected[0].sum() == pytest.approx(0.2)
    assert expected[0, -1] > expected[0, -2] > 0
