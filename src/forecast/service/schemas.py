"""JSON schemas of what goes in and what comes out, made from the same constants the parser uses."""

from __future__ import annotations

from typing import Final

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
from forecast.service.options import DEFAULT_REASONS, MAX_REASONS
from forecast.service.requests import (
    LEVELS,
    MAX_DEALS,
    MAX_ROWS,
)
from forecast.service.schema_parts import (
    DAY,
    DAY_OUT,
    ID,
    MOMENT_IN,
    MONEY,
    NAME,
    PERIOD_IN,
    SHARE,
    Schema,
    list_of,
    object_of,
    or_null,
    ref,
)
from forecast.service.stored_schemas import STORED
from forecast.service.values import MAX_ATTRIBUTE_TEXT, MAX_ID

__all__ = ["SCHEMAS"]

_AS_OF: Final[Schema] = or_null(
    {**MOMENT_IN, "description": "Forecast with what was recorded before this moment. Left out or null: now."}
)
_ROW: Final[Schema] = {"type": "integer", "minimum": 0, "description": "Place among the rows, from 0"}
_BANT_TEXT: Final = "0 known absent, 1 confirmed, null never established"

_EVENT: Final = object_of(
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
        "recorded_at": MOMENT_IN,
        "actor": or_null(ID),
    },
    ("field", "value", "recorded_at"),
    "One dated change of one field. Events from as_of on are ignored: the future is invisible.",
)
_ACTIVITY: Final = object_of(
    {
        "occurred_at": MOMENT_IN,
        "kind": {"type": "string", "enum": list(ACTIVITY_KINDS)},
        "direction": {"enum": [*DIRECTIONS, None]},
    },
    ("occurred_at", "kind"),
    "Something that was done on the deal.",
)
_DEAL: Final = object_of(
    {
        "deal_id": ID,
        "pipeline": {**or_null(ID), "description": "Left out: sales"},
        "motion": {"enum": [*MOTIONS, None]},
        "created_at": MOMENT_IN,
        "account_id": or_null(ID),
        "source": or_null(ID),
        "owner_id": or_null(ID),
        "amount": or_null(MONEY),
        "currency": {
            **or_null(ID),
            "description": "Has a rate in the bundle; null: the reporting one",
        },
        "expected_close_on": or_null(DAY),
        "forecast_category": {"enum": [*CATEGORIES, None]},
        **{name: {**or_null(SHARE), "description": _BANT_TEXT} for name in BANT},
        "events": {"type": "array", "items": ref("Event"), "minItems": 1},
        "activities": {"type": ["array", "null"], "items": ref("Activity")},
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
_SCORE_REQUEST: Final = object_of(
    {
        "as_of": _AS_OF,
        "deals": list_of("Deal", MAX_DEALS),
        "period": {**or_null(PERIOD_IN), "description": "Asks for won_in_period as well"},
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
_LEAD_REQUEST: Final = object_of(
    {
        "as_of": _AS_OF,
        "leads": list_of("Lead", MAX_DEALS),
        **{name: _SCORE_REQUEST["properties"][name] for name in ("reasons", "locale")},
    },
    ("leads",),
    "Open leads to score.",
)
_USER: Final = object_of(
    {
        "user_id": ID,
        **dict.fromkeys(("name", "team", "region", "manager_id", "email"), NAME),
        "active": {"type": ["boolean", "null"]},
    },
    ("user_id",),
    "A row of the users table.",
)
_QUOTA: Final = object_of(
    {
        "level": {"type": "string", "enum": list(LEVELS)},
        "entity": {**ID, "description": "Id of the user, name of the team or region, * for the company"},
        "period": PERIOD_IN,
        "amount": {**MONEY, "minimum": 0},
        "currency": or_null(ID),
    },
    ("level", "entity", "period", "amount"),
    "A row of the quotas table.",
)
_BOOKED: Final = object_of(
    {
        "deal_id": or_null(ID),
        "owner_id": or_null(ID),
        "amount": or_null(MONEY),
        "currency": or_null(ID),
        "closed_at": or_null(MOMENT_IN),
    },
    ("owner_id", "amount"),
    "A deal won in the period so far.",
)
_FORECAST_REQUEST: Final = object_of(
    {
        "as_of": _AS_OF,
        "period": PERIOD_IN,
        "deals": list_of("Deal", MAX_DEALS),
        **{
            name: {**list_of(row, MAX_ROWS), "type": ["array", "null"]}
            for name, row in (("users", "User"), ("quotas", "Quota"), ("booked", "Booked"))
        },
    },
    ("period", "deals"),
    "Open deals, what is booked already, and the users and quotas to add them up by.",
)

_MODEL_REF: Final = object_of(
    {"bundle": {"type": "string"}, "trained_until": {"type": "string", "format": "date-time"}},
    ("bundle", "trained_until"),
    "The bundle that answered.",
)
_REASON: Final = object_of(
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
_SCORE_COLUMNS: Final[dict[str, Schema]] = {
    "deal_id": {"type": "string"},
    "as_of": {"type": "string", "format": "date-time"},
    "pipeline": {"type": "string"},
    "owner_id": {"type": ["string", "null"]},
    "stage": {"type": "string"},
    "amount": {"type": ["number", "null"], "description": "In the reporting currency"},
    "win_probability": {**SHARE, "description": "Won within 730 days"},
    **{f"won_{days}d": {**SHARE, "description": f"Won within {days} days"} for days in HORIZONS_DAYS},
    **{f"lost_{days}d": {**SHARE, "description": f"Lost within {days} days"} for days in HORIZONS_DAYS},
    "won_in_period": {**SHARE, "description": "Won within the period asked for; only with period"},
    **{
        f"close_on_p{share}": {
            **DAY_OUT,
            "description": f"Given a win, it comes by this date with {share} %",
        }
        for share in (10, 50, 90)
    },
    "amount_if_won": {"type": ["number", "null"]},
    "expected_bookings": {"type": ["number", "null"], "description": "win_probability x amount_if_won"},
    "score": {"type": "integer", "minimum": 1, "maximum": 100},
    "grade": {"type": "string", "enum": ["A", "B", "C", "D"]},
    "reasons": {"type": "array", "items": ref("Reason")},
}
_SCORE: Final = object_of(
    _SCORE_COLUMNS,
    tuple(name for name in _SCORE_COLUMNS if name != "won_in_period"),
    "One open deal.",
)
_LEAD_REASON: Final = ("feature", "label", "effect", "value", "text")
_LEAD: Final = object_of(
    {
        "lead_id": ID,
        "created_at": MOMENT_IN,
        "source": or_null(ID),
        "owner_id": or_null(ID),
        "account_id": or_null(ID),
        **{name: {**or_null(SHARE), "description": _BANT_TEXT} for name in BANT},
        "converted_at": {**or_null(MOMENT_IN), "description": "Not before as_of: still open then"},
        "deal_id": {**or_null(ID), "description": "The deal it became"},
        "disqualified_at": {**or_null(MOMENT_IN), "description": "Not before as_of: still open then"},
        "activities": {"type": ["array", "null"], "items": ref("Activity")},
    },
    ("lead_id", "created_at"),
    "Columns of the leads table as they are now, and activities. A lead has no events. "
    f"Any other key is a custom attribute (at most {MAX_ATTRIBUTES}).",
    additionalProperties={
        "type": ["string", "number", "boolean", "null"],
        "maxLength": MAX_ATTRIBUTE_TEXT,
    },
    propertyNames={"minLength": 1, "maxLength": MAX_ID, "not": {"const": "events"}},
)
_LEAD_SCORE: Final = object_of(
    {
        "lead_id": {"type": "string"},
        "as_of": {"type": "string", "format": "date-time"},
        "owner_id": {"type": ["string", "null"]},
        "source": {"type": ["string", "null"]},
        "converted_30d": {**SHARE, "description": "Converted within 30 days"},
        "converted_90d": {**SHARE, "description": "Converted within 90 days"},
        "disqualified_90d": {**SHARE, "description": "Disqualified within 90 days"},
        "becomes_won": {**SHARE, "description": "Becomes a won deal within 730 days"},
        "score": {"type": "integer", "minimum": 1, "maximum": 100},
        "grade": {"type": "string", "enum": ["A", "B", "C", "D"]},
        "reasons": {"type": "array", "items": ref("LeadReason")},
    },
    (
        "lead_id",
        "as_of",
        "owner_id",
        "source",
        "converted_30d",
        "converted_90d",
        "disqualified_90d",
        "becomes_won",
        "score",
        "grade",
        "reasons",
    ),
    "One open lead.",
)
_BULK_LINE: Final[Schema] = {
    "description": "A line of an NDJSON answer: one of a row, in the order of the rows, and at last `end`. An "
    "answer without `end` is not whole.",
    "oneOf": [
        object_of({"row": _ROW, "score": ref("Score")}, ("row", "score"), "A scored deal."),
        object_of({"row": _ROW, "skipped": ref("Skipped")}, ("row", "skipped"), "A deal closed already."),
        object_of({"row": _ROW, "error": ref("ErrorBody")}, ("row", "error"), "A row that is wrong."),
        object_of({"error": ref("ErrorBody")}, ("error",), "Why the stream ends before its time."),
        object_of(
            {
                "end": object_of(
                    {
                        "model": ref("ModelRef"),
                        "as_of": {"type": "string", "format": "date-time"},
                        **{name: {"type": "integer"} for name in ("rows", "scored", "skipped", "refused")},
                    },
                    ("model", "as_of", "rows", "scored", "skipped", "refused"),
                    "What was answered; rows is the sum of the other three.",
                )
            },
            ("end",),
            "The last line.",
        ),
    ],
}
_SKIPPED: Final = object_of(
    {"deal_id": {"type": "string"}, "reason": {"type": "string", "enum": ["won", "lost"]}},
    ("deal_id", "reason"),
    "A deal that is closed already, so that there is nothing to forecast.",
)
_BOOKING: Final = object_of(
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

_STAGE: Final = object_of(
    {
        "pipeline": {"type": "string"},
        "stage": {"type": "string"},
        "label": {"type": "string"},
        "position": {"type": "integer"},
        "kind": {"type": "string", "enum": ["open", "won", "lost"]},
        "default_probability": {**SHARE, "type": ["number", "null"]},
    },
    ("pipeline", "stage", "label", "position", "kind", "default_probability"),
    "A row of the stages table.",
)
_MODEL: Final[dict[str, Schema]] = {
    "model": ref("ModelRef"),
    "rung": {"type": "string", "description": "Which model was chosen"},
    "stages": {"type": "array", "items": ref("Stage")},
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
    "ScoreAnswer": object_of(
        {
            "model": ref("ModelRef"),
            "as_of": {"type": "string", "format": "date-time"},
            "scores": {"type": "array", "items": ref("Score")},
            "skipped": {"type": "array", "items": ref("Skipped")},
        },
        ("model", "as_of", "scores", "skipped"),
        "Scores in the order of the request; every deal is either there or among the skipped ones.",
    ),
    "Lead": _LEAD,
    "LeadRequest": _LEAD_REQUEST,
    "LeadScore": _LEAD_SCORE,
    "LeadReason": object_of(
        {name: _REASON["properties"][name] for name in _LEAD_REASON},
        _LEAD_REASON,
        "Why a lead's chance is what it is: changes of converted_90d against the average lead of the training.",
    ),
    "LeadSkipped": object_of(
        {
            "lead_id": {"type": "string"},
            "reason": {"type": "string", "enum": ["converted", "disqualified"]},
        },
        ("lead_id", "reason"),
        "A lead that was left before as_of, so that there is nothing to foretell.",
    ),
    "LeadAnswer": object_of(
        {
            "model": ref("ModelRef"),
            "as_of": {"type": "string", "format": "date-time"},
            "scores": list_of("LeadScore"),
            "skipped": list_of("LeadSkipped"),
        },
        ("model", "as_of", "scores", "skipped"),
        "Scores in the order of the request; every lead is either there or among the skipped ones.",
    ),
    "BulkLine": _BULK_LINE,
    "Booking": _BOOKING,
    "ForecastAnswer": object_of(
        {
            "model": ref("ModelRef"),
            "as_of": {"type": "string", "format": "date-time"},
            "period": {"type": "string"},
            "bookings": {"type": "array", "items": ref("Booking")},
            "unconverted": {
                "type": "integer",
                "description": "Amounts left out: no exchange rate known",
            },
            "skipped": {"type": "array", "items": ref("Skipped")},
        },
        ("model", "as_of", "period", "bookings", "unconverted", "skipped"),
        "The period by company, region, team and user.",
    ),
    "Stage": _STAGE,
    "Model": object_of(
        _MODEL, tuple(_MODEL), "What answers, what it was learnt from, and what a request may name."
    ),
    **STORED,
    "ErrorBody": object_of(
        {
            "code": {"type": "string", "description": "Stable; decide by it, not by the message"},
            "message": {"type": "string"},
            "field": {"type": ["string", "null"], "description": "e.g. amount or events[3].value"},
            "row": {"type": ["integer", "null"], "description": "Place in the list, from 0"},
            "request_id": {"type": "string"},
        },
        ("code", "message", "field", "row", "request_id"),
        "What was refused and why. It never repeats what was sent.",
    ),
    "Error": object_of({"error": ref("ErrorBody")}, ("error",), "Every answer that is not 2xx."),
}
