"""Published snapshots: stored in one transaction, read through a key's scope."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd
from sqlalchemy import Connection, Row, Select, insert, select

from forecast.access import Scope
from forecast.ledger import audit
from forecast.ledger.database import Database
from forecast.ledger.schema import FORECASTS, SCORES, SNAPSHOT_PERIODS, SNAPSHOTS
from forecast.ledger.scope import visible_deal, visible_forecasts, visible_scores

__all__ = [
    "Published",
    "Snapshot",
    "SnapshotRow",
    "deal_history",
    "find_snapshot",
    "forecast_rows",
    "list_snapshots",
    "newest_deal",
    "store",
]

_BLOCK: Final = 2_000
_HISTORY: Final = 400


@dataclass(frozen=True)
class Snapshot:
    """What is about to be published.

    id : the same for the same inputs, whenever and wherever it is made
    as_of_us, trained_until_us, newest_record_us : microseconds since 1970
    periods : labels; the first is the one of `won_in_period`
    scores : columns of the table `scores` but `snapshot`, one row per open deal
    forecasts : columns of the table `forecasts` but `snapshot` and `position`, in the order to show them
    curve_days : days after as_of at which each score's curve is given
    receipt : what it was made from, as plain values
    """

    id: str
    as_of_us: int
    periods: tuple[str, ...]
    bundle: str
    trained_until_us: int
    data_fingerprint: str
    newest_record_us: int
    code_version: str
    currency: str
    receipt: dict[str, Any]
    curve_days: tuple[float, ...]
    scores: pd.DataFrame
    forecasts: pd.DataFrame


@dataclass(frozen=True, slots=True)
class Published:
    """A snapshot that is in the ledger. `already`: it had been published before, at that time."""

    id: str
    published_at_us: int
    already: bool


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """A stored snapshot without its rows."""

    number: int
    id: str
    published_at_us: int
    as_of_us: int
    bundle: str
    trained_until_us: int
    newest_record_us: int
    currency: str
    deals: int

    @classmethod
    def of(cls, row: Row[Any]) -> SnapshotRow:
        """From a row that has the columns of `snapshots`."""
        return cls(*(getattr(row, name) for name in cls.__slots__))


def store(database: Database, snapshot: Snapshot, now_us: int) -> Published:
    """Store a snapshot with all its rows, or find that it is there; nothing in between can be seen or left."""
    with database.write() as connection:
        database.lock_audit(connection)  # one publication at a time: the second finds what the first stored
        found = connection.execute(select(SNAPSHOTS).where(SNAPSHOTS.c.id == snapshot.id)).first()
        if found is not None:
            return Published(found.id, found.published_at_us, True)
        number = connection.execute(
            insert(SNAPSHOTS)
            .values(
                id=snapshot.id,
                published_at_us=now_us,
                as_of_us=snapshot.as_of_us,
                bundle=snapshot.bundle,
                trained_until_us=snapshot.trained_until_us,
                data_fingerprint=snapshot.data_fingerprint,
                newest_record_us=snapshot.newest_record_us,
                code_version=snapshot.code_version,
                currency=snapshot.currency,
                deals=len(snapshot.scores),
                receipt=json.dumps(snapshot.receipt, sort_keys=True, ensure_ascii=False),
                curve_days=json.dumps(snapshot.curve_days),
            )
            .returning(SNAPSHOTS.c.number)
        ).scalar_one()
        connection.execute(
            insert(SNAPSHOT_PERIODS),
            [
                {"snapshot": number, "period": period, "position": position}
                for position, period in enumerate(snapshot.periods)
            ],
        )
        for table, frame in ((SCORES, snapshot.scores), (FORECASTS, _placed(snapshot.forecasts))):
            for block in _blocks(frame, number):
                connection.execute(insert(table), block)
        details = {"snapshot": snapshot.id, "bundle": snapshot.bundle, "deals": len(snapshot.scores)}
        audit.append(database, connection, "published", details, now_us)
    return Published(snapshot.id, now_us, False)


def _placed(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(position=range(len(frame)))


def _blocks(frame: pd.DataFrame, number: int) -> Iterator[list[dict[str, Any]]]:
    """Rows as dictionaries, None for unknown."""
    for start in range(0, len(frame), _BLOCK):
        part = frame.iloc[start : start + _BLOCK]
        cells = part.astype(object).where(part.notna(), None)
        columns = [cells[name].tolist() for name in cells.columns]
        names = ("snapshot", *cells.columns)
        yield [dict(zip(names, (number, *row), strict=True)) for row in zip(*columns, strict=True)]


def list_snapshots(connection: Connection) -> list[SnapshotRow]:
    """All snapshots, the latest as-of moment first."""
    return [SnapshotRow.of(row) for row in connection.execute(_latest_first(select(SNAPSHOTS)))]


def find_snapshot(
    connection: Connection,
    *,
    period: str | None = None,
    as_of_us: int | None = None,
    id_start: str | None = None,
) -> SnapshotRow | None:
    """The latest snapshot that fits: with that period, as of that moment or before, by the start of its id."""
    asked = _latest_first(select(SNAPSHOTS)).limit(1)
    if period is not None:
        asked = asked.where(
            SNAPSHOTS.c.number.in_(
                select(SNAPSHOT_PERIODS.c.snapshot).where(SNAPSHOT_PERIODS.c.period == period)
            )
        )
    if as_of_us is not None:
        asked = asked.where(SNAPSHOTS.c.as_of_us <= as_of_us)
    if id_start is not None:
        asked = asked.where(SNAPSHOTS.c.id.startswith(id_start, autoescape=True))
    row = connection.execute(asked).first()
    return None if row is None else SnapshotRow.of(row)


def forecast_rows(
    connection: Connection, scope: Scope, snapshot: int, period: str, level: str, entity: str | None = None
) -> list[Row[Any]]:
    """Rows of a forecast in scope, in the order of the roll-up."""
    asked = visible_forecasts(scope).where(
        FORECASTS.c.snapshot == snapshot, FORECASTS.c.period == period, FORECASTS.c.level == level
    )
    if entity is not None:
        asked = asked.where(FORECASTS.c.entity == entity)
    return list(connection.execute(asked.order_by(FORECASTS.c.position)))


def newest_deal(connection: Connection, scope: Scope, deal_id: str) -> Row[Any] | None:
    """The newest score of a deal with its snapshot's columns, None if there is none in scope."""
    return connection.execute(visible_deal(scope, deal_id)).first()


def deal_history(connection: Connection, scope: Scope, deal_id: str) -> list[Row[Any]]:
    """Scores of a deal in scope, the latest as-of moment first, at most 400."""
    asked = visible_scores(scope).where(SCORES.c.deal_id == deal_id)
    return list(connection.execute(_latest_first(asked).limit(_HISTORY)))


def periods_of(connection: Connection, snapshot: int) -> list[str]:
    """Periods of a snapshot; the first is the one of `won_in_period`."""
    asked = select(SNAPSHOT_PERIODS.c.period).where(SNAPSHOT_PERIODS.c.snapshot == snapshot)
    return list(connection.execute(asked.order_by(SNAPSHOT_PERIODS.c.position)).scalars())


def _latest_first(asked: Select[Any]) -> Select[Any]:
    return asked.order_by(SNAPSHOTS.c.as_of_us.desc(), SNAPSHOTS.c.number.desc())
