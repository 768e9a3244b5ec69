"""Arrivals: deals that do not exist yet but will be created and won inside the period.

Three parts, each learnt by motion (new, renewal, expansion): how many deals appear per week and for whom; how
fast a fresh deal is won or lost, by its age and the season; and how large won deals are. A cohort per coming
week then runs through the same incidence as every deal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.history import LOST, WON, History
from forecast.models.bins import Bins, exposures
from forecast.models.incidence import HORIZON_CAP_DAYS, Cells
from forecast.models.season import Season
from forecast.periods import DAY_US

__all__ = ["ArrivalModel", "fit_arrivals"]

_WEEKS: Final = 52  # deals created this recently tell the rate
_OWNER_WEEKS: Final = 26  # and these tell whose they will be
_PRIOR_EVENTS: Final = 2.0  # closings of the average deal that a bin of a motion is diluted with
_PRIOR_DEALS: Final = 10.0  # deals of all motions that owners and amounts of one motion are diluted with


@dataclass(frozen=True)
class ArrivalModel:
    """What is known about deals to come.

    motions : names
    per_week : (M,) deals created per week
    owners : ids; the empty text stands for deals without an owner
    owner_share : (M, O) whose they will be; rows sum to 1 (or to 0 where no deal was seen)
    log_hazard : (M, 2, J) by age of the deal
    amount_mean, amount_cv : (M,) of a won deal in the reporting currency
    """

    bins: Bins
    motions: tuple[str, ...]
    per_week: Floats
    owners: tuple[str, ...]
    owner_share: Floats
    log_hazard: Floats
    amount_mean: Floats
    amount_cv: Floats

    def expected(
        self, as_of_us: int, start_us: int, end_us: int, seasons: tuple[Season, Season]
    ) -> pd.DataFrame:
        """Expected wins in [start, end) among deals created from `as_of` on.

        Columns owner_id, deals (expected number), amount_mean, amount_cv; one row per owner and motion.
        """
        wins = np.zeros(len(self.motions))
        begin_us = as_of_us
        while begin_us < end_us:
            stop_us = min(begin_us + 7 * DAY_US, end_us)
            # Deals of one week are taken at the middle of it.
            middle_us = (begin_us + stop_us) // 2
            start, end = (start_us - middle_us) / DAY_US, (end_us - middle_us) / DAY_US
            marks = np.array([m for m in (start, end) if m > 0])
            if len(marks) and marks.max() <= HORIZON_CAP_DAYS and len(self.motions):
                cells = Cells.at(middle_us, self.bins, seasons, marks_days=marks, until_days=end)
                chance = cells.curves(self.log_hazard).won_between(max(start, 0.0), end)
                wins += self.per_week * (stop_us - begin_us) / (7 * DAY_US) * chance
            begin_us = stop_us
        deals = wins[:, None] * self.owner_share
        motion, owner = np.nonzero(deals > 0)
        names = np.array([*self.owners, None], dtype=object)[owner]
        names[names == ""] = None
        return pd.DataFrame(
            {
                "owner_id": pd.array(names, dtype="str"),
                "deals": deals[motion, owner],
                "amount_mean": self.amount_mean[motion],
                "amount_cv": self.amount_cv[motion],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "bins": self.bins.to_json(),
            "motions": list(self.motions),
            "per_week": self.per_week.tolist(),
            "owners": list(self.owners),
            "owner_share": self.owner_share.tolist(),
            "log_hazard": self.log_hazard.tolist(),
            "amount_mean": self.amount_mean.tolist(),
            "amount_cv": self.amount_cv.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ArrivalModel:
        """Inverse of `to_json`."""
        array = {
            name: np.array(data[name], dtype=np.float64)
            for name in ("per_week", "owner_share", "log_hazard", "amount_mean", "amount_cv")
        }
        return cls(
            bins=Bins.from_json(data["bins"]),
            motions=tuple(data["motions"]),
            owners=tuple(data["owners"]),
            per_week=array["per_week"],
            owner_share=array["owner_share"].reshape(len(data["motions"]), len(data["owners"])),
            log_hazard=array["log_hazard"],
            amount_mean=array["amount_mean"],
            amount_cv=array["amount_cv"],
        )


def fit_arrivals(
    history: History, until_us: int, bins: Bins, seasons: tuple[Season, Season], fallback: Floats
) -> ArrivalModel:
    """Learn from what was recorded before `until_us`.

    fallback : (2, J) log hazards of the average deal, which thin motions are drawn to
    """
    known_from = history.known_from_us()
    deal = np.flatnonzero(known_from < until_us)
    texts = history.vocabulary("motion").texts
    motions = texts or ("new",)
    motion = np.maximum(history.columns.motion[deal], 0)

    # A fresh deal's first spell, from first seen to first closing.
    closings = history.closings
    first = closings.at_us < until_us
    first[1:] &= ~((closings.deal[1:] == closings.deal[:-1]) & (closings.at_us[:-1] < until_us))
    ended_us = np.full(len(history), until_us, dtype=np.int64)
    cause = np.zeros(len(history), dtype=np.int8)
    ended_us[closings.deal[first]] = closings.at_us[first]
    cause[closings.deal[first]] = closings.kind[first]
    born_us = known_from[deal]
    duration = np.maximum(ended_us[deal] - born_us, 0) / DAY_US
    log_hazard = np.stack(
        [
            np.log(_hazards(motion == m, born_us, duration, cause[deal], bins, seasons, fallback))
            for m in range(len(motions))
        ]
    )

    span_weeks = min(_WEEKS, max((until_us - int(born_us.min(initial=until_us))) / (7 * DAY_US), 1.0))
    recent = born_us >= until_us - round(span_weeks * 7 * DAY_US)
    per_week = np.bincount(motion[recent], minlength=len(motions))[: len(motions)] / span_weeks
    owner_texts = history.vocabulary("owner_id").texts
    owner = history.owner(deal, np.full(len(deal), until_us))
    owner = np.where(owner < 0, len(owner_texts), owner)
    newest = born_us >= until_us - _OWNER_WEEKS * 7 * DAY_US
    share = np.zeros((len(motions), len(owner_texts) + 1))
    np.add.at(share, (motion[newest], owner[newest]), 1.0)
    # A motion with few deals of its own follows the owners of all motions together.
    everybody = share.sum(axis=0)
    if everybody.sum() > 0:
        share += _PRIOR_DEALS * everybody / everybody.sum()
        share /= share.sum(axis=1, keepdims=True)

    won = deal[cause[deal] == WON]
    amount = history.amount(won, np.full(len(won), until_us))
    if not (amount > 0).any():  # before the first win, what deals are worth while open stands in
        won, amount = deal, history.amount(deal, np.full(len(deal), until_us))
    means, spreads = _amounts(amount, history.columns.motion[won], len(motions))
    return ArrivalModel(bins, tuple(motions), per_week, (*owner_texts, ""), share, log_hazard, means, spreads)


def _hazards(
    mine: Any,
    born_us: Any,
    duration: Floats,
    cause: Any,
    bins: Bins,
    seasons: tuple[Season, Season],
    fallback: Floats,
) -> Floats:
    """(2, J) hazards by age of one motion, drawn to the fallback where it has few events."""
    hazards = np.exp(fallback).copy()
    bin_of_end = bins.of(duration[mine])
    for k, (kind, season) in enumerate(zip((WON, LOST), seasons, strict=True)):
        exposure = exposures(bins, season, born_us[mine], duration[mine]).sum(axis=0)
        events = np.bincount(bin_of_end[cause[mine] == kind], minlength=len(bins))[: len(bins)]
        if not cause.any():
            continue  # without any closing in the data, waiting proves nothing (see cells.py)
        # First the level of the whole motion, then the shape bin by bin.
        level = (events.sum() + _PRIOR_EVENTS) / (exposure @ hazards[k] + _PRIOR_EVENTS)
        centre = hazards[k] * level
        hazards[k] = (events + _PRIOR_EVENTS) / (exposure + _PRIOR_EVENTS / centre)
    return hazards


def _amounts(amount: Floats, motion: Any, motions: int) -> tuple[Floats, Floats]:
    """(M,) mean and coefficient of variation of won amounts, drawn to those of all motions together."""
    usable = np.isfinite(amount) & (amount > 0)
    if not usable.any():
        return np.zeros(motions), np.ones(motions)
    overall, overall_cv = float(amount[usable].mean()), float(amount[usable].std() / amount[usable].mean())
    means, spreads = np.empty(motions), np.empty(motions)
    for m in range(motions):
        mine = amount[usable & (motion == m)]
        total = len(mine) + _PRIOR_DEALS
        means[m] = (mine.sum() + _PRIOR_DEALS * overall) / total
        variance = (((mine - means[m]) ** 2).sum() + _PRIOR_DEALS * (overall_cv * overall) ** 2) / total
        spreads[m] = np.sqrt(variance) / means[m]
    return means, spreads
