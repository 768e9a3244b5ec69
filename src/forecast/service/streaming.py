"""A stream through the application: as fast as both sides allow, never more of it in memory than a part.

The next part is read only when the last one was answered and taken, so a slow reader slows its own sender. Each
part waits for its turn among the large requests, and a caller who went away is noticed before every part.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from forecast.access import Access
from forecast.service.rate import Rate
from forecast.service.refusals import Refusal
from forecast.service.turns import Turns

__all__ = ["Parts", "Stream"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

# Rows that are there wait this long for more to come before they are computed.
_LINGER_S: Final = 0.5
# A stream holds one of few places. Whoever sends, and takes, less than ten rows a second in all may be waited
# for no longer than a caller who sends nothing.
_WAIT_A_ROW_S: Final = 0.1


class Parts(Protocol):
    """What a stream computes; see `forecast.service.bulk.Bulk`."""

    answer: str
    rows: int

    @property
    def as_of_us(self) -> int: ...

    @property
    def pending(self) -> int: ...

    @property
    def full(self) -> bool: ...

    def feed(self, data: bytes, *, last: bool = False) -> None: ...

    def take(self) -> list[Any]: ...

    def compute(self, part: list[Any]) -> bytes: ...

    def finish(self) -> bytes: ...

    def broken(self, refusal: Refusal) -> bytes: ...


class _GoneError(Exception):
    """The caller went away."""


@dataclass
class Stream:
    """One stream on its way.

    start : sends the head of the answer; send : sends bytes of its body
    idle_s : how long a row may take to arrive, and an answer to be taken; and how long the caller may be waited
        for in all, beside a tenth of a second for each row
    """

    parts: Parts
    receive: Receive
    start: Callable[[], Awaitable[None]]
    send: Callable[[bytes], Awaitable[None]]
    turns: Turns
    rate: Rate
    access: Access
    idle_s: float
    size: int = 0
    started: bool = False
    taken: Any = field(default_factory=hashlib.sha256)
    given: Any = field(default_factory=hashlib.sha256)
    _waited_s: float = 0.0
    _ended: bool = False
    _broken: Refusal | None = None
    _next: asyncio.Future[Message] | None = None

    async def run(self) -> str | None:
        """Answer the whole stream; None if it was, else the code of what broke it.

        Until the head of the answer is sent, a Refusal is raised; from then on it is told as the last line.
        """
        try:
            while self._goes_on or self.parts.pending:
                await self._gather()
                if self.parts.pending:
                    await self._answer_part()
            if self._broken is not None:
                raise self._broken
            await self._write(self.parts.finish())
        except Refusal as refusal:
            if not self.started:
                raise
            await self._write(self.parts.broken(refusal))
            return refusal.code
        except _GoneError:
            return "disconnected"
        finally:
            if self._next is not None:
                self._next.cancel()
        return None

    @property
    def _goes_on(self) -> bool:
        return not self._ended and self._broken is None

    async def _gather(self) -> None:
        """Read until there is a part to compute, or nothing has come for a while."""
        deadline = asyncio.get_running_loop().time() + self.idle_s
        while self._goes_on and not self.parts.full:
            left = deadline - asyncio.get_running_loop().time()
            message = await self._message(min(_LINGER_S, left) if self.parts.pending else left)
            if message is None:
                if self.parts.pending:
                    return
                raise Refusal(
                    408,
                    "body_timeout",
                    f"no row arrived within {self.idle_s:g} seconds",
                    headers={"connection": "close"},
                )
            data = message.get("body", b"")
            self.size += len(data)
            self.taken.update(data)
            self._ended = not message.get("more_body", False)
            try:
                self.parts.feed(data, last=self._ended)
            except Refusal as refusal:
                # What came before it is answered first.
                self._broken = refusal

    async def _answer_part(self) -> None:
        while (wait_s := self.rate.wait_seconds(self.access)) > 0:
            await asyncio.sleep(min(wait_s, 1.0))
            self._still_there()
        self._still_there()
        part = self.parts.take()
        answer = await self.turns.part(self.parts.compute, part)
        self.rate.charge(self.access, len(part))
        self._still_there()
        await self._write(answer)

    async def _write(self, data: bytes) -> None:
        if not self.started:
            await self.start()
            self.started = True
        self.given.update(data)
        try:
            with self._waiting():
                async with asyncio.timeout(self.idle_s):
                    await self.send(data)
        except TimeoutError:
            raise _GoneError from None

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """What is done here is up to the caller: count how long it takes."""
        start_s = time.monotonic()
        try:
            yield
        finally:
            self._waited_s += time.monotonic() - start_s

    async def _message(self, seconds: float) -> Message | None:
        """The next message of the server, None if none comes in time; the wait for it goes on."""
        if self._next is None:
            self._next = asyncio.ensure_future(self.receive())
        with self._waiting():
            await asyncio.wait({self._next}, timeout=max(0.0, seconds))
        if self._waited_s > self.idle_s + _WAIT_A_ROW_S * self.parts.rows:
            raise Refusal(
                408,
                "body_timeout",
                f"rows came, or were taken, at less than {1 / _WAIT_A_ROW_S:.0f} a second",
                headers={"connection": "close"},
            )
        if not self._next.done():
            return None
        message, self._next = self._next.result(), None
        if message["type"] == "http.disconnect":
            raise _GoneError
        return message

    def _still_there(self) -> None:
        """Raise if the caller went away. After the body, all that can still come is that they did."""
        if not self._ended:
            return
        if self._next is None:
            self._next = asyncio.ensure_future(self.receive())
        elif self._next.done():
            raise _GoneError
