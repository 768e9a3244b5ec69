"""Arrivals: deals that do not exist yet but will be created and won inside the period.

Four parts: how many deals appear, by motion (see `creation`); for whom and from which source; how fast a
fresh deal is won or lost, by its age and the season; and how large won deals are. Motion and source together
make a group; a group with few deals follows its motion, a motion with few all deals. A cohort per coming week
then runs through the same incidence as every deal.

How sure the sum is has three sources, all of them shared by everybody's arrivals: whole quarters bring more or
fewer deals than expected, the speed of fresh deals is known from so many wins, and so is their mean amount.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.history import LOST, WON, History
from forecast.models.bins import Bins, exposures
from forecast.models.creation import Creation, fit_creation
from forecast.models.incidence import HORIZON_CAP_DAYS, Cells
from forecast.models.season import Season
from forecast.models.shock import past_quarters
from forecast.periods import DAY_US, Period, to_timestamp

__all__ = ["ArrivalModel", "Group", "fit_arrivals"]

_WEEKS: Final = 52  # deals created this recently tell the sources
_OWNER_WEEKS: Final = 26  # and these tell whose they will be
_PRIOR_EVENTS: Final = 0.5  # closings that a bin is diluted with
_PRIOR_LEVEL: Final = 20.0  # closings of its motion that the speed of a source is diluted with
_PRIOR_DEALS: Final = 10.0  # deals of all motions that owners and amounts of one motion are diluted with
_RIPE_DAYS: Final = 30.0  # after which a deal is half as winnable as it will ever be, before any data
_RIPE_UNTIL_DAYS: Final = 120.0
_TREND_SD: Final = 0.3  # of the log-rate per year, as in `creation`
_AHEAD_YEARS: Final = 0.5  # from the as-of moment to the middle of a coming quarter, at most
_LEVEL_QUARTERS: Final = 12  # three of each quarter of the year
_QUICK_DAYS: Final = 92.0  # a quarter: what is created and won inside one is won this fast
_LEAST_CREATED: Final = 20  # rarer sources of a motion are one group
_MOST_SOURCES: Final = 12


@dataclass(frozen=True, slots=True)
class Group:
    """Deals of one motion and source; the empty source holds all rare ones and deals without one."""

    motion: str
    source: str


@dataclass(frozen=True)
class ArrivalModel:
    """What is known about deals to come, for M motions and G groups.

    motions : names; groups : in order of their motions, motion_of (G,) the place of each one's
    share : (G,) of the deals of its motion
    owners : ids; the empty text stands for deals without an owner
    owner_share : (M, O) whose they will be; rows sum to 1 (or to 0 where no deal was seen)
    log_hazard : (G, 2, J) by age of the deal
    quarter_level : (4,) change of the log-hazard of winning of deals created in each quarter of the year
    amount_mean, amount_cv : (G,) of a won deal in the reporting currency
    level_sd : relative uncertainty of speed and amounts
    """

    bins: Bins
    creation: Creation
    motions: tuple[str, ...]
    groups: tuple[Group, ...]
    motion_of: Ints
    share: Floats
    owners: tuple[str, ...]
    owner_share: Floats
    log_hazard: Floats
    quarter_level: Floats
    amount_mean: Floats
    amount_cv: Floats
    level_sd: float

    @property
    def sd(self) -> float:
        """Relative standard deviation of the bookings of a period's arrivals around those expected, beside the
        chance of single deals and the shock they share with open ones."""
        return float(np.hypot(self.creation.spread.sd, self.level_sd))

    def expected(
        self, history: History, as_of_us: int, start_us: int, end_us: int, seasons: tuple[Season, Season]
    ) -> pd.DataFrame:
        """Expected wins in [start, end) among deals created from `as_of` on.

        history : wins recorded between training and `as_of` are read, which renewals and expansions follow

        Columns owner_id, motion, source (None for rare ones), deals (expected number), amount_mean, amount_cv;
        one row per owner and group.
        """
        edges = _weeks(as_of_us, end_us)
        created, inherited = self.creation.expected(history, as_of_us, edges[:-1], edges[1:], self.owners)
        chance = _chances(self.log_hazard, self.bins, seasons, edges, start_us, end_us, self.quarter_level)
        wins = self.share * (created[self.motion_of] * chance).sum(axis=1)
        deals = wins[:, None] * self._owner_shares(created, inherited)[self.motion_of]
        group, owner = np.nonzero(deals > 0)
        names = np.array([*self.owners, None], dtype=object)[owner]
        names[names == ""] = None
        return pd.DataFrame(
            {
                "owner_id": pd.array(names, dtype="str"),
                "motion": pd.array([self.groups[g].motion for g in group], dtype="str"),
                "source": pd.array([self.groups[g].source or None for g in group], dtype="str"),
                "deals": deals[group, owner],
                "amount_mean": self.amount_mean[group],
                "amount_cv": self.amount_cv[group],
            }
        )

    def _owner_shares(self, created: Floats, inherited: Floats) -> Floats:
        """(M, O) whose deals: of those that follow a win the winner's while still at work, else as lately."""
        working = self.owner_share.sum(axis=0) > 0
        follow = inherited * working
        total = created.sum(axis=1, keepdims=True)
        followed = np.divide(follow, total, out=np.zeros_like(follow), where=total > 0)
        shares: Floats = followed + (1.0 - followed.sum(axis=1, keepdims=True)) * self.owner_share
        return shares

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "bins": self.bins.to_json(),
            "creation": self.creation.to_json(),
            "motions": list(self.motions),
            "groups": [[group.motion, group.source] for group in self.groups],
            "share": self.share.tolist(),
            "owners": list(self.owners),
            "owner_share": self.owner_share.tolist(),
            "log_hazard": self.log_hazard.tolist(),
            "quarter_level": self.quarter_level.tolist(),
            "amount_mean": self.amount_mean.tolist(),
            "amount_cv": self.amount_cv.tolist(),
            "level_sd": self.level_sd,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ArrivalModel:
        """Inverse of `to_json`."""
        array = {
            name: np.array(data[name], dtype=np.float64)
            for name in (
                "share",
                "owner_share",
                "log_hazard",
                "quarter_level",
                "amount_mean",
                "amount_cv",
            )
        }
        groups = tuple(Group(motion, source) for motion, source in data["groups"])
        motions = tuple(data["motions"])
        return cls(
            bins=Bins.from_json(data["bins"]),
            creation=Creation.from_json(data["creation"]),
            motions=motions,
            groups=groups,
            motion_of=np.array([motions.index(group.motion) for group in groups], dtype=np.int64),
            share=array["share"],
            owners=tuple(data["owners"]),
            owner_share=array["owner_share"].reshape(len(motions), len(data["owners"])),
            log_hazard=array["log_hazard"],
            quarter_level=array["quarter_level"],
            amount_mean=array["amount_mean"],
            amount_cv=array["amount_cv"],
            level_sd=float(data["level_sd"]),
        )


