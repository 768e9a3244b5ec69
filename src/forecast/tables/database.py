"""Tables of a database, by the names of the contract, as one consistent snapshot that cannot write.

What comes out is what a CSV export of the same tables would hold, so the same rows load, the same rows do not,
and the fingerprint is the same. PostgreSQL sends text over COPY, block by block, never row by row through
Python objects; DuckDB hands over Arrow. A type that cannot be meant is refused before anything is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from forecast.database_url import DatabaseUrl
from forecast.errors import BusyError, DataError, UnavailableError, UsageError
from forecast.tables.check import Refusal
from forecast.tables.models import BANT, KEYS, REQUIRED_TABLES, TABLES, schema_of
from forecast.tables.parquet import plain
from forecast.tables.rules import shown
from forecast.tables.source import Source, as_csv, check_header

__all__ = ["PASSWORD_VARIABLE", "Database", "open_database", "table_label"]

PASSWORD_VARIABLE: Final = "FORECAST_DATABASE_PASSWORD"  # noqa: S105  (the name of it)
_CONNECT_SECONDS: Final = 5
_BLOCK_BYTES: Final = 8 << 20
_BLOCK_ROWS: Final = 100_000
_KEYS_SHOWN: Final = 3

# What a column of a database is, whatever the database calls it.
_TEMPORAL: Final = ("moment", "naive", "date")
_ACCEPTED: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "id": (("text", "integer", "number"), "text or whole numbers"),
    "string[pyarrow]": (("text", "integer", "number", "float", "flag", *_TEMPORAL, "other"), "text"),
    "float64": (("text", "integer", "number", "float"), "a number"),
    "share": (("text", "integer", "number", "float", "flag"), "a number or a boolean"),
    "int64": (("text", "integer", "number", "float"), "a whole number"),
    "bool": (("text", "integer", "flag"), "a boolean"),
    "datetime64[us, UTC]": (("text", *_TEMPORAL), "a moment"),
    "datetime64[ns]": (("text", *_TEMPORAL), "a date"),
}
"""Kind of a column of the contract -> which columns of a database may stand for it, and how to say so."""

Columns = dict[str, tuple[str, str]]
"""Column -> what it is (a word of `_ACCEPTED`), and what the database calls that."""


@dataclass(frozen=True, eq=False)
class Database:
    """The tables of a database, open for reading.

    present, absent : tables of the contract that are there, and optional ones that are not
    refused : required tables that are missing
    read : reads one of the present ones; raises DataError if it cannot be used as a whole
    """

    present: tuple[str, ...]
    absent: tuple[str, ...]
    refused: tuple[Refusal, ...]
    read: Callable[[str], Source]


def table_label(table: str) -> str:
    """How messages name a table of a database."""
    return f"table {table}"


@contextmanager
def open_database(url: DatabaseUrl, *, stated: Collection[str] = ()) -> Iterator[Database]:
    """Open a database for reading; everything read inside is of one moment.

    stated : required tables that may be absent, for their rows are stated elsewhere
    """
    required = [table for table in REQUIRED_TABLES if table not in stated]
    with (_postgresql if url.kind == "postgresql" else _duckdb)(url) as (columns_of, cells_of):
        columns = {table: found for table in TABLES if (found := columns_of(table))}
        where = "" if url.schema is None else f" in schema {url.schema}"
        missing = [table for table in required if table not in columns]
        yield Database(
            present=tuple(columns),
            absent=tuple(table for table in TABLES if table not in columns and table not in required),
            refused=tuple(
                Refusal(
                    table_label(table),
                    "missing_table",
                    f"is missing{where} or not visible to this user, and it is required; make a table or view "
                    "of that name, or say where it is with ?schema=NAME",
                )
                for table in missing
            ),
            read=lambda table: _source(table, columns[table], cells_of),
        )


def _source(table: str, columns: Columns, cells_of: Callable[[str, Columns], pa.Table]) -> Source:
    check_header(list(columns))
    for name, (kind, called) in columns.items():
        _check_kind(table, name, kind, called)
    cells = cells_of(table, columns)
    rows = np.arange(cells.num_rows)
    return Source(
        file=table_label(table),
        read=cells.num_rows,
        cells=cells,
        record=rows,
        lines=np.zeros_like,  # a table has none
        raw=lambda which: as_csv(cells, which),
        where=lambda which: _where(table, cells, which),
    )


def _check_kind(table: str, name: str, kind: str, called: str) -> None:
    accepted, wanted = _ACCEPTED[_meant(table, name)]
    if kind not in accepted:
        raise DataError(
            f"stores {name} as {called}; expected {wanted}: convert it in a view", code="wrong_type"
        )


def _meant(table: str, name: str) -> str:
    """Kind of a column by the contract; custom attributes are text."""
    if name not in TABLES[table]:
        return "string[pyarrow]"
    spec = schema_of(table).columns[name]
    if any(check.name == "no_control_character" for check in spec.checks):
        return "id"
    return "share" if name in BANT else str(spec.dtype)


def _where(table: str, cells: pa.Table, which: NDArray[np.int64]) -> list[str]:
    """What to call rows that have no line: by the first columns of their key that are filled."""
    keys = [name for name in KEYS[table] if name in cells.column_names]
    return [
        f"{table_label(table)}, row with "
        + ", ".join([f"{key} {shown(row[key])}" for key in keys if row[key] not in (None, "")][:_KEYS_SHOWN])
        for row in cells.select(keys).take(which).to_pylist()
    ]


def _missing(package: str) -> UsageError:
    return UsageError(
        f"reading a database needs the package {package}: pip install 'forecast[database]'",
        code="missing_package",
    )


# -- PostgreSQL ---------------------------------------------------------------------------------------------

_PG_KINDS: Final[dict[str, str]] = {
    **dict.fromkeys(("text", "varchar", "bpchar", "name", "citext", "uuid", "char"), "text"),
    **dict.fromkeys(("int2", "int4", "int8", "oid"), "integer"),
    **dict.fromkeys(("float4", "float8"), "float"),
    "numeric": "number",
    "bool": "flag",
    "timestamptz": "moment",
    "timestamp": "naive",
    "date": "date",
}
# Views and domains included. What the role may not see is not there.
_PG_COLUMNS: Final = """
    SELECT a.attname, coalesce(base.typname, own.typname), format_type(a.atttypid, a.atttypmod),
           coalesce(base.typtype, own.typtype) = 'e'
    FROM pg_attribute a
    JOIN pg_type own ON own.oid = a.atttypid
    LEFT JOIN pg_type base ON base.oid = nullif(own.typbasetype, 0)
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_PG_SETTINGS: Final = (
    "SET LOCAL TimeZone = 'UTC'",
    "SET LOCAL DateStyle = 'ISO, YMD'",
    "SET LOCAL extra_float_digits = 1",
)


