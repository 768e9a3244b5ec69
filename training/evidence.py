"""What stands beside a training's metrics: how sure they are, for whom they hold, curves, calibration, reasons.

Tables, nothing drawn and nothing recorded: the model card, MLflow and anybody else reads the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.evaluation.metrics import cumulative_incidence, incidence_at, reliability
from forecast.features import label
from forecast.history import LOST, WON, History, Landmarks
from forecast.models import FittedModels
from forecast.periods import as_of_us, to_timestamp
from forecast.scoring.reasons import Chances, Explainer
from forecast.scoring.scores import marks_and_span
from training.holdout import OURS, Measured
from training.intervals import COLUMNS as INTERVAL_COLUMNS
from training.intervals import intervals, seen_at
from training.segments import COLUMNS as SEGMENT_COLUMNS
from training.segments import segment_metrics
from training.settings import Settings

__all__ = ["Evidence", "collect_evidence"]

_CURVE_LOOKS: Final = 6_000  # enough for a mean curve that no eye tells from that of all
_CURVE_STEP_DAYS: Final = 7
_EXPLAINED_DEALS: Final = 2_000
# Beyond the day that fewer than this share of the looks were followed to, Aalen-Johansen says little.
_FOLLOWED_AT_LEAST: Final = 0.05


@dataclass(frozen=True, slots=True)
class Evidence:
    """Long tables; those of the held-out period are empty if nothing was held out.

    intervals : see `training.intervals`
    segments : see `training.segments`
    curves : outcome, days, said (mean over looks), came (Aalen-Johansen over the same looks)
    calibration : horizon_days, said, happened, lower, upper, rows, weight, in ten parts of equal weight
    importances : feature, label, effect (mean absolute change of the win probability by its part of the
        reasons, over the deals open when training ended), direction (mean change), largest first
    """

    intervals: pd.DataFrame
    segments: pd.DataFrame
    curves: pd.DataFrame
    calibration: pd.DataFrame
    importances: pd.DataFrame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Name -> table, of those that have rows."""
        every = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: table for name, table in every.items() if len(table)}


def collect_evidence(
    models: FittedModels, history: History, measured: Measured | None, settings: Settings
) -> Evidence:
    """Look closer at a finished training. The same training gives the same tables."""
    found = {
        "intervals": pd.DataFrame(columns=list(INTERVAL_COLUMNS)),
        "segments": pd.DataFrame(columns=list(SEGMENT_COLUMNS)),
        "curves": pd.DataFrame(columns=["outcome", "days", "said", "came"]),
        "calibration": pd.DataFrame(columns=["horizon_days", *reliability([], []).columns]),
    }
    if measured is not None and measured.looks is not None and len(measured.looks.landmarks):
        looks, horizons = measured.looks, measured.holdout.horizons_days
        until_us = as_of_us(measured.holdout.end)
        rng = np.random.default_rng(settings.fit.seed)
        said = looks.predictions[OURS]
        found = {
            "intervals": intervals(
                looks.landmarks, looks.predictions, horizons, until_us=until_us, ours=OURS, rng=rng
            ),
            "segments": segment_metrics(
                history, looks.landmarks, said, horizons, settings.segments, until_us=until_us, rng=rng
            ),
            "curves": mean_curves(
                looks.models,
                history,
                looks.landmarks.thin(_CURVE_LOOKS, rng),
                np.arange(0, measured.holdout.days + 1, _CURVE_STEP_DAYS),
            ),
            "calibration": _reliability(looks.landmarks, said, horizons, until_us),
        }
    return Evidence(**found, importances=importances(models, history))


def mean_curves(
    models: FittedModels, history: History, landmarks: Landmarks, days: np.typing.NDArray[np.int64]
) -> pd.DataFrame:
    """Mean cumulative incidence of winning and losing as said at the looks, beside Aalen-Johansen of the same.

    days : (T,) after the look; those to which fewer than one look in twenty was followed are left out
    """
    total = landmarks.weight.sum()
    followed = np.array([landmarks.weight[landmarks.duration_days >= day].sum() / total for day in days])
    days = days[followed >= _FOLLOWED_AT_LEAST]
    horizons = days.astype(np.float64)
    log_hazard = models.log_hazard(models.features(history, landmarks.deal, landmarks.at_us))
    said = {WON: np.zeros(len(days)), LOST: np.zeros(len(days))}
    for moment in np.unique(landmarks.at_us):
        rows = np.flatnonzero(landmarks.at_us == moment)
        until = max(float(horizons.max(initial=0.0)), 1.0)
        curves = models.cells(int(moment), horizons[horizons > 0], until_days=until).curves(log_hazard[rows])
        weight = landmarks.weight[rows]
        said[WON] += weight @ curves.won_by(horizons)
        said[LOST] += weight @ curves.lost_by(horizons)
    parts = []
    for cause, name in ((WON, "won"), (LOST, "lost")):
        curve = cumulative_incidence(
            landmarks.duration_days, landmarks.cause, of_cause=cause, weight=landmarks.weight
        )
        came = incidence_at(curve, horizons)
        parts.append(pd.DataFrame({"outcome": name, "days": days, "said": said[cause] / total, "came": came}))
    return pd.concat(parts, ignore_index=True)


def importances(models: FittedModels, history: History) -> pd.DataFrame:
    """How far each feature moves the win probability of the deals open when the models were trained.

    The parts are those of the reasons (Aumann-Shapley values, docs/reasons.md): for each deal they add up to
    its win probability less that of the average training row. At most 2,000 deals, drawn with a fixed seed.
    """
    at_us = models.trained_until_us
    deal = history.open_deals(at_us)
    if len(deal) > _EXPLAINED_DEALS:
        deal = np.sort(np.random.default_rng(0).choice(deal, _EXPLAINED_DEALS, replace=False))
    names = models.outcome.groups
    effect: Floats = np.zeros(len(names))
    direction: Floats = np.zeros(len(names))
    if len(deal):
        features = models.features(history, deal, np.full(len(deal), at_us))
        coefficients, contributions = models.outcome.explain(features)
        pace = models.log_pace(features)
        cells = models.cells(at_us, marks_and_span(to_timestamp(at_us), None)[0])
        won = cells.curves(models.on_bins(coefficients) + pace).won[:, -1]
        effects, _ = Explainer(models, cells).effects(coefficients, contributions, pace, Chances(won))
        effect, direction = np.abs(effects).mean(axis=0), effects.mean(axis=0)
    table = pd.DataFrame(
        {"feature": names, "label": [label(name) for name in names], "effect": effect, "direction": direction}
    )
    return table.sort_values(["effect", "feature"], ascending=[False, True], ignore_index=True)


def _reliability(
    landmarks: Landmarks, said: Floats, horizons_days: tuple[int, ...], until_us: int
) -> pd.DataFrame:
    parts = []
    for place, horizon in enumerate(horizons_days):
        seen = seen_at(landmarks, horizon, until_us=until_us)
        table = reliability(seen.outcome, said[seen.rows, place], weight=seen.weight)
        parts.append(table.assign(horizon_days=horizon))
    table = pd.concat(parts, ignore_index=True)
    return table[["horizon_days", *table.columns.drop("horizon_days")]]
