"""Season: the calendar's own rhythm, apart from growth and ageing."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.models.season import COLUMNS, Season, calendar_columns, fit_season

DAYS = np.arange(18_993, 18_993 + 4 * 365)  # 2022 to 2025


def test_the_last_day_of_a_quarter_is_marked_once() -> None:
    days = np.array(["2025-03-30", "2025-03-31", "2025-04-01"], dtype="datetime64[D]").astype(np.int64)
    marked = calendar_columns(days)[:, COLUMNS.index("quarter_end_1d")]
    assert marked.tolist() == [0.0, 1.0, 0.0]


def test_weekdays_are_right() -> None:
    friday = np.array([np.datetime64("2026-01-02", "D").astype(np.int64)])
    columns = calendar_columns(friday)[0]
    assert columns[COLUMNS.index("fri")] == 1
    assert columns[COLUMNS.index("mon") : COLUMNS.index("sun") + 1].sum() == 1


def test_a_known_spike_is_recovered_and_growth_does_not_leak_into_it() -> None:
    rng = np.random.default_rng(5)
    at_risk = np.linspace(300, 1500, len(DAYS))
    level = np.exp(np.repeat(rng.normal(0, 0.4, 16), 92)[: len(DAYS)])  # good and bad quarters
    spike = np.where(calendar_columns(DAYS)[:, COLUMNS.index("quarter_end_1d")] > 0, 5.0, 1.0)
    closed = rng.poisson(at_risk * 0.004 * level * spike).astype(float)
    season = fit_season(DAYS, at_risk, closed)
    last = calendar_columns(DAYS)[:, COLUMNS.index("quarter_end_1d")] > 0
    ratio = season.rate(DAYS[last]).mean() / season.rate(DAYS[~last]).mean()
    assert ratio == pytest.approx(5.0, rel=0.25)


def test_without_a_season_the_profile_stays_flat_or_close_to_it() -> None:
    rng = np.random.default_rng(6)
    at_risk = np.full(len(DAYS), 400.0)
    closed = rng.poisson(at_risk * 0.002).astype(float)
    season = fit_season(DAYS, at_risk, closed)
    assert season.rate(DAYS).max() < 1.6


def test_few_closings_give_no_season() -> None:
    closed = np.zeros(len(DAYS))
    closed[::100] = 1
    assert fit_season(DAYS, np.full(len(DAYS), 10.0), closed).is_flat


def test_exposure_is_the_integral_of_the_rate() -> None:
    season = Season(np.linspace(-1, 1, len(COLUMNS)))
    start, end = 20_000.25, 20_031.75
    fine = np.linspace(start, end, 200_001)[:-1] + (end - start) / 400_000
    integral = season.rate(np.floor(fine).astype(np.int64)).mean() * (end - start)
    assert season.until(np.array(end)) - season.until(np.array(start)) == pytest.approx(integral, rel=1e-4)


def test_an_average_day_counts_as_one_day() -> None:
    season = Season(np.linspace(-1, 1, len(COLUMNS)))
    years = np.arange(10_957, 10_957 + 28 * 365 + 7)
    assert season.rate(years).mean() == pytest.approx(1.0)
