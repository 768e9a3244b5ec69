"""The deal's own clock: how the chance of closing follows a deal's age, or its days in a stage.

Contracts run out, offers expire, and a CRM closes by itself what nobody touched for a month. Such dates lie at
a fixed age of the deal, wherever the landmark stands, so no function of the time after a landmark can express
them. Like the season, the clock multiplies the hazard:

    pace_k(g, a) = (wins or losses that came at age a) / (those expected by everything else),

for bands of age with about equal numbers of closings, drawn to one where a band has few, and as far as bands
differ no more than chance would have them. A kind of business g (motion) has its own clock: renewals are signed
when a contract ends, new business is not. The clock and the rest of the model explain the same closings, so
they are estimated in turn (backfitting).

Source: multiplicative hazards on several time scales, Efron 2002; shrinkage as Gamma-Poisson, its strength by
moments (empirical Bayes, Clayton and Kaldor 1987).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features import FeatureMatrix
from forecast.features.kinds.ages import age_bands, pace_of
from forecast.models.bins import Bins
from forecast.models.hazard import CAUSES, Survival
from forecast.models.incidence import HORIZON_CAP_DAYS

__all__ = ["CLOCKS", "DealClock", "fit_clock"]

# What a clock may count: feature -> whose clocks differ.
CLOCKS: Final = {"age_days": "motion", "days_in_stage": "stage", "lead_age_days": "source"}
_BANDS: Final = 20
_PASSES: Final = 3
_LEAST_SEEN: Final = 5.0  # closings, as usual, beside which those of a band are looked at
_MOST: Final = 8.0  # no band runs faster, or slower, than this


@dataclass(frozen=True)
class DealClock:
    """Pace of both hazards by band of the deal's own time.

    feature : one of `CLOCKS`; empty for a clock that always runs at one
    edges_days : (A + 1,) from 0; the last band has no end
    groups : texts of the motion, stage or source that have clocks of their own
    pace : (2, 1 + groups, A); row 0 serves every other group
    """

    feature: str
    edges_days: Floats
    groups: tuple[str, ...]
    pace: Floats

    @classmethod
    def flat(cls) -> DealClock:
        """No clock: every day counts as one day."""
        return cls("", np.array([0.0, 1.0]), (), np.ones((2, 1, 1)))

    @property
    def is_flat(self) -> bool:
        """Whether all ages are alike."""
        return not self.feature

    def log_pace(self, features: FeatureMatrix, bins: Bins) -> Floats:
        """(n, 2, J) log of the mean pace of each row in each bin, from its own time at the landmark onwards."""
        if self.is_flat:
            return np.zeros((len(features), 2, len(bins)))
        now = np.nan_to_num(features[self.feature])
        group = self._group(features)
        edges = bins.edges_days.copy()
        edges[-1] = max(edges[-1], HORIZON_CAP_DAYS)
        own_days = now[:, None] + edges
        whole = np.clip(
            np.searchsorted(self.edges_days, own_days, side="right") - 1, 0, self.pace.shape[2] - 1
        )
        found = np.empty((len(now), 2, len(bins)))
        for k in range(2):
            start = self._passed[k][group[:, None], whole]
            passed = start + self.pace[k][group[:, None], whole] * (own_days - self.edges_days[whole])
            found[:, k] = np.log(np.diff(passed, axis=1) / np.diff(edges))
        return found

    @cached_property
    def _passed(self) -> Floats:
        """(2, groups + 1, A) clock time until the start of each band."""
        passed = np.cumsum(self.pace * np.diff(self.edges_days), axis=2)
        return np.concatenate((np.zeros((*passed.shape[:2], 1)), passed[..., :-1]), axis=2)

    def _group(self, features: FeatureMatrix) -> Ints:
        name = CLOCKS[self.feature]
        place = {text: at for at, text in enumerate(self.groups, start=1)}
        mapping = np.array([*(place.get(text, 0) for text in features.texts(name)), 0], dtype=np.int64)
        values = features[name]
        return mapping[np.where(np.isnan(values), -1, values).astype(np.int64)]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "feature": self.feature,
            "edges_days": self.edges_days.tolist(),
            "groups": list(self.groups),
            "pace": {cause: self.pace[k].tolist() for k, cause in enumerate(CAUSES)},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DealClock:
        """Inverse of `to_json`."""
        feature = str(data["feature"])
        if feature and feature not in CLOCKS:
            raise ValueError("a clock counts something unknown")
        pace = np.array([data["pace"][cause] for cause in CAUSES], dtype=np.float64)
        return cls(
            feature,
            np.array(data["edges_days"], dtype=np.float64),
            tuple(data["groups"]),
            pace.reshape(2, 1 + len(data["groups"]), -1),
        )


def fit_clock(
    feature: str,
    features: FeatureMatrix,
    survival: Survival,
    duration_days: Floats,
    bins: Bins,
    log_hazard: Callable[[DealClock], Floats],
    *,
    deal: Ints,
) -> DealClock:
    """Estimate a clock in turn with the rest of the model.

    features, survival, duration_days : the same n landmarks; the exposure without any clock
    log_hazard : (n, 2, J) of a model fitted to the landmarks beside a clock, itself without it
    deal : (n,) whose landmarks tell of the same closing, which counts once
    """
    now = np.nan_to_num(features[feature])
    closed = survival.cause > 0
    own_end = now + duration_days
    groups = tuple(text for text in features.texts(CLOCKS[feature]) if text)
    nobody = DealClock(feature, np.array([0.0, 1.0]), groups, np.ones((2, 1 + len(groups), 1)))
    group = nobody._group(features)
    begin = age_bands(own_end[closed], group[closed], _BANDS)
    if len(begin) < 2:
        return DealClock.flat()
    edges = np.append(begin, max(begin[-1] + 30.0, 2.0 * begin[-1]))
    shape = (1 + len(groups), len(edges) - 1)
    cell = group[:, None] * shape[1] + np.arange(shape[1])
    end = group * shape[1] + np.clip(np.searchsorted(edges, own_end, side="right") - 1, 0, shape[1] - 1)
    seen, scatter = zip(*(_seen(survival, k, end, deal, shape) for k in range(2)), strict=True)
    clock = DealClock.flat()
    for _ in range(_PASSES):
        rate = np.exp(np.minimum(log_hazard(clock), 10.0))
        pace = np.ones((2, *shape))
        for k in range(2):
            expected = survival.exposure[k] * rate[:, k] * survival.weight[:, None]
            within = _in_bands(expected, now, duration_days, bins, edges)
            foretold = np.bincount(cell.ravel(), within.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
            pace[k, 0] = pace_of(seen[k].sum(axis=0), foretold.sum(axis=0), scatter[k][0])
            for row in range(1, shape[0]):
                pace[k, row] = pace_of(seen[k][row], foretold[row], scatter[k][row])
        clock = DealClock(feature, edges, groups, np.clip(pace, 1 / _MOST, _MOST))
    return clock


def _seen(survival: Survival, k: int, end: Ints, deal: Ints, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """(groups, A) weight of the landmarks whose deal closed in each band, and how it scatters.

    All landmarks of a deal tell of one closing: what came has the variance of closings that count as often as
    they were seen. Of a closing at an early age few landmarks tell. The first row scatters as all groups do.
    """
    ended = survival.cause == k + 1
    weight = survival.weight[ended]
    _, who = np.unique(deal[ended], return_inverse=True)
    times = np.bincount(who, weight)[who]
    size = shape[0] * shape[1]
    seen, squared = (
        np.bincount(end[ended], w, size).reshape(shape).astype(np.float64) for w in (weight, weight * times)
    )
    usual = max(float(squared.sum()) / max(float(seen.sum()), 1e-9), 1.0)
    every = np.concatenate((squared.sum(axis=0)[None], squared[1:])) + _LEAST_SEEN * usual
    number = np.concatenate((seen.sum(axis=0)[None], seen[1:])) + _LEAST_SEEN
    return seen, every / number


def _in_bands(expected: Floats, now: Floats, duration_days: Floats, bins: Bins, edges: Floats) -> Floats:
    """(n, A) what is expected of each row in each band of its own time, from (n, J) in bins after the landmark.

    Within a bin it is spread evenly over the days the row was followed there.
    """
    until = np.concatenate((np.zeros((len(now), 1)), np.cumsum(expected, axis=1)), axis=1)
    inner = edges[1:-1] - now[:, None]
    days = np.clip(inner, 0.0, duration_days[:, None])
    at = np.minimum(np.searchsorted(bins.edges_days, days, side="right") - 1, len(bins) - 1)
    starts = bins.edges_days[at]
    ends = np.append(bins.edges_days[1:-1], np.inf)[at]  # the last bin serves everything after it
    followed = np.maximum(np.minimum(ends, duration_days[:, None]) - starts, 1e-9)
    share = np.clip((days - starts) / followed, 0.0, 1.0)
    row = np.arange(len(now))[:, None]
    passed = until[row, at] + share * expected[row, at]
    passed = np.where(inner >= duration_days[:, None], until[:, -1:], np.where(inner > 0.0, passed, 0.0))
    return np.diff(passed, axis=1, prepend=0.0, append=until[:, -1:])
