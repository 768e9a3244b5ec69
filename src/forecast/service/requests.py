"""From the bytes of a request to what will be computed: pure functions, no transport, no clock of their own.

What is checked where: `strict_json` the text, `values` single values, `deals` a deal by itself, and here
everything that needs the whole request: its keys, its size, the as-of moment, ids that come twice.

Deals are read on one of two roads: here one by one, by `parse_score_request` and `parse_forecast_request`,
which alone decide what is refused and how; or all at once (`reading`), where nothing looks odd.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from forecast.errors import UsageError
from forecast.history import DealSheet, History, StageMap
from forecast.language import LOCALES
from forecast.periods import Period
from forecast.service.catalogue import Catalogue
from forecast.service.deals import parse_deal
from forecast.service.options import (
    DEFAULT_REASONS,
    as_of_option,
    locale_option,
    period_option,
    reasons_option,
)
from forecast.service.refusals import Invalid, Refusal
from forecast.service.strict_json import loads
from forecast.service.values import (
    Check,
    amount,
    boolean,
    choice,
    identifier,
    label,
    moment_us,
    only,
    optional,
    target,
)
from forecast.tables import Money

__all__ = [
    "CLOCK_SKEW_US",
    "LEVELS",
    "MAX_DEALS",
    "MAX_ROWS",
    "ForecastRequest",
    "Road",
    "ScoreRequest",
    "SentDeals",
    "as_known",
    "forecast_request_of",
    "listed_deals",
    "parse_forecast_request",
    "parse_score_request",
    "score_request_of",
]

MAX_DEALS: Final = 10_000
MAX_ROWS: Final = 50_000  # of users, quotas and booked deals each
LEVELS: Final = ("user", "team", "region", "company")

# A CRM's clock may run a little ahead of ours: what it recorded a moment ago must not count as the future.
CLOCK_SKEW_US: Final = 5 * 60 * 1_000_000

_USER: Final[dict[str, Check]] = {
    "user_id": identifier,
    "name": optional(label),
    "team": optional(label),
    "region": optional(label),
    "manager_id": optional(label),
    "email": optional(label),
    "active": optional(boolean),
}
_QUOTA: Final[dict[str, Check]] = {
    "level": choice(LEVELS),
    "entity": identifier,
    "period": identifier,
    "amount": target,
    "currency": optional(identifier),
}
_QUOTA_KEY: Final = ("level", "entity", "period")
_UNKNOWN_ENTITY: Final = {
    "user": "is neither among the users nor owner of a deal",
    "team": "is no team of the users that were sent",
    "region": "is no region of the users that were sent",
    "company": "expected * for the company",
}
_BOOKED: Final[dict[str, Check]] = {
    "deal_id": optional(identifier),
    "owner_id": optional(identifier),
    "amount": optional(amount),
    "currency": optional(identifier),
    "closed_at": optional(moment_us),
}


@dataclass(frozen=True, slots=True)
class SentDeals:
    """The deals of a request without anything from its as-of moment on, read by one of the two roads.

    ids : in the order of the request
    listed : shaped for `History.from_request`, where they were read one by one
    sheet : where they were read column by column
    """

    as_of_us: int
    ids: list[str]
    listed: list[dict[str, Any]]
    sheet: DealSheet | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def history(self, stages: StageMap, money: Money) -> History:
        """Their past."""
        if self.sheet is None:
            return History.from_request(self.listed, stages=stages, money=money)
        return History.from_sheet(self.sheet, self.as_of_us, stages=stages, money=money)

    def owners(self) -> set[Any]:
        """Everybody who owned one of them; None if one had nobody."""
        if self.sheet is not None:
            return self.sheet.owners(self.as_of_us)
        events = (event for deal in self.listed for event in deal["events"])
        named = {event["value"] for event in events if event["field"] == "owner_id"}
        return named | {deal.get("owner_id") for deal in self.listed}


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Deals to be scored as known before `as_of_us`.

    period : asks for P(won within it) beside the other columns
    reasons : how many to name for each deal
    locale : the language they are told in
    """

    as_of_us: int
    sent: SentDeals
    period: Period | None
    reasons: int
    locale: str = LOCALES[0]

    @property
    def deals(self) -> list[dict[str, Any]]:
        """The deals, if they were read one by one."""
        return self.sent.listed


@dataclass(frozen=True, slots=True)
class ForecastRequest:
    """Open deals, what is booked already, and the users and quotas to add them up by."""

    as_of_us: int
    period: Period
    sent: SentDeals
    users: list[dict[str, Any]]
    quotas: list[dict[str, Any]]
    booked: list[dict[str, Any]]

    @property
    def deals(self) -> list[dict[str, Any]]:
        """The deals, if they were read one by one."""
        return self.sent.listed


