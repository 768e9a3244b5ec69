"""All tables of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From nothing."""
    op.create_table(
        "audit",
        sa.Column(
            "number",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=False,
            nullable=False,
        ),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("previous", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_audit")),
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name_sha256", sa.String(length=64), nullable=False),
        sa.Column("asked_sha256", sa.String(length=64), nullable=False),
        sa.Column("begun_at_us", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("key", "name_sha256", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_begun_at_us"), "idempotency", ["begun_at_us"], unique=False)
    op.create_table(
        "judgements",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("deal_id", sa.Text(), nullable=False),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("forecast_category", sa.String(length=16), nullable=True),
        sa.Column("amount", sa.Double(), nullable=True),
        sa.Column("expected_close_on", sa.String(length=10), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_judgements")),
    )
    op.create_index(op.f("ix_judgements_deal_id"), "judgements", ["deal_id"], unique=False)
    op.create_table(
        "key_revocations",
        sa.Column("key", sa.String(length=16), nullable=False),
        sa.Column("revoked_at_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_key_revocations")),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("rows_per_minute", sa.Integer(), nullable=True),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
        sa.Column("expires_at_us", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )
    op.create_table(
        "ledger",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
        sa.Column("salt", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger")),
    )
    op.create_table(
        "outbox",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("target", sa.String(length=64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("deal_id", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("made_at_us", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("claimed_until_us", sa.BigInteger(), nullable=True),
        sa.Column("settled_at_us", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'sent', 'failed')", name=op.f("ck_outbox_state")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_outbox")),
        sa.UniqueConstraint("target", "name", name=op.f("uq_outbox_target")),
    )
    op.create_index(op.f("ix_outbox_deal_id"), "outbox", ["deal_id"], unique=False)
    op.create_index("ix_outbox_state", "outbox", ["state", "number"], unique=False)
    op.create_table(
        "served",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("served_at_us", sa.BigInteger(), nullable=False),
        sa.Column("route", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("request_id", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=True),
        sa.Column("as_of_us", sa.BigInteger(), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("asked_sha256", sa.String(length=64), nullable=False),
        sa.Column("answered_sha256", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_served")),
    )
    op.create_index(op.f("ix_served_served_at_us"), "served", ["served_at_us"], unique=False)
    op.create_table(
        "snapshots",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("published_at_us", sa.BigInteger(), nullable=False),
        sa.Column("as_of_us", sa.BigInteger(), nullable=False),
        sa.Column("bundle", sa.String(length=64), nullable=False),
        sa.Column("trained_until_us", sa.BigInteger(), nullable=False),
        sa.Column("data_fingerprint", sa.String(length=64), nullable=False),
        sa.Column("newest_record_us", sa.BigInteger(), nullable=False),
        sa.Column("code_version", sa.String(length=32), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("deals", sa.Integer(), nullable=False),
        sa.Column("receipt", sa.Text(), nullable=False),
        sa.Column("curve_days", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_snapshots")),
        sa.UniqueConstraint("id", name=op.f("uq_snapshots_id")),
    )
    op.create_table(
        "unlocked",
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("reason", name=op.f("pk_unlocked")),
    )
    op.create_table(
        "forecasts",
        sa.Column("snapshot", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("entity", sa.Text(), nullable=False),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("booked", sa.Double(), nullable=True),
        sa.Column("open", sa.Double(), nullable=True),
        sa.Column("arrivals", sa.Double(), nullable=True),
        sa.Column("expected", sa.Double(), nullable=True),
        sa.Column("p10", sa.Double(), nullable=True),
        sa.Column("p50", sa.Double(), nullable=True),
        sa.Column("p90", sa.Double(), nullable=True),
        sa.Column("quota", sa.Double(), nullable=True),
        sa.Column("attainment_probability", sa.Double(), nullable=True),
        sa.Column("gap", sa.Double(), nullable=True),
        sa.Column("pipeline_open_amount", sa.Double(), nullable=True),
        sa.Column("coverage_needed", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["snapshot"], ["snapshots.number"], name=op.f("fk_forecasts_snapshot")),
        sa.PrimaryKeyConstraint("snapshot", "period", "level", "entity", name=op.f("pk_forecasts")),
    )
    op.create_table(
        "scores",
        sa.Column("snapshot", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("deal_id", sa.Text(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=True),
        sa.Column("team", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
        sa.Column("account_id", sa.Text(), nullable=True),
        sa.Column("pipeline", sa.Text(), nullable=True),
        sa.Column("stage", sa.Text(), nullable=True),
        sa.Column("amount", sa.Double(), nullable=True),
        sa.Column("win_probability", sa.Double(), nullable=True),
        sa.Column("won_14d", sa.Double(), nullable=True),
        sa.Column("won_30d", sa.Double(), nullable=True),
        sa.Column("won_60d", sa.Double(), nullable=True),
        sa.Column("won_90d", sa.Double(), nullable=True),
        sa.Column("won_180d", sa.Double(), nullable=True),
        sa.Column("won_365d", sa.Double(), nullable=True),
        sa.Column("lost_14d", sa.Double(), nullable=True),
        sa.Column("lost_30d", sa.Double(), nullable=True),
        sa.Column("lost_60d", sa.Double(), nullable=True),
        sa.Column("lost_90d", sa.Double(), nullable=True),
        sa.Column("lost_180d", sa.Double(), nullable=True),
        sa.Column("lost_365d", sa.Double(), nullable=True),
        sa.Column("won_in_period", sa.Double(), nullable=True),
        sa.Column("amount_if_won", sa.Double(), nullable=True),
        sa.Column("expected_bookings", sa.Double(), nullable=True),
        sa.Column("close_on_p10", sa.String(length=10), nullable=True),
        sa.Column("close_on_p50", sa.String(length=10), nullable=True),
        sa.Column("close_on_p90", sa.String(length=10), nullable=True),
        sa.Column("score", sa.Integer(), nullable=True),
        sa.Column("grade", sa.String(length=1), nullable=True),
        sa.Column("reasons_en", sa.Text(), nullable=False),
        sa.Column("reasons_it", sa.Text(), nullable=False),
        sa.Column("curve", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["snapshot"], ["snapshots.number"], name=op.f("fk_scores_snapshot")),
        sa.PrimaryKeyConstraint("snapshot", "deal_id", name=op.f("pk_scores")),
    )
    op.create_index("ix_scores_account_id", "scores", ["account_id"], unique=False)
    op.create_index("ix_scores_deal_id", "scores", ["deal_id", "snapshot"], unique=False)
    op.create_index("ix_scores_owner_id", "scores", ["owner_id"], unique=False)
    op.create_table(
        "snapshot_periods",
        sa.Column("snapshot", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("period", sa.String(length=8), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot"], ["snapshots.number"], name=op.f("fk_snapshot_periods_snapshot")
        ),
        sa.PrimaryKeyConstraint("snapshot", "period", name=op.f("pk_snapshot_periods")),
    )
