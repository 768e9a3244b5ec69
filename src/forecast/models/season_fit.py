"""Season given the deals: the calendar's profile once it is known which deals were there to close.

Closings per deal open are a first guess of the season. But the deals that are open on the second of a month are
others than those of the last week of a quarter: younger, in earlier stages. A fast sale started and signed in
the same days makes the first month of a quarter look busy, although older deals rest. So the profile is
estimated again with what a fitted model expects of the deals of each day, instead of their number; then the
model again with that profile (backfitting).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import Landmarks
from forecast.models.bins import Bins
from forecast.models.hazard import Survival
from forecast.models.season import Season, fit_season
from forecast.periods import DAY_US

__all__ = ["daily_expected", "season_given_deals"]

_LEAST: Final = 1e-9  # closings expected of a day below which nobody was there


def season_given_deals(
    landmarks: Landmarks,
    survival: Survival,
    log_hazard: Floats,
    bins: Bins,
    first_month: int,
    *,
    looks: float,
) -> tuple[Season, Season]:
    """Profiles of won and lost, given the log hazards (n, 2, J) of landmarks without any season.

    looks : landmarks that tell of the same closing; it counts once
    """
    ended_at = landmarks.at_us / DAY_US + landmarks.duration_days
    first = int(landmarks.at_us.min() // DAY_US)
    days = np.arange(first, int(np.floor(ended_at.max())) + 1)
    found = []
    for k in range(2):
        expected = daily_expected(landmarks, np.exp(np.minimum(log_hazard[:, k], 10.0)), bins, days)
        ended = survival.cause == k + 1
        day = np.floor(ended_at[ended]).astype(np.int64) - first
        came = np.bincount(day, survival.weight[ended], minlength=len(days))
        # The shape alone is asked for: as many are expected as came.
        level = came.sum() / max(float(expected.sum()), _LEAST)
        expected = np.where(expected > _LEAST, expected * level, 0.0)
        found.append(fit_season(days, expected / looks, came / looks, first_month))
    return found[0], found[1]


def daily_expected(landmarks: Landmarks, rate: Floats, bins: Bins, days: Ints) -> Floats:
    """(d,) closings expected on consecutive days from n landmarks with rates (n, J) per day in each bin.

    A landmark's rate runs through each bin until its duration ends. The sum over all of them until midnight t
    is  sum over starts s < t of r (t - s)  minus  the same over ends,  so cumulative sums do without a table of
    landmarks by days.
    """
    at = landmarks.at_us / DAY_US
    duration = landmarks.duration_days[:, None]
    low, high = bins.edges_days[:-1], bins.edges_days[1:].copy()
    high[-1] = np.inf  # the last bin serves everything after it
    start, stop = np.minimum(low, duration), np.minimum(high, duration)
    inside = stop > start
    weighted = (rate * landmarks.weight[:, None])[inside]
    until = np.zeros(len(days) + 1)
    midnights = np.arange(len(days) + 1)
    for edge, sign in ((start, 1.0), (stop, -1.0)):
        moment = (at[:, None] + edge)[inside] - days[0]
        place = np.minimum(np.floor(moment).astype(np.int64), len(days))
        rates = np.concatenate(([0.0], np.cumsum(np.bincount(place, weighted, len(days) + 1))))[:-1]
        moments = np.concatenate(([0.0], np.cumsum(np.bincount(place, weighted * moment, len(days) + 1))))[
            :-1
        ]
        until += sign * (rates * midnights - moments)
    return np.maximum(np.diff(until), 0.0)
