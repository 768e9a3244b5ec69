"""One connection to the service: requests with patience, and streams that are read while they are sent."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from forecast.client.errors import BrokenStreamError, RefusedError, UnreachableError
from forecast.errors import UsageError

__all__ = ["Connection"]

_PATIENCE_S: Final = 60.0
_PIECE: Final = 64 * 1024


class Connection:
    """See the module. Threads may not share one."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout_seconds: float,
        attempts: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError("expected a URL such as https://forecast.example.com", code="bad_url")
        if not key.isascii() or not key.isprintable() or not key or " " in key:
            raise UsageError("expected a key of visible ASCII characters", code="bad_key")
        self._parts = parts
        self._base = parts.path.rstrip("/")
        self._key = key
        self._timeout_seconds = timeout_seconds
        self._attempts = attempts
        self._sleep = sleep
        self._open: http.client.HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def ask(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, repeatable: bool
    ) -> Any:
        """The JSON of a 200 answer.

        repeatable : whether it may be sent once more after the connection was lost: what only computes or
            reads, or names an Idempotency-Key
        Waits and asks again where the service says when (429, 503 with Retry-After), `attempts` times in all.
        Raises RefusedError, UnreachableError.
        """
        for attempt in range(1, self._attempts + 1):
            status, answer, retry_after_s = self._sent(method, path, body, headers, repeatable=repeatable)
            if status == 200:
                return json.loads(answer)
            refused = _refused(status, answer, retry_after_s)
            if status not in (429, 503) or retry_after_s is None or attempt == self._attempts:
                raise refused
            self._sleep(min(retry_after_s, _PATIENCE_S))
        raise AssertionError("attempts are at least 1")

    def stream(self, path: str, pieces: Iterable[bytes], headers: Mapping[str, str]) -> Iterator[bytes]:
        """Pieces of a 200 answer, read while `pieces` are sent by a thread.

        The service reads no further than it may answer, so who sends everything before reading would wait for
        ever. Raises RefusedError before the first piece, BrokenStreamError if the answer ends before its time.
        """
        connection = self._connected()
        sender = threading.Thread(target=lambda: None)
        failed: list[Exception] = []
        try:
            connection.putrequest("POST", self._base + path)
            for name, value in {**self._headers(), **headers, "Transfer-Encoding": "chunked"}.items():
                connection.putheader(name, value)
            connection.endheaders()
            sender = threading.Thread(target=_send, args=(connection, pieces, failed), daemon=True)
            sender.start()
            response = connection.getresponse()
            if response.status != 200:
                raise _refused(response.status, response.read(), _retry_after_s(response))
            while piece := response.read1(_PIECE):
                yield piece
        except (OSError, http.client.HTTPException) as error:
            if failed:
                raise failed[0] from None
            raise BrokenStreamError(
                f"the connection ended in the middle of the answer ({type(error).__name__})"
            ) from None
        finally:
            # Whatever became of it, this connection carries no other request.
            _shut(connection)
            sender.join(self._timeout_seconds)
            connection.close()

    def _sent(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], *, repeatable: bool
    ) -> tuple[int, bytes, float | None]:
        """Status, body and Retry-After; once more on a new connection if this one was lost."""
        lost: Exception | None = None
        for _ in range(2 if repeatable else 1):
            if self._open is None:
                self._open = self._connected()
            try:
                self._open.request(method, self._base + path, body, {**self._headers(), **headers})
                response = self._open.getresponse()
                answer = response.read()
                return response.status, answer, _retry_after_s(response)
            except (OSError, http.client.HTTPException) as error:
                lost = error
                self.close()
        place = f"{self._parts.scheme}://{self._parts.netloc}"
        raise UnreachableError(f"{place} does not answer ({type(lost).__name__})") from None

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        made: http.client.HTTPConnection
        if self._parts.scheme == "https":
            context = ssl.create_default_context()
            made = http.client.HTTPSConnection(host, port, timeout=self._timeout_seconds, context=context)
        else:
            made = http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)
        try:
            made.connect()
        except OSError as error:
            place = f"{self._parts.scheme}://{self._parts.netloc}"
            raise UnreachableError(f"{place} cannot be reached ({type(error).__name__})") from None
        made.auto_open = 0
        return made

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._key}"}


def _send(connection: http.client.HTTPConnection, pieces: Iterable[bytes], failed: list[Exception]) -> None:
    """Send a body in chunks. One that stops reading says why; `failed` gets a fault of the caller."""
    try:
        for piece in pieces:
            if piece:
                _send_piece(connection, b"%x\r\n%b\r\n" % (len(piece), piece))
        _send_piece(connection, b"0\r\n\r\n")
    except _StoppedError:
        return
    except Exception as error:
        failed.append(error)
        _shut(connection)


class _StoppedError(Exception):
    """The service takes no more."""


def _send_piece(connection: http.client.HTTPConnection, piece: bytes) -> None:
    try:
        connection.send(piece)
    except (OSError, http.client.HTTPException):
        raise _StoppedError from None


def _shut(connection: http.client.HTTPConnection) -> None:
    """Wake whoever waits on the connection, in whichever thread."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _refused(status: int, answer: bytes, retry_after_s: float | None) -> RefusedError:
    try:
        error = json.loads(answer)["error"]
        return RefusedError.of(status, error, retry_after_s)
    except (ValueError, KeyError, TypeError, AttributeError):
        # Not ours: a proxy in between.
        return RefusedError(
            status, f"http_{status}", "no answer of the service", retry_after_seconds=retry_after_s
        )


def _retry_after_s(response: http.client.HTTPResponse) -> float | None:
    text = response.getheader("Retry-After")
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
