"""Metrics of a probability against scikit-learn and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import binomtest
from sklearn.calibration import calibration_curve
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.metrics import log_loss as sklearn_log_loss

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=40)


@st.composite
def forecasts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes of both kinds, predictions with many ties, weights of which some are 0."""
    rows = draw(st.integers(8, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    outcome = rng.integers(0, 2, rows).astype(float)
    outcome[:2] = 0.0, 1.0
    weight = rng.integers(0, 4, rows).astype(float)
    weight[:2] = 1.0
    return outcome, rng.integers(1, 10, rows) / 10.0, weight


@pytest.fixture(scope="module")
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """4,000 outcomes that follow log-odds 0.5 + 0.7 x, of which the forecast says x."""
    rng = np.random.default_rng(3)
    odds = rng.normal(0.0, 1.5, 4000)
    return (rng.random(4000) < expit(0.5 + 0.7 * odds)).astype(float), expit(odds)


@laws
@given(forecasts())
def test_brier_log_loss_and_auc_equal_scikit_learn(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    outcome, predicted, weight = case
    for ours, theirs in (
        (metrics.brier, brier_score_loss),
        (metrics.log_loss, sklearn_log_loss),
        (metrics.auc, roc_auc_score),
    ):
        assert ours(outcome, predicted) == pytest.approx(theirs(outcome, predicted))
        assert ours(outcome, predicted, weight=weight) == pytest.approx(
            theirs(outcome, predicted, sample_weight=weight)
        )


@laws
@given(forecasts())
def test_auc_is_the_share_of_pairs_ranked_right(case: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    outcome, predicted, weight = case
    right = total = 0.0
    for i in np.flatnonzero(outcome == 1):
        for j in np.flatnonzero(outcome == 0):
            pair = weight[i] * weight[j]
            total += pair
            right += pair * (
                1.0 if predicted[i] > predicted[j] else 0.5 if predicted[i] == predicted[j] else 0
            )
    assert metrics.auc(outcome, predicted, weight=weight) == pytest.approx(right / total)


@laws
@given(forecasts())
def test_a_whole_number_weight_means_that_many_equal_rows(
    case: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    outcome, predicted, weight = case
    repeated = np.repeat(np.arange(outcome.size), weight.astype(int))
    for metric in (
        metrics.brier,
        metrics.log_loss,
        metrics.auc,
        metrics.calibration_error,
        lambda y, p, *, weight=None: metrics.calibration(y, p, weight=weight).intercept,
    ):
        assert metric(outcome, predicted, weight=weight) == pytest.approx(
            metric(outcome[repeated], predicted[repeated]), abs=1e-6
        )


def test_a_row_of_weight_0_does_not_exist_even_when_its_values_are_unknown() -> None:
    outcome, predicted = np.array([np.nan, 1.0, 0.0, 0.0]), np.array([0.1, 0.7, 0.2, 0.8])
    weight = np.array([0.0, 1.0, 1.0, 1.0])
    for metric in (metrics.brier, metrics.log_loss, metrics.auc, metrics.calibration_error):
        assert metric(outcome, predicted, weight=weight) == metric(outcome[1:], predicted[1:])


def test_an_unknown_value_that_counts_is_refused_not_skipped() -> None:
    with pytest.raises(ValueError, match="holds NaN"):
        metrics.brier([1.0, np.nan], [0.5, 0.5])
    with pytest.raises(ValueError, match="negative or NaN"):
        metrics.brier([1.0, 0.0], [0.5, 0.5], weight=[1.0, -1.0])
    with pytest.raises(ValueError, match="one weight a row"):
        metrics.brier([1.0, 0.0], [0.5, 0.5], weight=[1.0])
    with pytest.raises(ValueError, match="shape"):
        metrics.brier([[1.0, 0.0]], [[0.5, 0.5]])


def test_nothing_to_measure_is_nan() -> None:
    for metric in (metrics.brier, metrics.log_loss, metrics.auc, metrics.calibration_error):
        assert np.isnan(metric([], []))
    assert np.isnan(metrics.auc([1.0, 1.0], [0.2, 0.3]))
    assert np.isnan(metrics.calibration([1.0, 1.0], [0.2, 0.3])).all()
    assert np.isnan(metrics.brier_skill([1.0, 0.0], [1.0, 0.0], reference=[1.0, 0.0]))


def test_skill_is_1_for_perfect_0_for_the_reference_and_negative_for_worse() -> None:
    outcome = np.array([1.0, 0.0, 0.0, 1.0])
    assert metrics.brier_skill(outcome, outcome, reference=0.5) == 1.0
    assert metrics.brier_skill(outcome, np.full(4, 0.5), reference=0.5) == 0.0
    assert metrics.brier_skill(outcome, 1.0 - outcome, reference=np.full(4, 0.5)) == -3.0


def test_calibration_slope_is_that_of_an_unpenalised_logistic_fit(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    outcome, predicted = drawn
    fit = LogisticRegression(C=np.inf, tol=1e-10).fit(logit(predicted)[:, None], outcome)
    found = metrics.calibration(outcome, predicted)
    assert found.slope == pytest.approx(fit.coef_[0, 0], rel=1e-4)
    assert found.slope == pytest.approx(0.7, abs=0.1)


def test_calibration_intercept_makes_the_mean_right(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    outcome, predicted = drawn
    wanted = brentq(lambda shift: np.mean(expit(logit(predicted) + shift) - outcome), -5, 5)
    assert metrics.calibration(outcome, predicted).intercept == pytest.approx(wanted, abs=1e-6)


def test_calibration_survives_certain_predictions_and_separated_outcomes() -> None:
    slope, intercept = metrics.calibration([1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.9, 0.1])
    assert np.isfinite([slope, intercept]).all()
    assert slope > 1.0
    assert np.isnan(metrics.calibration([1.0, 0.0, 0.0], [0.3, 0.3, 0.3]).slope)


def test_calibration_error_without_ties_is_the_gap_over_quantile_bins(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    outcome, predicted = drawn
    happened, said = calibration_curve(outcome, predicted, n_bins=20, strategy="quantile")
    # 4,000 distinct predictions in 20 bins: every bin holds 200 of them, up to where an edge falls.
    assert metrics.calibration_error(outcome, predicted) == pytest.approx(
        np.mean(np.abs(happened - said)), abs=2e-3
    )


def test_calibration_error_of_one_number_for_all_is_its_distance_from_the_base_rate() -> None:
    assert metrics.calibration_error([1.0, 0.0, 0.0, 0.0], np.full(4, 0.6)) == pytest.approx(0.35)


def test_the_reliability_table_is_what_the_calibration_error_is_made_of(
    drawn: tuple[np.ndarray, np.ndarray],
) -> None:
    outcome, predicted = drawn
    table = metrics.reliability(outcome, predicted, bins=20)
    assert table["rows"].sum() == outcome.size
    assert table["said"].is_monotonic_increasing
    assert np.average(np.abs(table["happened"] - table["said"]), weights=table["weight"]) == pytest.approx(
        metrics.calibration_error(outcome, predicted)
    )
    assert (table["rows"] == outcome.size / 20).all()


def test_the_interval_of_a_share_is_wilsons() -> None:
    outcome = np.array([1.0] * 3 + [0.0] * 7)
    (row,) = metrics.reliability(outcome, np.full(10, 0.4), level=0.95).to_dict("records")
    wanted = binomtest(3, 10).proportion_ci(0.95, method="wilson")
    assert (row["lower"], row["upper"]) == pytest.approx((wanted.low, wanted.high))
    assert (row["said"], row["happened"], row["rows"], row["weight"]) == (pytest.approx(0.4), 0.3, 10, 10.0)
    # Ten rows of weight 3 are no more than ten rows.
    heavy = metrics.reliability(outcome, np.full(10, 0.4), weight=np.full(10, 3.0), level=0.95)
    assert heavy["upper"][0] == pytest.approx(row["upper"])
    assert heavy["weight"][0] == 30.0


def test_a_table_of_nothing_is_empty_and_bins_without_rows_are_left_out() -> None:
    assert len(metrics.reliability([], [])) == 0
    table = metrics.reliability([1.0, 0.0, 0.0], [0.9, 0.1, 0.1])
    assert table["said"].tolist() == pytest.approx([0.1, 0.9])
