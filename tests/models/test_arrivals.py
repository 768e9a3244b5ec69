"""Deals not yet created: whose they will be adds up, and over many quarters as much comes as was foretold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from forecast.history import History
from forecast.models import ArrivalModel, Bins, FittedModels, Season
from forecast.models.arrivals import fit_arrivals
from forecast.periods import DAY_US, Period, as_of_us
from forecast.simulator import simulate

FLAT = (Season.flat(), Season.flat())
COLUMNS = ["owner_id", "motion", "source", "deals", "amount_mean", "amount_cv"]


def expected(models: FittedModels, history: History, at_us: int, period: Period) -> pd.DataFrame:
    return models.arrivals.expected(history, at_us, period.start_us, period.end_us, models.seasons)


def test_owners_and_sources_add_up_to_the_motion(
    sample_models: FittedModels, sample_history: History
) -> None:
    at_us, period = sample_models.trained_until_us, Period.parse("2026Q1")
    rows = expected(sample_models, sample_history, at_us, period)
    assert list(rows.columns) == COLUMNS
    arrivals = sample_models.arrivals
    shares = pd.Series(arrivals.share).groupby(arrivals.motion_of).sum()
    assert_allclose(shares, 1.0)
    # The same without owners: each week's deals of a group, times the chance of a deal created in its middle.
    edges = np.append(np.arange(at_us, period.end_us, 7 * DAY_US), period.end_us)
    created, _ = arrivals.creation.expected(sample_history, at_us, edges[:-1], edges[1:], arrivals.owners)
    for m, motion in enumerate(arrivals.motions):
        wins = 0.0
        for week, middle in enumerate(((edges[:-1] + edges[1:]) // 2).tolist()):
            days = np.array([(period.end_us - middle) / DAY_US])
            cells = sample_models.cells(middle, days, until_days=float(days[0]))
            first_quarter = np.array([[arrivals.quarter_level[0]], [0.0]])
            chance = cells.curves(arrivals.log_hazard + first_quarter).won_by(days)[:, 0]
            wins += created[m, week] * float((chance * arrivals.share)[arrivals.motion_of == m].sum())
        assert rows.loc[rows["motion"] == motion, "deals"].sum() == pytest.approx(wins, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 80), st.integers(1, 11))
def test_a_quarter_is_its_months(
    sample_models: FittedModels, sample_history: History, ahead_days: int, cut_weeks: int
) -> None:
    """Wins before and after any moment add up: whatever the split of the period."""
    at_us = sample_models.trained_until_us - ahead_days * DAY_US
    start_us, end_us = Period.parse("2026Q1").start_us, Period.parse("2026Q1").end_us
    cut_us = start_us + cut_weeks * 7 * DAY_US + DAY_US
    model, seasons = sample_models.arrivals, sample_models.seasons

    def wins(since: int, until: int) -> float:
        return float(model.expected(sample_history, at_us, since, until, seasons)["deals"].sum())

    # Deals are laid in weeks that end where the period ends: the parts agree up to that grid.
    assert wins(start_us, cut_us) + wins(cut_us, end_us) == pytest.approx(wins(start_us, end_us), rel=0.03)


def test_wins_recorded_later_are_not_looked_at(sample_models: FittedModels, sample_history: History) -> None:
    early_us = as_of_us(pd.Timestamp("2025-04-01", tz="UTC"))
    period = Period.parse("2025Q2")
    events = sample_history.columns
    known = events.entry_at_us < early_us
    cut = History.from_columns(
        replace(
            events,
            entry_deal=events.entry_deal[known],
            entry_field=events.entry_field[known],
            entry_at_us=events.entry_at_us[known],
            entry_value=events.entry_value[known],
        )
    )
    pd.testing.assert_frame_equal(
        expected(sample_models, cut, early_us, period),
        expected(sample_models, sample_history, early_us, period),
    )


def test_a_bundle_keeps_everything(sample_models: FittedModels, sample_history: History) -> None:
    at_us, period = sample_models.trained_until_us, Period.parse("2026Q1")
    again = ArrivalModel.from_json(sample_models.arrivals.to_json())
    assert again.sd == sample_models.arrivals.sd
    pd.testing.assert_frame_equal(
        again.expected(sample_history, at_us, period.start_us, period.end_us, sample_models.seasons),
        expected(sample_models, sample_history, at_us, period),
    )


def test_nothing_is_expected_of_a_period_that_is_over(
    sample_models: FittedModels, sample_history: History
) -> None:
    period = Period.parse("2025Q4")
    assert expected(sample_models, sample_history, period.end_us, period).empty


def test_a_young_company_is_less_sure(sample_models: FittedModels, sample_history: History) -> None:
    def sd(day: str) -> float:
        until_us = as_of_us(pd.Timestamp(day, tz="UTC"))
        bins = Bins.for_follow_up(200)
        return fit_arrivals(sample_history, until_us, bins, FLAT, np.full((2, len(bins)), -5.0)).sd

    assert sd("2022-02-01") > 0.3 > sd("2024-01-01") > 0.05


@pytest.mark.slow
def test_over_many_quarters_as_many_deals_come_as_were_foretold() -> None:
    """Five companies, eight quarters each: deals created, by the wins before them and by their rate."""
    foretold, came = [], []
    wins, won = 0.0, 0
    for seed in range(41, 46):
        company = simulate(deals=4000, seed=seed)
        history = History.from_tables(company.tables)
        bins = Bins.for_follow_up(365)
        for label in ("2024Q1", "2024Q2", "2024Q3", "2024Q4", "2025Q1", "2025Q2", "2025Q3", "2025Q4"):
            period = Period.parse(label)
            model = fit_arrivals(history, period.start_us, bins, FLAT, np.full((2, len(bins)), -5.0))
            edges = np.append(np.arange(period.start_us, period.end_us, 7 * DAY_US), period.end_us)
            number, _ = model.creation.expected(history, period.start_us, edges[:-1], edges[1:], model.owners)
            born = history.known_from_us()
            inside = (born >= period.start_us) & (born < period.end_us)
            motion = np.bincount(history.columns.motion[inside], minlength=len(model.motions))
            foretold.append(number.sum(axis=1))
            came.append(motion)
            rows = model.expected(history, period.start_us, period.start_us, period.end_us, FLAT)
            wins += rows["deals"].sum()
            booked = history.booked(period.end_us, period.start_us, period.end_us)["deal_id"]
            won += inside[history.index_of(booked.to_numpy(object))].sum()
    total, seen = np.array(foretold), np.array(came)
    assert total.sum() / seen.sum() == pytest.approx(1.0, abs=0.03)
    # Even without a season the level is that of deals created and won in one quarter.
    assert won > 800
    assert wins / won == pytest.approx(1.0, abs=0.12)
    renewal = model.motions.index("renewal")
    # To end with the very number of deals asked for, the simulator leaves out some that would follow wins, more
    # of them as years pass: what a year of wins was followed by is a little more than what comes.
    assert total[:, renewal].sum() / seen[:, renewal].sum() == pytest.approx(1.05, abs=0.08)
    # Wins of a year ago tell the renewals of each single quarter, beyond their mean.
    error = np.abs(total[:, renewal] - seen[:, renewal]).mean() / seen[:, renewal].mean()
    assert error < 0.2
