"""`POST /v1/leads/score`: the leads of the tables, sent as a CRM would, score as the command scores them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from asking import NOW_US, ask, opened
from test_same_scores import compared_by, plain, records

from forecast.bundle import Bundle, load_bundle
from forecast.history import Leads
from forecast.scoring import score_open_leads
from forecast.service.engine import Engine
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
MIDYEAR = pd.Timestamp("2025-07-15 13:45:00.250", tz="UTC")
JSON = {"content-type": "application/json"}
LEAD = {"lead_id": "L-1", "created_at": "2025-12-01T09:00:00Z", "source": "webinar"}

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def bundle(lead_bundle: Path) -> Bundle:
    return load_bundle(lead_bundle)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine.of(bundle)


def as_sent(tables: Tables) -> Rows:
    activities: dict[str, Rows] = {}
    for row in records(tables.activities[tables.activities["lead_id"].notna()]):
        activity = {name: plain(row[name]) for name in ("occurred_at", "kind", "direction")}
        activities.setdefault(row["lead_id"], []).append(activity)
    return [
        {
            **{name: plain(value) for name, value in lead.items()},
            "activities": activities.get(lead["lead_id"], []),
        }
        for lead in records(tables.leads)
    ]


def posted(engine: Engine, body: Any, **more: Any) -> Any:
    response = ask(opened(engine), "POST", "/v1/leads/score", json=body, **more)
    return (
        response.json() if response.status_code == 200 else (response.status_code, response.json()["error"])
    )


@pytest.mark.parametrize("as_of", [AS_OF, MIDYEAR], ids=["now", "midyear"])
def test_leads_score_as_the_command_scores_them(
    engine: Engine, bundle: Bundle, sample_tables: Tables, sample_leads: Leads, as_of: pd.Timestamp
) -> None:
    """All at once, in slices, and alone; with whatever became of them later."""
    scores = score_open_leads(sample_leads.history, bundle, as_of)
    expected = {
        row["lead_id"]: {
            **{name: plain(value) for name, value in row.items()},
            "reasons": json.loads(row["reasons"]),
        }
        for row in records(scores)
    }
    assert len(expected) > 50
    sent = [lead for lead in as_sent(sample_tables) if pd.Timestamp(lead["created_at"]) < as_of]

    def scored(some: Rows) -> Rows:
        answer = posted(engine, {"as_of": as_of.isoformat(), "leads": some})
        assert len(answer["scores"]) + len(answer["skipped"]) == len(some)
        assert {row["reason"] for row in answer["skipped"]} <= {"converted", "disqualified"}
        found: Rows = answer["scores"]
        return found

    compared_by("lead_id", scored(sent[::-1]), expected)
    compared_by(
        "lead_id", [row for at in range(0, len(sent), 97) for row in scored(sent[at : at + 97])], expected
    )
    alone = [lead for lead in sent if lead["lead_id"] in expected][::9]
    compared_by("lead_id", [row for lead in alone for row in scored([lead])], expected, some=True)


def test_answers_name_bundle_and_moment_and_keep_the_order(engine: Engine, bundle: Bundle) -> None:
    leads = [{**LEAD, "lead_id": name} for name in ("b", "a", "c")]
    answer = posted(engine, {"leads": leads, "reasons": 2, "locale": "it"})
    assert answer["model"]["bundle"] == bundle.id
    assert answer["as_of"] == "2026-01-01T00:00:00Z"
    assert [row["lead_id"] for row in answer["scores"]] == ["b", "a", "c"]
    assert all(len(row["reasons"]) <= 2 for row in answer["scores"])


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"converted_at": "2025-12-20T00:00:00Z"}, "converted"),
        ({"disqualified_at": "2025-12-20T00:00:00Z"}, "disqualified"),
        ({"deal_id": "D-1"}, "converted"),
        ({"converted_at": "2025-12-20T00:00:00Z", "disqualified_at": "2025-12-10T00:00:00Z"}, "disqualified"),
        ({"converted_at": "2025-12-20T00:00:00Z", "disqualified_at": "2025-12-20T00:00:00Z"}, "converted"),
        ({"converted_at": "2026-01-02T00:00:00Z", "deal_id": "D-1"}, None),
        ({"disqualified_at": None, "converted_at": None, "deal_id": None}, None),
    ],
)
def test_who_left_before_is_named_and_not_scored(
    engine: Engine, more: dict[str, Any], reason: str | None
) -> None:
    answer = posted(engine, {"leads": [{**LEAD, **more}]})
    assert [row["reason"] for row in answer["skipped"]] == ([reason] if reason else [])
    assert len(answer["scores"]) == (0 if reason else 1)


@pytest.mark.parametrize(
    ("lead", "code", "field"),
    [
        ({"created_at": "2025-12-01T09:00:00Z"}, "missing", "lead_id"),
        ({"lead_id": "x"}, "missing", "created_at"),
        ({**LEAD, "lead_id": " "}, "blank", "lead_id"),
        ({**LEAD, "lead_id": 7}, "not_text", "lead_id"),
        ({**LEAD, "lead_id": "x" * 256}, "too_long", "lead_id"),
        ({**LEAD, "created_at": "2025-12-01T09:00:00"}, "no_zone", "created_at"),
        ({**LEAD, "created_at": "2027-12-01T09:00:00Z"}, "after_as_of", "created_at"),
        ({**LEAD, "converted_at": "9999-01-01T00:00:00Z"}, "out_of_range", "converted_at"),
        ({**LEAD, "budget": True}, "not_a_number", "budget"),
        ({**LEAD, "need": 1.5}, "out_of_range", "need"),
        ({**LEAD, "size": [1]}, "not_scalar", "size"),
        ({**LEAD, "events": []}, "unknown_key", "events"),
        ({**LEAD, "activities": {}}, "not_a_list", "activities"),
        ({**LEAD, "activities": [{"occurred_at": "2025-12-02T00:00:00Z"}]}, "missing", "activities[0].kind"),
        (
            {**LEAD, "activities": [{"occurred_at": "2025-12-02T00:00:00Z", "kind": "fax"}]},
            "unknown_value",
            "activities[0].kind",
        ),
        ({**LEAD, **{f"a{n}": 1 for n in range(201)}}, "too_many_attributes", None),
        ("L-1", "not_an_object", None),
    ],
)
def test_what_is_wrong_is_named_by_row_and_field(
    engine: Engine, lead: Any, code: str, field: str | None
) -> None:
    status, error = posted(engine, {"leads": [{**LEAD, "lead_id": "good"}, lead]})
    assert (status, error["code"], error["field"], error["row"]) == (400, code, field, 1)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "missing", "leads"),
        ({"leads": {}}, 400, "not_a_list", "leads"),
        ({"leads": [], "deals": []}, 400, "unknown_key", "deals"),
        ({"leads": [], "reasons": 21}, 400, "out_of_range", "reasons"),
        ({"leads": [], "locale": "fr"}, 400, "unknown_locale", "locale"),
        ({"leads": [], "as_of": "2028-01-01T00:00:00Z"}, 400, "out_of_range", "as_of"),
        ({"leads": [LEAD, LEAD]}, 400, "duplicate_lead", "lead_id"),
        ({"leads": [0] * 10_001}, 413, "too_many_leads", "leads"),
        ([], 400, "not_an_object", None),
    ],
)
def test_a_request_that_breaks_the_contract_is_refused(
    engine: Engine, body: Any, status: int, code: str, field: str | None
) -> None:
    found, error = posted(engine, body)
    assert (found, error["code"], error["field"]) == (status, code, field)


def test_a_bundle_without_leads_says_so(trained_bundle: Path) -> None:
    status, error = posted(Engine.load(trained_bundle), {"leads": [LEAD]})
    assert (status, error["code"]) == (409, "no_lead_models")


def test_no_lead_is_no_error(engine: Engine) -> None:
    assert json.loads(engine.score_leads(b'{"leads":[]}', NOW_US)[0])["scores"] == []
