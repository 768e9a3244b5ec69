"""The fast road reads exactly what the strict one reads, and refuses nothing and accepts nothing by itself."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.history import WON, History, StageMap
from forecast.history.columns import ACTIVITIES
from forecast.service.catalogue import Catalogue
from forecast.service.fast_json import loads_at_once, most_keys
from forecast.service.moments import moments_us
from forecast.service.reading import FEW_BYTES, read_forecast_request, read_score_request
from forecast.service.refusals import Invalid, Refusal
from forecast.service.requests import (
    ForecastRequest,
    ScoreRequest,
    parse_forecast_request,
    parse_score_request,
)
from forecast.service.strict_json import loads
from forecast.service.values import moment_us
from forecast.tables import Dialect, Money

NOW_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
STAGES = [
    {"pipeline": "sales", "stage": "lead", "label": "Lead", "position": 1, "kind": "open"},
    {"pipeline": "sales", "stage": "offer", "label": "Offer", "position": 2, "kind": "open"},
    {"pipeline": "sales", "stage": "won", "label": "Won", "position": 3, "kind": "won"},
    {"pipeline": "partner", "stage": "intro", "label": "Intro", "position": 1, "kind": "open"},
]
STAGE_MAP = StageMap.from_json([{**row, "default_probability": None} for row in STAGES])
MONEY = Money.from_json({"reporting": "EUR", "rates": {"USD": [[0, 0.9]]}})
DIALECT = Dialect.from_toml(
    {"stages": {"rename": {"Neu": "lead"}}, "bant": {"common_words": True}}, "of this test"
)
PLAIN_WORDS = Catalogue.of(STAGES, MONEY.currencies)
OWN_WORDS = Catalogue.of(STAGES, MONEY.currencies, DIALECT)

MOMENTS = (
    "2025-11-01T09:00:00Z",
    "2025-11-02T09:00:00+01:00",
    "2025-11-03 09:00Z",
    "2025-12-31T23:59:59.999999999Z",
    "2025-12-31T23:59:59.9999-00:30",
    "2026-01-01T00:02:00Z",
    "2026-01-01T00:00:00Z",
    "2026-03-01T00:00:00.000+0000",
)
NO_MOMENTS = (
    "2025-02-29T00:00:00Z",
    "2025-11-01T09:00:00",
    "1969-12-31T23:59:59Z",
    "2025-11-01T24:00:00Z",
    "2025-11-01T09:00:00z",
    "٢٠٢٥-11-01T09:00:00Z",
)
TEXTS = st.sampled_from(
    ["", " ", "x", "Ada", "new", "EUR", "USD", "GBP", "sales", "partner", "lead", "Neu", "offer", "won",
     "intro", "yes", "2026-01-31", "2026-02-30", "commit", "call", "in", "a\x07b", "a\tb", "\u202e",
     "é" * 256, '":', '" :', "\\", '\\"', "\ud800"]
)  # fmt: skip
NUMBERS = st.sampled_from([0, -0.0, 1, 0.5, 1.0, 2, -3, 1e13, 10**13 + 1, 1e14, 10**400, 9007199254740993])
JUNK = st.one_of(
    st.sampled_from((*MOMENTS, *NO_MOMENTS)),
    TEXTS,
    NUMBERS,
    st.booleans(),
    st.none(),
    st.just([]),
    st.just({}),
    st.just([1]),
    st.just({"a": 1}),
)


def usually(value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Right nearly always: a request with a fault should have one, not twenty."""
    return st.integers(0, 30).flatmap(lambda n: JUNK if n == 7 else value)


SOUND_MOMENTS = usually(st.sampled_from(MOMENTS))
VALUES = {
    "stage": st.sampled_from(["lead", "offer", "won"]),
    "amount": st.sampled_from([0, -0.0, 1200.5, 7, None, 1e13]),
    "expected_close_on": st.sampled_from(["2026-01-31", "2026-03-01", None]),
    "owner_id": st.sampled_from(["U-1", "U-2", None]),
    "forecast_category": st.sampled_from(["commit", "omitted", None]),
    "need": st.sampled_from([0, 1, 0.5, None]),
    "region": st.sampled_from(["Nord", "", None, 1, 1.0, True, "日本"]),
    "seats": st.sampled_from([1, 1.0, True, False, 0, "1", -0.0]),
}


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from([*VALUES, "stage"]))
    found = {"field": name, "value": draw(usually(VALUES[name])), "recorded_at": draw(SOUND_MOMENTS)}
    if draw(st.integers(0, 9)) == 0:
        found["actor"] = draw(usually(st.sampled_from(["U-1", None])))
    return found


@st.composite
def activities(draw: st.DrawFn) -> dict[str, Any]:
    found = {"occurred_at": draw(SOUND_MOMENTS), "kind": draw(usually(st.sampled_from(["call", "email"])))}
    if draw(st.booleans()):
        found["direction"] = draw(usually(st.sampled_from(["in", "out", None])))
    return found


