"""The OpenAPI description of the service: `GET /docs.json`."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from forecast import __version__
from forecast.language import LOCALES
from forecast.service.flat import flat_row
from forecast.service.options import DEFAULT_REASONS, MAX_REASONS
from forecast.service.refusals import CODES, Refusal
from forecast.service.requests import LEVELS
from forecast.service.schema_parts import ID, MOMENT_IN, PERIOD_IN, ref
from forecast.service.schemas import SCHEMAS
from forecast.service.stored_schemas import (
    DEAL_EXAMPLE,
    FORECAST_EXAMPLE,
    JUDGED_EXAMPLE,
    JUDGEMENT_EXAMPLE,
)
from forecast.service.strict_json import dumps

__all__ = [
    "Examples",
    "example_bulk_request",
    "example_forecast_request",
    "example_lead_request",
    "example_score_request",
    "specification",
]

Json = dict[str, Any]

_OBJECT: Final[Json] = {"type": "object"}
_TEXT: Final[Json] = {"type": "string"}
_REQUEST_ID: Final = "5f0c6d2e9b7a4c1d8e3f2a1b0c9d8e7f"
_NDJSON: Final = "application/x-ndjson"
_CSV: Final = "text/csv"

# What each status looks like; the first of its kind that a caller is likely to meet.
_REFUSED: Final[dict[int, tuple[Refusal, ...]]] = {
    400: (
        Refusal(
            400,
            "unknown_stage",
            "is no stage of its pipeline; GET /v1/model lists them",
            field="events[1].value",
            row=0,
        ),
        Refusal(400, "not_finite", "NaN and Infinity are no JSON; send null for unknown"),
        Refusal(400, "out_of_range", "lies outside the years 1970 to 2199", field="created_at", row=3),
    ),
    401: (Refusal(401, "unauthorized", "send a known key as Authorization: Bearer KEY"),),
    403: (Refusal(403, "role", "this path is for keys of role admin or score"),),
    404: (Refusal(404, "not_found", "there is no such deal, or none this key may see"),),
    405: (Refusal(405, "bad_method", "this path takes POST"),),
    408: (Refusal(408, "body_timeout", "the body did not arrive within 30 seconds"),),
    409: (
        Refusal(409, "idempotency_conflict", "this Idempotency-Key came before with another request"),
        Refusal(409, "no_lead_models", "the bundle in use was trained without leads and cannot score any"),
    ),
    413: (
        Refusal(413, "body_too_large", "the body is over 5 MiB; send the deals in parts"),
        Refusal(413, "too_many_deals", "at most 10000 deals in one request", field="deals"),
    ),
    415: (Refusal(415, "not_json", "send Content-Type: application/json"),),
    421: (Refusal(421, "unknown_host", "this service does not answer to that name"),),
    429: (
        Refusal(429, "rate_limited", "this key may have 600000 rows computed a minute; try again later"),
        Refusal(429, "too_many_requests", "too many requests are waiting; try again later"),
    ),
    500: (Refusal(500, "internal", "the service failed; quote the request id"),),
    503: (
        Refusal(503, "not_ready", "the service is starting"),
        Refusal(503, "no_ledger", "this service runs without a ledger and stores nothing"),
    ),
}


@dataclass(frozen=True, slots=True)
class Examples:
    """Requests in the words of the bundle in use, so that they can be sent as they are, and what it answers.

    An answer is None where the bundle gives none.
    """

    score: Mapping[str, Any]
    scored: Mapping[str, Any] | None = None
    leads: Mapping[str, Any] | None = None
    leads_scored: Mapping[str, Any] | None = None
    forecast: Mapping[str, Any] | None = None
    forecasted: Mapping[str, Any] | None = None
    bulk: str | None = None
    bulk_scored: str | None = None
    table: str | None = None
    table_scored: str | None = None
    model: Mapping[str, Any] | None = None


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


def example_lead_request() -> Json:
    """A request of one lead."""
    lead = {
        "lead_id": "L-204",
        "created_at": "2025-12-01T09:00:00Z",
        "source": "webinar",
        "owner_id": "U-3",
        "need": 1,
        "activities": [{"occurred_at": "2025-12-15T09:00:00Z", "kind": "email", "direction": "in"}],
    }
    return {"as_of": "2026-01-01T00:00:00Z", "leads": [lead]}


def example_bulk_request(stages: tuple[str, str], pipeline: str = "sales") -> tuple[str, str]:
    """Two deals as NDJSON and as CSV; the second deal tells only where it stands."""
    deal = example_score_request(stages, pipeline)["deals"][0]
    plain = {"deal_id": "D-1043", "pipeline": pipeline, "created_at": "2025-12-02T10:00:00Z", "amount": 5000}
    first = {"field": "stage", "value": stages[0], "recorded_at": plain["created_at"]}
    lines = (dumps(deal), dumps({**plain, "events": [first]}))
    table = io.StringIO()
    columns = ("deal_id", "pipeline", "created_at", "stage", "amount", "events")
    writer = csv.DictWriter(table, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerow(flat_row(deal))
    writer.writerow({**plain, "stage": stages[0]})
    return "".join(line.decode() + "\n" for line in lines), table.getvalue()


def specification(examples: Examples) -> Json:
    """The whole document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Forecast",
            "version": __version__,
            "description": "Scores open deals and leads, adds deals up to a bookings forecast, and tells what "
            "was published. Every answer that is not 2xx has the shape Error.",
        },
        "security": [{"key": []}],
        "paths": {
            "/v1/score": {
                "post": _post("score", "Score open deals", "Score", examples.score, examples.scored)
            },
            "/v1/score/bulk": {"post": _bulk(examples)},
            "/v1/leads/score": {
                "post": _post("scoreLeads", "Score open leads", "Lead", examples.leads, examples.leads_scored)
            },
            "/v1/forecast": {
                "post": _post(
                    "forecast",
                    "Expected bookings of what is sent",
                    "Forecast",
                    examples.forecast,
                    examples.forecasted,
                ),
                **_get(
                    "publishedForecast",
                    "Expected bookings as published",
                    _json("ForecastRead", FORECAST_EXAMPLE),
                    parameters=_FORECAST_PARAMETERS,
                    errors=(400, 401, 403, 404, 421, 429, 500, 503),
                ),
            },
            "/v1/deals/{deal_id}": _get(
                "deal",
                "A deal as published: score, reasons, curve, history, judgements",
                _json("DealRead", DEAL_EXAMPLE),
                parameters=[_DEAL_ID, _query("locale", _LOCALE, "Language of the reasons", "it")],
                errors=(400, 401, 403, 404, 421, 429, 500, 503),
            ),
            "/v1/deals/{deal_id}/judgements": {
                "post": {
                    "operationId": "judge",
                    "summary": "Say what a manager thinks of a deal",
                    "parameters": [_DEAL_ID, *_COMMON, _parameter("IdempotencyKey")],
                    "requestBody": {"required": True, "content": _json("Judgement", JUDGEMENT_EXAMPLE)},
                    "responses": {
                        "200": _answer("JudgementAnswer", JUDGED_EXAMPLE, replayed=True),
                        **_errors(400, 401, 403, 404, 408, 409, 413, 415, 421, 429, 500, 503),
                    },
                }
            },
            "/v1/model": _get("model", "What answers, and what it knows", _json("Model", examples.model)),
            "/docs.json": _get("docs", "This document", {"application/json": {"schema": _OBJECT}}),
            "/metrics": _get(
                "metrics",
                "Counters for Prometheus",
                {"text/plain": {"schema": _TEXT, "example": _METRICS}},
                errors=(401, 403, 421, 500),
            ),
            "/livez": _probe("livez", "The process lives", "alive"),
            "/readyz": _probe("readyz", "Requests are answered", "ready"),
            "/healthz": _probe("healthz", "The process lives", "alive"),
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
                "IdempotentReplayed": {
                    "description": "`true` where the answer is that of an earlier request of the same "
                    "Idempotency-Key",
                    "schema": {"type": "string"},
                },
                "Bundle": {"description": "The bundle that scores the stream", "schema": {"type": "string"}},
            },
            "parameters": {
                "RequestId": {
                    "name": "X-Request-Id",
                    "in": "header",
                    "required": False,
                    "description": "Names the request in logs and answers; up to 64 letters, digits, `.`, `_`, "
                    "`-`, anything else is replaced",
                    "schema": {"type": "string"},
                    "example": "crm-2026-01-05-17",
                },
                "IdempotencyKey": {
                    "name": "Idempotency-Key",
                    "in": "header",
                    "required": False,
                    "description": "The same name with the same request within 24 hours gets the same answer",
                    "schema": {"type": "string", "pattern": r"^[\x21-\x7e]{1,255}$"},
                    "example": "judgement-7f3a",
                },
            },
        },
    }


