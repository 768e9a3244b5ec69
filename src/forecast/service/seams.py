"""What the application asks of others: of the engine that answers, and of the two sides of the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from forecast.access import Access
from forecast.service.streaming import Parts

if TYPE_CHECKING:
    from forecast.ledger import Repeat, Served

__all__ = ["Answers", "Book", "Stored"]


class Answers(Protocol):
    """What the application asks of the engine: pure functions of a body and the time, safe in a thread."""

    @property
    def bundle_id(self) -> str:
        """The id of the bundle that answers."""
        ...

    def score(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/score` and the number of deals in it."""
        ...

    def score_leads(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/leads/score` and the number of leads in it."""
        ...

    def bulk(self, query: bytes, media: str, answer: str, request_id: str, now_us: int) -> Parts:
        """A stream of `POST /v1/score/bulk` from one media type into another."""
        ...

    def forecast(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/forecast` and the number of deals in it."""
        ...

    def model(self) -> bytes:
        """Answer of `GET /v1/model`."""
        ...

    def openapi(self) -> bytes:
        """Answer of `GET /docs.json`."""
        ...


class Stored(Protocol):
    """What is read from the ledger, within the scope of a key. Each raises Refusal; they may wait, so a thread
    asks them.
    """

    def forecast(self, query: Mapping[str, str], access: Access) -> bytes:
        """Answer of `GET /v1/forecast`."""
        ...

    def deal(self, deal_id: str, query: Mapping[str, str], access: Access) -> bytes:
        """Answer of `GET /v1/deals/{deal_id}`."""
        ...

    def judge(self, deal_id: str, body: bytes, access: Access, now_us: int) -> bytes:
        """Answer of `POST /v1/deals/{deal_id}/judgements`."""
        ...


class Book(Protocol):
    """What the ledger keeps of what was asked; see `forecast.ledger.Ledger`."""

    def idempotent(self, key: str, idempotency_key: str, body_digest: str, *, now_us: int) -> Repeat | None:
        """Claim an Idempotency-Key; None if it is new."""
        ...

    def answered(self, key: str, idempotency_key: str, status: int, body: bytes) -> None:
        """Keep the answer of a claimed one."""
        ...

    def released(self, key: str, idempotency_key: str) -> None:
        """Give up a claim whose request came to nothing."""
        ...

    def served(self, entry: Served) -> None:
        """Note what went out; returns at once."""
        ...
