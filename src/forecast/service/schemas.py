"""JSON schemas of what goes in and what comes out, made from the same constants the parser uses."""

from __future__ import annotations

from typing import Any, Final

from forecast.language import LOCALES
from forecast.scoring import HORIZONS_DAYS
from forecast.service.deals import (
    ACTIVITY_KINDS,
    BANT,
    CATEGORIES,
    DIRECTIONS,
    EVENT_FIELDS,
    MAX_ATTRIBUTES,
    MOTIONS,
    RESERVED,
)
from forecast.service.requests import (
    DEFAULT_REASONS,
    LEVELS,
    MAX_DEALS,
    MAX_REASONS,
    MAX_ROWS,
)
from forecast.service.values import (
    MAX_ATTRIBUTE_TEXT,
    MAX_ID,
    MAX_NUMBER,
    MOMENT,
    PERIOD,
)

__all__ = ["SCHEMAS"]

Schema = dict[str, Any]


def _or_null(schema: Schema) -> Schema:
    return {**schema, "type": [schema["type"], "null"]}


def _object(properties: dict[str, Schema], required: tuple[str, ...], text: str, **more: Any) -> Schema:
    return {
        "type": "object",
        "description": text,
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(name: str, most: int) -> Schema:
    return {"type": "array", "items": _ref(name), "maxItems": most}


_ID: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_ID, "pattern": r"\S"}
_MOMENT: Final[Schema] = {
    "type": "string",
    "pattern": f"^{MOMENT}$",
    "description": "ISO 8601 with a zone, years 1970 to 2199",
}
_DAY: Final[Schema] = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
_MONEY: Final[Schema] = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_SHARE: Final[Schema] = {"type": "number", "minimum": 0, "maximum": 1}
_NAME: Final[Schema] = {"type": ["string", "null"], "maxLength": MAX_ID}
_PERIOD: Final[Schema] = {
    "type": "string",
    "pattern": f"^{PERIOD}$",
    "description": "2026Q1, 2026-01 or 2026",
}
_AS_OF: Final[Schema] = _or_null(
    {**_MOMENT, "description": "Forecast with what was recorded before this moment. Left out or null: now."}
)
_BANT_TEXT: Final = "0 known absent, 1 confirmed, null never established"

_EVENT: Final = _object(
    {
        "field": {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_ID,
            "not": {"enum": sorted(RESERVED)},
            "description": f"{', '.join(EVENT_FIELDS)}, or a custom attribute",
        },
        "value": {
            "type": ["string", "number", "boolean", "null"],
            "description": "As the column of the same name takes it; a stage is one of the deal's pipeline",
        },
        "recorded_at": _MOMENT,
        "actor": _or_null(_ID),
    },
    ("field", "value", "recorded_at"),
    "One dated change of one field. Events from as_of on are ignored: the future is invisible.",
)
_ACTIVITY: Final = _object(
    {
        "occurred_at": _MOMENT,
        "kind": {"type": "string", "enum": list(ACTIVITY_KINDS)},
        "direction": {"enum": [*DIRECTIONS, None]},
    },
    ("occurred_at", "kind"),
    "Something that was done on the deal.",
)
_DEAL: Final = _object(
    {
        "deal_id": _ID,
        "pipeline": {**_or_null(_ID), "description": "Left out: sales"},
        "motion": {"enum": [*MOTIONS, None]},
        "created_at": _MOMENT,
        "account_id": _or_null(_ID),
        "source": _or_null(_ID),
        "owner_id": _or_null(_ID),
        "amount": _or_null(_MONEY),
        "currency": {
            **_or_null(_ID),
            "description": "Has a rate in the bundle; null: the reporting one",
        },
        "expected_close_on": _or_null(_DAY),
        "forecast_category": {"enum": [*CATEGORIES, None]},
        **{name: {**_or_null(_SHARE), "description": _BANT_TEXT} for name in BANT},
        "events": {"type": "array", "items": _ref("Event"), "minItems": 1},
        "activities": {"type": ["array", "null"], "items": _ref("Activity")},
    },
    ("deal_id", "created_at", "events"),
    "Columns of the deals table, its events (one of them the stage, recorded before as_of) and activities. "
    "A column whose changes are in no event counts as known since the deal's first stage. "
    f"Any other key is a custom attribute (at most {MAX_ATTRIBUTES}).",
    additionalProperties={
        "type": ["string", "number", "boolean", "null"],
        "maxLength": MAX_ATTRIBUTE_TEXT,
    },
    propertyNames={
        "minLength": 1,
        "maxLength": MAX_ID,
    },
)
_SCORE_REQUEST: Final = _object(
    {
        "as_of": _AS_OF,
        "deals": _list("Deal", MAX_DEALS),
        "period": {**_or_null(_PERIOD), "description": "Asks for won_in_period as well"},
        "reasons": {
            "type": "integer",
            "minimum": 0,
            "maximum": MAX_REASONS,
            "default": DEFAULT_REASONS,
            "description": "How many reasons to name for each deal",
        },
        "locale": {
            "type": "string",
            "enum": list(LOCALES),
            "default": LOCALES[0],
            "description": "Language of the reasons",
        },
    },
    ("deals",),
    "Open deals to score.",
)
_USER: Final = _object(
    {
        "user_id": _ID,
        **dict.fromkeys(("name", "team", "region", "manager_id", "email"), _NAME),
        "active": {"type": ["boolean", "null"]},
    },
    ("user_id",),
    "A row of the users table.",
)
_QUOTA: Final = _object(
    {
        "level": {"type": "string", "enum": list(LEVELS)},
        "entity": {**_ID, "description": "Id of the user, name of the team or region, * for the company"},
        "period": _PERIOD,
        "amount": {**_MONEY, "minimum": 0},
        "currency": _or_null(_ID),
    },
    ("level", "entity", "period", "amount"),
    "A row of the quotas table.",
)
_BOOKED: Final = _object(
    {
        "deal_id": _or_null(_ID),
        "owner_id": _or_null(_ID),
        "amount": _or_null(_MONEY),
        "currency": _or_null(_ID),
        "closed_at": _or_null(_MOMENT),
    },
    ("owner_id", "amount"),
    "A deal won in the period so far.",
)
_FORECAST_REQUEST: Final = _object(
    {
        "as_of": _AS_OF,
        "period": _PERIOD,
        "deals": _list("Deal", MAX_DEALS),
        **{
            name: {**_list(row, MAX_ROWS), "type": ["array", "null"]}
            for name, row in (("users", "User"), ("quotas", "Quota"), ("booked", "Booked"))
        },
    },
    ("period", "deals"),
    "Open deals, what is booked already, and the users and quotas to add them up by.",
)

