"""Where a ledger is: a SQLite file by default, or a PostgreSQL database by its URL.

sqlite:///forecast.db                        a file here; four slashes for /a/full/path
postgresql://writer@db.example.com/forecast  a PostgreSQL database, ?schema=NAME for one schema of it
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forecast.database_url import DatabaseUrl, parse_source
from forecast.errors import UsageError

__all__ = ["DEFAULT_URL", "LEDGER_FILE", "LEDGER_URL", "Place", "ledger_url", "parse_place"]

DEFAULT_URL: Final = "sqlite:///forecast.db"
LEDGER_URL: Final = "FORECAST_LEDGER"
LEDGER_FILE: Final = "FORECAST_LEDGER_FILE"

_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Place:
    """A SQLite file or a PostgreSQL database; as text it never shows a password."""

    file: Path | None = None
    server: DatabaseUrl | None = None

    def __str__(self) -> str:
        return str(self.server) if self.file is None else f"{_SQLITE}{self.file}"


def parse_place(text: str) -> Place:
    """The place behind a URL; UsageError for one of another kind, whose text is not repeated."""
    if text.startswith(_SQLITE):
        path, mark, _ = text.removeprefix(_SQLITE).partition("?")
        if mark or not path or path == ":memory:":
            raise UsageError(
                f"a ledger is a file: expected {_SQLITE}FILE, with four slashes for an absolute path",
                code="bad_url",
            )
        return Place(file=Path(path))
    if "://" in text:
        found = parse_source(text)
        if isinstance(found, DatabaseUrl) and found.kind == "postgresql":
            return Place(server=found)
    raise UsageError(
        f"a ledger is {_SQLITE}FILE or postgresql://USER@HOST/DATABASE; a folder or another database cannot "
        "hold one",
        code="bad_url",
    )


def ledger_url(
    option: str | None, environment: Mapping[str, str], default: str | None = DEFAULT_URL
) -> str | None:
    """The URL that holds: an option, else FORECAST_LEDGER, else the file FORECAST_LEDGER_FILE names.

    A URL with a password is taken from that file only: every user of a machine can read the arguments of a
    process, and its environment is easily logged. Raises UsageError for one given otherwise, or a file that
    cannot be read.
    """
    for where, text in (("--ledger", option), (LEDGER_URL, environment.get(LEDGER_URL))):
        if text:
            server = parse_place(text).server
            if server is not None and server.password:
                raise UsageError(
                    f"the URL in {where} holds a password that others can see; write the URL into a file only "
                    f"you can read and name that file by {LEDGER_FILE}",
                    code="open_password",
                )
            return text
    file = environment.get(LEDGER_FILE)
    if not file:
        return default
    try:
        text = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise UsageError(f"{LEDGER_FILE}={file}: {reason}", code="bad_ledger_file") from error
    parse_place(text)
    return text
