"""What is to be written back to a CRM: kept until it was sent, exactly once as far as the ledger goes.

Nothing sends yet. A sender claims entries for a while, sends them, and settles them; one that dies in between
leaves them to the next, so the other side must know the entry's name and ignore it the second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import insert, or_, select, update

from forecast.ledger.database import Database
from forecast.ledger.schema import OUTBOX

__all__ = ["Parcel", "append", "claim", "settle"]


@dataclass(frozen=True, slots=True)
class Parcel:
    """An entry claimed for sending. `attempts` counts this one."""

    number: int
    target: str
    name: str
    deal_id: str | None
    content: str
    attempts: int


def append(
    database: Database, target: str, name: str, content: str, *, deal_id: str | None, now_us: int
) -> bool:
    """Add an entry; False if one of that name is there for the target."""
    with database.write() as connection:
        database.lock_audit(connection)
        named = (OUTBOX.c.target == target, OUTBOX.c.name == name)
        if connection.execute(select(OUTBOX.c.number).where(*named)).first() is not None:
            return False
        connection.execute(
            insert(OUTBOX).values(
                target=target,
                name=name,
                deal_id=deal_id,
                content=content,
                made_at_us=now_us,
                state="pending",
                attempts=0,
            )
        )
    return True


def claim(database: Database, target: str, *, most: int, seconds: float, now_us: int) -> list[Parcel]:
    """Take the oldest entries that wait, for `seconds`; nobody else gets them meanwhile."""
    free = or_(OUTBOX.c.claimed_until_us.is_(None), OUTBOX.c.claimed_until_us <= now_us)
    waiting = (
        select(OUTBOX)
        .where(OUTBOX.c.target == target, OUTBOX.c.state == "pending", free)
        .order_by(OUTBOX.c.number)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    with database.write() as connection:
        found = list(connection.execute(waiting))
        numbers = [row.number for row in found]
        until_us = now_us + round(seconds * 1e6)
        taken: dict[str, Any] = {"claimed_until_us": until_us, "attempts": OUTBOX.c.attempts + 1}
        connection.execute(update(OUTBOX).where(OUTBOX.c.number.in_(numbers)).values(taken))
    return [
        Parcel(row.number, row.target, row.name, row.deal_id, row.content, row.attempts + 1) for row in found
    ]


def settle(
    database: Database, number: int, outcome: Literal["sent", "failed", "pending"], *, now_us: int
) -> None:
    """Say what became of a claimed entry; `pending` gives it back for another try."""
    done = {"settled_at_us": None if outcome == "pending" else now_us}
    with database.write() as connection:
        connection.execute(
            update(OUTBOX)
            .where(OUTBOX.c.number == number, OUTBOX.c.state == "pending")
            .values(state=outcome, claimed_until_us=None, **done)
        )
