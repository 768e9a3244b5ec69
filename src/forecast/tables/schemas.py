"""The table contracts as YAML files: `python -m forecast.tables.schemas [FOLDER]` writes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from pandera.io.pandas_io import from_yaml, to_yaml

from forecast.tables.models import TABLES, required_columns, schema_of
from forecast.tables.writing import write_bytes

__all__ = ["SCHEMA_FOLDER", "read_schema", "schema_texts", "write_schemas"]

SCHEMA_FOLDER: Final = Path("data/schemas")

# Pandera's own names for these types; a reader of the contract should meet the ones pandas prints.
_SPELLING: Final = {"dtype: string[pyarrow]": "dtype: str", "dtype: datetime64[ns]": "dtype: datetime64[us]"}


def schema_texts() -> dict[str, str]:
    """Table name -> its contract as YAML."""
    texts = {}
    for table in TABLES:
        text: str = to_yaml(schema_of(table))
        for ours, theirs in _SPELLING.items():
            text = text.replace(ours, theirs)
        needed = ", ".join(required_columns(table))
        texts[table] = (
            "# Generated from src/forecast/tables/models.py by `python -m forecast.tables.schemas`.\n"
            f"# A file must have the columns {needed}; it may leave out the others.\n{text}"
        )
    return texts


def read_schema(text: str) -> Any:
    """The pandera schema a YAML text says."""
    return from_yaml(text)


def write_schemas(folder: Path = SCHEMA_FOLDER) -> None:
    """Write `<table>.yaml` for every table."""
    folder.mkdir(parents=True, exist_ok=True)
    for table, text in schema_texts().items():
        write_bytes(folder / f"{table}.yaml", text.encode())


if __name__ == "__main__":
    write_schemas(*map(Path, sys.argv[1:2]))