_MODEL_REF: Final = _object(
    {"bundle": {"type": "string"}, "trained_until": {"type": "string", "format": "date-time"}},
    ("bundle", "trained_until"),
    "The bundle that answered.",
)
_REASON: Final = _object(
    {
        "feature": {"type": "string"},
        "label": {"type": "string"},
        "effect": {"type": "number", "description": "Change of the win probability"},
        "value": {"description": "The input as the model saw it"},
        "text": {"type": "string", "description": "The value in words, e.g. silent for 34 days"},
        "bookings_effect": {
            "type": ["number", "null"],
            "description": "Change of expected_bookings in the reporting currency; null without an amount",
        },
        "period_effect": {"type": "number", "description": "Change of won_in_period; only with period"},
    },
    ("feature", "label", "effect", "value", "text", "bookings_effect"),
    "Why a deal's probability is what it is: changes against the average deal of the training, which add up to "
    "the difference over all features.",
)
_DATE_OUT: Final[Schema] = {"type": ["string", "null"], "format": "date"}
_SCORE_COLUMNS: Final[dict[str, Schema]] = {
    "deal_id": {"type": "string"},
    "as_of": {"type": "string", "format": "date-time"},
    "pipeline": {"type": "string"},
    "owner_id": {"type": ["string", "null"]},
    "stage": {"type": "string"},
    "amount": {"type": ["number", "null"], "description": "In the reporting currency"},
    "win_probability": {**_SHARE, "description": "Won within 730 days"},
    **{f"won_{days}d": {**_SHARE, "description": f"Won within {days} days"} for days in HORIZONS_DAYS},
    **{f"lost_{days}d": {**_SHARE, "description": f"Lost within {days} days"} for days in HORIZONS_DAYS},
    "won_in_period": {**_SHARE, "description": "Won within the period asked for; only with period"},
    **{
        f"close_on_p{share}": {
            **_DATE_OUT,
            "description": f"Given a win, it comes by this date with {share} %",
        }
        for share in (10, 50, 90)
    },
    "amount_if_won": {"type": ["number", "null"]},
    "expected_bookings": {"type": ["number", "null"], "description": "win_probability x amount_if_won"},
    "score": {"type": "integer", "minimum": 1, "maximum": 100},
    "grade": {"type": "string", "enum": ["A", "B", "C", "D"]},
    "reasons": {"type": "array", "items": _ref("Reason")},
}
_SCORE: Final = _object(
    _SCORE_COLUMNS,
    tuple(name for name in _SCORE_COLUMNS if name != "won_in_period"),
    "One open deal.",
)
_SKIPPED: Final = _object(
    {"deal_id": {"type": "string"}, "reason": {"type": "string", "enum": ["won", "lost"]}},
    ("deal_id", "reason"),
    "A deal that is closed already, so that there is nothing to forecast.",
)
_BOOKING: Final = _object(
    {
        "period": {"type": "string"},
        "as_of": {"type": "string", "format": "date-time"},
        "level": {"type": "string", "enum": list(LEVELS)},
        "entity": {"type": "string"},
        **{
            name: {"type": ["number", "null"]}
            for name in ("booked", "open", "arrivals", "expected", "p10", "p50", "p90", "quota")
        },
        "attainment_probability": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        **{name: {"type": ["number", "null"]} for name in ("gap", "pipeline_open_amount", "coverage_needed")},
    },
    ("period", "as_of", "level", "entity", "booked", "open", "arrivals", "expected", "p10", "p50", "p90"),
    "Expected bookings of one user, team, region or the company; all amounts in the reporting currency.",
)

