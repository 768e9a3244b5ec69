"""The ledger: one object for everything that is kept.

Opened by its URL; the database is made or brought to the newest schema when it is opened. Threads may share it.
Every method may raise BusyError (another writer for more than five seconds), UnavailableError (no answer),
OutputError (cannot be written) or DataError (damaged, or a rule of the database).
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Row, func, insert, select

from forecast.access import EVERYTHING, Role, Scope
from forecast.ledger import audit, erase, idempotency, judgements, keys, outbox, snapshots
from forecast.ledger.audit import Audit, Entry
from forecast.ledger.database import Database, open_database
from forecast.ledger.erase import Erased, Subject
from forecast.ledger.idempotency import Repeat
from forecast.ledger.journal import Journal, Served
from forecast.ledger.judgements import Judgement
from forecast.ledger.keys import NewKey, StoredKey
from forecast.ledger.outbox import Parcel
from forecast.ledger.place import DEFAULT_URL, Place, parse_place
from forecast.ledger.schema import JUDGEMENTS, LEDGER, SERVED, SNAPSHOTS
from forecast.ledger.snapshots import Published, Snapshot, SnapshotRow

__all__ = ["DealRecord", "Ledger"]


@dataclass(frozen=True)
class DealRecord:
    """What is kept about a deal.

    newest : its newest score, with the columns of its snapshot, which `snapshot` is
    period : of `won_in_period` in it
    current : whether it is in the latest snapshot; if not it was closed, or taken out, before that
    history : its scores in scope, the latest as-of moment first; judgements : newest first
    """

    newest: Row[Any]
    snapshot: SnapshotRow
    period: str
    current: bool
    history: list[Row[Any]]
    judgements: list[Row[Any]]


class Ledger:
    """See the module. `close` it, or use it as a context."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._journal = Journal(self._write_served)

    @classmethod
    def open(cls, url: str = DEFAULT_URL, *, now_us: int | None = None) -> Ledger:
        """Open the ledger at a URL, see `parse_place`; make it if there is none.

        Raises UsageError for a URL of another kind, DataError for a newer version or a foreign database.
        """
        database = open_database(parse_place(url))
        ledger = cls(database)
        try:
            with database.read() as connection:
                known = connection.execute(select(LEDGER.c.id)).first() is not None
            if not known:
                ledger._begin(int(time.time() * 1e6) if now_us is None else now_us)
        except BaseException:
            database.close()
            raise
        return ledger

    def _begin(self, now_us: int) -> None:
        with self._database.write() as connection:
            self._database.lock_audit(connection)
            if connection.execute(select(LEDGER.c.id)).first() is None:
                made = {"id": secrets.token_hex(16), "made_at_us": now_us, "salt": secrets.token_hex(32)}
                connection.execute(insert(LEDGER).values(made))
                audit.append(self._database, connection, "ledger_made", {"ledger": made["id"]}, now_us)

    @property
    def place(self) -> Place:
        """Where it is; as text without a password."""
        return self._database.place

    def close(self) -> None:
        """Write what waits and close all connections."""
        self._journal.close()
        self._database.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- keys ---------------------------------------------------------------------------------------------

    def create_key(
        self,
        name: str,
        role: Role,
        scope: Scope = EVERYTHING,
        *,
        rows_per_minute: int | None = None,
        expires_at_us: int | None = None,
        now_us: int,
    ) -> NewKey:
        """Make a key; its secret is in the answer and nowhere else. Raises UsageError, see `make_key`."""
        return keys.make_key(
            self._database,
            name,
            role,
            scope,
            rows_per_minute=rows_per_minute,
            expires_at_us=expires_at_us,
            now_us=now_us,
        )

    def stored_keys(self) -> list[StoredKey]:
        """All keys, revoked ones too, in order of making."""
        with self._database.read() as connection:
            return keys.list_keys(connection)

    def revoke_key(self, key: str, *, now_us: int) -> bool:
        """Revoke a key for good; False if it was before. Raises UsageError for an unknown one."""
        return keys.revoke_key(self._database, key, now_us)

    # -- snapshots ----------------------------------------------------------------------------------------

    def publish(self, snapshot: Snapshot, *, now_us: int) -> Published:
        """Store a snapshot whole, or find that it is there already."""
        return snapshots.store(self._database, snapshot, now_us)

    def published(self, snapshot: str) -> Published | None:
        """Whether a snapshot of that id is there."""
        with self._database.read() as connection:
            found = snapshots.find_snapshot(connection, id_start=snapshot)
        return None if found is None else Published(found.id, found.published_at_us, True)

    def snapshots(self) -> list[SnapshotRow]:
        """All snapshots, the latest as-of moment first."""
        with self._database.read() as connection:
            return snapshots.list_snapshots(connection)

    def forecast(
        self,
        scope: Scope,
        period: str,
        level: str,
        *,
        entity: str | None = None,
        as_of_us: int | None = None,
        snapshot: str | None = None,
    ) -> tuple[SnapshotRow, list[Row[Any]]] | None:
        """A snapshot and the rows of its forecast that are in scope; None if no snapshot fits.

        as_of_us : the latest snapshot of that moment or before; snapshot : the start of its id; neither: the
            latest
        """
        with self._database.read() as connection:
            found = snapshots.find_snapshot(connection, period=period, as_of_us=as_of_us, id_start=snapshot)
            if found is None:
                return None
            return found, snapshots.forecast_rows(connection, scope, found.number, period, level, entity)

    def deal(self, scope: Scope, deal_id: str) -> DealRecord | None:
        """Everything kept about a deal; None if none of that id is in scope."""
        with self._database.read() as connection:
            newest = snapshots.newest_deal(connection, scope, deal_id)
            if newest is None:
                return None
            latest = snapshots.find_snapshot(connection)
            return DealRecord(
                newest,
                SnapshotRow.of(newest),
                snapshots.periods_of(connection, newest.snapshot)[0],
                latest is not None and latest.number == newest.snapshot,
                snapshots.deal_history(connection, scope, deal_id),
                judgements.of_deal(connection, scope, deal_id),
            )

    # -- judgements ---------------------------------------------------------------------------------------

    def judge(self, scope: Scope, deal_id: str, key: str, judgement: Judgement, *, now_us: int) -> int | None:
        """Append a judgement on a deal; its number, or None if no such deal is in scope."""
        return judgements.add(self._database, scope, deal_id, key, judgement, now_us)

    # -- what was served ----------------------------------------------------------------------------------

    def served(self, entry: Served) -> None:
        """Note an answer that went out. Never waits and never raises; written within half a second."""
        self._journal.add(entry)

    def flush(self) -> None:
        """Write the notes that wait, now."""
        self._journal.flush()

    @property
    def dropped(self) -> int:
        """Notes lost because the ledger did not take them for too long."""
        return self._journal.dropped

    def count(self, what: Literal["snapshots", "served", "judgements"]) -> int:
        """How many rows there are."""
        table = {"snapshots": SNAPSHOTS, "served": SERVED, "judgements": JUDGEMENTS}[what]
        with self._database.read() as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()

    def _write_served(self, batch: list[dict[str, object]]) -> None:
        with self._database.write() as connection:
            connection.execute(insert(SERVED), batch)

    # -- idempotency --------------------------------------------------------------------------------------

    def idempotent(self, key: str, idempotency_key: str, body_digest: str, *, now_us: int) -> Repeat | None:
        """Claim an Idempotency-Key; None if the request is new and to be done. See `Repeat`."""
        return idempotency.begin(self._database, key, idempotency_key, body_digest, now_us)

    def answered(self, key: str, idempotency_key: str, status: int, body: bytes) -> None:
        """Keep the answer to a request claimed before."""
        idempotency.finish(self._database, key, idempotency_key, status, body)

    def released(self, key: str, idempotency_key: str) -> None:
        """Give up a claim whose request failed on our side."""
        idempotency.release(self._database, key, idempotency_key)

    # -- outbox -------------------------------------------------------------------------------------------

    def post(self, target: str, name: str, content: str, *, deal_id: str | None = None, now_us: int) -> bool:
        """Put something into the outbox; False if one of that name is there for the target."""
        return outbox.append(self._database, target, name, content, deal_id=deal_id, now_us=now_us)

    def claim(self, target: str, *, most: int, seconds: float, now_us: int) -> list[Parcel]:
        """Take the oldest entries that wait; nobody else gets them for `seconds`."""
        return outbox.claim(self._database, target, most=most, seconds=seconds, now_us=now_us)

    def settle(self, number: int, outcome: Literal["sent", "failed", "pending"], *, now_us: int) -> None:
        """Say what became of a claimed entry."""
        outbox.settle(self._database, number, outcome, now_us=now_us)

    # -- audit and erasing --------------------------------------------------------------------------------

    def audit(self) -> Audit:
        """Follow the chain of the audit."""
        with self._database.read() as connection:
            return audit.check_chain(connection)

    def entries(self, *events: str) -> list[Entry]:
        """Entries of the audit, of these events or all, oldest first."""
        with self._database.read() as connection:
            return audit.entries(connection, *events)

    def holds(self, subject: Subject) -> dict[str, int]:
        """How many rows an erasure would take, by table."""
        with self._database.read() as connection:
            return erase.seen_in(connection, subject)

    def deals_of(self, subject: Subject) -> set[str]:
        """Deals that go with a subject."""
        with self._database.read() as connection:
            return erase.deals_of(connection, subject)

    def erase(self, subject: Subject, *, now_us: int) -> Erased:
        """Erase a subject, see `erase.erase`; the same call again finishes one that was killed."""
        return erase.erase(self._database, subject, now_us)

    def erase_before(self, before_us: int, *, now_us: int) -> Erased:
        """Erase what is older than a moment."""
        return erase.erase_before(self._database, before_us, now_us)

    def unfinished_erasures(self) -> list[Entry]:
        """Erasures that were killed before they were done."""
        with self._database.read() as connection:
            return erase.unfinished(connection)
