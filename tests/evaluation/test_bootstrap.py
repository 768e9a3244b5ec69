"""Intervals by drawing blocks again: what they hold, what they refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=20)


def mean_of(values: np.ndarray) -> Callable[[np.ndarray], float]:
    return lambda w: float(w @ values / w.sum()) if w.sum() > 0 else float("nan")


def test_blocks_hold_the_truth_where_rows_taken_for_independent_do_not() -> None:
    """True mean 0; 25 blocks of 20 rows that share their luck; a 90 % interval."""
    by_block = by_row = 0
    for seed in range(120):
        rng = np.random.default_rng(seed)
        block = np.repeat(np.arange(25), 20)
        values = rng.normal(size=25)[block] + rng.normal(size=500)
        found = metrics.block_bootstrap(mean_of(values), block, rng=rng, draws=150)
        by_block += found.lower <= 0.0 <= found.upper
        found = metrics.block_bootstrap(mean_of(values), np.arange(500), rng=rng, draws=150)
        by_row += found.lower <= 0.0 <= found.upper
    assert 0.80 <= by_block / 120 <= 0.97
    assert by_row / 120 < 0.55


def test_eight_blocks_make_an_interval_that_is_too_narrow() -> None:
    held = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        found = metrics.block_bootstrap(mean_of(rng.normal(size=8)), np.arange(8), rng=rng, draws=150)
        held += found.lower <= 0.0 <= found.upper
    assert 0.76 <= held / 400 <= 0.87, "nominal 0.90"


def test_the_spread_is_that_of_the_mean_and_of_two_kinds_of_blocks_together_is_wider() -> None:
    rng = np.random.default_rng(1)
    quarter, account = np.repeat(np.arange(12), 50), np.tile(np.arange(50), 12)
    values = rng.normal(size=12)[quarter] + rng.normal(size=50)[account]
    one = metrics.block_bootstrap(mean_of(values), quarter, rng=rng, draws=600, level=0.68)
    wanted = np.array([values[quarter == q].mean() for q in range(12)]).std() / np.sqrt(12)
    assert one.upper - one.lower == pytest.approx(2 * wanted, rel=0.15)
    both = metrics.block_bootstrap(mean_of(values), quarter, account, rng=rng, draws=600, level=0.68)
    assert both.upper - both.lower > one.upper - one.lower
    assert (one.blocks, both.blocks) == (12, 12)


@laws
@given(st.integers(0, 2**32 - 1))
def test_the_same_seed_gives_the_same_interval_whatever_the_blocks_are_called(seed: int) -> None:
    rng = np.random.default_rng(seed)
    block, values = rng.integers(0, 6, 40), rng.random(40)
    once, again = (
        metrics.block_bootstrap(mean_of(values), names, rng=np.random.default_rng(3), draws=30)
        for names in (block, np.array([f"2025Q{number}" for number in block]))
    )
    assert once == again
    assert once.value == pytest.approx(values.mean())
    assert once.lower <= once.upper


@laws
@given(st.integers(0, 2**32 - 1))
def test_a_row_of_weight_0_does_not_exist_and_weights_multiply(seed: int) -> None:
    rng = np.random.default_rng(seed)
    block, weight = np.arange(30) % 5, rng.integers(0, 3, 30).astype(float)
    outcome, said = rng.integers(0, 2, 30).astype(float), rng.random(30)
    unknown = np.where(weight > 0, said, np.nan)
    found = metrics.block_bootstrap(
        lambda w: metrics.brier(outcome, unknown, weight=w),
        block,
        weight=weight,
        rng=np.random.default_rng(0),
        draws=25,
    )
    repeated = np.repeat(np.arange(30), weight.astype(int))
    wanted = metrics.block_bootstrap(
        lambda w: metrics.brier(outcome[repeated], said[repeated], weight=w[5:]),
        np.concatenate([np.arange(5), block[repeated]]),  # first one row of each, so that all can be drawn
        rng=np.random.default_rng(0),
        draws=25,
    )
    assert found == pytest.approx(wanted, nan_ok=True)


def test_it_takes_any_metric_curves_and_differences_too() -> None:
    rng = np.random.default_rng(5)
    duration, cause = rng.exponential(50, 300), rng.integers(0, 3, 300)
    block, said = np.arange(300) % 20, rng.random(300)
    curve = metrics.block_bootstrap(
        lambda w: metrics.ipcw_brier(duration, cause, said, 30.0, weight=w), block, rng=rng, draws=40
    )
    assert curve.lower < curve.value < curve.upper
    won = (cause == 1).astype(float)
    same = metrics.block_bootstrap(
        lambda w: metrics.brier(won, said, weight=w) - metrics.brier(won, said, weight=w),
        block,
        rng=rng,
        draws=10,
    )
    assert same[:3] == (0.0, 0.0, 0.0), "of two forecasts on the same rows the luck of the rows cancels"


def test_where_nothing_can_be_drawn_there_is_a_value_without_bounds() -> None:
    rng = np.random.default_rng(0)
    one = metrics.block_bootstrap(mean_of(np.arange(4.0)), np.zeros(4), rng=rng)
    assert one.value == 1.5
    assert np.isnan([one.lower, one.upper]).all()
    # Six blocks, of which two are compared: in most samples one of the two is missing.
    rare = metrics.block_bootstrap(
        lambda w: metrics.auc([1.0, 0.0], [0.0, 1.0], weight=w[:2]), np.arange(6), rng=rng, draws=50
    )
    assert rare.value == 0.0
    assert np.isnan([rare.lower, rare.upper]).all()
    nothing = metrics.block_bootstrap(lambda w: metrics.brier([], [], weight=w), [], rng=rng)
    assert np.isnan(nothing[:3]).all()


def test_what_cannot_be_meant_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="nothing to draw"):
        metrics.block_bootstrap(mean_of(np.ones(2)), rng=rng)
    with pytest.raises(ValueError, match="one name a row"):
        metrics.block_bootstrap(mean_of(np.ones(2)), [0, 1], [0], rng=rng)
    with pytest.raises(ValueError, match="level 90"):
        metrics.block_bootstrap(mean_of(np.ones(2)), [0, 1], rng=rng, level=90)
