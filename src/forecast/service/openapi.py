"""The OpenAPI description of the service: `GET /docs.json`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from forecast import __version__
from forecast.service.refusals import CODES, Refusal
from forecast.service.schemas import SCHEMAS

__all__ = ["example_forecast_request", "example_score_request", "specification"]

Json = dict[str, Any]

_OBJECT: Final[Json] = {"type": "object"}
_TEXT: Final[Json] = {"type": "string"}
_REQUEST_ID: Final = "5f0c6d2e9b7a4c1d8e3f2a1b0c9d8e7f"
_REFUSED: Final = Refusal(
    400,
    "unknown_stage",
    "is no stage of its pipeline; GET /v1/model lists them",
    field="events[1].value",
    row=0,
).body(_REQUEST_ID)


def example_score_request(stages: tuple[str, str], pipeline: str = "sales") -> Json:
    """A request of one deal with a full history, in the words of a pipeline's first two open stages."""
    first, second = stages
    events = [
        ("stage", first, "2025-11-03T09:12:00Z"),
        ("amount", 18000, "2025-11-03T09:12:00Z"),
        ("expected_close_on", "2026-02-28", "2025-11-03T09:12:00Z"),
        ("need", 1, "2025-11-10T14:00:00Z"),
        ("stage", second, "2025-11-20T16:40:00Z"),
        ("authority", 1, "2025-12-01T10:05:00Z"),
        ("amount", 24000, "2025-12-10T08:30:00Z"),
        ("forecast_category", "best_case", "2025-12-10T08:31:00Z"),
    ]
    days = (4, 5, 10, 12, 18, 20, 24, 27)
    kinds = ("email", "email", "call", "email", "meeting", "note", "email", "call")
    activities = [
        {
            "occurred_at": f"2025-11-{day:02d}T11:00:00Z",
            "kind": kind,
            "direction": "in" if place % 3 == 1 else "out",
        }
        for place, (day, kind) in enumerate(zip(days, kinds, strict=True))
    ]
    activities += [
        {"occurred_at": "2025-12-09T15:00:00Z", "kind": "meeting", "direction": "out"},
        {"occurred_at": "2025-12-15T09:00:00Z", "kind": "email", "direction": "in"},
    ]
    deal = {
        "deal_id": "D-1042",
        "pipeline": pipeline,
        "motion": "new",
        "created_at": "2025-11-03T09:12:00Z",
        "account_id": "A-77",
        "source": "referral",
        "owner_id": "U-3",
        "amount": 24000,
        "events": [{"field": f, "value": v, "recorded_at": at} for f, v, at in events],
        "activities": activities,
    }
    return {"as_of": "2026-01-01T00:00:00Z", "deals": [deal]}


def example_forecast_request(stages: tuple[str, str], pipeline: str = "sales") -> Json:
    """The same deal with a user, a quota and a booked deal."""
    return {
        **example_score_request(stages, pipeline),
        "period": "2026Q1",
        "users": [{"user_id": "U-3", "name": "Ada", "team": "North", "region": "EMEA"}],
        "quotas": [{"level": "team", "entity": "North", "period": "2026Q1", "amount": 250000}],
        "booked": [],
    }


def specification(score: Mapping[str, Any], forecast: Mapping[str, Any]) -> Json:
    """The whole document.

    score, forecast : example requests in the words of the bundle in use, so that they can be sent as they are
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Forecast",
            "version": __version__,
            "description": "Scores open deals and adds them up to a bookings forecast.",
        },
        "security": [{"key": []}],
        "paths": {
            "/v1/score": {"post": _post("score", "Score open deals", "ScoreRequest", "ScoreAnswer", score)},
            "/v1/forecast": {
                "post": _post("forecast", "Expected bookings", "ForecastRequest", "ForecastAnswer", forecast)
            },
            "/v1/model": {"get": _get("model", "What answers, and what it knows", _json("Model"))},
            "/docs.json": {"get": _get("docs", "This document", {"application/json": {"schema": _OBJECT}})},
            "/metrics": {
                "get": _get("metrics", "Counters for Prometheus", {"text/plain": {"schema": _TEXT}})
            },
            "/livez": {"get": _probe("livez", "The process lives")},
            "/readyz": {"get": _probe("readyz", "Requests are answered")},
        },
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": SCHEMAS,
            "headers": {
                "RequestId": {
                    "description": "The X-Request-Id of the request if it was well formed, else a new one",
                    "schema": {"type": "string"},
                },
                "RetryAfter": {"description": "Seconds to wait", "schema": {"type": "integer"}},
            },
            "parameters": {
                "RequestId": {
                    "name": "X-Request-Id",
                    "in": "header",
                    "required": False,
                    "description": "Names the request in logs and answers",
                    "schema": {"type": "string", "pattern": r"^[A-Za-z0-9._\-]{1,64}$"},
                }
            },
        },
    }


def _post(name: str, summary: str, request: str, answer: str, example: Mapping[str, Any]) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [{"$ref": "#/components/parameters/RequestId"}],
        "requestBody": {"required": True, "content": _json(request, example)},
        "responses": {"200": _answer(answer), **_errors(400, 401, 408, 413, 415, 429, 500, 503)},
    }


def _get(name: str, summary: str, content: Json) -> Json:
    answer = {"description": summary, "headers": _headers(), "content": content}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [{"$ref": "#/components/parameters/RequestId"}],
        "responses": {"200": answer, **_errors(401, 500, 503)},
    }


def _probe(name: str, summary: str) -> Json:
    schema = {"type": "object", "properties": {"status": {"type": "string"}}}
    content = {"application/json": {"schema": schema}}
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": "Yes", "content": content}, **_errors(503)},
    }


def _answer(name: str) -> Json:
    return {"description": SCHEMAS[name]["description"], "headers": _headers(), "content": _json(name)}


def _errors(*statuses: int) -> Json:
    return {
        str(status): {
            "description": CODES[status],
            "headers": _headers(retry=status in (429, 503)),
            "content": _json("Error", _REFUSED if status == 400 else None),
        }
        for status in statuses
    }


def _headers(*, retry: bool = False) -> Json:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if retry:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return headers


def _json(name: str, example: Mapping[str, Any] | None = None) -> Json:
    content: Json = {"schema": {"$ref": f"#/components/schemas/{name}"}}
    if example is not None:
        content["example"] = dict(example)
    return {"application/json": content}