@contextmanager
def _postgresql(url: DatabaseUrl) -> Iterator[tuple[Any, Any]]:
    try:
        import psycopg
    except ImportError as error:
        raise _missing("psycopg") from error

    more: dict[str, Any] = {"application_name": "forecast", "client_encoding": "utf8"}
    if url.password is None and PASSWORD_VARIABLE in os.environ:
        more["password"] = os.environ[PASSWORD_VARIABLE]
    if "connect_timeout" not in url.target and "PGCONNECT_TIMEOUT" not in os.environ:
        more["connect_timeout"] = _CONNECT_SECONDS
    hidden = [secret for secret in (url.password, more.get("password")) if secret]
    try:
        connection = psycopg.connect(url.target, **more)
    except (psycopg.Error, UnicodeError) as error:
        said = _in_a_line(error, hidden)
        if isinstance(error, psycopg.OperationalError):
            raise UnavailableError(
                f"{url} cannot be reached: {said}; check host, user and password ({PASSWORD_VARIABLE} or "
                "libpq's PGPASSWORD and .pgpass)",
                code="no_connection",
            ) from None  # the cause may show the password
        raise UsageError(f"{url} cannot be used: {said}", code="bad_url") from None
    try:
        with connection:
            # One state of all tables, whatever others write meanwhile; and no way to write ourselves.
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            for setting in _PG_SETTINGS:
                connection.execute(setting)
            yield (
                partial(_pg_columns, connection, url.schema),
                partial(_pg_cells, connection, url.schema),
            )
    except psycopg.OperationalError as error:
        raise UnavailableError(
            f"{url} broke off while it was read: {_in_a_line(error, hidden)}; run the command again",
            code="connection_lost",
        ) from None
    except psycopg.Error as error:
        raise DataError(f"{url} cannot be read: {_in_a_line(error, hidden)}", code="unreadable") from error
    finally:
        connection.close()


