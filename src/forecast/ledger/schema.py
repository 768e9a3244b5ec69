"""The tables of the ledger, as they are at the newest version; `migrations` brings older ones here.

Moments are int64 microseconds since 1970 (`_us`), days ISO text, amounts in the snapshot's reporting currency.
Nothing here holds a name, an address or a key's secret.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

__all__ = [
    "APPEND_ONLY",
    "AUDIT",
    "FORECASTS",
    "IDEMPOTENCY",
    "JUDGEMENTS",
    "KEYS",
    "LEDGER",
    "METADATA",
    "OUTBOX",
    "REVOCATIONS",
    "SCORES",
    "SCORE_NUMBERS",
    "SERVED",
    "SNAPSHOTS",
    "SNAPSHOT_PERIODS",
    "UNLOCKED",
]

METADATA: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)
# SQLite counts rows by INTEGER only; PostgreSQL needs the wide one.
_COUNTER: Final = BigInteger().with_variant(Integer, "sqlite")
_HORIZONS: Final = (14, 30, 60, 90, 180, 365)
SCORE_NUMBERS: Final = (
    "amount", "win_probability", *(f"won_{h}d" for h in _HORIZONS), *(f"lost_{h}d" for h in _HORIZONS),
    "won_in_period", "amount_if_won", "expected_bookings",
)  # fmt: skip
"""Columns of a score that are numbers, as docs/scores.md names them; `score` is a whole one and apart."""

LEDGER: Final = Table(
    "ledger",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("made_at_us", BigInteger, nullable=False),
    # Hashes of erased ids are made with it, so that they say nothing to who has only the hashes.
    Column("salt", String(64), nullable=False),
)

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("name", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("role", String(16), nullable=False),
    Column("scope", Text, nullable=False),
    Column("rows_per_minute", Integer),
    Column("made_at_us", BigInteger, nullable=False),
    Column("expires_at_us", BigInteger),
)
# Revoked is appended: a row of `keys` never changes.
REVOCATIONS: Final = Table(
    "key_revocations",
    METADATA,
    Column("key", String(16), primary_key=True),
    Column("revoked_at_us", BigInteger, nullable=False),
)

SNAPSHOTS: Final = Table(
    "snapshots",
    METADATA,
    Column("number", _COUNTER, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("published_at_us", BigInteger, nullable=False),
    Column("as_of_us", BigInteger, nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("trained_until_us", BigInteger, nullable=False),
    Column("data_fingerprint", String(64), nullable=False),
    Column("newest_record_us", BigInteger, nullable=False),
    Column("code_version", String(32), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("deals", Integer, nullable=False),
    # How the numbers came about, as JSON: settings, data, bundle and code, as in a receipt of a file.
    Column("receipt", Text, nullable=False),
    # Days after as_of at which the curves of this snapshot are given, as a JSON list.
    Column("curve_days", Text, nullable=False),
)
SNAPSHOT_PERIODS: Final = Table(
    "snapshot_periods",
    METADATA,
    Column("snapshot", ForeignKey("snapshots.number"), primary_key=True, type_=_COUNTER),
    Column("period", String(8), primary_key=True),
    Column("position", Integer, nullable=False),
)
SCORES: Final = Table(
    "scores",
    METADATA,
    Column("snapshot", ForeignKey("snapshots.number"), primary_key=True, type_=_COUNTER),
    Column("deal_id", Text, primary_key=True),
    Column("owner_id", Text),
    Column("team", Text),
    Column("region", Text),
    Column("account_id", Text),
    Column("pipeline", Text),
    Column("stage", Text),
    *(Column(name, Double) for name in SCORE_NUMBERS),
    *(Column(f"close_on_{q}", String(10)) for q in ("p10", "p50", "p90")),
    Column("score", Integer),
    Column("grade", String(1)),
    # JSON lists, in each language; and the curve as [[won, ...], [lost, ...]].
    Column("reasons_en", Text, nullable=False),
    Column("reasons_it", Text, nullable=False),
    Column("curve", Text, nullable=False),
    Index("ix_scores_deal_id", "deal_id", "snapshot"),
    Index("ix_scores_owner_id", "owner_id"),
    Index("ix_scores_account_id", "account_id"),
)
FORECASTS: Final = Table(
    "forecasts",
    METADATA,
    Column("snapshot", ForeignKey("snapshots.number"), primary_key=True, type_=_COUNTER),
    Column("period", String(8), primary_key=True),
    Column("level", String(8), primary_key=True),
    Column("entity", Text, primary_key=True),
    # Of a user's row the team of then; of every other row nothing.
    Column("team", Text),
    Column("position", Integer, nullable=False),
    *(
        Column(name, Double)
        for name in (
            "booked", "open", "arrivals", "expected", "p10", "p50", "p90", "quota",
            "attainment_probability", "gap", "pipeline_open_amount", "coverage_needed",
        )
    ),
)  # fmt: skip
JUDGEMENTS: Final = Table(
    "judgements",
    METADATA,
    Column("number", _COUNTER, primary_key=True, autoincrement=True),
    Column("deal_id", Text, nullable=False, index=True),
    Column("made_at_us", BigInteger, nullable=False),
    Column("key", String(64), nullable=False),
    Column("forecast_category", String(16)),
    Column("amount", Double),
    Column("expected_close_on", String(10)),
    Column("note", Text),
)
SERVED: Final = Table(
    "served",
    METADATA,
    Column("number", _COUNTER, primary_key=True, autoincrement=True),
    Column("served_at_us", BigInteger, nullable=False, index=True),
    Column("route", String(64), nullable=False),
    Column("key", String(64), nullable=False),
    Column("request_id", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("bundle", String(64)),
    Column("as_of_us", BigInteger),
    Column("rows", Integer, nullable=False),
    Column("asked_sha256", String(64), nullable=False),
    Column("answered_sha256", String(64), nullable=False),
)
IDEMPOTENCY: Final = Table(
    "idempotency",
    METADATA,
    Column("key", String(64), primary_key=True),
    # Of the Idempotency-Key: callers put ids of deals into it.
    Column("name_sha256", String(64), primary_key=True),
    Column("asked_sha256", String(64), nullable=False),
    Column("begun_at_us", BigInteger, nullable=False, index=True),
    Column("status", Integer),
    Column("answer", LargeBinary),
)
OUTBOX: Final = Table(
    "outbox",
    METADATA,
    Column("number", _COUNTER, primary_key=True, autoincrement=True),
    Column("target", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("deal_id", Text, index=True),
    Column("content", Text, nullable=False),
    Column("made_at_us", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_until_us", BigInteger),
    Column("settled_at_us", BigInteger),
    CheckConstraint("state IN ('pending', 'sent', 'failed')", name="state"),
    # A write-back has one name per target: appended twice, it is there once.
    UniqueConstraint("target", "name"),
    Index("ix_outbox_state", "state", "number"),
)
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("number", _COUNTER, primary_key=True, autoincrement=False),
    Column("at_us", BigInteger, nullable=False),
    Column("event", String(32), nullable=False),
    Column("details", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)
# Holds a row only inside a transaction that erases; the triggers let that one through and nobody else.
UNLOCKED: Final = Table("unlocked", METADATA, Column("reason", String(32), primary_key=True))

APPEND_ONLY: Final = (
    "ledger", "keys", "key_revocations", "snapshots", "snapshot_periods", "scores", "forecasts", "judgements",
    "served", "audit",
)  # fmt: skip
"""Tables whose rows never change and go only by erasing; of `audit` none ever goes."""