_STAGE: Final = _object(
    {
        "pipeline": {"type": "string"},
        "stage": {"type": "string"},
        "label": {"type": "string"},
        "position": {"type": "integer"},
        "kind": {"type": "string", "enum": ["open", "won", "lost"]},
        "default_probability": {**_SHARE, "type": ["number", "null"]},
    },
    ("pipeline", "stage", "label", "position", "kind", "default_probability"),
    "A row of the stages table.",
)
_MODEL: Final[dict[str, Schema]] = {
    "model": _ref("ModelRef"),
    "rung": {"type": "string", "description": "Which model was chosen"},
    "stages": {"type": "array", "items": _ref("Stage")},
    "reporting_currency": {"type": "string"},
    "currencies": {"type": "array", "items": {"type": "string"}, "description": "Those with a rate"},
    "metrics": {"type": "object", "description": "As measured in training, on a later period"},
    "counts": {"type": "object", "additionalProperties": {"type": "integer"}},
    "data_fingerprint": {"type": "string", "description": "Of the tables it was trained on"},
    "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
}

SCHEMAS: Final[dict[str, Schema]] = {
    "Event": _EVENT,
    "Activity": _ACTIVITY,
    "Deal": _DEAL,
    "ScoreRequest": _SCORE_REQUEST,
    "User": _USER,
    "Quota": _QUOTA,
    "Booked": _BOOKED,
    "ForecastRequest": _FORECAST_REQUEST,
    "ModelRef": _MODEL_REF,
    "Reason": _REASON,
    "Score": _SCORE,
    "Skipped": _SKIPPED,
    "ScoreAnswer": _object(
        {
            "model": _ref("ModelRef"),
            "as_of": {"type": "string", "format": "date-time"},
            "scores": {"type": "array", "items": _ref("Score")},
            "skipped": {"type": "array", "items": _ref("Skipped")},
        },
        ("model", "as_of", "scores", "skipped"),
        "Scores in the order of the request; every deal is either there or among the skipped ones.",
    ),
    "Booking": _BOOKING,
    "ForecastAnswer": _object(
        {
            "model": _ref("ModelRef"),
            "as_of": {"type": "string", "format": "date-time"},
            "period": {"type": "string"},
            "bookings": {"type": "array", "items": _ref("Booking")},
            "unconverted": {
                "type": "integer",
                "description": "Amounts left out: no exchange rate known",
            },
            "skipped": {"type": "array", "items": _ref("Skipped")},
        },
        ("model", "as_of", "period", "bookings", "unconverted", "skipped"),
        "The period by company, region, team and user.",
    ),
    "Stage": _STAGE,
    "Model": _object(
        _MODEL, tuple(_MODEL), "What answers, what it was learnt from, and what a request may name."
    ),
    "Error": _object(
        {
            "error": _object(
                {
                    "code": {"type": "string", "description": "Stable; decide by it, not by the message"},
                    "message": {"type": "string"},
                    "field": {"type": ["string", "null"], "description": "e.g. amount or events[3].value"},
                    "row": {"type": ["integer", "null"], "description": "Place in the list, from 0"},
                    "request_id": {"type": "string"},
                },
                ("code", "message", "field", "row", "request_id"),
                "What was refused and why. It never repeats what was sent.",
            )
        },
        ("error",),
        "Every answer that is not 2xx.",
    ),
}
