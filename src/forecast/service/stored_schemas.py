"""JSON schemas of what is read from the ledger and said into it: answers of `forecast.service.reads`."""

from __future__ import annotations

from typing import Any, Final

from forecast.scoring import HORIZONS_DAYS
from forecast.service.deals import CATEGORIES
from forecast.service.requests import LEVELS
from forecast.service.schema_parts import (
    DAY,
    DAY_OUT,
    MOMENT_OUT,
    MONEY,
    MONEY_OUT,
    SHARE,
    Schema,
    list_of,
    object_of,
    or_null,
    ref,
)

__all__ = ["DEAL_EXAMPLE", "FORECAST_EXAMPLE", "JUDGED_EXAMPLE", "JUDGEMENT_EXAMPLE", "STORED"]

_TEXT: Final[Schema] = {"type": "string"}
_TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
_SHARE_OR_NULL: Final[Schema] = or_null(SHARE)
_GRADE: Final[Schema] = {"type": "string", "enum": ["A", "B", "C", "D"]}
_RANK: Final[Schema] = {"type": "integer", "minimum": 1, "maximum": 100}

_SNAPSHOT: Final = object_of(
    {
        "id": _TEXT,
        "as_of": MOMENT_OUT,
        "published_at": MOMENT_OUT,
        "bundle": _TEXT,
        "trained_until": MOMENT_OUT,
        "newest_record_at": {**MOMENT_OUT, "description": "The newest change in the data it was made from"},
        "data_age_seconds": {"type": "integer", "minimum": 0},
        "currency": _TEXT,
    },
    (
        "id",
        "as_of",
        "published_at",
        "bundle",
        "trained_until",
        "newest_record_at",
        "data_age_seconds",
        "currency",
    ),
    "The published snapshot that the numbers come from.",
)
_FORECAST: Final[dict[str, Schema]] = {
    "period": _TEXT,
    "level": {"type": "string", "enum": list(LEVELS)},
    "entity": _TEXT,
    **dict.fromkeys(("booked", "open", "arrivals", "expected", "p10", "p50", "p90", "quota"), MONEY_OUT),
    "attainment_probability": _SHARE_OR_NULL,
    **dict.fromkeys(("gap", "pipeline_open_amount", "coverage_needed"), MONEY_OUT),
}
_CHANCES: Final[dict[str, Schema]] = {
    "win_probability": SHARE,
    **{f"won_{days}d": SHARE for days in HORIZONS_DAYS},
    **{f"lost_{days}d": SHARE for days in HORIZONS_DAYS},
    "won_in_period": _SHARE_OR_NULL,
    **dict.fromkeys(("close_on_p10", "close_on_p50", "close_on_p90"), DAY_OUT),
    "amount_if_won": MONEY_OUT,
    "expected_bookings": MONEY_OUT,
    "score": _RANK,
    "grade": _GRADE,
}
_STORED_DEAL: Final[dict[str, Schema]] = {
    "deal_id": _TEXT,
    "pipeline": _TEXT,
    **dict.fromkeys(("owner_id", "team", "region"), _TEXT_OR_NULL),
    "stage": _TEXT,
    "amount": MONEY_OUT,
    **_CHANCES,
    "reasons": list_of("Reason"),
    "curve": {
        "type": "array",
        "description": "Chances of being won and of being lost by so many days after as_of",
        "items": object_of(
            {"days": {"type": "number"}, "won": SHARE, "lost": SHARE}, ("days", "won", "lost"), "A point."
        ),
    },
}
_PAST: Final = (
    "stage",
    "owner_id",
    "amount",
    "win_probability",
    "won_30d",
    "won_90d",
    "won_in_period",
    "close_on_p50",
    "amount_if_won",
    "expected_bookings",
    "score",
    "grade",
)
_PAST_SCORE: Final[dict[str, Schema]] = {
    "snapshot": _TEXT,
    "as_of": MOMENT_OUT,
    "bundle": _TEXT,
    **{name: _STORED_DEAL[name] for name in _PAST},
}
_SAID: Final[dict[str, Schema]] = {
    "forecast_category": {"enum": [*CATEGORIES, None]},
    "amount": {**or_null(MONEY), "description": "In the reporting currency"},
    "expected_close_on": or_null(DAY),
    "note": {"type": ["string", "null"], "minLength": 1, "maxLength": 2_000, "pattern": r"\S"},
}
_MADE: Final[dict[str, Schema]] = {
    "number": {"type": "integer"},
    "made_at": MOMENT_OUT,
    "key": {"type": "string", "description": "Public id of the key that said it"},
    **_SAID,
}

