"""Leads as a history: open from creation until the first of conversion and disqualification."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from forecast.history import CONVERTED, DISQUALIFIED, OPEN, History, Leads, leads_from_request, make_landmarks
from forecast.periods import DAY_US, as_of_us
from forecast.tables import Tables

START = pd.Timestamp("2025-01-01", tz="UTC")
END_US = as_of_us(START + pd.Timedelta(days=100))


def day(number: float) -> pd.Timestamp:
    return START + pd.Timedelta(days=number)


def tables(leads: list[dict[str, Any]], activities: list[dict[str, Any]] | None = None) -> Tables:
    """One deal, D-1 of day 30, and the given leads."""
    return Tables.from_frames(
        stages=pd.DataFrame(
            {"pipeline": "sales", "stage": ["demo", "won"], "position": [1, 2], "kind": ["open", "won"]}
        ),
        deals=pd.DataFrame({"deal_id": ["D-1"], "created_at": [day(30)], "account_id": ["A-1"]}),
        deal_events=pd.DataFrame(
            {"deal_id": ["D-1"], "recorded_at": [day(30)], "field": ["stage"], "value": ["demo"]}
        ),
        leads=pd.DataFrame(leads),
        **({} if activities is None else {"activities": pd.DataFrame(activities)}),
    )


def read(leads: list[dict[str, Any]], **more: Any) -> Leads:
    given = tables(leads, **more)
    return Leads.from_tables(given, History.from_tables(given))


def kinds_at(leads: Leads, number: float) -> list[int]:
    """What each lead is as known before a day: -1 unknown."""
    history = leads.history
    stage = history.stage(np.arange(len(history)), np.int64(as_of_us(day(number))))
    return [int(history.stages.kind[code]) if code >= 0 else -1 for code in stage]


def test_a_lead_is_open_from_after_its_creation_until_after_its_outcome() -> None:
    leads = read(
        [
            {"lead_id": "L-3", "created_at": day(10), "disqualified_at": day(20)},
            {"lead_id": "L-1", "created_at": day(10), "converted_at": day(30), "deal_id": "D-1"},
            {"lead_id": "L-2", "created_at": day(10)},
        ]
    )
    assert leads.history.deal_ids.tolist() == ["L-1", "L-2", "L-3"]
    assert leads.deal.tolist() == [0, -1, -1]
    assert kinds_at(leads, 10) == [-1, -1, -1], "half-open: not yet known at its own moment"
    assert kinds_at(leads, 11) == [OPEN, OPEN, OPEN]
    assert kinds_at(leads, 20) == [OPEN, OPEN, OPEN], "an outcome at the asked moment is not yet known"
    assert kinds_at(leads, 21) == [OPEN, OPEN, DISQUALIFIED]
    assert kinds_at(leads, 31) == [CONVERTED, OPEN, DISQUALIFIED]


def test_the_odd_leads_are_read_in_one_way() -> None:
    leads = read(
        [
            # the first of both outcomes counts; at the same moment it is the conversion
            {"lead_id": "A", "created_at": day(1), "converted_at": day(9), "disqualified_at": day(5)},
            {"lead_id": "B", "created_at": day(1), "converted_at": day(5), "disqualified_at": day(5)},
            # an outcome before the creation counts from the creation on: never open
            {"lead_id": "C", "created_at": day(8), "converted_at": day(2)},
            # a deal without a date of conversion: when the deal was created ...
            {"lead_id": "D", "created_at": day(1), "deal_id": "D-1"},
            # ... or at an unknown time if nobody knows that deal: never seen open
            {"lead_id": "E", "created_at": day(1), "deal_id": "D-elsewhere"},
        ]
    )
    assert kinds_at(leads, 6) == [DISQUALIFIED, CONVERTED, -1, OPEN, CONVERTED]
    assert kinds_at(leads, 40) == [DISQUALIFIED, CONVERTED, CONVERTED, CONVERTED, CONVERTED]
    landmarks = make_landmarks(leads.history, until_us=END_US, every_days=1.0)
    assert sorted(set(landmarks.deal)) == [0, 1, 3], "C and E were never seen open"
    ends = {
        int(i): (landmarks.at_us + landmarks.duration_days * DAY_US)[landmarks.deal == i] for i in (0, 1, 3)
    }
    assert np.allclose(ends[3], as_of_us(day(30)))
    assert np.allclose(ends[0], as_of_us(day(5)))


def test_no_leads_at_all_is_an_empty_history() -> None:
    given = tables([{"lead_id": "A", "created_at": day(1)}])
    without = Tables.from_frames(stages=given.stages, deals=given.deals, deal_events=given.deal_events)
    leads = Leads.from_tables(without, History.from_tables(without))
    assert len(leads) == 0
    assert len(make_landmarks(leads.history, until_us=END_US)) == 0


def test_columns_named_like_fields_of_deals_stay_attributes() -> None:
    """Many CRMs have an amount, a stage or a pipeline on leads too."""
    leads = read(
        [
            {
                "lead_id": "A",
                "created_at": day(1),
                "stage": "mql",
                "amount": "900",
                "pipeline": "web",
                "activity": "x",
            }
        ]
    )
    assert leads.history.columns.custom == ("activity", "amount", "pipeline", "stage")
    assert kinds_at(leads, 2) == [OPEN]


def test_a_request_reads_as_the_tables_do() -> None:
    sent = {
        "lead_id": "A",
        "created_at": day(3),
        "source": "web",
        "owner_id": "ana",
        "account_id": "A-1",
        "need": 1.0,
        "plan": "gold",
    }
    done = [
        {"occurred_at": day(4), "kind": "call", "direction": "in"},
        {"occurred_at": day(9), "kind": "email", "direction": "out"},
    ]
    of_tables = read([sent], activities=[{"lead_id": "A", **one} for one in done]).history
    of_request = leads_from_request([{**sent, "activities": done}], of_tables.money)
    for name in ("at_us", "value"):
        np.testing.assert_array_equal(getattr(of_request, name), getattr(of_tables, name))
    np.testing.assert_array_equal(of_request.index.keys, of_tables.index.keys)
    assert of_request.columns.vocabularies == of_tables.columns.vocabularies
    assert of_request.columns.custom == ("plan",)
