"""The linear rung: the exact likelihood, its optimum, and hazards recovered from data with known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from forecast.history import Landmarks
from forecast.models import Bins, LinearHazard, Season, Survival, outcome_log_score
from forecast.models.bins import exposures
from forecast.models.encoder import Encoder
from forecast.models.linear import (
    LinearFits,
    _Cause,
    _hessian,
    _penalty,
    _rowwise_product,
    choose_knots,
    fit_linear,
)
from forecast.periods import DAY_US

FLAT = (Season.flat(), Season.flat())
BINS = Bins.for_follow_up(400)
START_US = 20_000 * DAY_US


def simulated(rows: int, seed: int, effect: float = 0.8) -> tuple[np.ndarray, Landmarks]:
    """Exponential races: winning at rate .01 * exp(effect * x), losing at .006, censored at 300 days."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 1))
    won = rng.exponential(1 / (0.01 * np.exp(effect * x[:, 0])))
    lost = rng.exponential(1 / 0.006, rows)
    ends = np.minimum(np.minimum(won, lost), 300.0)
    cause = np.where(ends == 300.0, 0, np.where(won < lost, 1, 2)).astype(np.int8)
    deal = np.arange(rows)
    return x, Landmarks(deal, np.full(rows, START_US), ends, cause, np.ones(rows))


def fitted(rows: int, seed: int, ridge: float = 1.0) -> LinearHazard:
    x, landmarks = simulated(rows, seed)
    survival = Survival.of(landmarks, BINS, FLAT)
    knots = choose_knots(landmarks.duration_days[landmarks.cause > 0], BINS)
    return fit_linear(x, survival, BINS, Encoder((), ()), knots, ridge)


def with_ones(x: np.ndarray) -> np.ndarray:
    return np.hstack((np.ones((len(x), 1)), x))


def test_known_effects_are_recovered() -> None:
    model = fitted(20_000, seed=1)
    np.testing.assert_allclose(model.weights[0, 0], 0.8, atol=0.08)
    np.testing.assert_allclose(model.weights[0, 1], 0.0, atol=0.08)
    np.testing.assert_allclose(np.exp(model.intercept[0]), 0.01, rtol=0.1)
    np.testing.assert_allclose(np.exp(model.intercept[1]), 0.006, rtol=0.1)


def test_a_strong_ridge_leaves_only_the_average() -> None:
    model = fitted(2_000, seed=2, ridge=1e9)
    np.testing.assert_allclose(model.weights, 0.0, atol=1e-4)


def test_shape_over_time_is_shrunk_before_level() -> None:
    weights = fitted(800, seed=3, ridge=200.0).weights[0, 0]
    assert np.ptp(weights) < 0.3 * abs(weights.mean())


def test_gradient_and_hessian_agree_with_differences() -> None:
    x, landmarks = simulated(60, seed=4)
    survival = Survival.of(landmarks, BINS, FLAT)
    model = fitted(60, seed=4)
    problem = _Cause.of(with_ones(x), survival, 0, model.basis, _penalty(2.0, 4), None)
    theta = np.random.default_rng(0).normal(-4, 0.5, (2, 4))
    gradient = problem._gradient(theta, problem._value(theta)[1])
    numeric = approx_fprime(theta.ravel(), lambda t: problem._value(t.reshape(2, 4))[0], 1e-6).reshape(2, 4)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-3, atol=1e-3)
    hessian = _hessian(problem.information(theta), _penalty(2.0, 4))
    step = np.zeros((2, 4))
    step[1, 2] = 1e-6
    slope = (problem._gradient(theta + step, problem._value(theta + step)[1]) - gradient) / 1e-6
    np.testing.assert_allclose(hessian[2 * 2 + 1].reshape(4, 2).T, slope, rtol=1e-2, atol=1e-3)


def test_the_fit_is_an_optimum() -> None:
    x, landmarks = simulated(3_000, seed=5)
    survival = Survival.of(landmarks, BINS, FLAT)
    model = fitted(3_000, seed=5)
    problem = _Cause.of(with_ones(x), survival, 0, model.basis, _penalty(1.0, 4), None)
    theta = np.vstack((model.intercept[0], model.weights[:, 0]))
    best = problem._value(theta)[0]
    rng = np.random.default_rng(1)
    assert all(problem._value(theta + rng.normal(0, 0.02, theta.shape))[0] > best for _ in range(20))


def test_where_a_fit_begins_does_not_show_in_its_end() -> None:
    x, landmarks = simulated(3_000, seed=6)
    survival = Survival.of(landmarks, BINS, FLAT)
    knots = choose_knots(landmarks.duration_days[landmarks.cause > 0], BINS)
    fits = LinearFits(x, BINS, Encoder((), ()), knots)
    fits.fit(survival, 1.0)
    fits.fit(survival.paced(np.full((1, 2, len(BINS)), 0.3)), 10.0)
    after, anew = fits.fit(survival, 100.0), fit_linear(x, survival, BINS, Encoder((), ()), knots, 100.0)
    np.testing.assert_allclose(after.weights, anew.weights, atol=2e-3)
    after_bins, anew_bins = (m.intercept @ m.basis + m.baseline for m in (after, anew))
    np.testing.assert_allclose(after_bins, anew_bins, atol=5e-3)


def test_the_score_of_outcomes_equals_a_loop_over_hours() -> None:
    follow_up = np.array([3.5, 40.0, 0.2])
    cause = np.array([1, 0, 2], np.int8)
    seasons = (Season(np.linspace(-1, 1, len(FLAT[0].effects))), FLAT[1])
    log_hazard = np.random.default_rng(2).normal(-3, 1, (3, 2, len(BINS)))
    exposure = np.stack([exposures(BINS, s, np.full(3, START_US), follow_up) for s in seasons])
    scores = outcome_log_score(log_hazard, exposure, cause)
    for row, (days, what) in enumerate(zip(follow_up, cause, strict=True)):
        still_open, won, at, step = 1.0, 0.0, 0.0, 1 / 24
        while at < days - 1e-12:
            wide = min(step, days - at)
            j = int(BINS.of(np.array([at + wide / 2]))[0])
            rates = [
                np.exp(log_hazard[row, k, j]) * s.rate(np.array([20_000 + int(at)]))[0]
                for k, s in enumerate(seasons)
            ]
            leaving = still_open * (1 - np.exp(-sum(rates) * wide))
            won += leaving * rates[0] / sum(rates)
            still_open -= leaving
            at += wide
        given = [still_open, won, 1 - still_open - won][what]
        # Within a bin the score takes the season's average, the loop every day as it is.
        assert scores[row] == pytest.approx(np.log(given), abs=0.02)


def test_a_certain_forecast_that_fails_costs_much_but_not_everything() -> None:
    exposure = np.ones((2, 1, len(BINS)))
    never = np.full((1, 2, len(BINS)), -50.0)
    assert outcome_log_score(never, exposure, np.array([1], np.int8))[0] == pytest.approx(np.log(1e-6))
    assert outcome_log_score(never, exposure, np.array([0], np.int8))[0] == pytest.approx(0.0)


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 33, 1000])
def test_one_row_scores_the_same_alone_and_in_a_list(rows: int) -> None:
    rng = np.random.default_rng(9)
    design, weights = rng.normal(size=(1000, 77)), rng.normal(size=(77, 8))
    together = _rowwise_product(design, weights)
    np.testing.assert_array_equal(_rowwise_product(design[:rows], weights), together[:rows])
    np.testing.assert_array_equal(_rowwise_product(design[500:501], weights)[0], together[500])
