"""Who appears, and where an owner without a place is counted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rollup_cases import AS_OF, arrivals, booked, deals, euros, inputs, quotas, row, users

from forecast.errors import DataError, UsageError
from forecast.rollup import Uncertainty, roll_up

CONTRACT = [
    "period", "as_of", "level", "entity", "booked", "open", "arrivals", "expected", "p10", "p50", "p90",
    "quota", "attainment_probability", "gap", "pipeline_open_amount", "coverage_needed",
]  # fmt: skip

PEOPLE = users(
    ("ada", "north", "IT", True),
    ("bo", "north", "DE", True),
    ("cy", "south", "IT", True),
    ("gone", "south", "IT", False),
)
NOBODY = users()


def entities(table: pd.DataFrame, level: str) -> list[str]:
    return table[table["level"] == level]["entity"].tolist()


def test_the_columns_are_the_contract() -> None:
    table = roll_up(inputs(), PEOPLE, quotas(), euros()).table
    assert table.columns.tolist() == CONTRACT
    assert (table["period"] == "2026Q1").all()
    assert (table["as_of"] == AS_OF).all()
    assert table["level"].unique().tolist() == ["company", "region", "team", "user"]


def test_an_owner_nobody_knows_is_unassigned_on_every_level() -> None:
    won = booked(("w1", "ghost", 100.0), ("w2", None, 20.0), ("w3", "ada", 3.0))
    table = roll_up(inputs(won=won), PEOPLE, quotas(), euros()).table
    assert row(table, "company")["booked"] == 123.0
    for level in ("region", "team", "user"):
        assert entities(table, level)[-1] == "unassigned"
        assert row(table, level, "unassigned")["booked"] == 120.0
    assert row(table, "user", "ada")["booked"] == 3.0


def test_nobody_is_unassigned_when_everybody_has_a_place() -> None:
    table = roll_up(inputs(won=booked(("w", "ada", 3.0))), PEOPLE, quotas(), euros()).table
    assert "unassigned" not in table["entity"].tolist()


def test_a_user_without_team_or_region_counts_as_unassigned_there() -> None:
    people = users(("ada", None, "IT", True), ("bo", " ", None, True))
    won = booked(("w1", "ada", 1.0), ("w2", "bo", 2.0))
    table = roll_up(inputs(won=won), people, quotas(), euros()).table
    assert entities(table, "team") == ["unassigned"]
    assert row(table, "team", "unassigned")["booked"] == 3.0
    assert row(table, "region", "unassigned")["booked"] == 2.0
    assert entities(table, "user") == ["ada", "bo"]


def test_unassigned_is_no_row_where_it_holds_nothing() -> None:
    people = users(("ada", "north", "IT", True), ("boss", None, None, True))
    table = roll_up(inputs(won=booked(("w", "ada", 1.0))), people, quotas(), euros()).table
    assert entities(table, "team") == ["north"]
    assert entities(table, "user") == ["ada", "boss"]
    assert table.index.tolist() == list(range(len(table)))


def test_a_team_across_two_regions_counts_once_in_the_company() -> None:
    won = booked(("w1", "ada", 1.0), ("w2", "bo", 20.0), ("w3", "cy", 300.0))
    table = roll_up(inputs(won=won), PEOPLE, quotas(), euros()).table
    assert row(table, "team", "north")["booked"] == 21.0
    assert row(table, "region", "IT")["booked"] == 301.0
    assert row(table, "region", "DE")["booked"] == 20.0
    assert row(table, "company")["booked"] == 321.0


def test_who_left_appears_only_with_something_in_the_period() -> None:
    assert entities(roll_up(inputs(), PEOPLE, quotas(), euros()).table, "user") == ["ada", "bo", "cy"]
    with_deal = roll_up(inputs(won=booked(("w", "gone", 5.0))), PEOPLE, quotas(), euros()).table
    assert row(with_deal, "user", "gone")["booked"] == 5.0
    with_quota = roll_up(inputs(), PEOPLE, quotas(("user", "gone", "2026Q1", 5.0, None)), euros()).table
    assert row(with_quota, "user", "gone")["gap"] == 5.0


def test_a_quota_without_deals_appears() -> None:
    targets = quotas(("team", "new", "2026Q1", 50.0, None), ("region", "FR", "2026Q1", 60.0, None))
    table = roll_up(inputs(), PEOPLE, targets, euros()).table
    assert row(table, "team", "new")[["expected", "p90", "quota", "attainment_probability"]].tolist() == [
        0,
        0,
        50,
        0,
    ]
    assert row(table, "region", "FR")["gap"] == 60.0
    assert row(table, "company")["quota"] == 60.0


def test_without_a_users_table_owners_stand_for_themselves() -> None:
    won = booked(("w1", "ada", 1.0), ("w2", None, 2.0))
    table = roll_up(inputs(won=won), NOBODY, quotas(), euros()).table
    assert entities(table, "user") == ["ada", "unassigned"]
    assert entities(table, "team") == ["unassigned"]
    assert row(table, "team", "unassigned")["booked"] == 3.0


def test_ids_stay_text() -> None:
    people = users(("007", "NA", "1", True), ("9007199254740993", "NA", "1", True))
    table = roll_up(inputs(won=booked(("1", "007", 1.0))), people, quotas(), euros()).table
    assert entities(table, "user") == ["007", "9007199254740993"]
    assert row(table, "team", "NA")["booked"] == 1.0


@pytest.mark.parametrize("people", [PEOPLE, NOBODY], ids=["people", "nobody"])
def test_a_period_with_nothing_in_it_is_zero_and_says_so(people: pd.DataFrame) -> None:
    bookings = roll_up(inputs(), people, quotas(), euros())
    company = row(bookings.table, "company")
    assert company[["booked", "open", "arrivals", "expected", "p10", "p90"]].tolist() == [0.0] * 6
    assert np.isnan(company["quota"])
    assert (bookings.company_draws == 0).all()
    assert bookings.deciding.empty
    assert bookings.deciding.columns.tolist() == [
        "deal_id", "owner_id", "amount_if_won", "won_in_period", "effect", "basis",
    ]  # fmt: skip


def test_rows_without_a_converted_amount_are_left_out_and_counted() -> None:
    unknown = inputs(
        won=booked(("w1", "ada", np.nan), ("w2", "ada", 10.0)),
        pipeline=deals(("d1", "ada", np.nan, 0.5), ("d2", "ada", 100.0, 0.5)),
        coming=arrivals(("ada", 2.0, np.nan, 1.0)),
    )
    bookings = roll_up(unknown, PEOPLE, quotas(), euros())
    assert bookings.unconverted == 3
    company = row(bookings.table, "company")
    assert company[["booked", "open", "arrivals", "pipeline_open_amount"]].tolist() == [
        10.0,
        50.0,
        0.0,
        100.0,
    ]


def test_a_deal_whose_amount_is_only_expected_counts_in_the_forecast_not_in_the_pipeline() -> None:
    pipeline = deals(("d", "ada", 100.0, 0.5)).assign(amount=np.nan)
    bookings = roll_up(inputs(pipeline=pipeline), PEOPLE, quotas(), euros())
    assert bookings.unconverted == 0
    assert row(bookings.table, "company")[["open", "pipeline_open_amount"]].tolist() == [50.0, 0.0]


def test_one_user_cannot_appear_twice() -> None:
    twice = users(("ada", "north", "IT", True), ("ada", "south", "IT", True))
    with pytest.raises(DataError, match="'ada' appears twice"):
        roll_up(inputs(), twice, quotas(), euros())


@pytest.mark.parametrize(
    ("column", "value"), [("won_in_period", 1.2), ("won_in_period", np.nan), ("amount_log_sd", -0.1)]
)
def test_a_number_outside_its_range_is_refused_by_name(column: str, value: float) -> None:
    pipeline = deals(("d1", "ada", 1.0, 0.5), ("d2", "ada", 1.0, 0.5))
    pipeline.loc[1, column] = value
    with pytest.raises(DataError, match=f"'open' has {column} .* for 'd2'"):
        roll_up(inputs(pipeline=pipeline), PEOPLE, quotas(), euros())


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="'open' lacks amount_log_sd"):
        roll_up(inputs(pipeline=deals().drop(columns="amount_log_sd")), PEOPLE, quotas(), euros())


@pytest.mark.parametrize(("sd", "df"), [(-0.1, 8.0), (np.nan, 8.0), (0.1, 2.0), (0.1, np.nan)])
def test_an_uncertainty_without_a_spread_is_refused(sd: float, df: float) -> None:
    with pytest.raises(UsageError, match="shock_"):
        Uncertainty(sd, df)


def test_too_few_scenarios_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1000"):
        roll_up(inputs(), PEOPLE, quotas(), euros(), scenarios=10)
