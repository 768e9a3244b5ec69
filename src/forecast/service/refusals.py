"""A request that is not answered with 200: one exception, one JSON shape."""

from __future__ import annotations

from typing import Any, Final

from forecast.errors import DataError

__all__ = ["CODES", "Invalid", "Refusal"]

# Status -> what it means to a caller and whether trying again can help (docs/http.md prints this table).
CODES: Final[dict[int, str]] = {
    400: "The request breaks the contract; code, field and row say where. Sending it again will not help.",
    401: "No key, or one that is not known.",
    403: "The key's role may not use this path.",
    404: "There is no such path, or nothing of that name that this key may see.",
    405: "The path does not take this method; the Allow header names those it takes.",
    408: "The body did not arrive in time.",
    409: "It does not fit what is there: the Idempotency-Key came before with another request or is still "
    "being answered, or the bundle in use cannot score leads.",
    413: "The body or the number of deals is over the limit; send it in parts.",
    415: "The body is not plain UTF-8 of the media type this path takes.",
    421: "The service does not answer to the name in the Host header.",
    429: "Too many requests are waiting, or the key has used up its rows; try again after the seconds in "
    "Retry-After.",
    500: "A fault of the service, logged under the request id.",
    503: "Not ready, busy with large requests, or without the ledger this path reads; with a Retry-After try "
    "again after that many seconds.",
}


class Refusal(DataError):  # noqa: N818  an answer as much as an error
    """Why a request is refused.

    `message` is for a person and never repeats what was sent; `field` is a path such as `amount` or
    `events[3].recorded_at`; `row` is the place, from 0, in the list the field belongs to.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        field: str | None = None,
        row: int | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.status = status
        self.field = field
        self.row = row
        self.headers = headers or {}

    def body(self, request_id: str) -> dict[str, Any]:
        """The error shape of the contract."""
        return {
            "error": {
                "code": self.code,
                "message": self.message,
                "field": self.field,
                "row": self.row,
                "request_id": request_id,
            }
        }


class Invalid(Exception):  # noqa: N818  a verdict on one value; the caller who knows the place makes it a Refusal
    """One value is not what its field takes. `place` is the path inside it, e.g. `[3].value`."""

    def __init__(self, code: str, reason: str, place: str = "") -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.place = place

    def inside(self, place: str) -> Invalid:
        """The same verdict, seen from one level further out."""
        return Invalid(self.code, self.reason, f"{place}{self.place}")

    def refusal(self, field: str | None, row: int | None) -> Refusal:
        """The verdict as an answer."""
        path = f"{field or ''}{self.place}".strip(".") or None
        return Refusal(400, self.code, self.reason, field=path, row=row)
