"""The scramble test of the future: what is read as of a moment may not change when everything later does.

The books are written anew as if somebody had tampered with all that was recorded at or after a moment: half of
the later rows are gone, the others tell something else, and the columns of `deals` whose changes are events
hold nonsense. Features, and scores where models are given, as of the moment must be identical to the last bit.

What has no date cannot be tested so: a column without events is the same at every moment, and whether it was
filled in later is what the rest of the audit asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Ints
from forecast.features.builder import build
from forecast.history import DatedRecords, History
from forecast.periods import as_of_us
from forecast.tables import Money, Tables

__all__ = ["Scramble", "look_moments", "scramble_test"]

_MOST_DEALS: Final = 2_000  # of those open at a moment
_MUTABLE: Final = (
    "amount",
    "expected_close_on",
    "forecast_category",
    "budget",
    "authority",
    "need",
    "timeline",
)
Score = Callable[[History, Ints, Ints], Floats]


@dataclass(frozen=True, slots=True)
class Scramble:
    """What the test found.

    looks : how many times a deal was looked at; moments : as of when
    changed : features (and "scores") that changed, with the share of looks in which they did
    """

    looks: int
    moments: tuple[pd.Timestamp, ...]
    changed: dict[str, float]
    scored: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "looks": self.looks,
            "moments": [moment.isoformat() for moment in self.moments],
            "changed": self.changed,
            "scored": self.scored,
        }


def look_moments(history: History, until: pd.Timestamp, count: int = 2) -> tuple[pd.Timestamp, ...]:
    """Moments spread over the later half of what was recorded before `until`."""
    recorded = history.clock.moments_us[history.clock.moments_us < as_of_us(until)]
    if not len(recorded):
        return ()
    shares = 0.5 + 0.45 * np.arange(1, count + 1) / count
    return tuple(
        pd.Timestamp(int(moment), unit="us", tz="UTC")
        for moment in np.unique(np.quantile(recorded, shares).astype(np.int64))
    )


def scramble_test(
    tables: Tables,
    history: History,
    moments: Sequence[pd.Timestamp],
    *,
    money: Money | None = None,
    score: Score | None = None,
    seed: int = 0,
) -> Scramble:
    """Compare what is read as of some moments before and after all that is later was tampered with.

    history : that of `tables`
    score : (history, deals, moments) -> numbers by deal, of models that were given; None tests features alone
    """
    rng = np.random.default_rng(seed)
    unlike: dict[str, int] = {}
    looks = 0
    for moment in moments:
        at_us = as_of_us(moment)
        deal = history.open_deals(at_us)
        if len(deal) > _MOST_DEALS:
            deal = np.sort(rng.choice(deal, _MOST_DEALS, replace=False))
        other = History.from_tables(_tampered(tables, moment, rng), money)
        same = other.index_of(history.deal_ids[deal])
        before, after = _read(history, deal, at_us), _read(other, same, at_us)
        for name in before.columns.union(after.columns, sort=False):
            # An attribute first written later has no column in one of the two.
            one, two = (
                frame[name] if name in frame else pd.Series(np.nan, frame.index) for frame in (before, after)
            )
            count = int(_differ(one, two).sum())
            if count:
                unlike[name] = unlike.get(name, 0) + count
        if score is not None:
            at = np.full(len(deal), at_us)
            count = int((score(history, deal, at) != score(other, same, at)).sum())
            if count:
                unlike["scores"] = unlike.get("scores", 0) + count
        looks += len(deal)
    changed = {name: count / looks for name, count in sorted(unlike.items())}
    return Scramble(looks, tuple(moments), changed, score is not None)


def _read(history: History, deal: Ints, at_us: int) -> pd.DataFrame:
    features = build(history, deal, np.full(len(deal), at_us), DatedRecords.of(history))
    return features.to_frame()


def _differ(one: pd.Series, two: pd.Series) -> Bools:
    apart = (one.to_numpy() != two.to_numpy()) & ~(one.isna().to_numpy() & two.isna().to_numpy())
    return np.asarray(apart, dtype=bool)


def _tampered(tables: Tables, moment: pd.Timestamp, rng: np.random.Generator) -> Tables:
    """The tables with everything recorded at or after `moment` gone or different."""
    events = tables.deal_events
    later = (events["recorded_at"] >= moment).to_numpy()
    gone = later & (rng.random(len(events)) < 0.5)
    told = (later & ~gone)[~gone]
    kept = events[~gone].reset_index(drop=True)
    # Values of one field change places among the later rows of that field, stages stay stages.
    value = kept["value"].array.copy()
    rows = np.flatnonzero(told)
    if len(rows):
        field = kept["field"].to_numpy(object)[rows]
        by_field = np.argsort(field, kind="stable")
        mixed = by_field[np.lexsort((rng.random(len(rows)), field[by_field]))]
        value[rows[by_field]] = value[rows[mixed]]
    shift = pd.to_timedelta(rng.integers(0, 30, len(kept)) * told, unit="D")
    kept = kept.assign(value=value, recorded_at=kept["recorded_at"] + shift)

    activities = tables.activities
    after = (activities["occurred_at"] >= moment).to_numpy() & (rng.random(len(activities)) < 0.5)
    deals = tables.deals
    columns: dict[str, Any] = {}
    with_events = set(pd.unique(events["field"]))
    for name in _MUTABLE:
        # Only what events tell of is read from events; without any, a column has no date to be tested by.
        if name in with_events:
            columns[name] = deals[name].array[rng.permutation(len(deals))]
    for name in ("amount", "owner_id"):
        # A deal no event names an amount or an owner of is taken at its column, which stays; so it does for one
        # whose first such event is later and may be gone: there the column was not believed, and is blank now.
        if name in with_events:
            earlier = set(events.loc[(events["field"] == name) & ~later, "deal_id"])
            ever = set(events.loc[events["field"] == name, "deal_id"])
            undated = ~deals["deal_id"].isin(ever)
            blank = deals["deal_id"].isin(ever - earlier)
            columns[name] = pd.Series(columns.get(name, deals[name].array), index=deals.index)
            columns[name] = columns[name].where(~undated, deals[name]).mask(blank)
    return Tables(
        stages=tables.stages,
        deals=deals.assign(**columns),
        deal_events=kept,
        activities=activities[~after].reset_index(drop=True),
        users=tables.users,
        quotas=tables.quotas,
        leads=tables.leads,
        fx_rates=tables.fx_rates,
    )
