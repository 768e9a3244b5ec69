"""One builder of features, for a million landmarks and for one deal of a request.

All look-ups of a block of rows go into a single `searchsorted`; what follows is plain arithmetic on arrays of
shape (rows,). Nothing here knows whether it serves training or scoring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.features.kinds import CHANCES, BoundKinds, Kinds
from forecast.features.registry import BUILT_IN, spec_of
from forecast.history import CATEGORIES, History, TrackRecords
from forecast.history.columns import (
    ACTIVITY,
    ACTIVITY_IN,
    AMOUNT,
    BANT,
    CATEGORY,
    EXPECTED_CLOSE,
    FIELDS,
    MEETING,
    OWNER,
    STAGE,
    number_or_nan,
)
from forecast.history.history import MOVED, PUSHED
from forecast.history.records import PACE
from forecast.periods import DAY_US

__all__ = [
    "KIND_FEATURES",
    "FeatureMatrix",
    "bant_totals",
    "build",
    "category_texts",
    "feature_names",
    "number_or_nan",
]

# What hidden kinds tell: log odds of all but the reference, in order of their share won, and chances.
KIND_FEATURES: Final = (
    "like_never_won",
    "like_seldom_won",
    "like_often_won",
    *(f"course_{cause}_{days}d" for cause, days in CHANCES),
)
_NAMES: Final = tuple(spec.name for spec in BUILT_IN)
_ROW: Final = {name: row for row, name in enumerate(_NAMES)}
_BLOCK: Final = 65_536
_WINDOWS_DAYS: Final = (7, 14, 30, 90, 180)
_WINDOWS_US: Final = np.array(_WINDOWS_DAYS)[:, None] * DAY_US
# Rates of activity and the customer's share in it are diluted with what an average deal does.
_USUAL_DAYS: Final = 21.0  # one activity in so many days
_USUAL_INBOUND: Final = (1.0, 3.0)  # one in three comes from the customer
# Signs of life: a pushed date or a changed category is bookkeeping, not contact with the customer.
_LIFE: Final = np.array((STAGE, AMOUNT, *BANT, ACTIVITY))
_ANSWERS: Final = slice(BANT[0], BANT[-1] + 1)
# What was said first counts beside what is said now.
_FIRST_SAID: Final = np.array((AMOUNT, EXPECTED_CLOSE))
# Rows of the features that are running totals of a history, in its order.
_MOVES: Final = slice(_ROW["moves_forward"], _ROW["times_reopened"] + 1)
_PUSHES: Final = slice(_ROW["times_pushed"], _ROW["days_pushed"] + 1)
_OF_KINDS: Final = slice(_ROW[KIND_FEATURES[0]], _ROW[KIND_FEATURES[-1]] + 1)


@dataclass(frozen=True)
class FeatureMatrix:
    """Features of n rows.

    names : F feature names
    values : (F, n) one contiguous row per feature; NaN is unknown, categories are codes of `history`
    """

    names: tuple[str, ...]
    values: Floats
    history: History

    def __getitem__(self, name: str) -> Floats:
        """(n,) values of one feature; unknown everywhere for an attribute this history never heard of."""
        row = _places(self.names).get(name)
        values: Floats = np.full(len(self), np.nan) if row is None else self.values[row]
        return values

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def take(self, rows: Any) -> FeatureMatrix:
        """Some of the rows, by slice, mask or position."""
        return FeatureMatrix(self.names, self.values[:, rows], self.history)

    def replaced(self, by_name: Mapping[str, float | Floats]) -> FeatureMatrix:
        """The same rows with some features set to one value, or to (n,) values, each."""
        values, row = self.values.copy(), _places(self.names)
        for name, value in by_name.items():
            values[row[name]] = value
        return FeatureMatrix(self.names, values, self.history)

    def texts(self, name: str) -> tuple[str, ...]:
        """Texts of a categorical feature's codes."""
        return category_texts(self.history, name)

    def numbers(self, name: str) -> Floats:
        """(n,) a feature as numbers: custom attributes that are written as numbers are read as such."""
        if not name.startswith("custom:"):
            return self[name]
        vocabulary = self.history.columns.vocabularies.get(name.removeprefix("custom:"))
        return self[name] if vocabulary is None else vocabulary.numbers[_codes(self[name])]

    def many_numbers(self, names: tuple[str, ...]) -> Floats:
        """(len(names), n) what `numbers` gives for each of them."""
        rows, own = _rows_of(self.names, names)
        values: Floats = self.values[rows]
        for at in own:
            values[at] = self.numbers(names[at])
        return values

    def cells(self, names: tuple[str, ...], which: Ints) -> Floats:
        """(n, k) for each row the values of k features of its own, by their places (n, k) among `names`."""
        rows, strangers = _places_of(self.names, names)
        found: Floats = self.values[rows[which], np.arange(len(which))[:, None]]
        if strangers:
            found[(rows < 0)[which]] = np.nan
        return found

    def to_frame(self) -> pd.DataFrame:
        """A readable table: one row per landmark, categories as text."""
        columns = {}
        for name, row in zip(self.names, self.values, strict=True):
            if spec_of(name).kind == "category":
                texts = np.array([*self.texts(name), None], dtype=object)
                columns[name] = texts[_codes(row)]
            else:
                columns[name] = row
        return pd.DataFrame(columns)


