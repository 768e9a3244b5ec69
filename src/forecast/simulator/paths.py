"""The path of every deal through the stages, drawn exactly, all deals at once.

Each open deal runs a race between four clocks: moving to another open stage, being won, being lost, being
cleaned up at a month's end. The first to reach its exponential target decides. After a move the deal rests
until the next midnight, so a deal moves at most once a day and the process is a Markov chain in days (see
`truth.py`). Instead of stepping through days, each round draws one whole spell for every deal still moving.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator import process
from forecast.simulator.calendar import NEVER_US, Calendar, Clock
from forecast.simulator.cohort import Cohort, Effects

__all__ = ["Paths", "walk"]

_AGE_BREAKS_US = np.array([*process.AGE_BREAKS_DAYS, 10**5], np.int64) * DAY_US


@dataclass(frozen=True)
class Paths:
    """Spells (times under constant rates) and moves of a cohort.

    A spell of a deal begins at midnight `spell_from_us` and is at risk until `spell_until_us`, where it ends
    by a move, by the deal passing an age break, or by the end of the simulation. Moves go from an open stage,
    or from LOST (re-opening), to an open stage, WON or LOST; `move_cleaned` marks losses of a month-end
    clean-up.
    """

    spell_deal: Ints
    spell_stage: Ints
    spell_band: Ints
    spell_from_us: Ints
    spell_until_us: Ints
    move_deal: Ints
    move_us: Ints
    move_from: Ints
    move_to: Ints
    move_cleaned: Bools

    @staticmethod
    def concat(parts: list[Paths]) -> Paths:
        """All rounds or cohorts in one; deal numbers must already be those of the whole."""
        return Paths(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Paths)})

    def renumbered(self, deal: Ints) -> Paths:
        """The same paths with deal i called `deal[i]`, sorted by deal and time."""
        spell_deal, move_deal = deal[self.spell_deal], deal[self.move_deal]
        spells = np.lexsort((self.spell_from_us, spell_deal))
        moves = np.lexsort((self.move_us, move_deal))
        named = {"spell_deal": spell_deal, "move_deal": move_deal}
        return Paths(
            **{
                f.name: named.get(f.name, getattr(self, f.name))[
                    spells if f.name.startswith("spell") else moves
                ]
                for f in fields(Paths)
            }
        )

    def of(self, chosen: Bools) -> Paths:
        """The paths of some deals, which keep their numbers."""
        spells, moves = chosen[self.spell_deal], chosen[self.move_deal]
        return Paths(
            **{
                f.name: getattr(self, f.name)[spells if f.name.startswith("spell") else moves]
                for f in fields(Paths)
            }
        )


def next_midnight(moment_us: Ints) -> Ints:
    """The first midnight after each moment."""
    return (moment_us // DAY_US + 1) * DAY_US


def walk(cohort: Cohort, effect: Effects, calendar: Calendar, end_us: int, rng: np.random.Generator) -> Paths:
    """Draw the paths of all deals of a cohort until midnight `end_us`."""
    progress_total = process.PROGRESS_RATE.sum(axis=2)
    destinations = np.cumsum(process.PROGRESS_RATE, axis=2) / np.maximum(progress_total, 1e-12)[:, :, None]
    deal = np.arange(len(cohort))
    stage = cohort.first_stage.astype(np.int64)
    from_us = next_midnight(cohort.created_us)
    rounds: list[Paths] = []

    def reach(clock: Clock, rate: Floats, since_us: Ints) -> Ints:
        """When the clock, running from `since_us`, reaches an exponential target of this rate."""
        target = rng.exponential(size=len(rate))
        with np.errstate(divide="ignore"):
            return clock.moment(clock.elapsed(since_us) + target / rate)

    while True:
        alive = from_us < end_us
        deal, stage, from_us = deal[alive], stage[alive], from_us[alive]
        quality = cohort.quality[deal]
        midnight_us = next_midnight(cohort.created_us[deal]) - DAY_US
        band = np.searchsorted(_AGE_BREAKS_US, from_us - midnight_us, side="right")
        pause_us = np.minimum(midnight_us + _AGE_BREAKS_US[band], end_us)

        lose = np.exp(effect.lose[deal])
        age = process.WIN_BY_AGE[cohort.motion[deal], band]
        finish_us = np.stack(
            [
                reach(
                    calendar.progress, progress_total[quality, stage] * np.exp(effect.progress[deal]), from_us
                ),
                reach(
                    calendar.win, process.WIN_RATE[quality, stage] * np.exp(effect.win[deal]) * age, from_us
                ),
                reach(calendar.lose, process.LOSE_RATE[quality, stage] * lose, from_us),
                reach(calendar.clean, process.CLEAN_RATE[quality, stage] * lose, from_us),
            ]
        )
        first = finish_us.argmin(axis=0)
        until_us = finish_us[first, np.arange(len(deal))]
        moved = until_us < pause_us
        until_us = np.where(moved, until_us, pause_us)

        drawn = (rng.random(len(deal))[:, None] > destinations[quality, stage]).sum(axis=1)
        to = np.select(
            [first == 0, first == 1], [np.minimum(drawn, process.OPEN_STAGES - 1), process.WON], process.LOST
        )

        lost = np.flatnonzero(moved & (to == process.LOST))
        warm = lost[rng.random(len(lost)) < process.WARM_SHARE]
        since_us = next_midnight(until_us[warm])
        back_us = reach(calendar.progress, np.full(len(warm), process.REOPEN_RATE), since_us)
        cold_us = reach(calendar.progress, np.full(len(warm), process.COOL_RATE), since_us)
        comes_back = (back_us < cold_us) & (back_us < end_us)
        back, back_us = warm[comes_back], back_us[comes_back]

        rows = np.flatnonzero(moved)
        rounds.append(
            Paths(
                spell_deal=deal,
                spell_stage=stage,
                spell_band=band,
                spell_from_us=from_us,
                spell_until_us=until_us,
                move_deal=np.concatenate([deal[rows], deal[back]]),
                move_us=np.concatenate([until_us[rows], back_us]),
                move_from=np.concatenate([stage[rows], np.full(len(back), process.LOST)]),
                move_to=np.concatenate([to[rows], np.full(len(back), process.QUALIFICATION)]),
                move_cleaned=np.concatenate([first[rows] == 3, np.zeros(len(back), bool)]),
            )
        )
        next_stage = np.where(moved, to, stage)
        next_from = np.where(moved, next_midnight(until_us), until_us)
        next_from[moved & (to >= process.OPEN_STAGES)] = NEVER_US
        next_stage[back] = process.QUALIFICATION
        next_from[back] = next_midnight(back_us)
        stage, from_us = next_stage, next_from
        if not (from_us < end_us).any():
            break
    return Paths.concat(rounds)