def parse_score_request(body: bytes, known: Catalogue, now_us: int) -> ScoreRequest:
    """Read the body of `POST /v1/score`.

    now_us : the moment of the request, for an as_of that is not given
    Raises Refusal: 400 with code, field and row, or 413 `too_many_deals`.
    """
    return score_request_of(loads(body), _OneByOne(known), now_us)


def parse_forecast_request(body: bytes, known: Catalogue, now_us: int) -> ForecastRequest:
    """Read the body of `POST /v1/forecast`; see `parse_score_request`.

    A field of a list other than `deals` is named with its list, e.g. `quotas.amount`.
    """
    return forecast_request_of(loads(body), known, _OneByOne(known), now_us)


class Road(Protocol):
    """One of the two ways to read the deals of a request."""

    def take(self, raw: dict[str, Any]) -> None:
        """Read the deals of a request."""
        ...

    def now_us(self, now_us: int) -> int:
        """The as-of moment of a request that gives none."""
        ...

    def known(self, as_of_us: int) -> SentDeals:
        """The deals without their future."""
        ...


class _OneByOne:
    """Value by value; whatever is refused is refused here."""

    def __init__(self, known: Catalogue) -> None:
        self._known = known
        self._deals: list[dict[str, Any]] = []

    def take(self, raw: dict[str, Any]) -> None:
        seen = set()
        for row, item in enumerate(listed_deals(raw)):
            deal = parse_deal(item, row, self._known)
            if deal["deal_id"] in seen:
                raise Refusal(400, "duplicate_deal", "comes twice in this request", field="deal_id", row=row)
            seen.add(deal["deal_id"])
            self._deals.append(deal)

    def now_us(self, now_us: int) -> int:
        return _now(self._deals, now_us)

    def known(self, as_of_us: int) -> SentDeals:
        deals = [as_known(deal, row, as_of_us) for row, deal in enumerate(self._deals)]
        return SentDeals(as_of_us, [deal["deal_id"] for deal in deals], deals)


def score_request_of(top: Any, road: Road, now_us: int) -> ScoreRequest:
    """A request to score from its JSON; see `parse_score_request`."""
    raw = _top(top, {"as_of", "deals", "period", "reasons", "locale"})
    given_us = as_of_option(raw.get("as_of"), now_us)
    period = period_option(raw.get("period"))
    reasons = reasons_option(raw.get("reasons", DEFAULT_REASONS))
    locale = locale_option(raw.get("locale", LOCALES[0]))
    road.take(raw)
    as_of_us = given_us if given_us is not None else road.now_us(now_us)
    return ScoreRequest(as_of_us, road.known(as_of_us), period, reasons, locale)


def forecast_request_of(top: Any, known: Catalogue, road: Road, now_us: int) -> ForecastRequest:
    """A request for a forecast from its JSON; see `parse_forecast_request`."""
    raw = _top(top, {"as_of", "period", "deals", "users", "quotas", "booked"})
    given_us = as_of_option(raw.get("as_of"), now_us)
    period = period_option(raw.get("period"))
    if period is None:
        raise Refusal(400, "missing", "is required, e.g. 2026Q1", field="period")
    road.take(raw)
    as_of_us = given_us if given_us is not None else road.now_us(now_us)

    def quota_fits(quota: dict[str, Any]) -> None:
        _known_currency(quota, known)
        try:
            Period.parse(quota["period"])
        except UsageError:
            raise Invalid("bad_period", "expected 2026Q1, 2026-01 or 2026", ".period") from None
        if quota["entity"] not in entities[quota["level"]]:
            raise Invalid("unknown_entity", _UNKNOWN_ENTITY[quota["level"]], ".entity")

    def booking_fits(booking: dict[str, Any]) -> None:
        _known_currency(booking, known)
        closed_us = booking.get("closed_at")
        if closed_us is None:
            return
        if closed_us >= as_of_us:
            raise Invalid("after_as_of", "lies after as_of, so it cannot be known yet", ".closed_at")
        if not period.start_us <= closed_us < period.end_us:
            raise Invalid("outside_period", "lies outside the period that is asked for", ".closed_at")

    sent = road.known(as_of_us)
    users = _rows(raw, "users", _USER, ("user_id",), lambda _: None, unique=("user_id",))
    booked = _rows(raw, "booked", _BOOKED, ("owner_id", "amount"), booking_fits, unique=("deal_id",))
    entities = _entities(users, sent, booked)
    quotas = _rows(
        raw, "quotas", _QUOTA, ("level", "entity", "period", "amount"), quota_fits, unique=_QUOTA_KEY
    )
    return ForecastRequest(as_of_us, period, sent, users, quotas, booked)


# -- the whole request --------------------------------------------------------------------------------------


