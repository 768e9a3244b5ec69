"""A company small enough to know every figure of its report by heart."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pandas as pd

from forecast.bundle import Bundle
from forecast.outlook import Outlook, make_outlook
from forecast.periods import Period
from forecast.tables import Tables

AS_OF: Final = pd.Timestamp("2026-02-01", tz="UTC")
PERIOD: Final = Period.parse("2026Q1")

STAGES: Final = pd.DataFrame(
    [
        ("sales", "prospecting", 1, "open", 0.05, "Prospecting"),
        ("sales", "qualification", 2, "open", 0.15, "Qualification"),
        ("sales", "proposal", 3, "open", 0.50, "Proposal"),
        ("sales", "won", 4, "won", 1.0, "Won"),
        ("sales", "lost", 5, "lost", 0.0, "Lost"),
    ],
    columns=["pipeline", "stage", "position", "kind", "default_probability", "label"],
)

# deal, owner, amount, currency, then its events as (day, field, value)
_DEALS: Final[list[tuple[str, str | None, float | None, str, list[tuple[str, str, str]]]]] = [
    # Booked in January; went through every stage.
    ("W1", "ana", 10_000.0, "EUR", [
        ("2025-10-01", "stage", "prospecting"), ("2025-10-11", "stage", "qualification"),
        ("2025-11-10", "stage", "proposal"), ("2026-01-15", "stage", "won")]),
    # Won last year; skipped qualification.
    ("W2", "ana", 8_000.0, "EUR", [
        ("2025-06-01", "stage", "prospecting"), ("2025-06-21", "stage", "proposal"),
        ("2025-09-01", "stage", "won")]),
    ("L1", "ana", 5_000.0, "EUR", [("2025-07-01", "stage", "prospecting"), ("2025-08-01", "stage", "lost")]),
    ("L2", "bruno", 7_000.0, "EUR", [
        ("2025-07-01", "stage", "prospecting"), ("2025-07-20", "stage", "qualification"),
        ("2025-12-20", "stage", "lost")]),
    # Lost, re-opened, open again: not decided.
    ("R1", "bruno", 6_000.0, "EUR", [
        ("2025-05-01", "stage", "prospecting"), ("2025-06-01", "stage", "lost"),
        ("2025-12-01", "stage", "qualification"), ("2025-12-01", "expected_close_on", "2026-03-20")]),
    # Silent for 34 days and 5 days overdue, after two pushes of 41 days in all.
    ("S1", "ana", 20_000.0, "EUR", [
        ("2025-11-01", "stage", "qualification"), ("2025-11-01", "forecast_category", "commit"),
        ("2025-11-01", "expected_close_on", "2025-12-17"), ("2025-12-29", "stage", "proposal"),
        ("2025-12-29", "expected_close_on", "2026-01-10"),
        ("2026-01-09", "expected_close_on", "2026-01-27")]),
    # Closes in four days; the customer wrote three days ago (see activities).
    ("F1", "bruno", 30_000.0, "EUR", [
        ("2025-12-10", "stage", "proposal"), ("2025-12-10", "forecast_category", "best_case"),
        ("2025-12-10", "expected_close_on", "2026-02-05")]),
    # Nobody's deal, created after the comparison four weeks ago, without a date.
    ("N1", None, 4_000.0, "EUR", [("2026-01-20", "stage", "prospecting")]),
]  # fmt: skip
_ACTIVITIES: Final = [("S1", "2025-12-29", "call", "out"), ("F1", "2026-01-29", "email", "in")]


def company(**changes: Any) -> Tables:
    """The small company; `changes` replace whole tables (frames)."""
    events = [
        (deal, f"{day}T00:00:00Z", field, value)
        for deal, _, _, _, dated in _DEALS
        for day, field, value in dated
    ]
    frames = {
        "stages": STAGES,
        "deals": pd.DataFrame(
            [
                (deal, dated[0][0] + "T00:00:00Z", owner, amount, currency)
                for deal, owner, amount, currency, dated in _DEALS
            ],
            columns=["deal_id", "created_at", "owner_id", "amount", "currency"],
        ).assign(created_at=lambda deals: pd.to_datetime(deals["created_at"], utc=True)),
        "deal_events": pd.DataFrame(events, columns=["deal_id", "recorded_at", "field", "value"]).assign(
            recorded_at=lambda found: pd.to_datetime(found["recorded_at"], utc=True)
        ),
        "activities": pd.DataFrame(
            _ACTIVITIES, columns=["deal_id", "occurred_at", "kind", "direction"]
        ).assign(occurred_at=lambda found: pd.to_datetime(found["occurred_at"], utc=True)),
        "users": pd.DataFrame(
            [
                ("ana", "Ana Rossi", "north", "italy", "ana@example.com"),
                ("bruno", "Bruno Conti", "south", "italy", "bruno@example.com"),
            ],
            columns=["user_id", "name", "team", "region", "email"],
        ),
        "quotas": pd.DataFrame(
            [("user", "ana", 25_000.0), ("user", "bruno", 20_000.0), ("company", "*", 45_000.0)],
            columns=["level", "entity", "amount"],
        ).assign(period="2026Q1", currency="EUR"),
    }
    return Tables.from_frames(**(frames | changes))


def outlook_of(tables: Tables, bundle: Bundle, as_of: pd.Timestamp = AS_OF) -> Outlook:
    """The first quarter of 2026 as seen from 1 February."""
    return make_outlook(tables, bundle, as_of=as_of, period=PERIOD, deciding=3)


def without(tables: Tables, *names: str) -> Tables:
    """The same company with some tables empty."""
    return replace(tables, **{name: tables[name].iloc[:0] for name in names})


def only_deals(tables: Tables, deal_ids: list[str]) -> Tables:
    """The same company with a few of its deals."""
    return replace(
        tables,
        **{
            name: tables[name][tables[name]["deal_id"].isin(deal_ids)]
            for name in ("deals", "deal_events", "activities")
        },
    )


def with_amounts(tables: Tables, amount: float) -> Tables:
    """The same company with one amount for every deal (NaN: unknown)."""
    return replace(tables, deals=tables.deals.assign(amount=amount))


def word_faults(texts: dict[str, str], sources: list[Path]) -> tuple[set[str], set[str]]:
    """Keys of texts that no source uses, and keys that sources use and no text has."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    written = set(re.findall(r"""["']((?:[a-z_]+\.)+[a-z_]+)["']""", text))
    # Keys put together from a part: t('part.' ~ kind) in templates, f"step.{kind}" in Python.
    starts = set(re.findall(r"""["'](?:f["'])?((?:[a-z_]+\.)+[a-z_]*)["'] ~""", text))
    starts |= set(re.findall(r"""f["']((?:[a-z_]+\.)+[a-z_]*)\{""", text))
    keys = {key.removesuffix(".one").removesuffix(".other") for key in texts}
    unused = {key for key in keys if key not in written and not key.startswith(tuple(starts))}
    sections = {key.split(".")[0] for key in keys}
    missing = {key for key in written if key.split(".")[0] in sections} - keys
    return unused, {
        key for key in missing if not key.endswith((".html", ".css", ".py")) and key not in starts
    }
