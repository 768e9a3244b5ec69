"""What the service writes down: a line for each request, as text or as JSON, and never a value that was sent.

Lines hold routes, counts, times, the public name of a key, the request id and the bundle. A line is one line:
control characters are escaped, whatever a library or an exception puts into a message.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, TextIO

from forecast.errors import UsageError

__all__ = ["LOG", "configure", "form_of", "request_line"]

LOG: Final = "FORECAST_LOG"
Form = Literal["text", "json"]
# Loggers of the server around us: in JSON its lines are JSON, too.
_OTHERS: Final = ("", "bentoml", "uvicorn.error", "circus")


def form_of(environment: Mapping[str, str]) -> Form:
    """The form FORECAST_LOG asks for, text by default; UsageError for another word."""
    named = environment.get(LOG) or "text"
    if named == "text":
        return "text"
    if named == "json":
        return "json"
    raise UsageError(f"{LOG}={named[:20]!r}: expected text or json", code="bad_log_form")


def configure(form: Form, stream: TextIO | None = None) -> None:
    """Send the lines of the service to a stream, standard output by default."""
    log = logging.getLogger("forecast.service")
    formatter = _JsonLines() if form == "json" else _TextLines()
    if not log.handlers:
        log.addHandler(logging.StreamHandler(stream or sys.stdout))
    for handler in log.handlers:
        handler.setFormatter(formatter)
    log.setLevel(logging.INFO)
    log.propagate = False
    if form == "json":
        for name in _OTHERS:
            for handler in logging.getLogger(name).handlers:
                handler.setFormatter(formatter)


def request_line(
    log: logging.Logger,
    *,
    method: str,
    route: str,
    status: int,
    seconds: float,
    size: int,
    deals: int,
    key: str,
    request_id: str,
    bundle: str = "",
    code: str | None = None,
) -> None:
    """Write down that a request was answered.

    route : one of our own, or `other`; size : bytes of the body; key : its public name; bundle : its short id
    """
    fields: dict[str, Any] = {
        "event": "request",
        "method": method,
        "route": route,
        "status": status,
        "ms": round(seconds * 1e3, 1),
        "bytes": size,
        "deals": deals,
        "key": key,
        "request": request_id,
        "bundle": bundle,
    }
    if code:
        fields["code"] = code
    if not log.isEnabledFor(logging.INFO):
        return
    pattern = "%s %s %d %.1fms bytes=%d deals=%d key=%s request=%s%s%s"
    values = (
        method,
        route,
        status,
        fields["ms"],
        size,
        deals,
        key,
        request_id,
        f" bundle={bundle}" if bundle else "",
        f" code={code}" if code else "",
    )
    # `log.info` would look through the stack for the line that called it, which no line of ours tells.
    more = {"fields": fields}
    log.handle(log.makeRecord(log.name, logging.INFO, "", 0, pattern, values, None, extra=more))


class _TextLines(logging.Formatter):
    """`2026-11-25T14:00:00+0000 INFO POST /v1/score 200 2.1ms bytes=1680 ...`."""

    def format(self, record: logging.LogRecord) -> str:
        said = _plain(record.getMessage() + _fault(record))
        return f"{_second(int(record.created))} {record.levelname} {said}"


class _JsonLines(logging.Formatter):
    """One object a line; times in UTC to the millisecond."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] | None = getattr(record, "fields", None)
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": record.process,
            **(fields or {"event": "message", "message": record.getMessage() + _fault(record)}),
        }
        # ASCII only: what a terminal or a reader of lines takes for a command stays letters.
        return json.dumps(line, default=str)


@lru_cache(maxsize=4)
def _second(at_s: int) -> str:
    """The local time of a line, with its zone; many lines share a second."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(at_s))


def _fault(record: logging.LogRecord) -> str:
    """The type of an exception that came with a record; its text may hold what was sent."""
    kind = record.exc_info[0] if record.exc_info else None
    return f" ({kind.__name__})" if kind is not None else ""


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
