"""One database, SQLite or PostgreSQL, behind three verbs: open, read, write.

SQLite runs with a write-ahead log, waits five seconds for another writer, keeps foreign keys, and has what is
acknowledged on the disk (synchronous=FULL). A write takes its lock at the beginning, so two writers queue
instead of failing half-way. Nothing a driver says leaves here with a value in it.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from forecast.errors import BusyError, DataError, OutputError, UnavailableError, UsageError
from forecast.ledger.migrate import newest, upgrade, version_of
from forecast.ledger.place import Place

__all__ = ["Database", "open_database", "schema_version"]

PASSWORD_VARIABLE: Final = "FORECAST_DATABASE_PASSWORD"  # noqa: S105  (the name of it)
_CONNECT_SECONDS: Final = 5
_BUSY_MS: Final = 5_000
# Any constant will do, so long as it is always the same.
_UPGRADE_LOCK: Final = 0x466F7265_63617374
_AUDIT_LOCK: Final = 0x466F7265_61756474


class Database:
    """A ledger's database at the newest schema. Threads may share it; forked processes may not."""

    def __init__(self, place: Place, engine: Engine) -> None:
        self.place = place
        self.engine = engine

    @property
    def is_sqlite(self) -> bool:
        """Whether it is a file."""
        return self.place.file is not None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection whose queries all see one state.

        Raises BusyError, UnavailableError, OutputError or DataError where the database fails.
        """
        with self._told(), self.engine.connect() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction: all of it or, after an error, nothing. Raises like `read`."""
        with (
            self._told(),
            self.engine.connect() as connection,
            connection.execution_options(writes=True).begin(),
        ):
            yield connection

    @contextmanager
    def maintain(self) -> Iterator[Connection]:
        """A connection outside any transaction, for VACUUM and the like. Raises like `read`."""
        with self._told(), self.engine.connect() as connection:
            # SQLAlchemy's own word for it would leave SQLite's connection in another mode afterwards.
            mode: dict[str, Any] = (
                {"maintains": True} if self.is_sqlite else {"isolation_level": "AUTOCOMMIT"}
            )
            yield connection.execution_options(**mode)

    def lock_audit(self, connection: Connection) -> None:
        """Let nobody else append to the audit until this transaction ends."""
        if not self.is_sqlite:  # there a write has locked everything already
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_AUDIT_LOCK})")

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise told(self.place, error) from None  # the cause carries the statement's values
        except PoolTimeoutError:
            raise BusyError(
                f"all connections to the ledger {self.place} are in use; try again", code="ledger_busy"
            ) from None


def told(place: Place, error: DBAPIError) -> DataError | BusyError | UnavailableError | OutputError:
    """What a driver's error means, without a value of a row and without a password."""
    said = str(error.orig).lower()
    if "locked" in said or "lock timeout" in said or "deadlock" in said:
        return BusyError(
            f"the ledger {place} is locked by another process for more than {_BUSY_MS // 1000} s; try again",
            code="ledger_locked",
        )
    if (
        "full" in said
        or "disk i/o" in said
        or "no space" in said
        or "readonly" in said
        or "read-only" in said
    ):
        return OutputError(
            f"the ledger {place} cannot be written: {_reason(error)}; check the free space and the rights of "
            "the file and its folder",
            code="ledger_not_writable",
        )
    if "malformed" in said or "not a database" in said:
        return DataError(
            f"the ledger {place} is damaged: {_reason(error)}; put the last backup back (docs/ledger.md)",
            code="ledger_damaged",
        )
    if isinstance(error, OperationalError) or error.connection_invalidated:
        return UnavailableError(
            f"the ledger {place} does not answer: {_reason(error)}; check that it is there, the user and "
            "the password",
            code="no_ledger",
        )
    return DataError(f"the ledger {place} refused: {_reason(error)}", code="ledger_refused")


def _reason(error: DBAPIError) -> str:
    """The first line of what a driver says; DETAIL of PostgreSQL repeats rows, so it goes no further."""
    first = str(error.orig).partition("\n")[0]
    return re.sub(r"password\S*\s*=\s*\S+|//[^/@\s]*:[^/@\s]*@", "***", first)[:160]


def open_database(place: Place) -> Database:
    """Open a ledger's database, make it if it is not there, bring it to the newest schema.

    One process at a time does so, the others wait and find it done. Raises DataError for a database of a newer
    version or of something else, UnavailableError, BusyError, OutputError, and UsageError without the driver.
    """
    engine = _sqlite(place) if place.file is not None else _postgresql(place)
    database = Database(place, engine)
    try:
        # Looked at first: whoever only reads need not wait for a writer.
        with database.read() as connection:
            if version_of(connection) == newest():
                return database
        with database.write() as connection:
            if place.server is not None:
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_UPGRADE_LOCK})")
                if place.server.schema is not None:
                    name = place.server.schema.replace('"', '""')
                    known = inspect(connection).get_schema_names()
                    if place.server.schema not in known:
                        connection.exec_driver_sql(f'CREATE SCHEMA "{name}"')
            upgrade(connection, str(place))
    except BaseException:
        database.close()
        raise
    return database


def _sqlite(place: Place) -> Engine:
    path = place.file
    assert path is not None  # noqa: S101  (by the caller)
    try:
        # Forecasts are nobody else's business: the log beside the file gets the file's own rights.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise OutputError(
            f"{path} cannot be opened: {error.strerror}; name another file with --ledger", code="cannot_write"
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=str(path.absolute())),
        connect_args={"timeout": _BUSY_MS / 1000},
        pool_timeout=_BUSY_MS / 1000,
    )

    @event.listens_for(engine, "connect")
    def prepared(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say, changes of the schema included
        for pragma in (
            f"busy_timeout = {_BUSY_MS}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            "secure_delete = ON",
            "trusted_schema = OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("maintains"):
            connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("writes") else "BEGIN")

    return engine


def _postgresql(place: Place) -> Engine:
    url = place.server
    assert url is not None  # noqa: S101  (by the caller)
    more: dict[str, Any] = {"application_name": "forecast", "client_encoding": "utf8"}
    if url.password is None and PASSWORD_VARIABLE in os.environ:
        more["password"] = os.environ[PASSWORD_VARIABLE]
    if "connect_timeout" not in url.target and "PGCONNECT_TIMEOUT" not in os.environ:
        more["connect_timeout"] = _CONNECT_SECONDS

    def connected() -> Any:
        import psycopg

        connection = psycopg.connect(url.target, **more)
        with connection.cursor() as cursor:
            cursor.execute(f"SET lock_timeout = {_BUSY_MS}")
            if url.schema is not None:
                name = url.schema.replace('"', '""')
                cursor.execute(f'SET search_path = "{name}"')
        connection.commit()
        return connection

    try:
        # The address stays out of the engine, and with it out of every message.
        return create_engine(
            "postgresql+psycopg://", creator=connected, pool_pre_ping=True, pool_timeout=_BUSY_MS / 1000
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise UsageError(
            "a ledger in PostgreSQL needs the package psycopg: pip install 'forecast[database]'",
            code="missing_package",
        ) from error


def schema_version(place: Place) -> str | None:
    """The version of the schema in a database that is left as it is; None if it has none.

    A file is made if there is none: ask only for one that is there. Raises like `open_database`.
    """
    database = Database(place, _sqlite(place) if place.file is not None else _postgresql(place))
    try:
        with database.read() as connection:
            return version_of(connection)
    finally:
        database.close()
