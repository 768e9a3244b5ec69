"""Taking in a body: what it must say about itself, how long it may be, how long it may take."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from forecast.service.refusals import Refusal

__all__ = ["MAX_BODY", "headers_of", "idempotency_key", "media_of", "take_body"]

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

MAX_BODY: Final = 5 * 1024 * 1024
_DRAIN: Final = 10 * MAX_BODY
_IDEMPOTENCY_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")


def headers_of(scope: MutableMapping[str, Any]) -> dict[bytes, bytes | None]:
    """Headers by lower-case name; None for one sent twice, which no header we read may be."""
    found: dict[bytes, bytes | None] = {}
    for name, value in scope["headers"]:
        found[name] = None if name in found else value
    return found


async def take_body(headers: dict[bytes, bytes | None], receive: Receive, seconds: float) -> bytes:
    """The whole body of a JSON request.

    Raises Refusal 413 over MAX_BODY (told by Content-Length, else found while it streams in), 408 if it takes
    longer than `seconds`. What kind of body it is, `media_of` checks before.
    """
    declared = headers.get(b"content-length") or b""
    if declared.isdigit() and int(declared[:20]) > MAX_BODY:
        # A little too much is read and dropped by the server; from far too much we turn away.
        raise _too_large(close=int(declared[:20]) > _DRAIN)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive)
    except TimeoutError:
        raise Refusal(
            408,
            "body_timeout",
            f"the body did not arrive within {seconds:g} seconds",
            headers={"connection": "close"},
        ) from None


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # Nobody hears this answer; it stands in the log, and ends the request for the server around us.
            raise Refusal(400, "disconnected", "the connection ended before the body was complete")
        part = message.get("body", b"")
        size += len(part)
        if size <= MAX_BODY:
            parts.append(part)
        else:
            # Read on without keeping: a caller in the middle of sending would not see an early answer.
            parts.clear()
            if size > _DRAIN:
                raise _too_large(close=True)
        if not message.get("more_body", False):
            break
    if size > MAX_BODY:
        raise _too_large(close=False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(*, close: bool) -> Refusal:
    return Refusal(
        413,
        "body_too_large",
        f"the body is over {MAX_BODY // (1024 * 1024)} MiB; send the deals in parts",
        headers={"connection": "close"} if close else {},
    )


def media_of(headers: dict[bytes, bytes | None], taken: tuple[str, ...]) -> str:
    """The media type of the body, one of `taken`; Refusal 415 for another, for an encoding, for no UTF-8."""
    encoding = headers.get(b"content-encoding", b"identity")
    if encoding is None or encoding.strip().lower() != b"identity":
        raise Refusal(415, "encoded_body", "send the body as it is, without Content-Encoding")
    given = headers.get(b"content-type")
    media, *parameters = (given or b"").lower().split(b";")
    found = next((name for name in taken if name.encode() == media.strip()), None)
    if found is None:
        code = "not_json" if taken == ("application/json",) else "bad_media_type"
        raise Refusal(415, code, f"send Content-Type: {' or '.join(taken)}")
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"charset" and value.strip().strip(b'"') not in (b"utf-8", b"utf8"):
            raise Refusal(415, "bad_charset", "the body is sent as UTF-8")
    return found


def idempotency_key(headers: dict[bytes, bytes | None]) -> str | None:
    """The Idempotency-Key of a request, None without; Refusal 400 for one that is none."""
    if b"idempotency-key" not in headers:
        return None
    given = headers[b"idempotency-key"]
    if given is None or not _IDEMPOTENCY_KEY.fullmatch(given):
        raise Refusal(
            400, "bad_idempotency_key", "expected one Idempotency-Key of 1 to 255 visible ASCII characters"
        )
    return given.decode("ascii")
