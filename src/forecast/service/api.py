"""The ASGI application: every request that reaches the service goes through `Api` and nothing else.

The order at the door: request id, probes, key, route, media type, body, a turn to compute. Whatever goes
wrong leaves as the one error shape; a fault of ours is logged by type and place only, since messages of
exceptions may carry what was sent.
"""

from __future__ import annotations

import logging
import re
import time
import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from forecast.service.intake import headers_of, take_body
from forecast.service.keys import Keys
from forecast.service.logs import request_line
from forecast.service.metrics import CONTENT_TYPE, Metrics
from forecast.service.readiness import Readiness, ready_body
from forecast.service.refusals import Refusal
from forecast.service.strict_json import dumps
from forecast.service.turns import Turns

__all__ = ["PROBES", "ROUTES", "Answers", "Api", "Limits"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PROBES: Final = ("/livez", "/readyz", "/healthz")
ROUTES: Final[dict[str, tuple[str, ...]]] = {
    "/v1/score": ("POST",),
    "/v1/forecast": ("POST",),
    "/v1/model": ("GET", "HEAD"),
    "/metrics": ("GET", "HEAD"),
    "/docs.json": ("GET", "HEAD"),
    **dict.fromkeys(PROBES, ("GET", "HEAD")),
}
_JSON: Final = "application/json"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
_log = logging.getLogger("forecast.service")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on.

    body_seconds : how long a body may take to arrive
    small_waiting, large_waiting : requests that may wait, by size (see `turns`)
    patience_seconds : how long a large one waits before it is sent away
    """

    body_seconds: float = 30.0
    small_waiting: int = 16
    large_waiting: int = 4
    patience_seconds: float = 20.0


class Answers(Protocol):
    """What the application asks of the engine: pure functions of a body and the time, safe in a thread."""

    def score(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/score` and the number of deals in it."""
        ...

    def forecast(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/forecast` and the number of deals in it."""
        ...

    def model(self) -> bytes:
        """Answer of `GET /v1/model`."""
        ...

    def openapi(self) -> bytes:
        """Answer of `GET /docs.json`."""
        ...


@dataclass(slots=True)
class _Reply:
    """An answer about to leave, and what the log will say of it."""

    status: int
    body: bytes
    media: str = _JSON
    headers: dict[str, str] = field(default_factory=dict)
    deals: int = 0
    code: str | None = None


@dataclass(slots=True)
class _Seen:
    """What is known of a request while it is handled."""

    request_id: str
    route: str = "other"
    key: str = "-"
    size: int = 0


class Api:
    """See the module. `open` gives it an engine and keys; until then every probe but /livez answers 503."""

    def __init__(self, *, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> None:
        self._limits = limits or Limits()
        self._clock = clock
        self._answers: Answers | None = None
        self._keys: Keys | None = None
        self._turns = Turns(
            small=self._limits.small_waiting,
            large=self._limits.large_waiting,
            patience_s=self._limits.patience_seconds,
        )
        self._metrics: Metrics | None = None
        self._readiness: Readiness | None = None

    def open(
        self,
        answers: Answers,
        keys: Keys,
        metrics: Metrics | None = None,
        readiness: Readiness | None = None,
    ) -> None:
        """Begin to answer."""
        self._keys = keys
        self._metrics = metrics
        self._readiness = readiness
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
        seen = _Seen(_request_id(headers.get(b"x-request-id")))
        try:
            reply = await self._answer(scope, headers, receive, seen)
        except Refusal as refusal:
            reply = _refuse(refusal, seen)
        except Exception as fault:
            _log.error("request=%s fault=%s at %s", seen.request_id, type(fault).__name__, _place(fault))
            reply = _refuse(Refusal(500, "internal", "the service failed; quote the request id"), seen)
        await _send(reply, seen, send)
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
            code=reply.code,
        )

    async def _answer(
        self, scope: Scope, headers: dict[bytes, bytes | None], receive: Receive, seen: _Seen
    ) -> _Reply:
        path: str = scope["path"]
        methods = ROUTES.get(path)
        if methods is not None:
            seen.route = path
        if path not in PROBES:
            self._let_in(headers, seen)
        if methods is None:
            raise Refusal(404, "not_found", "there is no such path; GET /docs.json lists them")
        if scope["method"] not in methods:
            allowed = ", ".join(methods)
            raise Refusal(405, "bad_method", f"this path takes {allowed}", headers={"allow": allowed})
        if path in ("/livez", "/healthz"):
            return _Reply(200, b'{"status":"alive"}')
        answers = self._ready()
        if path == "/readyz":
            return _Reply(200, ready_body(self._readiness.reasons() if self._readiness else []))
        if path == "/v1/model":
            return _Reply(200, answers.model())
        if path == "/docs.json":
            return _Reply(200, answers.openapi())
        if path == "/metrics":
            return _Reply(200, self._metrics.render() if self._metrics else b"", media=CONTENT_TYPE)
        body = await take_body(headers, receive, self._limits.body_seconds)
        seen.size = len(body)
        now_us = int(self._clock() * 1e6)
        compute = answers.score if path == "/v1/score" else answers.forecast
        answer, deals = await self._turns.run(lambda taken: compute(taken, now_us), body)
        return _Reply(200, answer, deals=deals)

    def _let_in(self, headers: Mapping[bytes, bytes | None], seen: _Seen) -> None:
        given = headers.get(b"authorization")
        key = self._keys.find(given) if self._keys is not None else None
        if key is None:
            challenge = 'Bearer realm="forecast"' + (', error="invalid_token"' if given else "")
            raise Refusal(
                401,
                "unauthorized",
                "send a known key as Authorization: Bearer KEY",
                headers={"www-authenticate": challenge},
            )
        seen.key = key

    def _ready(self) -> Answers:
        if self._answers is None:
            raise Refusal(503, "not_ready", "the service is starting", headers={"retry-after": "5"})
        return self._answers


def _request_id(given: bytes | None) -> str:
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return uuid.uuid4().hex


def _refuse(refusal: Refusal, seen: _Seen) -> _Reply:
    body = dumps(refusal.body(seen.request_id))
    return _Reply(refusal.status, body, headers=refusal.headers, code=refusal.code)


def _place(fault: Exception) -> str:
    """Where an exception came from: file, line and function of its last frames, without its message."""
    frames = traceback.extract_tb(fault.__traceback__)[-4:]
    return " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in reversed(frames))


async def _send(reply: _Reply, seen: _Seen, send: Send) -> None:
    headers = {
        "content-type": reply.media,
        "content-length": str(len(reply.body)),
        "x-request-id": seen.request_id,
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
        **reply.headers,
    }
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": "http.response.body", "body": reply.body})
