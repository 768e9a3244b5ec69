"""Aalen-Johansen cells: one hazard per stage, cause and bin, shrunk where data is thin.

The discrete Aalen-Johansen estimator of cumulative incidence, started at landmarks. It begins with what the CRM
promises of each stage, so that a company without a single closed deal still gets an answer. Closings then move
it by one factor for all cells of a cause, one for each stage, one for each bin, and one for each cell: every
factor is closings seen over closings foretold, drawn to 1 with the weight of a few closings. So a stage nobody
has left yet keeps its rank, but is won and lost as fast as the others have shown, and plenty of data decide
alone.

E.g. promised hazards foretold 15 wins of a stage and 5 came: (5 + 5) / (15 + 5) halves its win hazard.

Source: Aalen and Johansen 1978; landmarking after van Houwelingen 2007; shrinkage as Gamma-Poisson.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features import FeatureMatrix
from forecast.history import LOST, OPEN, WON, StageMap
from forecast.models.bins import Bins
from forecast.models.hazard import Survival

__all__ = ["StageCells", "fit_cells"]

# Before any data: half of all deals are decided within this time, won as often as their stage promises.
_PRIOR_HALF_LIFE_DAYS: Final = 60.0
_PRIOR_WIN_SHARE: Final = 0.25
# Closings that each factor is diluted with: at so many foretold, data and what was thought before count alike.
_LEVEL_EVENTS: Final = 5.0
_STAGE_EVENTS: Final = 5.0
_SHAPE_EVENTS: Final = 5.0
_CELL_EVENTS: Final = 5.0


@dataclass(frozen=True)
class StageCells:
    """Hazards by stage.

    log_hazards : (S + 1, 2, J) per stage code of `stages`, the last row for a stage not seen here
    average : (2, J) the average training row
    """

    bins: Bins
    stages: tuple[str, ...]
    log_hazards: Floats
    average: Floats

    name = "aalen-johansen"
    groups = ("stage",)

    @cached_property
    def basis(self) -> Floats:
        """Every bin is its own basis function."""
        return np.eye(len(self.bins))

    @property
    def baseline(self) -> Floats:
        """(2, J) zero: every cell has its own level."""
        return np.zeros((2, len(self.bins)))

    @property
    def reference(self) -> Floats:
        """(2, J) the average training row."""
        return self.average

    def coefficients(self, features: FeatureMatrix) -> Floats:
        """(n, 2, J) log hazards of each row's stage."""
        place = {text: at for at, text in enumerate(self.stages)}
        mapping = np.array([*(place.get(t, -1) for t in features.texts("stage")), -1], dtype=np.int64)
        stage = features["stage"]
        found: Floats = self.log_hazards[mapping[np.where(np.isnan(stage), -1, stage).astype(np.int64)]]
        return found

    def explain(self, features: FeatureMatrix) -> tuple[Floats, Floats]:
        """The stage is the only reason: (n, 2, J) and (n, 1, 2, J)."""
        coefficients = self.coefficients(features)
        return coefficients, (coefficients - self.average)[:, None]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "rung": self.name,
            "bins": self.bins.to_json(),
            "stages": list(self.stages),
            "log_hazards": self.log_hazards.tolist(),
            "average": self.average.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> StageCells:
        """Inverse of `to_json`."""
        return cls(
            Bins.from_json(data["bins"]),
            tuple(data["stages"]),
            np.array(data["log_hazards"], dtype=np.float64),
            np.array(data["average"], dtype=np.float64),
        )


def fit_cells(stage: Ints, survival: Survival, bins: Bins, stages: StageMap, *, deals: float) -> StageCells:
    """Estimate cells from landmarks.

    stage : (n,) stage code of each landmark
    survival : the same landmarks on the time axis
    deals : number of different deals among them
    """
    count = len(stages)
    events = np.zeros((count, 2, len(bins)))
    exposure = np.zeros((count, 2, len(bins)))
    for k, cause in enumerate((WON, LOST)):
        ended = survival.cause == cause
        np.add.at(events, (stage[ended], k, survival.bin[ended]), survival.weight[ended])
        np.add.at(exposure[:, k], stage, survival.exposure[k] * survival.weight[:, None])

    promised = _promised_hazards(stages)
    if not events.any():
        # Without a single closing nobody can tell "nothing ever closes" from "closed deals were not exported":
        # time spent open then says nothing, and the promise stands alone.
        waited, exposure = exposure, np.zeros_like(exposure)
    else:
        waited = exposure
    # Landmarks of one deal repeat its story; what they are diluted with is counted in landmarks too.
    looks = max(survival.weight.sum() / max(deals, 1.0), 1.0)

    def drawn(hazard: Floats, over: tuple[int, ...], closings: float) -> Floats:
        """Hazards moved by one factor for all cells that are summed `over`."""
        seen = events.sum(axis=over, keepdims=True) + closings * looks
        foretold = (exposure * hazard).sum(axis=over, keepdims=True) + closings * looks
        moved: Floats = hazard * (seen / foretold)
        return moved

    hazards = np.repeat(promised[:, :, None], len(bins), axis=2)
    hazards = drawn(hazards, (0, 2), _LEVEL_EVENTS)
    hazards = drawn(hazards, (2,), _STAGE_EVENTS)
    hazards = drawn(hazards, (0,), _SHAPE_EVENTS)
    hazards = drawn(hazards, (), _CELL_EVENTS)
    inside = stages.kind == OPEN
    pooled = hazards[inside].mean(axis=0) if inside.any() else hazards.mean(axis=0)
    average = np.log((hazards * waited).sum(axis=0) + 1e-12) - np.log(waited.sum(axis=0) + 1e-12)
    average = np.where(waited.sum(axis=0) > 0, average, np.log(pooled))
    return StageCells(bins, stages.names, np.log(np.concatenate((hazards, pooled[None]))), average)


def _promised_hazards(stages: StageMap) -> Floats:
    """(S, 2) hazards per day before any data: each stage is won as often as the CRM promises.

    A stage without a promise, and one in which no deal is open, gets the mean of the others.
    """
    promised = stages.default_probability
    inside = (stages.kind == OPEN) & np.isfinite(promised)
    share = float(promised[inside].mean()) if inside.any() else _PRIOR_WIN_SHARE
    own = np.clip(np.where(inside, promised, share), 0.01, 0.99)
    rate = np.log(2.0) / _PRIOR_HALF_LIFE_DAYS
    hazards: Floats = rate * np.stack((own, 1.0 - own), axis=1)
    return hazards