def _pg_name(schema: str | None, table: str) -> Any:
    from psycopg import sql

    return sql.Identifier(table) if schema is None else sql.Identifier(schema, table)


def _pg_columns(connection: Any, schema: str | None, table: str) -> Columns:
    name = _pg_name(schema, table).as_string(connection)
    found = connection.execute(_PG_COLUMNS, (name,)).fetchall()
    return {
        column: ("text" if is_enum else _PG_KINDS.get(kind, "other"), called)
        for column, kind, called, is_enum in found
    }


def _pg_cells(connection: Any, schema: str | None, table: str, columns: Columns) -> pa.Table:
    """All rows as text, as COPY writes them."""
    import psycopg
    from psycopg import sql

    names = list(columns)
    asked = [
        sql.SQL(_pg_cast(_meant(table, name), kind)).format(sql.Identifier(name))
        for name, (kind, _) in columns.items()
    ]
    query = sql.SQL("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT csv)").format(
        sql.SQL(", ").join(asked), _pg_name(schema, table)
    )
    blocks: list[pa.Table] = [pa.table({name: pa.array([], pa.large_string()) for name in names})]
    lines: list[bytes] = []
    size = 0
    try:
        # A savepoint: a table that cannot be read must not spoil the others.
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(query) as copy:
            # One piece is one row: cut anywhere, no record is torn.
            for line in copy:
                lines.append(bytes(line))
                size += len(line)
                if size >= _BLOCK_BYTES:
                    blocks.append(_csv_cells(lines, names))
                    lines, size = [], 0
    except psycopg.OperationalError:
        raise
    except psycopg.errors.InsufficientPrivilege as error:
        raise DataError(
            f"cannot be read: {_in_a_line(error)}; GRANT SELECT on it to this user", code="unreadable"
        ) from error
    except psycopg.Error as error:
        raise DataError(f"cannot be read: {_in_a_line(error)}", code="unreadable") from error
    if lines:
        blocks.append(_csv_cells(lines, names))
    return pa.concat_tables(blocks)


def _pg_cast(meant: str, kind: str) -> str:
    if kind == "flag":
        # true is 1, known to be there; and words, where a word is wanted
        return "{}::int" if meant == "share" else "{}::text"
    return "{}::text" if meant in ("id", "string[pyarrow]") and kind != "text" else "{}"


def _csv_cells(lines: list[bytes], names: list[str]) -> pa.Table:
    content = b"".join(lines)
    return pyarrow.csv.read_csv(
        pa.BufferReader(content),
        # A record must fit into a block, so the block is all there is.
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=len(content) + 1024),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.large_string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )


def _in_a_line(error: Exception, hidden: list[str] = []) -> str:  # noqa: B006  (never changed)
    """What a driver says, short, in one line, without a password however it is written."""
    text = " ".join(str(error).split())
    for secret in hidden:
        for written in {secret, quote(secret), quote(secret, safe="")}:
            text = text.replace(written, "***")
    return text[:240]


# -- DuckDB -------------------------------------------------------------------------------------------------

