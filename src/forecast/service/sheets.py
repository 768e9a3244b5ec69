"""The deals of a request checked column by column: the fast road of `deals`.

A column is checked as a whole, or once for each distinct value, with the checks of `values`. Whatever is not
plainly right is left to `parse_deal`, which looks at one deal after the other and knows what is wrong where:
here that is `DoubtError`. So nothing is accepted here that `parse_deal` refuses, and everything that is
accepted means the same (tests/service/test_sheets.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import DealSheet, Told
from forecast.history.columns import MEETING_KINDS
from forecast.service.catalogue import Catalogue
from forecast.service.deals import (
    ACTIVITY_KEYS,
    ACTIVITY_KINDS,
    BANT,
    CHANGING,
    COLUMNS,
    DIRECTIONS,
    EVENT_KEYS,
    MAX_ATTRIBUTES,
    RESERVED,
)
from forecast.service.moments import moments_us
from forecast.service.refusals import Invalid
from forecast.service.values import MAX_NUMBER, Check, attribute, identifier, optional

__all__ = ["DoubtError", "read_sheet"]

_MOST_FIELDS: Final = 300  # beyond, a column at a time is no faster than a deal at a time
_LISTS: Final = ("events", "activities")
_FACTS: Final = ("pipeline", "motion", "account_id", "source", "currency")
_NUMBERS: Final = frozenset({"amount", *BANT})
_TEXT: Final[frozenset[type]] = frozenset({str})
_TEXT_OR_NONE: Final[frozenset[type]] = frozenset({str, type(None)})
_NUMBER_OR_NONE: Final[frozenset[type]] = frozenset({int, float, type(None)})
_OBJECT: Final[frozenset[type]] = frozenset({dict})
_LIST: Final[frozenset[type]] = frozenset({list})
_EVENT_NEEDS: Final = frozenset({"field", "value", "recorded_at"})
_ACTIVITY_NEEDS: Final = frozenset({"occurred_at", "kind"})
_KINDS: Final = frozenset(ACTIVITY_KINDS)
_WAYS: Final = frozenset((*DIRECTIONS, None))
_MEETINGS: Final = frozenset(MEETING_KINDS)
_optional_identifier: Final = optional(identifier)


class DoubtError(ValueError):
    """Something needs a closer look; it may be right or wrong."""


def read_sheet(raw: list[Any], known: Catalogue) -> tuple[DealSheet, int]:
    """The deals of a request as a sheet, and the number of keys all their objects have.

    Raises DoubtError unless every deal, event and activity is plainly right.
    """
    try:
        return _read(raw, known)
    except (
        Invalid,
        TypeError,
        OverflowError,
    ) as error:  # TypeError: a list or an object where a text belongs
        raise DoubtError("needs a closer look") from error


def _read(raw: list[Any], known: Catalogue) -> tuple[DealSheet, int]:
    _only(raw, _OBJECT)
    shapes = set(map(tuple, raw))
    names = dict.fromkeys(chain.from_iterable(shapes))
    own = [name for name in names if name not in COLUMNS and name not in _LISTS]
    _require(len(names) <= _MOST_FIELDS)
    for name in own:
        attribute(name, None)
    for shape in shapes:
        _require("deal_id" in shape and "created_at" in shape)
        _require(len(own) <= MAX_ATTRIBUTES or len(set(own).intersection(shape)) <= MAX_ATTRIBUTES)
    one_shape = len(shapes) == 1

    def column(name: str) -> list[Any]:
        return (
            [deal[name] for deal in raw] if one_shape and name in names else [deal.get(name) for deal in raw]
        )

    deal_ids = column("deal_id")
    _only(deal_ids, _TEXT)
    distinct = set(deal_ids)
    _require(len(distinct) == len(deal_ids))
    for one in distinct:
        identifier(one)
    pipeline = [name or "sales" for name in _texts(column("pipeline"), COLUMNS["pipeline"])]
    _require(known.stages.keys() >= set(pipeline))
    currency = _texts(column("currency"), COLUMNS["currency"])
    _require(known.currencies >= set(currency) - {None})
    facts: dict[str, list[str | None]] = {
        "pipeline": pipeline,
        "motion": [name or "new" for name in _texts(column("motion"), COLUMNS["motion"])],
        "account_id": _texts(column("account_id"), COLUMNS["account_id"]),
        "source": _texts(column("source"), COLUMNS["source"]),
        "currency": currency,
    }
    plain: dict[str, Sequence[Any]] = {}
    for name in names:
        if name in CHANGING:
            plain[name] = _plain(name, column(name), known)
        elif name not in COLUMNS and name not in _LISTS:
            plain[name] = _attributes(name, column(name))

    listed = column("events")
    _only(listed, _LIST)
    event_deal, events = _flat(listed)
    event_shapes = _shapes(events, _EVENT_KEYS_NEEDED)
    done = [activities if activities is not None else [] for activities in column("activities")]
    _only(done, _LIST)
    activity_deal, activities = _flat(done)
    _shapes(activities, _ACTIVITY_KEYS_NEEDED)

    if any("actor" in shape for shape in event_shapes):
        _texts([event.get("actor") for event in events], _optional_identifier)
    kinds = [activity["kind"] for activity in activities]
    ways = [activity.get("direction") for activity in activities]
    _require(set(kinds) <= _KINDS and set(ways) <= _WAYS)

    at_us = moments_us(
        [
            *column("created_at"),
            *[event["recorded_at"] for event in events],
            *[activity["occurred_at"] for activity in activities],
        ]
    )
    created_us, event_us, activity_us = np.split(at_us, (len(raw), len(raw) + len(events)))
    sheet = DealSheet(
        deal_ids=deal_ids,
        created_at_us=created_us,
        facts=facts,
        plain=plain,
        events=_told(events, event_deal, event_us, pipeline, known),
        activity_deal=activity_deal,
        activity_at_us=activity_us,
        inbound=np.fromiter((way == "in" for way in ways), np.bool_, len(ways)),
        meeting=np.fromiter((kind in _MEETINGS for kind in kinds), np.bool_, len(kinds)),
    )
    keys = sum(map(len, raw)) + sum(map(len, events)) + sum(map(len, activities))
    return sheet, keys


def _told(
    events: list[dict[str, Any]], deal: Ints, at_us: Ints, pipeline: list[str], known: Catalogue
) -> dict[str, Told]:
    """Events by field, their values checked."""
    fields = [event["field"] for event in events]
    _only(fields, _TEXT)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(fields):
        places[name].append(at)
    _require(len(places) <= _MOST_FIELDS and not RESERVED.intersection(places))
    told = {}
    for name, here in places.items():
        values = [events[at]["value"] for at in here]
        whose, when = deal[here], at_us[here]
        if name == "stage":
            _only(values, _TEXT)
            checked: Sequence[Any] | Floats = _stages(values, whose, when, pipeline, known)
        elif name in CHANGING:
            checked = _numbers(name, values, known) if name in _NUMBERS else _texts(values, CHANGING[name])
        else:
            checked = _attributes(name, values)
        told[name] = Told(whose, when, checked)
    return told


def _stages(values: list[str], deal: Ints, at_us: Ints, pipeline: list[str], known: Catalogue) -> list[str]:
    pipelines = [pipeline[at] for at in deal.tolist()]
    if known.dialect.renames_stages:
        rename = known.dialect.stage
        values = [
            rename(line, name, at) for line, name, at in zip(pipelines, values, at_us.tolist(), strict=True)
        ]
    for line, name in set(zip(pipelines, values, strict=True)):
        _require(name in known.stages[line])
    return values


def _plain(name: str, values: list[Any], known: Catalogue) -> Sequence[Any]:
    if name not in _NUMBERS:
        return _texts(values, CHANGING[name])
    numbers = _numbers(name, values, known)
    return [None if number != number else number for number in numbers.tolist()]


def _numbers(name: str, values: list[Any], known: Catalogue) -> Floats:
    """(n,) an amount or a BANT answer, NaN for unknown."""
    if not set(map(type, values)) <= _NUMBER_OR_NONE:
        _require(name in BANT)
        check = CHANGING[name]
        values = [check(known.established(name, value)) for value in values]
    numbers = np.array(values, dtype=np.float64)
    least, most = (-MAX_NUMBER, MAX_NUMBER) if name == "amount" else (0.0, 1.0)
    # JSON has no NaN: it comes from null alone, and compares as inside.
    _require(not ((numbers < least) | (numbers > most)).any())
    return numbers


def _texts(values: list[Any], check: Check) -> list[Any]:
    """Texts that stay as they are, or None; each distinct one is checked once."""
    _only(values, _TEXT_OR_NONE)
    for value in set(values):
        check(value)
    return values


def _attributes(name: str, values: list[Any]) -> list[Any]:
    """Values of a custom attribute as texts, None for unknown."""
    attribute(name, None)
    if not set(map(type, values)) <= _TEXT_OR_NONE:
        return [attribute(name, value) for value in values]  # 1, 1.0 and true are equal, and three texts
    read = {value: attribute(name, value) for value in set(values)}
    return [read[value] for value in values] if "" in read else values


def _flat(lists: list[list[Any]]) -> tuple[Ints, list[dict[str, Any]]]:
    """Rows of all lists one after the other, and the place of the list each belongs to."""
    rows = list(chain.from_iterable(lists))
    _only(rows, _OBJECT)
    return np.repeat(np.arange(len(lists)), np.fromiter(map(len, lists), np.int64, len(lists))), rows


_EVENT_KEYS_NEEDED: Final = (EVENT_KEYS, _EVENT_NEEDS)
_ACTIVITY_KEYS_NEEDED: Final = (ACTIVITY_KEYS, _ACTIVITY_NEEDS)


def _shapes(rows: list[dict[str, Any]], keys: tuple[frozenset[str], frozenset[str]]) -> set[tuple[str, ...]]:
    """The different sets of keys of some rows, all of which are allowed and have what is needed."""
    allowed, needed = keys
    shapes = set(map(tuple, rows))
    for shape in shapes:
        _require(allowed.issuperset(shape) and needed.issubset(shape))
    return shapes


def _only(values: Iterable[Any], types: frozenset[type]) -> None:
    _require(types >= set(map(type, values)))


def _require(holds: bool) -> None:
    if not holds:
        raise DoubtError("needs a closer look")
