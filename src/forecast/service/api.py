"""The ASGI application: every request that reaches the service goes through `Api` and nothing else.

The order at the door: request id, probes, host, key, route, role, rate, media type, body, a turn to compute.
Whatever goes wrong leaves as the one error shape; a fault of ours is logged by type and place only, since
messages of exceptions may carry what was sent.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from forecast.access import Access
from forecast.errors import ForecastError
from forecast.service.bulk import CSV, NDJSON
from forecast.service.hosts import Hosts
from forecast.service.intake import headers_of, idempotency_key, media_of, take_body
from forecast.service.keys import Finder
from forecast.service.logs import request_line
from forecast.service.metrics import CONTENT_TYPE, Metrics
from forecast.service.options import query_of
from forecast.service.rate import BYTES_PER_ROW, Rate
from forecast.service.readiness import Readiness, ready_body
from forecast.service.refusals import Refusal
from forecast.service.replies import (
    JSON,
    Reply,
    Seen,
    Send,
    as_of_us,
    digest,
    refuse,
    request_id,
    send_reply,
    start_reply,
)
from forecast.service.routes import MAY, PROBES, ROUTES, Place, place_of
from forecast.service.seams import Answers, Book, Stored
from forecast.service.streaming import Stream
from forecast.service.turns import Turns

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ["PROBES", "ROUTES", "Answers", "Api", "Book", "Limits", "Stored"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_log = logging.getLogger("forecast.service")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on.

    body_seconds : how long a body, or the next row of a stream, may take to arrive, and an answer to be taken
    small_waiting, large_waiting : requests that may wait, by size (see `turns`); so many small ones come at
        once where the machine gave the process no time for half a second; with twice as many, those let in
        waited too long under overload
    patience_seconds : how long a large one waits before it is sent away
    streams : bulk streams at once
    readers : reads of the ledger at once
    kept_answer : bytes up to which an answer is kept for a repeated Idempotency-Key
    answers_a_connection : after so many answers one connection is closed, in good order, so that callers who
        keep theirs spread over the workers again after one of these was started anew
    """

    body_seconds: float = 30.0
    small_waiting: int = 24
    large_waiting: int = 4
    patience_seconds: float = 20.0
    streams: int = 2
    readers: int = 4
    kept_answer: int = 1024 * 1024
    answers_a_connection: int = 256


