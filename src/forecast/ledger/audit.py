"""What was done to the ledger, as a chain: every entry holds the hash of the one before it.

An entry that was changed, left out or put in breaks the chain from there on. Entries name keys, snapshots and
hashes; never a person, a deal or an account. Entries cut off at the end leave a shorter chain that holds:
keep the last hash somewhere else (`Audit.head`) to find that too.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from forecast.ledger.database import Database
from forecast.ledger.schema import AUDIT

__all__ = ["Audit", "Entry", "append", "check_chain", "entries"]

_FIRST: Final = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that was done."""

    number: int
    at_us: int
    event: str
    details: dict[str, Any]
    hash: str


@dataclass(frozen=True, slots=True)
class Audit:
    """How the chain stands.

    broken : number of the first entry that does not follow from the one before; None if all do
    head : hash of the last entry
    """

    entries: int
    broken: int | None
    head: str


def append(
    database: Database, connection: Connection, event: str, details: dict[str, Any], now_us: int
) -> None:
    """Add an entry, in the caller's transaction."""
    database.lock_audit(connection)
    last = connection.execute(
        select(AUDIT.c.number, AUDIT.c.hash).order_by(AUDIT.c.number.desc()).limit(1)
    ).first()
    number, previous = (1, _FIRST) if last is None else (last.number + 1, last.hash)
    text = json.dumps(details, sort_keys=True, separators=(",", ":"))
    connection.execute(
        insert(AUDIT).values(
            number=number,
            at_us=now_us,
            event=event,
            details=text,
            previous=previous,
            hash=_hash(number, now_us, event, text, previous),
        )
    )


def check_chain(connection: Connection) -> Audit:
    """Follow the chain from its first entry."""
    previous, expected, broken = _FIRST, 1, None
    for row in connection.execute(select(AUDIT).order_by(AUDIT.c.number)):
        made = _hash(row.number, row.at_us, row.event, row.details, previous)
        if broken is None and (row.number != expected or row.previous != previous or row.hash != made):
            broken = expected
        previous, expected = row.hash, row.number + 1
    count = connection.execute(select(func.count()).select_from(AUDIT)).scalar_one()
    return Audit(count, broken, previous)


def entries(connection: Connection, *events: str) -> list[Entry]:
    """Entries of these events, oldest first; of all without any."""
    asked = select(AUDIT).order_by(AUDIT.c.number)
    if events:
        asked = asked.where(AUDIT.c.event.in_(events))
    return [
        Entry(row.number, row.at_us, row.event, json.loads(row.details), row.hash)
        for row in connection.execute(asked)
    ]


def _hash(number: int, at_us: int, event: str, details: str, previous: str) -> str:
    content = json.dumps([number, at_us, event, details, previous], separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()
