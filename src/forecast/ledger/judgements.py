"""What managers say of a deal, beside what the model says: appended, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, insert

from forecast.access import Scope
from forecast.ledger.database import Database
from forecast.ledger.schema import JUDGEMENTS
from forecast.ledger.scope import visible_deal, visible_judgements

__all__ = ["Judgement", "add", "of_deal"]

_MOST: Final = 200


@dataclass(frozen=True, slots=True)
class Judgement:
    """A judgement on a deal; None for what was not said.

    forecast_category : commit, best_case, pipeline or omitted
    amount : in the reporting currency, expected_close_on : ISO date
    """

    forecast_category: str | None = None
    amount: float | None = None
    expected_close_on: str | None = None
    note: str | None = None


def add(
    database: Database, scope: Scope, deal_id: str, key: str, judgement: Judgement, now_us: int
) -> int | None:
    """Append a judgement; its number, or None if no such deal is in scope."""
    with database.write() as connection:
        if connection.execute(visible_deal(scope, deal_id)).first() is None:
            return None
        number: int = connection.execute(
            insert(JUDGEMENTS)
            .values(
                deal_id=deal_id,
                made_at_us=now_us,
                key=key,
                forecast_category=judgement.forecast_category,
                amount=judgement.amount,
                expected_close_on=judgement.expected_close_on,
                note=judgement.note,
            )
            .returning(JUDGEMENTS.c.number)
        ).scalar_one()
        return number


def of_deal(connection: Connection, scope: Scope, deal_id: str) -> list[Row[Any]]:
    """Judgements on a deal in scope, newest first, at most 200."""
    asked = visible_judgements(scope, deal_id).order_by(JUDGEMENTS.c.number.desc()).limit(_MOST)
    return list(connection.execute(asked))
