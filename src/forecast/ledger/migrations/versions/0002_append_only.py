"""What was said stays said: changing or deleting a row is refused by the database itself.

A transaction that erases puts a row into `unlocked` and takes it out again, so only it ever sees one. The
audit and the ledger's own row are refused even then. This guards against mistakes, in this program and in a
SQL console; whoever means harm and may change the database is found by the chain of hashes in `audit`.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

_ERASABLE = (
    "keys", "key_revocations", "snapshots", "snapshot_periods", "scores", "forecasts", "judgements", "served",
)  # fmt: skip
_FOREVER = ("ledger", "audit")


def upgrade() -> None:
    """Add the triggers."""
    if op.get_bind().dialect.name == "sqlite":
        for table in (*_ERASABLE, *_FOREVER):
            unless = "WHEN NOT EXISTS (SELECT 1 FROM unlocked)" if table in _ERASABLE else ""
            for verb in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_keeps_{verb.lower()} BEFORE {verb} ON {table} {unless} "
                    f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
                )
        return
    op.execute(
        """
        CREATE FUNCTION ledger_keeps() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF TG_ARGV[0] = 'forever' OR NOT EXISTS (SELECT 1 FROM unlocked) THEN
                RAISE EXCEPTION '% is append-only', TG_TABLE_NAME;
            END IF;
            RETURN NULL;
        END $$
        """
    )
    for table in (*_ERASABLE, *_FOREVER):
        word = "erasable" if table in _ERASABLE else "forever"
        op.execute(
            f"CREATE TRIGGER {table}_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION ledger_keeps('{word}')"
        )