@st.composite
def deals(draw: st.DrawFn, number: int) -> dict[str, Any]:
    first = {"field": "stage", "value": "lead", "recorded_at": "2025-10-01T09:00:00Z"}
    found = {
        "deal_id": draw(usually(st.just(f"D-{number}"))),
        "created_at": draw(usually(st.just("2025-10-01T09:00:00Z"))),
        "events": draw(usually(st.lists(events(), max_size=5).map(lambda more: [first, *more]))),
    }
    if draw(st.booleans()):
        found["activities"] = draw(usually(st.lists(activities(), max_size=3)))
    for name, value in {
        **VALUES,
        "currency": st.sampled_from(["EUR", "USD", None]),
        "source": st.sampled_from(["web", None]),
        "motion": st.sampled_from(["new", "renewal", None]),
    }.items():
        if draw(st.integers(0, 3)) == 0:
            found[name] = draw(usually(value))
    if draw(st.integers(0, 40)) == 0:
        found.pop(draw(st.sampled_from(list(found))))
    return found


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """Requests as they come, some with a fault, written as some writer of JSON does."""
    top: dict[str, Any] = {
        "deals": [draw(usually(deals(number))) for number in range(draw(st.integers(0, 3)))],
        "period": "2026Q1",
    }
    if draw(st.booleans()):
        top["as_of"] = draw(usually(st.sampled_from(["2026-01-01T00:00:00Z", "2025-11-02T08:30:00Z"])))
    text = json.dumps(
        top,
        ensure_ascii=draw(st.booleans()),
        separators=draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", " :\t")])),
    )
    change = draw(st.integers(0, 30))
    if change == 1:  # a key again, wherever an object ends
        ends = [at for at, sign in enumerate(text) if sign == "}"]
        at = draw(st.sampled_from(ends))
        key = draw(st.sampled_from(["deals", "deal_id", "field", "kind", "value", "created_at", "x"]))
        text = f'{text[:at]}, "{key}": {draw(st.sampled_from(["1", chr(34) * 2, "null"]))}{text[at:]}'
    if change == 2:
        text = text.replace("1200.5", draw(st.sampled_from(["NaN", "1e999", "-Infinity", "1" * 5000])), 1)
    if change == 3:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.sampled_from(["\ufeff", "]", "}", ",", "\x00", "[" * 3000])) + text[at:]
    body = text.encode("utf-8", "surrogatepass")
    return body[: draw(st.integers(0, len(body)))] if change == 4 else body


def entries(history: History) -> dict[str, Any]:
    """Everything a history holds, deal by deal, in words and without codes."""
    columns = history.columns
    told: dict[str, Any] = {}
    for place, deal_id in enumerate(history.deal_ids.tolist()):
        facts = {
            name: columns.vocabularies[name].take(codes[[place]])[0]
            for name, codes in (
                ("pipeline", columns.pipeline),
                ("motion", columns.motion),
                ("account_id", columns.account),
                ("source", columns.source),
            )
        }
        facts |= {"created_at": columns.created_at_us[place], "currency": columns.currency[place]}
        past = {}
        for field, name in enumerate(history.fields):
            group = place * len(history.fields) + field
            here = slice(history.index.starts[group], history.index.starts[group + 1])
            values: list[Any] = history.value[here].tolist()
            if name in columns.vocabularies and not (ACTIVITIES[0] <= field <= ACTIVITIES[-1]):
                texts = columns.vocabularies[name].texts
                values = [None if code != code else texts[int(code)] for code in values]
            if values:
                said = [None if value != value else repr(value) for value in values]
                past[name, field in ACTIVITIES] = list(zip(history.at_us[here].tolist(), said, strict=True))
        told[deal_id] = (facts, past)
    return told


def outcome(read: Any, body: bytes, known: Catalogue) -> Any:
    """What a road makes of a body, as something that compares."""
    try:
        request: ScoreRequest | ForecastRequest = read(body, known, NOW_US)
    except Refusal as refusal:
        return refusal.status, refusal.body("id")
    told = entries(request.sent.history(STAGE_MAP, MONEY))
    owners = request.sent.owners()
    if isinstance(request, ForecastRequest):
        rest: Any = (request.users, request.quotas, request.booked)
    else:
        rest = (request.reasons, request.locale)
    return request.as_of_us, request.period, request.sent.ids, told, owners, rest


@settings(deadline=None, max_examples=400)
@given(body=bodies(), known=st.sampled_from([PLAIN_WORDS, OWN_WORDS]))
def test_both_roads_lead_to_the_same(body: bytes, known: Catalogue) -> None:
    assert outcome(partial(read_score_request, few_bytes=0), body, known) == outcome(
        parse_score_request, body, known
    )
    assert outcome(partial(read_forecast_request, few_bytes=0), body, known) == outcome(
        parse_forecast_request, body, known
    )


