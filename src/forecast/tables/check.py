"""What reading a folder found: how many rows came in, which did not, and why."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pandas as pd

from forecast.errors import DataError
from forecast.tables.models import TABLES

__all__ = ["QUARANTINE", "CheckReport", "FolderError", "Refusal", "TableCount"]

QUARANTINE: Final = ("table", "file", "line", "code", "reason", "raw")
"""Columns of the quarantine, in the order of the contract."""


@dataclass(frozen=True, slots=True)
class TableCount:
    """Rows of a table: `read = loaded + duplicates + superseded + quarantined`."""

    read: int = 0
    loaded: int = 0
    duplicates: int = 0
    superseded: int = 0
    quarantined: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A file that was not loaded at all."""

    file: str
    code: str
    reason: str


@dataclass(frozen=True, eq=False)
class CheckReport:
    """The account of a folder.

    tables : counts of every table; zeros for one that is absent or refused
    quarantine : one row for each row of a file that did not load (columns QUARANTINE)
    refused : files that did not load at all
    warnings : what is legal and still worth a look
    """

    tables: dict[str, TableCount] = field(default_factory=lambda: dict.fromkeys(TABLES, TableCount()))
    quarantine: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=list(QUARANTINE)))
    refused: tuple[Refusal, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The contract's form: tables, quarantine, refused."""
        return {
            "tables": {name: asdict(count) for name, count in self.tables.items()},
            "quarantine": self.quarantine[list(QUARANTINE)].to_dict(orient="records"),
            "refused": [asdict(refusal) for refusal in self.refused],
        }

    def to_json(self) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False) + "\n"


class FolderError(DataError):
    """A folder that cannot be used because a file is refused; `report` tells of all its files."""

    def __init__(self, report: CheckReport) -> None:
        first, *others = report.refused
        more = f" (and {len(others)} more: forecast check lists them)" if others else ""
        super().__init__(f"{first.file} {first.reason}{more}", code=first.code)
        self.report = report
