"""A table of deals in flat columns, scored as `POST /v1/score` scores a request: same checks, same bits.

A row is a deal as it would be sent over HTTP (docs/http.md): the columns of the deals table, every other column
a custom attribute, and the deal's past as JSON text in the columns `events` and `activities`. A row without
events says in the column `stage` where the deal stands, and is taken to stand there since `created_at`.

Nothing here needs a server, so whoever scores tables (MLflow, Spark) needs no more than the base.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import DataError
from forecast.history import History
from forecast.periods import Period, as_of_us, parse_as_of, to_timestamp
from forecast.scoring import SCORE_COLUMNS, score_deals
from forecast.service.catalogue import Catalogue
from forecast.service.deals import parse_deal
from forecast.service.encoding import moment
from forecast.service.refusals import Refusal
from forecast.service.requests import as_known
from forecast.service.strict_json import dumps, loads
from forecast.tables import Tables

__all__ = ["flat_deals", "flat_row", "nested", "score_table"]

_LISTS: Final = ("events", "activities")
# Calendar days among the columns; every other time is a moment.
_DAYS: Final = frozenset({"expected_close_on"})
# Fields of events that are numbers; the table of events holds every value as text.
_NUMBERS: Final = frozenset({"amount", "budget", "authority", "need", "timeline"})


def score_table(
    bundle: Bundle,
    table: pd.DataFrame,
    *,
    as_of: str = "",
    period: str = "",
    reasons: int = 5,
    locale: str = "en",
) -> pd.DataFrame:
    """Score each row of a table of deals; what comes back has its rows, in their order, under its index.

    as_of : ISO date or moment; empty for the first moment at which everything in the table is known. Parts of a
        table scored apart need one that is given, or each part has its own
    period : such as 2026Q1, for `won_in_period`; empty leaves that column unknown
    reasons : how many to name for each deal; locale : the language they are told in

    Returns all columns of the contract (docs/scores.md), days and moments as ISO text and unknown texts empty:
    what Spark can take. A deal that is won or lost by then has its id, moment, pipeline and stage, and nothing
    else. Raises DataError naming the row, from 0, and the column that is wrong.
    """
    models = bundle.models
    known = Catalogue.of(models.stages.to_json(), models.money.currencies, bundle.dialect)
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        raise DataError("the table of deals has a column twice", code="bad_table")
    columns = [_plain(name, table.iloc[:, place]) for place, name in enumerate(names)]
    deals: list[dict[str, Any]] = []
    seen: set[str] = set()
    for row, cells in enumerate(zip(*columns, strict=True)):
        given = {name: cell for name, cell in zip(names, cells, strict=True) if cell is not None}
        try:
            deal = parse_deal(nested(given, row), row, known)
            if deal["deal_id"] in seen:
                raise Refusal(400, "duplicate_deal", "comes twice in this table", field="deal_id", row=row)
        except Refusal as refusal:
            raise _named(refusal, given) from None
        seen.add(deal["deal_id"])
        deals.append(deal)
    at_us = _newest_us(deals) + 1 if not as_of else as_of_us(parse_as_of(as_of))
    past = []
    for row, deal in enumerate(deals):
        try:
            past.append(as_known(deal, row, at_us))
        except Refusal as refusal:
            raise _named(refusal, deal) from None
    history = History.from_request(past, stages=models.stages, money=models.money)
    scores = score_deals(
        history,
        bundle,
        history.open_deals(at_us),
        to_timestamp(at_us),
        period=Period.parse(period) if period else None,
        reasons=reasons,
        locale=locale,
    )
    return _aligned(scores, [deal["deal_id"] for deal in deals], history, at_us, table.index)


def flat_row(deal: Mapping[str, Any]) -> dict[str, Any]:
    """A deal of a request as a row of a table: its two lists become JSON text."""
    return {name: dumps(value).decode() if name in _LISTS else value for name, value in deal.items()}


def flat_deals(tables: Tables, as_of: pd.Timestamp) -> pd.DataFrame:
    """The deals of a folder of tables in flat columns: all that were created and in a stage before `as_of`.

    What happened to them from then on comes with them; scoring does not look at it.
    """
    events, activities = tables.deal_events, tables.activities
    entered = events.loc[(events["field"] == "stage") & (events["recorded_at"] < as_of), "deal_id"]
    deals = tables.deals
    deals = deals[(deals["created_at"] < as_of) & deals["deal_id"].isin(entered)].reset_index(drop=True)
    told = [
        None if pd.isna(value) else float(value) if field in _NUMBERS else value
        for field, value in zip(events["field"], events["value"], strict=True)
    ]
    lists = {
        "events": _lists(
            events["deal_id"], field=events["field"], value=told, recorded_at=_moments(events["recorded_at"])
        ),
        "activities": _lists(
            activities["deal_id"],
            occurred_at=_moments(activities["occurred_at"]),
            kind=activities["kind"],
            direction=[None if pd.isna(way) else way for way in activities["direction"]],
        ),
    }
    flat = deals.assign(
        created_at=_moments(deals["created_at"]),
        expected_close_on=deals["expected_close_on"].dt.strftime("%Y-%m-%d"),
    )
    for name, found in lists.items():
        flat[name] = [found.get(one, "[]") for one in deals["deal_id"]]
    return flat


def _lists(deal_id: pd.Series, **columns: Iterable[Any]) -> dict[str, str]:
    """deal id -> its rows as the JSON text of a list of objects, in their order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one, *values in zip(deal_id, *columns.values(), strict=True):
        if isinstance(one, str):  # an activity may be a lead's
            found.setdefault(one, []).append(dict(zip(columns, values, strict=True)))
    return {one: dumps(rows).decode() for one, rows in found.items()}


