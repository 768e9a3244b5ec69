"""Requests as a CRM sends them, and a client that is cheap enough to measure servers with.

`Client` keeps connections open and answers with status, headers and body; a connection that breaks is opened
anew. `closed_loop` asks as fast as answers come, `open_loop` at planned moments whatever the server does: there
a time counts from the moment a request was due, so that a server that stalls is charged for everybody it kept
waiting.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import re
import time
from collections.abc import Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from forecast.history import OPEN, StageMap

__all__ = [
    "Answered",
    "Client",
    "Due",
    "closed_loop",
    "open_loop",
    "poisson",
    "request_bytes",
    "run",
    "sent_deals",
]

T = TypeVar("T")
_TIMER_SECONDS: Final = 0.002
_RETRY_AFTER: Final = re.compile(rb"\r\nretry-after: *(\d+)\r\n", re.IGNORECASE)
AS_OF: Final = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def sent_deals(stages: StageMap, pipeline: str, number: int, seed: int) -> list[dict[str, Any]]:
    """Open deals, no two alike: 8 events, 10 activities and two custom attributes each."""
    pick = random.Random(seed)  # noqa: S311  invented deals
    names = [
        stages.stage[at]
        for at in range(len(stages))
        if stages.pipeline[at] == pipeline and stages.kind[at] == OPEN
    ]
    return [_deal(pick, names, f"D-{seed}-{place:05d}") for place in range(number)]


def _deal(pick: random.Random, stages: list[str], deal_id: str) -> dict[str, Any]:
    age_days = pick.uniform(5, 200)
    created = AS_OF - dt.timedelta(days=age_days)
    first, *later = sorted(created + dt.timedelta(days=pick.uniform(0, age_days * 0.98)) for _ in range(4))
    owner = f"U-{pick.randrange(40)}"
    events = [
        ("stage", stages[0], created),
        ("owner_id", owner, created),
        ("amount", round(pick.lognormvariate(9.5, 1.0), 2), created),
        ("expected_close_on", f"{created + dt.timedelta(days=pick.randrange(30, 150)):%Y-%m-%d}", created),
        ("stage", stages[min(1, len(stages) - 1)], first),
        ("need", pick.choice([0, 0.5, 1]), later[0]),
        ("forecast_category", pick.choice(["commit", "best_case", "pipeline"]), later[1]),
        ("expected_close_on", f"{AS_OF + dt.timedelta(days=pick.randrange(-10, 150)):%Y-%m-%d}", later[2]),
    ]
    activities = [
        {
            "occurred_at": _iso(created + dt.timedelta(days=pick.uniform(0, age_days * 0.99))),
            "kind": pick.choice(["call", "email", "meeting", "note"]),
            "direction": pick.choice(["in", "out"]),
        }
        for _ in range(10)
    ]
    return {
        "deal_id": deal_id,
        "created_at": _iso(created),
        "account_id": f"A-{pick.randrange(300)}",
        "source": pick.choice(["referral", "inbound", "outbound"]),
        "motion": pick.choice(["new", "renewal"]),
        "industry": pick.choice(["retail", "health", "it"]),
        "region": pick.choice(["IT", "DE"]),
        "events": [{"field": name, "value": value, "recorded_at": _iso(at)} for name, value, at in events],
        "activities": activities,
    }


def _iso(at: dt.datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"


def request_bytes(
    path: str, body: bytes, key: str | None = None, method: str = "POST", media: str = "application/json"
) -> bytes:
    """A whole HTTP request, ready to be written."""
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{authorization}"
        f"Content-Type: {media}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Due:
    """A request and when it is due, in seconds after the start; `kind` is the caller's own."""

    at_s: float
    request: bytes
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a request. `status` is 0 if no answer came, not even to its retry.

    seconds : since it was due (open loop) or sent (closed loop); retried : sent a second time, because the
        connection broke or, if the client comes back, because it was told when to
    """

    kind: str
    at_s: float
    seconds: float
    status: int
    headers: bytes
    body: bytes
    retried: bool


class _Connection(asyncio.Protocol):
    """One HTTP/1.1 connection, one request at a time."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._waiting: asyncio.Future[tuple[int, bytes, bytes]] | None = None
        self._data = bytearray()
        self._body_at = -1
        self._end = -1
        self._chunked = False
        self.is_open = False

    def connection_made(self, transport: Any) -> None:
        self._transport, self.is_open = transport, True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error or ConnectionResetError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._body_at < 0:
            head_end = self._data.find(b"\r\n\r\n")
            if head_end < 0:
                return
            head = bytes(self._data[:head_end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            self._chunked = b"transfer-encoding: chunked" in head
            self._body_at, self._end = head_end + 4, head_end + 4 + length
        if self._waiting is None or self._waiting.done() or not self._is_complete():
            return
        end = len(self._data) if self._chunked else self._end
        head, body = bytes(self._data[: self._body_at]), bytes(self._data[self._body_at : end])
        self._data.clear()
        self._body_at = -1
        if b"connection: close" in head.lower():
            self.close()
        self._waiting.set_result((int(head[9:12]), head, body))

    def _is_complete(self) -> bool:
        if self._chunked:  # the body is told as it came, with the sizes of its chunks
            return self._data.endswith(b"\r\n0\r\n\r\n")
        return len(self._data) >= self._end

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, bytes, bytes]]:
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._waiting

    def close(self) -> None:
        self.is_open = False
        if self._transport is not None:
            self._transport.close()


