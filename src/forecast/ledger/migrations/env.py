"""Runs the migrations on the connection the ledger gives, inside its transaction."""

from __future__ import annotations

from alembic import context

from forecast.ledger.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    version_table="ledger_version",
)
context.run_migrations()
