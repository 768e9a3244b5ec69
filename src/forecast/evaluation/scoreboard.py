"""One long table of metrics: every forecaster on the same landmarks, side by side.

Long, because it only ever grows: another forecaster, horizon or metric is more rows, and tables of later
back-tests can be put under this one. `wide` turns it for people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.evaluation import metrics
from forecast.history import Landmarks
from forecast.periods import DAY_US

__all__ = ["COLUMNS", "REFERENCE", "measure", "metric_names", "wide"]

COLUMNS: Final = ("forecaster", "horizon_days", "metric", "value")
# Skill is told against the simplest forecast that is not foolish.
REFERENCE: Final = "base_rate"


def measure(
    landmarks: Landmarks,
    predictions: Mapping[str, Floats],
    horizons_days: Sequence[int],
    *,
    until_us: int,
    reference: str = REFERENCE,
) -> pd.DataFrame:
    """Metrics of P(won within h) of several forecasters on the same landmarks.

    landmarks: n rows, cut off at `until_us`, the end of what was seen; those that could not be followed for h
        days are left out at that horizon (the administrative way of `metrics.censoring`)
    predictions: forecaster -> (n, H) probabilities
    reference: the forecaster skill is told against; without its predictions no skill is given

    Returns columns `COLUMNS`; per forecaster and horizon the metrics brier, skill, log_loss, auc,
    calibration_slope, calibration_intercept, calibration_error, calibration_index, and per horizon for the
    forecaster `actual` rows, deals and share_won.
    """
    follow_up_days = (until_us - landmarks.at_us) / DAY_US
    rows: list[tuple[str, int, str, float]] = []
    for place, horizon in enumerate(horizons_days):
        seen = metrics.won_within(
            landmarks.duration_days,
            landmarks.cause,
            horizon,
            follow_up_days=follow_up_days,
            weight=landmarks.weight,
        )
        known = seen.weight > 0.0
        y, w = seen.outcome[known], seen.weight[known]
        about = {
            "rows": float(known.sum()),
            "deals": float(np.unique(landmarks.deal[known]).size),
            "share_won": float(np.average(y, weights=w)) if known.any() else float("nan"),
        }
        rows += [("actual", horizon, name, value) for name, value in about.items()]
        for forecaster, predicted in predictions.items():
            p = predicted[known, place]
            fit = metrics.calibration(y, p, weight=w)
            found = {
                "brier": metrics.brier(y, p, weight=w),
                "log_loss": metrics.log_loss(y, p, weight=w),
                "auc": metrics.auc(y, p, weight=w),
                "calibration_slope": fit.slope,
                "calibration_intercept": fit.intercept,
                "calibration_error": metrics.calibration_error(y, p, weight=w),
                "calibration_index": metrics.integrated_calibration_index(y, p, weight=w),
            }
            if reference in predictions:
                against = predictions[reference][known, place]
                found["skill"] = metrics.brier_skill(y, p, reference=against, weight=w)
            rows += [(forecaster, horizon, name, value) for name, value in found.items()]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def metric_names(table: pd.DataFrame, *, ours: str) -> dict[str, float]:
    """The table as flat names for a tracking server: `brier_90d` for ours, `brier_90d_stage_rate` for others.

    Values that are NaN are left out.
    """
    return {
        f"{metric}_{horizon}d" + ("" if forecaster in (ours, "actual") else f"_{forecaster}"): float(value)
        for forecaster, horizon, metric, value in table[list(COLUMNS)].itertuples(index=False)
        if not np.isnan(value)
    }


def wide(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One metric, forecasters as rows (in the order they were measured) and horizons as columns."""
    chosen = table[table["metric"] == metric]
    return chosen.pivot_table(
        index="forecaster", columns="horizon_days", values="value", sort=False, dropna=False
    )
