"""What holds for every company: levels add up, ranges are ordered, neither row order nor unit matters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal
from rollup_cases import arrivals, booked, deals, euros, frame, inputs, quotas, row, users

from forecast.rollup import Bookings, PeriodInputs, Uncertainty, roll_up

SUMS = ["booked", "open", "arrivals", "expected", "pipeline_open_amount"]
MONEY = [*SUMS, "p10", "p50", "p90", "quota", "gap"]


@dataclass(frozen=True)
class Company:
    inputs: PeriodInputs
    users: pd.DataFrame
    quotas: pd.DataFrame

    def roll_up(self, seed: int = 3) -> Bookings:
        return roll_up(self.inputs, self.users, self.quotas, euros(), seed=seed, scenarios=1000)


@st.composite
def companies(draw: st.DrawFn) -> Company:
    """Up to five users, some without a team or gone; owners nobody knows; deals sure and hopeless."""
    names = ["ada", "bo", "cy", "di", "eva"][: draw(st.integers(0, 5))]
    owner = st.sampled_from([*names, "ghost", None])
    amount = st.sampled_from([0.0, 1.0, 99.99, 12_500.0, 1e6, np.nan])
    people = [
        (
            name,
            draw(st.sampled_from([None, "north", "south"])),
            draw(st.sampled_from([None, "IT", "DE"])),
            draw(st.booleans()),
        )
        for name in names
    ]
    won = [(f"w{i}", draw(owner), draw(amount)) for i in range(draw(st.integers(0, 4)))]
    probability = st.sampled_from([0.0, 1e-9, 0.004, 0.3, 0.5, 0.97, 1.0])
    pipeline = [
        (f"d{i}", draw(owner), draw(amount), draw(probability)) for i in range(draw(st.integers(0, 6)))
    ]
    coming = [
        (who, draw(st.sampled_from([0.0, 0.3, 5.0])), draw(amount), draw(st.sampled_from([0.0, 0.4, 2.0])))
        for who in draw(st.lists(owner, max_size=4))
    ]
    holders = [("user", name) for name in names] + [("team", "north"), ("region", "IT"), ("company", "*")]
    targets = [
        (level, entity, "2026Q1", draw(st.sampled_from([0.0, 5e4, 2e6])), None)
        for level, entity in holders
        if draw(st.booleans())
    ]
    shock = Uncertainty(draw(st.sampled_from([0.0, 0.15, 0.8])), draw(st.sampled_from([2.5, 8.0, np.inf])))
    return Company(
        inputs(
            won=booked(*won),
            pipeline=deals(*pipeline, log_sd=draw(st.sampled_from([0.0, 0.5]))),
            coming=arrivals(*coming),
            uncertainty=shock,
        ),
        users(*people),
        quotas(*targets),
    )


every_company = settings(deadline=None, max_examples=20)


@given(companies())
@every_company
def test_children_add_up_to_the_company(company: Company) -> None:
    table = company.roll_up().table
    for level in ("region", "team", "user"):
        children = table[table["level"] == level]
        assert_allclose(
            children[SUMS].sum(), row(table, "company")[SUMS].astype(float), rtol=1e-12, atol=1e-6
        )


@given(companies())
@every_company
def test_expected_is_its_three_parts_and_gap_is_what_lacks(company: Company) -> None:
    table = company.roll_up().table
    assert_array_equal(table["expected"], table["booked"] + table["open"] + table["arrivals"])
    assert_array_equal(table["gap"], table["quota"] - table["expected"])


@given(companies())
@every_company
def test_ranges_are_ordered_and_never_below_what_is_booked(company: Company) -> None:
    bookings = company.roll_up()
    table = bookings.table
    assert (table["p10"] <= table["p50"]).all()
    assert (table["p50"] <= table["p90"]).all()
    assert (table["p10"] >= table["booked"] - 1e-6).all()
    assert (np.diff(bookings.company_draws) >= 0).all()


@given(companies())
@every_company
def test_a_probability_is_stated_exactly_where_there_is_a_quota(company: Company) -> None:
    table = company.roll_up().table
    chance = table["attainment_probability"]
    assert_array_equal(chance.isna(), table["quota"].isna())
    assert chance.dropna().between(0, 1).all()
    assert (chance[table["booked"] >= table["quota"]] == 1.0).all()


@given(companies(), st.randoms(use_true_random=False))
@every_company
def test_the_order_of_rows_changes_nothing(company: Company, random: st.DataObject) -> None:
    def shuffled(table: pd.DataFrame) -> pd.DataFrame:
        return table.sample(frac=1.0, random_state=random.randrange(2**31))

    mixed = Company(
        replace(
            company.inputs,
            booked=shuffled(company.inputs.booked),
            open=shuffled(company.inputs.open),
            arrivals=shuffled(company.inputs.arrivals),
        ),
        shuffled(company.users),
        shuffled(company.quotas),
    )
    once, again = company.roll_up(), mixed.roll_up()
    assert_frame_equal(once.table, again.table, check_exact=True)
    assert_frame_equal(once.deciding, again.deciding, check_exact=True)
    assert_array_equal(once.company_draws, again.company_draws)
    assert once.unconverted == again.unconverted


@given(companies(), st.sampled_from([0.25, 8.0, 1024.0]))
@every_company
def test_a_hundred_cents_are_a_euro(company: Company, factor: float) -> None:
    def scaled(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
        return table.assign(**{column: table[column] * factor for column in columns})

    larger = Company(
        replace(
            company.inputs,
            booked=scaled(company.inputs.booked, "amount"),
            open=scaled(company.inputs.open, "amount", "amount_if_won"),
            arrivals=scaled(company.inputs.arrivals, "amount_mean"),
        ),
        company.users,
        scaled(company.quotas, "amount"),
    )
    once, again = company.roll_up(), larger.roll_up()
    # Powers of two scale floats without rounding, so every comparison with a quota comes out the same.
    assert_allclose(again.table[MONEY], once.table[MONEY] * factor, rtol=1e-12)
    same = ["attainment_probability", "coverage_needed"]
    assert_allclose(again.table[same], once.table[same], rtol=1e-9)
    assert_allclose(again.deciding["effect"], once.deciding["effect"], rtol=1e-9, atol=1e-12)


@given(companies(), st.sampled_from(["ada", "ghost", None]))
@every_company
def test_a_booked_deal_raises_expected_by_its_amount(company: Company, owner: str | None) -> None:
    dtypes = {name: str(dtype) for name, dtype in company.inputs.booked.dtypes.items()}
    new = frame([("new", owner, 777.0)], dtypes)
    richer = replace(company.inputs, booked=pd.concat([company.inputs.booked, new]))
    before = company.roll_up().table
    after = replace(company, inputs=richer).roll_up().table
    for level in ("company", "region", "team", "user"):
        gained = (
            after[after["level"] == level]["expected"].sum()
            - before[before["level"] == level]["expected"].sum()
        )
        assert_allclose(gained, 777.0, atol=1e-6)
    assert_allclose(row(after, "company")["p50"] - row(before, "company")["p50"], 777.0, atol=1e-6)


@given(companies())
@every_company
def test_the_inputs_are_left_alone(company: Company) -> None:
    frames = [
        company.inputs.booked,
        company.inputs.open,
        company.inputs.arrivals,
        company.users,
        company.quotas,
    ]
    before = [table.copy(deep=True) for table in frames]
    company.roll_up()
    for kept, table in zip(before, frames, strict=True):
        assert_frame_equal(kept, table, check_exact=True)


@given(companies())
@every_company
def test_every_row_is_added_or_counted_as_left_out(company: Company) -> None:
    given_rows = company.inputs
    unknown = (
        given_rows.booked["amount"].isna().sum()
        + given_rows.open["amount_if_won"].isna().sum()
        + given_rows.arrivals["amount_mean"].isna().sum()
    )
    bookings = company.roll_up()
    assert bookings.unconverted == unknown
    assert len(bookings.deciding) == given_rows.open["amount_if_won"].notna().sum()
