"""One deal of a request: contract columns, its events, its activities, custom attributes."""

from __future__ import annotations

from typing import Any, Final

from forecast.service.catalogue import Catalogue
from forecast.service.refusals import Invalid, Refusal
from forecast.service.values import (
    Check,
    amount,
    attribute,
    choice,
    day,
    established,
    identifier,
    moment_us,
    only,
    optional,
    plain_word,
)

__all__ = [
    "ACTIVITY_KEYS",
    "ACTIVITY_KINDS",
    "BANT",
    "CATEGORIES",
    "CHANGING",
    "COLUMNS",
    "DIRECTIONS",
    "EVENT_FIELDS",
    "EVENT_KEYS",
    "MAX_ATTRIBUTES",
    "MOTIONS",
    "RESERVED",
    "parse_activities",
    "parse_deal",
]

MOTIONS: Final = ("new", "renewal", "expansion")
CATEGORIES: Final = ("commit", "best_case", "pipeline", "omitted")
BANT: Final = ("budget", "authority", "need", "timeline")
ACTIVITY_KINDS: Final = ("call", "email", "meeting", "note", "task", "other")
DIRECTIONS: Final = ("in", "out")
MAX_ATTRIBUTES: Final = 200

# What changes over time, with the check of its value; `stage` is checked against the deal's pipeline.
CHANGING: Final[dict[str, Check]] = {
    "amount": optional(amount),
    "expected_close_on": optional(day),
    "owner_id": optional(identifier),
    "forecast_category": optional(choice(CATEGORIES)),
    **{name: optional(established) for name in BANT},
}
EVENT_FIELDS: Final = ("stage", *CHANGING)
COLUMNS: Final[dict[str, Check]] = {
    "deal_id": identifier,
    "pipeline": optional(identifier),
    "motion": optional(choice(MOTIONS)),
    "created_at": moment_us,
    "account_id": optional(identifier),
    "source": optional(identifier),
    "currency": optional(identifier),
    **CHANGING,
}
# Columns without a history, and the two lists of a deal: no event may claim them.
RESERVED: Final = (frozenset(COLUMNS) - frozenset(CHANGING)) | {"activities", "events"}
EVENT_KEYS: Final = frozenset({"field", "value", "recorded_at", "actor"})
ACTIVITY_KEYS: Final = frozenset({"occurred_at", "kind", "direction"})
_KIND: Final = choice(ACTIVITY_KINDS)
_DIRECTION: Final = optional(choice(DIRECTIONS))
_ACTOR: Final = optional(identifier)


def parse_deal(raw: Any, row: int, known: Catalogue) -> dict[str, Any]:
    """Check one deal and bring it into the shape `History.from_request` reads.

    Moments become int microseconds, attributes text. Nothing is judged by time here: the as-of moment may
    depend on the whole request. Raises Refusal 400 with the deal's place as `row`.
    """
    if type(raw) is not dict:
        raise Refusal(400, "not_an_object", "a deal is a JSON object", row=row)
    name: str | None = None
    try:
        deal: dict[str, Any] = {}
        attributes = 0
        for name, value in raw.items():
            check = COLUMNS.get(name)
            if check is not None:
                deal[name] = check(known.established(name, value) if name in BANT else value)
            elif name not in ("events", "activities"):
                deal[name] = attribute(name, value)
                attributes += 1
        name = None
        if attributes > MAX_ATTRIBUTES:
            raise Invalid("too_many_attributes", f"a deal takes at most {MAX_ATTRIBUTES} custom attributes")
        for name in ("deal_id", "created_at"):
            if name not in deal:
                raise Invalid("missing", "is required")
        name = "pipeline"
        stages = known.stages.get(deal.get("pipeline") or "sales")
        if stages is None:
            raise Invalid("unknown_pipeline", "is no pipeline of this bundle; GET /v1/model lists them")
        deal["pipeline"] = deal.get("pipeline") or "sales"
        deal["motion"] = deal.get("motion") or "new"
        name = "currency"
        if (deal.get("currency") or None) is not None and deal["currency"] not in known.currencies:
            raise Invalid("unknown_currency", "has no exchange rate in this bundle; GET /v1/model lists them")
        name = "events"
        deal["events"] = _events(raw.get("events"), deal["pipeline"], stages, known)
        name = "activities"
        deal["activities"] = parse_activities(raw.get("activities"))
    except Invalid as invalid:
        raise invalid.refusal(plain_word(name), row) from None
    return deal


def _events(raw: Any, pipeline: str, stages: frozenset[str], known: Catalogue) -> list[dict[str, Any]]:
    if raw is None:
        raise Invalid("missing", "is required: at least the event of the deal's first stage")
    if type(raw) is not list:
        raise Invalid("not_a_list", "expected a list")
    events = []
    key = ""
    for place, event in enumerate(raw):
        try:
            key = ""
            if type(event) is not dict:
                raise Invalid("not_an_object", "an event is a JSON object")
            if not event.keys() <= EVENT_KEYS:
                only(EVENT_KEYS, event)
            for key in ("field", "value", "recorded_at"):
                if key not in event:
                    raise Invalid("missing", "is required")
            key = "recorded_at"
            at_us = moment_us(event["recorded_at"])
            if "actor" in event:
                key = "actor"
                _ACTOR(event["actor"])
            key = "field"
            field, value = event["field"], event["value"]
            if type(field) is not str:
                raise Invalid("not_text", "expected the name of a field")
            if field in RESERVED:
                raise Invalid("bad_field", "is not a field with a history; send it as a column of the deal")
            check = CHANGING.get(field)
            if check is not None:
                key = "value"
                value = check(known.established(field, value) if field in BANT else value)
            elif field == "stage":
                key = "value"
                if type(value) is str:
                    value = known.dialect.stage(pipeline, value, at_us)
                if type(value) is not str or value not in stages:
                    raise Invalid("unknown_stage", "is no stage of its pipeline; GET /v1/model lists them")
            else:
                key = "value" if plain_word(field) else "field"
                value = attribute(field, value)
        except Invalid as invalid:
            raise invalid.inside(f"[{place}].{key}".rstrip(".")) from None
        events.append({"field": field, "value": value, "recorded_at": at_us})
    return events


def parse_activities(raw: Any) -> list[dict[str, Any]]:
    """Check the activities of a deal or a lead; raises Invalid with the place inside the list."""
    if raw is None:
        return []
    if type(raw) is not list:
        raise Invalid("not_a_list", "expected a list")
    activities = []
    key = ""
    for place, activity in enumerate(raw):
        try:
            key = ""
            if type(activity) is not dict:
                raise Invalid("not_an_object", "an activity is a JSON object")
            if not activity.keys() <= ACTIVITY_KEYS:
                only(ACTIVITY_KEYS, activity)
            for key in ("occurred_at", "kind"):
                if key not in activity:
                    raise Invalid("missing", "is required")
            key = "occurred_at"
            at_us = moment_us(activity["occurred_at"])
            key = "kind"
            kind = _KIND(activity["kind"])
            key = "direction"
            direction = _DIRECTION(activity.get("direction"))
        except Invalid as invalid:
            raise invalid.inside(f"[{place}].{key}".rstrip(".")) from None
        activities.append({"occurred_at": at_us, "kind": kind, "direction": direction})
    return activities
