"""Which quota an entity has: stated, made of shorter periods, or of its users; always converted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from rollup_cases import AS_OF, QUARTER, booked, deals, euros, inputs, quotas, row, users

from forecast.errors import DataError
from forecast.periods import Period
from forecast.rollup import Bookings, roll_up
from forecast.tables.money import Money

TEAM = users(
    ("ada", "north", "IT", True),
    ("bo", "north", "DE", True),
    ("cy", "south", "IT", True),
    ("di", None, None, True),
)


def rolled(
    targets: pd.DataFrame,
    *,
    period: Period = QUARTER,
    as_of: pd.Timestamp = AS_OF,
    money: Money | None = None,
    people: pd.DataFrame = TEAM,
) -> Bookings:
    made = inputs(won=booked(("w", "ada", 30.0)), period=period, as_of=as_of)
    return roll_up(made, people, targets, money or euros(), scenarios=1000)


def quota(bookings: Bookings, level: str, entity: str = "*") -> float:
    return float(row(bookings.table, level, entity)["quota"])


def test_a_quarter_is_its_three_months() -> None:
    months = [("user", "ada", f"2026-0{month}", 10.0 * month, "EUR") for month in (1, 2, 3)]
    bookings = rolled(quotas(*months))
    assert quota(bookings, "user", "ada") == 60.0
    assert row(bookings.table, "user", "ada")["gap"] == 30.0


def test_a_month_missing_means_no_quota_for_the_quarter() -> None:
    months = [("user", "ada", f"2026-0{month}", 10.0, "EUR") for month in (1, 3)]
    bookings = rolled(quotas(*months))
    assert bookings.table[["quota", "attainment_probability", "gap"]].isna().all(axis=None)


def test_a_year_is_its_quarters_each_stated_or_made_of_months() -> None:
    stated = [("user", "ada", f"2026Q{quarter}", 100.0, "EUR") for quarter in (1, 2, 3)]
    months = [("user", "ada", f"2026-{month}", 10.0, "EUR") for month in (10, 11, 12)]
    assert quota(rolled(quotas(*stated, *months), period=Period.parse("2026")), "user", "ada") == 330.0


def test_what_is_stated_for_the_period_itself_wins_over_its_parts() -> None:
    months = [("user", "ada", f"2026-0{month}", 10.0, "EUR") for month in (1, 2, 3)]
    assert quota(rolled(quotas(("user", "ada", "2026Q1", 45.0, "EUR"), *months)), "user", "ada") == 45.0


def test_quotas_of_other_periods_do_not_count() -> None:
    others = quotas(("user", "ada", "2025Q1", 45.0, "EUR"), ("user", "ada", "2026", 400.0, "EUR"))
    assert rolled(others).table["quota"].isna().all()


def test_an_entity_without_a_quota_takes_its_users() -> None:
    bookings = rolled(
        quotas(
            ("user", "ada", "2026Q1", 10.0, None),
            ("user", "bo", "2026Q1", 20.0, None),
            ("user", "di", "2026Q1", 5.0, None),
            ("region", "IT", "2026Q1", 99.0, None),
        )
    )
    assert quota(bookings, "team", "north") == 30.0
    assert np.isnan(quota(bookings, "team", "south"))
    assert quota(bookings, "team", "unassigned") == 5.0
    assert quota(bookings, "region", "IT") == 99.0
    assert quota(bookings, "region", "DE") == 20.0


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (("company", "region", "team", "user"), 1000.0),
        (("region", "team", "user"), 200.0),
        (("team", "user"), 80.0),
        (("user",), 30.0),
        ((), np.nan),
    ],
)
def test_the_company_takes_the_highest_level_that_has_quotas(
    levels: tuple[str, ...], expected: float
) -> None:
    stated = [
        ("company", "*", "2026Q1", 1000.0, None),
        ("region", "IT", "2026Q1", 120.0, None),
        ("region", "DE", "2026Q1", 80.0, None),
        ("team", "north", "2026Q1", 80.0, None),
        ("user", "ada", "2026Q1", 10.0, None),
        ("user", "cy", "2026Q1", 20.0, None),
    ]
    found = quota(rolled(quotas(*(line for line in stated if line[0] in levels))), "company")
    assert found == pytest.approx(expected, nan_ok=True)


def test_quotas_are_converted_at_the_start_of_the_period() -> None:
    money = euros(USD=[("2025-01-01", 0.5), ("2026-01-01", 0.9), ("2026-01-10", 0.8)])
    targets = quotas(("user", "ada", "2026Q1", 100.0, "USD"), ("user", "bo", "2026Q1", 7.0, "EUR"))
    during = rolled(targets, money=money)
    assert quota(during, "user", "ada") == pytest.approx(90.0)
    assert quota(during, "company") == pytest.approx(97.0)
    before = rolled(targets, money=money, as_of=pd.Timestamp("2025-12-15", tz="UTC"))
    assert quota(before, "user", "ada") == pytest.approx(50.0)


def test_a_quota_without_a_rate_is_unknown_and_so_is_every_sum_of_it() -> None:
    targets = quotas(("user", "ada", "2026Q1", 100.0, "XXX"), ("user", "bo", "2026Q1", 7.0, "EUR"))
    bookings = rolled(targets)
    assert bookings.unconverted == 1
    assert np.isnan(quota(bookings, "user", "ada"))
    assert np.isnan(quota(bookings, "team", "north"))
    assert np.isnan(quota(bookings, "company"))
    assert quota(bookings, "user", "bo") == 7.0
    assert quota(bookings, "region", "DE") == 7.0


def test_two_quotas_for_one_period_are_refused() -> None:
    twice = quotas(("team", "north", "2026Q1", 1.0, None), ("team", "north", "2026Q1", 2.0, None))
    with pytest.raises(DataError, match="two rows for team 'north' in 2026Q1") as caught:
        rolled(twice)
    assert caught.value.code == "duplicate_quota"


def test_a_quota_met_by_a_sum_of_cents_is_met() -> None:
    # 0.1 + 0.2 is a hair above 0.3 in floats, 0.7 + 0.1 a hair below 0.8.
    for parts, target in (((0.1, 0.2), 0.3), ((0.7, 0.1), 0.8)):
        pipeline = deals(*((f"d{i}", "ada", part, 1.0) for i, part in enumerate(parts)))
        targets = quotas(("company", "*", "2026Q1", target, None))
        table = roll_up(inputs(pipeline=pipeline), TEAM, targets, euros(), scenarios=1000).table
        assert row(table, "company")["attainment_probability"] == 1.0
