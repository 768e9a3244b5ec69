"""Answers on their way out: their head, their body, and what the ledger notes of them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from forecast.service.refusals import Refusal
from forecast.service.strict_json import dumps
from forecast.service.values import moment_us

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = [
    "JSON",
    "Reply",
    "Seen",
    "Send",
    "as_of_us",
    "digest",
    "refuse",
    "request_id",
    "send_reply",
    "start_reply",
]

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON: Final = "application/json"
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._\-]{1,64}")
# As our own encoder writes it near the beginning of an answer.
_AS_OF: Final = re.compile(rb'"as_of":"([^"]{1,40})"')
_HEAD: Final = 512
# Headers of every answer, and of the last one of a connection.
_ALWAYS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))
_CLOSE: Final = ((b"connection", b"close"),)


@dataclass(slots=True)
class Reply:
    """An answer about to leave, and what the log will say of it."""

    status: int
    body: bytes
    media: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    deals: int = 0
    code: str | None = None
    sent: bool = False
    as_of_us: int | None = None


@dataclass(slots=True)
class Seen:
    """What is known of a request while it is handled."""

    request_id: str
    route: str = "other"
    key: str = "-"
    bundle: str = ""
    size: int = 0


def request_id(given: bytes | None) -> str:
    """The caller's own if it may stand in a log, else a new one."""
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return os.urandom(16).hex()


def refuse(refusal: Refusal, seen: Seen) -> Reply:
    """The answer that tells of a refusal."""
    body = dumps(refusal.body(seen.request_id))
    return Reply(refusal.status, body, headers=refusal.headers, code=refusal.code)


def digest(body: bytes | _Hash) -> str:
    """The hash of a body, or that of a stream which was taken as its parts went by."""
    return (hashlib.sha256(body) if isinstance(body, bytes) else body).hexdigest()


def as_of_us(answer: bytes) -> int | None:
    """The as-of moment an answer names."""
    found = _AS_OF.search(answer, 0, _HEAD)
    return None if found is None else int(moment_us(found[1].decode()))


async def start_reply(reply: Reply, seen: Seen, send: Send, *, last: bool = False) -> None:
    """Send the head of an answer; without a length for a stream. The `last` one ends its connection."""
    length = () if reply.sent else ((b"content-length", b"%d" % len(reply.body)),)
    await send(
        {
            "type": "http.response.start",
            "status": reply.status,
            "headers": [
                (b"content-type", reply.media.encode()),
                *length,
                (b"x-request-id", seen.request_id.encode()),
                *_ALWAYS,
                *((name.encode(), value.encode()) for name, value in reply.headers.items()),
                *(_CLOSE if last else ()),
            ],
        }
    )


async def send_reply(reply: Reply, seen: Seen, send: Send, *, body: bool, last: bool) -> None:
    """Send a whole answer, or its head alone."""
    await start_reply(reply, seen, send, last=last)
    await send({"type": "http.response.body", "body": reply.body if body else b""})
