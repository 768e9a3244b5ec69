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


def closings(
    first: str, days: int, june: float = 3.0, seed: int = 7
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days from `first` on with 200 deals open; the third month of a quarter closes `june` times as many."""
    day = np.datetime64(first, "D").astype(np.int64) + np.arange(days)
    third = calendar_columns(day)[:, COLUMNS.index("month_3_of_quarter")] > 0
    rate = 200.0 * 0.01 * np.where(third, june, 1.0)
    return day, np.full(days, 200.0), np.random.default_rng(seed).poisson(rate).astype(float)


def third_month(season: Season) -> float:
    """Rate of June over that of April."""
    days = np.array(["2025-06-15", "2025-04-15"], dtype="datetime64[D]").astype(np.int64)
    june, april = season.rate(days)
    return float(june / april)


def test_the_first_whole_quarter_is_believed_in_part() -> None:
    season = fit_season(*closings("2025-03-01", 122))  # March, and one quarter of which June stands out
    assert 1.3 < third_month(season) < 2.5


def test_half_a_quarter_tells_nothing_of_its_months() -> None:
    season = fit_season(*closings("2025-03-01", 100))  # until 8 June
    assert season.effects[COLUMNS.index("month_3_of_quarter")] == 0.0


def test_a_first_quarter_like_any_other_moves_little() -> None:
    moved = [abs(np.log(third_month(fit_season(*closings("2025-03-01", 122, 1.0, s))))) for s in range(20)]
    assert np.mean(moved) < 0.2


def test_later_quarters_confirm_or_refuse_the_months() -> None:
    assert third_month(fit_season(*closings("2024-01-01", 730))) == pytest.approx(3.0, rel=0.15)
    day, at_risk, closed = closings("2024-01-01", 366)
    later = closings("2025-01-01", 365, 1 / 3.0)[2]
    mixed = fit_season(
        np.append(day, closings("2025-01-01", 365)[0]),
        np.append(at_risk, np.full(365, 200.0)),
        np.append(closed, later),
    )
    assert abs(np.log(third_month(mixed))) < 0.4