_COMMON: Final[list[Json]] = [{"$ref": "#/components/parameters/RequestId"}]
_LOCALE: Final[Json] = {"type": "string", "enum": list(LOCALES), "default": LOCALES[0]}
_METRICS: Final = 'forecast_http_requests_total{route="/v1/score",status="200"} 1204.0\n'
_DEAL_ID: Final[Json] = {
    "name": "deal_id",
    "in": "path",
    "required": True,
    "description": "Percent-encoded once, a slash as %2F",
    "schema": ID,
    "example": "D-1042",
}


def _query(name: str, schema: Json, text: str, example: Any = None, *, required: bool = False) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": required,
        "description": text,
        "schema": schema,
        **({} if example is None else {"example": example}),
    }


_FORECAST_PARAMETERS: Final[list[Json]] = [
    _query("period", PERIOD_IN, "2026Q1, 2026-01 or 2026", "2026Q1", required=True),
    _query("level", {"type": "string", "enum": list(LEVELS), "default": "company"}, "Of which level", "team"),
    _query("entity", ID, "Only this user, team or region; * for the company", "North"),
    _query("as_of", MOMENT_IN, "The latest snapshot of this moment or before", "2026-01-01T00:00:00Z"),
    _query(
        "snapshot",
        {"type": "string", "pattern": "^[0-9a-f]{12,64}$"},
        "The snapshot of this id or of its first 12 digits, e.g. 6b1f0c9e4d7a; not together with as_of",
    ),
]
_BULK_PARAMETERS: Final[list[Json]] = [
    _query("as_of", MOMENT_IN, "As POST /v1/score has it; left out: now", "2026-01-01T00:00:00Z"),
    _query("period", PERIOD_IN, "Asks for won_in_period as well", "2026Q1"),
    _query(
        "reasons",
        {"type": "integer", "minimum": 0, "maximum": MAX_REASONS, "default": DEFAULT_REASONS},
        "How many reasons to name for each deal",
        3,
    ),
    _query("locale", _LOCALE, "Language of the reasons", "en"),
]


