"""Keys kept in the ledger: made, listed, revoked, and recognised.

A key reads `fc_<public id>_<secret>`: the id names it in lists and logs, the secret is 256 random bits. Only
its SHA-256 is stored; a slow hash would protect nothing that could be guessed. The secret is shown once.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from sqlalchemy import Connection, insert, select

from forecast.access import Access, Role, Scope
from forecast.errors import UsageError
from forecast.ledger import audit
from forecast.ledger.database import Database
from forecast.ledger.schema import KEYS, REVOCATIONS
from forecast.ledger.scope import UNASSIGNED

__all__ = ["KeySource", "LedgerKeys", "NewKey", "StoredKey", "list_keys", "make_key", "revoke_key"]

_TOKEN: Final = re.compile(rb"fc_([0-9a-f]{12})_([A-Za-z0-9_\-]{43})")
_MOST_BYTES: Final = 512
_NOBODY: Final = hashlib.sha256(b"the digest unknown keys are compared with").digest()
_POLL_SECONDS: Final = 2.0
_NAME_LENGTH: Final = 100
_log = logging.getLogger("forecast.ledger")


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key just made; `token` is what its holder sends and is stored nowhere."""

    id: str
    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the ledger has it. Moments are microseconds since 1970."""

    id: str
    name: str
    role: Role
    scope: Scope
    rows_per_minute: int | None
    made_at_us: int
    expires_at_us: int | None
    revoked_at_us: int | None
    digest: bytes = field(repr=False)

    def lets_in(self, now_us: int) -> bool:
        """Whether it is neither revoked nor past its end."""
        return self.revoked_at_us is None and (self.expires_at_us is None or now_us < self.expires_at_us)


def make_key(
    database: Database,
    name: str,
    role: Role,
    scope: Scope,
    *,
    rows_per_minute: int | None,
    expires_at_us: int | None,
    now_us: int,
) -> NewKey:
    """Make a key. Raises UsageError for a name, scope or end that cannot be meant."""
    if not name.strip() or len(name) > _NAME_LENGTH or not name.isprintable():
        raise UsageError(
            f"the name of a key is 1 to {_NAME_LENGTH} printable characters; it is what lists show",
            code="bad_name",
        )
    if role in ("score", "admin") and scope.kind != "all":
        why = "reads nothing stored" if role == "score" else "may do everything"
        raise UsageError(f"role {role} {why}, so its scope is all; leave --scope out", code="bad_scope")
    if scope.kind == "own" and scope.entity == UNASSIGNED:
        raise UsageError("`unassigned` is nobody's own; expected own:USER_ID", code="bad_scope")
    if expires_at_us is not None and expires_at_us <= now_us:
        raise UsageError("the key would have ended before it begins; choose a later day", code="bad_end")
    key, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    with database.write() as connection:
        connection.execute(
            insert(KEYS).values(
                id=key,
                name=name,
                digest=hashlib.sha256(secret.encode()).hexdigest(),
                role=role,
                scope=str(scope),
                rows_per_minute=rows_per_minute,
                made_at_us=now_us,
                expires_at_us=expires_at_us,
            )
        )
        # Whose key it is stays out of the audit, from which nothing can be erased.
        details = {"key": key, "role": role, "scope": scope.kind}
        audit.append(database, connection, "key_made", details, now_us)
    return NewKey(key, f"fc_{key}_{secret}")


def list_keys(connection: Connection) -> list[StoredKey]:
    """All keys, in order of making."""
    asked = (
        select(KEYS, REVOCATIONS.c.revoked_at_us)
        .outerjoin(REVOCATIONS, REVOCATIONS.c.key == KEYS.c.id)
        .order_by(KEYS.c.made_at_us, KEYS.c.id)
    )
    return [
        StoredKey(
            id=row.id,
            name=row.name,
            role=cast(Role, row.role),
            scope=Scope.parse(row.scope),
            rows_per_minute=row.rows_per_minute,
            made_at_us=row.made_at_us,
            expires_at_us=row.expires_at_us,
            revoked_at_us=row.revoked_at_us,
            digest=bytes.fromhex(row.digest),
        )
        for row in connection.execute(asked)
    ]


def revoke_key(database: Database, key: str, now_us: int) -> bool:
    """Revoke a key for good; False if it was revoked before. Raises UsageError for one that is not there."""
    with database.write() as connection:
        database.lock_audit(connection)
        if connection.execute(select(KEYS.c.id).where(KEYS.c.id == key)).first() is None:
            raise UsageError(
                "there is no key of that id; `forecast keys list` shows the ids, the twelve digits after fc_",
                code="no_such_key",
            )
        if connection.execute(select(REVOCATIONS.c.key).where(REVOCATIONS.c.key == key)).first() is not None:
            return False
        connection.execute(insert(REVOCATIONS).values(key=key, revoked_at_us=now_us))
        audit.append(database, connection, "key_revoked", {"key": key}, now_us)
    return True


class KeySource(Protocol):
    """What gives keys: a `Ledger`."""

    def stored_keys(self) -> list[StoredKey]:
        """All keys; raises ForecastError if the ledger does not answer."""
        ...


class LedgerKeys:
    """Recognises keys of the ledger from memory; a thread reads them again every two seconds.

    So no request waits for the database, a stranger cannot make it work, and a key revoked anywhere stops
    within `poll_seconds` and the time of one query. While the ledger does not answer, the keys last read hold
    on (`stale_seconds` tells how old they are): scoring goes on without its database.

    ledger : asked in a thread; a ForecastError of the first time is raised, later ones are waited out
    """

    def __init__(
        self,
        ledger: KeySource,
        *,
        poll_seconds: float = _POLL_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._known = {stored.id: stored for stored in ledger.stored_keys()}
        self._read_at = time.monotonic()
        self._stop = threading.Event()
        self._poll_seconds = poll_seconds
        self._thread = threading.Thread(target=self._poll, name="ledger-keys", daemon=True)
        self._thread.start()

    @property
    def stale_seconds(self) -> float:
        """How long ago the keys were last read."""
        return time.monotonic() - self._read_at

    def find(self, authorization: bytes | None) -> Access | None:
        """What the key in an Authorization header may do; None for a header that holds no key let in.

        An unknown id, a wrong secret, a revoked and an expired key take the same steps: one look-up, one
        SHA-256, one comparison in constant time.
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        shape = _TOKEN.fullmatch(token.strip()[:_MOST_BYTES])
        key, secret = ("", b"") if shape is None else (shape[1].decode(), shape[2])
        stored = self._known.get(key)
        expected = _NOBODY if stored is None else stored.digest
        same = hmac.compare_digest(hashlib.sha256(secret).digest(), expected)
        if scheme.lower() != b"bearer" or stored is None or not same:
            return None
        if not stored.lets_in(int(self._clock() * 1e6)):
            return None
        return Access(stored.id, stored.role, stored.scope, stored.rows_per_minute)

    def refresh(self) -> None:
        """Read the keys now. Raises ForecastError if the ledger does not answer."""
        self._known = {stored.id: stored for stored in self._ledger.stored_keys()}
        self._read_at = time.monotonic()

    def close(self) -> None:
        """Stop reading."""
        self._stop.set()
        self._thread.join()

    def _poll(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self.refresh()
            except Exception as fault:
                # Whatever it is, the next round must come: a thread that ended would let revoked keys in.
                # `stale_seconds` tells; a message might hold a value.
                _log.warning("keys not read: %s", type(fault).__name__)
