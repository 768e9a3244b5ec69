"""Erasing one person, account or deal, and what is too old: from the tables, and from the bytes below them.

A deleted row stays readable in a file until its page is written over. So after the transaction a SQLite file
is rewritten whole and its log cut to nothing, and PostgreSQL's tables are rewritten. Every step may be killed:
run again, it does what is left, and only then the audit says `erased`. What was erased is named there by a
hash that nobody can undo without the ledger.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Select,
    Update,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from forecast.errors import BusyError, UsageError
from forecast.ledger import audit
from forecast.ledger.database import Database
from forecast.ledger.schema import (
    FORECASTS,
    IDEMPOTENCY,
    JUDGEMENTS,
    KEYS,
    LEDGER,
    METADATA,
    OUTBOX,
    REVOCATIONS,
    SCORES,
    SERVED,
    SNAPSHOT_PERIODS,
    SNAPSHOTS,
    UNLOCKED,
)

__all__ = ["KINDS", "Erased", "Kind", "Subject", "deals_of", "erase", "erase_before", "seen_in", "unfinished"]

Kind = Literal["deal", "owner", "account", "user"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be forgotten.

    deal : a deal and everything said of it
    account : an account's deals likewise
    owner : a person's deals as long as they owned them, that user's forecasts and keys
    user : the person alone; the deals stay, owned by nobody
    """

    kind: Kind
    id: str = field(repr=False)

    def __post_init__(self) -> None:
        if not self.id.strip():
            raise UsageError(f"--{self.kind} is blank; expected an id", code="blank_id")

    @property
    def word(self) -> re.Pattern[str]:
        """The id where it stands alone in a text."""
        return re.compile(rf"(?<![\w-]){re.escape(self.id)}(?![\w-])")

    def hashed(self, salt: str) -> str:
        """Its name in the audit."""
        return hashlib.sha256(f"{salt}\0{self.kind}\0{self.id}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Erased:
    """What went.

    rows : by table
    snapshots : ids of the snapshots that held some of it, and `bundles` those they were made with
    hash : of the subject, as the audit has it; empty for what was too old
    """

    rows: dict[str, int]
    snapshots: tuple[str, ...]
    bundles: tuple[str, ...]
    hash: str = ""


def deals_of(connection: Connection, subject: Subject) -> set[str]:
    """Ids of the deals that go with a subject."""
    if subject.kind == "deal":
        return {subject.id}
    if subject.kind == "user":
        return set()
    return set(connection.execute(select(SCORES.c.deal_id).where(_mine(subject)).distinct()).scalars())


def seen_in(connection: Connection, subject: Subject) -> dict[str, int]:
    """How many rows of each table an erasure would take now."""
    counted: dict[str, Select[Any]] = {
        "scores": select(func.count()).select_from(SCORES).where(_mine(subject)),
        "forecasts": select(func.count()).select_from(FORECASTS).where(_own_forecast(subject)),
        "judgements": select(func.count())
        .select_from(JUDGEMENTS)
        .where(JUDGEMENTS.c.deal_id.in_(_deals(subject))),
        "keys": select(func.count()).select_from(KEYS).where(_own_key(subject)),
    }
    return {name: connection.execute(asked).scalar_one() for name, asked in counted.items()}


def erase(database: Database, subject: Subject, now_us: int) -> Erased:
    """Erase a subject from the ledger; may be run again after having been killed.

    Raises BusyError if somebody still reads the old state, which keeps its bytes: run it again then.
    """
    with database.write() as connection:
        salt = connection.execute(select(LEDGER.c.salt)).scalar_one()
        name = subject.hashed(salt)
        touched = connection.execute(
            select(SNAPSHOTS.c.id, SNAPSHOTS.c.bundle)
            .where(
                or_(
                    SNAPSHOTS.c.number.in_(select(SCORES.c.snapshot).where(_mine(subject))),
                    SNAPSHOTS.c.number.in_(select(FORECASTS.c.snapshot).where(_own_forecast(subject))),
                )
            )
            .order_by(SNAPSHOTS.c.number)
        ).all()
        connection.execute(insert(UNLOCKED).values(reason="erase"))
        rows = _forget(connection, subject)
        connection.execute(delete(UNLOCKED))
        details = {
            "subject": name,
            "kind": subject.kind,
            "snapshots": [row.id for row in touched],
            "bundles": sorted({row.bundle for row in touched}),
            "rows": rows,
        }
        audit.append(database, connection, "erasing", details, now_us)
    _rewrite(database)
    with database.write() as connection:
        audit.append(database, connection, "erased", {"subject": name, "kind": subject.kind}, now_us)
        # A run that was killed has taken rows already: what it said counts too.
        told = [
            entry.details
            for entry in audit.entries(connection, "erasing")
            if entry.details["subject"] == name
        ]
    return Erased(
        {table: sum(each["rows"].get(table, 0) for each in told) for table in rows},
        tuple(dict.fromkeys(snapshot for each in told for snapshot in each["snapshots"])),
        tuple(dict.fromkeys(bundle for each in told for bundle in each["bundles"])),
        name,
    )


def erase_before(database: Database, before_us: int, now_us: int) -> Erased:
    """Erase snapshots, judgements, served and settled entries of before a moment. Raises like `erase`."""
    old = select(SNAPSHOTS.c.number).where(SNAPSHOTS.c.published_at_us < before_us)
    settled = (OUTBOX.c.state != "pending", OUTBOX.c.settled_at_us < before_us)
    with database.write() as connection:
        touched = connection.execute(
            select(SNAPSHOTS.c.id, SNAPSHOTS.c.bundle).where(SNAPSHOTS.c.published_at_us < before_us)
        ).all()
        connection.execute(insert(UNLOCKED).values(reason="erase"))
        rows = {
            "scores": _count(connection, delete(SCORES).where(SCORES.c.snapshot.in_(old))),
            "forecasts": _count(connection, delete(FORECASTS).where(FORECASTS.c.snapshot.in_(old))),
            "judgements": _count(connection, delete(JUDGEMENTS).where(JUDGEMENTS.c.made_at_us < before_us)),
            "served": _count(connection, delete(SERVED).where(SERVED.c.served_at_us < before_us)),
            "outbox": _count(connection, delete(OUTBOX).where(*settled)),
        }
        connection.execute(delete(SNAPSHOT_PERIODS).where(SNAPSHOT_PERIODS.c.snapshot.in_(old)))
        rows["snapshots"] = _count(
            connection, delete(SNAPSHOTS).where(SNAPSHOTS.c.published_at_us < before_us)
        )
        connection.execute(delete(UNLOCKED))
        details = {"before_us": before_us, "snapshots": [row.id for row in touched], "rows": rows}
        audit.append(database, connection, "expired", details, now_us)
    _rewrite(database)
    bundles = tuple(sorted({row.bundle for row in touched}))
    return Erased(rows, tuple(row.id for row in touched), bundles)


def unfinished(connection: Connection) -> list[audit.Entry]:
    """Erasures that began and never said they were done: the command is to be run again."""
    begun: dict[str, audit.Entry] = {}
    for entry in audit.entries(connection, "erasing", "erased"):
        if entry.event == "erasing":
            begun[entry.details["subject"]] = entry
        else:
            begun.pop(entry.details["subject"], None)
    return list(begun.values())


def _mine(subject: Subject) -> ColumnElement[bool]:
    """Rows of `scores` that go."""
    column = {"deal": SCORES.c.deal_id, "account": SCORES.c.account_id}.get(subject.kind, SCORES.c.owner_id)
    return column == subject.id


def _deals(subject: Subject) -> Any:
    """Deals of which everything said goes."""
    if subject.kind == "deal":
        return [subject.id]
    if subject.kind == "user":
        return []
    return select(SCORES.c.deal_id).where(_mine(subject))


def _own_forecast(subject: Subject) -> ColumnElement[bool]:
    person = subject.kind in ("owner", "user")
    return (FORECASTS.c.level == ("user" if person else "none")) & (FORECASTS.c.entity == subject.id)


def _own_key(subject: Subject) -> ColumnElement[bool]:
    person = subject.kind in ("owner", "user")
    return KEYS.c.scope == (f"own:{subject.id}" if person else "none")


def _forget(connection: Connection, subject: Subject) -> dict[str, int]:
    """Delete in an unlocked transaction; rows by table."""
    deals = _deals(subject)
    rows = {
        "judgements": _count(connection, delete(JUDGEMENTS).where(JUDGEMENTS.c.deal_id.in_(deals))),
        "outbox": _count(connection, delete(OUTBOX).where(OUTBOX.c.deal_id.in_(deals))),
        "forecasts": _count(connection, delete(FORECASTS).where(_own_forecast(subject))),
    }
    gone = select(KEYS.c.id).where(_own_key(subject))
    connection.execute(delete(REVOCATIONS).where(REVOCATIONS.c.key.in_(gone)))
    rows["keys"] = _count(connection, delete(KEYS).where(_own_key(subject)))
    if subject.kind == "user":
        rows["scores"] = _count(connection, update(SCORES).where(_mine(subject)).values(owner_id=None))
    else:
        rows["scores"] = _count(connection, delete(SCORES).where(_mine(subject)))
    _forget_mentions(connection, subject)
    return rows


def _forget_mentions(connection: Connection, subject: Subject) -> None:
    """Take the id out of texts that people or a custom attribute wrote it into."""
    quoted = {json.dumps(subject.id), json.dumps(subject.id, ensure_ascii=False)}
    for column in (SCORES.c.reasons_en, SCORES.c.reasons_it):
        holds = or_(*(column.contains(text, autoescape=True) for text in quoted))
        connection.execute(update(SCORES).where(holds).values({column.name: "[]"}))
    for table, column, left in (
        (JUDGEMENTS, JUDGEMENTS.c.note, None),
        (KEYS, KEYS.c.name, "erased"),
        (OUTBOX, OUTBOX.c.content, ""),
        (OUTBOX, OUTBOX.c.name, None),
    ):
        (key,) = table.primary_key.columns
        near = select(key, column).where(column.contains(subject.id, autoescape=True))
        for number, text in connection.execute(near).all():
            if subject.word.search(text):
                # The name of an entry must be another's neither before nor after.
                value = f"erased {number}" if column is OUTBOX.c.name else left
                connection.execute(update(table).where(key == number).values({column.name: value}))
    answers = select(IDEMPOTENCY.c.key, IDEMPOTENCY.c.name_sha256, IDEMPOTENCY.c.answer).where(
        IDEMPOTENCY.c.answer.is_not(None)
    )
    forms = [text.strip('"').encode() for text in quoted]
    for row in connection.execute(answers).all():
        if any(form in row.answer for form in forms):
            mine = (IDEMPOTENCY.c.key == row.key, IDEMPOTENCY.c.name_sha256 == row.name_sha256)
            connection.execute(delete(IDEMPOTENCY).where(*mine))


def _count(connection: Connection, statement: Delete | Update) -> int:
    result: CursorResult[Any] = connection.execute(statement)
    return result.rowcount


def _rewrite(database: Database) -> None:
    """Leave no byte of deleted rows in the files of the database."""
    with database.maintain() as connection:
        if not database.is_sqlite:
            for table in METADATA.sorted_tables:
                # Statistics keep frequent values of columns: they are made anew from what is left.
                connection.exec_driver_sql(f"VACUUM (FULL, ANALYZE) {table.name}")
            return
        connection.exec_driver_sql("VACUUM")
        busy = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()[0]
    if busy:
        raise BusyError(
            f"the rows are erased, but another process still reads the old state of {database.place} and "
            "keeps its bytes on the disk; run the same command again",
            code="ledger_read",
        )
