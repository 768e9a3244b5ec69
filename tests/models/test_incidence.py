"""Curves: probabilities that keep their promises."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.errors import UsageError
from forecast.models.bins import Bins
from forecast.models.incidence import Cells
from forecast.models.season import COLUMNS, Season
from forecast.periods import DAY_US

BINS = Bins.for_follow_up(700)
AS_OF_US = 20_454 * DAY_US + DAY_US // 3
SPIKY = (Season(np.linspace(-0.5, 1.0, len(COLUMNS))), Season(np.linspace(0.8, -0.4, len(COLUMNS))))
FLAT = (Season.flat(), Season.flat())


def hazards(seed: int, rows: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).normal(-5.0, 1.5, (rows, 2, len(BINS)))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.floats(0.01, 730), min_size=1, max_size=6))
def test_open_won_and_lost_sum_to_one_and_incidence_never_falls(seed: int, horizons: list[float]) -> None:
    marks = np.sort(np.array(horizons))
    curves = Cells.at(AS_OF_US, BINS, SPIKY, marks_days=marks).curves(hazards(seed))
    won, lost = curves.won_by(marks), curves.lost_by(marks)
    left = np.exp(-_total_hazard(hazards(seed), marks))
    np.testing.assert_allclose(won + lost + left, 1.0, atol=1e-9)
    assert (np.diff(won, axis=1) >= 0).all()
    assert (np.diff(lost, axis=1) >= -1e-12).all()
    assert (won >= 0).all()
    assert (lost >= 0).all()


def _total_hazard(log_hazard: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Integrated hazard of both causes by a loop over days, written apart from the code under test."""
    start = AS_OF_US / DAY_US
    edges = np.unique(np.concatenate((BINS.edges_days, marks, np.ceil(start) - start + np.arange(740))))
    edges = np.unique(np.concatenate(([0.0], edges[(edges > 0) & (edges <= marks.max())])))
    total = np.zeros((len(log_hazard), len(edges)))
    for k in range(2):
        for c, (low, high) in enumerate(pairwise(edges)):
            middle = (low + high) / 2
            bin_of = min(np.searchsorted(BINS.edges_days, middle, side="right") - 1, len(BINS) - 1)
            rate = SPIKY[k].rate(np.array([int(np.floor(start + middle))]))[0]
            total[:, c + 1] += np.exp(log_hazard[:, k, bin_of]) * rate * (high - low)
    return np.cumsum(total, axis=1)[:, np.searchsorted(edges, marks - 1e-9)]


def test_constant_hazards_give_the_closed_form() -> None:
    won, lost, days = 0.004, 0.002, np.array([10.0, 90.0, 365.0])
    log_hazard = np.log(np.array([won, lost]))[None, :, None] * np.ones((1, 2, len(BINS)))
    curves = Cells.at(AS_OF_US, BINS, FLAT, marks_days=days).curves(log_hazard)
    expected = won / (won + lost) * (1 - np.exp(-(won + lost) * days))
    np.testing.assert_allclose(curves.won_by(days)[0], expected, rtol=1e-12)


def test_periods_add_up() -> None:
    marks = np.array([31.0, 59.0, 90.0])
    curves = Cells.at(AS_OF_US, BINS, SPIKY, marks_days=marks).curves(hazards(1))
    parts = curves.won_between(0, 31) + curves.won_between(31, 59) + curves.won_between(59, 90)
    np.testing.assert_allclose(parts, curves.won_between(0, 90), rtol=1e-12)


def test_close_quantiles_are_ordered_and_split_the_wins() -> None:
    curves = Cells.at(AS_OF_US, BINS, SPIKY, marks_days=np.array([730.0])).curves(hazards(2, 50))
    quantiles = curves.close_quantiles((0.1, 0.5, 0.9))
    assert (np.diff(quantiles, axis=1) >= 0).all()
    half = [np.interp(q, curves.edges_days, won) for q, won in zip(quantiles[:, 1], curves.won, strict=True)]
    np.testing.assert_allclose(half, curves.won[:, -1] / 2, rtol=1e-9)


def test_the_gradient_agrees_with_small_changes() -> None:
    log_hazard = hazards(3, 2)
    cells = Cells.at(AS_OF_US, BINS, SPIKY, marks_days=np.array([90.0]))
    gradient = cells.win_gradient(log_hazard)
    for k in range(2):
        for j in range(0, len(BINS), 3):
            up, down = log_hazard.copy(), log_hazard.copy()
            up[:, k, j] += 1e-5
            down[:, k, j] -= 1e-5
            slope = (cells.curves(up).won[:, -1] - cells.curves(down).won[:, -1]) / 2e-5
            np.testing.assert_allclose(gradient[:, k, j], slope, rtol=1e-4, atol=1e-8)


def test_a_horizon_beyond_the_cap_is_refused() -> None:
    with pytest.raises(UsageError, match="cap of 730 days"):
        Cells.at(AS_OF_US, BINS, FLAT, marks_days=np.array([731.0]))
