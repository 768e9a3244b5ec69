"""Idempotency-Key: a request sent twice is done once, and answered twice with the same bytes.

After Stripe's rules: the same key with the same body gets the first answer again, with another body it is
refused, while the first is still running too; kept for 24 hours. Of the caller's key only a hash is stored.
Source: docs.stripe.com, "Idempotent requests".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sqlalchemy import and_, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from forecast.ledger.database import Database
from forecast.ledger.schema import IDEMPOTENCY

__all__ = ["KEPT_US", "Repeat", "begin", "finish", "release"]

KEPT_US: Final = 24 * 3_600_000_000
# Whoever began and was killed never finishes; no answer takes this long.
_ABANDONED_US: Final = 120_000_000


@dataclass(frozen=True, slots=True)
class Repeat:
    """A key that was seen before.

    `answered` : status and body of the first answer are here, to be sent again
    `other_body` : it was sent with another body, refuse with 409
    `running` : the first is not answered yet, refuse with 409
    """

    kind: Literal["answered", "other_body", "running"]
    status: int = 0
    body: bytes = field(default=b"", repr=False)


def begin(database: Database, key: str, name: str, body_digest: str, now_us: int) -> Repeat | None:
    """Claim an Idempotency-Key of an API key; None if it is new and the request is to be done."""
    mine = _of(key, name)
    row = {"key": key, "name_sha256": _hashed(name), "asked_sha256": body_digest, "begun_at_us": now_us}
    for _ in range(2):
        with database.write() as connection:
            connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.begun_at_us <= now_us - KEPT_US))
            found = connection.execute(select(IDEMPOTENCY).where(mine).with_for_update()).first()
            if found is not None:
                if found.asked_sha256 != body_digest:
                    return Repeat("other_body")
                if found.status is not None:
                    return Repeat("answered", found.status, bytes(found.answer))
                if now_us - found.begun_at_us < _ABANDONED_US:
                    return Repeat("running")
                connection.execute(update(IDEMPOTENCY).where(mine).values(begun_at_us=now_us))
                return None
            try:
                with connection.begin_nested():
                    connection.execute(insert(IDEMPOTENCY).values(**row))
            except IntegrityError:
                continue  # another process was first, by a hair: look again
            return None
    return Repeat("running")


def finish(database: Database, key: str, name: str, status: int, body: bytes) -> None:
    """Keep the answer for the next time."""
    with database.write() as connection:
        connection.execute(update(IDEMPOTENCY).where(_of(key, name)).values(status=status, answer=body))


def release(database: Database, key: str, name: str) -> None:
    """Forget a claim whose request failed on our side, so that it may be tried again."""
    with database.write() as connection:
        connection.execute(delete(IDEMPOTENCY).where(_of(key, name), IDEMPOTENCY.c.status.is_(None)))


def _of(key: str, name: str) -> Any:
    return and_(IDEMPOTENCY.c.key == key, IDEMPOTENCY.c.name_sha256 == _hashed(name))


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
