"""From tables or from a request to the columns of a history."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.history.columns import (
    ACTIVITY,
    ACTIVITY_IN,
    AMOUNT,
    BANT,
    CATEGORY,
    EXPECTED_CLOSE,
    FIELDS,
    MEETING,
    MEETING_KINDS,
    OWNER,
    STAGE,
    Columns,
    Vocabulary,
)
from forecast.history.stages import StageMap
from forecast.tables import TABLES, Money, Tables

__all__ = [
    "CATEGORIES",
    "CONTRACT",
    "NAMED",
    "code_of_field",
    "columns_from_request",
    "columns_from_tables",
    "number_reader",
]

# In order of the seller's confidence, so that the code is also a rank.
CATEGORIES: Final = ("omitted", "pipeline", "best_case", "commit")
_CATEGORY_CODE: Final = {name: float(code) for code, name in enumerate(CATEGORIES)}
CONTRACT: Final = frozenset(TABLES["deals"])
# Fields that events may name; the counters of activities behind them are ours, and a custom attribute may be
# called as they are.
_NAMED: Final = FIELDS[:ACTIVITY]
NAMED: Final = frozenset(_NAMED)
_FIELD_CODE: Final = {name: code for code, name in enumerate(_NAMED)}
_NUMERIC: Final = (AMOUNT, *BANT)


def columns_from_tables(tables: Tables, money: Money) -> Columns:
    """Columns of a whole data folder; deals are put in order of their id.

    A column of `deals` without an event of the deal has no date: it may have been filled in at any later
    moment, perhaps by closing. It is no entry, in training and in scoring alike.
    """
    deals = tables.deals.sort_values("deal_id", kind="stable").reset_index(drop=True)
    stages = StageMap.from_frame(tables.stages)
    events = tables.deal_events
    event_fields = set(pd.unique(events["field"]))
    custom = tuple(sorted((set(deals.columns) | event_fields) - NAMED - CONTRACT))
    deal_ids = deals["deal_id"].to_numpy(object)
    ids = pd.Index(deal_ids)
    eventful = frozenset(event_fields)

    vocabularies = {
        "owner_id": vocabulary_of(deals["owner_id"], events.loc[events["field"] == "owner_id", "value"]),
        **{name: vocabulary_of(deals[name]) for name in ("account_id", "source", "motion", "pipeline")},
    }
    for name in custom:
        written = events.loc[events["field"] == name, "value"]
        vocabularies[name] = vocabulary_of(*([deals[name]] if name in deals.columns else []), written)

    parts: list[tuple[Ints, int, Ints, Floats]] = []
    deal_of_event = ids.get_indexer(pd.Index(events["deal_id"].to_numpy(object))).astype(np.int64)
    at_us = microseconds(events["recorded_at"])
    for name in (*_NAMED, *custom):
        here = np.flatnonzero((events["field"] == name).to_numpy() & (deal_of_event >= 0))
        if not len(here):
            continue
        texts = events["value"].iloc[here]
        if name == "stage":
            pipeline = deals["pipeline"].iloc[deal_of_event[here]]
            value = stages.codes_of(pipeline, texts).astype(np.float64)
        else:
            value = _values(name, texts, vocabularies)
        code = code_of_field(name, custom)
        keep = here if name != "stage" else here[value >= 0]
        parts.append(
            (deal_of_event[keep], code, at_us[keep], value if name != "stage" else value[value >= 0])
        )

    # A custom attribute without any event is a fact of the deal, known from its first stage on.
    first_seen = _first_seen(parts, len(deals))
    for name in custom:
        if name in deals.columns and name not in eventful:
            code = code_of_field(name, custom)
            value = _values(name, deals[name], vocabularies)
            known = ~np.isnan(value) & (first_seen >= 0)
            parts.append((np.flatnonzero(known), code, first_seen[known], value[known]))

    parts.extend(activity_parts(tables.activities, ids))
    # Today's owner of a deal whose owner has events may be one of the future: the events alone tell.
    owner = vocabularies["owner_id"].codes(deals["owner_id"].to_numpy(object))
    entry_deal, entry_field, entry_at_us, entry_value = stack(parts)
    return Columns(
        stages=stages,
        money=money,
        deal_ids=deal_ids,
        created_at_us=microseconds(deals["created_at"]),
        currency=money.codes(deals["currency"]),
        pipeline=vocabularies["pipeline"].codes(deals["pipeline"].to_numpy(object)),
        motion=vocabularies["motion"].codes(deals["motion"].to_numpy(object)),
        account=vocabularies["account_id"].codes(deals["account_id"].to_numpy(object)),
        source=vocabularies["source"].codes(deals["source"].to_numpy(object)),
        owner=np.where(_spoken_of(parts, OWNER, len(deals)), -1, owner),
        amount_raw=deals["amount"].to_numpy(np.float64, copy=True),
        entry_deal=entry_deal,
        entry_field=entry_field,
        entry_at_us=entry_at_us,
        entry_value=entry_value,
        vocabularies=vocabularies,
        custom=custom,
        eventful=eventful,
    )


def columns_from_request(deals: list[dict[str, Any]], stages: StageMap, money: Money) -> Columns:
    """Columns of deals as JSON sends them: contract columns, `events`, `activities`, custom attributes.

    Times are `datetime` with zone or int microseconds; dates are `date` or ISO text. A plain column that no
    event of the deal speaks of is taken as known since the deal was first seen. Values are trusted here: the
    service has checked them.
    """
    deals = sorted(deals, key=lambda deal: str(deal["deal_id"]))
    named = {name for deal in deals for name in deal} - _LISTS
    named |= {event["field"] for deal in deals for event in deal.get("events") or ()}
    custom = tuple(sorted(named - CONTRACT - NAMED))
    codes = {name: code_of_field(name, custom) for name in (*_NAMED, *custom)}
    words: dict[str, set[str]] = {name: set() for name in ("owner_id", *custom)}
    told: list[tuple[int, str, int, Any]] = []
    rows: list[tuple[int, int, int, float]] = []
    for place, deal in enumerate(deals):
        pipeline = deal.get("pipeline") or "sales"
        events = [(e["field"], micros(e["recorded_at"]), e["value"]) for e in deal.get("events") or ()]
        spoken = {field for field, _, _ in events}
        first = min((at for field, at, _ in events if field == "stage"), default=micros(deal["created_at"]))
        events += [
            (name, first, deal[name])
            for name in (*_PLAIN, *custom)
            if name not in spoken and deal.get(name) is not None
        ]
        for field, at, value in events:
            if field == "stage":
                rows.append((place, STAGE, at, stages.code(pipeline, str(value))))
            elif field in codes:
                told.append((place, field, at, value))
                if field in words and value not in (None, ""):
                    words[field].add(str(value))
        for activity in deal.get("activities") or ():
            at = micros(activity["occurred_at"])
            rows.append((place, ACTIVITY, at, 0.0))
            if activity.get("direction") == "in":
                rows.append((place, ACTIVITY_IN, at, 0.0))
            if activity["kind"] in MEETING_KINDS:
                rows.append((place, MEETING, at, 0.0))
    vocabularies = {name: Vocabulary(tuple(sorted(found))) for name, found in words.items()}
    read = {**_READ, **{name: _reader(vocabulary) for name, vocabulary in vocabularies.items()}}
    rows += [
        (place, codes[field], at, np.nan if value in (None, "") else read[field](value))
        for place, field, at, value in told
    ]
    entry_deal, entry_field, entry_at_us, entry_value = zip(*rows, strict=True) if rows else ((),) * 4
    facts = {}
    for key, name in _KEYS.items():
        texts = [str(deal[name]) if deal.get(name) else None for deal in deals]
        vocabularies[name] = Vocabulary(tuple(sorted({text for text in texts if text is not None})))
        facts[key] = vocabularies[name].codes(texts)
    return Columns(
        stages=stages,
        money=money,
        deal_ids=np.array([deal["deal_id"] for deal in deals], dtype=object),
        created_at_us=np.array([micros(deal["created_at"]) for deal in deals], dtype=np.int64),
        currency=money.codes([deal.get("currency") for deal in deals]),
        **facts,
        # A plain owner_id is an entry already, and so is an amount.
        owner=np.full(len(deals), -1, dtype=np.int64),
        amount_raw=np.full(len(deals), np.nan),
        entry_deal=np.array(entry_deal, dtype=np.int64),
        entry_field=np.array(entry_field, dtype=np.int64),
        entry_at_us=np.array(entry_at_us, dtype=np.int64),
        entry_value=np.array(entry_value, dtype=np.float64),
        vocabularies=vocabularies,
        custom=custom,
        eventful=frozenset(FIELDS) | set(custom),
    )


def _reader(vocabulary: Vocabulary) -> Callable[[Any], float]:
    """From a known text to its code."""
    places = vocabulary.places
    return lambda value: places[str(value)]


_EPOCH: Final = date(1970, 1, 1).toordinal()
_LISTS: Final = frozenset({"events", "activities"})
_PLAIN: Final = ("amount", "expected_close_on", "owner_id", "forecast_category", *(FIELDS[f] for f in BANT))
_KEYS: Final = {
    "pipeline": "pipeline",
    "motion": "motion",
    "account": "account_id",
    "source": "source",
}


def micros(moment: Any) -> int:
    """A zoned moment (datetime, ISO text) or microseconds since 1970 as microseconds since 1970."""
    if isinstance(moment, int):
        return moment
    stamp = pd.Timestamp(moment)
    stamp = stamp.tz_localize("UTC") if stamp.tzinfo is None else stamp
    return int(stamp.value) // 1_000  # Timestamp.value is in nanoseconds, whatever the unit


def days(on: Any) -> float:
    """A date or ISO text as days since 1970."""
    return float(date.fromisoformat(str(on)[:10]).toordinal() - _EPOCH)


# How a value of a request is read that is neither a stage nor a word.
_READ: Final[dict[str, Callable[[Any], float]]] = {
    **dict.fromkeys((FIELDS[field] for field in _NUMERIC), float),
    "expected_close_on": days,
    "forecast_category": _CATEGORY_CODE.__getitem__,
}


def number_reader(name: str) -> Callable[[Any], float] | None:
    """How a checked value of a field is read as a number; None for a field of words, and for the stage."""
    return _READ.get(name)


def vocabulary_of(*columns: pd.Series) -> Vocabulary:
    """All texts of some columns; blank ones are none."""
    found: set[str] = set()
    for column in columns:
        found.update(map(str, pd.unique(column.dropna())))
    found.discard("")
    return Vocabulary(tuple(sorted(found)))


def microseconds(times: pd.Series) -> Ints:
    """Moments as microseconds since 1970."""
    moments: Ints = times.dt.as_unit("us").astype("int64").to_numpy()
    return moments


def code_of_field(name: str, custom: tuple[str, ...]) -> int:
    """Code of a field that events may name, among the built-in ones and the custom attributes."""
    return _FIELD_CODE[name] if name in _FIELD_CODE else len(FIELDS) + custom.index(name)


def _values(name: str, cells: pd.Series, vocabularies: dict[str, Vocabulary]) -> Floats:
    """Values of one field (not the stage) as numbers; NaN means: cleared, unknown again.

    cells : the texts of events, or a column of the deals table with its own type
    """
    field = _FIELD_CODE.get(name, -1)
    if field in _NUMERIC:
        return pd.to_numeric(cells, errors="coerce").to_numpy(np.float64, copy=True)
    if field == EXPECTED_CLOSE:
        if cells.dtype.kind != "M":
            days_only = cells.str.strip().str.slice(0, 10)
            cells = pd.to_datetime(days_only, errors="coerce", format="%Y-%m-%d")
        whole = cells.to_numpy("datetime64[D]")
        days_since_1970: Floats = whole.astype(np.int64).astype(np.float64)
        days_since_1970[np.isnat(whole)] = np.nan
        return days_since_1970
    if field == CATEGORY:
        return np.asarray(cells.map(_CATEGORY_CODE), dtype=np.float64)
    codes = vocabularies["owner_id" if field == OWNER else name].codes(cells.to_numpy(object))
    numbers: Floats = codes.astype(np.float64)
    numbers[codes < 0] = np.nan
    return numbers


def _spoken_of(parts: Iterable[tuple[Ints, int, Ints, Floats]], field: int, deals: int) -> NDArray[np.bool_]:
    """(D,) whether a deal has any entry of a field."""
    spoken = np.zeros(deals, dtype=bool)
    for deal, here, _, _ in parts:
        if here == field:
            spoken[deal] = True
    return spoken


def _first_seen(parts: Iterable[tuple[Ints, int, Ints, Floats]], deals: int) -> Ints:
    """(D,) moment of each deal's first stage entry, -1 for none."""
    first = np.full(deals, np.iinfo(np.int64).max, dtype=np.int64)
    for deal, field, at_us, _ in parts:
        if field == STAGE:
            np.minimum.at(first, deal, at_us)
    return np.where(first == np.iinfo(np.int64).max, -1, first)


