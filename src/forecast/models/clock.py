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
from forecast.models.bins import Bins
from forecast.models.hazard import CAUSES, Survival
from forecast.models.incidence import HORIZON_CAP_DAYS

__all__ = ["CLOCKS", "DealClock", "fit_clock"]

# What a clock may count: feature -> whose clocks differ.
CLOCKS: Final = {"age_days": "motion", "days_in_stage": "stage", "lead_age_days": "source"}
_BANDS: Final = 12
_LEAST_WIDTH_DAYS: Final = 2.0
# Of the expected number: with at least so many a band is diluted.
_PRIOR_CLOSINGS: Final = 15.0
_PASSES: Final = 2
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
    looks: float,
) -> DealClock:
    """Estimate a clock in turn with the rest of the model.

    features, survival, duration_days : the same n landmarks; the exposure without any clock
    log_hazard : (n, 2, J) of a model fitted to the landmarks beside a clock, itself without it
    looks : landmarks that tell of the same closing; it counts once
    """
    now = np.nan_to_num(features[feature])
    closed = survival.cause > 0
    own_end = now + duration_days
    edges = _edges(own_end[closed])
    groups = tuple(text for text in features.texts(CLOCKS[feature]) if text)
    if len(edges) < 3:
        return DealClock.flat()
    shape = (1 + len(groups), len(edges) - 1)
    clock = DealClock.flat()
    pace = np.ones((2, *shape))
    group = DealClock(feature, edges, groups, pace)._group(features)
    middle = np.minimum(bins.centres_days, np.maximum(duration_days[:, None], 0.5))
    band = np.clip(np.searchsorted(edges, now[:, None] + middle, side="right") - 1, 0, len(edges) - 2)
    end_band = np.clip(np.searchsorted(edges, own_end, side="right") - 1, 0, len(edges) - 2)
    cell = group[:, None] * shape[1] + band
    for _ in range(_PASSES):
        log_pace = clock.log_pace(features, bins)
        paced = survival.paced(log_pace)
        expected_rate = np.exp(np.minimum(log_hazard(clock), 10.0))
        pace = pace.copy()
        for k in range(2):
            expected = paced.exposure[k] * expected_rate[:, k] * (survival.weight / looks)[:, None]
            came = (survival.cause == k + 1) * survival.weight / looks
            foretold = np.bincount(cell.ravel(), expected.ravel(), minlength=shape[0] * shape[1]).reshape(
                shape
            )
            seen = np.bincount(group * shape[1] + end_band, came, minlength=shape[0] * shape[1]).reshape(
                shape
            )
            pace[k, 0] *= _ratio(seen.sum(axis=0), foretold.sum(axis=0))
            for group_row in range(1, shape[0]):
                pace[k, group_row] *= _ratio(seen[group_row], foretold[group_row])
        clock = DealClock(feature, edges, groups, np.clip(pace, 1 / _MOST, _MOST))
    return clock


def _ratio(seen: Floats, foretold: Floats) -> Floats:
    """(A,) closings that came over those expected, drawn to one as far as bands differ only by chance."""
    # Of Poisson counts around ratios of mean one and variance v, the squared distances less chance add up to
    # v times the squared expectations.
    beyond = float(((seen - foretold) ** 2 - foretold).sum())
    if beyond <= 0.0:
        return np.ones(len(seen))
    prior = max(float((foretold**2).sum()) / beyond, _PRIOR_CLOSINGS)
    ratio: Floats = (seen + prior) / (foretold + prior)
    return ratio


def _edges(own_end: Floats) -> Floats:
    """Bands with about the same number of closings each, none narrower than two days."""
    if len(own_end) < 2 * _BANDS:
        return np.array([0.0, 1.0])
    cuts = np.quantile(own_end, np.linspace(0, 1, _BANDS + 1)[1:-1])
    edges = [0.0]
    for cut in cuts:
        if cut >= edges[-1] + _LEAST_WIDTH_DAYS:
            edges.append(float(cut))
    return np.array([*edges, max(edges[-1] + 30.0, 2.0 * edges[-1])])
