"""The deal's own clock: dates at a fixed age, apart from time after the landmark."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from forecast.features import FeatureMatrix
from forecast.history import History, Landmarks
from forecast.models import Bins, DealClock, Season, Survival, fit_clock
from forecast.models.clock import _in_bands
from forecast.models.incidence import HORIZON_CAP_DAYS
from forecast.periods import DAY_US

FLAT = (Season.flat(), Season.flat())
BINS = Bins.for_follow_up(200)
START_US = 20_000 * DAY_US


def matrix(history: History, age_days: np.ndarray, motion: np.ndarray) -> FeatureMatrix:
    return FeatureMatrix(("age_days", "motion"), np.stack([age_days, motion]), history)


def expiring(rows: int, seed: int) -> tuple[np.ndarray, Landmarks]:
    """Offers seen at any age up to 100 days: lost at .003 a day, at .06 from day 60 to day 66 of their life."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(0, 100, rows)
    day = np.arange(200)
    own = age[:, None] + day
    hazard = np.where((own >= 60) & (own < 66), 0.06, 0.003)
    lost = rng.random((rows, 200)) < 1 - np.exp(-hazard)
    when = np.where(lost.any(axis=1), lost.argmax(axis=1) + rng.random(rows), 200.0)
    cause = np.where(lost.any(axis=1), 2, 0).astype(np.int8)
    return age, Landmarks(np.arange(rows), np.full(rows, START_US), when, cause, np.ones(rows))


def average_hazard(features: FeatureMatrix, survival: Survival) -> Callable[[DealClock], np.ndarray]:
    """Beside a clock: (n, 2, J) one hazard for all rows and bins, the crudest model there is."""

    def log_hazard(clock: DealClock) -> np.ndarray:
        paced = survival.paced(clock.log_pace(features, BINS))
        found = np.full((len(paced.bin), 2, len(BINS)), -20.0)
        for k in range(2):
            events = (paced.cause == k + 1).sum()
            if events:
                found[:, k] = np.log(events / paced.exposure[k].sum())
        return found

    return log_hazard


def test_an_expiry_at_a_fixed_age_is_found(sample_history: History) -> None:
    age, landmarks = expiring(12_000, seed=1)
    features = matrix(sample_history, age, np.zeros(len(age)))
    survival = Survival.of(landmarks, BINS, FLAT)
    clock = fit_clock(
        "age_days",
        features,
        survival,
        landmarks.duration_days,
        BINS,
        average_hazard(features, survival),
        deal=landmarks.deal,
    )
    middle = (clock.edges_days[:-1] + clock.edges_days[1:]) / 2
    inside = (middle > 60) & (middle < 66)
    pace = clock.pace[1, 0]
    assert inside.any()
    assert pace[inside].min() > 5 * np.median(pace[~inside])
    assert middle[np.argmax(pace)] == pytest.approx(63, abs=3)


def test_nothing_but_chance_gives_a_clock_near_one(sample_history: History) -> None:
    rng = np.random.default_rng(2)
    rows = 6_000
    when = np.minimum(rng.exponential(80, rows), 200.0)
    cause = np.where(when < 200, 1 + (rng.random(rows) < 0.5), 0).astype(np.int8)
    landmarks = Landmarks(np.arange(rows), np.full(rows, START_US), when, cause, np.ones(rows))
    features = matrix(sample_history, rng.uniform(0, 100, rows), np.zeros(rows))
    survival = Survival.of(landmarks, BINS, FLAT)
    clock = fit_clock(
        "age_days",
        features,
        survival,
        when,
        BINS,
        average_hazard(features, survival),
        deal=landmarks.deal,
    )
    assert np.abs(np.log(clock.pace[:, 0])).max() < 0.3


