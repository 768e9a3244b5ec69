"""The endpoint somebody would write by hand: FastAPI, pydantic models, our engine behind them.

    BUNDLE=models/current uvicorn benchmarks.peers.endpoint:app --workers 2

It does the work of `POST /v1/score`, with a key, types that are checked, one history, scores and reasons, and a
line in uvicorn's log for each request as the service writes one. It leaves out what the service does besides:
refuse a repeated key, count for Prometheus, wait in turn, follow a new bundle.
"""

from __future__ import annotations

import hmac
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI, Header, HTTPException, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from forecast.bundle import load_bundle
from forecast.history import History
from forecast.periods import to_timestamp
from forecast.scoring import score_arrays
from forecast.service.encoding import moment, rows
from forecast.service.strict_json import dumps

__all__ = ["app"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_bundle = load_bundle(Path(os.environ["BUNDLE"]))
_key = os.environ["ENDPOINT_KEY"]
app = FastAPI()


class Event(BaseModel):
    """Something about a deal that changed."""

    model_config = ConfigDict(extra="forbid")
    field: str = Field(min_length=1, max_length=255)
    value: str | float | None
    recorded_at: AwareDatetime


class Activity(BaseModel):
    """A call, a message, a meeting."""

    model_config = ConfigDict(extra="forbid")
    occurred_at: AwareDatetime
    kind: Literal["call", "email", "meeting", "note", "task", "other"]
    direction: Literal["in", "out"] | None = None


class Deal(BaseModel):
    """A deal with its past; every other key is a custom attribute."""

    model_config = ConfigDict(extra="allow")
    deal_id: str = Field(min_length=1, max_length=255)
    created_at: AwareDatetime
    pipeline: str | None = None
    motion: Literal["new", "renewal", "expansion"] | None = None
    account_id: str | None = None
    source: str | None = None
    owner_id: str | None = None
    currency: str | None = None
    amount: float | None = None
    events: list[Event]
    activities: list[Activity] = []


class Asked(BaseModel):
    """What is sent."""

    model_config = ConfigDict(extra="forbid")
    as_of: AwareDatetime
    deals: list[Deal] = Field(max_length=10_000)
    reasons: int = Field(5, ge=0, le=20)
    locale: Literal["en", "it"] = "en"


def _us(at: datetime) -> int:
    since = at - _EPOCH
    return since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds


def _plain(deal: Deal, as_of_us: int) -> dict[str, Any]:
    found = {**deal.model_dump(exclude={"events", "activities"}), "created_at": _us(deal.created_at)}
    events = [
        {"field": event.field, "value": event.value, "recorded_at": at_us}
        for event in deal.events
        if (at_us := _us(event.recorded_at)) < as_of_us
    ]
    activities = [
        {"occurred_at": at_us, "kind": activity.kind, "direction": activity.direction}
        for activity in deal.activities
        if (at_us := _us(activity.occurred_at)) < as_of_us
    ]
    return {**found, "events": events, "activities": activities}


@app.post("/score")
async def score(asked: Asked, authorization: str = Header("")) -> Response:
    """Scores of open deals."""
    if not hmac.compare_digest(authorization.encode(), f"Bearer {_key}".encode()):
        raise HTTPException(401)
    models, as_of_us = _bundle.models, _us(asked.as_of)
    deals = [_plain(deal, as_of_us) for deal in asked.deals]
    history = History.from_request(deals, stages=models.stages, money=models.money)
    scores = score_arrays(
        history,
        _bundle,
        history.open_deals(as_of_us),
        to_timestamp(as_of_us),
        reasons=asked.reasons,
        locale=asked.locale,
    )
    by_id = {row["deal_id"]: row for row in rows(scores, moments=("as_of",), json_texts=("reasons",))}
    answer = {
        "model": {"bundle": _bundle.id},
        "as_of": moment(as_of_us),
        "scores": [by_id[deal.deal_id] for deal in asked.deals if deal.deal_id in by_id],
    }
    return Response(dumps(answer), media_type="application/json")
