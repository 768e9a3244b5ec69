"""Ask the application in process, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import httpx

from forecast.service.api import Answers, Api
from forecast.service.hosts import Hosts
from forecast.service.keys import Keys

__all__ = ["KEY", "NOW_US", "ask", "opened", "slices"]

KEY: Final = "a-key-of-this-test"
NOW_US: Final = 1_767_225_600_000_000


def opened(answers: Answers, *lines: str, **more: Any) -> Api:
    """The application over an engine, at the first instant of 2026; `lines` are those of a key file."""
    api = Api(clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(answers, Keys.of(lines or [KEY], "test"), **more)
    return api


def ask(api: Api, method: str, path: str, *, key: str = KEY, **more: Any) -> httpx.Response:
    """One request."""
    headers = {"authorization": f"Bearer {key}", **more.pop("headers", {})}

    async def once() -> httpx.Response:
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
            return await http.request(method, path, headers=headers, **more)

    return asyncio.run(once())


async def slices(data: bytes, sizes: Iterable[int]) -> AsyncIterator[bytes]:
    """A body in pieces of given sizes, then the rest."""
    for size in sizes:
        piece, data = data[:size], data[size:]
        if piece:
            yield piece
    yield data
