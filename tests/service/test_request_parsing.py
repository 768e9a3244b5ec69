"""What a request may say: every rule of docs/http.md with the input that breaks it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.service.catalogue import Catalogue
from forecast.service.refusals import Refusal
from forecast.service.requests import MAX_DEALS, parse_forecast_request, parse_score_request

KNOWN = Catalogue.of(
    [
        {"pipeline": "sales", "stage": "lead"},
        {"pipeline": "sales", "stage": "won"},
        {"pipeline": "partner", "stage": "intro"},
    ],
    ["EUR", "USD"],
)
NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
DAY = 86_400_000_000
CANARY = "Ada-Canary-7731"


def deal(**changes: Any) -> dict[str, Any]:
    """A sound deal, with keys changed, or taken out by the value `...`."""
    base: dict[str, Any] = {
        "deal_id": "d1",
        "created_at": "2025-11-01T09:00:00Z",
        "amount": 1200.5,
        "currency": "EUR",
        "events": [{"field": "stage", "value": "lead", "recorded_at": "2025-11-01T09:00:00Z"}],
        "activities": [{"occurred_at": "2025-11-02T09:00:00+01:00", "kind": "call", "direction": "out"}],
    }
    return {key: value for key, value in {**base, **changes}.items() if value is not ...}


def score(body: Any) -> Any:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return parse_score_request(raw, KNOWN, NOW_US)


def forecast(**changes: Any) -> Any:
    body = {"period": "2026Q1", "as_of": "2026-02-01T00:00:00Z", "deals": [], **changes}
    raw = json.dumps({key: value for key, value in body.items() if value is not ...}).encode()
    return parse_forecast_request(raw, KNOWN, NOW_US)


def event(**changes: Any) -> dict[str, Any]:
    base = {"field": "amount", "value": 5.0, "recorded_at": "2025-11-05T00:00:00Z"}
    return {key: value for key, value in {**base, **changes}.items() if value is not ...}


def with_event(**changes: Any) -> dict[str, Any]:
    """A sound deal whose second event is changed."""
    return deal(events=[*deal()["events"], event(**changes)])


def with_activity(**changes: Any) -> dict[str, Any]:
    activity = {"occurred_at": "2025-11-05T00:00:00Z", "kind": "email", **changes}
    return deal(activities=[{key: value for key, value in activity.items() if value is not ...}])


# -- what is accepted ---------------------------------------------------------------------------------------


def test_a_sound_request_becomes_what_the_history_reads() -> None:
    request = score(
        {
            "as_of": "2026-01-01T00:00:00Z",
            "deals": [deal(region="Nord", seats=12, vip=True, **{"Deal size (k€)": 2.5})],
        }
    )
    assert request.as_of_us == NOW_US
    assert request.period is None
    (found,) = request.deals
    assert found["pipeline"] == "sales"
    assert found["amount"] == 1200.5
    assert found["events"][0]["recorded_at"] == NOW_US - 61 * DAY + 9 * 3_600_000_000
    assert found["activities"][0]["occurred_at"] == NOW_US - 60 * DAY + 8 * 3_600_000_000  # +01:00
    assert (found["region"], found["seats"], found["vip"]) == ("Nord", "12", "true")
    assert found["Deal size (k€)"] == "2.5"


@pytest.mark.parametrize(
    "deal_id", ["007", "NA", "9007199254740993", " x ", "x" * 255, "Überweisung/äöü", "日本", "👩‍👩‍👧"]
)
def test_ids_stay_as_they_are(deal_id: str) -> None:
    assert score({"deals": [deal(deal_id=deal_id)]}).deals[0]["deal_id"] == deal_id


@pytest.mark.parametrize(
    "text",
    ["2025-11-01T09:00:00Z", "2025-11-01 09:00:00Z", "2025-11-01T10:00:00.000+0100", "2025-11-01T09:00Z"],
)
def test_moments_as_crms_write_them(text: str) -> None:
    at_us = NOW_US - 61 * DAY + 9 * 3_600_000_000
    assert score({"deals": [deal(created_at=text)]}).deals[0]["created_at"] == at_us


def test_the_future_is_invisible() -> None:
    later = [event(recorded_at="2026-01-01T00:00:00Z"), event(recorded_at="2025-12-31T23:59:59Z")]
    body = {
        "as_of": "2026-01-01T00:00:00Z",
        "deals": [
            deal(
                events=deal()["events"] + later,
                activities=[{"occurred_at": "2026-01-01T00:00:00Z", "kind": "call"}],
            )
        ],
    }
    (found,) = score(body).deals
    assert [e["recorded_at"] for e in found["events"]] == [
        NOW_US - 61 * DAY + 32_400_000_000,
        NOW_US - 1_000_000,
    ]
    assert found["activities"] == []


def test_without_as_of_it_is_now() -> None:
    assert score({"deals": [deal()]}).as_of_us == NOW_US


def test_a_sender_whose_clock_runs_ahead_is_not_cut_off() -> None:
    ahead = with_event(recorded_at="2026-01-01T00:02:00Z")
    request = score({"deals": [ahead]})
    assert request.as_of_us == NOW_US + 120_000_001
    assert len(request.deals[0]["events"]) == 2


def test_more_than_five_minutes_ahead_is_the_future() -> None:
    request = score({"deals": [with_event(recorded_at="2026-01-01T00:06:00Z")]})
    assert request.as_of_us == NOW_US
    assert len(request.deals[0]["events"]) == 1


def test_unknown_is_null_everywhere() -> None:
    empty = dict.fromkeys(
        ("amount", "currency", "owner_id", "budget", "expected_close_on", "source", "motion")
    )
    found = score({"deals": [deal(**empty, activities=None)]}).deals[0]
    assert found["amount"] is None
    assert found["activities"] == []


def test_an_empty_book_is_a_request() -> None:
    assert score({"deals": []}).deals == []


def test_period_and_reasons_may_be_asked_for() -> None:
    request = score({"deals": [], "period": "2026Q1", "reasons": 0})
    assert request.period is not None
    assert request.period.label == "2026Q1"
    assert request.reasons == 0
    assert request.locale == "en"
    assert score({"deals": [], "locale": "it"}).locale == "it"


# -- what is refused: (case, code, field, row) --------------------------------------------------------------

GOOD = deal(deal_id="good")
BAD_DEALS: list[tuple[str, Any, str, str | None]] = [
    ("not an object", CANARY, "not_an_object", None),
    ("no id", deal(deal_id=...), "missing", "deal_id"),
    ("id is a number", deal(deal_id=77317731), "not_text", "deal_id"),
    ("id is null", deal(deal_id=None), "not_text", "deal_id"),
    ("id is blank", deal(deal_id="  "), "blank", "deal_id"),
    ("id is empty", deal(deal_id=""), "blank", "deal_id"),
    ("id too long", deal(deal_id=CANARY * 20), "too_long", "deal_id"),
    ("id with NUL", deal(deal_id=f"{CANARY}\0"), "bad_character", "deal_id"),
    ("id with newline", deal(deal_id=f"{CANARY}\n1"), "bad_character", "deal_id"),
    ("id with direction override", deal(deal_id=f"{CANARY}\u202e"), "bad_character", "deal_id"),
    ("id with half a surrogate", deal(deal_id=f"{CANARY}\ud800"), "bad_character", "deal_id"),
    ("no created_at", deal(created_at=...), "missing", "created_at"),
    ("created_at null", deal(created_at=None), "bad_moment", "created_at"),
    ("created_at a number", deal(created_at=1767225600), "bad_moment", "created_at"),
    ("created_at naive", deal(created_at="2025-11-01T09:00:00"), "no_zone", "created_at"),
    ("created_at a date", deal(created_at="2025-11-01"), "no_zone", "created_at"),
    ("created_at nonsense", deal(created_at=CANARY), "bad_moment", "created_at"),
    ("created_at 30 February", deal(created_at="2025-02-30T09:00:00Z"), "bad_moment", "created_at"),
    ("created_at hour 25", deal(created_at="2025-02-03T25:00:00Z"), "bad_moment", "created_at"),
    ("created_at zone +99:99", deal(created_at="2025-02-03T09:00:00+99:99"), "bad_moment", "created_at"),
    ("created_at year 9999", deal(created_at="9999-12-31T23:59:59Z"), "out_of_range", "created_at"),
    ("created_at year 1969", deal(created_at="1969-12-31T23:59:59Z"), "out_of_range", "created_at"),
    ("created_at year 0001", deal(created_at="0001-01-01T00:00:00+23:59"), "out_of_range", "created_at"),
    ("created_at in the future", deal(created_at="2026-02-01T00:00:00Z"), "after_as_of", "created_at"),
    ("amount in quotes", deal(amount="7731"), "not_a_number", "amount"),
    ("amount a boolean", deal(amount=True), "not_a_number", "amount"),
    ("amount a list", deal(amount=[7731]), "not_a_number", "amount"),
    ("amount enormous", deal(amount=7.731e300), "out_of_range", "amount"),
    ("amount an enormous integer", deal(amount=7731 * 10**40), "out_of_range", "amount"),
    ("currency without a rate", deal(currency="XTS"), "unknown_currency", "currency"),
    ("currency a number", deal(currency=978), "not_text", "currency"),
    ("pipeline unknown", deal(pipeline=CANARY), "unknown_pipeline", "pipeline"),
    ("motion unknown", deal(motion=CANARY), "unknown_value", "motion"),
    ("category unknown", deal(forecast_category=CANARY), "unknown_value", "forecast_category"),
    ("category closed", deal(forecast_category="closed"), "unknown_value", "forecast_category"),
    ("budget above 1", deal(budget=7.731), "out_of_range", "budget"),
    ("budget below 0", deal(budget=-0.1), "out_of_range", "budget"),
    ("need a boolean", deal(need=True), "not_a_number", "need"),
    ("timeline text", deal(timeline=CANARY), "not_a_number", "timeline"),
    ("close date a moment", deal(expected_close_on="2026-03-01T00:00:00Z"), "bad_date", "expected_close_on"),
    ("close date 31 April", deal(expected_close_on="2026-04-31"), "bad_date", "expected_close_on"),
    ("close date year 2200", deal(expected_close_on="2200-01-01"), "out_of_range", "expected_close_on"),
    ("close date a number", deal(expected_close_on=7731), "bad_date", "expected_close_on"),
    ("owner a number", deal(owner_id=7731), "not_text", "owner_id"),
    ("owner blank", deal(owner_id=" "), "blank", "owner_id"),
    ("attribute a list", deal(region=[CANARY]), "not_scalar", "region"),
    ("attribute an object", deal(region={"x": CANARY}), "not_scalar", "region"),
    ("attribute too long", deal(region=CANARY * 200), "too_long", "region"),
    ("attribute with NUL", deal(region=f"{CANARY}\0"), "bad_character", "region"),
    ("attribute enormous", deal(seats=10**30), "out_of_range", "seats"),
    ("attribute name too long", {**deal(), CANARY * 20: 1}, "bad_name", None),
    ("attribute name unprintable", {**deal(), "ada@x.com\n7731": 1}, "bad_name", None),
    ("too many attributes", {**deal(), **{f"a{i}": i for i in range(201)}}, "too_many_attributes", None),
    ("no events", deal(events=...), "missing", "events"),
    ("events null", deal(events=None), "missing", "events"),
    ("events an object", deal(events={}), "not_a_list", "events"),
    ("events empty", deal(events=[]), "no_stage_event", "events"),
    ("only other events", deal(events=[event()]), "no_stage_event", "events"),
    (
        "stage only in the future",
        deal(events=[event(field="stage", value="lead", recorded_at="2026-02-01T00:00:00Z")]),
        "no_stage_event",
        "events",
    ),
    ("event not an object", deal(events=[*deal()["events"], CANARY]), "not_an_object", "events[1]"),
    ("event key unknown", with_event(Value=1), "unknown_key", "events[1].Value"),
    ("event key unspeakable", with_event(**{"a b\n": 1}), "unknown_key", "events[1]"),
    ("event without value", with_event(value=...), "missing", "events[1].value"),
    ("event without field", with_event(field=...), "missing", "events[1].field"),
    ("event without time", with_event(recorded_at=...), "missing", "events[1].recorded_at"),
    ("event field a number", with_event(field=7731), "not_text", "events[1].field"),
    ("event of a fixed column", with_event(field="source", value=CANARY), "bad_field", "events[1].field"),
    ("event of activities", with_event(field="activities", value=CANARY), "bad_field", "events[1].field"),
    ("event field unspeakable", with_event(field="ada@x.com\n7731"), "bad_name", "events[1].field"),
    ("event time naive", with_event(recorded_at="2025-11-05T00:00:00"), "no_zone", "events[1].recorded_at"),
    ("event time null", with_event(recorded_at=None), "bad_moment", "events[1].recorded_at"),
    ("stage unknown", with_event(field="stage", value=CANARY), "unknown_stage", "events[1].value"),
    ("stage null", with_event(field="stage", value=None), "unknown_stage", "events[1].value"),
    ("stage a list", with_event(field="stage", value=["lead"]), "unknown_stage", "events[1].value"),
    (
        "stage of another pipeline",
        with_event(field="stage", value="intro"),
        "unknown_stage",
        "events[1].value",
    ),
    ("amount event in quotes", with_event(value="7731"), "not_a_number", "events[1].value"),
    ("budget event above 1", with_event(field="budget", value=7731), "out_of_range", "events[1].value"),
    (
        "date event nonsense",
        with_event(field="expected_close_on", value=CANARY),
        "bad_date",
        "events[1].value",
    ),
    ("attribute event a list", with_event(field="region", value=[CANARY]), "not_scalar", "events[1].value"),
    ("actor a number", with_event(actor=7731), "not_text", "events[1].actor"),
    ("activities an object", deal(activities={}), "not_a_list", "activities"),
    ("activity not an object", deal(activities=[CANARY]), "not_an_object", "activities[0]"),
    ("activity key unknown", with_activity(text=CANARY), "unknown_key", "activities[0].text"),
    ("activity without time", with_activity(occurred_at=...), "missing", "activities[0].occurred_at"),
    ("activity without kind", with_activity(kind=...), "missing", "activities[0].kind"),
    ("activity kind unknown", with_activity(kind=CANARY), "unknown_value", "activities[0].kind"),
    (
        "activity direction unknown",
        with_activity(direction=CANARY),
        "unknown_value",
        "activities[0].direction",
    ),
    ("activity time naive", with_activity(occurred_at="2025-11-05"), "no_zone", "activities[0].occurred_at"),
]


@pytest.mark.parametrize(
    ("bad", "code", "field"), [case[1:] for case in BAD_DEALS], ids=[case[0] for case in BAD_DEALS]
)
def test_a_bad_deal_is_named_by_row_and_field(bad: Any, code: str, field: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        score({"deals": [GOOD, bad]})
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.field, refusal.row) == (400, code, field, 1)
    assert_tells_nothing(refusal)


BAD_BODIES: list[tuple[str, Any, int, str, str | None]] = [
    ("empty", b"", 400, "bad_json", None),
    ("not JSON", CANARY.encode(), 400, "bad_json", None),
    ("cut off", b'{"deals": [', 400, "bad_json", None),
    ("two values", b"{} {}", 400, "bad_json", None),
    ("not UTF-8", '{"deals": "Ü"}'.encode("latin-1"), 400, "bad_json", None),
    ("UTF-16", '{"deals": []}'.encode("utf-16"), 400, "bad_json", None),
    ("byte order mark", b'\xef\xbb\xbf{"deals": []}', 400, "bad_json", None),
    ("trailing comma", b'{"deals": [],}', 400, "bad_json", None),
    ("comment", b'{"deals": [] /* x */}', 400, "bad_json", None),
    ("control character in text", b'{"deals": "\x01"}', 400, "bad_json", None),
    ("NaN", b'{"deals": [{"amount": NaN}]}', 400, "not_finite", None),
    ("Infinity", b'{"deals": [{"amount": -Infinity}]}', 400, "not_finite", None),
    ("key twice", b'{"deals": [], "deals": []}', 400, "duplicate_key", None),
    ("key twice, deep", b'{"deals": [{"events": [{"field": 1, "field": 2}]}]}', 400, "duplicate_key", None),
    ("key twice, escaped", b'{"deals": [], "d\\u0065als": []}', 400, "duplicate_key", None),
    ("5,000 digits", b'{"deals": [{"amount": ' + b"7" * 5000 + b"}]}", 400, "bad_number", None),
    ("100,000 brackets", b'{"deals": ' + b"[" * 100_000 + b"}", 400, "too_deep", None),
    ("a list", [], 400, "not_an_object", None),
    ("null", None, 400, "not_an_object", None),
    ("a string", CANARY, 400, "not_an_object", None),
    ("no deals", {}, 400, "missing", "deals"),
    ("deals null", {"deals": None}, 400, "missing", "deals"),
    ("deals an object", {"deals": {}}, 400, "not_a_list", "deals"),
    ("unknown key", {"deals": [], "asof": CANARY}, 400, "unknown_key", "asof"),
    ("unspeakable key", {"deals": [], f"{CANARY} @": 1}, 400, "unknown_key", None),
    ("as_of naive", {"deals": [], "as_of": "2026-01-01T00:00:00"}, 400, "no_zone", "as_of"),
    ("as_of a date", {"deals": [], "as_of": "2026-01-01"}, 400, "no_zone", "as_of"),
    ("as_of year 9999", {"deals": [], "as_of": "9999-01-01T00:00:00Z"}, 400, "out_of_range", "as_of"),
    ("as_of in two years", {"deals": [], "as_of": "2028-01-01T00:00:00Z"}, 400, "out_of_range", "as_of"),
    ("as_of a number", {"deals": [], "as_of": 7731}, 400, "bad_moment", "as_of"),
    ("period nonsense", {"deals": [], "period": CANARY}, 400, "bad_period", "period"),
    ("period a number", {"deals": [], "period": 2026}, 400, "bad_period", "period"),
    ("reasons a boolean", {"deals": [], "reasons": True}, 400, "out_of_range", "reasons"),
    ("reasons too many", {"deals": [], "reasons": 7731}, 400, "out_of_range", "reasons"),
    ("locale nobody speaks", {"deals": [], "locale": CANARY}, 400, "unknown_locale", "locale"),
    ("locale a list", {"deals": [], "locale": ["it"]}, 400, "unknown_locale", "locale"),
    ("too many deals", {"deals": [1] * (MAX_DEALS + 1)}, 413, "too_many_deals", "deals"),
]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [case[1:] for case in BAD_BODIES],
    ids=[case[0] for case in BAD_BODIES],
)
def test_a_bad_body_is_refused_whole(body: Any, status: int, code: str, field: str | None) -> None:
    with pytest.raises(Refusal) as caught:
        score(body)
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.field, refusal.row) == (status, code, field, None)
    assert_tells_nothing(refusal)


def test_the_same_deal_twice_is_refused() -> None:
    with pytest.raises(Refusal, match="twice") as caught:
        score({"deals": [deal(), deal(deal_id="d2"), deal()]})
    assert (caught.value.code, caught.value.field, caught.value.row) == ("duplicate_deal", "deal_id", 2)


def test_numbers_beyond_a_double_are_refused_by_their_field() -> None:
    body = json.dumps({"deals": [deal(amount=7731)]}).replace("7731", "1e999").encode()
    with pytest.raises(Refusal) as caught:
        score(body)
    assert (caught.value.code, caught.value.field, caught.value.row) == ("not_finite", "amount", 0)


# -- /v1/forecast -------------------------------------------------------------------------------------------

QUOTA = {"level": "company", "entity": "*", "period": "2026Q1", "amount": 1e6, "currency": "EUR"}
BOOKED = {"deal_id": "b1", "owner_id": "u1", "amount": 10.0, "closed_at": "2026-01-15T00:00:00Z"}


def test_a_forecast_request_has_every_column_of_its_lists() -> None:
    request = forecast(users=[{"user_id": "u1"}], quotas=[QUOTA], booked=[BOOKED], deals=[deal()])
    assert request.period.label == "2026Q1"
    assert request.users == [
        dict.fromkeys(("name", "team", "region", "manager_id", "email", "active")) | {"user_id": "u1"}
    ]
    assert request.quotas == [QUOTA]
    assert request.booked[0]["closed_at"] == NOW_US + 14 * DAY
    assert request.booked[0]["currency"] is None


def test_a_quota_may_be_for_whoever_sells() -> None:
    users = [{"user_id": "u1", "team": "North", "region": "EMEA"}]
    owned = deal(owner_id="u2")
    handed = with_event(field="owner_id", value="u3") | {"deal_id": "d2"}
    entities = [
        ("user", "u1"),
        ("user", "u2"),
        ("user", "u3"),
        ("user", "u4"),
        ("team", "North"),
        ("region", "EMEA"),
    ]
    quotas = [{**QUOTA, "level": level, "entity": entity} for level, entity in entities]
    request = forecast(
        users=users, quotas=quotas, deals=[owned, handed], booked=[{**BOOKED, "owner_id": "u4"}]
    )
    assert len(request.quotas) == 6


BAD_LISTS: list[tuple[str, dict[str, Any], str, str | None, int | None]] = [
    ("no period", {"period": ...}, "missing", "period", None),
    ("period nonsense", {"period": "Q1"}, "bad_period", "period", None),
    ("deals missing", {"deals": ...}, "missing", "deals", None),
    ("users an object", {"users": {}}, "not_a_list", "users", None),
    ("user not an object", {"users": [CANARY]}, "not_an_object", "users", 0),
    ("user without id", {"users": [{"name": CANARY}]}, "missing", "users.user_id", 0),
    ("user key unknown", {"users": [{"user_id": "u", "phone": CANARY}]}, "unknown_key", "users.phone", 0),
    ("user twice", {"users": [{"user_id": "u"}, {"user_id": "u"}]}, "duplicate", "users.user_id", 1),
    ("active a number", {"users": [{"user_id": "u", "active": 1}]}, "not_boolean", "users.active", 0),
    ("level unknown", {"quotas": [{**QUOTA, "level": CANARY}]}, "unknown_value", "quotas.level", 0),
    ("quota period", {"quotas": [QUOTA, {**QUOTA, "period": CANARY}]}, "bad_period", "quotas.period", 1),
    ("quota amount", {"quotas": [{**QUOTA, "amount": "7731"}]}, "not_a_number", "quotas.amount", 0),
    ("quota amount null", {"quotas": [{**QUOTA, "amount": None}]}, "not_a_number", "quotas.amount", 0),
    ("quota of no company", {"quotas": [{**QUOTA, "entity": CANARY}]}, "unknown_entity", "quotas.entity", 0),
    ("quota of no user", {"quotas": [{**QUOTA, "level": "user"}]}, "unknown_entity", "quotas.entity", 0),
    ("quota of no team", {"users": [{"user_id": "u", "region": "N"}],
     "quotas": [{**QUOTA, "level": "team", "entity": "N"}]}, "unknown_entity", "quotas.entity", 0),
    ("quota negative", {"quotas": [{**QUOTA, "amount": -7731}]}, "out_of_range", "quotas.amount", 0),
    ("quota twice", {"quotas": [QUOTA, QUOTA]}, "duplicate", "quotas", 1),
    ("quota currency", {"quotas": [{**QUOTA, "currency": "XTS"}]}, "unknown_currency", "quotas.currency", 0),
    ("booked later", {"booked": [{**BOOKED, "closed_at": "2026-02-15T00:00:00Z"}]}, "after_as_of",
     "booked.closed_at", 0),
    ("booked too early", {"booked": [{**BOOKED, "closed_at": "2025-12-31T23:00:00Z"}]}, "outside_period",
     "booked.closed_at", 0),
    ("booked twice", {"booked": [BOOKED, BOOKED]}, "duplicate", "booked.deal_id", 1),
    ("booked in XTS", {"booked": [{**BOOKED, "currency": "XTS"}]}, "unknown_currency", "booked.currency", 0),
    ("booked without amount", {"booked": [{"owner_id": "u"}]}, "missing", "booked.amount", 0),
    ("unknown key", {"levels": []}, "unknown_key", "levels", None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "code", "field", "row"), [case[1:] for case in BAD_LISTS], ids=[case[0] for case in BAD_LISTS]
)
def test_a_bad_list_is_named(changes: dict[str, Any], code: str, field: str | None, row: int | None) -> None:
    with pytest.raises(Refusal) as caught:
        forecast(**changes)
    refusal = caught.value
    assert (refusal.status, refusal.code, refusal.field, refusal.row) == (400, code, field, row)
    assert_tells_nothing(refusal)


# -- whatever is sent ---------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
KEYS = st.sampled_from(
    [
        "deal_id",
        "created_at",
        "amount",
        "events",
        "activities",
        "field",
        "value",
        "recorded_at",
        "budget",
        "x",
    ]
) | st.text(max_size=5)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)
PARSERS: list[Callable[..., Any]] = [parse_score_request, parse_forecast_request]


def mutated(original: Any, path: list[Any], junk: Any) -> Any:
    """The same structure with `junk` at the place that `path` leads to."""
    if not path or not isinstance(original, dict | list) or not original:
        return junk
    step, *rest = path
    if isinstance(original, list):
        place = step % len(original)
        return [mutated(item, rest, junk) if i == place else item for i, item in enumerate(original)]
    name = sorted(original)[step % len(original)]
    return {key: mutated(value, rest, junk) if key == name else value for key, value in original.items()}


@settings(deadline=None, max_examples=150)
@given(path=st.lists(st.integers(0, 30), max_size=5), junk=ANYTHING, parse=st.sampled_from(PARSERS))
def test_any_json_is_answered_or_cleanly_refused(
    path: list[int], junk: Any, parse: Callable[..., Any]
) -> None:
    sound = {
        "as_of": "2026-02-01T00:00:00Z",
        "period": "2026Q1",
        "deals": [deal(), with_event(field="region")],
        "users": [{"user_id": "u1"}],
        "quotas": [QUOTA],
        "booked": [BOOKED],
    }
    sound["deals"][1]["deal_id"] = "d2"  # type: ignore[index]
    if parse is parse_score_request:
        sound = {key: sound[key] for key in ("as_of", "period", "deals")}
    body = json.dumps(mutated(sound, path, junk)).encode("utf-8", "surrogatepass")
    refusal = None
    try:
        parse(body, KNOWN, NOW_US)
    except Refusal as caught:
        refusal = caught
    assert refusal is None or refusal.status in (400, 413)
    assert refusal is None or json.dumps(refusal.body("id"), ensure_ascii=False).encode()


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200))
def test_any_bytes_are_cleanly_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        parse_score_request(body, KNOWN, NOW_US)


def assert_tells_nothing(refusal: Refusal) -> None:
    """Nothing of the input is in the answer: neither text nor number."""
    told = json.dumps(refusal.body("id"))
    assert "7731" not in told
    assert "Ada" not in told
    assert "x.com" not in told