class Api:
    """See the module. `open` gives it an engine and keys; until then every probe but /livez answers 503.

    hosts : names the service answers to; left out, those of FORECAST_HOSTS
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        hosts: Hosts | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._hosts = hosts
        self._answers: Answers | None = None
        self._keys: tuple[Finder, ...] = ()
        self._turns = Turns(
            small=self._limits.small_waiting,
            large=self._limits.large_waiting,
            patience_s=self._limits.patience_seconds,
            streams=self._limits.streams,
        )
        self._rate = Rate()
        self._answered = 0
        self._readers = CapacityLimiter(self._limits.readers)
        self._metrics: Metrics | None = None
        self._stored: Stored | None = None
        self._book: Book | None = None
        self._awaited = False
        self._readiness: Readiness | None = None

    def open(
        self,
        answers: Answers,
        *keys: Finder,
        metrics: Metrics | None = None,
        stored: Stored | None = None,
        book: Book | None = None,
        awaited: bool = False,
        readiness: Readiness | None = None,
        rate: Rate | None = None,
    ) -> None:
        """Begin to answer.

        keys : each is asked in turn; the first that knows a key says what it may do
        readiness : what /readyz says beyond that we answer
        stored, book : the two sides of the ledger; without them only what is sent is computed
        awaited : whether there is to be a ledger that has not answered yet
        rate : what keys had computed, counted together with other workers; else this process counts alone
        """
        if self._hosts is None:
            self._hosts = Hosts.from_environment(os.environ)
        self._keys = keys
        self._metrics = metrics
        self._stored = stored
        self._book = book
        self._awaited = awaited
        self._readiness = readiness
        self._rate = rate or self._rate
        self._answers = answers

    def swap(self, answers: Answers) -> None:
        """Another engine answers from the next request on; those under way end with theirs."""
        self._answers = answers

    @property
    def waiting(self) -> dict[str, int]:
        """How many requests wait, by lane."""
        return self._turns.waiting

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        started = time.perf_counter()
        headers = headers_of(scope)
        seen = Seen(request_id(headers.get(b"x-request-id")))
        try:
            reply = await self._answer(scope, headers, receive, send, seen)
        except Refusal as refusal:
            reply = refuse(refusal, seen)
        except Exception as fault:
            _log.error("request=%s fault=%s at %s", seen.request_id, type(fault).__name__, _place(fault))
            reply = refuse(Refusal(500, "internal", "the service failed; quote the request id"), seen)
        if not reply.sent:
            self._answered += 1
            last = self._answered % self._limits.answers_a_connection == 0
            await send_reply(reply, seen, send, body=scope["method"] != "HEAD", last=last)
        seconds = time.perf_counter() - started
        if seen.route in PROBES:
            return
        if self._metrics is not None:
            self._metrics.answered(seen.route, reply.status, seconds, reply.deals, reply.code)
            self._metrics.scored(seen.route, reply.body)
        request_line(
            _log,
            method=scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "-",
            route=seen.route,
            status=reply.status,
            seconds=seconds,
            size=seen.size,
            deals=reply.deals,
            key=seen.key,
            request_id=seen.request_id,
            bundle=seen.bundle,
            code=reply.code,
        )

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes | None], receive: Receive, send: Send, seen: Seen
    ) -> Reply:
        place = place_of(scope["path"], scope.get("raw_path"))
        if place is not None:
            seen.route = place.path
        if seen.route in PROBES:
            return self._probe(scope["method"], seen.route)
        if self._hosts is not None:
            self._hosts.check(headers.get(b"host"), scope)
        access = self._let_in(headers, seen)
        if place is None:
            raise Refusal(404, "not_found", "there is no such path; GET /docs.json lists them")
        method = scope["method"]
        roles = MAY[place.path].get(method)
        if roles is None:
            raise _bad_method(place.path)
        if access.role not in roles:
            allowed = " or ".join(sorted(roles))
            raise Refusal(403, "role", f"this path is for keys of role {allowed}")
        if place.path == "/metrics":
            return Reply(200, self._metrics.render() if self._metrics else b"", media=CONTENT_TYPE)
        answers = self._ready()
        seen.bundle = answers.bundle_id[:12]
        self._rate.admit(access)
        try:
            if method == "POST":
                return await self._post(place, scope, headers, receive, send, seen, answers, access)
            reply = await self._get(place, scope.get("query_string", b""), seen, answers, access)
        except Refusal:
            self._rate.charge(access, 1 + seen.size // BYTES_PER_ROW)
            raise
        self._rate.charge(access, 1)
        return reply

    def _probe(self, method: str, path: str) -> Reply:
        if method not in MAY[path]:
            raise _bad_method(path)
        if path == "/readyz":
            self._ready()
            return Reply(200, ready_body(self._readiness.reasons() if self._readiness else []))
        return Reply(200, b'{"status":"alive"}')

    async def _get(self, place: Place, query: bytes, seen: Seen, answers: Answers, access: Access) -> Reply:
        if place.path in ("/v1/model", "/docs.json"):
            query_of(query, ())
            return Reply(200, answers.model() if place.path == "/v1/model" else answers.openapi())
        stored, deal_id, asked = self._with_ledger(), place.deal_id, query_of(query)
        if deal_id is None:
            answer = await self._read(lambda: stored.forecast(asked, access))
        else:
            answer = await self._read(lambda: stored.deal(deal_id, asked, access))
        reply = Reply(200, answer)
        self._note(seen, reply, query, answer, None)
        return reply

    async def _post(
        self,
        place: Place,
        scope: Scope,
        headers: dict[bytes, bytes | None],
        receive: Receive,
        send: Send,
        seen: Seen,
        answers: Answers,
        access: Access,
    ) -> Reply:
        now_us = int(self._clock() * 1e6)
        query = scope.get("query_string", b"")
        name = idempotency_key(headers)
        if place.path == "/v1/score/bulk":
            return await self._bulk(query, headers, receive, send, seen, answers, access, now_us)
        query_of(query, ())
        media_of(headers, (JSON,))
        if place.deal_id is not None:
            self._with_ledger()
        body = await take_body(headers, receive, self._limits.body_seconds)
        seen.size = len(body)
        if name is None or self._book is None:
            reply = await self._compute(place, body, answers, access, now_us)
        else:
            reply = await self._once(name, place, body, answers, access, now_us)
        self._rate.charge(access, max(1, reply.deals))
        self._note(seen, reply, body, reply.body, answers.bundle_id)
        return reply

    async def _compute(
        self, place: Place, body: bytes, answers: Answers, access: Access, now_us: int
    ) -> Reply:
        if place.deal_id is not None:
            stored, deal_id = self._with_ledger(), place.deal_id
            return Reply(200, await self._read(lambda: stored.judge(deal_id, body, access, now_us)))
        compute = answers.forecast
        if place.path == "/v1/score":
            compute = answers.score
        elif place.path == "/v1/leads/score":
            compute = answers.score_leads
        answer, deals = await self._turns.run(lambda taken: compute(taken, now_us), body)
        return Reply(200, answer, deals=deals)

    async def _once(
        self, name: str, place: Place, body: bytes, answers: Answers, access: Access, now_us: int
    ) -> Reply:
        """The answer to a request with an Idempotency-Key: the first one's, if there was one."""
        book = self._book
        assert book is not None  # noqa: S101  (by the caller)
        asked = hashlib.sha256(b"\0".join((place.path.encode(), (place.deal_id or "").encode(), body)))
        sent = asked.hexdigest()
        try:
            repeat = await self._read(lambda: book.idempotent(access.key, name, sent, now_us=now_us))
        except Refusal:
            if place.deal_id is not None:
                raise
            # What is only computed may be computed twice: no reason to fail with the ledger.
            return await self._compute(place, body, answers, access, now_us)
        if repeat is not None:
            if repeat.kind == "answered":
                return Reply(repeat.status, repeat.body, headers={"idempotent-replayed": "true"})
            if repeat.kind == "other_body":
                raise Refusal(
                    409, "idempotency_conflict", "this Idempotency-Key came before with another request"
                )
            raise Refusal(
                409,
                "idempotency_running",
                "the first request with this Idempotency-Key is not answered yet",
                headers={"retry-after": "1"},
            )
        try:
            reply = await self._compute(place, body, answers, access, now_us)
        except BaseException:
            await self._give_up(book, access, name)
            raise
        if len(reply.body) > self._limits.kept_answer:
            await self._give_up(book, access, name)
            return reply
        # What was done is done and is answered, even if the ledger went away before it could keep the answer.
        with suppress(Refusal):
            await self._read(lambda: book.answered(access.key, name, reply.status, reply.body))
        return reply

    async def _give_up(self, book: Book, access: Access, name: str) -> None:
        """Let an Idempotency-Key be used again; where the ledger does not answer, it lapses by itself."""
        with suppress(Refusal):
            await self._read(lambda: book.released(access.key, name))

    async def _bulk(
        self,
        query: bytes,
        headers: dict[bytes, bytes | None],
        receive: Receive,
        send: Send,
        seen: Seen,
        answers: Answers,
        access: Access,
        now_us: int,
    ) -> Reply:
        media = media_of(headers, (NDJSON, CSV))
        parts = answers.bulk(query, media, _accepted(headers.get(b"accept"), media), seen.request_id, now_us)
        reply = Reply(200, b"", media=parts.answer, sent=True)
        reply.headers["x-forecast-bundle"] = answers.bundle_id

        async def start() -> None:
            await start_reply(reply, seen, send)

        async def go_on(data: bytes) -> None:
            if self._metrics is not None:
                self._metrics.scored(seen.route, data)
            await send({"type": "http.response.body", "body": data, "more_body": True})

        with self._turns.stream():
            stream = Stream(
                parts, receive, start, go_on, self._turns, self._rate, access, self._limits.body_seconds
            )
            try:
                reply.code = await stream.run()
            finally:
                seen.size = stream.size
        if reply.code is None:
            await send({"type": "http.response.body", "body": b""})
        # Without its last message the server ends the connection, and the caller sees that some is missing.
        reply.deals, reply.as_of_us = parts.rows, parts.as_of_us
        if not stream.started:
            # Nobody hears this answer; it ends the request for the server around us.
            raise Refusal(400, "disconnected", "the connection ended before the body was complete")
        self._note(seen, reply, stream.taken, stream.given, answers.bundle_id)
        return reply

    def _note(
        self, seen: Seen, reply: Reply, asked: bytes | _Hash, answered: bytes | _Hash, bundle: str | None
    ) -> None:
        """Tell the ledger what went out: hashes of both bodies, nothing of what stood in them."""
        if self._book is None:
            return
        from forecast.ledger import Served

        self._book.served(
            Served(
                served_at_us=int(self._clock() * 1e6),
                route=seen.route,
                key=seen.key,
                request_id=seen.request_id,
                status=reply.status,
                rows=reply.deals,
                asked_sha256=digest(asked),
                answered_sha256=digest(answered),
                bundle=bundle,
                as_of_us=as_of_us(answered) if isinstance(answered, bytes) else reply.as_of_us,
            )
        )

    async def _read(self, ask: Callable[[], T]) -> T:
        """What the ledger says, asked in a thread; Refusal 503 if it does not answer."""
        try:
            return await anyio.to_thread.run_sync(ask, limiter=self._readers)
        except Refusal:
            raise
        except ForecastError as error:
            _log.error("ledger %s", error.code)
            raise _ledger_away() from None

    def _with_ledger(self) -> Stored:
        if self._stored is None and self._awaited:
            raise _ledger_away()
        if self._stored is None:
            raise Refusal(503, "no_ledger", "this service runs without a ledger and stores nothing")
        return self._stored

    def _let_in(self, headers: Mapping[bytes, bytes | None], seen: Seen) -> Access:
        given = headers.get(b"authorization")
        found = (keys.find(given) for keys in self._keys)
        access = next((access for access in found if access is not None), None)
        if access is None and given and self._awaited:
            raise _ledger_away()  # it may know this key: to say that nobody does would be final
        if access is None:
            challenge = 'Bearer realm="forecast"' + (', error="invalid_token"' if given else "")
            raise Refusal(
                401,
                "unauthorized",
                "send a known key as Authorization: Bearer KEY",
                headers={"www-authenticate": challenge},
            )
        seen.key = access.key
        return access

    def _ready(self) -> Answers:
        if self._answers is None:
            raise Refusal(503, "not_ready", "the service is starting", headers={"retry-after": "5"})
        return self._answers


def _place(fault: Exception) -> str:
    """Where an exception came from: file, line and function of its last frames, without its message."""
    frames = traceback.extract_tb(fault.__traceback__)[-4:]
    return " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))


def _ledger_away() -> Refusal:
    return Refusal(503, "ledger_unavailable", "the ledger does not answer", headers={"retry-after": "5"})


def _bad_method(path: str) -> Refusal:
    allowed = ", ".join(ROUTES[path])
    return Refusal(405, "bad_method", f"this path takes {allowed}", headers={"allow": allowed})


def _accepted(given: bytes | None, media: str) -> str:
    """The form of a bulk answer: the one asked for, else that of the request."""
    for wanted in (given or b"").lower().split(b","):
        name = wanted.partition(b";")[0].strip().decode("latin-1")
        if name in (NDJSON, CSV):
            return name
    return media
