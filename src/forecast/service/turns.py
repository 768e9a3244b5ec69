"""Who computes when: small requests at once, large ones one by one beside them, too many are sent away.

A request takes its turn only after its body has arrived, so a slow sender holds up nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from forecast.service.refusals import Refusal

__all__ = ["SMALL_BODY", "Turns"]

T = TypeVar("T")
P = TypeVar("P")

# Up to here (about ten deals) a request is computed on the event loop itself: a thread would cost more than
# it saves. Beyond, it runs in one worker thread, and probes and small requests go on meanwhile.
SMALL_BODY: Final = 32 * 1024


@dataclass
class _Lane:
    """A queue with a bound: `waiting` counts those in turn and those before it."""

    bound: int
    retry_after_s: int
    waiting: int = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place in the queue; Refusal 429 if there is none."""
        if self.waiting >= self.bound:
            raise Refusal(
                429,
                "too_many_requests",
                "too many requests are waiting; try again later",
                headers={"retry-after": str(self.retry_after_s)},
            )
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1


class Turns:
    """Two lanes of one process; see the module.

    patience_s : how long a large request waits for its turn
    streams : how many streams may be on their way at once; each of their parts is a large request
    """

    def __init__(
        self, *, small: int = 16, large: int = 4, patience_s: float = 30.0, streams: int = 2
    ) -> None:
        self._small = _Lane(small, retry_after_s=1)
        self._large = _Lane(large, retry_after_s=3)
        self._streams = _Lane(streams, retry_after_s=10)
        self._large_turn = asyncio.Lock()
        self._patience_s = patience_s
        self._thread = CapacityLimiter(1)

    @property
    def waiting(self) -> dict[str, int]:
        """How many requests are in turn or before it, by lane."""
        return {"small": self._small.waiting, "large": self._large.waiting}

    async def run(self, work: Callable[[bytes], T], body: bytes) -> T:
        """The result of `work(body)`; Refusal 429 or 503 with Retry-After if others take too long."""
        if len(body) > SMALL_BODY:
            return await self._run_large(work, body)
        with self._small.place():
            # Requests that arrived together must all be counted before the first one computes. They do so in
            # one turn of the event loop, at most `small` of them, and whoever came meanwhile is looked at then.
            await asyncio.sleep(0)
            return work(body)

    async def _run_large(self, work: Callable[[bytes], T], body: bytes) -> T:
        with self._large.place():
            try:
                async with asyncio.timeout(self._patience_s):
                    await self._large_turn.acquire()
            except TimeoutError:
                raise Refusal(
                    503,
                    "busy",
                    "larger requests than usual are being worked on; try again later",
                    headers={"retry-after": str(self._large.retry_after_s)},
                ) from None
            try:
                return await anyio.to_thread.run_sync(work, body, limiter=self._thread)
            finally:
                self._large_turn.release()

    def stream(self) -> AbstractContextManager[None]:
        """A place among the streams; Refusal 429 if there is none."""
        return self._streams.place()

    async def part(self, work: Callable[[P], T], taken: P) -> T:
        """The result of `work` on a part of a stream, in turn with the large requests, however long."""
        async with self._large_turn:
            return await anyio.to_thread.run_sync(work, taken, limiter=self._thread)
