"""The exact probability of winning, given what was recorded: no sampling anywhere.

Two steps. *Filtering*: the likelihood of all records of a deal before `as_of` under each hidden quality -
moves made, days survived in each stage, answers, activities and silence, dates said and pushed, categories -
gives P(quality | recorded). *Forward*: under each quality the open stages form a Markov chain in days with
known seasons; stepping it day by day gives P(won in [as_of, until) | stage, quality). The answer is the
mixture over qualities.

Moments inside a day are exact too: the hours of a day carry known shares of its hazard, and a deal that has
moved today rests until midnight.

E.g. a deal that entered negotiation on 3 March at 10:00, as of 10 March 00:00: it rested for what was left of
3 March and survived six days, 4 to 9 March; the chain starts with the whole of 10 March before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from forecast.arrays import Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator import process
from forecast.simulator.calendar import Calendar
from forecast.simulator.cohort import Cohort, Effects
from forecast.simulator.evidence import Exposures, Points, safe_log, sort_key
from forecast.simulator.paths import Paths, next_midnight

__all__ = ["Truth"]

_OPEN = process.OPEN_STAGES
_CHUNK = 2048  # deals per forward pass: the working set stays in cache


class _Accumulated:
    """Sums of log-likelihood up to a moment, for many (deal, moment) at once."""

    def __init__(self, points: Points, exposures: list[Exposures], deals: int) -> None:
        key = sort_key(points.deal, points.moment_us)
        order = np.argsort(key, kind="stable")
        self._point_key = key[order]
        self._point_sum = _prefix_sums(points.log_likelihood[order])
        self._deal_key = np.arange(deals) << 32
        self._exposures = [_sorted_exposures(each) for each in exposures]

    def until(self, deal: Ints, moment_us: Ints) -> Floats:
        """Log-likelihood by quality (n, qualities) of everything recorded before each moment."""
        key = sort_key(deal, moment_us)
        begin = np.searchsorted(self._point_key, self._deal_key[deal])
        end = np.searchsorted(self._point_key, key)
        total: Floats = self._point_sum[end] - self._point_sum[begin]
        for exposure, from_key, full in self._exposures:
            begin = np.searchsorted(from_key, self._deal_key[deal])
            end = np.searchsorted(from_key, key)
            # All but the last interval begun are over; of the last one the part before the moment counts.
            last = np.maximum(end - 1, begin)
            total = total - (full[last] - full[begin])
            begun = np.flatnonzero(end > begin)
            row = last[begun]
            stop_us = np.minimum(exposure.until_us[row], moment_us[begun])
            passed = exposure.clock.elapsed(stop_us) - exposure.clock.elapsed(exposure.from_us[row])
            total[begun] -= exposure.rate[row] * passed[:, None]
        return total


def _prefix_sums(values: Floats) -> Floats:
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])


def _sorted_exposures(each: Exposures) -> tuple[Exposures, Ints, Floats]:
    key = sort_key(each.deal, each.from_us)
    order = np.argsort(key, kind="stable")
    exposure = Exposures(
        each.clock, each.deal[order], each.from_us[order], each.until_us[order], each.rate[order]
    )
    passed = each.clock.elapsed(exposure.until_us) - each.clock.elapsed(exposure.from_us)
    return exposure, key[order], _prefix_sums(exposure.rate * passed[:, None])


@dataclass(frozen=True)
class Truth:
    """Everything needed to answer; deals are numbered as in `cohort`.

    `calendar` carries the realised shared shocks, `expected` has them at their mean: the past is read with
    what happened, the future with what could be known of it.
    """

    cohort: Cohort
    effect: Effects
    paths: Paths
    points: Points
    exposures: list[Exposures]
    calendar: Calendar
    expected: Calendar

    @cached_property
    def _accumulated(self) -> _Accumulated:
        prior = Points(
            np.arange(len(self.cohort)),
            self.cohort.created_us,
            safe_log(process.QUALITY_BY_SOURCE)[self.cohort.source],
        )
        points = Points.concat([prior, self._moves(), self.points])
        return _Accumulated(points, [*self._hazards(), *self.exposures], len(self.cohort))

    def _moves(self) -> Points:
        """How likely each move was: the log rate of what happened (what it shares over qualities cancels)."""
        paths = self.paths
        before, after = paths.move_from, paths.move_to
        rows = np.flatnonzero(before < _OPEN)  # re-opening tells nothing about quality
        before, after = before[rows], after[rows]
        rate = process.PROGRESS_RATE[:, before, np.minimum(after, _OPEN - 1)].T
        rate = np.where((after == process.WON)[:, None], process.WIN_RATE[:, before].T, rate)
        lose = np.where(
            paths.move_cleaned[rows, None], process.CLEAN_RATE[:, before].T, process.LOSE_RATE[:, before].T
        )
        rate = np.where((after == process.LOST)[:, None], lose, rate)
        return Points(paths.move_deal[rows], paths.move_us[rows], safe_log(rate))

    def _hazards(self) -> list[Exposures]:
        """The hazards every spell survived, one family for each clock."""
        paths, effect = self.paths, self.effect
        deal, stage = paths.spell_deal, paths.spell_stage
        age = process.WIN_BY_AGE[self.cohort.motion[deal], paths.spell_band]
        lose = np.exp(effect.lose[deal])
        families = (
            (self.calendar.progress, process.PROGRESS_RATE.sum(axis=2), np.exp(effect.progress[deal])),
            (self.calendar.win, process.WIN_RATE, np.exp(effect.win[deal]) * age),
            (self.calendar.lose, process.LOSE_RATE, lose),
            (self.calendar.clean, process.CLEAN_RATE, lose),
        )
        return [
            Exposures(
                clock, deal, paths.spell_from_us, paths.spell_until_us, base[:, stage].T * factor[:, None]
            )
            for clock, base, factor in families
        ]

    @cached_property
    def _status(self) -> tuple[Ints, Ints, Ints]:
        """Key, stage and moment of every change of stage, creation included, sorted by deal and time."""
        paths = self.paths
        deal = np.concatenate([np.arange(len(self.cohort)), paths.move_deal])
        moment_us = np.concatenate([self.cohort.created_us, paths.move_us])
        stage = np.concatenate([self.cohort.first_stage, paths.move_to])
        key = sort_key(deal, moment_us)
        order = np.argsort(key, kind="stable")
        return key[order], stage[order], moment_us[order]

    def stage_at(self, deal: Ints, as_of_us: Ints) -> tuple[Ints, Ints]:
        """(stage recorded before each moment, when it was entered); stage -1 before creation."""
        key, stage, moment_us = self._status
        position = np.searchsorted(key, sort_key(deal, as_of_us)) - 1
        begun = self.cohort.created_us[deal] < as_of_us
        position = np.where(begun, position, 0)
        return np.where(begun, stage[position], -1), moment_us[position]

    def quality(self, deal: Ints, as_of_us: Ints) -> Floats:
        """P(quality | recorded before as_of), (n, qualities), rows sum to one."""
        log = self._accumulated.until(deal, as_of_us)
        return np.exp(log - logsumexp(log, axis=1, keepdims=True))

    def win_probability(
        self, deal: Ints, as_of_us: Ints, until_us: Ints, *, realised: bool = False
    ) -> Floats:
        """P(won in [as_of, until) | recorded before as_of): (n, H) for until_us (n, H).

        NaN where the deal is not open at as_of. `realised` lets the future have the shocks that came.
        """
        return self._ahead(deal, as_of_us, until_us, realised=realised, reopens=True, read=_won)

    def undecided_probability(
        self, deal: Ints, as_of_us: Ints, until_us: Ints, *, realised: bool = False
    ) -> Floats:
        """P(neither won nor lost in [as_of, until) | recorded before as_of): (n, H), as `win_probability`.

        The first loss counts: a deal that comes back later was decided once.
        """
        found = self._ahead(deal, as_of_us, until_us, realised=realised, reopens=False, read=_still_open)
        # The chain knows only the qualities that can win; the others never close.
        never = ~process.WIN_RATE.any(axis=1)
        found += self.quality(deal, as_of_us)[:, never].sum(axis=1)[:, None]
        return found

    def _ahead(
        self,
        deal: Ints,
        as_of_us: Ints,
        until_us: Ints,
        *,
        realised: bool,
        reopens: bool,
        read: Callable[[_State], Floats],
    ) -> Floats:
        """(n, H) what `read` finds in the states at `until`; NaN where the deal is not open at as_of."""
        stage, entered_us = self.stage_at(deal, as_of_us)
        answer = np.full(until_us.shape, np.nan)
        is_open = np.flatnonzero((stage >= 0) & (stage < _OPEN))
        # Like horizons together: a pass lasts as long as its longest.
        length = until_us[is_open].max(axis=1) - as_of_us[is_open]
        is_open = is_open[np.argsort(length, kind="stable")]
        calendar = self.calendar if realised else self.expected
        for begin in range(0, len(is_open), _CHUNK):
            rows = is_open[begin : begin + _CHUNK]
            posterior = self.quality(deal[rows], as_of_us[rows])
            forward = _Forward(
                self.cohort, self.effect, deal[rows], stage[rows], entered_us[rows], calendar, reopens=reopens
            )
            answer[rows] = forward.run(as_of_us[rows], until_us[rows], posterior, read)
        return answer


class _Forward:
    """The chain of a batch of deals, stepped day by day under every quality that can win.

    Columns are (quality, deal) pairs, flattened; rows of `mass` are the open stages.
    """

    def __init__(
        self,
        cohort: Cohort,
        effect: Effects,
        deal: Ints,
        stage: Ints,
        entered_us: Ints,
        calendar: Calendar,
        *,
        reopens: bool,
    ) -> None:
        self.warm_share = process.WARM_SHARE if reopens else 0.0
        self.n, self.deal, self.calendar = len(deal), deal, calendar
        self.motion = cohort.motion[deal]
        self.created_day = cohort.created_us[deal] // DAY_US
        self.rest_until_us = next_midnight(entered_us)
        winners = np.flatnonzero(process.WIN_RATE.any(axis=1))  # a zombie never wins
        self.winners = winners

        def columns(base: Floats, log_effect: Floats) -> Floats:
            """(stages, winners x deals) rates."""
            rate = base[winners].T[:, :, None] * np.exp(log_effect[deal])
            return np.ascontiguousarray(rate.reshape(len(rate), -1))

        self.win = columns(process.WIN_RATE, effect.win)
        self.lose = columns(process.LOSE_RATE, effect.lose)
        self.clean = columns(process.CLEAN_RATE, effect.lose)
        self.routes = [
            (a, b, columns(process.PROGRESS_RATE[:, a, b][:, None], effect.progress)[0])
            for a in range(_OPEN)
            for b in range(_OPEN)
            if process.PROGRESS_RATE[:, a, b].any()
        ]
        self.progress = columns(process.PROGRESS_RATE.sum(axis=2), effect.progress)
        start = np.zeros((_OPEN, len(winners), self.n))
        start[stage, :, np.arange(self.n)] = 1.0
        mass: Floats = start.reshape(_OPEN, -1)
        self.state = _State(mass, np.zeros(mass.shape[1]), np.zeros(mass.shape[1]))

    def run(
        self, as_of_us: Ints, until_us: Ints, posterior: Floats, read: Callable[[_State], Floats]
    ) -> Floats:
        """What `read` finds at until_us (n, H), mixed over `posterior` (n, qualities)."""
        weight = posterior[:, self.winners]
        first_day, last_day = as_of_us // DAY_US, until_us // DAY_US
        answer = np.zeros(until_us.shape)
        for step in range(int((last_day - first_day[:, None]).max()) + 1):
            day = first_day + step
            midnight_us = day * DAY_US
            from_us = np.maximum(midnight_us, as_of_us) if step == 0 else midnight_us
            ending = last_day == day[:, None]
            for column in np.flatnonzero(ending.any(axis=0)):
                stop_us = np.where(ending[:, column], np.maximum(until_us[:, column], from_us), from_us)
                inside = bool((stop_us > from_us).any())  # most horizons end at a midnight
                found = self._mixed(read(self._day(from_us, stop_us) if inside else self.state), weight)
                answer[:, column] = np.where(ending[:, column], found, answer[:, column])
            self.state = self._day(from_us, midnight_us + DAY_US)
        return answer

    def _mixed(self, found: Floats, weight: Floats) -> Floats:
        mixed: Floats = np.einsum("nq,qn->n", weight, found.reshape(len(self.winners), self.n))
        return mixed

    def _day(self, from_us: Ints, until_us: Ints) -> _State:
        """The state after the part [from, until) of one day; unchanged where the part is empty."""
        resting = from_us < self.rest_until_us
        stop_us = np.where(resting, from_us, until_us)

        def passed(name: str) -> Floats:
            """Time passed on a clock for each column."""
            clock = getattr(self.calendar, name)
            within = clock.share_of_day
            midnight_us = from_us // DAY_US * DAY_US
            day = from_us // DAY_US - clock.first_day
            share = within(stop_us - midnight_us) - within(from_us - midnight_us)
            return np.tile(clock.weight[day] * share, len(self.winners))

        age = from_us // DAY_US - self.created_day
        band = np.searchsorted(np.array(process.AGE_BREAKS_DAYS), age, side="right")
        moving = passed("progress")
        winning = passed("win") * np.tile(process.WIN_BY_AGE[self.motion, band], len(self.winners))
        losing, cleaning = passed("lose"), passed("clean")

        total = self.progress * moving + self.win * winning + self.lose * losing
        stays = np.exp(-total)
        # What leaves a stage is shared between its destinations in proportion to their rates.
        before = self.state
        leaving = before.mass * np.divide(1.0 - stays, total, out=np.zeros_like(total), where=total > 0)
        mass = before.mass * stays
        lost = (leaving * self.lose).sum(axis=0) * losing
        won = before.won + (leaving * self.win).sum(axis=0) * winning
        if cleaning.any():
            swept = mass * -np.expm1(-self.clean * cleaning)
            mass = mass - swept
            lost = lost + swept.sum(axis=0)
        for a, b, rate in self.routes:
            mass[b] += leaving[a] * rate * moving
        # Lost deals that stayed warm: they come back to qualification or cool down for good.
        fading = (process.REOPEN_RATE + process.COOL_RATE) * moving
        thawed = before.warm * -np.expm1(-fading)
        mass[process.QUALIFICATION] += (
            thawed * process.REOPEN_RATE / (process.REOPEN_RATE + process.COOL_RATE)
        )
        return _State(mass, before.warm - thawed + self.warm_share * lost, won)


@dataclass(frozen=True)
class _State:
    mass: Floats
    warm: Floats
    won: Floats


def _won(state: _State) -> Floats:
    return state.won


def _still_open(state: _State) -> Floats:
    found: Floats = state.mass.sum(axis=0)
    return found
