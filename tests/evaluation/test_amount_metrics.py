"""Metrics of an amount against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_absolute_percentage_error, mean_pinball_loss

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=40)
ACTUAL = [0.0, 100.0, 300.0]
SAID = [50.0, 150.0, 200.0]


def test_wape_and_bias_divide_by_what_was_booked() -> None:
    assert metrics.wape(ACTUAL, SAID) == pytest.approx(200 / 400)
    assert metrics.bias(ACTUAL, SAID) == pytest.approx(0.0)
    assert metrics.bias([100.0, 300.0], [150.0, 350.0]) == pytest.approx(100 / 400)
    assert metrics.wape(ACTUAL, SAID, weight=[0, 1, 2]) == pytest.approx((50 + 200) / (100 + 600))


def test_mape_leaves_out_rows_without_an_actual() -> None:
    assert metrics.mape(ACTUAL, SAID) == pytest.approx(
        mean_absolute_percentage_error([100.0, 300.0], [150.0, 200.0])
    )


@laws
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 0.5, 0.9]))
def test_pinball_equals_scikit_learn_and_is_least_at_the_quantile(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    actual, weight = rng.lognormal(size=31), rng.random(31)
    said = rng.lognormal(size=31)
    assert metrics.pinball(actual, said, level=level, weight=weight) == pytest.approx(
        mean_pinball_loss(actual, said, alpha=level, sample_weight=weight)
    )
    best = np.quantile(actual, level, method="inverted_cdf")
    at_best = metrics.pinball(actual, np.full(31, best), level=level)
    for other in rng.choice(actual, 5):
        assert at_best <= metrics.pinball(actual, np.full(31, other), level=level) + 1e-12


def test_pinball_refuses_a_level_that_is_no_quantile() -> None:
    with pytest.raises(ValueError, match=r"level 90 is not inside \(0, 1\)"):
        metrics.pinball(ACTUAL, SAID, level=90)


def test_interval_coverage_counts_the_ends_as_inside_and_says_the_width() -> None:
    covered = metrics.interval_coverage([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 4.0, 0.0], [2.0, 2.0, 9.0, 3.0])
    assert covered.share == 0.5
    assert covered.width == pytest.approx((1 + 2 + 5 + 3) / 4)


@laws
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_median_ape_is_the_median_of_the_percentages(seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    actual, said = rng.lognormal(size=rows), rng.lognormal(size=rows)
    error = np.abs(said / actual - 1)
    assert metrics.median_ape(actual, said) == pytest.approx(np.median(error))
    weight = rng.integers(0, 4, rows)
    repeated = np.repeat(error, weight)
    assert metrics.median_ape(actual, said, weight=weight) == pytest.approx(
        np.median(repeated) if repeated.size else np.nan, nan_ok=True
    )
    # A deal a hundred times too high moves the mean, not the median.
    assert metrics.median_ape([100.0, 100.0, 100.0], [110.0, 90.0, 10_000.0]) == pytest.approx(0.1)


def test_mae_and_mase_are_days_and_a_share_of_the_errors_of_the_reference() -> None:
    assert metrics.mae([10.0, 20.0], [13.0, 19.0]) == pytest.approx(
        mean_absolute_error([10.0, 20.0], [13.0, 19.0])
    )
    assert metrics.mae([10.0, 20.0], [13.0, 19.0], weight=[1, 3]) == pytest.approx((3 + 3) / 4)
    last_year = [110.0, 240.0]
    assert metrics.mase([100.0, 200.0], [105.0, 210.0], reference=last_year) == pytest.approx(15 / 50)
    assert metrics.mase([100.0, 200.0], last_year, reference=last_year) == 1.0
    assert np.isnan(metrics.mase([100.0], [105.0], reference=[100.0])), "a perfect reference cannot be beaten"


def test_quantile_coverage_of_the_true_quantile_is_its_level() -> None:
    actual = np.arange(1, 101, dtype=float)
    assert metrics.quantile_coverage(actual, np.full(100, 90.0)) == 0.9
    assert metrics.quantile_coverage([1.0, 2.0], [1.0, 1.5], weight=[1, 3]) == 0.25


def test_nothing_booked_has_no_percentage() -> None:
    for metric in (metrics.wape, metrics.bias, metrics.mape, metrics.median_ape):
        assert np.isnan(metric([0.0, 0.0], [1.0, 2.0]))
        assert np.isnan(metric([], []))
    for metric in (metrics.mae, metrics.quantile_coverage):
        assert np.isnan(metric([], []))
    assert np.isnan(metrics.mase([], [], reference=[]))
    assert np.isnan(metrics.interval_coverage([], [], [])).all()
