"""What a request may say about how it is answered, however it says it: in a JSON body or in a query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import parse_qsl

from forecast.errors import UsageError
from forecast.language import LOCALES
from forecast.periods import Period
from forecast.service.refusals import Invalid, Refusal
from forecast.service.values import identifier, moment_us, plain_word

__all__ = [
    "DEFAULT_REASONS",
    "MAX_REASONS",
    "as_of_option",
    "locale_option",
    "period_option",
    "query_of",
    "reasons_option",
]

MAX_REASONS: Final = 20
DEFAULT_REASONS: Final = 5
_YEAR_US: Final = 366 * 86_400 * 1_000_000
_MAX_QUERY: Final = 4_096


def query_of(query: bytes, known: Collection[str] | None = None) -> dict[str, str]:
    """The parameters of a query string by name.

    known : those there are; None where somebody else knows
    Raises Refusal 400 for a name that is not known or comes twice, and for what is no UTF-8.
    """
    if len(query) > _MAX_QUERY:
        raise Refusal(400, "bad_query", f"the query is over {_MAX_QUERY} characters")
    found: dict[str, str] = {}
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=50)
    except ValueError:
        raise Refusal(400, "bad_query", "the query cannot be read as name=value pairs in UTF-8") from None
    for name, value in pairs:
        if known is not None and name not in known:
            listed = f"known are {', '.join(sorted(known))}" if known else "this path takes none"
            raise Refusal(400, "unknown_key", f"is no parameter; {listed}", field=plain_word(name))
        if name in found:
            raise Refusal(400, "duplicate_key", "comes twice", field=plain_word(name))
        found[name] = value
    return found


def as_of_option(value: Any, now_us: int) -> int | None:
    """The as-of moment in microseconds; None where none is given. Refusal 400 naming `as_of`."""
    if value is None:
        return None
    try:
        at_us = moment_us(value)
    except Invalid as invalid:
        raise invalid.refusal("as_of", None) from None
    if at_us > now_us + _YEAR_US:
        raise Refusal(
            400, "out_of_range", "lies more than a year ahead of the service's clock", field="as_of"
        )
    return at_us


def period_option(value: Any) -> Period | None:
    """The period asked about; None where none is given. Refusal 400 naming `period`."""
    if value is None:
        return None
    try:
        return Period.parse(identifier(value))
    except (Invalid, UsageError):
        raise Refusal(400, "bad_period", "expected 2026Q1, 2026-01 or 2026", field="period") from None


def reasons_option(value: Any = DEFAULT_REASONS) -> int:
    """How many reasons to give; Refusal 400 naming `reasons`."""
    if type(value) is not int or not 0 <= value <= MAX_REASONS:
        raise Refusal(
            400, "out_of_range", f"expected a whole number from 0 to {MAX_REASONS}", field="reasons"
        )
    return value


def locale_option(value: Any = LOCALES[0]) -> str:
    """The language of reasons; Refusal 400 naming `locale`."""
    if value not in LOCALES:
        raise Refusal(400, "unknown_locale", f"expected {' or '.join(LOCALES)}", field="locale")
    return str(value)
