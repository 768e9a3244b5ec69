"""Rules for the bookings of a period: on a company small enough to count by hand, and laws on the sample."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.evaluation.baselines import (
    BookingsBaseline,
    ConversionBookings,
    Linearity,
    SameQuarterLastYear,
    SellerBestCase,
    SellerBookings,
    StageWeek,
    StageWeightedBookings,
    all_bookings_baselines,
    booked_amount,
)
from forecast.evaluation.baselines.conversion import week_of_quarter
from forecast.evaluation.baselines.past import complete_periods, same_moment_us, year_before
from forecast.history import History, StageMap, make_landmarks
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Money

laws = settings(deadline=None, max_examples=12)
MONEY = Money("EUR", ("EUR",), (np.array([0]),), (np.array([1.0]),))
STAGES = StageMap.from_frame(
    pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["talk", "offer", "won", "lost"],
            "position": range(4),
            "kind": ["open", "open", "won", "lost"],
            "default_probability": [0.2, 0.6, 1.0, 0.0],
            "label": None,
        }
    )
)


def at(text: str) -> int:
    return as_of_us(pd.Timestamp(text, tz="UTC"))


def deal(name: str, amount: float, owner: str, *moves: tuple[str, str], **columns: Any) -> dict[str, Any]:
    """A deal as a request sends it; moves are (date, stage)."""
    moved = [{"field": "stage", "value": stage, "recorded_at": f"{on}T00:00:00Z"} for on, stage in moves]
    return {
        "deal_id": name,
        "created_at": f"{moves[0][0]}T00:00:00Z",
        "amount": amount,
        "owner_id": owner,
        "events": moved,
        **columns,
    }


def history_of(*deals: dict[str, Any]) -> History:
    return History.from_request(list(deals), stages=STAGES, money=MONEY)


@pytest.fixture(scope="module")
def company() -> History:
    """Won: 2024Q1 100, Q2 200, Q3 100, Q4 300, 2025Q1 150 so far. As of half of 2025Q1, two deals are open."""
    won = [
        ("2024-01-20", 40.0, "ana"), ("2024-03-20", 60.0, "bob"), ("2024-04-20", 50.0, "ana"),
        ("2024-06-20", 150.0, "bob"), ("2024-07-20", 100.0, "ana"), ("2024-11-05", 100.0, "ana"),
        ("2024-12-20", 200.0, "bob"), ("2025-01-20", 150.0, "ana"),
    ]  # fmt: skip
    booked = [
        deal(f"won-{number}", amount, owner, ("2024-01-01", "talk"), (on, "won"))
        for number, (on, amount, owner) in enumerate(won)
    ]
    return history_of(
        *booked,
        deal(
            "open-due",
            1000.0,
            "ana",
            ("2025-01-05", "offer"),
            expected_close_on="2025-03-01",
            forecast_category="commit",
        ),
        deal(
            "open-later",
            5000.0,
            "bob",
            ("2025-01-05", "talk"),
            expected_close_on="2025-05-01",
            forecast_category="best_case",
        ),
        deal(
            "open-hoped",
            300.0,
            "bob",
            ("2025-01-05", "talk"),
            expected_close_on="2025-03-31",
            forecast_category="best_case",
        ),
    )


Q1 = Period.parse("2025Q1")
HALF = at("2025-02-15")


def test_past_periods_are_those_wholly_recorded_newest_first(company: History) -> None:
    def labels(as_of: str, kind: str, most: int = 9) -> list[str]:
        return [one.label for one in complete_periods(company, at(as_of), kind, most)]  # type: ignore[arg-type]

    assert labels("2025-02-15", "quarter") == ["2024Q4", "2024Q3", "2024Q2", "2024Q1"]
    assert labels("2025-02-15", "quarter", 2) == ["2024Q4", "2024Q3"]
    assert labels("2025-01-01", "quarter", 1) == ["2024Q4"], "over at the moment the next one starts"
    assert labels("2025-02-15", "year") == ["2024"]
    assert labels("2024-01-01", "quarter") == []
    began_inside = history_of(deal("a", 1.0, "ana", ("2024-01-02", "talk"), ("2024-05-01", "won")))
    assert [one.label for one in complete_periods(began_inside, HALF, "quarter", 9)][-1] == "2024Q2"


def test_the_same_moment_of_another_period_is_at_the_same_share_of_it() -> None:
    # The dated example of the docstring; 45 of 90 days are 46 of 92.
    assert same_moment_us(HALF, Q1, Period.parse("2024Q3")) == at("2024-08-16")
    assert same_moment_us(Q1.start_us, Q1, Period.parse("2024Q2")) == at("2024-04-01")
    assert same_moment_us(at("2024-12-31"), Q1, Period.parse("2024Q3")) < at("2024-07-01")
    assert year_before(Period.parse("2025-02")).label == "2024-02"


def test_weeks_of_the_quarter() -> None:
    days = ["2025-01-01", "2025-01-08", "2025-03-31", "2024-09-30", "2025-06-30", "2025-04-01"]
    assert week_of_quarter(np.array([at(day) for day in days])).tolist() == [0, 1, 12, 12, 12, 0]


def test_linearity_divides_by_the_share_that_is_usually_booked_by_now(company: History) -> None:
    # By half of the quarter: 40 of 100, 50 of 200, 100 of 100 and 100 of 300, which is 290 of 700.
    found = Linearity().forecast(company, HALF, Q1)
    assert found.expected == pytest.approx(150 / (290 / 700))
    assert found.by_owner().set_index("owner_id")["expected"].to_dict() == {
        "ana": pytest.approx(150 / (290 / 700))
    }
    assert np.isnan(Linearity().forecast(company, Q1.start_us, Q1).expected), "nothing is booked on day one"
    newest = Linearity(periods=1).forecast(company, HALF, Q1)
    assert newest.expected == pytest.approx(150 / (100 / 300))


def test_last_year_times_growth_as_far_as_it_is_recorded(company: History) -> None:
    # No quarter before 2024: no pair to tell growth from.
    assert SameQuarterLastYear().forecast(company, HALF, Q1).expected == pytest.approx(100.0)
    # From April on 2025Q1 (150) is a pair with 2024Q1 (100).
    later = SameQuarterLastYear().forecast(company, at("2025-04-10"), Period.parse("2025Q2"))
    assert later.expected == pytest.approx(200.0 * 150 / 100)
    assert later.by_owner()["expected"].tolist() == pytest.approx([50 * 1.5, 150 * 1.5])
    assert np.isnan(
        SameQuarterLastYear().forecast(company, at("2024-05-01"), Period.parse("2024Q2")).expected
    )


def test_the_part_still_to_come_by_last_years_rule_may_be_below_nothing(company: History) -> None:
    found = SameQuarterLastYear().forecast(company, HALF, Q1)
    assert found.by_owner().set_index("owner_id")["rest"].to_dict() == {"ana": 40.0 - 150.0, "bob": 60.0}


def test_stage_weighted_and_sellers_add_to_what_is_booked(company: History) -> None:
    assert StageWeightedBookings().forecast(company, HALF, Q1).expected == pytest.approx(
        150 + 0.6 * 1000 + 0.2 * 300
    )
    assert SellerBookings().forecast(company, HALF, Q1).expected == pytest.approx(150 + 1000)
    assert SellerBestCase().forecast(company, HALF, Q1).expected == pytest.approx(150 + 1000 + 300)
    later = SellerBookings().forecast(company, HALF, Period.parse("2025Q2"))
    assert later.expected == 0.0, "categories are kept, and nobody has committed to the second quarter"
    silent = history_of(deal("a", 9.0, "ana", ("2025-01-05", "talk"), expected_close_on="2025-03-01"))
    assert np.isnan(SellerBookings().forecast(silent, HALF, Q1).expected), "nobody keeps a category"


@pytest.fixture(scope="module")
def two_quarters() -> History:
    """2024Q4, of which three deals were due in its middle, and others were won; then four open in 2025Q1."""
    quiet = {"expected_close_on": "2024-12-20"}
    return history_of(
        deal("0-first", 1.0, "ana", ("2024-10-01", "talk"), ("2024-10-02", "lost")),
        deal("1-offer-won", 100.0, "ana", ("2024-10-05", "offer"), ("2024-12-15", "won"), **quiet),
        deal("2-offer-open", 300.0, "ana", ("2024-10-05", "offer"), ("2025-01-10", "lost"), **quiet),
        deal("3-talk-lost", 50.0, "bob", ("2024-10-05", "talk"), ("2024-12-15", "lost"), **quiet),
        deal("4-created-later", 70.0, "bob", ("2024-12-01", "talk"), ("2024-12-20", "won")),
        deal(
            "5-pulled-in",
            30.0,
            "ana",
            ("2024-10-05", "talk"),
            ("2024-12-22", "won"),
            expected_close_on="2025-02-01",
        ),
        deal("6-before", 20.0, "ana", ("2024-10-05", "talk"), ("2024-10-20", "won"), **quiet),
        deal("7-now-offer", 1000.0, "ana", ("2025-01-05", "offer"), expected_close_on="2025-03-01"),
        deal("8-now-undated", 2000.0, "bob", ("2025-01-05", "offer")),
        deal("9-now-talk", 400.0, "bob", ("2025-01-05", "talk"), expected_close_on="2025-03-01"),
        deal("99-not-due", 9000.0, "bob", ("2025-01-05", "offer"), expected_close_on="2025-06-01"),
    )


def test_conversion_takes_the_past_of_the_stage_at_this_moment_and_what_else_came(
    two_quarters: History,
) -> None:
    found = ConversionBookings().forecast(two_quarters, HALF, Q1)
    # In mid-November 400 stood in offer and was due, of which 100 was won; 50 in talk, of which nothing.
    assert found.open.set_index("deal_id")["amount"].to_dict() == pytest.approx(
        {"7-now-offer": 1000 * 100 / 400, "8-now-undated": 2000 * 100 / 400, "9-now-talk": 0.0}
    )
    assert found.rest.set_index("owner_id")["amount"].to_dict() == {"ana": 30.0, "bob": 70.0}
    assert found.expected == pytest.approx(250 + 500 + 100)
    # On the first day nothing was open yet: no stage has a past, all that came was new.
    start = ConversionBookings().forecast(two_quarters, Q1.start_us, Q1)
    assert start.rest["amount"].sum() == pytest.approx(100 + 70 + 30 + 20)
    assert np.isnan(
        ConversionBookings().forecast(two_quarters, at("2024-12-01"), Period.parse("2024Q4")).expected
    )


def test_stage_week_learns_each_week_apart_where_it_can() -> None:
    """Twenty-five deals each: in talk since week 0 and won in week 11, or since week 10 and lost."""
    history = history_of(
        *(deal(f"early-{n}", 1.0, "ana", ("2024-01-01", "talk"), ("2024-03-20", "won")) for n in range(25)),
        *(deal(f"late-{n}", 1.0, "ana", ("2024-03-12", "talk"), ("2024-03-27", "lost")) for n in range(25)),
        deal("now", 1.0, "ana", ("2024-04-01", "talk")),
    )
    baseline = StageWeek()
    baseline.fit(history, make_landmarks(history, until_us=at("2024-04-01")))
    now = history.index_of(["now"])

    def asked(day: str) -> float:
        return float(baseline.predict(history, now, np.array([at(day)]), (365,))[0, 0])

    assert asked("2024-04-08") == 1.0, "in week 1 there were only deals that came to be won"
    assert asked("2024-06-30") == 0.0, "in week 12 only those that came to be lost"
    assert 0.0 < asked("2024-04-02") < 1.0, "nobody was seen in week 0: the stage in all weeks"


@pytest.mark.parametrize("rule", all_bookings_baselines(), ids=lambda one: one.name)
@pytest.mark.parametrize("day", ["2025-07-01", "2025-08-13", "2025-09-30"])
def test_parts_add_up_over_owners_and_the_future_is_invisible(
    sample_history: History, rule: BookingsBaseline, day: str
) -> None:
    period, moment = Period.parse("2025Q3"), at(day)
    found = rule.forecast(sample_history, moment, period)
    by_owner = rule.forecast(sample_history, moment, period).by_owner()
    assert by_owner["owner_id"].is_unique
    assert by_owner["expected"].sum(skipna=False) == pytest.approx(found.expected, nan_ok=True)
    assert found.booked["amount"].sum() == pytest.approx(booked_amount(sample_history, moment, period))
    columns = sample_history.columns
    known = columns.entry_at_us < moment
    cut = History.from_columns(
        type(columns)(
            **{
                name: getattr(columns, name)[known] if name.startswith("entry_") else getattr(columns, name)
                for name in columns.__dataclass_fields__
            }
        )
    )
    again = rule.forecast(cut, moment, period)
    for part in ("booked", "open", "rest"):
        pd.testing.assert_frame_equal(getattr(found, part), getattr(again, part))
    if day == "2025-08-13":
        assert found.expected > 0.0, "every rule has something to say in the middle of a quarter"


@laws
@given(st.integers(0, 2**32 - 1))
def test_everything_ten_times_as_large_is_ten_times_as_much(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = at("2023-01-01")
    facts = [
        (rng.lognormal(), str(rng.choice(["ana", "bob"])), *np.sort(rng.integers(0, 820, 2)))
        for _ in range(40)
    ]

    def day(number: int) -> str:
        return str(pd.Timestamp(start + int(number) * DAY_US, unit="us").date())

    def told(scale: float) -> list[float]:
        history = history_of(
            deal("0", scale, "ana", ("2023-01-01", "talk")),
            *(
                deal(f"d{n}", scale * amount, owner, (day(first), "talk"), (day(last + 1), "won"))
                for n, (amount, owner, first, last) in enumerate(facts)
            ),
        )
        return [
            rule.forecast(history, HALF, Q1).expected
            for rule in (Linearity(), SameQuarterLastYear(), ConversionBookings(), StageWeightedBookings())
        ]

    once, larger = told(1.0), told(10.0)
    assert larger == pytest.approx([10 * one for one in once], nan_ok=True)
    assert not np.isnan(once[2])


def test_whoever_knows_nothing_says_so_and_does_not_fail() -> None:
    nothing = history_of(deal("a", 5.0, "ana", ("2026-01-05", "talk")))
    for rule in all_bookings_baselines():
        found = rule.forecast(nothing, HALF, Q1)
        assert found.by_owner()["expected"].sum(skipna=False) == pytest.approx(found.expected, nan_ok=True)
        assert np.isnan(found.expected) or found.expected == 0.0
