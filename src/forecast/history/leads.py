"""Leads as a history: a lead is open from its creation until it is converted or disqualified.

A lead goes through three stages, `open`, `converted` (kind won) and `disqualified` (kind lost), so everything
that reads deals as of a moment reads leads too: landmarks, closings, track records, seasons.

What is known when: conversion, disqualification and activities carry their own dates. All other columns of
`leads` are a snapshot without dates. They stand as entries of the lead's first moment, and whether they may
be believed is for `features.lead_policy` to say; `deal_id`, `converted_at` and `disqualified_at` are outcomes
and become stages, never values.

The odd lead: one converted and disqualified has left at the first of both; an outcome dated before the
creation counts from the creation on; one with a `deal_id` and no date was converted when that deal was
created, or, if the deal is not in the data, at an unknown time and therefore was never seen open.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.history.build import activity_parts, micros, microseconds, stack, vocabulary_of
from forecast.history.columns import (
    ACTIVITY,
    ACTIVITY_IN,
    BANT,
    FIELDS,
    MEETING,
    MEETING_KINDS,
    STAGE,
    Columns,
    Vocabulary,
)
from forecast.history.history import NEVER_US, History
from forecast.history.stages import LOST, OPEN, WON, StageMap
from forecast.tables import TABLES, Money, Tables

__all__ = ["CONVERTED", "DISQUALIFIED", "LEAD_STAGES", "Leads", "leads_from_request"]

# What becomes of a lead, in the codes of outcomes: conversion is what deals call a win.
CONVERTED: Final = WON
DISQUALIFIED: Final = LOST
LEAD_STAGES: Final = StageMap(
    pipeline=("leads",) * 3,
    stage=("open", "converted", "disqualified"),
    label=("Open", "Converted", "Disqualified"),
    position=np.array([1, 2, 3]),
    kind=np.array([OPEN, WON, LOST], dtype=np.int8),
    default_probability=np.full(3, np.nan),
)
_KEYS: Final = ("owner_id", "account_id", "source")
_CONTRACT: Final = frozenset(TABLES["leads"])
_BANT_NAMES: Final = tuple(FIELDS[field] for field in BANT)


@dataclass(frozen=True)
class Leads:
    """Leads of a data folder, in order of their id.

    history : what happened to each, with conversion as a win; where `History` says deal, read lead
    deal : (L,) index in the deals' history of the deal each lead became, -1 for none or an unknown one
    """

    history: History
    deal: Ints

    @classmethod
    def from_tables(cls, tables: Tables, deals: History) -> Leads:
        """Leads of the tables that `deals` was made from."""
        frame = tables.leads.sort_values("lead_id", kind="stable").reset_index(drop=True)
        deal = pd.Index(deals.deal_ids).get_indexer(pd.Index(frame["deal_id"].to_numpy(object)))
        deal = np.where(frame["deal_id"].isna(), -1, deal).astype(np.int64)
        created_us = microseconds(frame["created_at"])
        ends_us, kind = _outcome(frame, created_us, deal, deals)

        custom = tuple(sorted(map(str, set(frame.columns) - _CONTRACT)))
        vocabularies = {name: vocabulary_of(frame[name]) for name in (*_KEYS, *custom)}
        every = np.arange(len(frame))
        left = kind != OPEN
        parts: list[tuple[Ints, int, Ints, Floats]] = [
            (every, STAGE, created_us, np.zeros(len(frame))),
            (every[left], STAGE, ends_us[left], kind[left].astype(np.float64)),
        ]
        for field, name in zip(BANT, _BANT_NAMES, strict=True):
            parts.append(_snapshot(field, frame[name].to_numpy(np.float64), created_us))
        for place, name in enumerate(custom):
            codes = vocabularies[name].codes(frame[name].to_numpy(object)).astype(np.float64)
            parts.append(_snapshot(len(FIELDS) + place, np.where(codes < 0, np.nan, codes), created_us))
        ids = pd.Index(frame["lead_id"].to_numpy(object))
        parts.extend(activity_parts(tables.activities, ids, "lead_id"))
        codes_of = {name: vocabularies[name].codes(frame[name].to_numpy(object)) for name in _KEYS}
        columns = _columns(
            frame["lead_id"].to_numpy(object), created_us, codes_of, vocabularies, custom, parts, deals.money
        )
        return cls(History.from_columns(columns), deal)

    def __len__(self) -> int:
        return len(self.history)


def leads_from_request(leads: list[dict[str, Any]], money: Money) -> History:
    """History of open leads as JSON sends them: columns of the `leads` table and `activities` of each.

    Times are `datetime` with zone or int microseconds; values are trusted here: who calls has checked them.
    """
    leads = sorted(leads, key=lambda lead: str(lead["lead_id"]))
    custom = tuple(sorted({name for lead in leads for name in lead} - _CONTRACT - {"activities"}))
    texts = {
        name: [None if lead.get(name) in (None, "") else str(lead[name]) for lead in leads]
        for name in (*_KEYS, *custom)
    }
    vocabularies = {
        name: Vocabulary(tuple(sorted({text for text in found if text is not None})))
        for name, found in texts.items()
    }
    rows: list[tuple[int, int, int, float]] = []
    for place, lead in enumerate(leads):
        created_us = micros(lead["created_at"])
        rows.append((place, STAGE, created_us, 0.0))
        for field, name in zip(BANT, _BANT_NAMES, strict=True):
            if lead.get(name) is not None:
                rows.append((place, field, created_us, float(lead[name])))
        for number, name in enumerate(custom):
            text = texts[name][place]
            if text is not None:
                rows.append((place, len(FIELDS) + number, created_us, vocabularies[name].places[text]))
        for activity in lead.get("activities") or ():
            at_us = micros(activity["occurred_at"])
            rows.append((place, ACTIVITY, at_us, 0.0))
            if activity.get("direction") == "in":
                rows.append((place, ACTIVITY_IN, at_us, 0.0))
            if activity["kind"] in MEETING_KINDS:
                rows.append((place, MEETING, at_us, 0.0))
    table = np.array(rows, dtype=object).reshape(-1, 4)
    parts = [
        (table[:, 0].astype(np.int64), table[:, 1], table[:, 2].astype(np.int64), table[:, 3].astype(float))
    ]
    codes = {name: vocabularies[name].codes(np.array(texts[name], dtype=object)) for name in _KEYS}
    columns = _columns(
        np.array([lead["lead_id"] for lead in leads], dtype=object),
        np.array([micros(lead["created_at"]) for lead in leads], dtype=np.int64),
        codes,
        vocabularies,
        custom,
        parts,
        money,
    )
    return History.from_columns(columns)


def _outcome(frame: pd.DataFrame, created_us: Ints, deal: Ints, deals: History) -> tuple[Ints, Ints]:
    """(L,) when each lead left (NEVER_US if it has not) and what it then was: OPEN, CONVERTED, DISQUALIFIED."""

    def moments(name: str) -> Ints:
        return np.where(frame[name].isna(), NEVER_US, microseconds(frame[name]))

    born_us = deals.columns.created_at_us[deal] if len(deals) else np.zeros(len(frame), np.int64)
    undated = np.where(deal >= 0, born_us, created_us)
    converted_us = moments("converted_at")
    converted_us = np.where(frame["deal_id"].notna() & (converted_us == NEVER_US), undated, converted_us)
    disqualified_us = moments("disqualified_at")
    # At the same moment the conversion counts: there is a deal to show for it.
    kind = np.where(converted_us <= disqualified_us, CONVERTED, DISQUALIFIED)
    ends_us = np.minimum(converted_us, disqualified_us)
    return np.maximum(ends_us, created_us), np.where(ends_us == NEVER_US, OPEN, kind)


def _snapshot(field: int, value: Floats, created_us: Ints) -> tuple[Ints, int, Ints, Floats]:
    """A column without dates, as entries of each lead's first moment."""
    known = np.flatnonzero(~np.isnan(value))
    return known, field, created_us[known], value[known]


def _columns(
    lead_ids: Any,
    created_us: Ints,
    codes: dict[str, Ints],
    vocabularies: dict[str, Vocabulary],
    custom: tuple[str, ...],
    parts: list[tuple[Ints, Any, Ints, Floats]],
    money: Money,
) -> Columns:
    """Columns of leads; what only deals have is unknown or the same for all."""
    count = len(lead_ids)
    entry_lead, entry_field, entry_at_us, entry_value = stack(parts)
    return Columns(
        stages=LEAD_STAGES,
        money=money,
        deal_ids=lead_ids,
        created_at_us=created_us,
        currency=np.full(count, -1, dtype=np.int32),
        pipeline=np.zeros(count, dtype=np.int64),
        motion=np.zeros(count, dtype=np.int64),
        account=codes["account_id"],
        source=codes["source"],
        owner=codes["owner_id"],
        amount_raw=np.full(count, np.nan),
        entry_deal=entry_lead,
        entry_field=entry_field,
        entry_at_us=entry_at_us,
        entry_value=entry_value,
        vocabularies={"pipeline": Vocabulary(("leads",)), "motion": Vocabulary(("new",)), **vocabularies},
        custom=custom,
        eventful=frozenset(),
    )
