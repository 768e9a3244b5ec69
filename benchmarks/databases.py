"""A company's tables in a database, in the types a CRM's own database would have."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from forecast.tables import TABLES

TYPES: Final[dict[str, dict[str, str]]] = {
    "stages": {"position": "integer", "default_probability": "double precision"},
    "deals": {
        "created_at": "timestamp with time zone",
        "amount": "numeric(14, 2)",
        "expected_close_on": "date",
        **dict.fromkeys(("budget", "authority", "need", "timeline"), "numeric(4, 2)"),
    },
    "deal_events": {"recorded_at": "timestamp with time zone"},
    "activities": {"occurred_at": "timestamp with time zone"},
    "users": {"active": "boolean"},
    "quotas": {"amount": "numeric(14, 2)"},
    "leads": {
        **dict.fromkeys(("created_at", "converted_at", "disqualified_at"), "timestamp with time zone"),
        **dict.fromkeys(("budget", "authority", "need", "timeline"), "double precision"),
    },
    "fx_rates": {"valid_from": "date", "rate": "double precision"},
}
"""Types of columns; the others are text. PostgreSQL and DuckDB understand these alike."""


def columns_of(folder: Path, table: str) -> list[str]:
    return (folder / f"{table}.csv").read_text(encoding="utf-8").split("\n", 1)[0].split(",")


def create(connection: Any, folder: Path, schema: str = "crm", **types: dict[str, str]) -> None:
    """A schema with an empty table for each file of the folder; `types` changes those of some columns."""
    connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    connection.execute(f"CREATE SCHEMA {schema}")
    for table in TABLES:
        if (folder / f"{table}.csv").exists():
            typed = TYPES[table] | types.get(table, {})
            columns = ", ".join(f'"{name}" {typed.get(name, "text")}' for name in columns_of(folder, table))
            connection.execute(f"CREATE TABLE {schema}.{table} ({columns})")


def fill_postgresql(connection: Any, folder: Path, schema: str = "crm", **types: dict[str, str]) -> None:
    """The CSV files of a folder as tables of a schema of PostgreSQL."""
    create(connection, folder, schema, **types)
    for table in TABLES:
        path = folder / f"{table}.csv"
        if path.exists():
            query = f"COPY {schema}.{table} FROM STDIN (FORMAT csv, HEADER)"
            with connection.cursor() as cursor, cursor.copy(query) as copy:
                copy.write(path.read_bytes())


def fill_duckdb(connection: Any, folder: Path, schema: str = "crm", **types: dict[str, str]) -> None:
    """The CSV files of a folder as tables of a schema of DuckDB."""
    connection.execute("SET TimeZone = 'UTC'")
    create(connection, folder, schema, **types)
    for table in TABLES:
        path = folder / f"{table}.csv"
        if path.exists():
            rows = "SELECT * FROM read_csv(?, header=true, all_varchar=true)"
            connection.execute(f"INSERT INTO {schema}.{table} {rows}", [str(path)])