@dataclass(frozen=True)
class _Fresh:
    """Deals from first seen to first closing; cause 0 for one still open."""

    born_us: Ints
    duration_days: Floats
    cause: Any

    def take(self, rows: Any) -> _Fresh:
        return _Fresh(self.born_us[rows], self.duration_days[rows], self.cause[rows])


def fit_arrivals(
    history: History, until_us: int, bins: Bins, seasons: tuple[Season, Season], fallback: Floats
) -> ArrivalModel:
    """Learn from what was recorded before `until_us`.

    fallback : (2, J) log hazards of the average deal, which thin motions are drawn to
    """
    known_from = history.known_from_us()
    deal = np.flatnonzero(known_from < until_us)
    motions = history.vocabulary("motion").texts or ("new",)
    motion = np.maximum(history.columns.motion[deal], 0)
    born_us = known_from[deal]
    groups, motion_of, group = _groups(history, deal, motions, motion)
    recent = born_us >= until_us - _WEEKS * 7 * DAY_US
    seen = np.bincount(group[recent], minlength=len(groups)) + 1e-9
    share = seen / np.bincount(motion_of, seen, minlength=len(motions))[motion_of]

    closings = history.closings
    first = closings.at_us < until_us
    first[1:] &= ~((closings.deal[1:] == closings.deal[:-1]) & (closings.at_us[:-1] < until_us))
    ended_us = np.full(len(history), until_us, dtype=np.int64)
    cause = np.zeros(len(history), dtype=np.int8)
    ended_us[closings.deal[first]] = closings.at_us[first]
    cause[closings.deal[first]] = closings.kind[first]
    fresh = _Fresh(born_us, np.maximum(ended_us[deal] - born_us, 0) / DAY_US, cause[deal])
    log_hazard = np.log(_hazards(fresh, motion, group, motion_of, len(motions), bins, seasons, fallback))
    quarters = past_quarters(int(born_us.min(initial=until_us)), until_us, _LEVEL_QUARTERS)
    level, quarter_level = _levels(fresh, group, motion_of, bins, seasons, log_hazard, quarters)
    log_hazard[:, 0] += level[:, None]

    owner_texts = history.vocabulary("owner_id").texts
    owner = history.owner(deal, np.full(len(deal), until_us))
    owner = np.where(owner < 0, len(owner_texts), owner)
    newest = born_us >= until_us - _OWNER_WEEKS * 7 * DAY_US
    owner_share = np.zeros((len(motions), len(owner_texts) + 1))
    np.add.at(owner_share, (motion[newest], owner[newest]), 1.0)
    # A motion with few deals of its own follows the owners of all motions together.
    everybody = owner_share.sum(axis=0)
    if everybody.sum() > 0:
        owner_share += _PRIOR_DEALS * everybody / everybody.sum()
        owner_share /= owner_share.sum(axis=1, keepdims=True)

    won = fresh.cause == WON
    quick = won & (fresh.duration_days <= _QUICK_DAYS)
    amount = history.amount(deal, np.full(len(deal), until_us))
    means, spreads = _amounts(amount, won, quick, motion, group, motion_of)
    wins, created = float(won.sum()), float(recent.sum())
    years = (until_us - int(born_us.min(initial=until_us))) / DAY_US / 365.25
    return ArrivalModel(
        bins=bins,
        creation=fit_creation(history, born_us, motion, history.columns.account[deal], until_us),
        motions=tuple(motions),
        groups=groups,
        motion_of=motion_of,
        share=share,
        owners=(*owner_texts, ""),
        owner_share=owner_share,
        log_hazard=log_hazard,
        quarter_level=quarter_level,
        amount_mean=means,
        amount_cv=spreads,
        # Known from n wins: the speed to 1 / n, the mean amount to cv^2 / n; from so many deals: their rate.
        level_sd=float(
            np.sqrt(
                (1.0 + spreads.max(initial=0.0) ** 2) / (wins + 1.0)
                + 1.0 / (created + 1.0)
                + _unseen_trend(years) ** 2
            )
        ),
    )