def sound(**more: Any) -> dict[str, Any]:
    event = {"field": "stage", "value": "lead", "recorded_at": "2025-11-01T09:00:00Z"}
    base = {"deal_id": "1", "created_at": "2025-11-01T09:00:00Z", "events": [event]}
    return base | more


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"activities": None, "amount": None, "region": "Österreich", "seats": 3, "vip": True},
        {"activities": [{"occurred_at": "2025-11-02T09:00:00Z", "kind": "call"}]},
        {"note": 'said "yes": twice'},
    ],
)
def test_what_is_sound_takes_the_fast_road(more: dict[str, Any]) -> None:
    """Else the comparison above would compare the strict road with itself."""
    body = json.dumps({"deals": [sound(**more)]}).encode()
    took_it = read_score_request(body, PLAIN_WORDS, NOW_US, few_bytes=0).sent.sheet is not None
    assert took_it == (":" not in str(more.get("note", "")))


@pytest.mark.parametrize("number", [1, 60])
def test_few_deals_take_the_strict_road_at_once(number: int) -> None:
    """Columns of one are no faster."""
    body = json.dumps({"deals": [sound(deal_id=str(place)) for place in range(number)]}).encode()
    request = read_score_request(body, PLAIN_WORDS, NOW_US)
    assert (request.sent.sheet is not None) == (len(body) > FEW_BYTES) == (number > 1)


@pytest.mark.parametrize("key", ["deals", "deal_id", "events", "field", "kind", "region"])
def test_a_repeated_key_is_seen(key: str) -> None:
    activity = {"occurred_at": "2025-11-02T09:00:00Z", "kind": "call"}
    text = json.dumps({"deals": [sound(region="x", activities=[activity])]})
    at = text.index(f'"{key}":')
    for again in (f'"{key}": 1, ', f'"{key}" \n: 1, ', f'"{key[:-1]}\\u{ord(key[-1]):04x}": 1, '):
        doubled = f"{text[:at]}{again}{text[at:]}".encode()
        assert read_refusal(doubled).code == "duplicate_key"


def read_refusal(body: bytes) -> Refusal:
    with pytest.raises(Refusal) as caught:
        read_score_request(body, PLAIN_WORDS, NOW_US, few_bytes=0)
    return caught.value


def keys_of(value: Any) -> int:
    """Keys of all objects in a value."""
    if isinstance(value, dict):
        return len(value) + sum(map(keys_of, value.values()))
    return sum(map(keys_of, value)) if isinstance(value, list) else 0


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(['":', '" :', '\\":', "\\", ":"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(deadline=None, max_examples=300)
@given(value=JSON, ascii_only=st.booleans(), separators=st.sampled_from([(",", ":"), (" , ", "\n:\t")]))
def test_the_fast_reader_of_json_reads_the_same(
    value: Any, ascii_only: bool, separators: tuple[str, str]
) -> None:
    """Numbers to the last bit and with their kind, and never fewer keys counted than there are."""
    body = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
    assert repr(loads_at_once(body)) == repr(loads(body))
    assert most_keys(body) >= keys_of(value)


@settings(deadline=None, max_examples=300)
@given(st.from_regex(r"-?(0|[1-9]\d{0,40})(\.\d{1,40})?([eE][+-]?\d{1,3})?", fullmatch=True))
def test_numbers_are_read_to_the_last_bit(text: str) -> None:
    try:
        found = repr(loads_at_once(text.encode()))
    except ValueError:
        return  # left to the strict reader
    assert found == repr(loads(text.encode()))


@settings(deadline=None, max_examples=40)
@given(
    form=st.sampled_from(
        ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S.123", "%Y-%m-%dT%H:%M:%S.1234567"]
    ),
    zone=st.sampled_from(["Z", "+01:00", "-0530", "+2359"]),
    seed=st.integers(0, 10**6),
)
def test_many_moments_at_once_are_those_one_by_one(form: str, zone: str, seed: int) -> None:
    at_s = np.random.default_rng(seed).integers(86_400, 7_250_000_000, 250)
    texts = [f"{np.datetime64(int(s), 's').item().strftime(form)}{zone}" for s in at_s]
    assert moments_us(texts).tolist() == [moment_us(text) for text in texts]


@pytest.mark.parametrize(
    "odd",
    ["2025-02-29T09:00:00Z", "2025-13-01T09:00:00Z", "2025-11-01T24:00:00Z", "2025-11-01T09:60:00Z",
     "2025-11-01T09:00:60Z", "2025-11-01T09:00:00z", "2025-11-01t09:00:00Z", "0000-01-01T00:00:00Z",
     "2200-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2025/11/01T09:00:00Z", "2025-11-01T0९:00:00Z",
     "2025-00-01T09:00:00Z", "2025-11-00T09:00:00Z", 1, None, True, "", "2025-11-01T09:00:0/Z"],
)  # fmt: skip
def test_one_odd_moment_among_many_is_found(odd: Any) -> None:
    with pytest.raises(Invalid) as alone:
        moment_us(odd)
    with pytest.raises(Invalid) as among:
        moments_us([*["2025-11-01T09:00:00Z"] * 300, odd])
    assert among.value.code == alone.value.code


def test_stage_kinds_of_this_test_are_those_of_the_map() -> None:
    assert STAGE_MAP.kind[STAGE_MAP.code("sales", "won")] == WON
