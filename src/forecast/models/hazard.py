"""What every model of deal outcomes offers, and the score they are judged by.

An outcome model gives, per row and cause, coefficients of a small basis over time after the as-of moment:

    log hazard_k(t | x) = log season_k(day of t) + log clock_k(own time at t) + level_k
                          + baseline_k(bin of t) + sum_b c_kb(x) * basis_b(bin of t),      k = won, lost

Season and the deal's own clock are exposure, the level is a correction of all: they live outside. Baseline and
coefficients are all a model has to provide. To bring a model of your own, implement `OutcomeModel`; everything
after it (curves, periods, reasons, roll-up) works unchanged (docs/own-model.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats
from forecast.features import FeatureMatrix
from forecast.history import Landmarks
from forecast.models.bins import Bins, exposures
from forecast.models.season import Season

__all__ = ["CAUSES", "OutcomeModel", "Survival", "baseline_of", "outcome_log_score"]

CAUSES: Final = ("won", "lost")
# A forecast of zero for what then happens is an infinite loss; nobody is that sure.
_LEAST_PROBABILITY: Final = 1e-6
_PRIOR_LOOKS: Final = 20.0  # landmarks of closings that a bin's baseline is diluted with


class OutcomeModel(Protocol):
    """A fitted model of when a deal is won or lost.

    name : the rung of the ladder, as shown in reports
    bins : the time axis
    basis : (B, J) weights of the basis functions in each bin
    baseline : (2, J) what every row's log hazards have in common
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
    def baseline(self) -> Floats: ...
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
    weight : (n,)
    """

    exposure: Floats
    bin: NDArray[np.int64]
    cause: NDArray[np.int8]
    weight: Floats

    @classmethod
    def of(cls, landmarks: Landmarks, bins: Bins, seasons: tuple[Season, Season]) -> Survival:
        """Expose landmarks to the seasons of both causes."""
        at_us, duration = landmarks.at_us, landmarks.duration_days
        return cls(
            exposure=np.stack([exposures(bins, season, at_us, duration) for season in seasons]),
            bin=bins.of(duration),
            cause=landmarks.cause,
            weight=landmarks.weight,
        )

    def paced(self, log_pace: Floats) -> Survival:
        """The same landmarks exposed to the deals' own clocks as well; log_pace is (n, 2, J)."""
        pace = np.exp(log_pace.swapaxes(0, 1))
        # A pace of every row has the size of the exposure and is written over; one for all is too small.
        return replace(
            self, exposure=np.multiply(self.exposure, pace, out=pace if len(pace[0]) > 1 else None)
        )


def baseline_of(survival: Survival, log_hazard: Floats) -> Floats:
    """(2, J) log of closings that came in each bin over those that log hazards (n, 2, J) expect there.

    Added to the log hazards it makes every bin right on average, whatever shape in time the coefficients can
    take; bins with few closings are drawn to no correction.
    """
    bins = survival.exposure.shape[2]
    found = np.empty((2, bins))
    for k in range(2):
        rate = np.exp(np.minimum(log_hazard[:, k], 10.0))
        expected = np.einsum("n,nj,nj->j", survival.weight, survival.exposure[k], rate)
        ended = survival.cause == k + 1
        came = np.bincount(survival.bin[ended], survival.weight[ended], minlength=bins)
        found[k] = np.log((came + _PRIOR_LOOKS) / (expected + _PRIOR_LOOKS))
    return found


def outcome_log_score(log_hazard: Floats, exposure: Floats, cause: NDArray[np.int8]) -> Floats:
    """(n,) log probability given to what became of each row by the end of its follow-up: open, won or lost.

    log_hazard : (n, 2, J) without season
    exposure : (2, n, J) season days from the landmark to the end of the follow-up, whatever happened before
    cause : (n,) 0 still open, 1 won, 2 lost by then

    A proper score of exactly the question that is asked in use. The day within the follow-up is left out: a CRM
    that records once a week puts every outcome on one weekday, and densities would reward knowing which.
    """
    won = np.exp(np.minimum(log_hazard[:, 0], 10.0)) * exposure[0]
    lost = np.exp(np.minimum(log_hazard[:, 1], 10.0)) * exposure[1]
    total = won + lost
    leaving = np.diff(-np.expm1(-np.cumsum(total, axis=1)), axis=1, prepend=0.0)
    share = np.divide(won, total, out=np.zeros_like(won), where=total > 0)
    p_won = (leaving * share).sum(axis=1)
    p_left = leaving.sum(axis=1)
    given = np.stack((1.0 - p_left, p_won, p_left - p_won))[cause, np.arange(len(cause))]
    score: Floats = np.log(np.maximum(given, _LEAST_PROBABILITY))
    return score