def _groups(
    history: History, deal: Ints, motions: tuple[str, ...], motion: Ints
) -> tuple[tuple[Group, ...], Ints, Ints]:
    """Groups, the motion of each, and the group of each deal: frequent sources of a motion, and the rest."""
    sources = history.vocabulary("source").texts
    source = history.columns.source[deal]
    groups: list[Group] = []
    group = np.zeros(len(deal), dtype=np.int64)
    for m, name in enumerate(motions):
        mine = motion == m
        count = np.bincount(source[mine & (source >= 0)], minlength=len(sources))
        frequent = [
            s for s in np.argsort(-count, kind="stable")[:_MOST_SOURCES] if count[s] >= _LEAST_CREATED
        ]
        group[mine] = len(groups) + len(frequent)
        for place, s in enumerate(frequent):
            group[mine & (source == s)] = len(groups) + place
        groups += [Group(name, sources[s]) for s in frequent] + [Group(name, "")]
    motion_of = np.array([motions.index(one.motion) for one in groups], dtype=np.int64)
    return tuple(groups), motion_of, group


def _hazards(
    fresh: _Fresh,
    motion: Ints,
    group: Ints,
    motion_of: Ints,
    motions: int,
    bins: Bins,
    seasons: tuple[Season, Season],
    fallback: Floats,
) -> Floats:
    """(G, 2, J) hazards by age: the company's drawn to the fallback, a motion's to the company's, times the
    level of the source."""
    found = np.tile(np.exp(fallback), (len(motion_of), 1, 1))
    if not fresh.cause.any():
        return found  # without any closing in the data, waiting proves nothing (see cells.py)
    bin_of_end = bins.of(fresh.duration_days)
    for k, (kind, season) in enumerate(zip((WON, LOST), seasons, strict=True)):
        exposure = exposures(bins, season, fresh.born_us, fresh.duration_days)
        ended = fresh.cause == kind

        def events(rows: Any, ended: Any = ended) -> Floats:
            counts = np.bincount(bin_of_end[rows & ended], minlength=len(bins))
            return counts[: len(bins)].astype(np.float64)

        everybody = np.ones(len(ended), dtype=bool)
        shape = np.exp(fallback[k]) * (_ripened(bins.centres_days) if kind == WON else 1.0)
        company = _by_age(events(everybody), exposure.sum(axis=0), shape)
        for m in range(motions):
            mine = motion == m
            hazard = _by_age(events(mine), exposure[mine].sum(axis=0), company)
            for g in np.flatnonzero(motion_of == m):
                ours = group == g
                expected = float((exposure[ours] @ hazard).sum())
                level = (float(events(ours).sum()) + _PRIOR_LEVEL) / (expected + _PRIOR_LEVEL)
                found[g, k] = hazard * level
    return found


