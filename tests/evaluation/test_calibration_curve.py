"""The smoothed calibration curve and its index: against a loop, against known curves, and with intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=30)


def draw(rows: int, seed: int, slope: float = 0.7) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, what was said, and the true probability: log-odds 0.3 + slope x where x was said."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(-1.0, 1.3, rows)
    truth = expit((0.3 if slope != 1.0 else 0.0) + slope * odds)
    return (rng.random(rows) < truth).astype(float), expit(odds), truth


@laws
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.4, 0.75, 1.0]))
def test_the_curve_equals_a_loop_of_weighted_lines(seed: int, span: float) -> None:
    rng = np.random.default_rng(seed)
    outcome, said = rng.integers(0, 2, 30).astype(float), rng.random(30)
    x, level = metrics.calibration_curve(outcome, said, span=span)
    assert x == pytest.approx(np.sort(said))
    near_rows = int(np.ceil(span * 30 - 1e-9))
    for at, found in zip(x, level, strict=True):
        far = np.abs(said - at)
        width = np.sort(far)[near_rows - 1]
        tricube = np.clip(1 - (far / width) ** 3, 0, None) ** 3
        line = np.polyfit(said, outcome, 1, w=np.sqrt(tricube))
        assert found == pytest.approx(np.clip(np.polyval(line, at), 0, 1), abs=1e-6)


@laws
@given(st.integers(0, 2**32 - 1))
def test_a_straight_line_is_found_as_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    said, weight = rng.integers(0, 60, 80) / 100.0, rng.random(80)
    x, level = metrics.calibration_curve(0.2 + 0.5 * said, said, weight=weight)
    assert level == pytest.approx(0.2 + 0.5 * x)
    # The distance of an outcome that is its own probability from itself.
    assert metrics.integrated_calibration_index(said, said, weight=weight) == pytest.approx(0.0, abs=1e-9)
    assert metrics.integrated_calibration_index(said + 0.1, said, weight=weight) == pytest.approx(0.1)


@laws
@given(st.integers(0, 2**32 - 1))
def test_a_whole_number_weight_means_that_many_equal_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    outcome, said = rng.integers(0, 2, 40).astype(float), rng.integers(0, 20, 40) / 20.0
    weight = rng.integers(0, 4, 40)
    repeated = rng.permutation(np.repeat(np.arange(40), weight))
    assert metrics.integrated_calibration_index(outcome, said, weight=weight) == pytest.approx(
        metrics.integrated_calibration_index(outcome[repeated], said[repeated])
    )


def test_the_index_recovers_the_true_distance_and_falls_to_0_for_a_right_forecast() -> None:
    outcome, said, truth = draw(40_000, 3)
    assert metrics.integrated_calibration_index(outcome, said) == pytest.approx(
        np.mean(np.abs(truth - said)), abs=0.008
    )
    few, many = (
        np.mean([metrics.integrated_calibration_index(*draw(rows, seed, 1.0)[:2]) for seed in range(5)])
        for rows in (300, 30_000)
    )
    assert many < 0.006 < few, "noise counts as distance: a right forecast reaches 0 only with many rows"


def test_putting_neighbours_together_changes_nothing_that_matters() -> None:
    outcome, said, _ = draw(1500, 4)
    x, level = metrics.calibration_curve(outcome, said)
    assert x.size <= 200
    some = [20, 100, 180]
    for at, found in zip(x[some], level[some], strict=True):
        far = np.abs(said - at)
        tricube = np.clip(1 - (far / np.sort(far)[round(0.75 * 1500) - 1]) ** 3, 0, None) ** 3
        assert found == pytest.approx(
            np.polyval(np.polyfit(said, outcome, 1, w=np.sqrt(tricube)), at), abs=2e-3
        )


def test_few_distinct_predictions() -> None:
    assert metrics.integrated_calibration_index([1.0, 0.0, 0.0, 0.0], np.full(4, 0.6)) == pytest.approx(0.35)
    # Of two, each stands alone: the farthest of a local line weighs nothing.
    x, level = metrics.calibration_curve([1.0, 0.0, 1.0], [0.2, 0.2, 0.9])
    assert x.tolist() == [0.2, 0.9]
    assert level == pytest.approx([0.5, 1.0])
    assert np.isnan(metrics.integrated_calibration_index([], []))
    with pytest.raises(ValueError, match="span"):
        metrics.calibration_curve([1.0], [0.5], span=0.0)


def test_intervals_of_metrics_that_noise_makes_larger_hold_the_truth_when_reflected() -> None:
    """Of 500 rows; the calibration error in 20 bins has so much noise that its own samples miss the truth."""
    _, said, chance = draw(200_000, 9)
    truth = float(np.mean(np.abs(chance - said)))
    held = dict.fromkeys(["index", "error, percentile", "error, basic"], 0)
    for seed in range(16):
        outcome, said, _ = draw(500, 100 + seed)
        for name, metric, kind in (
            ("index", metrics.integrated_calibration_index, "percentile"),
            ("error, percentile", metrics.calibration_error, "percentile"),
            ("error, basic", metrics.calibration_error, "basic"),
        ):
            found = metrics.block_bootstrap(
                lambda w, metric=metric, y=outcome, p=said: metric(y, p, weight=w),
                np.arange(500),
                rng=np.random.default_rng(seed),
                draws=60,
                kind=kind,
            )
            held[name] += found.lower <= truth <= found.upper
    assert held["index"] >= 11
    assert held["error, basic"] >= 9
    assert held["error, basic"] > held["error, percentile"]
