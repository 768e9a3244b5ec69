"""Which files of a folder are its tables."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forecast.tables.check import Refusal
from forecast.tables.models import REQUIRED_TABLES, TABLES

__all__ = ["FORMATS", "Folder", "look_into"]

FORMATS: Final = (".csv", ".parquet")


@dataclass(frozen=True)
class Folder:
    """Files by table; optional tables without one; what is refused; warnings about names that nearly fit."""

    files: dict[str, Path]
    absent: tuple[str, ...]
    refused: tuple[Refusal, ...]
    warnings: tuple[str, ...]


def look_into(folder: Path, *, stated: tuple[str, ...] = ()) -> Folder:
    """Find the file of each table; those of `stated` need none."""
    try:
        names = {path.name for path in folder.iterdir()}
    except NotADirectoryError:
        return _refused(folder, "not_a_folder", "is not a folder; name the folder that holds the tables")
    except FileNotFoundError:
        return _refused(folder, "not_a_folder", "does not exist; name the folder that holds the tables")
    except OSError as error:
        return _refused(folder, "unreadable", f"cannot be listed: {error.strerror}; check its rights")
    expected = {table + ending for table in TABLES for ending in FORMATS}
    if not names & expected:
        needed = ", ".join(REQUIRED_TABLES)
        return _refused(
            folder, "no_tables", f"holds no table; expected at least {needed}, each as .csv or .parquet"
        )
    files: dict[str, Path] = {}
    absent: list[str] = []
    refused: list[Refusal] = []
    others = sorted(names - expected)
    for table in TABLES:
        found = [table + ending for ending in FORMATS if table + ending in names]
        if len(found) > 1:
            refused.append(
                Refusal(found[0], "two_files", f"stands beside {found[1]}; keep the one that is meant")
            )
        elif found:
            files[table] = folder / found[0]
        elif table in REQUIRED_TABLES and table not in stated:
            near = difflib.get_close_matches(f"{table}.csv", others, 1, 0.8)
            hint = f"is {near[0]} meant? rename it" if near else f"add {table}.csv or {table}.parquet"
            refused.append(Refusal(f"{table}.csv", "missing_table", f"is missing and required; {hint}"))
        else:
            absent.append(table)
    warnings = [
        f"{near[0]} is not read; is {table}.csv meant?"
        for table in absent
        if (near := difflib.get_close_matches(f"{table}.csv", others, 1, 0.8))
    ]
    return Folder(files, tuple(absent), tuple(refused), tuple(warnings))


def _refused(folder: Path, code: str, reason: str) -> Folder:
    return Folder({}, (), (Refusal(str(folder), code, reason),), ())
