"""Answers from the ledger: what they hold, what they refuse, and that out of scope looks like not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forecast.access import Access, Scope
from forecast.errors import BusyError, UnavailableError
from forecast.ledger import Ledger
from forecast.service.reads import Reads
from forecast.service.refusals import Refusal

sys.path.insert(0, str(Path(__file__).parents[1] / "ledger"))
from ledger_cases import DAY_US, MADE_US, snapshot

NOW_US = MADE_US + 30 * DAY_US
ADMIN = Access("boss", "admin")
NORTH = Access("north", "manager", Scope("team", "North"))
ANA = Access("ana-key", "user", Scope("own", "ana"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as opened:
        for day in (0, 10, 20):
            opened.publish(snapshot(day=day, periods=("2026Q1", "2026")), now_us=MADE_US + day * DAY_US + 5)
        yield opened


@pytest.fixture
def reads(ledger: Ledger) -> Reads:
    return Reads(ledger, clock=lambda: NOW_US / 1e6)


def refused(call: Any, *arguments: Any) -> Refusal:
    with pytest.raises(Refusal) as found:
        call(*arguments)
    return found.value


def test_a_forecast_says_where_it_comes_from_and_how_old_it_is(reads: Reads) -> None:
    answer = json.loads(reads.forecast({"period": "2026Q1", "level": "team"}, ADMIN))
    stated = answer.pop("snapshot")
    assert stated.pop("id") == snapshot(day=20, periods=("2026Q1", "2026")).id
    assert stated == {
        "as_of": "2026-01-21T00:00:00Z",
        "published_at": "2026-01-21T00:00:00.000005Z",
        "bundle": "b" * 64,
        "trained_until": "2026-01-01T00:00:00Z",
        "newest_record_at": "2026-01-20T23:59:59.999999Z",
        "data_age_seconds": 10 * 86_400 + 1,
        "currency": "EUR",
    }
    assert [row["entity"] for row in answer["forecasts"]] == ["North", "South", "unassigned"]
    assert answer["forecasts"][0]["quota"] is None
    assert set(answer["forecasts"][0]) >= {
        "booked",
        "open",
        "arrivals",
        "expected",
        "p10",
        "p50",
        "p90",
        "gap",
    }


def test_without_a_level_it_is_the_company(reads: Reads) -> None:
    answer = json.loads(reads.forecast({"period": "2026"}, ADMIN))
    assert [(row["level"], row["entity"]) for row in answer["forecasts"]] == [("company", "*")]


def test_one_entity_of_one_moment(reads: Reads) -> None:
    asked = {"period": "2026Q1", "level": "user", "entity": "ben", "as_of": "2026-01-15T00:00:00Z"}
    answer = json.loads(reads.forecast(asked, NORTH))
    assert answer["snapshot"]["as_of"] == "2026-01-11T00:00:00Z"
    assert [row["entity"] for row in answer["forecasts"]] == ["ben"]
    assert json.loads(reads.forecast({**asked, "as_of": "2026-01-11T00:00:00Z"}, NORTH)) == answer


def test_a_list_holds_what_is_in_scope_and_nothing_else(reads: Reads) -> None:
    def entities(level: str, access: Access) -> list[str]:
        answer = json.loads(reads.forecast({"period": "2026Q1", "level": level}, access))
        return [row["entity"] for row in answer["forecasts"]]

    assert entities("user", NORTH) == ["ana", "ben"]
    assert entities("team", NORTH) == ["North"]
    assert entities("company", NORTH) == []
    assert entities("user", ANA) == ["ana"]
    assert entities("team", ANA) == []


def test_a_deal_comes_with_reasons_curve_past_and_judgements(reads: Reads) -> None:
    reads.judge("D-1", b'{"forecast_category":"commit","note":"signed soon"}', NORTH, NOW_US)
    answer = json.loads(reads.deal("D-1", {"locale": "it"}, ANA))
    deal = answer["deal"]
    assert (deal["deal_id"], deal["owner_id"], deal["score"]) == ("D-1", "ana", 50)
    assert deal["won_90d"] == 0.25
    assert deal["reasons"][0]["text"] == "a parole"
    assert json.loads(reads.deal("D-1", {}, ANA))["deal"]["reasons"][0]["text"] == "in words"
    assert deal["curve"] == [{"days": 30.0, "won": 0.1, "lost": 0.3}, {"days": 90.0, "won": 0.2, "lost": 0.4}]
    assert [row["as_of"][:10] for row in answer["history"]] == ["2026-01-21", "2026-01-11", "2026-01-01"]
    assert answer["current"]
    assert answer["period"] == "2026Q1"
    (judgement,) = answer["judgements"]
    assert judgement == {
        "number": 1,
        "made_at": "2026-01-31T00:00:00Z",
        "key": "north",
        "forecast_category": "commit",
        "amount": None,
        "expected_close_on": None,
        "note": "signed soon",
    }


@pytest.mark.parametrize("unknown", ["D-99", "", " ", "x" * 300, "D-1\x00", "D-%", "\ud800"])
def test_out_of_scope_is_what_is_not_there(reads: Reads, unknown: str) -> None:
    outside = refused(reads.deal, "D-3", {}, NORTH)
    absent = refused(reads.deal, unknown, {}, NORTH)
    assert outside.status == 404
    assert outside.body("r") == absent.body("r")
    assert outside.headers == absent.headers
    body = b'{"amount":1}'
    assert refused(reads.judge, "D-3", body, NORTH, NOW_US).body("r") == absent.body("r")
    assert refused(reads.judge, unknown, body, NORTH, NOW_US).body("r") == absent.body("r")


def test_an_entity_out_of_scope_is_one_that_is_not_there(reads: Reads) -> None:
    asked = {"period": "2026Q1", "level": "team"}
    outside = refused(reads.forecast, {**asked, "entity": "South"}, NORTH)
    absent = refused(reads.forecast, {**asked, "entity": "Nowhere"}, NORTH)
    assert (outside.status, outside.body("r")) == (404, absent.body("r"))


def test_a_period_nobody_published_is_told_of(reads: Reads) -> None:
    for asked in ({"period": "2030Q1"}, {"period": "2026Q1", "as_of": "2025-01-01T00:00:00Z"}):
        assert refused(reads.forecast, asked, ADMIN).code == "no_snapshot"


@pytest.mark.parametrize(
    ("asked", "code", "field"),
    [
        ({}, "missing", "period"),
        ({"period": "2026Q5"}, "bad_period", "period"),
        ({"period": "2026Q1", "level": "galaxy"}, "unknown_value", "level"),
        ({"period": "2026Q1", "entity": ""}, "blank", "entity"),
        ({"period": "2026Q1", "entity": "x" * 256}, "too_long", "entity"),
        ({"period": "2026Q1", "as_of": "2026-01-01"}, "no_zone", "as_of"),
        ({"period": "2026Q1", "snapshot": "xyz"}, "bad_snapshot", "snapshot"),
        ({"period": "2026Q1", "snapshot": "a" * 12, "as_of": "2026-01-01T00:00:00Z"}, "bad_query", "as_of"),
        ({"period": "2026Q1", "scope": "all"}, "unknown_key", "scope"),
    ],
)
def test_a_wrong_query_is_refused_by_field(
    reads: Reads, asked: dict[str, str], code: str, field: str
) -> None:
    refusal = refused(reads.forecast, asked, ADMIN)
    assert (refusal.status, refusal.code, refusal.field) == (400, code, field)


@pytest.mark.parametrize("asked", [{"locale": "fr"}, {"locale": ""}, {"lang": "it"}])
def test_a_wrong_query_of_a_deal_is_refused(reads: Reads, asked: dict[str, str]) -> None:
    assert refused(reads.deal, "D-1", asked, ADMIN).status == 400


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"[]", "bad_body"),
        (b"{}", "missing"),
        (b'{"note":"only words"}', "missing"),
        (b'{"amount":1,"amount":2}', "duplicate_key"),
        (b'{"amount":"1"}', "not_a_number"),
        (b'{"amount":true}', "not_a_number"),
        (b'{"amount":NaN}', "not_finite"),
        (b'{"amount":1e14}', "out_of_range"),
        (b'{"forecast_category":"sure"}', "unknown_value"),
        (b'{"expected_close_on":"2026-02-30"}', "bad_date"),
        (b'{"amount":1,"note":" "}', "blank"),
        (b'{"amount":1,"note":"a\\u0000b"}', "bad_character"),
        (b'{"amount":1,"note":"' + b"x" * 2001 + b'"}', "too_long"),
        (b'{"amount":1,"owner_id":"ana"}', "unknown_key"),
    ],
)
def test_a_judgement_that_breaks_the_contract_is_refused_and_not_kept(
    reads: Reads, ledger: Ledger, body: bytes, code: str
) -> None:
    assert refused(reads.judge, "D-1", body, ADMIN, NOW_US).code == code
    assert ledger.count("judgements") == 0


def test_judgements_are_added_never_replaced(reads: Reads) -> None:
    for amount in (1, 2):
        answer = json.loads(
            reads.judge("D-1", json.dumps({"amount": amount}).encode(), NORTH, NOW_US + amount)
        )
        assert answer["judgement"]["deal_id"] == "D-1"
    kept = json.loads(reads.deal("D-1", {}, ADMIN))["judgements"]
    assert [judgement["amount"] for judgement in kept] == [2.0, 1.0]


@pytest.mark.parametrize("failure", [BusyError("locked"), UnavailableError("gone")])
def test_a_ledger_that_fails_is_to_be_asked_again(
    reads: Reads, ledger: Ledger, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    for name in ("forecast", "deal", "judge"):
        monkeypatch.setattr(ledger, name, fail)
    for refusal in (
        refused(reads.forecast, {"period": "2026Q1"}, ADMIN),
        refused(reads.deal, "D-1", {}, ADMIN),
        refused(reads.judge, "D-1", b'{"amount":1}', ADMIN, NOW_US),
    ):
        assert (refusal.status, refusal.code) == (503, "ledger_unavailable")
        assert "retry-after" in refusal.headers
