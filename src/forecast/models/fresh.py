"""What becomes of a deal born from a lead: P(won within h days of its creation), by the lead's source.

Three rates, constant within a bin of the days since creation: of winning, of losing, and of coming back from
a loss. From them the share of deals that have been won by each day follows step by step (the Aalen-Johansen
estimator of state occupation, which asks no Markov property of single deals: Datta and Satten 2001).

The shape over time is that of all new deals of the company. A source and birth from a lead move its level,
each by one factor per rate that is drawn to 1 with the weight of ten closings (Gamma-Poisson): deals from
leads of a source lean on those from all leads, on all deals of the source, and on the company's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.history import LOST, OPEN, WON, History
from forecast.models.bins import Bins
from forecast.models.incidence import HORIZON_CAP_DAYS
from forecast.periods import DAY_US

__all__ = ["FreshDeals", "fit_fresh"]

# Before any data: half of all deals are decided within this time, a quarter of them won; few come back.
_PRIOR_RATE: Final = np.log(2.0) / 90.0
_PRIOR: Final = np.array([0.25 * _PRIOR_RATE, 0.75 * _PRIOR_RATE, 0.1 / 365.0])
_BIN_EVENTS: Final = 2.0  # closings one bin of the company is diluted with
_LEVEL_EVENTS: Final = 10.0  # closings the level of a source, or of leads, is diluted with
_MOST_SOURCES: Final = 40
_ROUNDS: Final = 6
_DAYS: Final = int(HORIZON_CAP_DAYS)
_WIN, _LOSE, _RETURN = range(3)


@dataclass(frozen=True)
class FreshDeals:
    """Rates of new deals.

    rates : (3, J) of winning, losing and returning per day, of all new deals of the company
    sources : names of the S sources with a level of their own
    levels : (S + 1, 2) factors of winning and losing for a deal from a lead of each source; the last row serves
        every other source
    """

    bins: Bins
    rates: Floats
    sources: tuple[str, ...]
    levels: Floats

    @cached_property
    def won_by_day(self) -> Floats:
        """(S + 1, 731) P(won within d whole days of creation), d = 0 .. 730; never falls."""
        bin_of_day = self.bins.of(np.arange(_DAYS, dtype=np.float64) + 0.5)
        win = self.levels[:, :1] * self.rates[_WIN, bin_of_day]
        lose = self.levels[:, 1:] * self.rates[_LOSE, bin_of_day]
        total = win + lose
        leaves = -np.expm1(-total)
        wins = np.divide(win, total, out=np.zeros_like(win), where=total > 0) * leaves
        returns = -np.expm1(-self.rates[_RETURN, bin_of_day])
        is_open, is_lost = np.ones(len(win)), np.zeros(len(win))
        won = np.zeros((len(win), _DAYS + 1))
        for day in range(_DAYS):
            back = is_lost * returns[day]
            out, gained = is_open * leaves[:, day], is_open * wins[:, day]
            won[:, day + 1] = won[:, day] + gained
            is_lost = is_lost - back + out - gained
            is_open = is_open - out + back
        return won

    def place(self, texts: tuple[str, ...]) -> Ints:
        """(len(texts) + 1,) row of `levels` of each source; the last serves an unknown one."""
        rows = {name: row for row, name in enumerate(self.sources)}
        other = len(self.sources)
        return np.array([*(rows.get(text, other) for text in texts), other], dtype=np.int64)

    def won_within(self, days: Floats) -> Floats:
        """(S + 1, n) P(won within each of n numbers of days, 0 to 730, of creation)."""
        low = np.clip(days.astype(np.int64), 0, _DAYS - 1)
        part = np.clip(days - low, 0.0, 1.0)
        table = self.won_by_day
        found: Floats = table[:, low] + part * (table[:, low + 1] - table[:, low])
        return found

    def won_at(self, place: Ints, days: Floats) -> Floats:
        """(n,) P(won within each row's own days of creation), by its row of `levels`."""
        low = np.clip(days.astype(np.int64), 0, _DAYS - 1)
        table = self.won_by_day
        found: Floats = table[place, low] + (days - low) * (table[place, low + 1] - table[place, low])
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "bins": self.bins.to_json(),
            "rates": self.rates.tolist(),
            "sources": list(self.sources),
            "levels": self.levels.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FreshDeals:
        """Inverse of `to_json`."""
        return cls(
            Bins.from_json(data["bins"]),
            np.array(data["rates"], dtype=np.float64),
            tuple(data["sources"]),
            np.array(data["levels"], dtype=np.float64),
        )


@dataclass(frozen=True)
class _Spells:
    """Times deals spent open or lost, with what ended them.

    bins : J bins of days since creation
    deal : (n,); lost : (n,) whether it was a time after a loss
    exposure : (n, J) days in each bin since creation; bin : (n,) of the end
    won, fell, returned : (n,) whether it ended so
    """

    bins: Bins
    deal: Ints
    lost: Bools
    exposure: Floats
    bin: Ints
    won: Bools
    fell: Bools
    returned: Bools

    def counts(self, level: Floats) -> tuple[Floats, Floats]:
        """(3, J) events, and days at risk, of winning, losing and returning.

        level : (n, 2) factors of winning and losing: a day at twice the usual rate counts as two
        """
        width = self.exposure.shape[1]
        ended = (self.won, self.fell, self.returned)
        events = np.stack([np.bincount(self.bin[e], minlength=width) for e in ended]).astype(np.float64)
        weight = np.stack([level[:, _WIN] * ~self.lost, level[:, _LOSE] * ~self.lost, 1.0 * self.lost])
        days: Floats = weight @ self.exposure
        return events, days

    def level(self, rows: Bools, rates: Floats, already: Floats) -> Floats:
        """(2,) factors of winning and losing of some spells over `already` ((2,) or (n, 2)) times the rates."""
        at_risk = rows & ~self.lost
        known = np.broadcast_to(already, (len(rows), 2))[at_risk]
        expected = (self.exposure[at_risk] @ rates[:_RETURN].T * known).sum(axis=0)
        seen = np.array([(rows & self.won).sum(), (rows & self.fell).sum()], dtype=np.float64)
        factor: Floats = (seen + _LEVEL_EVENTS) / (expected + _LEVEL_EVENTS)
        return factor


def fit_fresh(deals: History, born: Bools, until_us: int) -> FreshDeals:
    """Learn from what was recorded of deals before `until_us`.

    born : (D,) whether each deal came from a lead; these count whatever their motion, others if it is `new`
    """
    motions = deals.vocabulary("motion")
    fresh = born | (deals.columns.motion == motions.places.get("new", -2))
    spells = _spells(deals, fresh, until_us)
    source, from_lead = deals.columns.source[spells.deal], born[spells.deal]
    names = deals.vocabulary("source").texts
    seen = np.bincount(deals.columns.source[born & (deals.columns.source >= 0)], minlength=len(names))
    chosen = np.sort(np.argsort(-seen, kind="stable")[:_MOST_SOURCES])
    chosen = chosen[seen[chosen] > 0]

    # Shape and levels in turn: sources that win fast leave the others behind, and a shape of all together
    # would mistake that for waiting.
    level = np.ones((len(spells.deal), 2))
    for _ in range(_ROUNDS):
        rates = _rates(*spells.counts(level))
        of_source = {int(code): spells.level(source == code, rates, np.ones(2)) for code in chosen}
        for code, factor in of_source.items():
            level[source == code] = factor
    # How deals from leads differ from the others of their sources, all sources together, then each.
    common = spells.level(from_lead, rates, level)
    levels = [
        factor * common * spells.level(from_lead & (source == code), rates, factor * common)
        for code, factor in of_source.items()
    ]
    return FreshDeals(
        spells.bins, rates, tuple(names[code] for code in of_source), np.array([*levels, common])
    )


def _spells(deals: History, fresh: Bools, until_us: int) -> _Spells:
    """Open and lost times of fresh deals, until their first win or `until_us`."""
    deal, at_us, stage = deals.stage_entries
    kept = (at_us < until_us) & fresh[deal]
    deal, at_us, kind = deal[kept], at_us[kept], deals.stages.kind[stage[kept]]
    last = np.ones(len(deal), dtype=bool)
    last[:-1] = deal[1:] != deal[:-1]
    ends_us = np.where(last, until_us, np.concatenate((at_us[1:], [until_us])))
    next_kind = np.where(last, -1, np.concatenate((kind[1:], [-1])))
    # What comes after a first win is no longer waited for.
    wins = np.concatenate(([0], np.cumsum(kind == WON)))
    first = np.searchsorted(deal, deal)
    before = wins[:-1] == wins[first]
    rows = np.flatnonzero(before & (kind != WON))
    deal, at_us, ends_us, kind, next_kind = (
        deal[rows],
        at_us[rows],
        ends_us[rows],
        kind[rows],
        next_kind[rows],
    )
    start = np.maximum(at_us - deals.columns.created_at_us[deal], 0) / DAY_US
    end = np.maximum(ends_us - deals.columns.created_at_us[deal], 0) / DAY_US
    bins = Bins.for_follow_up(float(end.max(initial=7.0)))
    inner = np.concatenate((bins.edges_days[:-1], [np.inf]))  # the last bin also serves everything after it
    spent = np.diff(np.clip(inner, start[:, None], np.maximum(end, start)[:, None]), axis=1)
    return _Spells(
        bins=bins,
        deal=deal,
        lost=kind == LOST,
        exposure=spent,
        bin=bins.of(end),
        won=(next_kind == WON) & (kind == OPEN),
        fell=(next_kind == LOST) & (kind == OPEN),
        returned=((next_kind == OPEN) | (next_kind == WON)) & (kind == LOST),
    )


def _rates(events: Floats, days: Floats) -> Floats:
    """(3, J) rates by bin, drawn to the rate over all bins, that to what is usual."""
    if not events[:_RETURN].any():
        # Without a single closing nobody can tell "nothing closes" from "closed deals were not exported".
        days = np.zeros_like(days)
    overall = (events.sum(axis=1) + _BIN_EVENTS) / (days.sum(axis=1) + _BIN_EVENTS / _PRIOR)
    rates: Floats = (events + _BIN_EVENTS) / (days + _BIN_EVENTS / overall[:, None])
    return rates