STORED: Final[dict[str, Schema]] = {
    "Snapshot": _SNAPSHOT,
    "Forecast": object_of(_FORECAST, tuple(_FORECAST), "Expected bookings of one entity in a snapshot."),
    "ForecastRead": object_of(
        {
            "snapshot": ref("Snapshot"),
            "period": _TEXT,
            "level": _TEXT,
            "forecasts": list_of("Forecast"),
        },
        ("snapshot", "period", "level", "forecasts"),
        "The rows of a level that the key may see.",
    ),
    "StoredDeal": object_of(_STORED_DEAL, tuple(_STORED_DEAL), "A deal in its newest snapshot."),
    "PastScore": object_of(_PAST_SCORE, tuple(_PAST_SCORE), "What an earlier snapshot said of the deal."),
    "Judgement": object_of(
        _SAID,
        (),
        "What a manager says of a deal: at least one of category, amount and date, and a note.",
        anyOf=[
            {"required": [name], "properties": {name: {"not": {"type": "null"}}}}
            for name in ("forecast_category", "amount", "expected_close_on")
        ],
    ),
    "MadeJudgement": object_of(_MADE, tuple(_MADE), "A judgement as it was appended."),
    "DealRead": object_of(
        {
            "snapshot": ref("Snapshot"),
            "period": {"type": "string", "description": "Of won_in_period"},
            "current": {"type": "boolean", "description": "Whether the deal is in the latest snapshot"},
            "deal": ref("StoredDeal"),
            "history": list_of("PastScore"),
            "judgements": list_of("MadeJudgement"),
        },
        ("snapshot", "period", "current", "deal", "history", "judgements"),
        "A deal with its reasons, its curve, the history of its scores and what was said of it.",
    ),
    "JudgementAnswer": object_of(
        {
            "judgement": object_of(
                {"deal_id": _TEXT, **_MADE}, ("deal_id", *_MADE), "The judgement as it was appended."
            )
        },
        ("judgement",),
        "The judgement as it was appended.",
    ),
}

# -- examples -----------------------------------------------------------------------------------------------

_SNAPSHOT_EXAMPLE: Final[dict[str, Any]] = {
    "id": "6b1f0c9e4d7a",
    "as_of": "2026-01-01T00:00:00Z",
    "published_at": "2026-01-01T02:00:07Z",
    "bundle": "9c1f52ab03de",
    "trained_until": "2026-01-01T00:00:00Z",
    "newest_record_at": "2025-12-31T18:12:44Z",
    "data_age_seconds": 30_123,
    "currency": "EUR",
}
FORECAST_EXAMPLE: Final[dict[str, Any]] = {
    "snapshot": _SNAPSHOT_EXAMPLE,
    "period": "2026Q1",
    "level": "team",
    "forecasts": [
        {
            "period": "2026Q1",
            "level": "team",
            "entity": "North",
            "booked": 0.0,
            "open": 181_300.0,
            "arrivals": 42_100.0,
            "expected": 223_400.0,
            "p10": 148_000.0,
            "p50": 219_000.0,
            "p90": 305_000.0,
            "quota": 250_000.0,
            "attainment_probability": 0.33,
            "gap": 26_600.0,
            "pipeline_open_amount": 612_000.0,
            "coverage_needed": 2.1,
        }
    ],
}
_CHANCES_EXAMPLE: Final[dict[str, Any]] = {
    "win_probability": 0.41,
    "won_14d": 0.02,
    "won_30d": 0.06,
    "won_60d": 0.15,
    "won_90d": 0.24,
    "won_180d": 0.35,
    "won_365d": 0.4,
    "lost_14d": 0.03,
    "lost_30d": 0.08,
    "lost_60d": 0.17,
    "lost_90d": 0.27,
    "lost_180d": 0.43,
    "lost_365d": 0.55,
    "won_in_period": 0.24,
    "close_on_p10": "2026-01-20",
    "close_on_p50": "2026-03-12",
    "close_on_p90": "2026-07-30",
    "amount_if_won": 23_100.0,
    "expected_bookings": 9_471.0,
    "score": 78,
    "grade": "B",
}
JUDGEMENT_EXAMPLE: Final[dict[str, Any]] = {
    "forecast_category": "commit",
    "amount": 24_000,
    "expected_close_on": "2026-02-28",
    "note": "Signed offer expected after their board meets.",
}
_MADE_EXAMPLE: Final[dict[str, Any]] = {
    "number": 17,
    "made_at": "2026-01-05T08:30:00Z",
    "key": "3f9a0c51b2d4",
    **JUDGEMENT_EXAMPLE,
}
JUDGED_EXAMPLE: Final[dict[str, Any]] = {"judgement": {"deal_id": "D-1042", **_MADE_EXAMPLE}}
_DEAL_EXAMPLE: Final[dict[str, Any]] = {
    "deal_id": "D-1042",
    "pipeline": "sales",
    "owner_id": "U-3",
    "team": "North",
    "region": "EMEA",
    "stage": "qualified",
    "amount": 24_000.0,
    **_CHANCES_EXAMPLE,
}
DEAL_EXAMPLE: Final[dict[str, Any]] = {
    "snapshot": _SNAPSHOT_EXAMPLE,
    "period": "2026Q1",
    "current": True,
    "deal": {
        **_DEAL_EXAMPLE,
        "reasons": [
            {
                "feature": "silence_days",
                "label": "Silence",
                "effect": -0.07,
                "value": 17.0,
                "text": "silent for 17 days",
                "bookings_effect": -1_617.0,
                "period_effect": -0.05,
            }
        ],
        "curve": [{"days": 30, "won": 0.06, "lost": 0.08}, {"days": 90, "won": 0.24, "lost": 0.27}],
    },
    "history": [
        {
            "snapshot": "6b1f0c9e4d7a",
            "as_of": "2026-01-01T00:00:00Z",
            "bundle": "9c1f52ab03de",
            **{name: _DEAL_EXAMPLE[name] for name in _PAST},
        }
    ],
    "judgements": [_MADE_EXAMPLE],
}
