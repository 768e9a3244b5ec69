"""The whole recorded past of many deals, to be read as of any moment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints, Moments
from forecast.errors import DataError
from forecast.history.asof import AsOfIndex, Clock
from forecast.history.build import columns_from_request, columns_from_tables
from forecast.history.columns import (
    ACTIVITIES,
    AMOUNT,
    EXPECTED_CLOSE,
    FIELDS,
    OWNER,
    STAGE,
    Columns,
    Vocabulary,
)
from forecast.history.sheet import DealSheet
from forecast.history.stages import OPEN, WON, StageMap
from forecast.periods import DAY_US
from forecast.tables import Money, Tables

__all__ = ["MOVED", "PUSHED", "Closings", "History"]

# Rows of `History.moves`: moves forward, back, stages skipped, re-openings; pushes of the date, and their days.
MOVED: Final = slice(0, 4)
PUSHED: Final = slice(4, 6)
_OWNER_AND_AMOUNT: Final = np.array([[OWNER], [AMOUNT]])
# "Never" as a time: later than every moment anybody can ask about.
NEVER_US: Final = np.iinfo(np.int64).max // 4


@dataclass(frozen=True, slots=True)
class Closings:
    """Every time a deal was won or lost, in order of (deal, time).

    deal, at_us, kind, owner : (C,) the deal, when it was recorded, WON or LOST, who owned it then
    """

    deal: Ints
    at_us: Ints
    kind: NDArray[np.int8]
    owner: Ints


@dataclass(frozen=True)
class History:
    """Dated entries of every deal, sorted by (deal, field, time) and indexed by `AsOfIndex`.

    Entries that change nothing are dropped. Running totals per entry (moves, pushes) count only what came
    before it, so a difference of two of them is as blind to the future as the entries themselves.

    at_us, value : (N,) when recorded and what; codes for categories, days since 1970 for dates
    moves : (6, N + 1) running totals, rows `MOVED` and `PUSHED`
    """

    columns: Columns
    clock: Clock
    index: AsOfIndex
    at_us: Ints
    value: Floats
    moves: Floats

    @classmethod
    def from_tables(cls, tables: Tables, money: Money | None = None) -> History:
        """History of a data folder. Amounts stay in their own currency until they are read."""
        rates = Money.from_tables(tables) if money is None else money
        return cls.from_columns(columns_from_tables(tables, rates))

    @classmethod
    def from_request(cls, deals: list[dict[str, Any]], *, stages: StageMap, money: Money) -> History:
        """History of deals as a caller of the service sends them (see docs/http.md)."""
        return cls.from_columns(columns_from_request(deals, stages, money))

    @classmethod
    def from_sheet(cls, sheet: DealSheet, as_of_us: int, *, stages: StageMap, money: Money) -> History:
        """The same of deals that were read into columns, without what was recorded from `as_of_us` on."""
        return cls.from_columns(sheet.columns(as_of_us, stages, money))

    @classmethod
    def from_columns(cls, columns: Columns) -> History:
        """Sort, drop entries that change nothing, index."""
        fields = len(FIELDS) + len(columns.custom)
        group = columns.entry_deal * fields + columns.entry_field
        # At equal times the value decides (a later stage comes after an earlier one): file order never does.
        order = np.lexsort((columns.entry_value, columns.entry_at_us, group))
        group, at_us, value = group[order], columns.entry_at_us[order], columns.entry_value[order]
        follows = np.zeros(len(group), dtype=bool)  # another entry of the same field of the same deal
        np.equal(group[1:], group[:-1], out=follows[1:])
        field = columns.entry_field[order]
        same = follows.copy()
        same[1:] &= (value[1:] == value[:-1]) | (np.isnan(value[1:]) & np.isnan(value[:-1]))
        same &= (field < ACTIVITIES[0]) | (field > ACTIVITIES[-1])
        if same.any():
            group, field, follows = group[~same], field[~same], follows[~same]
            at_us, value = at_us[~same], value[~same]
        clock = Clock.of(at_us)
        index = AsOfIndex.of(group, at_us, len(columns.deal_ids) * fields, clock)
        moves = _running_moves(field, follows, value, columns.stages)
        return cls(columns, clock, index, at_us, value, moves)

    # -- who is there ---------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self.columns.deal_ids)

    @property
    def deal_ids(self) -> NDArray[np.object_]:
        """(D,) ids in sorted order; a deal's place is its index everywhere."""
        return self.columns.deal_ids

    @property
    def stages(self) -> StageMap:
        """Stages of all pipelines."""
        return self.columns.stages

    @property
    def money(self) -> Money:
        """Exchange rates."""
        return self.columns.money

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of all fields with a history: the built-in ones, then custom attributes."""
        return FIELDS + self.columns.custom

    def vocabulary(self, name: str) -> Vocabulary:
        """Texts of a categorical column: owner_id, account_id, source, motion, pipeline or a custom one."""
        return self.columns.vocabularies[name]

    def index_of(self, deal_ids: Any) -> Ints:
        """Indices of deals by id; DataError names the first unknown one."""
        asked = np.asarray(deal_ids, dtype=object)
        found = pd.Index(self.deal_ids).get_indexer(pd.Index(asked))
        if (found < 0).any():
            raise DataError(f"no deal {str(asked[found < 0][0])[:60]!r} in this history", code="unknown_deal")
        return found.astype(np.int64)

    # -- reading as of a moment -----------------------------------------------------------------------

    def end(self, deal: Ints, field: int, at_us: Moments) -> Ints:
        """Position after the last entry of `field` known before `at_us`, for many deals at once."""
        return self.index.end(deal * len(self.fields) + field, self.clock.rank(at_us))

    def last(self, deal: Ints, field: int | Ints, at_us: Moments) -> Floats:
        """Last value recorded before `at_us`; NaN if there is none.

        deal, field, at_us : (n,) or broadcasting: (F, 1) fields at once give (F, n)
        """
        group = deal * len(self.fields) + field
        end = self.index.end(group, self.clock.rank(at_us))
        known = end > self.index.starts[group]
        return np.where(known, self.value[end - 1], np.nan) if len(self.value) else np.full(end.shape, np.nan)

    def last_at_us(self, deal: Ints, field: int, at_us: Moments) -> Ints:
        """(n,) when the last entry of `field` known before `at_us` was recorded; -1 if there is none."""
        end = self.end(deal, field, at_us)
        known = end > self.index.starts[deal * len(self.fields) + field]
        return np.where(known, self.at_us[end - 1], -1) if len(self.at_us) else np.full(end.shape, -1)

    def stage(self, deal: Ints, at_us: Moments) -> Ints:
        """Stage code as known before `at_us`, -1 for a deal not yet known."""
        code = self.last(deal, STAGE, at_us)
        return np.where(np.isnan(code), -1.0, code).astype(np.int64)

    def owner(self, deal: Ints, at_us: Moments) -> Ints:
        """Code of the owner as known before `at_us`; the deals table's owner where no event names one."""
        return self._owner(deal, self.last(deal, OWNER, at_us))

    def amount_raw(self, deal: Ints, at_us: Moments) -> Floats:
        """Amount in the deal's own currency as known before `at_us`, NaN if unknown.

        A deal whose amount has no event at all is taken at the amount of the deals table.
        """
        return self._amount_raw(deal, self.last(deal, AMOUNT, at_us))

    def owner_and_amount_raw(self, deal: Ints, at_us: Moments) -> tuple[Ints, Floats]:
        """Both, looked up at once."""
        owner, raw = self.last(deal, _OWNER_AND_AMOUNT, at_us)
        return self._owner(deal, owner), self._amount_raw(deal, raw)

    def _owner(self, deal: Ints, code: Floats) -> Ints:
        return np.where(np.isnan(code), self.columns.owner[deal], code).astype(np.int64)

    def _amount_raw(self, deal: Ints, raw: Floats) -> Floats:
        group = deal * len(self.fields) + AMOUNT
        eventless = self.index.starts[group] == self.index.starts[group + 1]
        return np.where(eventless, self.columns.amount_raw[deal], raw)

    def rate(self, deal: Ints, at_us: Moments) -> Floats:
        """Exchange rate of each deal's currency in force at each moment, NaN where none is known."""
        return self.money.rate(self.columns.currency[deal], at_us)

    def amount(self, deal: Ints, at_us: Moments) -> Floats:
        """Amount in the reporting currency, at the rate of the same moment."""
        return self.amount_raw(deal, at_us) * self.rate(deal, at_us)

    def expected_close_us(self, deal: Ints, at_us: Moments) -> Floats:
        """The seller's date as microseconds since 1970 (float, NaN if none) as known before `at_us`."""
        return self.last(deal, EXPECTED_CLOSE, at_us) * float(DAY_US)

    def open_deals(self, as_of_us: int) -> Ints:
        """Indices of the deals that are open as known before `as_of_us`."""
        every = np.arange(len(self))
        stage = self.stage(every, np.int64(as_of_us))
        found: Ints = every[(stage >= 0) & (self.stages.kind[stage] == OPEN)]
        return found

    # -- outcomes -------------------------------------------------------------------------------------

    @cached_property
    def stage_entries(self) -> tuple[Ints, Ints, Ints]:
        """(deal, time, stage code) of every stage entry in order of (deal, time)."""
        fields = len(self.fields)
        entry_group = np.repeat(np.arange(len(self) * fields), np.diff(self.index.starts))
        at = np.flatnonzero(entry_group % fields == STAGE)
        return entry_group[at] // fields, self.at_us[at], self.value[at].astype(np.int64)

    @cached_property
    def closings(self) -> Closings:
        """Every winning and losing; moves between won stages (post-purchase) are no new win."""
        deal, at_us, stage = self.stage_entries
        kind = self.stages.kind[stage]
        before = np.empty_like(kind)
        before[:1] = OPEN
        before[1:] = np.where(deal[1:] == deal[:-1], kind[:-1], OPEN)
        closing = (kind != OPEN) & (kind != before)
        deal, at_us, kind = deal[closing], at_us[closing], kind[closing]
        return Closings(deal, at_us, kind, self.owner(deal, at_us))

    def known_from_us(self) -> Ints:
        """(D,) when each deal was first seen in a stage; NEVER_US for one that never was."""
        starts = self.index.starts[np.arange(len(self)) * len(self.fields) + STAGE]
        ends = self.index.starts[np.arange(len(self)) * len(self.fields) + STAGE + 1]
        known = np.full(len(self), NEVER_US, dtype=np.int64)
        has = ends > starts
        known[has] = self.at_us[starts[has]]
        return known

    def booked(self, as_of_us: int, start_us: int, end_us: int) -> pd.DataFrame:
        """Deals won in [start, end), as known before `as_of` and still won then.

        Columns deal_id, owner_id, amount (reporting currency at the rate of the day of winning, NaN where it
        cannot be converted), closed_at. A deal won, re-opened and won again counts once, at its last winning.
        """
        won = self.closings
        known = (won.at_us < as_of_us) & (won.kind == WON)
        last = pd.Series(won.at_us[known]).groupby(won.deal[known]).max()
        deal, at_us = last.index.to_numpy(np.int64), last.to_numpy(np.int64)
        stage = self.stage(deal, np.int64(as_of_us))
        keep = (self.stages.kind[stage] == WON) & (at_us >= start_us) & (at_us < end_us)
        deal, at_us = deal[keep], at_us[keep]
        return pd.DataFrame(
            {
                "deal_id": pd.array(self.deal_ids[deal], dtype="str"),
                "owner_id": pd.array(
                    self.vocabulary("owner_id").take(self.owner(deal, np.int64(as_of_us))), dtype="str"
                ),
                # The amount may be put right in the days after signing: the last one known counts.
                "amount": self.amount_raw(deal, np.int64(as_of_us)) * self.rate(deal, at_us),
                "closed_at": pd.to_datetime(at_us, unit="us", utc=True).as_unit("us"),
            }
        )


def _running_moves(field: Ints, follows: NDArray[np.bool_], value: Floats, stages: StageMap) -> Floats:
    """(6, N + 1) running totals over all entries of what each entry did to its deal.

    follows : (N,) whether an entry changes the one before it
    """
    totals = np.zeros((6, len(field) + 1))
    moved = np.flatnonzero(follows & (field == STAGE))
    new, old = value[moved].astype(np.int64), value[moved - 1].astype(np.int64)
    opens, opened = stages.kind[new] == OPEN, stages.kind[old] == OPEN
    steps = np.where(opens & opened, stages.step[new] - stages.step[old], 0)
    totals[MOVED, moved + 1] = steps > 0, steps < 0, np.maximum(steps - 1, 0), opens & ~opened
    pushes = np.flatnonzero(follows & (field == EXPECTED_CLOSE))
    later_days = np.fmax(value[pushes] - value[pushes - 1], 0.0)
    totals[PUSHED, pushes + 1] = later_days > 0, later_days
    return np.cumsum(totals, axis=1, out=totals)