class Client:
    """Kept connections to one server on the loopback address.

    comes_back : ask again after the seconds in Retry-After, as clients of a CRM do; else such an answer is
        the answer
    """

    def __init__(self, port: int, *, comes_back: bool = False) -> None:
        self._port = port
        self._comes_back = comes_back
        self._free: list[_Connection] = []

    async def ask(self, request: bytes, *, retries: int = 1) -> tuple[int, bytes, bytes, bool]:
        """Status, headers and body of the answer, and whether the request was sent again.

        A request is sent again at most `retries` times, and only if its connection broke, which cannot be told
        from a worker that died, or if it was told when to come back. Status 0 if it broke each time.
        """
        for attempt in range(retries + 1):
            try:
                connection = await self._connection(fresh=attempt > 0)
                status, head, body = await asyncio.wait_for(connection.ask(request), 60)
            except (OSError, TimeoutError):
                if attempt:
                    await asyncio.sleep(0.05)
                continue
            if connection.is_open:
                self._free.append(connection)
            told = _RETRY_AFTER.search(head) if self._comes_back and attempt < retries else None
            if status in (429, 503) and told:
                await asyncio.sleep(int(told[1]))
                continue
            return status, head, body, attempt > 0
        return 0, b"", b"", True

    async def _connection(self, *, fresh: bool) -> _Connection:
        while self._free and not fresh:
            connection = self._free.pop()
            if connection.is_open:
                return connection
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return made

    def close(self) -> None:
        """Close what is open."""
        while self._free:
            self._free.pop().close()


def run(asked: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine, on the event loop that costs least."""
    try:  # no wheels for Windows
        from uvloop import new_event_loop
    except ImportError:
        return asyncio.run(asked)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(asked)


async def closed_loop(client: Client, requests: list[bytes], workers: int, seconds: float) -> list[Answered]:
    """Ask with `workers` connections, each as soon as it has its answer, for so many seconds."""
    start = time.perf_counter()
    found: list[Answered] = []

    async def one(place: int) -> None:
        # One after the other: a worker that sleeps would take all connections that come at once.
        await asyncio.sleep(0.01 * place)
        while (sent := time.perf_counter()) - start < seconds:
            status, head, body, retried = await client.ask(requests[place % len(requests)])
            took = time.perf_counter() - sent
            found.append(Answered("", sent - start, took, status, head, body, retried))
            place += workers

    await asyncio.gather(*(one(place) for place in range(workers)))
    return found


def poisson(rate: float, seconds: float, seed: int) -> Iterator[float]:
    """Moments of independent requests, `rate` of them a second on average."""
    pick = random.Random(seed)  # noqa: S311  a load, not a secret
    at_s = pick.expovariate(rate)
    while at_s < seconds:
        yield at_s
        at_s += pick.expovariate(rate)


async def open_loop(client: Client, due: Iterable[Due], start: float | None = None) -> list[Answered]:
    """Send each request when it is due, whether or not earlier ones were answered; `due` in order of time."""
    start = time.perf_counter() if start is None else start
    found: list[Answered] = []
    running: set[asyncio.Task[None]] = set()

    async def one(planned: Due) -> None:
        status, head, body, retried = await client.ask(planned.request)
        late = time.perf_counter() - start - planned.at_s
        found.append(Answered(planned.kind, planned.at_s, late, status, head, body, retried))

    for planned in due:
        # Timers of an event loop are good to a millisecond, half of what is measured: the rest is waited out.
        while (wait := start + planned.at_s - time.perf_counter()) > 0:
            await asyncio.sleep(max(wait - _TIMER_SECONDS, 0.0))
        task = asyncio.create_task(one(planned))
        running.add(task)
        task.add_done_callback(running.discard)
    if running:
        await asyncio.gather(*running)
    return found
