"""One deal, one score: from tables, alone, in a list, or over the application, the same to the last bit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from forecast.bundle import Bundle, load_bundle
from forecast.outlook import Outlook, history_of, make_outlook
from forecast.periods import Period
from forecast.scoring import score_open_deals
from forecast.service.api import Api
from forecast.service.encoding import moment
from forecast.service.engine import Engine
from forecast.service.keys import Keys
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
MIDYEAR = pd.Timestamp("2025-07-15 13:45:00.250", tz="UTC")
NOW_US = 1_767_225_600_000_000
KEY = "a-key-of-this-test"
NUMBERS = ("amount", "budget", "authority", "need", "timeline")

Rows = list[dict[str, Any]]


def plain(value: Any) -> Any:
    """A cell as JSON has it."""
    if isinstance(value, pd.Timestamp):
        midnight = value.tzinfo is None
        return value.strftime("%Y-%m-%d") if midnight else moment(value.value // 1000)
    return None if pd.isna(value) else value


def as_sent(tables: Tables) -> Rows:
    """Every deal of the tables with all its columns, events and activities, as a CRM would send it."""
    events: dict[str, Rows] = {}
    for row in tables.deal_events.to_dict("records"):
        value = plain(row["value"])
        if value is not None and row["field"] in NUMBERS:
            value = float(value)
        event = {"field": row["field"], "value": value, "recorded_at": plain(row["recorded_at"])}
        events.setdefault(row["deal_id"], []).append(event)
    activities: dict[str, Rows] = {}
    for row in tables.activities.to_dict("records"):
        activity = {name: plain(row[name]) for name in ("occurred_at", "kind", "direction")}
        activities.setdefault(row["deal_id"], []).append(activity)
    return [
        {
            **{name: plain(value) for name, value in deal.items()},
            "events": events.get(deal["deal_id"], []),
            "activities": activities.get(deal["deal_id"], []),
        }
        for deal in tables.deals.to_dict("records")
    ]


def as_records(frame: pd.DataFrame) -> Rows:
    return [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def expected_rows(scores: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The rows an answer must hold, by deal."""
    found = {}
    for row in scores.to_dict("records"):
        told = {name: plain(value) for name, value in row.items() if name != "reasons"}
        found[row["deal_id"]] = {**told, "reasons": json.loads(row["reasons"])}
    return found


def thinned(tables: Tables) -> Tables:
    """The same company as a CRM that keeps little history, with the gaps real ones have.

    Some deals have a field only as a column, some columns are blank, attributes are numbers, dates of change
    and languages, a currency is missing.
    """
    deals, events = tables.deals.copy(), tables.deal_events
    number = deals["deal_id"].str.extract(r"(\d+)$")[0].astype(int)
    place = dict(zip(deals["deal_id"], number, strict=True))
    of_event = events["deal_id"].map(place)
    dropped = pd.Series(False, index=events.index)
    fields = ("amount", "expected_close_on", "owner_id", "forecast_category", *NUMBERS[1:])
    for turn, field in enumerate(fields, start=2):
        dropped |= (events["field"] == field) & (of_event % turn == 0)
    deals["region"] = np.where(number % 4 == 0, None, np.where(number % 3 == 0, "Österreich", "日本"))
    deals["region"] = deals["region"].astype("str")
    told = deals.loc[number % 5 == 1, ["deal_id", "created_at"]].rename(columns={"created_at": "recorded_at"})
    told = told.assign(field="region", value="Italia", actor=None)
    deals["currency"] = deals["currency"].mask(number % 7 == 0)
    deals["owner_id"] = deals["owner_id"].mask(number % 11 == 0)
    deals["source"] = deals["source"].mask(number % 13 == 0, "never heard of")
    return Tables.from_frames(
        stages=tables.stages,
        deals=deals,
        deal_events=pd.concat([events[~dropped], told.astype(events.dtypes)], ignore_index=True),
        activities=tables.activities,
        users=tables.users,
        quotas=tables.quotas,
        fx_rates=tables.fx_rates,
    )


def first_stage(deal: dict[str, Any]) -> pd.Timestamp:
    """When the deal is known, to itself and to us."""
    seen = [event["recorded_at"] for event in deal["events"] if event["field"] == "stage"]
    return pd.Timestamp(max(min(seen), deal["created_at"]))


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine.of(bundle)


@pytest.fixture(scope="module", params=["whole", "thin"])
def company(request: pytest.FixtureRequest, sample_tables: Tables) -> Tables:
    return sample_tables if request.param == "whole" else thinned(sample_tables)


def body(as_of: pd.Timestamp, deals: Rows, **more: Any) -> bytes:
    return json.dumps({"as_of": as_of.isoformat(), "deals": deals, **more}).encode()


def compared(answered: Rows, expected: dict[str, dict[str, Any]]) -> None:
    """Equal in every column; the message names the first that is not."""
    assert {row["deal_id"] for row in answered} == set(expected)
    for row in answered:
        other = expected[row["deal_id"]]
        assert list(row) == list(other)
        unlike = {name: (row[name], other[name]) for name in row if row[name] != other[name]}
        assert not unlike, (row["deal_id"], unlike)


@pytest.mark.parametrize("as_of", [AS_OF, MIDYEAR], ids=["now", "midyear"])
def test_a_request_scores_as_the_tables_do(
    engine: Engine, bundle: Bundle, company: Tables, as_of: pd.Timestamp
) -> None:
    """In one list, one by one, and through the application."""
    period = Period.parse("2026Q1")
    scores = score_open_deals(history_of(company, bundle), bundle, as_of, period=period, reasons=5)
    expected = expected_rows(scores)
    assert len(expected) > 50
    # With their whole past and future: what was recorded from as_of on must not matter.
    deals = [deal for deal in as_sent(company) if first_stage(deal) < as_of]

    whole = json.loads(engine.score(body(as_of, deals, period="2026Q1"), NOW_US)[0])
    compared(whole["scores"], expected)
    assert len(whole["scores"]) + len(whole["skipped"]) == len(deals)

    alone = []
    for deal in deals:
        if deal["deal_id"] in expected:
            alone += json.loads(engine.score(body(as_of, [deal], period="2026Q1"), NOW_US)[0])["scores"]
    compared(alone, expected)