def _moments(at: pd.Series) -> list[str]:
    return [moment(at_us) for at_us in at.dt.as_unit("us").astype("int64")]


def _plain(name: str, column: pd.Series) -> list[Any]:
    """The cells of a column as JSON has them: moments and days as ISO text, None for unknown."""
    return [None if one is None else _cell(name, one) for one in column.array]


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if isinstance(value, np.generic):
        value = value.item() if not isinstance(value, np.datetime64) else pd.Timestamp(value)
    if value is pd.NaT or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    if isinstance(value, Decimal):  # Spark's numbers with a fixed point
        return float(value)
    if isinstance(value, datetime):
        if name in _DAYS:
            return value.date().isoformat()
        # One without a zone stays without, and is refused: Spark hands over the wall clock of its session.
        return value.isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value


def nested(row: dict[str, Any], place: int) -> dict[str, Any]:
    """A flat row as the object a request has for it."""
    deal = {name: value for name, value in row.items() if name != "stage"}
    for name in _LISTS:
        if name in row:
            if not isinstance(row[name], str):
                raise Refusal(400, "not_text", "expected a list as JSON text", field=name, row=place)
            try:
                deal[name] = loads(row[name].encode())
            except Refusal as refusal:
                reason = refusal.message.replace("the body", "the text")
                raise Refusal(400, refusal.code, reason, field=name, row=place) from None
    if "events" not in deal and "stage" in row:
        deal["events"] = [{"field": "stage", "value": row["stage"], "recorded_at": row.get("created_at")}]
    return deal


def _newest_us(deals: list[dict[str, Any]]) -> int:
    """The newest moment anything in the table was recorded at."""
    return max(
        (
            at_us
            for deal in deals
            for at_us in (
                deal["created_at"],
                *(event["recorded_at"] for event in deal["events"]),
                *(activity["occurred_at"] for activity in deal["activities"]),
            )
        ),
        default=0,
    )


def _named(refusal: Refusal, deal: Mapping[str, Any]) -> DataError:
    """A refusal in the words of a table: which row, which deal, which column, and what is wrong there."""
    name = deal.get("deal_id")
    of = f" (deal {name[:60]!r})" if isinstance(name, str) else ""
    column = f", column {refusal.field}" if refusal.field else ""
    # What is unknown in a request is looked up at the service; here the bundle itself is at hand.
    reason = refusal.message.replace("; GET /v1/model lists them", "")
    return DataError(f"row {refusal.row}{of}{column}: {reason}", code=refusal.code)


def _aligned(
    scores: pd.DataFrame, deal_ids: list[str], history: History, at_us: int, index: pd.Index
) -> pd.DataFrame:
    """Scores in the order of the table, a row for each of its rows."""
    place = history.index_of(deal_ids)
    stage = history.stage(place, np.full(len(place), at_us))
    found = scores.assign(score=scores["score"].astype("Int64")).set_index("deal_id").reindex(deal_ids)
    stages = history.stages
    told = found.reset_index(names="deal_id").assign(
        as_of=moment(at_us),
        pipeline=[stages.pipeline[code] for code in stage],
        stage=[stages.stage[code] for code in stage],
    )
    for name in ("close_on_p10", "close_on_p50", "close_on_p90"):
        told[name] = told[name].dt.strftime("%Y-%m-%d")
    unknown = dict.fromkeys(("owner_id", "grade", "close_on_p10", "close_on_p50", "close_on_p90"), "")
    told = told.fillna({**unknown, "reasons": "[]"})
    return told.reindex(columns=list(SCORE_COLUMNS)).astype({"won_in_period": "float64"}).set_axis(index)