def activity_parts(
    activities: pd.DataFrame, ids: pd.Index, key: str = "deal_id"
) -> list[tuple[Ints, int, Ints, Floats]]:
    """Activities of the deals `ids` (of the leads, by another `key`), as entries of the three counters."""
    deal = ids.get_indexer(pd.Index(activities[key].to_numpy(object))).astype(np.int64)
    at_us = microseconds(activities["occurred_at"])
    inbound = (activities["direction"] == "in").to_numpy(bool)
    meeting = activities["kind"].isin(MEETING_KINDS).to_numpy(bool)
    parts = []
    for field, wanted in ((ACTIVITY, deal >= 0), (ACTIVITY_IN, inbound), (MEETING, meeting)):
        here = np.flatnonzero(wanted & (deal >= 0))
        parts.append((deal[here], field, at_us[here], np.zeros(len(here))))
    return parts


def stack(parts: list[tuple[Ints, Any, Ints, Floats]]) -> tuple[Ints, Ints, Ints, Floats]:
    """Entries of many parts (record, field or (n,) fields, moment, value) as four columns."""
    if not parts:
        nothing: NDArray[np.int64] = np.empty(0, np.int64)
        return nothing, nothing, nothing, np.empty(0)
    return (
        np.concatenate([deal for deal, _, _, _ in parts]),
        np.concatenate([np.full(len(deal), field, dtype=np.int64) for deal, field, _, _ in parts]),
        np.concatenate([at_us for _, _, at_us, _ in parts]),
        np.concatenate([value for _, _, _, value in parts]),
    )