_DUCK_KINDS: Final[dict[str, str]] = {
    **dict.fromkeys(("VARCHAR", "UUID", "ENUM"), "text"),
    **dict.fromkeys(
        (
            "TINYINT",
            "SMALLINT",
            "INTEGER",
            "BIGINT",
            "HUGEINT",
            "UTINYINT",
            "USMALLINT",
            "UINTEGER",
            "UBIGINT",
        ),
        "integer",
    ),
    **dict.fromkeys(("FLOAT", "DOUBLE"), "float"),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"), "naive"),
    "DECIMAL": "number",
    "BOOLEAN": "flag",
    "TIMESTAMP WITH TIME ZONE": "moment",
    "DATE": "date",
}


@contextmanager
def _duckdb(url: DatabaseUrl) -> Iterator[tuple[Any, Any]]:
    try:
        import duckdb
    except ImportError as error:
        raise _missing("duckdb") from error

    path = Path(url.target)
    if not path.is_file():
        raise DataError(
            f"{path} does not exist or is no file; duckdb:///FILE is below the current folder, an absolute "
            "path takes four slashes",
            code="no_database",
        )
    try:
        # Nothing is fetched from outside, even if a view would want an extension.
        connection = duckdb.connect(
            str(path), read_only=True, config={"autoinstall_known_extensions": "false"}
        )
    except (duckdb.IOException, duckdb.ConnectionException) as error:
        said = _in_a_line(error)
        if "lock" in said or "different configuration" in said:
            raise BusyError(
                f"{path} is open in another process, and DuckDB lets in one at a time ({said}); end that one, "
                "or read a copy of the file or an export to Parquet",
                code="locked",
            ) from error
        raise DataError(f"{path} cannot be opened: {said}", code="bad_database") from error
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be opened: {_in_a_line(error)}", code="bad_database") from error
    try:
        connection.execute("BEGIN TRANSACTION READ ONLY")
        connection.execute("SET TimeZone = 'UTC'")
        ((catalog, own),) = connection.execute("SELECT current_database(), current_schema()").fetchall()
        # In full: a schema may be called like the file, and two-part names would be ambiguous.
        place = (catalog, url.schema or own)
        yield partial(_duck_columns, connection, place), partial(_duck_cells, connection, place)
    finally:
        connection.close()


def _duck_name(*parts: str) -> str:
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def _duck_columns(connection: Any, place: tuple[str, str], table: str) -> Columns:
    import duckdb

    exists = connection.execute(
        "SELECT count(*) FROM information_schema.tables "
        "WHERE table_catalog = ? AND table_schema = ? AND table_name = ?",
        [*place, table],
    ).fetchone()
    if not exists[0]:
        return {}
    try:
        described = f"DESCRIBE SELECT * FROM {_duck_name(*place, table)}"  # noqa: S608  (quoted)
        found = connection.execute(described).fetchall()
    except duckdb.Error as error:
        raise DataError(
            f"{table_label(table)} cannot be read: {_in_a_line(error)}", code="unreadable"
        ) from error
    return {row[0]: (_DUCK_KINDS.get(row[1].split("(")[0], "other"), row[1]) for row in found}


def _duck_cells(connection: Any, place: tuple[str, str], table: str, columns: Columns) -> pa.Table:
    """All rows: text, exact numbers as text, everything else in its type."""
    import duckdb

    asked = ", ".join(_duck_cast(name, _meant(table, name), kind) for name, (kind, _) in columns.items())
    try:
        reader = connection.sql(
            f"SELECT {asked} FROM {_duck_name(*place, table)}"  # noqa: S608  (names are quoted)
        ).to_arrow_reader(_BLOCK_ROWS)
        cells = pa.Table.from_batches(list(reader), schema=reader.schema)
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read: {_in_a_line(error)}", code="unreadable") from error
    return pa.table([plain(column) for column in cells.columns], names=list(columns))


def _duck_cast(name: str, meant: str, kind: str) -> str:
    quoted = _duck_name(name)
    if kind == "flag" and meant == "share":
        return f"CAST({quoted} AS INTEGER)"
    if kind != "text" and (meant in ("id", "string[pyarrow]") or kind in ("number", "integer")):
        return f"CAST({quoted} AS VARCHAR)"
    return quoted