def _ripened(age_days: Floats) -> Floats:
    """(J,) how winnable a deal is at each age, before any data: sales take time. On average 1 in four months.

    Without it a young company, in which only young deals have waited, would look as if it hardly ever won.
    """
    share = _RIPE_DAYS / _RIPE_UNTIL_DAYS
    ripe: Floats = age_days / (age_days + _RIPE_DAYS)
    return ripe / (1.0 - share * float(np.log1p(1.0 / share)))


def _levels(
    fresh: _Fresh,
    group: Ints,
    motion_of: Ints,
    bins: Bins,
    seasons: tuple[Season, Season],
    log_hazard: Floats,
    quarters: list[Period],
) -> tuple[Floats, Floats]:
    """How much more, or less, than foretold was won of deals created in the same quarter, as changes of the
    log-hazard of winning: (G,) by motion, and (4,) by quarter of the year beside that.

    Hazards by age and season are right on average over all deals; those created inside a quarter meet its end
    young, and what age and season do together need not be their product. A summer in which nothing moves on is
    not in the season of winning at all: it shows months later, except here. So levels are those of the very
    question asked, created and won in one quarter; each is drawn to what is above it, and all to none.
    """
    ended_us = fresh.born_us + (fresh.duration_days * DAY_US).astype(np.int64)
    won, expected = np.zeros((2, 4, len(motion_of)))
    for quarter in quarters:
        inside = (fresh.born_us >= quarter.start_us) & (fresh.born_us < quarter.end_us)
        wins = inside & (fresh.cause == WON) & (ended_us < quarter.end_us)
        of_year = quarter.start.quarter - 1
        won[of_year] += np.bincount(group[wins], minlength=len(motion_of))
        edges = _weeks(quarter.start_us, quarter.end_us)
        week = np.searchsorted(edges, fresh.born_us[inside], side="right") - 1
        created = np.zeros((len(motion_of), len(edges) - 1))
        np.add.at(created, (group[inside], week), 1.0)
        flat = np.zeros(4)
        chance = _chances(log_hazard, bins, seasons, edges, quarter.start_us, quarter.end_us, flat)
        expected[of_year] += (created * chance).sum(axis=1)
    overall = (won.sum() + _PRIOR_LEVEL) / (expected.sum() + _PRIOR_LEVEL)
    mine, theirs = (np.bincount(motion_of, part.sum(axis=0)) for part in (won, expected))
    level = ((mine + _PRIOR_LEVEL * overall) / (theirs + _PRIOR_LEVEL))[motion_of]
    seen, foretold = won.sum(axis=1), (expected * level).sum(axis=1)
    of_year_level: Floats = np.log((seen + _PRIOR_LEVEL) / (foretold + _PRIOR_LEVEL))
    return np.log(level), of_year_level


def _unseen_trend(years: float) -> float:
    """Relative uncertainty of a rate that may grow as any does, while less than two years of it are known.

    Within the first year no trend is told from a season: what grows by `_TREND_SD` a year has moved on by that
    much for each year from the middle of the data to that of a coming period. In the second year this fades.
    """
    return _TREND_SD * (years / 2 + _AHEAD_YEARS) * float(np.clip(2.0 - years, 0.0, 1.0))


