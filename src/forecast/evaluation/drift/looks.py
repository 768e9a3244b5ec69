"""Weekly looks at the open deals, before and after a bundle was trained: what it says, and what came.

Every week all deals then open are scored as in use, and followed for that week only: how many were expected
to be won and lost is told before the week begins, so nothing has to be waited for and nothing is censored. A
deal that stays open is looked at again a week later, with what is known then.

Weeks are numbered from training: week 0 begins at `trained_until`, week -1 is the last one the bundle learnt
from. Looks before training read track records as they stood (the bundle saw those), later ones the bundle's
own, as scoring does.

E.g. trained until Tuesday 1 July, as of Friday 25 July: looks are on Fridays. Week 0 is the short one until 4
July, weeks 1 to 3 are whole, week 4 is the look of 25 July itself. A deal open on 11 July and won on the 15th
is a win of week 2; it counts there with its chance of being won within 7 days of the 11th, as of the 11th.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.features import FeatureMatrix, feature_names
from forecast.history import OPEN, DatedRecords, History, TrackRecords
from forecast.history.asof import AsOfIndex
from forecast.models import FittedModels
from forecast.periods import DAY_US

__all__ = ["WEEK_US", "Looks", "look_weekly", "week_starts"]

WEEK_US: Final = 7 * DAY_US
_SCORE_DAYS: Final = 90.0
_BLOCK: Final = 8_192


@dataclass(frozen=True)
class Looks:
    """n rows in order of (week, deal), of W weeks.

    first_week : number of the first week (0: the one after training)
    starts_us, ends_us : (W,) of each week, see `week_starts`
    week : (n,) place of each row's week among the W
    deal : (n,)
    features : of the n rows, as known at the start of the week
    p_won, p_lost : (n,) chances within the week
    p_horizon, horizon_days : (n,) chance of being won within min(`longest`, what is left until the end), and
        that horizon
    p_score : (n,) chance of being won within 90 days: what is compared over time
    cause, duration_days : (n,) what became of the deal by the end of the data (0 still open), and when
    """

    first_week: int
    starts_us: Ints
    ends_us: Ints
    week: Ints
    deal: Ints
    features: FeatureMatrix
    p_won: Floats
    p_lost: Floats
    p_horizon: Floats
    horizon_days: Floats
    p_score: Floats
    cause: Ints
    duration_days: Floats

    def __len__(self) -> int:
        return len(self.deal)

    @property
    def weeks(self) -> int:
        return len(self.starts_us)

    @property
    def aligned(self) -> Bools:
        """(W,) whether the look of a week falls on the weekday of the last one, so that they compare."""
        found: Bools = (self.starts_us[-1] - self.starts_us) % WEEK_US == 0
        return found

    def ended(self, cause: int) -> Floats:
        """(n,) 1 where the deal came to that end within its week."""
        span = (self.ends_us - self.starts_us)[self.week] / DAY_US
        found: Floats = ((self.cause == cause) & (self.duration_days < span)).astype(np.float64)
        return found

    def per_week(self, value: Floats) -> Floats:
        """(W,) sums."""
        return np.bincount(self.week, value, minlength=self.weeks).astype(np.float64)


def week_starts(trained_until_us: int, until_us: int, before: int) -> tuple[Ints, Ints, int]:
    """Starts and ends of weeks from about `before` weeks before training on, and the number of the first.

    Weeks are counted back from `until_us`, so that all looks fall on the weekday and hour of the last one: on
    Mondays deals have been silent for longer than on Fridays. The week in which the bundle was trained is cut
    in two there. The last week begins and ends at `until_us`: a look at the open deals as they are now, of
    which nothing is known yet.
    """
    since = -(-(until_us - trained_until_us) // WEEK_US)
    edges = until_us - np.arange(since + before, -1, -1) * WEEK_US
    edges = np.unique(np.append(edges[edges >= trained_until_us - before * WEEK_US], trained_until_us))
    starts, ends = edges, np.append(edges[1:], until_us)
    return starts, ends, -int(np.searchsorted(starts, trained_until_us))


def look_weekly(
    history: History,
    models: FittedModels,
    starts_us: Ints,
    ends_us: Ints,
    first_week: int,
    until_us: int,
    *,
    longest_days: float,
    most_deals: int,
    rng: np.random.Generator,
) -> Looks:
    """Look at the open deals at the start of each week; what became of them is read until `until_us`.

    longest_days : horizon of calibration
    most_deals : of a week before training, drawn at random: they only serve comparison
    """
    frozen = models.records.bind(history)
    dated = DatedRecords.of(history, models.records.dilution)
    parts: list[tuple[Ints, FeatureMatrix, Floats]] = []
    week: list[Ints] = []
    for place, (start_us, end_us) in enumerate(zip(starts_us.tolist(), ends_us.tolist(), strict=True)):
        deal = history.open_deals(start_us)
        before = first_week + place < 0
        if before and len(deal) > most_deals:
            deal = np.sort(rng.choice(deal, size=most_deals, replace=False))
        records: TrackRecords = dated if before else frozen
        parts.append(
            (deal, *_scored(history, models, deal, start_us, end_us, until_us, records, longest_days))
        )
        week.append(np.full(len(deal), place))
    weeks = np.concatenate(week) if week else np.empty(0, np.int64)
    deals = np.concatenate([part[0] for part in parts]) if parts else np.empty(0, np.int64)
    names = feature_names(history)
    values = np.hstack([part[1].values for part in parts]) if parts else np.empty((len(names), 0))
    chances = np.hstack([part[2] for part in parts]) if parts else np.empty((5, 0))
    cause, ended_us = _next_end(history, deals, starts_us[weeks], until_us)
    return Looks(
        first_week=first_week,
        starts_us=starts_us,
        ends_us=ends_us,
        week=weeks,
        deal=deals,
        features=FeatureMatrix(names, values, history),
        p_won=chances[0],
        p_lost=chances[1],
        p_horizon=chances[2],
        horizon_days=chances[3],
        p_score=chances[4],
        cause=cause,
        duration_days=(ended_us - starts_us[weeks]) / DAY_US,
    )


def _scored(
    history: History,
    models: FittedModels,
    deal: Ints,
    start_us: int,
    end_us: int,
    until_us: int,
    records: TrackRecords,
    longest_days: float,
) -> tuple[FeatureMatrix, Floats]:
    """Features and (5, n): won and lost in the week, won by the horizon, the horizon, won in 90 days."""
    features = models.features(history, deal, np.full(len(deal), start_us), records)
    span = (end_us - start_us) / DAY_US
    horizon = min(longest_days, (until_us - start_us) / DAY_US)
    marks = np.array([span, horizon, _SCORE_DAYS])
    found = np.empty((5, len(deal)))
    found[3] = horizon
    if len(deal):
        cells = models.cells(start_us, np.unique(marks), until_days=float(marks.max()))
        for first in range(0, len(deal), _BLOCK):
            rows = slice(first, first + _BLOCK)
            curves = cells.curves(models.log_hazard(features.take(rows)))
            won = curves.won_by(marks)
            found[0, rows], found[2, rows], found[4, rows] = won[:, 0], won[:, 1], won[:, 2]
            found[1, rows] = curves.lost_by(marks[:1])[:, 0]
    return features, found


def _next_end(history: History, deal: Ints, at_us: Ints, until_us: int) -> tuple[Ints, Ints]:
    """(n,) the first closing of each deal from its moment on: cause and when; open at `until_us` if none."""
    closings = history.closings
    if not len(closings.deal):
        return np.full(len(deal), OPEN), np.full(len(deal), until_us)
    index = AsOfIndex.of(closings.deal, closings.at_us, len(history), history.clock)
    place = index.end(deal, history.clock.rank(at_us))
    found = np.minimum(place, len(closings.deal) - 1)
    mine = (place < index.starts[deal + 1]) & (closings.at_us[found] < until_us)
    return (
        np.where(mine, closings.kind[found], OPEN).astype(np.int64),
        np.where(mine, closings.at_us[found], until_us),
    )
