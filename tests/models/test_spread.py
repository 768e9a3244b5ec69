"""A shared spread from a few quarters: drawn to the prior, and found where there is plenty to find it in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from forecast.models.spread import shrunk_spread

PRIOR = {"prior_sd": 0.15, "prior_quarters": 4.0}


def test_without_quarters_the_prior_stands() -> None:
    spread = shrunk_spread(np.empty(0), np.empty(0), **PRIOR)
    assert (spread.sd, spread.df, spread.prior_share) == (0.15, 4.0, 1.0)


def test_without_chance_it_is_the_pooled_mean_square() -> None:
    errors = np.array([0.3, -0.1, 0.2, -0.4])
    spread = shrunk_spread(errors, np.full(4, 1e-12), **PRIOR)
    assert spread.sd**2 == pytest.approx((4 * 0.15**2 + (errors**2).sum()) / 8)
    assert spread.df == pytest.approx(8.0)


def test_quarters_in_which_chance_hides_everything_say_nothing() -> None:
    spread = shrunk_spread(np.array([0.5, -0.7]), np.full(2, 1e4), **PRIOR)
    assert spread.sd == pytest.approx(0.15, rel=1e-3)
    assert spread.df == pytest.approx(4.0, abs=1e-3)


def test_it_is_the_most_likely_value_under_the_prior() -> None:
    # The same optimum by brute force: k pseudo-quarters that showed exactly the prior, then the errors seen.
    errors, chance = np.array([0.25, -0.05, 0.4, -0.31, 0.1]), np.array([0.01, 0.03, 0.02, 0.05, 0.004])
    variances = np.linspace(0.001, 0.3, 200_001)
    log_likelihood = -2.0 * (np.log(variances) + 0.15**2 / variances)
    for error, noise in zip(errors, chance, strict=True):
        log_likelihood -= 0.5 * (np.log(variances + noise) + error**2 / (variances + noise))
    found = shrunk_spread(errors, chance, **PRIOR)
    assert found.sd**2 == pytest.approx(variances[np.argmax(log_likelihood)], abs=1e-5)


def test_the_true_spread_is_recovered_from_many_quarters() -> None:
    rng = np.random.default_rng(3)
    chance = rng.uniform(0.002, 0.02, 4000)
    errors = rng.normal(0, 0.2, 4000) + rng.normal(0, np.sqrt(chance))
    assert shrunk_spread(errors, chance, **PRIOR).sd == pytest.approx(0.2, abs=0.01)


@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(1e-6, 4)), max_size=8),
    st.floats(1.0, 3.0),
)
def test_larger_errors_never_make_it_smaller(quarters: list[tuple[float, float]], factor: float) -> None:
    errors, chance = np.array(quarters).reshape(-1, 2).T
    less, more = (shrunk_spread(errors * by, chance, **PRIOR) for by in (1.0, factor))
    assert more.sd >= less.sd - 1e-6
    assert 4.0 <= less.df <= 4.0 + len(errors)
    assert 0 < less.prior_share <= 1
    assert_allclose(less.sd, shrunk_spread(-errors, chance, **PRIOR).sd)
