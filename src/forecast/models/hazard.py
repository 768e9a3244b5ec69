"""What every model of deal outcomes offers, and the exact likelihood they are judged by.

An outcome model gives, per row and cause, coefficients of a small basis over time after the as-of moment:

    log hazard_k(t | x) = log season_k(day of t) + sum_b c_kb(x) * basis_b(bin of t),   k = won, lost

The season is exposure and lives outside; the coefficients are all a model has to provide. To bring a model of
your own, implement `OutcomeModel`; everything after it (curves, periods, reasons, roll-up) works unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats
from forecast.features import FeatureMatrix
from forecast.history import Landmarks
from forecast.models.bins import Bins, exposures
from forecast.models.season import Season
from forecast.periods import DAY_US

__all__ = ["CAUSES", "OutcomeModel", "Survival", "log_likelihood"]

CAUSES: Final = ("won", "lost")


class OutcomeModel(Protocol):
    """A fitted model of when a deal is won or lost.

    name : the rung of the ladder, as shown in reports
    bins : the time axis
    basis : (B, J) weights of the basis functions in each bin
    groups : names of the G features its reasons speak of
    reference : (2, B) coefficients of the average training row
    """

    @property
    def name(self) -> str: ...
    @property
    def bins(self) -> Bins: ...
    @property
    def basis(self) -> Floats: ...
    @property
    def groups(self) -> tuple[str, ...]: ...
    @property
    def reference(self) -> Floats: ...

    def coefficients(self, features: FeatureMatrix) -> Floats:
        """(n, 2, B) coefficients; each row depends on that row's features only."""
        ...

    def explain(self, features: FeatureMatrix) -> tuple[Floats, Floats]:
        """The coefficients, and (n, G, 2, B) contributions: how each feature moves them from `reference`.

        Contributions of all features add up to coefficients minus reference.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        ...


@dataclass(frozen=True)
class Survival:
    """Landmarks laid out on the time axis, ready for the likelihood.

    exposure : (2, n, J) season days at risk per cause
    bin : (n,) bin of the end of each row
    cause : (n,) 0 censored, 1 won, 2 lost
    season_log : (2, n) log season rate at the end of each row
    weight : (n,)
    """

    exposure: Floats
    bin: NDArray[np.int64]
    cause: NDArray[np.int8]
    season_log: Floats
    weight: Floats

    @classmethod
    def of(cls, landmarks: Landmarks, bins: Bins, seasons: tuple[Season, Season]) -> Survival:
        """Expose landmarks to the seasons of both causes."""
        at_us, duration = landmarks.at_us, landmarks.duration_days
        end_day = np.floor(at_us / DAY_US + duration).astype(np.int64)
        return cls(
            exposure=np.stack([exposures(bins, season, at_us, duration) for season in seasons]),
            bin=bins.of(duration),
            cause=landmarks.cause,
            season_log=np.stack([np.log(season.rate(end_day)) for season in seasons]),
            weight=landmarks.weight,
        )


def log_likelihood(log_hazard: Floats, survival: Survival) -> Floats:
    """(n,) exact log-likelihood of each row under piecewise-constant hazards.

    log_hazard : (n, 2, J) without season; the season enters through `survival`
    """
    total = np.zeros(len(survival.bin))
    rows = np.arange(len(survival.bin))
    for k in range(2):
        total -= (survival.exposure[k] * np.exp(log_hazard[:, k])).sum(axis=1)
        ended = survival.cause == k + 1
        total[ended] += log_hazard[rows[ended], k, survival.bin[ended]] + survival.season_log[k, ended]
    return total
