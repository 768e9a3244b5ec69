"""From any older schema of the ledger to the newest, in one transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from forecast.errors import DataError

__all__ = ["VERSION_TABLE", "configuration", "newest", "upgrade", "version_of", "versions"]

VERSION_TABLE: Final = "ledger_version"
_FOLDER: Final = Path(__file__).with_name("migrations")


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's settings: where the migrations are, and the connection they run on."""
    config = Config()
    # A percent sign is Alembic's own in settings.
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def versions() -> list[str]:
    """All versions of the schema, oldest first."""
    walked = ScriptDirectory.from_config(configuration()).walk_revisions()
    return [script.revision for script in walked][::-1]


def newest() -> str:
    """The version this code works with."""
    return versions()[-1]


def version_of(connection: Connection) -> str | None:
    """The version of the schema in a database, None if it has none."""
    context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
    return context.get_current_revision()


def upgrade(connection: Connection, place: str) -> None:
    """Bring a database to the newest version, inside the caller's transaction.

    Raises DataError for one of a newer version of this program, or with tables of something else.
    """
    found = version_of(connection)
    known = versions()
    if found is None and inspect(connection).get_table_names():
        raise DataError(
            f"{place} holds tables that are no ledger; name an empty database, or ?schema=NAME of one",
            code="no_ledger_database",
        )
    if found is not None and found not in known:
        raise DataError(
            f"the ledger {place} is of version {found[:20]}, newer than this program, which knows "
            f"{known[-1]}; update the program",
            code="newer_ledger",
        )
    if found != known[-1]:
        command.upgrade(configuration(connection), "head")