def _top(raw: Any, keys: set[str]) -> dict[str, Any]:
    if type(raw) is not dict:
        raise Refusal(400, "not_an_object", "the body is a JSON object with the key deals")
    try:
        only(keys, raw)
    except Invalid as invalid:
        raise invalid.refusal(None, None) from None
    return raw


def listed_deals(request: dict[str, Any]) -> list[Any]:
    """The list of deals of a request, unchecked but for its length."""
    raw = request.get("deals")
    if raw is None:
        raise Refusal(400, "missing", "is required: a list of deals", field="deals")
    if type(raw) is not list:
        raise Refusal(400, "not_a_list", "expected a list of deals", field="deals")
    if len(raw) > MAX_DEALS:
        raise Refusal(413, "too_many_deals", f"at most {MAX_DEALS} deals in a request", field="deals")
    return raw


def _now(deals: list[dict[str, Any]], now_us: int) -> int:
    """The default as-of: now, or just after the newest entry if the sender's clock runs a little ahead."""
    horizon_us = now_us + CLOCK_SKEW_US
    latest_us = now_us - 1
    for deal in deals:
        for at_us in (
            deal["created_at"],
            *(event["recorded_at"] for event in deal["events"]),
            *(activity["occurred_at"] for activity in deal["activities"]),
        ):
            if latest_us < at_us <= horizon_us:
                latest_us = at_us
    return latest_us + 1


def as_known(deal: dict[str, Any], row: int, as_of_us: int) -> dict[str, Any]:
    """The deal without its future: known is what was recorded before as_of. `row` is its place, for a Refusal.

    A column whose field has events only from as_of on goes too: what it holds was not there yet.
    """
    if deal["created_at"] >= as_of_us:
        raise Refusal(
            400, "after_as_of", "lies after as_of: the deal is not known yet", field="created_at", row=row
        )
    events = [event for event in deal["events"] if event["recorded_at"] < as_of_us]
    if not any(event["field"] == "stage" for event in events):
        raise Refusal(
            400, "no_stage_event", "hold no stage of the deal recorded before as_of", field="events", row=row
        )
    activities = [activity for activity in deal["activities"] if activity["occurred_at"] < as_of_us]
    told_later = {event["field"] for event in deal["events"]} if len(events) < len(deal["events"]) else set()
    columns = {name: value for name, value in deal.items() if name not in told_later}
    return {**columns, "events": events, "activities": activities}


# -- the smaller lists of a forecast ------------------------------------------------------------------------


def _rows(
    raw: dict[str, Any],
    name: str,
    columns: dict[str, Check],
    required: tuple[str, ...],
    fits: Callable[[dict[str, Any]], None],
    *,
    unique: tuple[str, ...],
) -> list[dict[str, Any]]:
    """Check one list of flat rows; every column of `columns` is present in what comes back.

    fits : raises Invalid for a row that is wrong as a whole
    unique : columns that name a row; a row that leaves the first of them unknown may come again
    """
    rows = raw.get(name)
    if rows is None:
        return []
    if type(rows) is not list:
        raise Refusal(400, "not_a_list", "expected a list", field=name)
    if len(rows) > MAX_ROWS:
        raise Refusal(413, "too_many_rows", f"at most {MAX_ROWS} rows in one list", field=name)
    found: list[dict[str, Any]] = []
    seen: set[tuple[Any, ...]] = set()
    key: str | None = None
    for row, item in enumerate(rows):
        try:
            key = None
            if type(item) is not dict:
                raise Invalid("not_an_object", "a row is a JSON object")
            only(columns, item)
            for key in required:
                if key not in item:
                    raise Invalid("missing", "is required")
            checked: dict[str, Any] = dict.fromkeys(columns)
            for key, value in item.items():
                checked[key] = columns[key](value)
            key = unique[0] if len(unique) == 1 else None
            name_of = tuple(checked[column] for column in unique)
            if name_of[0] is not None:
                if name_of in seen:
                    raise Invalid("duplicate", "comes twice in this list")
                seen.add(name_of)
            key = None
            fits(checked)
        except Invalid as invalid:
            raise invalid.refusal(f"{name}.{key}" if key else name, row) from None
        found.append(checked)
    return found


def _entities(
    users: list[dict[str, Any]], sent: SentDeals, booked: list[dict[str, Any]]
) -> dict[str, set[Any]]:
    """level -> entities a quota may be for. Who owns deals and is missing from users still sells."""
    owners = sent.owners() | {row.get("owner_id") for row in booked}
    return {
        "user": owners | {user["user_id"] for user in users},
        "team": {user["team"] for user in users},
        "region": {user["region"] for user in users},
        "company": {"*"},
    }


def _known_currency(row: dict[str, Any], known: Catalogue) -> None:
    if row.get("currency") is not None and row["currency"] not in known.currencies:
        raise Invalid(
            "unknown_currency", "has no exchange rate in this bundle; GET /v1/model lists them", ".currency"
        )
