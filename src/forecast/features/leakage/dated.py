"""Fields with dated entries: how much of what is written is written because a deal closes?

An entry is read as of the moment, so what closing writes is invisible to every look before it: such a field is
*repaired* by the way it is read. Two things remain. A field that gets its first value mostly by closing has
nothing to teach but that a written field means a closed deal, and it comes undated over HTTP: it is left out.
And what closing changes in a field that was honest before is named, because every number computed from the
table as it stands is wrong.

"By closing" is measured against chance: a field written every week has writes near closings, too. The rate at
which a field is written on open days, away from creation and closing, tells how many to expect; that is
doubled, because closings and writes both prefer office hours.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.features.leakage.association import Values, custom_values
from forecast.features.leakage.fates import Fates
from forecast.features.leakage.findings import Figures, LeakRules
from forecast.features.leakage.undated import Judgement, Words
from forecast.history import LOST, WON, History, make_landmarks
from forecast.history.columns import ACTIVITY, AMOUNT, BANT, EXPECTED_CLOSE, FIELDS
from forecast.history.history import NEVER_US
from forecast.periods import DAY_US

__all__ = ["Past", "judge_activities", "judge_dated"]

_AFTER_DAYS: Final = 7.0  # what is written so soon after a closing is still its doing
_CLOCKS: Final = 2.0  # closings and writes share office hours: chance counts double
_LEAST: Final = 10  # closings that change a field; fewer are no habit
_NOTABLE_FIRST: Final = 0.15
_BATCH: Final = 10
_BURST_DAYS: Final = 2.0
_BEFORE_DAYS: Final = 30.0
_BURST: Final = 3.0  # times the usual pace
_SURE: Final = 5.0  # standard errors
_LOOKS_EVERY_DAYS: Final = 28.0
_WON_WITHIN_DAYS: Final = 30.0


@dataclass(frozen=True)
class Past:
    """A history with what became of its deals, as known before a moment."""

    history: History
    fates: Fates
    rules: LeakRules

    @cached_property
    def window_us(self) -> int:
        """How long before a closing is "by closing"; less where deals last only days."""
        fates = self.fates
        lasted = fates.closed_us[fates.is_closed] - fates.from_us[fates.is_closed]
        whole = self.rules.closing_hours * DAY_US / 24
        return int(min(whole, 0.1 * float(np.median(lasted)))) if len(lasted) else int(whole)

    @cached_property
    def judged(self) -> Bools:
        """(D,) closed deals that lasted long enough to be asked what closing wrote."""
        fates = self.fates
        return fates.is_closed & (fates.closed_us - fates.from_us > 2 * self.window_us)

    @cached_property
    def _fields(self) -> tuple[Ints, Ints]:
        """(N,) deal and field of every entry."""
        width = len(self.history.fields)
        group = np.repeat(np.arange(len(self.history) * width), np.diff(self.history.index.starts))
        return group // width, group % width

    def entries(self, field: int) -> tuple[Ints, Ints]:
        """Deals and moments of the entries of a field, as known, of deals known by then."""
        deal, fields = self._fields
        at_us = self.history.at_us
        rows = np.flatnonzero((fields == field) & (at_us < self.fates.until_us))
        known = self.fates.kind[deal[rows]] >= 0
        return deal[rows][known], at_us[rows][known]

    def values(self, field: int, at_us: Ints) -> Values:
        """Values of a field for every deal as known before (D,) moments."""
        every = np.arange(len(self.history))
        if field == ACTIVITY:
            end = self.history.end(every, field, at_us)
            count = (end - self.history.index.starts[every * len(self.history.fields) + field]).astype(float)
            return Values(count, numbers=count)
        last = self.history.last(every, field, at_us)
        if field >= len(FIELDS):
            return custom_values(self.history, self.history.fields[field], last)
        if field in (AMOUNT, *BANT):
            return Values(last, numbers=last)
        if field == EXPECTED_CLOSE:
            # The day itself would tell the year; how far ahead it lies belongs to the deal.
            ahead = last - self.fates.created_us / DAY_US
            return Values(ahead, numbers=ahead)
        return Values(last)

    @cached_property
    def half_way_us(self) -> Ints:
        """(D,) half-way through the life of each closed deal; the end for open ones."""
        fates = self.fates
        middle = fates.from_us + (fates.closed_us - fates.from_us) // 2
        return np.where(fates.is_closed, middle, fates.until_us)


@dataclass(frozen=True)
class _Writes:
    """Counts of a field's writes around closings, and what chance would give.

    first : share of the deals closed with a value in which the first came by closing, beyond chance
    changed : outcome -> (share of closings by which it was written, beyond chance; their number)
    """

    first: float
    changed: dict[int, tuple[float, int]]
    figures: Figures


def judge_dated(past: Past, field: int, words: Words) -> Judgement:
    """Judge a field that has dated entries, from what was recorded before the moment of `past`."""
    fates, rules = past.fates, past.rules
    judged = past.judged
    figures = Figures(writes=len(past.entries(field)[0]))
    if judged.sum() < rules.min_closed:
        told = f"too few to tell: only {int(judged.sum())} closed {words.records} with a life to look at"
        return Judgement("too_few", "too_few", told, figures)
    writes = _count(past, field)
    early = past.values(field, past.half_way_us)
    late = past.values(field, np.full(len(fates.kind), fates.until_us))
    v, area = early.strength(judged, fates.won)
    end_v, end_area = late.strength(judged, fates.won)
    figures = replace(
        writes.figures,
        strength_landmark=max(v, 2 * area - 1),
        strength_close=max(end_v, 2 * end_area - 1),
    )
    name = past.history.fields[field]
    if v > rules.echo or area > rules.echo_auc:
        told = (
            f"half-way through a deal it tells {words.won} from {words.lost} already "
            f"(Cramer's V {v:.2f}, AUC {area:.2f}): an echo, written back"
        )
        return Judgement("leaks", "echo", told, figures)
    if writes.first > rules.written_by_closing:
        told = (
            f"{writes.first:.0%} of the closed {words.records} that have it got it by closing "
            f"(within {rules.closing_hours:.0f} h of it or after, beyond chance)"
            f"{', most of them many at one instant' if figures.batch_share > 0.5 else ''}"
        )
        return Judgement("leaks", "written_by_closing", told, figures)
    changed = {
        kind: share
        for kind, (share, count) in writes.changed.items()
        if share > rules.changed_at_closing and count >= _LEAST
    }
    if changed:
        shares = " and ".join(f"{share:.0%} of {words.of(kind)}" for kind, share in changed.items())
        verb = "corrected" if field == AMOUNT else "written"
        told = f"{verb} by closing in {shares} {words.records}: as of the moment, looks before do not see it"
        return Judgement("suspicious", f"{verb}_at_closing", told, figures)
    if writes.first > _NOTABLE_FIRST:
        told = f"{writes.first:.0%} of the closed {words.records} that have it got it by closing; read as of"
        return Judgement("suspicious", "partly_by_closing", f"{told} the moment", figures)
    if (end_v > rules.echo or end_area > rules.echo_auc) and name != "expected_close_on":
        told = (
            f"as it stands after closing it repeats the outcome (Cramer's V {end_v:.2f}, AUC {end_area:.2f}); "
            f"read as of the moment it does not ({v:.2f}, {area:.2f})"
        )
        return Judgement("suspicious", "echo_at_closing", told, figures)
    return Judgement("ok", "as_of", "read as of the moment", figures)


def _count(past: Past, field: int) -> _Writes:
    fates, judged, window = past.fates, past.judged, past.window_us
    deal, at_us = past.entries(field)
    after_us = round(_AFTER_DAYS * DAY_US)
    never = fates.closed_us == NEVER_US
    since_us = np.where(never[deal], -NEVER_US, at_us - fates.closed_us[deal])
    at_closing = since_us >= -window
    soon = at_closing & (since_us <= after_us)

    # Pace of writing on open days, away from the creation and from the closing.
    begins_us = fates.from_us + window
    ends_us = np.minimum(np.where(never, fates.until_us, fates.closed_us - window), fates.until_us)
    known = fates.kind >= 0
    days_open = np.where(known, np.maximum(ends_us - begins_us, 0), 0) / DAY_US
    midway = (at_us >= begins_us[deal]) & (at_us < ends_us[deal])
    pace = midway.sum() / max(days_open.sum(), 1e-9)

    first_us = np.full(len(fates.kind), NEVER_US, dtype=np.int64)
    np.minimum.at(first_us, deal, at_us)
    empty_days = np.where(known, np.clip(np.minimum(first_us, ends_us) - begins_us, 0, None), 0) / DAY_US
    first_midway = (first_us >= begins_us) & (first_us < ends_us)
    first_pace = first_midway.sum() / max(empty_days.sum(), 1e-9)

    span_days = (window + after_us) / DAY_US
    has = first_us < NEVER_US
    blank = judged & (first_us >= fates.closed_us - window)
    written_soon = blank & (first_us <= fates.closed_us + after_us)
    written_later = blank & has & ~written_soon
    still = blank & ~written_soon
    later_days = np.where(still, np.maximum(fates.until_us - fates.closed_us - after_us, 0), 0) / DAY_US
    by_chance = blank.sum() * -np.expm1(-_CLOCKS * first_pace * span_days)
    later_by_chance = -np.expm1(-_CLOCKS * first_pace * later_days[still]).sum()
    excess = max(written_soon.sum() - by_chance, 0.0) + max(written_later.sum() - later_by_chance, 0.0)
    first = float(excess / max((judged & has).sum(), 1))

    changed, shares = {}, {}
    expected = float(-np.expm1(-_CLOCKS * pace * span_days))
    for kind in (WON, LOST):
        mine = judged & (fates.kind == kind)
        of_kind = fates.kind[deal] == kind
        # A write that repeats on the day of the closing counts once.
        closings = len(np.unique(deal[soon & of_kind & judged[deal]]))
        count = max(int(mine.sum()), 1)
        sure = closings - expected * count > _SURE * np.sqrt(expected * count + 1.0)
        changed[kind] = (closings / count - expected if sure else 0.0, closings)
        shares[kind] = float(at_closing[of_kind].mean()) if of_kind.any() else float("nan")
    _, place, repeats = np.unique(at_us, return_inverse=True, return_counts=True)
    batch = repeats[place] > _BATCH
    closed_writes = judged[deal].sum()
    figures = Figures(
        writes=len(deal),
        closing_share_won=shares[WON],
        closing_share_lost=shares[LOST],
        chance_share=float(min(pace * span_days * judged.sum() / max(closed_writes, 1), 1.0)),
        filled_open=_mean(has & fates.is_open, fates.is_open),
        filled_won=_mean(first_us < fates.closed_us - window, judged & fates.won),
        filled_lost=_mean(first_us < fates.closed_us - window, judged & ~fates.won),
        batch_share=float(batch[at_closing].mean()) if at_closing.any() else float("nan"),
    )
    return _Writes(first, changed, figures)


def judge_activities(past: Past, words: Words) -> Judgement:
    """Whether activities burst around closings: what closing itself causes, contract mails say.

    Activities before a closing are seen as of the moment, in training as in use, so they are used; but a look
    in those two days only reads what has been decided already. What they bring is told with and without them.
    """
    fates, rules = past.fates, past.rules
    deal, at_us = past.entries(ACTIVITY)
    burst_us = round(_BURST_DAYS * DAY_US)
    lasted = fates.closed_us - fates.from_us
    judged = fates.is_closed & (lasted > 2 * burst_us)
    figures = Figures(writes=len(deal))
    if not len(deal):
        return Judgement("ok", "empty", "no activities", figures)
    if judged.sum() < rules.min_closed:
        told = f"too few to tell: only {int(judged.sum())} closed {words.records} with a life to look at"
        return Judgement("too_few", "too_few", told, figures)
    until_closing_us = np.where(fates.is_closed[deal], fates.closed_us[deal] - at_us, NEVER_US)
    reach_us = round(_BEFORE_DAYS * DAY_US)
    early, late = (
        past.values(ACTIVITY, at).strength(judged, fates.won)
        for at in (past.half_way_us, np.full(len(fates.kind), fates.until_us))
    )
    figures = replace(
        figures,
        closing_share_won=_near(until_closing_us, fates.kind[deal] == WON, past.window_us),
        closing_share_lost=_near(until_closing_us, fates.kind[deal] == LOST, past.window_us),
        strength_landmark=max(early[0], 2 * early[1] - 1),
        strength_close=max(late[0], 2 * late[1] - 1),
    )
    for kind in (WON, LOST):
        mine = judged & (fates.kind == kind)
        of_mine = mine[deal]
        usual = of_mine & (until_closing_us > burst_us) & (until_closing_us <= reach_us)
        days = (np.minimum(lasted[mine], reach_us) - burst_us).sum() / DAY_US
        pace = usual.sum() / max(days, 1e-9)
        expected = pace * _BURST_DAYS * mine.sum()
        before = int((of_mine & (until_closing_us > 0) & (until_closing_us <= burst_us)).sum())
        after = int((of_mine & (until_closing_us <= 0) & (until_closing_us > -burst_us)).sum())
        sure = before >= rules.min_closed and before - expected > _SURE * np.sqrt(expected + 1.0)
        if sure and before > _BURST * expected:
            whole, without = _lag_sensitivity(past)
            times = before / max(expected, 1e-9)
            told = (
                f"in the 48 h before {words.records} are {words.of(kind)} {times:.1f} times as many as usual, "
                f"{after / max(expected, 1e-9):.1f} times in the 48 h after: closing causes them. Counted over "
                f"14 days their AUC for a win within 30 is {whole:.2f}, without the last 48 h {without:.2f}"
            )
            return Judgement("suspicious", "burst_at_closing", told, figures)
    return Judgement("ok", "as_of", "read as of the moment", figures)


def _lag_sensitivity(past: Past) -> tuple[float, float]:
    """AUC of activities in 14 days for a win within 30, as they are, and with the last 48 hours unseen."""
    history = past.history
    looks = make_landmarks(history, until_us=past.fates.until_us, every_days=_LOOKS_EVERY_DAYS)
    decided = (looks.cause > 0) | (looks.duration_days >= _WON_WITHIN_DAYS)
    looks = looks.take(decided)
    won = (looks.cause == WON) & (looks.duration_days <= _WON_WITHIN_DAYS)
    ends = [
        history.end(looks.deal, ACTIVITY, looks.at_us - round(days * DAY_US)) for days in (0.0, 2.0, 14.0)
    ]
    areas = []
    for newest in (ends[0], ends[1]):
        count = (newest - ends[2]).astype(np.float64)
        areas.append(Values(count, numbers=count).strength(np.ones(len(won), bool), won)[1])
    return areas[0], areas[1]


def _near(until_closing_us: Ints, rows: Bools, window_us: int) -> float:
    return float((until_closing_us[rows] <= window_us).mean()) if rows.any() else float("nan")


def _mean(has: Bools | Floats, rows: Bools) -> float:
    return float(has[rows].mean()) if rows.any() else float("nan")
