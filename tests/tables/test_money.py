"""Rates hold from their day on; what has none is never added up."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from forecast.errors import BundleError
from forecast.periods import DAY_US
from forecast.tables import Money, Tables, empty_tables

RATES = st.dictionaries(
    st.sampled_from(["USD", "GBP", "JPY"]),
    st.dictionaries(st.integers(0, 60), st.floats(1e-6, 1e6), min_size=1, max_size=5),
)


def money_of(rates: dict[str, dict[int, float]], reporting: str = "EUR") -> Money:
    rows = [
        (name, pd.Timestamp(day, unit="D"), rate)
        for name, days in rates.items()
        for day, rate in days.items()
    ]
    frame = pd.DataFrame(rows, columns=["currency", "valid_from", "rate"])
    return Money.from_tables(Tables.from_frames(fx_rates=frame), reporting)


@settings(max_examples=40, deadline=None)
@given(RATES, st.lists(st.tuples(st.integers(-1, 3), st.integers(-5, 70)), max_size=20))
def test_the_rate_is_the_last_one_in_force(
    rates: dict[str, dict[int, float]], asked: list[tuple[int, int]]
) -> None:
    money = money_of(rates)
    asked = [(code, day) for code, day in asked if code < len(money.currencies)]
    codes = [code for code, _ in asked]
    got = money.rate(codes, [day * DAY_US for _, day in asked])
    for (code, day), rate in zip(asked, got, strict=True):
        if code == 0:
            assert rate == 1
        elif code == -1:
            assert np.isnan(rate)
        else:
            known = {since: value for since, value in rates[money.currencies[code]].items() if since <= day}
            assert_array_equal(rate, known[max(known)] if known else np.nan)


@settings(max_examples=25, deadline=None)
@given(RATES)
def test_json_keeps_every_rate(rates: dict[str, dict[int, float]]) -> None:
    money = money_of(rates)
    again = Money.from_json(json.loads(json.dumps(money.to_json())))
    assert again.currencies == money.currencies
    days = np.arange(-1, 65) * DAY_US
    for code in range(len(money.currencies)):
        assert_array_equal(again.rate(code, days), money.rate(code, days))


def test_a_rate_holds_from_the_first_instant_of_its_day() -> None:
    money = money_of({"USD": {1: 0.9, 3: 0.8}})
    moments = [DAY_US - 1, DAY_US, 3 * DAY_US - 1, 3 * DAY_US]
    assert_array_equal(money.rate(1, moments), [np.nan, 0.9, 0.9, 0.8])


def test_codes_and_moments_broadcast() -> None:
    money = money_of({"USD": {0: 0.9}})
    rates = money.rate(np.array([[0], [1]]), np.array([0, DAY_US, -1]))
    assert_array_equal(rates, [[1, 1, 1], [0.9, 0.9, np.nan]])


def test_an_unknown_currency_is_the_reporting_one_and_one_without_rate_is_none() -> None:
    money = money_of({"USD": {0: 0.9}, "GBP": {0: 1.2}})
    assert money.currencies == ("EUR", "GBP", "USD")
    codes = money.codes(pd.Series(["USD", None, "", "XXX", "EUR"], dtype="str"))
    assert codes.dtype == np.int32
    assert codes.tolist() == [2, 0, 0, -1, 0]
    assert money.codes([]).tolist() == []


def deals_in(*currencies: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "deal_id": [str(place) for place in range(len(currencies))],
            "created_at": pd.Timestamp("2025-01-01", tz="UTC"),
            "currency": currencies,
        }
    )


def quotas_in(*currencies: str) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "level": "user",
            "entity": [str(place) for place in range(len(currencies))],
            "period": "2026",
            "amount": 1.0,
            "currency": currencies,
        }
    )


@pytest.mark.parametrize(
    ("quotas", "deals", "reporting"),
    [
        (["CHF", "CHF"], ["EUR"], "CHF"),
        (["CHF", "SEK"], ["USD", "USD", "USD", "SEK", "SEK", "CHF"], "SEK"),
        ([], ["SEK", "CHF"], "CHF"),
        ([], ["USD"], "EUR"),
        ([], [], "EUR"),
    ],
    ids=["of all quotas", "most frequent without a rate", "first of equals", "all have rates", "no data"],
)
def test_the_reporting_currency_is_found(quotas: list[str], deals: list[str], reporting: str) -> None:
    rates = pd.DataFrame({"currency": ["USD"], "valid_from": [pd.Timestamp("2025-01-01")], "rate": [0.9]})
    tables = Tables.from_frames(quotas=quotas_in(*quotas), deals=deals_in(*deals), fx_rates=rates)
    assert Money.from_tables(tables).reporting == reporting


def test_the_reporting_currency_needs_no_rate() -> None:
    rates = pd.DataFrame({"currency": ["USD"], "valid_from": [pd.Timestamp("2025-01-01")], "rate": [0.9]})
    money = Money.from_tables(Tables.from_frames(fx_rates=rates), "USD")
    assert money.currencies == ("USD",)
    assert money.rate(0, -(10**15)) == 1


@pytest.mark.parametrize(
    "data", [{}, {"reporting": "EUR"}, {"reporting": "EUR", "rates": {"USD": [[1]]}}, []]
)
def test_damaged_json_is_a_bundle_error(data: object) -> None:
    with pytest.raises(BundleError, match="exchange rates have an unknown form"):
        Money.from_json(data)  # type: ignore[arg-type]


def test_without_tables_there_is_still_a_currency() -> None:
    assert Money.from_tables(empty_tables()).reporting == "EUR"
