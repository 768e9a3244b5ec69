"""Season given the deals: what is open changes over a quarter, and must not be taken for the calendar."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.history import Landmarks
from forecast.models import Bins, Season, Survival
from forecast.models.season import COLUMNS, fit_season
from forecast.models.season_fit import daily_expected, season_given_deals
from forecast.periods import DAY_US

BINS = Bins.for_follow_up(120)


@given(seed=st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_closings_expected_of_a_day_equal_a_sum_over_rows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = 12
    at = 20_000 + rng.uniform(0, 40, rows)
    at_us = np.round(at * DAY_US).astype(np.int64)
    landmarks = Landmarks(
        np.arange(rows),
        at_us,
        rng.uniform(0.01, 150, rows),
        np.zeros(rows, np.int8),
        rng.uniform(0.5, 3, rows),
    )
    rate = rng.exponential(0.02, (rows, len(BINS)))
    days = np.arange(20_000, 20_000 + 200)
    truth = np.zeros(len(days))
    for row in range(rows):
        begin = at_us[row] / DAY_US
        edges = [*BINS.edges_days[:-1], np.inf]
        for j in range(len(BINS)):
            low = begin + min(edges[j], landmarks.duration_days[row])
            high = begin + min(edges[j + 1], landmarks.duration_days[row])
            overlap = np.clip(np.minimum(high, days + 1) - np.maximum(low, days), 0, None)
            truth += overlap * rate[row, j] * landmarks.weight[row]
    np.testing.assert_allclose(daily_expected(landmarks, rate, BINS, days), truth, atol=1e-8)


def test_a_rest_after_the_quarter_s_end_is_seen_although_quick_deals_close_in_it() -> None:
    """Old deals rest in a quarter's first month; fresh ones are signed within days of any month.

    Closings per deal show next to no season. Given that fresh deals were expected to close, the rest appears.
    """
    rng = np.random.default_rng(4)
    days = np.arange(np.datetime64("2022-01-01"), np.datetime64("2025-01-01")).astype(np.int64)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(int) % 3
    pace = np.where(month == 0, 0.25, 1.3)
    old_rows, at, duration, cause, fresh = 6_000, [], [], [], []
    for _ in range(old_rows):
        begin = int(rng.integers(days[0], days[-1] - 60))
        hazard = 0.02 * pace[begin - days[0] : begin - days[0] + 60]
        won = rng.random(60) < 1 - np.exp(-hazard)
        at.append(begin)
        duration.append(won.argmax() + 0.5 if won.any() else 60.0)
        cause.append(1 if won.any() else 0)
        fresh.append(False)
    # Fresh deals appear mostly in first months and close at .3 a day, slowed by the same season.
    weights = np.where(month == 0, 1.0, 0.05)[:-30]
    for begin in rng.choice(days[:-30], 5_000, p=weights / weights.sum()):
        hazard = 0.3 * pace[begin - days[0] : begin - days[0] + 30]
        won = rng.random(30) < 1 - np.exp(-hazard)
        at.append(begin)
        duration.append(won.argmax() + 0.5 if won.any() else 30.0)
        cause.append(1 if won.any() else 0)
        fresh.append(True)
    size = len(at)
    landmarks = Landmarks(
        np.arange(size),
        np.array(at, np.int64) * DAY_US,
        np.array(duration),
        np.array(cause, np.int8),
        np.ones(size),
    )
    survival = Survival.of(landmarks, BINS, (Season.flat(), Season.flat()))
    log_hazard = np.full((size, 2, len(BINS)), np.log(0.02))
    log_hazard[np.array(fresh), 0] = np.log(0.3)

    at_risk = daily_expected(landmarks, np.ones((size, len(BINS))), BINS, days)
    ended = np.floor(landmarks.at_us / DAY_US + landmarks.duration_days)[landmarks.cause == 1].astype(int)
    closed = np.bincount(ended - days[0], minlength=len(days))[: len(days)].astype(float)
    naive = fit_season(days, at_risk, closed)
    given_deals = season_given_deals(landmarks, survival, log_hazard, BINS, 1, looks=1.0)[0]

    def rest(season: Season) -> float:
        rate = season.rate(days)
        return float(np.log(rate[month == 0].mean() / rate[month != 0].mean()))

    truth = np.log(0.25 / 1.3)
    assert rest(given_deals) == pytest.approx(truth, abs=0.25)
    assert rest(naive) > truth / 2


def test_fiscal_quarters_have_ends_of_their_own() -> None:
    """A fiscal year from February: quarters end with April, July, October and January."""
    days = np.arange(18_993, 18_993 + 4 * 365)
    month = days.astype("datetime64[D]").astype("datetime64[M]").astype(int)
    last = (month % 12 == 3) | (month % 12 == 6) | (month % 12 == 9) | (month % 12 == 0)
    tail = last & (np.diff(np.append(month, month[-1] + 1)) == 1)
    closed = np.random.default_rng(1).poisson(np.where(tail, 12.0, 2.0)).astype(float)
    season = fit_season(days, np.full(len(days), 500.0), closed, first_month=2)
    assert season.rate(days[tail]).mean() / season.rate(days[~tail]).mean() == pytest.approx(6.0, rel=0.2)
    again = Season.from_json(season.to_json())
    np.testing.assert_array_equal(again.rate(days), season.rate(days))
    assert season.effects[COLUMNS.index("quarter_end_1d")] > 1.0