def test_a_kind_of_business_without_a_clock_gets_none_beside_one_that_has(sample_history: History) -> None:
    """Offers expire, the other motion closes at one rate: its bands scatter by chance, and are drawn to one."""
    age, landmarks = expiring(8_000, seed=5)
    rng = np.random.default_rng(6)
    steady = rng.exponential(150, 8_000)
    when = np.concatenate((landmarks.duration_days, np.minimum(steady, 200.0)))
    cause = np.concatenate((landmarks.cause, np.where(steady < 200, 2, 0))).astype(np.int8)
    ages = np.concatenate((age, rng.uniform(0, 100, 8_000)))
    motions = sample_history.vocabulary("motion").texts
    motion = np.repeat([float(motions.index("renewal")), float(motions.index("new"))], 8_000)
    both = Landmarks(np.arange(16_000), np.full(16_000, START_US), when, cause, np.ones(16_000))
    features = matrix(sample_history, ages, motion)
    survival = Survival.of(both, BINS, FLAT)

    def log_hazard(clock: DealClock) -> np.ndarray:
        paced = survival.paced(clock.log_pace(features, BINS))
        found = np.full((len(motion), 2, len(BINS)), -20.0)
        for one in np.unique(motion):
            here = motion == one
            rate = (paced.cause[here] == 2).sum() / paced.exposure[1][here].sum()
            found[here, 1] = np.log(rate)
        return found

    clock = fit_clock("age_days", features, survival, when, BINS, log_hazard, deal=both.deal)
    offers, others = (clock.pace[1, 1 + clock.groups.index(name)] for name in ("renewal", "new"))
    assert offers.max() > 4.0
    assert np.abs(np.log(others)).max() < 0.15


def test_what_is_expected_in_a_bin_is_split_by_days() -> None:
    """Bands that cut bins, rows that end inside one or begin behind the last edge, one that is over at once."""
    edges = np.array([0.0, 14.0, 35.0, 50.0, 100.0])
    now, duration = np.array([0.0, 30.0, 60.0, 13.0]), np.array([200.0, 22.5, 40.0, 0.0])
    a_day = np.array([0.02, 0.5, 0.1, 0.3])
    followed = np.clip(duration[:, None] - BINS.edges_days[:-1], 0.0, np.diff(BINS.edges_days))
    found = _in_bands(followed * a_day[:, None], now, duration, BINS, edges)
    end = np.array([*edges[1:-1], np.inf])
    inside = np.clip(
        np.minimum((now + duration)[:, None], end) - np.maximum(now[:, None], edges[:-1]), 0, None
    )
    np.testing.assert_allclose(found, inside * a_day[:, None], atol=1e-12)


def test_pace_in_a_bin_is_its_mean_over_the_bin() -> None:
    """Against a sum over minutes: pace one until age 10, five from 10 to 20, a half after."""
    clock = DealClock(
        "age_days", np.array([0.0, 10.0, 20.0, 40.0]), (), np.array([[[1, 5, 0.5]], [[1, 1, 1]]])
    )
    ages = np.array([0.0, 3.0, 9.5, 30.0])
    found = np.exp(clock.log_pace(_Ages(ages), BINS))  # type: ignore[arg-type]
    edges = BINS.edges_days.copy()
    edges[-1] = HORIZON_CAP_DAYS
    for row, age in enumerate(ages):
        for j, (low, high) in enumerate(pairwise(edges)):
            at = age + low + (np.arange(20_000) + 0.5) / 20_000 * (high - low)
            pace = np.select([at < 10, at < 20], [1.0, 5.0], 0.5).mean()
            assert found[row, 0, j] == pytest.approx(pace, rel=1e-2)
    np.testing.assert_allclose(found[:, 1], 1.0)


def test_a_flat_clock_adds_nothing_and_a_clock_survives_its_text() -> None:
    assert (DealClock.flat().log_pace(_Ages(np.array([5.0])), BINS) == 0).all()  # type: ignore[arg-type]
    clock = DealClock(
        "age_days", np.array([0.0, 10.0, 20.0]), ("new",), np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8.0]]])
    )
    again = DealClock.from_json(json.loads(json.dumps(clock.to_json())))
    np.testing.assert_array_equal(again.pace, clock.pace)
    assert again.groups == clock.groups
    with pytest.raises(ValueError, match="clock"):
        DealClock.from_json(clock.to_json() | {"feature": "moon"})


def test_few_closings_give_no_clock(sample_history: History) -> None:
    age, landmarks = expiring(15, seed=3)
    features = matrix(sample_history, age, np.zeros(len(age)))
    survival = Survival.of(landmarks, BINS, FLAT)
    clock = fit_clock(
        "age_days",
        features,
        survival,
        landmarks.duration_days,
        BINS,
        average_hazard(features, survival),
        deal=landmarks.deal,
    )
    assert clock.is_flat


class _Ages:
    """As much of a feature matrix as a clock without groups reads."""

    def __init__(self, ages: np.ndarray) -> None:
        self._ages = ages

    def __len__(self) -> int:
        return len(self._ages)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._ages if name == "age_days" else np.full(len(self._ages), np.nan)

    def texts(self, _name: str) -> tuple[str, ...]:
        return ()
