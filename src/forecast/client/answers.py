"""Shapes of answers, as the service sends them (GET /docs.json has every column)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from forecast.client.errors import RefusedError

__all__ = [
    "BulkRow",
    "DealAnswer",
    "ForecastAnswer",
    "LeadAnswer",
    "ModelRef",
    "PublishedForecast",
    "Score",
    "ScoreAnswer",
    "Skipped",
]


class ModelRef(TypedDict):
    """The bundle that answered."""

    bundle: str
    trained_until: str


class Reason(TypedDict):
    """Why a probability is what it is."""

    feature: str
    label: str
    effect: float
    value: Any
    text: str
    bookings_effect: float | None


class Score(TypedDict, total=False):
    """The main columns of an open deal's score; the others of docs/scores.md are there too."""

    deal_id: str
    as_of: str
    pipeline: str
    owner_id: str | None
    stage: str
    amount: float | None
    win_probability: float
    won_in_period: float
    close_on_p50: str | None
    amount_if_won: float | None
    expected_bookings: float | None
    score: int
    grade: str
    reasons: list[Reason]


class LeadScore(TypedDict):
    """An open lead's score."""

    lead_id: str
    as_of: str
    owner_id: str | None
    source: str | None
    converted_30d: float
    converted_90d: float
    disqualified_90d: float
    becomes_won: float
    score: int
    grade: str
    reasons: list[Reason]


class Skipped(TypedDict):
    """A deal closed already: won or lost."""

    deal_id: str
    reason: str


class ScoreAnswer(TypedDict):
    """Scores in the order of the request."""

    model: ModelRef
    as_of: str
    scores: list[Score]
    skipped: list[Skipped]


class LeadAnswer(TypedDict):
    """Scores of leads in the order of the request."""

    model: ModelRef
    as_of: str
    scores: list[LeadScore]
    skipped: list[dict[str, str]]


class ForecastAnswer(TypedDict):
    """Expected bookings of what was sent, by company, region, team and user."""

    model: ModelRef
    as_of: str
    period: str
    bookings: list[dict[str, Any]]
    unconverted: int
    skipped: list[Skipped]


class PublishedForecast(TypedDict):
    """Expected bookings as published."""

    snapshot: dict[str, Any]
    period: str
    level: str
    forecasts: list[dict[str, Any]]


class DealAnswer(TypedDict):
    """A deal as published, with its past and what was said of it."""

    snapshot: dict[str, Any]
    period: str
    current: bool
    deal: dict[str, Any]
    history: list[dict[str, Any]]
    judgements: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BulkRow:
    """What became of one row of a stream: exactly one of the three.

    row : its place among the rows sent, from 0
    """

    row: int
    score: Score | None = None
    skipped: Skipped | None = None
    error: RefusedError | None = None
