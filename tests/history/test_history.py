"""History and landmarks on the six deals everybody can follow by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.errors import DataError
from forecast.features import build
from forecast.history import LOST, WON, DatedRecords, History, make_landmarks
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Tables

STAGES = pd.DataFrame(
    {
        "pipeline": "sales",
        "stage": ["prospecting", "proposal", "won", "onboarding", "lost"],
        "position": [1, 2, 3, 4, 5],
        "kind": ["open", "open", "won", "won", "lost"],
        "default_probability": [0.1, 0.5, 1.0, 1.0, 0.0],
    }
)


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def company(rows: list[tuple[str, str, str, str]], **deals: object) -> History:
    """A history from (deal_id, when, field, value) rows."""
    ids = sorted({row[0] for row in rows})
    frame = pd.DataFrame({"deal_id": ids, "created_at": [at("2025-01-01")] * len(ids), **deals})
    events = pd.DataFrame(
        {
            "deal_id": [r[0] for r in rows],
            "recorded_at": [at(r[1]) for r in rows],
            "field": [r[2] for r in rows],
            "value": [r[3] for r in rows],
        }
    )
    return History.from_tables(
        Tables.from_frames(
            stages=STAGES,
            deals=frame,
            deal_events=events,
            fx_rates=pd.DataFrame(
                {
                    "currency": ["USD", "USD"],
                    "valid_from": [pd.Timestamp("2025-01-01"), pd.Timestamp("2025-07-01")],
                    "rate": [0.96, 0.85],
                }
            ),
            quotas=pd.DataFrame(
                {
                    "level": ["company"],
                    "entity": ["*"],
                    "period": ["2025Q1"],
                    "amount": [1.0],
                    "currency": ["EUR"],
                }
            ),
        )
    )


REOPENED = [
    ("D-3", "2025-02-17", "stage", "prospecting"),
    ("D-3", "2025-06-30 18:00", "stage", "lost"),
    ("D-3", "2025-09-15", "stage", "proposal"),
]


def test_a_reopened_deal_is_open_again_from_that_moment() -> None:
    history = company(REOPENED)
    assert len(history.open_deals(as_of_us(at("2025-06-30")))) == 1
    assert len(history.open_deals(as_of_us(at("2025-08-01")))) == 0
    assert len(history.open_deals(as_of_us(at("2025-09-15")))) == 0  # recorded at that instant: not yet known
    assert len(history.open_deals(as_of_us(at("2025-09-16")))) == 1


def test_a_deal_is_won_once_and_post_purchase_is_no_second_win() -> None:
    history = company(
        [
            ("007", "2025-01-13", "stage", "prospecting"),
            ("007", "2025-01-13", "amount", "20000"),
            ("007", "2025-04-10 16:20", "stage", "won"),
            ("007", "2025-05-02", "stage", "onboarding"),
        ]
    )
    assert history.closings.kind.tolist() == [WON]
    quarter = Period.parse("2025Q2")
    booked = history.booked(as_of_us(at("2025-06-01")), quarter.start_us, quarter.end_us)
    assert booked["deal_id"].tolist() == ["007"]
    assert booked["amount"].tolist() == [20000.0]
    assert history.booked(as_of_us(at("2025-04-10 16:20")), quarter.start_us, quarter.end_us).empty


def test_amounts_are_converted_at_the_rate_of_the_day() -> None:
    rows = [
        ("D-1", "2025-01-13", "stage", "prospecting"),
        ("D-1", "2025-01-13", "amount", "1000"),
        ("D-1", "2025-08-01", "stage", "won"),
    ]
    history = company(rows, currency=["USD"])
    one = np.array([0])
    assert history.amount(one, np.array([as_of_us(at("2025-03-01"))])).tolist() == [960.0]
    assert history.amount(one, np.array([as_of_us(at("2025-07-02"))])).tolist() == [850.0]
    year = Period.parse("2025")
    assert history.booked(as_of_us(at("2025-12-01")), year.start_us, year.end_us)["amount"].tolist() == [
        850.0
    ]


def test_a_currency_without_a_rate_is_unknown_never_one_to_one() -> None:
    rows = [("D-1", "2025-01-13", "stage", "prospecting"), ("D-1", "2025-01-13", "amount", "1000")]
    history = company(rows, currency=["JPY"])
    assert np.isnan(history.amount(np.array([0]), np.array([as_of_us(at("2025-03-01"))]))).all()


def test_an_amount_without_events_is_that_of_the_deals_table() -> None:
    history = company([("D-4", "2025-01-13", "stage", "prospecting")], amount=[26000.0])
    assert history.amount(np.array([0]), np.array([as_of_us(at("2025-03-01"))])).tolist() == [26000.0]


def test_an_unknown_deal_is_named() -> None:
    with pytest.raises(DataError, match="no deal 'D-9'"):
        company(REOPENED).index_of(["D-3", "D-9"])


def test_landmarks_of_the_example_in_the_docstring() -> None:
    rows = [
        ("closed", "2025-06-03", "stage", "prospecting"),
        ("closed", "2025-06-20 15:00", "stage", "won"),
        ("open", "2025-06-03", "stage", "prospecting"),
    ]
    history = company(rows)
    marks = make_landmarks(history, until_us=as_of_us(at("2025-07-01")), first_us=as_of_us(at("2025-06-05")))
    assert marks.duration_days[marks.deal == 0].tolist() == [15.625, 8.625, 1.625]
    assert marks.cause[marks.deal == 0].tolist() == [WON] * 3
    assert marks.duration_days[marks.deal == 1].tolist() == [26.0, 19.0, 12.0, 5.0]
    assert marks.cause[marks.deal == 1].tolist() == [0] * 4


def test_landmarks_of_a_reopened_deal_leave_out_the_time_it_was_lost() -> None:
    marks = make_landmarks(
        company(REOPENED),
        until_us=as_of_us(at("2025-10-01")),
        first_us=as_of_us(at("2025-02-18")),
        every_days=7,
    )
    when = pd.to_datetime(marks.at_us, unit="us", utc=True)
    assert not ((when > at("2025-06-30 18:00")) & (when <= at("2025-09-15"))).any()
    assert set(marks.cause[when < at("2025-07-01")]) == {LOST}
    assert set(marks.cause[when > at("2025-09-15")]) == {0}


def test_what_happens_at_the_end_is_censored_there() -> None:
    history = company([("D-1", "2025-06-03", "stage", "prospecting"), ("D-1", "2025-07-01", "stage", "won")])
    marks = make_landmarks(history, until_us=as_of_us(at("2025-07-01")))
    assert set(marks.cause) == {0}
    assert ((marks.at_us + marks.duration_days * DAY_US) == as_of_us(at("2025-07-01"))).all()


def test_thinned_landmarks_stand_for_the_ones_left_out() -> None:
    marks = make_landmarks(company(REOPENED), until_us=as_of_us(at("2025-10-01")), every_days=1)
    thin = marks.thin(40, np.random.default_rng(0))
    assert len(thin) == 40
    assert thin.weight.sum() == pytest.approx(len(marks))


def test_a_custom_attribute_may_be_called_like_one_of_our_counters() -> None:
    rows = [("D-1", "2025-01-13", "stage", "prospecting"), ("D-1", "2025-01-14", "meeting", "on site")]
    history = company(rows, activity=["mining"])
    deal, when = np.array([0]), np.array([as_of_us(at("2025-02-01"))])
    records = DatedRecords.of(history)
    row = build(history, deal, when, records).to_frame().iloc[0]
    assert row["custom:activity"] == "mining"
    assert row["custom:meeting"] == "on site"
    assert row["activities_90d"] == 0
    assert row["meetings_90d"] == 0


def test_a_request_is_read_like_the_tables() -> None:
    """The same deal as JSON and as rows of files has the same features."""
    rows = [
        ("D-1", "2025-01-13", "stage", "prospecting"),
        ("D-1", "2025-01-13", "amount", "1000"),
        ("D-1", "2025-01-20", "budget", "1"),
        ("D-1", "2025-01-21", "expected_close_on", "2025-03-31"),
        ("D-1", "2025-01-25", "stage", "proposal"),
        ("D-1", "2025-01-26", "competitor", "acme"),
    ]
    tables = company(rows, currency=["USD"], industry=["health"], meeting=["on site"], owner_id=["ana"])
    request = {
        "deal_id": "D-1",
        "pipeline": "sales",
        "motion": "new",
        "created_at": "2025-01-01T00:00:00Z",
        "currency": "USD",
        "industry": "health",
        "owner_id": "ana",
        "meeting": "on site",
        "events": [{"field": f, "value": v, "recorded_at": f"{t}T00:00:00Z"} for _, t, f, v in rows],
    }
    sent = History.from_request([request], stages=tables.stages, money=tables.money)
    deal, when = np.array([0]), np.array([as_of_us(at("2025-02-01"))])
    records = DatedRecords.of(tables).freeze(tables, int(when[0]))
    pd.testing.assert_frame_equal(
        build(sent, deal, when, records.bind(sent)).to_frame(),
        build(tables, deal, when, records.bind(tables)).to_frame(),
    )
