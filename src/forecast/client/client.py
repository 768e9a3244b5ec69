"""The client: a method for every route."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, cast
from urllib.parse import quote, urlencode

from forecast.client.answers import (
    BulkRow,
    DealAnswer,
    ForecastAnswer,
    LeadAnswer,
    PublishedForecast,
    ScoreAnswer,
)
from forecast.client.connection import Connection
from forecast.client.errors import BrokenStreamError, RefusedError

__all__ = ["Client"]

Row = Mapping[str, Any]
_NDJSON: Final = "application/x-ndjson"
_CSV: Final = "text/csv"


class Client:
    """A connection to one service with one key. Threads may not share it; open one for each.

    url : such as https://forecast.example.com
    key : as `forecast keys create` printed it
    timeout_seconds : how long to wait for a connection and for each part of an answer
    attempts : how often to ask in all when the service says to come back later

    Every method raises RefusedError for what the service refuses and UnreachableError where none answers.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float = 60.0,
        attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._connection = Connection(
            url, key, timeout_seconds=timeout_seconds, attempts=max(1, attempts), sleep=sleep
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # -- what is computed from what is sent ---------------------------------------------------------------

    def score(
        self,
        deals: Sequence[Row],
        *,
        as_of: str | None = None,
        period: str | None = None,
        reasons: int | None = None,
        locale: str | None = None,
    ) -> ScoreAnswer:
        """Score open deals, up to 10,000 at once; `bulk` takes more."""
        body = _given(deals=deals, as_of=as_of, period=period, reasons=reasons, locale=locale)
        return cast(ScoreAnswer, self._post("/v1/score", body))

    def score_leads(
        self,
        leads: Sequence[Row],
        *,
        as_of: str | None = None,
        reasons: int | None = None,
        locale: str | None = None,
    ) -> LeadAnswer:
        """Score open leads."""
        body = _given(leads=leads, as_of=as_of, reasons=reasons, locale=locale)
        return cast(LeadAnswer, self._post("/v1/leads/score", body))

    def forecast_of(
        self,
        deals: Sequence[Row],
        period: str,
        *,
        users: Sequence[Row] = (),
        quotas: Sequence[Row] = (),
        booked: Sequence[Row] = (),
        as_of: str | None = None,
    ) -> ForecastAnswer:
        """Expected bookings of what is sent."""
        lists = {"users": list(users), "quotas": list(quotas), "booked": list(booked)}
        body = _given(deals=deals, period=period, as_of=as_of, **lists)
        return cast(ForecastAnswer, self._post("/v1/forecast", body))

    def bulk(
        self,
        deals: Iterable[Row],
        *,
        as_of: str | None = None,
        period: str | None = None,
        reasons: int | None = None,
        locale: str | None = None,
    ) -> Iterator[BulkRow]:
        """Score any number of deals, row by row, in their order and in constant memory.

        Deals are taken from their iterator by another thread, while answers are read. A row that is wrong comes
        back with its error. Raises BrokenStreamError if the service ends before all rows are answered.
        """
        query = _query(as_of=as_of, period=period, reasons=reasons, locale=locale)
        pieces = (json.dumps(deal, allow_nan=False).encode() + b"\n" for deal in deals)
        whole = False
        for line in _lines(
            self._connection.stream(f"/v1/score/bulk{query}", pieces, {"Content-Type": _NDJSON})
        ):
            told = json.loads(line)
            if "end" in told:
                whole = True
            elif "row" not in told:
                raise RefusedError.of(200, told["error"])
            elif "error" in told:
                yield BulkRow(told["row"], error=RefusedError.of(400, told["error"]))
            else:
                yield BulkRow(told["row"], told.get("score"), told.get("skipped"))
        if not whole:
            raise BrokenStreamError("the service ended before every row was answered")

    def bulk_csv(
        self,
        pieces: Iterable[bytes],
        *,
        as_of: str | None = None,
        period: str | None = None,
        reasons: int | None = None,
        locale: str | None = None,
    ) -> Iterator[bytes]:
        """Pieces of a CSV file of deals, with its header, answered by those of a CSV file of scores.

        An open file is an iterable of such pieces. Raises BrokenStreamError as `bulk`.
        """
        query = _query(as_of=as_of, period=period, reasons=reasons, locale=locale)
        return self._connection.stream(f"/v1/score/bulk{query}", pieces, {"Content-Type": _CSV})

    # -- what is stored -----------------------------------------------------------------------------------

    def forecast(
        self,
        period: str,
        *,
        level: str | None = None,
        entity: str | None = None,
        as_of: str | None = None,
    ) -> PublishedForecast:
        """Expected bookings as published, of the rows the key may see."""
        query = _query(period=period, level=level, entity=entity, as_of=as_of)
        return cast(PublishedForecast, self._get(f"/v1/forecast{query}"))

    def deal(self, deal_id: str, *, locale: str | None = None) -> DealAnswer:
        """A deal as published: score, reasons, curve, history, judgements."""
        return cast(DealAnswer, self._get(f"/v1/deals/{quote(deal_id, safe='')}{_query(locale=locale)}"))

    def judge(
        self,
        deal_id: str,
        *,
        forecast_category: str | None = None,
        amount: float | None = None,
        expected_close_on: str | None = None,
        note: str | None = None,
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        """Say what a manager thinks of a deal; what was said is never changed, only followed.

        idempotency_key : names this judgement, so that it is made once however often it is sent; left out, one
            is made up for this call
        """
        body = _given(
            forecast_category=forecast_category,
            amount=amount,
            expected_close_on=expected_close_on,
            note=note,
        )
        name = idempotency_key or secrets.token_hex(16)
        answer = self._post(
            f"/v1/deals/{quote(deal_id, safe='')}/judgements", body, {"Idempotency-Key": name}
        )
        return cast(dict[str, Any], answer["judgement"])

    def model(self) -> dict[str, Any]:
        """The bundle in use: stages, currencies, metrics, limits."""
        return cast(dict[str, Any], self._get("/v1/model"))

    def _get(self, path: str) -> Any:
        return self._connection.ask("GET", path, None, {}, repeatable=True)

    def _post(self, path: str, body: Row, more: Mapping[str, str] | None = None) -> Any:
        # What only computes may be computed twice; what is said comes with an Idempotency-Key.
        content = json.dumps(body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", **(more or {})}
        return self._connection.ask("POST", path, content, headers, repeatable=True)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _query(**values: Any) -> str:
    given = _given(**values)
    return f"?{urlencode(given)}" if given else ""


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
    if rest:
        yield rest
