"""The client that measures servers: what it asks again, and what it does not."""

from __future__ import annotations

import asyncio

import pytest

from benchmarks.asking import Client, request_bytes

LATER = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
NEVER = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n"
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Server(asyncio.Protocol):
    """Gives the next answer to whatever comes."""

    def __init__(self, left: list[bytes]) -> None:
        self._left = left

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert data
        self._transport.write(self._left.pop(0))


def asked(answers: list[bytes], *, comes_back: bool) -> tuple[int, bool, int]:
    """Status, whether it was asked again, and how many answers were left."""
    left = list(answers)

    async def run() -> tuple[int, bool]:
        server = await asyncio.get_running_loop().create_server(lambda: Server(left), "127.0.0.1", 0)
        client = Client(server.sockets[0].getsockname()[1], comes_back=comes_back)
        status, _, _, retried = await client.ask(request_bytes("/v1/score", b"{}"))
        client.close()
        server.close()
        await asyncio.sleep(0)
        return status, retried

    return (*asyncio.run(run()), len(left))


@pytest.mark.parametrize(
    ("answers", "comes_back", "found"),
    [
        ([GOOD], True, (200, False, 0)),
        ([LATER, GOOD], True, (200, True, 0)),
        ([LATER, LATER, GOOD], True, (429, True, 1)),
        ([LATER, GOOD], False, (429, False, 1)),
        ([NEVER, GOOD], True, (429, False, 1)),
    ],
)
def test_who_is_told_when_to_come_back_does_so_once(
    answers: list[bytes], comes_back: bool, found: tuple[int, bool, int]
) -> None:
    assert asked(answers, comes_back=comes_back) == found
