"""What can go wrong between a caller and the service."""

from __future__ import annotations

from typing import Any

from forecast.errors import DataError, UnavailableError

__all__ = ["BrokenStreamError", "RefusedError", "UnreachableError"]


class RefusedError(DataError):
    """The service answered, and not with what was asked for.

    status : of HTTP; code : stable, decide by it; field, row : where in the request, None for the whole
    retry_after_seconds : when to come back, None if that will not help
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        row: int | None = None,
        request_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        place = "".join(
            (f" in row {row}" if row is not None else "", f", {field}" if field is not None else "")
        )
        super().__init__(f"{code} ({status}){place}: {message}", code=code)
        self.status = status
        self.field = field
        self.row = row
        self.request_id = request_id
        self.retry_after_seconds = retry_after_seconds

    @classmethod
    def of(cls, status: int, error: dict[str, Any], retry_after_seconds: float | None = None) -> RefusedError:
        """From the error shape of an answer or of a row."""
        return cls(
            status,
            str(error.get("code", "unknown")),
            str(error.get("message", "")),
            field=error.get("field"),
            row=error.get("row"),
            request_id=error.get("request_id"),
            retry_after_seconds=retry_after_seconds,
        )


class UnreachableError(UnavailableError):
    """No answer: nobody listens, the connection broke twice, or the time was over."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="unreachable")


class BrokenStreamError(UnavailableError):
    """A bulk answer ended before its end. Rows read so far hold; the others are not known."""

    def __init__(self, message: str) -> None:
        super().__init__(message, code="broken_stream")