@lru_cache(maxsize=64)
def _places(names: tuple[str, ...]) -> dict[str, int]:
    """Row of each feature."""
    return {name: row for row, name in enumerate(names)}


@lru_cache(maxsize=64)
def _places_of(names: tuple[str, ...], asked: tuple[str, ...]) -> tuple[Ints, bool]:
    """Row of each asked feature, -1 for one that is not there, and whether there is such a one."""
    row = _places(names)
    rows = np.array([row.get(name, -1) for name in asked], dtype=np.int64)
    return rows, bool((rows < 0).any())


@lru_cache(maxsize=64)
def _rows_of(names: tuple[str, ...], asked: tuple[str, ...]) -> tuple[Ints, tuple[int, ...]]:
    """Row of each asked feature, and the places of those no row tells: custom ones, and strangers."""
    row = _places(names)
    own = tuple(at for at, name in enumerate(asked) if name not in row or name.startswith("custom:"))
    return np.array([row.get(name, 0) for name in asked], dtype=np.int64), own


def category_texts(history: History, name: str) -> tuple[str, ...]:
    """Texts of a categorical feature's codes in one history; stages are `pipeline/stage`."""
    if name == "stage":
        return history.stages.names
    if name == "category":
        return CATEGORIES
    known = history.columns.vocabularies.get(name.removeprefix("custom:"))
    return () if known is None else known.texts


def feature_names(history: History) -> tuple[str, ...]:
    """Names of all features of a history, built-in ones first, then custom attributes."""
    return _NAMES + tuple(f"custom:{name}" for name in history.columns.custom)


def build(
    history: History, deal: Ints, at_us: Ints, records: TrackRecords, kinds: Kinds | None = None
) -> FeatureMatrix:
    """Features of deals as known before given moments.

    history : the past of all deals asked about
    deal : (n,) indices of deals already known at `at_us`
    at_us : (n,) moments; only entries recorded before them are read
    records : track records of owners, accounts and sources (dated for training, frozen for scoring)
    kinds : hidden kinds of deals as they were learnt; without them what they tell is unknown
    """
    deal, at_us = np.asarray(deal, np.int64), np.asarray(at_us, np.int64)
    names = feature_names(history)
    values = np.empty((len(names), len(deal)))
    bound = None if kinds is None else kinds.bind(history, records)
    for start in range(0, len(deal), _BLOCK):
        rows = slice(start, start + _BLOCK)
        _fill(history, deal[rows], at_us[rows], records, bound, values[:, rows])
    return FeatureMatrix(names, values, history)


