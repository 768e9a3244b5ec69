"""Landmarks with their features: what the rungs of the ladder learn from and are judged on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forecast.arrays import Ints
from forecast.features import FeatureMatrix
from forecast.history import Landmarks
from forecast.models.origins import censored_at

__all__ = ["Rows", "looks_per_closing"]


@dataclass(frozen=True)
class Rows:
    """Landmarks with their features, sliced together."""

    landmarks: Landmarks
    features: FeatureMatrix

    def __len__(self) -> int:
        return len(self.landmarks)

    def take(self, rows: Ints) -> Rows:
        """Some of the rows, by position."""
        return Rows(self.landmarks.take(rows), self.features.take(rows))

    def sample(self, most: int, seed: int) -> Rows:
        """At most so many of the rows, drawn at random."""
        if len(self) <= most:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), size=most, replace=False)
        return self.take(np.sort(drawn))

    def between(self, start_us: int, end_us: int) -> Rows:
        """Those laid in [start, end)."""
        at_us = self.landmarks.at_us
        return self.take(np.flatnonzero((at_us >= start_us) & (at_us < end_us)))

    def seen_at(self, split_us: int) -> Rows:
        """What the landmarks before `split_us` looked like to somebody standing there."""
        early = np.flatnonzero(self.landmarks.at_us < split_us)
        return Rows(censored_at(self.landmarks, split_us), self.features.take(early))

    @cached_property
    def stage_codes(self) -> Ints:
        """(n,) stage of each landmark."""
        return self.features["stage"].astype(np.int64)

    @cached_property
    def closed_deals(self) -> float:
        """Number of different deals that closed."""
        return float(len(np.unique(self.landmarks.deal[self.landmarks.cause > 0])))

    def has_seen(self, causes: tuple[int, ...]) -> bool:
        """Whether each of these outcomes came at least once."""
        return all(bool((self.landmarks.cause == cause).any()) for cause in causes)


def looks_per_closing(landmarks: Landmarks) -> float:
    """Weight of the landmarks that tell of one and the same closing: it counts once, not so often."""
    closed = landmarks.cause > 0
    deals = len(np.unique(landmarks.deal[closed]))
    return max(float(landmarks.weight[closed].sum()) / max(deals, 1), 1.0)
