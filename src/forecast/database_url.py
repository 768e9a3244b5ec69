"""Where a company's tables are: a folder, or a database by its URL.

data/                                        a folder of CSV or Parquet files
postgresql://reader@db.example.com/crm       tables or views of a PostgreSQL database
postgresql://reader@db/crm?schema=forecast   those of one schema
duckdb:///crm.duckdb                         a DuckDB file here; four slashes for /a/full/path
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from forecast.errors import UsageError

__all__ = ["DataSource", "DatabaseUrl", "parse_source"]

_POSTGRESQL: Final = ("postgresql", "postgres")


@dataclass(frozen=True, slots=True)
class DatabaseUrl:
    """A database to read tables from. As text it shows neither password nor options.

    kind : postgresql or duckdb
    place : what to show; for DuckDB with the path of the file
    target : connection string for PostgreSQL, path for DuckDB; may hold a password
    schema : where the tables are; None is the connection's own search path
    """

    kind: Literal["postgresql", "duckdb"]
    place: str
    target: str = field(repr=False)
    schema: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return self.place


DataSource = Path | DatabaseUrl


def parse_source(text: str) -> DataSource:
    """A folder or a database URL from what a user wrote.

    Raises UsageError for a URL of another kind; its text is not repeated, since it may hold a password.
    """
    scheme, mark, _ = text.partition("://")
    if not mark:
        return Path(text)
    kind, _, driver = scheme.lower().partition("+")
    try:
        if kind in _POSTGRESQL and driver in ("", "psycopg"):
            return _postgresql(text)
        if kind == "duckdb" and not driver:
            return _duckdb(text)
    except ValueError:
        # What urlsplit says would repeat the password.
        raise UsageError(
            f"the {kind} URL cannot be read; write signs such as @ [ ] / in a password as %40 %5B %5D %2F",
            code="bad_url",
        ) from None
    raise UsageError(
        f"{scheme[:20]}:// is no source of tables; expected a folder, postgresql://USER@HOST/DATABASE or "
        "duckdb:///FILE",
        code="bad_url",
    )


def _postgresql(text: str) -> DatabaseUrl:
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", None) or None
    user, at, host = parts.netloc.rpartition("@")
    name, colon, password = user.partition(":")
    place = f"postgresql://{name}{at}{host}{parts.path}"
    shown = place if schema is None else f"{place}?schema={schema}"
    secret = unquote(password) if colon and password else options.get("password")
    # libpq knows no option `schema`, and takes a plus sign for what it is.
    target = f"postgresql://{parts.netloc}{parts.path}?{urlencode(options, quote_via=quote)}"
    return DatabaseUrl("postgresql", shown, target, schema, secret)


def _duckdb(text: str) -> DatabaseUrl:
    parts = urlsplit(text)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    schema = options.pop("schema", None) or None
    path = unquote(parts.path).removeprefix("/")
    if parts.netloc or options or not path:
        wrong = f"knows no option {next(iter(options))!r}" if options else "names no file"
        raise UsageError(
            f"the DuckDB URL {wrong}; expected duckdb:///FILE, with four slashes for an absolute path, and "
            "?schema=NAME if the tables are in a schema of their own",
            code="bad_url",
        )
    return DatabaseUrl("duckdb", text, path, schema)