def _weeks(start_us: int, end_us: int) -> Ints:
    """Edges of the weeks of a span, the last one cut short; one edge for no span at all."""
    return np.append(np.arange(start_us, end_us, 7 * DAY_US), max(end_us, start_us))


def _chances(
    log_hazard: Floats,
    bins: Bins,
    seasons: tuple[Season, Season],
    edges_us: Ints,
    start_us: int,
    end_us: int,
    quarter_level: Floats,
) -> Floats:
    """(G, W) chance that a deal created in each week, taken at its middle, is won in [start, end)."""
    chance = np.zeros((len(log_hazard), len(edges_us) - 1))
    for week, moment in enumerate(((edges_us[:-1] + edges_us[1:]) // 2).tolist()):
        start, end = (start_us - moment) / DAY_US, (end_us - moment) / DAY_US
        if not 0 < end <= HORIZON_CAP_DAYS or not len(log_hazard):
            continue
        marks = np.array([m for m in (start, end) if m > 0])
        cells = Cells.at(moment, bins, seasons, marks_days=marks, until_days=end)
        moved = log_hazard.copy()
        moved[:, 0] += quarter_level[to_timestamp(moment).quarter - 1]
        chance[:, week] = cells.curves(moved).won_between(max(start, 0.0), end)
    return chance


def _by_age(events: Floats, at_risk: Floats, centre: Floats) -> Floats:
    """(J,) hazards drawn to those of `centre`: first their level, then the shape bin by bin.

    The dilution adds no events: what it puts into one bin it takes from the others. A fresh deal is not won on
    its first day, and two borrowed wins there would count in every coming quarter.
    """
    if not at_risk.any():
        return centre
    level = (float(events.sum()) + _PRIOR_EVENTS) / (float(at_risk @ centre) + _PRIOR_EVENTS)
    centre = centre * level
    hazard = (events + _PRIOR_EVENTS) / (at_risk + _PRIOR_EVENTS / centre)
    scale: Floats = hazard * float(at_risk @ centre) / max(float(at_risk @ hazard), 1e-12)
    return scale


def _amounts(
    amount: Floats, won: Any, quick: Any, motion: Ints, group: Ints, motion_of: Ints
) -> tuple[Floats, Floats]:
    """(G,) mean and coefficient of variation of won amounts in the reporting currency.

    amount : (n,) of all deals; won, quick : (n,) whether won, and won as fast as a period asks for

    Far more deals are created than won, so the mean of the created ones is known well; what is left to learn
    from few wins is the ratio of won to created amounts, which differs less between groups. Large deals take
    longer: quick wins tell what those of a period are like, drawn to all wins.
    """
    usable = np.isfinite(amount) & (amount > 0)
    size = len(motion_of)
    if not usable.any():
        return np.zeros(size), np.ones(size)
    amount, motion, group = amount[usable], motion[usable], group[usable]
    won, quick = won[usable], quick[usable]
    company = _drawn_to((float(amount.mean()), float(amount.std() / amount.mean())), amount)
    by_motion = [_drawn_to(company, amount[motion == m]) for m in range(int(motion_of.max()) + 1)]
    created = np.array([_drawn_to(by_motion[m], amount[group == g]) for g, m in enumerate(motion_of)])
    relative = amount / created[group, 0]
    overall = _drawn_to((1.0, created[:, 1].mean()), relative[won])
    ratio = np.empty((size, 2))
    for g, m in enumerate(motion_of):
        of_motion = _drawn_to(overall, relative[quick & (motion == m)])
        ratio[g] = _drawn_to(of_motion, relative[quick & (group == g)])
    return created[:, 0] * ratio[:, 0], ratio[:, 1]


def _drawn_to(prior: tuple[float, float], amount: Floats) -> tuple[float, float]:
    """Mean and coefficient of variation of amounts pooled with `_PRIOR_DEALS` deals that follow the prior."""
    total = len(amount) + _PRIOR_DEALS
    mean = (float(amount.sum()) + _PRIOR_DEALS * prior[0]) / total
    spread = (prior[1] * prior[0]) ** 2 + (prior[0] - mean) ** 2
    variance = (float(((amount - mean) ** 2).sum()) + _PRIOR_DEALS * spread) / total
    return mean, float(np.sqrt(variance)) / mean
