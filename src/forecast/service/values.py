"""Checks of single values: each takes what JSON gave and returns what we work with, or raises `Invalid`.

Messages say what is expected and never repeat the value: it may be personal, and it would end up in logs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from math import isfinite
from typing import Any, Final

from forecast.service.refusals import Invalid

__all__ = [
    "LATEST_US",
    "MAX_ATTRIBUTE_TEXT",
    "MAX_ID",
    "MAX_NUMBER",
    "MOMENT",
    "PERIOD",
    "amount",
    "attribute",
    "boolean",
    "choice",
    "day",
    "established",
    "identifier",
    "label",
    "moment_us",
    "only",
    "optional",
    "plain_word",
    "target",
]

Check = Callable[[Any], Any]

MAX_ID: Final = 255
MAX_ATTRIBUTE_TEXT: Final = 2_000
MAX_NUMBER: Final = 1e13

# RFC 3339, and the two liberties CRMs take with it: a space for the T, and +0000 for +00:00.
MOMENT: Final = r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})"
PERIOD: Final = r"\d{4}(Q[1-4]|-(0[1-9]|1[0-2]))?"
_MOMENT: Final = re.compile(MOMENT)
_NAIVE: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ][\d:.]*)?")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")
_PLAIN_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]{0,63}")
# Control characters, line separators, direction overrides (they make text read as something else), and
# halves of surrogate pairs, which no UTF-8 can carry.
_FORBIDDEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSTORABLE: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_EARLIEST: Final = date(1970, 1, 1)
_LATEST: Final = date(2200, 1, 1)
LATEST_US: Final = (datetime(2200, 1, 1, tzinfo=UTC) - _EPOCH).days * 86_400_000_000


def optional(check: Check) -> Check:
    """The same check, with null for unknown."""

    def checked(value: Any) -> Any:
        return None if value is None else check(value)

    return checked


def identifier(value: Any) -> str:
    """An id: text, kept exactly as sent."""
    if type(value) is not str:
        raise Invalid("not_text", "expected text; send ids as JSON strings, as the CRM writes them")
    if len(value) > MAX_ID:
        raise Invalid("too_long", f"expected at most {MAX_ID} characters")
    if not value or value.isspace():
        raise Invalid("blank", "is blank")
    # isprintable is the fast road; only the rare text with a format or unassigned character needs the look.
    if not value.isprintable() and _FORBIDDEN.search(value):
        raise Invalid("bad_character", "holds a control character, a line break or half a surrogate pair")
    return value


def label(value: Any) -> str | None:
    """A name or other short text of a person or thing; blank means unknown."""
    if type(value) is str and (not value or value.isspace()):
        return None
    return identifier(value)


def moment_us(value: Any) -> int:
    """A moment with zone as int microseconds since 1970 UTC."""
    if type(value) is not str:
        raise Invalid("bad_moment", "expected a moment as text, e.g. 2026-01-31T09:30:00Z")
    if not _MOMENT.fullmatch(value):
        if _NAIVE.fullmatch(value):
            raise Invalid("no_zone", "has no time zone; write it as 2026-01-31T09:30:00Z or with +01:00")
        raise Invalid("bad_moment", "is not an ISO 8601 moment such as 2026-01-31T09:30:00Z")
    try:
        since = datetime.fromisoformat(value) - _EPOCH
    except (ValueError, OverflowError):
        raise Invalid("bad_moment", "is not a moment of the calendar") from None
    at_us = since.days * 86_400_000_000 + since.seconds * 1_000_000 + since.microseconds
    if not 0 <= at_us < LATEST_US:
        raise Invalid("out_of_range", "lies outside the years 1970 to 2199")
    return at_us


def day(value: Any) -> str:
    """A calendar date, returned as ISO text."""
    if type(value) is not str or not _DAY.fullmatch(value):
        raise Invalid("bad_date", "expected a date such as 2026-01-31, without a time")
    try:
        found = date.fromisoformat(value)
    except ValueError:
        raise Invalid("bad_date", "is not a date of the calendar") from None
    if not _EARLIEST <= found < _LATEST:
        raise Invalid("out_of_range", "lies outside the years 1970 to 2199")
    return value


def amount(value: Any) -> float:
    """A finite amount of money. A boolean is no number, and neither is a number in quotes."""
    found = _number(value)
    if abs(found) > MAX_NUMBER:
        raise Invalid("out_of_range", "is larger than any deal; expected at most 1e13")
    return found


def target(value: Any) -> float:
    """A quota: an amount that is not negative."""
    found = amount(value)
    if found < 0:
        raise Invalid("out_of_range", "expected a target of 0 or more")
    return found


def established(value: Any) -> float:
    """A BANT value: 0 known absent, 1 confirmed."""
    found = _number(value)
    if not 0.0 <= found <= 1.0:
        raise Invalid("out_of_range", "expected a number from 0 (known absent) to 1 (confirmed)")
    return found


def boolean(value: Any) -> bool:
    """true or false, not 1, not \"yes\"."""
    if type(value) is not bool:
        raise Invalid("not_boolean", "expected true or false")
    return value


def choice(words: Iterable[str]) -> Check:
    """One of a few words."""
    known = frozenset(words)
    listed = ", ".join(words)

    def checked(value: Any) -> str:
        if type(value) is not str or value not in known:
            raise Invalid("unknown_value", f"expected one of: {listed}")
        return value

    return checked


def attribute(name: str, value: Any) -> str | None:
    """A custom attribute as the text a table would hold; null and blank mean unknown."""
    if not 0 < len(name) <= MAX_ID or name.isspace() or not name.isprintable():
        # The name itself stays out of the message: it may be anything.
        raise Invalid("bad_name", f"an attribute's name is blank, unprintable or over {MAX_ID} characters")
    kind = type(value)
    if value is None:
        return None
    if kind is bool:
        return "true" if value else "false"
    if kind is int or kind is float:
        found = _number(value)
        if abs(found) > MAX_NUMBER:
            raise Invalid("out_of_range", "expected a number of at most 1e13")
        return str(value)
    if kind is not str:
        raise Invalid("not_scalar", "an attribute takes text, a number, true, false or null")
    if len(value) > MAX_ATTRIBUTE_TEXT:
        raise Invalid("too_long", f"expected at most {MAX_ATTRIBUTE_TEXT} characters")
    if not value.isprintable() and _UNSTORABLE.search(value):
        raise Invalid("bad_character", "holds a control character or half a surrogate pair")
    return value or None


def only(allowed: Iterable[str], keys: Iterable[str]) -> None:
    """Refuse an object with a key that is not among those it takes."""
    known = frozenset(allowed)
    for key in keys:
        if key not in known:
            named = plain_word(key)
            raise Invalid(
                "unknown_key",
                f"is not expected here; known are {', '.join(sorted(known))}",
                f".{named or ''}",
            )


def plain_word(name: str | None) -> str | None:
    """A name of the caller's choosing if it may stand in an answer, else None: it could be anything."""
    return name if name is not None and _PLAIN_WORD.fullmatch(name) else None


def _number(value: Any) -> float:
    kind = type(value)
    if kind is float:
        if not isfinite(value):
            raise Invalid("not_finite", "is no finite number")
        return float(value)
    if kind is int:
        if abs(value) > MAX_NUMBER:
            raise Invalid("out_of_range", "expected a number of at most 1e13")
        return float(value)
    raise Invalid("not_a_number", "expected a number, without quotes")
