"""CRPS against its definition as an integral, and the laws that tie it to other metrics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=40)


@laws
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_crps_of_draws_is_the_integral_of_the_squared_distance_of_distributions(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    actual, draws = rng.lognormal(size=4), rng.integers(0, 5, (4, size)).astype(float)
    wanted = []
    for y, row in zip(actual, draws, strict=True):
        edges = np.sort(np.concatenate([row, [y]]))
        middle = 0.5 * (edges[1:] + edges[:-1])
        said = (row[:, None] <= middle).mean(axis=0)
        wanted.append(np.sum((said - (y <= middle)) ** 2 * np.diff(edges)))
    assert metrics.crps_from_draws(actual, draws) == pytest.approx(np.mean(wanted))
    weight = rng.integers(1, 4, 4)
    assert metrics.crps_from_draws(actual, draws, weight=weight) == pytest.approx(
        np.average(wanted, weights=weight)
    )


@laws
@given(st.integers(0, 2**32 - 1), st.integers(1, 15))
def test_crps_of_quantiles_at_the_middles_is_that_of_equal_draws(seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    actual, draws = rng.normal(size=5), np.sort(rng.normal(size=(5, size)), axis=1)
    levels = (np.arange(size) + 0.5) / size
    assert metrics.crps_from_quantiles(actual, draws, levels.tolist()) == pytest.approx(
        metrics.crps_from_draws(actual, draws)
    )


def test_crps_of_many_draws_is_that_of_their_distribution() -> None:
    rng = np.random.default_rng(2)
    exact = quad(lambda x: (norm.cdf(x) - (x >= 0.7)) ** 2, -10, 10, points=[0.7])[0]
    assert metrics.crps_from_draws([0.7], rng.normal(size=(1, 200_000))) == pytest.approx(exact, abs=5e-3)
    levels = [0.01 * percent for percent in range(1, 100)]
    assert metrics.crps_from_quantiles([0.7], norm.ppf([levels]), levels) == pytest.approx(exact, abs=5e-3)


@laws
@given(st.integers(0, 2**32 - 1))
def test_of_a_single_number_it_is_the_absolute_error_in_the_unit_of_the_amounts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    actual, said = rng.lognormal(size=6), rng.lognormal(size=(6, 9))
    assert metrics.crps_from_draws(actual, np.repeat(said[:, :1], 9, axis=1)) == pytest.approx(
        metrics.mae(actual, said[:, 0])
    )
    assert metrics.crps_from_draws(100 * actual, 100 * said) == pytest.approx(
        100 * metrics.crps_from_draws(actual, said)
    )


def test_the_true_distribution_scores_best() -> None:
    rng = np.random.default_rng(3)
    actual = rng.normal(size=3000)
    scores = {
        name: metrics.crps_from_draws(actual, shift + spread * rng.normal(size=(3000, 200)))
        for name, shift, spread in (("true", 0, 1), ("narrow", 0, 0.5), ("wide", 0, 2), ("aside", 0.5, 1))
    }
    assert min(scores, key=scores.__getitem__) == "true"


def test_nothing_is_nan_and_unknown_rows_need_weight_0() -> None:
    assert np.isnan(metrics.crps_from_draws([], np.empty((0, 3))))
    assert np.isnan(metrics.crps_from_quantiles([], np.empty((0, 2)), [0.1, 0.9]))
    assert metrics.crps_from_draws([np.nan, 1.0], [[1.0], [3.0]], weight=[0, 1]) == 2.0
    with pytest.raises(ValueError, match="holds NaN"):
        metrics.crps_from_draws([np.nan], [[1.0]])


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(n, m\)"):
        metrics.crps_from_draws([1.0], [1.0])
    with pytest.raises(ValueError, match="2 rows of draws"):
        metrics.crps_from_draws([1.0], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="increasing levels"):
        metrics.crps_from_quantiles([1.0], [[1.0, 2.0]], [0.9, 0.1])
    with pytest.raises(ValueError, match="increasing levels"):
        metrics.crps_from_quantiles([1.0], [[1.0]], [10])
    with pytest.raises(ValueError, match=r"expected \(n, Q\)"):
        metrics.crps_from_quantiles([1.0], [[1.0]], [0.1, 0.9])
