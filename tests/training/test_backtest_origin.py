"""One origin: the future is invisible to what is said, and parts add up to what came."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.history import History
from forecast.models import Recipe
from forecast.periods import as_of_us
from forecast.tables import Money, Tables, known_before
from training.backtest.origin import ACTUAL, BOOKINGS_COLUMNS, LINES, OURS, Said, came, said_at
from training.backtest.plan import Origin, make_plan
from training.backtest.run import Backtest
from training.settings import Settings

LINEAR = Recipe("linear", 12.0, "", (0, 0))


@pytest.fixture(scope="module")
def history(small_tables: Tables) -> History:
    return History.from_tables(small_tables)


@pytest.fixture(scope="module")
def origin(history: History, small_tables: Tables) -> Origin:
    plan = make_plan(history, small_tables.default_as_of, quarters=2, weeks=(0, 6), min_history_days=60)
    return plan.origins[1]


@pytest.fixture(scope="module")
def said(small_tables: Tables, history: History, origin: Origin, quick_backtest: Settings) -> Said:
    return said_at(small_tables, history, origin, quick_backtest.fit, (30,), LINEAR)


def test_what_is_said_is_the_same_when_all_later_rows_are_deleted(
    small_tables: Tables, origin: Origin, said: Said, quick_backtest: Settings
) -> None:
    books = known_before(small_tables, origin.as_of)
    assert len(books.deals) < len(small_tables.deals)
    assert len(books.deal_events) < len(small_tables.deal_events)
    money = Money.from_tables(small_tables)
    then = said_at(books, History.from_tables(books, money), origin, quick_backtest.fit, (30,), LINEAR)
    pd.testing.assert_frame_equal(then.bookings, said.bookings)
    pd.testing.assert_frame_equal(then.deals, said.deals)
    np.testing.assert_array_equal(then.company_draws, said.company_draws)
    assert then.recipe == said.recipe


def test_what_came_changes_nothing_that_was_said(
    small_tables: Tables, history: History, origin: Origin, said: Said
) -> None:
    until_us = as_of_us(small_tables.default_as_of)
    bookings, deals = came(said, small_tables, history, origin, until_us)
    assert list(bookings.columns) == list(BOOKINGS_COLUMNS)
    keys = ["level", "entity", "forecaster", "line"]
    both = said.bookings.merge(bookings, on=keys, suffixes=("", "_kept"), how="left")
    kept = both["value_kept"].fillna(0.0)  # rows of nothing are dropped
    np.testing.assert_array_equal(both["value"], kept)
    told = deals[deals["forecaster"] != ACTUAL].reset_index(drop=True)
    pd.testing.assert_frame_equal(told[list(said.deals.columns)], said.deals)


def test_parts_add_up_for_every_forecaster_and_for_what_came(small_backtest: Backtest) -> None:
    table = small_backtest.bookings
    keys = ["period", "week", "level", "entity", "forecaster"]
    for column in ("value", "actual"):
        wide = table.pivot_table(index=keys, columns="line", values=column)[list(LINES)]
        # A line without anything said or come is no row; rules that know totals only have no open and no new.
        parts = wide.fillna(0.0)
        np.testing.assert_allclose(parts["booked"] + parts["remaining"], parts["total"], atol=1e-6)
        split = wide[~wide.index.get_level_values("forecaster").isin(["linearity", "last_year"])].fillna(0.0)
        np.testing.assert_allclose(split["open"] + split["arrivals"], split["remaining"], atol=1e-6)


def test_levels_add_up(small_backtest: Backtest) -> None:
    totals = small_backtest.bookings[small_backtest.bookings["line"] == "total"]
    for column in ("value", "actual"):
        sums = totals.pivot_table(
            index=["period", "week", "forecaster"], columns="level", values=column, aggfunc="sum"
        )
        for level in ("region", "team", "user"):
            np.testing.assert_allclose(sums[level], sums["company"], rtol=1e-9, atol=1e-6)


def test_what_came_is_what_was_booked_at_the_end(small_backtest: Backtest, history: History) -> None:
    table = small_backtest.bookings
    company = table[
        (table["level"] == "company") & (table["line"] == "total") & (table["forecaster"] == OURS)
    ]
    for period in small_backtest.plan.quarters:
        booked = history.booked(period.end_us, period.start_us, period.end_us)["amount"].sum()
        assert company.loc[company["period"] == period.label, "actual"].unique() == pytest.approx([booked])


def test_outcomes_of_deals_agree_with_their_closings(small_backtest: Backtest, history: History) -> None:
    deals = small_backtest.deals
    actual = deals[deals["forecaster"] == ACTUAL]
    wins = history.closings.kind == 1
    when = pd.Series(history.closings.at_us[wins], index=history.deal_ids[history.closings.deal[wins]])
    for row in actual.sample(60, random_state=1).itertuples():
        at_us, end_us = as_of_us(row.as_of), as_of_us(row.as_of + pd.Timedelta(days=30))
        mine = when[when.index == row.deal_id]
        won = bool(((mine >= at_us) & (mine < end_us)).any())
        if end_us <= as_of_us(small_backtest.until):
            assert row.won_30d == won
        else:
            assert np.isnan(row.won_30d)
    assert set(actual["won_in_period"].unique()) <= {0.0, 1.0}


def test_the_first_look_of_a_quarter_has_no_quiet_deals(small_backtest: Backtest) -> None:
    deals = small_backtest.deals
    assert not deals.loc[deals["week"] == 0, "quiet"].any()
    assert deals.loc[deals["week"] == 6, "quiet"].any()
