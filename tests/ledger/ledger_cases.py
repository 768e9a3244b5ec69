"""Snapshots made up for tests: small, and every column filled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pandas as pd
from sqlalchemy import text

from forecast.ledger import Ledger, Snapshot
from forecast.ledger.schema import FORECASTS, SCORE_NUMBERS

MADE_US: Final = 1_767_225_600_000_000  # 2026-01-01
DAY_US: Final = 86_400_000_000

# deal -> owner, team, account
Deals = dict[str, tuple[str | None, str, str | None]]
DEALS: Final[Deals] = {
    "D-1": ("ana", "North", "A-1"),
    "D-2": ("ben", "North", "A-2"),
    "D-3": ("cleo", "South", "A-1"),
    "D-4": (None, "unassigned", None),
}
FIGURES: Final = [
    column.name
    for column in FORECASTS.columns
    if column.name not in ("snapshot", "period", "level", "entity", "team", "position")
]


def snapshot(
    deals: Deals | None = None,
    *,
    day: int = 0,
    name: str = "a",
    periods: Sequence[str] = ("2026Q1",),
    reason: str = "text",
) -> Snapshot:
    """A snapshot of those deals, as of so many days into 2026."""
    held = DEALS if deals is None else deals
    reasons = json.dumps([{"feature": "segment", "value": reason, "text": "in words"}])
    scores = pd.DataFrame(
        [
            {
                "deal_id": deal,
                "owner_id": owner,
                "team": team,
                "region": "Europe",
                "account_id": account,
                "pipeline": "sales",
                "stage": "qualified",
                **dict.fromkeys(SCORE_NUMBERS, 0.25 + place),
                **{f"close_on_{q}": "2026-02-03" for q in ("p10", "p50", "p90")},
                "score": 50 + place,
                "grade": "B",
                "reasons_en": reasons,
                "reasons_it": reasons.replace("in words", "a parole"),
                "curve": "[[0.1,0.2],[0.3,0.4]]",
            }
            for place, (deal, (owner, team, account)) in enumerate(held.items())
        ]
    )
    people = {owner or "unassigned": team for owner, team, _ in held.values()}
    entities = [
        ("company", "*", None),
        ("region", "Europe", None),
        *(("team", team, None) for team in dict.fromkeys(people.values())),
        *(("user", person, team) for person, team in people.items()),
    ]
    forecasts = pd.DataFrame(
        [
            {"period": period, "level": level, "entity": entity, "team": team, **dict.fromkeys(FIGURES, 1.5)}
            for period in periods
            for level, entity, team in entities
        ]
    ).assign(quota=float("nan"))
    as_of_us = MADE_US + day * DAY_US
    made_from = [name, day, list(periods), sorted(held)]
    return Snapshot(
        id=hashlib.sha256(json.dumps(made_from).encode()).hexdigest(),
        as_of_us=as_of_us,
        periods=tuple(periods),
        bundle="b" * 64,
        trained_until_us=MADE_US,
        data_fingerprint="f" * 64,
        newest_record_us=as_of_us - 1,
        code_version="1",
        currency="EUR",
        receipt={"kind": "snapshot"},
        curve_days=(30.0, 90.0),
        scores=scores,
        forecasts=forecasts,
    )


def sql(ledger: Ledger, *statements: str) -> list[Any]:
    """Statements past the ledger's own functions, in one transaction; rows of the last."""
    rows: Iterable[Any] = ()
    with ledger._database.write() as connection:
        for statement in statements:
            result = connection.execute(text(statement))
            rows = result.all() if result.returns_rows else ()
    return list(rows)