def _parameter(name: str) -> Json:
    return {"$ref": f"#/components/parameters/{name}"}


def _post(
    name: str,
    summary: str,
    schema: str,
    example: Mapping[str, Any] | None,
    answer: Mapping[str, Any] | None,
) -> Json:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [*_COMMON, _parameter("IdempotencyKey")],
        "requestBody": {"required": True, "content": _json(f"{schema}Request", example)},
        "responses": {
            "200": _answer(f"{schema}Answer", answer, replayed=True),
            **_errors(400, 401, 403, 408, 409, 413, 415, 421, 429, 500, 503),
        },
    }


def _bulk(examples: Examples) -> Json:
    """A stream in either form, answered in either."""

    def content(lines: str | None, table: str | None, line: Json) -> Json:
        return {
            _NDJSON: {
                # What a line holds is told beside: no JSON schema speaks of a text of many documents.
                "schema": {"type": "string", "description": line["description"]},
                "x-line-schema": line["schema"],
                **({} if lines is None else {"example": lines}),
            },
            _CSV: {"schema": _TEXT, **({} if table is None else {"example": table})},
        }

    asked = {"description": "A deal of POST /v1/score on each line", "schema": ref("Deal")}
    told = {"description": "What became of each row, on a line of its own", "schema": ref("BulkLine")}
    return {
        "operationId": "scoreBulk",
        "summary": "Score a book of any size, row by row",
        "description": "Rows are scored as they come and answered in their order; read the answer while you "
        "send. A row that is wrong is answered with its error, and the others go on. The answer has the form "
        "of the request, or the one named by Accept.",
        "parameters": [*_BULK_PARAMETERS, *_COMMON],
        "requestBody": {"required": True, "content": content(examples.bulk, examples.table, asked)},
        "responses": {
            "200": {
                "description": "Every row, in order",
                "headers": {**_headers(), "X-Forecast-Bundle": {"$ref": "#/components/headers/Bundle"}},
                "content": content(examples.bulk_scored, examples.table_scored, told),
            },
            **_errors(400, 401, 403, 408, 413, 415, 421, 429, 500, 503),
        },
    }


