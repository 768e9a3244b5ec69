"""How fast things happen in the other company, given what is hidden of a deal.

Hidden are its quality, a number around 0, and whether it is a zombie, which moves through the stages but is
neither won nor lost. Every rate is for a day and log-linear in the quality; everything else known when the deal
is created (seller, industry, source, amount) shifts the rates of winning and losing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import ndtr

from forecast.arrays import Floats, Ints

__all__ = ["AHEAD", "ANSWERS", "DAYS", "FIRST_DAY", "SKIPPED", "STAGES", "UNTIL", "Rates", "Rules"]

FIRST_DAY: Final = pd.Timestamp("2022-01-01", tz="UTC")
UNTIL: Final = pd.Timestamp("2026-01-01", tz="UTC")
DAYS: Final = (UNTIL - FIRST_DAY).days
AHEAD: Final = 200  # days after the end the truth may look at
STAGES: Final = ("prospecting", "qualification", "demo", "proposal", "negotiation")
ANSWERS: Final = (0.0, 0.5, 1.0)
SKIPPED: Final = 0.2  # of the deals that leave the first stage go to the third

_WON: Final = np.array([0.0003, 0.0008, 0.0025, 0.005, 0.011])
_LOST: Final = np.array([0.010, 0.009, 0.008, 0.007, 0.007])
_ON: Final = np.array([0.06, 0.05, 0.035, 0.03, 0.0])
_BACK: Final = np.array([0.0, 0.002, 0.003, 0.004, 0.005])
_WON_BY_QUALITY, _LOST_BY_QUALITY, _ON_BY_QUALITY = 0.6, -0.3, 0.15
_LUCK_SD: Final = (0.15, 0.08)  # of the log rates of winning and losing, by quarter


@dataclass(frozen=True)
class Rates:
    """Rates of a day: won, lost, on to a later stage, back to an earlier one; all of one shape."""

    won: Floats
    lost: Floats
    on: Floats
    back: Floats

    @property
    def any(self) -> Floats:
        """Rate of leaving the stage in whatever way."""
        return self.won + self.lost + self.on + self.back

    def of_zombies(self) -> Rates:
        """What is left of them where nothing can be won or lost."""
        nothing = np.zeros_like(self.won)
        return Rates(nothing, nothing, self.on, self.back)


@dataclass(frozen=True)
class Rules:
    """winning, losing : (n,) what is known of each deal at its creation does to the log rates

    office : (days,) how much of an average day's work is done; season : the same for winning
    luck : (days, 2) factors on winning and losing of the quarter, which nobody knows in advance
    """

    winning: Floats
    losing: Floats
    office: Floats
    season: Floats
    luck: Floats

    @classmethod
    def drawn(cls, winning: Floats, losing: Floats, rng: np.random.Generator, *, luck: bool) -> Rules:
        """Rules of a company: the calendar is always the same, the luck of its quarters is drawn."""
        days = pd.date_range(FIRST_DAY, periods=DAYS + AHEAD)
        quarter = (days.year - FIRST_DAY.year) * 4 + days.quarter - 1
        starts = days.tz_localize(None).to_period("Q")
        since = (days.tz_localize(None) - starts.start_time).days.to_numpy()
        left = (starts.end_time.normalize() - days.tz_localize(None)).days.to_numpy()
        office = np.where(days.day_of_week < 5, 1.3, 0.15)
        rush = np.where(left < 12, 1.0 + 2.0 * np.exp(-left / 5.0), np.where(since < 20, 0.7, 1.0))
        sd = np.array(_LUCK_SD) if luck else np.zeros(2)
        shocks = np.exp(rng.normal(0.0, sd, (quarter.max() + 1, 2)) - sd**2 / 2.0)
        return cls(winning, losing, office, office * rush, shocks[quarter])

    def rates(self, deal: Ints, quality: Floats, stage: Ints, day: int, luck: Any = (1.0, 1.0)) -> Rates:
        """Rates of deals that are no zombies; `deal` and `stage` are broadcast against `quality`."""
        office = self.office[day]
        won = np.exp(_WON_BY_QUALITY * quality + self.winning[deal]) * _WON[stage]
        lost = np.exp(_LOST_BY_QUALITY * quality + self.losing[deal]) * _LOST[stage]
        on = np.exp(_ON_BY_QUALITY * quality) * _ON[stage]
        back = np.broadcast_to(_BACK[stage] * office, won.shape)
        return Rates(won * self.season[day] * luck[0], lost * office * luck[1], on * office, back)

    def asked(self, stage: Ints, day: int) -> Floats:
        """Rate at which each of the four questions is answered, whatever the quality."""
        asked: Floats = 0.012 * np.exp(0.25 * stage) * self.office[day]
        return asked

    @staticmethod
    def answers(quality: Floats, zombie: bool | np.ndarray[Any, Any]) -> Floats:
        """(..., 3) chances of the answers no, partly and yes."""
        mean = 0.7 * quality - 1.0 * np.asarray(zombie)
        no, not_yes = ndtr(-0.6 - mean), ndtr(0.5 - mean)
        return np.stack([no, not_yes - no, 1.0 - not_yes], axis=-1)

    def talks(
        self, quality: Floats, zombie: bool | np.ndarray[Any, Any], stage: Ints, age_days: Ints, day: int
    ) -> Floats:
        """Expected activities of a day; those of a zombie die away."""
        fading = np.where(zombie, np.exp(-age_days / 45.0) + 0.05, 1.0)
        talks: Floats = 0.1 * np.exp(0.35 * quality + 0.1 * stage) * fading * self.office[day]
        return talks
