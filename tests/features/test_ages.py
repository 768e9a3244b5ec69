"""The pace of kinds by motion and age, and the bands it is learnt in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.features.kinds.ages import Ages, Stays, age_bands, learn_ages, pace_of

EDGES = np.array([0.0, 14.0, 35.0])
PACE = np.stack((np.ones((3, 3)), np.array([[1.0, 1.0, 1.0], [0.5, 4.0, 2.0], [1.0, 1.5, 1.0]])))
AGES = Ages(EDGES, PACE)


def by_the_minute(row: int, since_days: float, until_days: float) -> np.ndarray:
    at = since_days + (np.arange(50_000) + 0.5) / 50_000 * (until_days - since_days)
    band = np.searchsorted(EDGES, at, side="right") - 1
    found: np.ndarray = PACE[row][:, band].mean(axis=1) * (until_days - since_days)
    return found


@pytest.mark.parametrize(("since_days", "until_days"), [(0.0, 5.0), (3.0, 20.0), (14.0, 35.0), (10.0, 400.0)])
def test_days_by_the_pace_are_those_of_a_sum_over_minutes(since_days: float, until_days: float) -> None:
    motion = np.array([0, 1])
    passed = AGES.passed(motion, np.full(2, until_days)) - AGES.passed(motion, np.full(2, since_days))
    for row in motion:
        np.testing.assert_allclose(passed[row], by_the_minute(row, since_days, until_days), rtol=1e-3)


def test_the_pace_ahead_is_the_mean_of_what_comes() -> None:
    ahead = AGES.ahead(np.array([1, 0]), np.array([10.0, 3.0]), np.array([30.0, 90.0, 90.0]))
    assert ahead.shape == (3, 3, 2)
    for place, days in enumerate((30.0, 90.0, 90.0)):
        np.testing.assert_allclose(
            np.exp(ahead[:, place, 0]), by_the_minute(1, 10.0, 10.0 + days) / days, rtol=1e-3
        )
    np.testing.assert_allclose(ahead[:, :, 1], 0.0, atol=1e-12)


def test_a_pace_that_was_planted_is_learnt_and_a_motion_without_one_gets_none() -> None:
    """One stay each; the first motion wins three times as fast from day 35 on."""
    rng = np.random.default_rng(1)
    count = 20_000
    motion = np.repeat([0, 1], count // 2)
    age = np.where(motion == 0, 35.0, 1e9)
    first = rng.exponential(50.0, count)
    won = np.where(first < age, first, age + rng.exponential(50.0 / 3.0, count))
    until = np.minimum(won, 120.0)
    stays = Stays(
        np.arange(count), np.zeros(count, np.int64), np.zeros(count), until, np.where(won < 120.0, 1, -1)
    )
    found = learn_ages(stays, motion, 3, np.tile([0.0, 1 / 50.0, 0.0], (count, 1)))
    middle = np.append((found.edges_days[:-1] + found.edges_days[1:]) / 2, found.edges_days[-1] + 7.0)
    slow, fast = middle < 32, found.edges_days >= 35
    assert fast.any()
    assert np.abs(found.pace[0, 1, slow] - 1.0).max() < 0.15
    assert np.abs(found.pace[0, 1, fast] - 3.0).max() < 0.4
    assert np.abs(found.pace[1, 1] - 1.0).max() < 0.1
    np.testing.assert_array_equal(found.pace[2], 1.0)  # nobody is of another motion


def test_bands_are_whole_weeks_and_every_motion_counts_alike() -> None:
    rng = np.random.default_rng(2)
    late, early = rng.normal(90.0, 15.0, 300), rng.exponential(40.0, 20_000)
    edges = age_bands(np.concatenate((late, early)), np.repeat([0, 1], [300, 20_000]), 20)
    assert edges[0] == 0.0
    assert (np.diff(edges) > 0).all()
    np.testing.assert_allclose(edges % 7.0, 0.0)
    assert ((edges > 75.0) & (edges < 105.0)).sum() >= 2


def test_where_very_many_fall_together_bands_are_narrower() -> None:
    rng = np.random.default_rng(3)
    ages = np.concatenate((rng.uniform(0.0, 100.0, 500), rng.uniform(60.0, 66.0, 500)))
    edges = age_bands(ages, np.zeros(1_000, np.int64), 20)
    assert ((edges > 58.0) & (edges < 68.0)).sum() >= 3


@pytest.mark.parametrize("count", [0, 1, 23])
def test_too_few_ages_are_one_band(count: int) -> None:
    np.testing.assert_array_equal(
        age_bands(np.arange(count, dtype=float), np.zeros(count, np.int64), 12), [0.0]
    )


@given(st.lists(st.integers(0, 60), min_size=2, max_size=20), st.floats(1.0, 20.0))
def test_a_pace_lies_between_one_and_what_came_over_what_was_expected(
    came: list[int], scatter: float
) -> None:
    seen, expected = np.array(came, dtype=float), np.full(len(came), 20.0)
    raw = seen / expected
    pace = pace_of(seen, expected, np.full(len(came), scatter))
    assert (np.minimum(raw, 1.0) - 1e-9 <= pace).all()
    assert (pace <= np.maximum(raw, 1.0) + 1e-9).all()


def test_closings_that_were_seen_several_times_are_believed_less() -> None:
    seen, expected = np.array([10.0, 40.0, 22.0, 18.0]), np.full(4, 22.5)
    once, often = (pace_of(seen, expected, np.full(4, scatter)) for scatter in (1.0, 8.0))
    assert (np.abs(np.log(often)) < np.abs(np.log(once))).all()


def test_numbers_come_back_from_json_and_nonsense_does_not() -> None:
    told = json.loads(json.dumps(AGES.to_json()))
    again = Ages.from_json(told, 2)
    np.testing.assert_array_equal(again.pace, PACE)
    np.testing.assert_array_equal(again.edges_days, EDGES)
    for wrong in (
        {**told, "edges_days": [0.0, 35.0, 14.0]},
        {**told, "edges_days": [1.0, 14.0, 35.0]},
        {**told, "pace": (-PACE).tolist()},
        {**told, "edges_days": [0.0, 14.0]},
    ):
        with pytest.raises(ValueError, match=r"age|shape"):
            Ages.from_json(wrong, 2)
