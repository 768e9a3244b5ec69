"""Answers of a real bundle: the same as the library's, in any order, and as the OpenAPI document says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pandas as pd
import pytest

from forecast.history import History
from forecast.outlook import Outlook
from forecast.periods import Period
from forecast.scoring import SCORE_COLUMNS, score_columns, score_open_deals
from forecast.service.api import ROUTES
from forecast.service.deals import ACTIVITY_KINDS, CATEGORIES, DIRECTIONS, EVENT_FIELDS, MOTIONS
from forecast.service.encoding import moment
from forecast.service.engine import Engine
from forecast.service.openapi import example_forecast_request, example_score_request
from forecast.service.refusals import Refusal
from forecast.service.values import MAX_ID
from forecast.tables import TABLES, Tables
from forecast.tables.models import MAX_ID as TABLE_MAX_ID

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
NOW_US = 1_767_225_600_000_000


@pytest.fixture(scope="module")
def engine(trained_bundle: Path) -> Engine:
    return Engine.load(trained_bundle)


@pytest.fixture(scope="module")
def book(sample_tables: Tables) -> list[dict[str, Any]]:
    """The last 60 deals of the sample as a CRM would send them: some open, some closed."""
    chosen = sample_tables.deals.sort_values("created_at").tail(60)
    return [as_sent(deal, sample_tables) for deal in chosen.to_dict("records")]


def as_sent(deal: dict[str, Any], tables: Tables) -> dict[str, Any]:
    """A row of the deals table with its events and activities, as JSON.

    Columns with a history are left to the events.
    """
    changing = {*EVENT_FIELDS, "stage"}
    events = tables.deal_events[tables.deal_events["deal_id"] == deal["deal_id"]]
    activities = tables.activities[tables.activities["deal_id"] == deal["deal_id"]]
    sent = {
        name: plain(value)
        for name, value in deal.items()
        if name not in changing and plain(value) is not None
    }
    return {
        **sent,
        "events": [
            {"field": row.field, "value": typed(row.field, row.value), "recorded_at": plain(row.recorded_at)}
            for row in events.itertuples()
        ],
        "activities": [
            {"occurred_at": plain(row.occurred_at), "kind": row.kind, "direction": plain(row.direction)}
            for row in activities.itertuples()
        ],
    }


def plain(value: Any) -> Any:
    if isinstance(value, pd.Timestamp):
        return moment(value.value // 1000)
    return None if pd.isna(value) else value


def typed(field: str, value: Any) -> Any:
    if pd.isna(value):
        return None
    return float(value) if field in ("amount", "budget", "authority", "need", "timeline") else value


def scored(engine: Engine, deals: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    body = json.dumps({"as_of": "2026-01-01T00:00:00Z", "deals": deals, **more}).encode()
    answer: dict[str, Any] = json.loads(engine.score(body, NOW_US)[0], parse_constant=pytest.fail)
    return answer


# -- scores -------------------------------------------------------------------------------------------------


def test_every_deal_is_scored_or_named_as_closed(engine: Engine, book: list[dict[str, Any]]) -> None:
    answer = scored(engine, book)
    assert answer["as_of"] == "2026-01-01T00:00:00Z"
    assert answer["model"] == {"bundle": engine.bundle.id, "trained_until": "2026-01-01T00:00:00Z"}
    found = [row["deal_id"] for row in answer["scores"]]
    closed = {row["deal_id"]: row["reason"] for row in answer["skipped"]}
    assert found == [deal["deal_id"] for deal in book if deal["deal_id"] not in closed]
    assert len(found) > 10
    assert set(closed.values()) <= {"won", "lost"}
    assert len(found) + len(closed) == len(book)


def test_the_answer_is_what_the_library_says_to_the_last_bit(
    engine: Engine, book: list[dict[str, Any]]
) -> None:
    models = engine.bundle.models
    answer = scored(engine, book, period="2026Q1", reasons=3)
    history = History.from_request(book, stages=models.stages, money=models.money)
    expected = score_open_deals(history, engine.bundle, AS_OF, period=Period.parse("2026Q1"), reasons=3)
    got = pd.DataFrame(answer["scores"]).sort_values("deal_id", ignore_index=True)
    assert list(answer["scores"][0]) == list(SCORE_COLUMNS)
    for name in expected.columns:
        if expected[name].dtype.kind == "f":
            np.testing.assert_array_equal(got[name].to_numpy(float), expected[name].to_numpy())
    assert got["reasons"].tolist() == [json.loads(text) for text in expected["reasons"]]
    assert got["close_on_p50"].tolist() == expected["close_on_p50"].dt.strftime("%Y-%m-%d").tolist()
    assert got["stage"].tolist() == expected["stage"].tolist()


def test_reasons_are_told_in_the_language_of_the_request(engine: Engine, book: list[dict[str, Any]]) -> None:
    models = engine.bundle.models
    history = History.from_request(book, stages=models.stages, money=models.money)
    expected = score_open_deals(history, engine.bundle, AS_OF, locale="it").set_index("deal_id")["reasons"]
    for row in scored(engine, book, locale="it")["scores"]:
        assert row["reasons"] == json.loads(expected[row["deal_id"]])


def test_the_folder_and_the_request_say_the_same(
    engine: Engine, book: list[dict[str, Any]], sample_outlook: Outlook
) -> None:
    """A CRM that pushes its deals gets what the command line reads from its export."""
    answer = scored(engine, book, period="2026Q1", reasons=0)
    by_id = sample_outlook.scores.set_index("deal_id")
    for row in answer["scores"]:
        expected = by_id.loc[row["deal_id"]]
        for name in ("win_probability", "won_90d", "lost_90d", "won_in_period", "expected_bookings"):
            assert row[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), (row["deal_id"], name)


def test_one_by_one_is_the_same_as_together(engine: Engine, book: list[dict[str, Any]]) -> None:
    together = {row["deal_id"]: row for row in scored(engine, book)["scores"]}
    for deal in book[::7]:
        for row in scored(engine, [deal])["scores"]:
            assert row == together[row["deal_id"]]


def test_answers_keep_the_order_of_the_request(engine: Engine, book: list[dict[str, Any]]) -> None:
    forward, backward = scored(engine, book)["scores"], scored(engine, book[::-1])["scores"]
    assert forward == backward[::-1]


def test_future_events_change_nothing(engine: Engine, book: list[dict[str, Any]]) -> None:
    deal = next(deal for deal in book if scored(engine, [deal])["scores"])
    stages = engine.bundle.models.stages
    won = next(stage for stage, kind in zip(stages.stage, stages.kind, strict=True) if kind == 1)
    later = [
        {"field": "stage", "value": won, "recorded_at": "2026-01-01T00:00:00Z"},
        {"field": "amount", "value": 1e9, "recorded_at": "2026-02-01T00:00:00Z"},
    ]
    call = {"occurred_at": "2026-01-01T00:00:00Z", "kind": "call", "direction": "in"}
    told = {**deal, "events": deal["events"] + later, "activities": [*deal["activities"], call]}
    assert scored(engine, [told])["scores"] == scored(engine, [deal])["scores"]


def test_plain_columns_count_where_no_event_speaks(engine: Engine) -> None:
    pipeline, stages = engine.example_stages()
    deal = example_score_request(stages, pipeline)["deals"][0]
    bare = {**deal, "events": deal["events"][:1], "amount": None}
    (without,) = scored(engine, [bare])["scores"]
    (with_amount,) = scored(engine, [{**bare, "amount": 50_000}])["scores"]
    assert without["amount"] is None
    assert with_amount["amount"] == 50_000


def test_an_empty_book_has_no_scores(engine: Engine) -> None:
    answer = scored(engine, [])
    assert answer["scores"] == []
    assert answer["skipped"] == []


@pytest.mark.parametrize(("period", "code"), [("2025Q4", "past_period"), ("2031", "beyond_horizon_cap")])
def test_a_period_out_of_reach_is_the_callers_fault(engine: Engine, period: str, code: str) -> None:
    pipeline, stages = engine.example_stages()
    for ask, example in (
        (engine.score, example_score_request(stages, pipeline)),
        (engine.forecast, example_forecast_request(stages, pipeline)),
    ):
        with pytest.raises(Refusal) as caught:
            ask(json.dumps({**example, "period": period}).encode(), NOW_US)
        assert (caught.value.status, caught.value.code, caught.value.field) == (400, code, "period")


# -- bookings -----------------------------------------------------------------------------------------------


def forecasted(engine: Engine, **body: Any) -> dict[str, Any]:
    raw = json.dumps({"as_of": "2026-01-01T00:00:00Z", "period": "2026Q1", **body}).encode()
    answer: dict[str, Any] = json.loads(engine.forecast(raw, NOW_US)[0], parse_constant=pytest.fail)
    return answer


def test_a_whole_book_rolls_up_as_the_command_line_does(
    engine: Engine, sample_tables: Tables, sample_outlook: Outlook
) -> None:
    open_ids = set(sample_outlook.scores["deal_id"])
    chosen = sample_tables.deals[sample_tables.deals["deal_id"].isin(open_ids)]
    answer = forecasted(
        engine,
        deals=[as_sent(deal, sample_tables) for deal in chosen.to_dict("records")],
        users=[
            known(row, "user_id name team region manager_id email active")
            for row in records(sample_tables.users)
        ],
        quotas=[known(row, "level entity period amount currency") for row in records(sample_tables.quotas)],
    )
    got = pd.DataFrame(answer["bookings"]).set_index(["level", "entity"])
    expected = sample_outlook.bookings.table.set_index(["level", "entity"])
    assert list(got.index) == list(expected.index)
    for name in ("booked", "open", "arrivals", "expected", "quota", "gap", "pipeline_open_amount"):
        np.testing.assert_allclose(got[name].to_numpy(float), expected[name].to_numpy(), rtol=1e-9, atol=1e-6)


def test_children_add_up_to_the_company(engine: Engine, book: list[dict[str, Any]]) -> None:
    answer = forecasted(engine, deals=book, users=[], quotas=[])
    bookings = pd.DataFrame(answer["bookings"])
    for name in ("booked", "open", "arrivals", "expected"):
        sums = bookings.groupby("level")[name].sum()
        np.testing.assert_allclose(sums.to_numpy(), sums["company"], rtol=1e-9)


def test_a_won_deal_is_booked_once_however_it_is_told(engine: Engine) -> None:
    stages = engine.bundle.models.stages
    pipeline, names = engine.example_stages()
    won = next(
        stages.stage[code]
        for code in range(len(stages))
        if stages.pipeline[code] == pipeline and stages.kind[code] == 1
    )
    deal = example_score_request(names, pipeline)["deals"][0]
    closing = {"field": "stage", "value": won, "recorded_at": "2026-01-10T00:00:00Z"}
    sold = {**deal, "events": [*deal["events"], closing]}
    told = {
        "deal_id": deal["deal_id"],
        "owner_id": "U-3",
        "amount": 24_000,
        "closed_at": "2026-01-10T00:00:00Z",
    }
    for body in ({"deals": [sold]}, {"deals": [], "booked": [told]}, {"deals": [sold], "booked": [told]}):
        answer = forecasted(engine, **body, as_of="2026-02-01T00:00:00Z")
        assert answer["bookings"][0]["level"] == "company"
        assert answer["bookings"][0]["booked"] == pytest.approx(24_000)


def test_without_quotas_attainment_is_unknown(engine: Engine) -> None:
    answer = forecasted(engine, deals=[])
    assert answer["bookings"][0]["quota"] is None
    assert answer["bookings"][0]["attainment_probability"] is None


# -- the document -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(engine: Engine) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(engine.openapi())
    return found


def check(document: dict[str, Any], name: str, value: Any) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


def example(document: dict[str, Any], path: str) -> Any:
    return document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]


def test_the_document_names_every_route(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert {path: set(map(str.upper, asked)) for path, asked in document["paths"].items()} == {
        path: set(methods) for path, methods in ROUTES.items()
    }
    references = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert references == set(document["components"]["schemas"])
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_its_examples_can_be_sent_as_they_are(engine: Engine, document: dict[str, Any]) -> None:
    request = example(document, "/v1/score")
    check(document, "ScoreRequest", request)
    answer = json.loads(engine.score(json.dumps(request).encode(), NOW_US)[0])
    check(document, "ScoreAnswer", answer)
    assert len(answer["scores"]) == 1
    assert (len(request["deals"][0]["events"]), len(request["deals"][0]["activities"])) == (8, 10)
    request = example(document, "/v1/forecast")
    check(document, "ForecastRequest", request)
    check(document, "ForecastAnswer", json.loads(engine.forecast(json.dumps(request).encode(), NOW_US)[0]))


def test_answers_are_as_it_says(engine: Engine, document: dict[str, Any], book: list[dict[str, Any]]) -> None:
    check(document, "ScoreAnswer", scored(engine, book, period="2026Q1"))
    check(document, "ForecastAnswer", forecasted(engine, deals=book))
    check(document, "Model", json.loads(engine.model()))
    check(document, "Error", Refusal(400, "blank", "is blank", field="deal_id", row=1).body("r"))


def test_it_names_the_columns_of_the_contract(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert list(schemas["Score"]["properties"]) == score_columns(with_period=True)
    assert set(schemas["Deal"]["properties"]) == {*TABLES["deals"], "events", "activities"}
    assert set(schemas["User"]["properties"]) == set(TABLES["users"])
    assert set(schemas["Quota"]["properties"]) == set(TABLES["quotas"])


def test_service_and_tables_agree_on_words_and_limits() -> None:
    assert MAX_ID == TABLE_MAX_ID
    source = (Path(__file__).parents[2] / "src/forecast/tables/models.py").read_text()
    for word in (*MOTIONS, *CATEGORIES, *ACTIVITY_KINDS, *DIRECTIONS):
        assert f'"{word}"' in source


def test_the_model_says_what_a_request_may_use(engine: Engine) -> None:
    model = json.loads(engine.model())
    assert {row["stage"] for row in model["stages"]} == set(engine.bundle.models.stages.stage)
    assert model["reporting_currency"] in model["currencies"]
    assert model["limits"]["deals"] == 10_000


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def known(row: dict[str, Any], names: str) -> dict[str, Any]:
    return {name: row[name] for name in names.split()}
