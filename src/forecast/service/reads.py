"""Answers from the ledger: published forecasts, a deal with its past, and what a manager says of it.

    query, key's scope -- Reads --> rows in scope -- JSON --> bytes

What lies outside the scope of a key is answered like what does not exist: same query, same bytes.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from forecast.access import Access
from forecast.errors import ForecastError, UsageError
from forecast.language import LOCALES
from forecast.ledger import DealRecord, Judgement, Ledger, SnapshotRow
from forecast.periods import Period
from forecast.service.encoding import moment
from forecast.service.refusals import Invalid, Refusal
from forecast.service.strict_json import dumps, loads
from forecast.service.values import amount, choice, day, identifier, moment_us, only, optional

__all__ = ["CATEGORIES", "LEVELS", "Reads"]

LEVELS: Final = ("company", "region", "team", "user")
CATEGORIES: Final = ("commit", "best_case", "pipeline", "omitted")
_MOST_NOTE: Final = 2_000
_SNAPSHOT: Final = re.compile(r"[0-9a-f]{12,64}")
# Line breaks are meant in a note; other control characters and halves of surrogate pairs are not.
_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_FORECAST: Final = (
    "period", "level", "entity", "booked", "open", "arrivals", "expected", "p10", "p50", "p90", "quota",
    "attainment_probability", "gap", "pipeline_open_amount", "coverage_needed",
)  # fmt: skip
_HORIZONS: Final = (14, 30, 60, 90, 180, 365)
_DEAL: Final = (
    "deal_id", "pipeline", "owner_id", "team", "region", "stage", "amount", "win_probability",
    *(f"won_{h}d" for h in _HORIZONS), *(f"lost_{h}d" for h in _HORIZONS), "won_in_period",
    "close_on_p10", "close_on_p50", "close_on_p90", "amount_if_won", "expected_bookings", "score", "grade",
)  # fmt: skip
_PAST: Final = (
    "stage", "owner_id", "amount", "win_probability", "won_30d", "won_90d", "won_in_period", "close_on_p50",
    "amount_if_won", "expected_bookings", "score", "grade",
)  # fmt: skip
_JUDGEMENT: Final = ("forecast_category", "amount", "expected_close_on", "note")


class Reads:
    """Answers of the routes that read and judge. Safe in threads; every call asks the ledger once.

    clock : seconds since 1970, for the age of data
    """

    def __init__(self, ledger: Ledger, clock: Callable[[], float] = time.time) -> None:
        self._ledger = ledger
        self._clock = clock

    def forecast(self, query: Mapping[str, str], access: Access) -> bytes:
        """Answer of `GET /v1/forecast`.

        query : period; level (company, region, team or user; default company), entity, and one of as_of
            (the latest snapshot of that moment or before) and snapshot (its id, or the first 12 digits or more)
        Raises Refusal: 400 for a query that breaks this, 404 if no snapshot has the period or the entity is
        not there or not in scope, 503 if the ledger does not answer.
        """
        asked = _checked(
            query,
            period=_period,
            level=choice(LEVELS),
            entity=identifier,
            as_of=moment_us,
            snapshot=_snapshot,
        )
        if asked["period"] is None:
            raise Refusal(400, "missing", "is required, e.g. period=2026Q1", field="period")
        if asked["as_of"] is not None and asked["snapshot"] is not None:
            raise Refusal(400, "bad_query", "give as_of or snapshot, not both", field="as_of")
        level = asked["level"] or "company"
        with _answering():
            found = self._ledger.forecast(
                access.scope,
                asked["period"],
                level,
                entity=asked["entity"],
                as_of_us=asked["as_of"],
                snapshot=asked["snapshot"],
            )
        if found is None:
            raise Refusal(404, "no_snapshot", "no such snapshot has been published; see forecast publish")
        snapshot, rows = found
        if asked["entity"] is not None and not rows:
            raise Refusal(
                404, "not_found", "there is no such entity, or none this key may see", field="entity"
            )
        return dumps(
            {
                "snapshot": self._snapshot(snapshot),
                "period": asked["period"],
                "level": level,
                "forecasts": [{name: getattr(row, name) for name in _FORECAST} for row in rows],
            }
        )

    def deal(self, deal_id: str, query: Mapping[str, str], access: Access) -> bytes:
        """Answer of `GET /v1/deals/{id}`: the newest score with reasons and curve, its past, judgements.

        query : locale (en or it), the language of the reasons
        Raises Refusal: 400 for another query, 404 for a deal that is not there or not in scope, 503 if the
        ledger does not answer.
        """
        asked = _checked(query, locale=choice(LOCALES))
        with _answering():
            record = self._ledger.deal(access.scope, _deal_id(deal_id))
        if record is None:
            raise _no_deal()
        return dumps(self._deal(record, asked["locale"] or "en"))

    def judge(self, deal_id: str, body: bytes, access: Access, now_us: int) -> bytes:
        """Answer of `POST /v1/deals/{id}/judgements`: the judgement as it was appended.

        body : one or more of forecast_category (commit, best_case, pipeline, omitted), amount (reporting
            currency) and expected_close_on; and a note of at most 2,000 characters
        Raises Refusal: 400 for another body, 404 and 503 as `deal`.
        """
        judgement = _judgement(loads(body))
        known = _deal_id(deal_id)
        with _answering():
            number = self._ledger.judge(access.scope, known, access.key, judgement, now_us=now_us)
        if number is None:
            raise _no_deal()
        said = {name: getattr(judgement, name) for name in _JUDGEMENT}
        made = {"number": number, "deal_id": known, "made_at": moment(now_us), "key": access.key}
        return dumps({"judgement": {**made, **said}})

    def _deal(self, record: DealRecord, locale: str) -> dict[str, Any]:
        newest = record.newest
        won, lost = json.loads(newest.curve)
        days = json.loads(newest.curve_days)
        return {
            "snapshot": self._snapshot(record.snapshot),
            "period": record.period,
            "current": record.current,
            "deal": {
                **{name: getattr(newest, name) for name in _DEAL},
                "reasons": json.loads(getattr(newest, f"reasons_{locale}")),
                "curve": [
                    {"days": at, "won": one, "lost": other}
                    for at, one, other in zip(days, won, lost, strict=True)
                ],
            },
            "history": [
                {
                    "snapshot": row.id,
                    "as_of": moment(row.as_of_us),
                    "bundle": row.bundle,
                    **{name: getattr(row, name) for name in _PAST},
                }
                for row in record.history
            ],
            "judgements": [
                {
                    "number": row.number,
                    "made_at": moment(row.made_at_us),
                    "key": row.key,
                    **{name: getattr(row, name) for name in _JUDGEMENT},
                }
                for row in record.judgements
            ],
        }

    def _snapshot(self, found: SnapshotRow) -> dict[str, Any]:
        """Where an answer's numbers come from; `data_age_seconds` counts from the newest change in the data."""
        return {
            "id": found.id,
            "as_of": moment(found.as_of_us),
            "published_at": moment(found.published_at_us),
            "bundle": found.bundle,
            "trained_until": moment(found.trained_until_us),
            "newest_record_at": moment(found.newest_record_us),
            "data_age_seconds": max(int(self._clock()) - found.newest_record_us // 1_000_000, 0),
            "currency": found.currency,
        }


def _checked(query: Mapping[str, str], **checks: Callable[[Any], Any]) -> dict[str, Any]:
    """Every parameter checked, None for those not given; Refusal for one that is not known."""
    try:
        only(checks, query)
    except Invalid as invalid:
        raise Refusal(400, "unknown_key", invalid.reason, field=invalid.place.strip(".") or None) from None
    found: dict[str, Any] = dict.fromkeys(checks)
    for name, text in query.items():
        try:
            found[name] = checks[name](text)
        except Invalid as invalid:
            raise invalid.refusal(name, None) from None
    return found


def _period(text: Any) -> str:
    try:
        return Period.parse(text).label
    except UsageError:
        raise Invalid("bad_period", "expected a period such as 2026Q1, 2026-01 or 2026") from None


def _snapshot(text: Any) -> str:
    if not _SNAPSHOT.fullmatch(text):
        raise Invalid("bad_snapshot", "expected the id of a snapshot, or its first 12 digits or more")
    return str(text)


def _note(value: Any) -> str:
    if type(value) is not str:
        raise Invalid("not_text", "expected text")
    if not value.strip():
        raise Invalid("blank", "is blank")
    if len(value) > _MOST_NOTE:
        raise Invalid("too_long", f"expected at most {_MOST_NOTE:,} characters")
    if _UNSTORABLE.search(value):
        raise Invalid("bad_character", "holds a control character or half a surrogate pair")
    return value


def _judgement(sent: Any) -> Judgement:
    if type(sent) is not dict:
        raise Refusal(400, "bad_body", "the body is no JSON object")
    checks = {
        "forecast_category": choice(CATEGORIES),
        "amount": amount,
        "expected_close_on": day,
        "note": _note,
    }
    found = _checked(sent, **{name: optional(check) for name, check in checks.items()})
    if all(found[name] is None for name in _JUDGEMENT[:3]):
        raise Refusal(
            400,
            "missing",
            "expected at least one of forecast_category, amount, expected_close_on",
            field=None,
        )
    return Judgement(**found)


def _deal_id(text: str) -> str:
    try:
        return identifier(text)
    except Invalid:
        raise _no_deal() from None


def _no_deal() -> Refusal:
    return Refusal(404, "not_found", "there is no such deal, or none this key may see")


@contextmanager
def _answering() -> Iterator[None]:
    """A ledger that fails is no fault of who asks: 503, to be tried again."""
    try:
        yield
    except Refusal:
        raise
    except ForecastError as error:
        raise Refusal(
            503,
            "ledger_unavailable",
            "the ledger does not answer; try again after the seconds in Retry-After",
            headers={"retry-after": "5"},
        ) from error