def _get(
    name: str,
    summary: str,
    content: Json,
    *,
    parameters: Sequence[Json] = (),
    errors: Sequence[int] = (400, 401, 421, 429, 500, 503),
) -> Json:
    """GET, and HEAD beside it: the same without the body."""
    answer = {"description": summary, "headers": _headers(), "content": content}
    operation = {
        "operationId": name,
        "summary": summary,
        "parameters": [*parameters, *_COMMON],
        "responses": {"200": answer, **_errors(*errors)},
    }
    return {"get": operation, "head": _head(operation)}


def _head(operation: Json) -> Json:
    responses = {
        status: {key: value for key, value in answer.items() if key != "content"}
        for status, answer in operation["responses"].items()
    }
    name = operation["operationId"]
    return {**operation, "operationId": f"{name}Head", "responses": responses}


def _probe(name: str, summary: str, status: str) -> Json:
    reason = {
        "type": "object",
        "properties": {"code": _TEXT, "affects": _TEXT, "because": _TEXT},
        "required": ["code", "affects"],
    }
    schema = {
        "type": "object",
        "description": "`degraded` says what is not as it should be; everything is answered all the same",
        "properties": {
            "status": {"type": "string", "enum": ["alive", "ready", "degraded"]},
            "degraded": {"type": "array", "items": reason},
        },
        "required": ["status"],
    }
    content = {"application/json": {"schema": schema, "example": {"status": status}}}
    operation = {
        "operationId": name,
        "summary": summary,
        "security": [],
        "parameters": _COMMON,
        "responses": {
            "200": {"description": "Yes", "headers": _headers(), "content": content},
            **_errors(503),
        },
    }
    return {"get": operation, "head": _head(operation)}


def _answer(name: str, example: Mapping[str, Any] | None, *, replayed: bool = False) -> Json:
    headers = _headers()
    if replayed:
        headers["Idempotent-Replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
    return {
        "description": SCHEMAS[name]["description"],
        "headers": headers,
        "content": _json(name, example),
    }


def _errors(*statuses: int) -> Json:
    return {
        str(status): {
            "description": CODES[status],
            "headers": _headers(retry=status in (429, 503)),
            "content": {
                "application/json": {
                    "schema": ref("Error"),
                    "examples": {
                        refusal.code: {"value": refusal.body(_REQUEST_ID)} for refusal in _REFUSED[status]
                    },
                }
            },
        }
        for status in statuses
    }


def _headers(*, retry: bool = False) -> Json:
    headers = {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}}
    if retry:
        headers["Retry-After"] = {"$ref": "#/components/headers/RetryAfter"}
    return headers


def _json(name: str, example: Mapping[str, Any] | None = None) -> Json:
    content: Json = {"schema": ref(name)}
    if example is not None:
        content["example"] = dict(example)
    return {"application/json": content}
