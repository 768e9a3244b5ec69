"""What could have been forecast earlier: cheap models that learnt only what was recorded before an origin.

How sure a forecast is shows in how former ones did. Errors of models on quarters they were trained on are too
small, so for each past quarter the outcome model is fitted again on the landmarks before it, seen as somebody
standing there saw them: a deal decided later was still open. One rung and one ridge stand for the whole
ladder, and a few thousand landmarks for all: the error of a quarter's total is moved by neither, and eight
fits cost seconds.

The calendar profile is taken as it is known at the end. It has a free level for every quarter, so it holds
nothing of how good a quarter was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from forecast.features import FeatureMatrix
from forecast.history import LOST, OPEN, WON, Landmarks, StageMap
from forecast.models.bins import Bins
from forecast.models.cells import fit_cells
from forecast.models.encoder import fit_encoder
from forecast.models.hazard import OutcomeModel, Survival
from forecast.models.linear import choose_knots, fit_linear
from forecast.models.season import Season
from forecast.periods import DAY_US

__all__ = ["Refit", "censored_at", "cheap_refits"]

# The outcome model of somebody standing at a moment; None if too little was known then.
Refit = Callable[[int], OutcomeModel | None]

_MOST_ROWS: Final = 6_000
_FEW_ROWS: Final = 3_000  # with fewer landmarks features do not bend, as on the ladder
_RIDGE: Final = 50.0


def censored_at(landmarks: Landmarks, origin_us: int) -> Landmarks:
    """Landmarks before an origin as they looked there: what ended later is open (censored) at the origin.

    E.g. origin 1 Jul: a landmark of 12 Jun won after 30 days, on 12 Jul, was open for 19 days on 1 Jul.
    """
    early = landmarks.take(landmarks.at_us < origin_us)
    seen_days = (origin_us - early.at_us) / DAY_US
    unseen = early.duration_days >= seen_days
    return Landmarks(
        early.deal,
        early.at_us,
        np.minimum(early.duration_days, seen_days),
        np.where(unseen, OPEN, early.cause).astype(np.int8),
        early.weight,
    )


def cheap_refits(
    landmarks: Landmarks,
    features: FeatureMatrix,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    stages: StageMap,
    *,
    linear: bool,
    min_closed_deals: int,
    seed: int,
) -> Refit:
    """Fits of one kind for any origin.

    landmarks, features : the rows the final model was fitted on, with what became of them by the end
    linear : hazards linear in the features; else one per stage
    min_closed_deals : an origin with fewer gives None
    """

    def refit(origin_us: int) -> OutcomeModel | None:
        marks = censored_at(landmarks, origin_us)
        closed = len(np.unique(marks.deal[marks.cause != OPEN]))
        if closed < min_closed_deals or not all((marks.cause == cause).any() for cause in (WON, LOST)):
            return None
        rows = np.flatnonzero(landmarks.at_us < origin_us)
        if len(rows) > _MOST_ROWS:
            drawn = np.sort(np.random.default_rng(seed).choice(len(rows), size=_MOST_ROWS, replace=False))
            marks, rows = marks.take(drawn), rows[drawn]
        known = features.take(rows)
        bins = Bins.for_follow_up(float(marks.duration_days.max(initial=7.0)))
        survival = Survival.of(marks, bins, seasons)
        if not linear:
            deals = float(len(np.unique(marks.deal)))
            stage = known["stage"].astype(np.int64)
            return fit_cells(stage, survival, bins, stages, deals=deals)
        encoder = fit_encoder(known, use, spline=len(rows) >= _FEW_ROWS)
        knots = choose_knots(marks.duration_days[marks.cause != OPEN], bins)
        return fit_linear(encoder.encode(known), survival, bins, encoder, knots, _RIDGE)

    return refit