@lru_cache(maxsize=8)
def _questions(custom: int) -> tuple[Ints, Ints]:
    """Which (field, moment) pairs are looked up: moment 0 is now, 1.. are the starts of the windows."""
    fields = [*range(len(FIELDS)), *range(len(FIELDS), len(FIELDS) + custom)]
    asked = [(field, 0) for field in fields]
    asked += [(ACTIVITY, 1 + place) for place in range(len(_WINDOWS_DAYS))]
    asked += [(ACTIVITY_IN, 1 + _WINDOWS_DAYS.index(30)), (MEETING, 1 + _WINDOWS_DAYS.index(90))]
    table = np.array(asked, dtype=np.int64)
    return table[:, 0].copy(), table[:, 1].copy()


def _fill(
    history: History, deal: Ints, at_us: Ints, records: TrackRecords, kinds: BoundKinds | None, out: Floats
) -> None:
    """Fill (F, n) features of one block of rows."""
    columns = history.columns
    fields = len(history.fields)
    custom = len(columns.custom)
    asked_field, asked_moment = _questions(custom)
    moments = np.concatenate((at_us[None, :], at_us - _WINDOWS_US))
    rank = history.clock.rank(moments)
    group = deal * fields + asked_field[:, None]
    end = history.index.end(group, rank[asked_moment])
    now = fields  # the first `fields` questions are about the present
    start = history.index.starts[group[:now]]
    number = end[:now] - start
    changes = np.maximum(number - 1, 0)
    known = number > 0
    last = end[:now] - 1
    value = np.where(known, history.value[last], np.nan)
    since_us = np.where(known, history.at_us[last], np.int64(0))
    ago_days = (at_us - since_us) / DAY_US
    said_days = np.where(known, ago_days, np.nan)
    at_days = at_us / DAY_US
    created_us = columns.created_at_us[deal]
    opening, promised = np.where(
        known[_FIRST_SAID], history.value[start[_FIRST_SAID] * known[_FIRST_SAID]], np.nan
    )

    first, final = start[STAGE], end[STAGE]
    out[_ROW["stage"]] = value[STAGE]
    out[_ROW["days_in_stage"]] = ago_days[STAGE]
    age_days = np.maximum(at_us - created_us, 0) / DAY_US
    out[_ROW["age_days"]] = age_days
    out[_ROW["days_to_stage"]] = np.maximum(since_us[STAGE] - created_us, 0) / DAY_US
    out[_MOVES] = history.moves[MOVED, final] - history.moves[MOVED, first]

    raw = value[AMOUNT]
    out[_ROW["amount"]] = np.maximum(raw * history.money.rate(columns.currency[deal], at_us), 0.0)
    # log of last over first: +0.1 is ten percent up; undefined (unknown) for amounts of zero or below.
    usable = (raw > 0) & (opening > 0)
    ratio = np.where(usable, raw, 1.0) / np.where(usable, opening, 1.0)
    out[_ROW["amount_change"]] = np.where(usable, np.log(ratio), np.nan)
    out[_ROW["amount_changes"]] = changes[AMOUNT]

    to_close = value[EXPECTED_CLOSE] - at_days
    out[_ROW["days_to_close"]] = to_close
    # The seller's date is a whole day: it has passed once that day is over.
    out[_ROW["overdue"]] = np.where(np.isnan(to_close), np.nan, to_close <= -1.0)
    first, final = start[EXPECTED_CLOSE], end[EXPECTED_CLOSE]
    out[_ROW["first_estimate_days"]] = promised - created_us / DAY_US
    out[_ROW["days_to_first_date"]] = promised - at_days
    out[_ROW["days_since_date_change"]] = said_days[EXPECTED_CLOSE]
    out[_PUSHES] = history.moves[PUSHED, final] - history.moves[PUSHED, first]
    out[_ROW["category"]] = value[CATEGORY]
    out[_ROW["category_changes"]] = changes[CATEGORY]

    bant = value[_ANSWERS]
    out[_ROW["budget"] : _ROW["timeline"] + 1] = bant
    out[_ROW["bant_answered"]], out[_ROW["bant_balance"]] = bant_totals(bant)
    out[_ROW["days_since_bant"]] = np.fmin.reduce(said_days[_ANSWERS])

    windows = end[now : now + len(_WINDOWS_DAYS)]
    out[_ROW["activities_7d"] : _ROW["activities_180d"] + 1] = end[ACTIVITY] - windows
    total, inbound = number[ACTIVITY], number[ACTIVITY_IN]
    out[_ROW["activities_total"]] = total
    out[_ROW["activities_per_week"]] = (total + 1.0) / (age_days + _USUAL_DAYS) * 7.0
    out[_ROW["inbound_share"]] = (inbound + _USUAL_INBOUND[0]) / (total + _USUAL_INBOUND[1])
    out[_ROW["days_since_inbound"]] = said_days[ACTIVITY_IN]
    out[_ROW["inbound_30d"]] = end[ACTIVITY_IN] - end[now + len(_WINDOWS_DAYS)]
    out[_ROW["meetings_90d"]] = end[MEETING] - end[now + len(_WINDOWS_DAYS) + 1]
    out[_ROW["silence_days"]] = ago_days[_LIFE].min(axis=0)

    owner = np.where(known[OWNER], value[OWNER], columns.owner[deal])
    owner = np.where(np.isnan(owner), -1, owner).astype(np.int64)
    for kind, code in (
        ("owner", owner),
        ("account", columns.account[deal]),
        ("source", columns.source[deal]),
    ):
        closed, above = records.counts(kind, code, rank[0])
        # The company's own rate rises and falls with the years and would stand for the date: only the
        # difference belongs to the deal.
        out[_ROW[f"{kind}_edge"]] = above / (closed + records.dilution[kind])
        # How many the account had closed makes it a known customer; the same count for owner or source would
        # only tell the date, which does not belong here.
        if kind == "account":
            out[_ROW["account_closed"]] = closed
    expected, above = records.counts(PACE, owner, rank[0])
    out[_ROW["owner_pace"]] = above / (expected + records.dilution[PACE])
    out[_ROW["owner_changes"]] = changes[OWNER]
    out[_ROW["motion"]] = _code(columns.motion[deal])
    out[_ROW["source"]] = _code(columns.source[deal])
    if custom:
        out[len(_NAMES) :] = value[len(FIELDS) :]
    if kinds is None:
        out[_OF_KINDS] = np.nan
    else:
        out[_OF_KINDS] = kinds.likeness(
            deal,
            start,
            end[:now],
            kinds.kinds.facts.at(history, _facts(history, kinds, out), len(deal)),
            stage=value[STAGE],
            since_us=since_us[STAGE],
            category=value[CATEGORY],
            created_us=created_us,
            at_us=at_us,
        ).features()


def _facts(history: History, kinds: BoundKinds, out: Floats) -> dict[str, Floats]:
    """(n,) what each fact of the kinds is, from the features of a block that are filled in already."""
    place, nothing = _places(feature_names(history)), np.full(out.shape[1], np.nan)
    return {name: out[place[name]] if name in place else nothing for name in kinds.kinds.facts.names}


def bant_totals(answers: Floats) -> tuple[Floats, Floats]:
    """(n,) how many BANT questions have an answer, and the sum of (answer - 0.5); answers are (4, n)."""
    given = ~np.isnan(answers)
    return given.sum(axis=0).astype(np.float64), np.where(given, answers - 0.5, 0.0).sum(axis=0)


def _code(codes: Ints) -> Floats:
    return np.where(codes < 0, np.nan, codes)


def _codes(values: Floats) -> Ints:
    """Inverse of `_code`."""
    return np.where(np.isnan(values), -1, values).astype(np.int64)
