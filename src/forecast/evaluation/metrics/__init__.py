"""How good was a forecast: plain functions, one signature, no state.

`metric(actual, predicted, *, weight=None) -> float`, all arrays of shape (n,):

- probabilities (`brier`, `log_loss`, `auc`, ...): `actual` is 1 where the deal was won within the horizon and
  0 where it was not, `predicted` is the probability given for it;
- amounts (`wape`, `bias`, `mape`, `pinball`, ...): both are amounts in one currency;
- whole curves (`ipcw_brier`, `integrated_brier`, `concordance_index`, ...): what happened takes two columns,
  the days until something did and what it was.

A row of weight 0 does not exist for a metric, whatever its values. This is how labels that nobody has seen
yet are handled: `won_within` turns durations and causes into outcomes and weights (see `censoring`).
How sure a metric is says `block_bootstrap`, for every one of them.
A metric of nothing (no row, no weight, only one class for a ranking) is NaN, never an exception: a table of
metrics shows a gap there.
"""

from forecast.evaluation.metrics.amounts import (
    Coverage,
    bias,
    interval_coverage,
    mae,
    mape,
    mase,
    median_ape,
    pinball,
    quantile_coverage,
    wape,
)
from forecast.evaluation.metrics.bootstrap import Interval, block_bootstrap, block_draws, interval_of
from forecast.evaluation.metrics.calibration_curve import calibration_curve, integrated_calibration_index
from forecast.evaluation.metrics.censoring import Labels, seen_win_weight, won_within
from forecast.evaluation.metrics.distributions import crps_from_draws, crps_from_quantiles
from forecast.evaluation.metrics.incidence import cumulative_incidence, incidence_at
from forecast.evaluation.metrics.probability import (
    Calibration,
    auc,
    auc_by_place,
    brier,
    brier_skill,
    calibration,
    calibration_error,
    log_loss,
    reliability,
)
from forecast.evaluation.metrics.stability import Jump, carried_forward, jump, unexplained_change
from forecast.evaluation.metrics.time_and_cause import (
    aalen_johansen_calibration,
    concordance_index,
    integrated_brier,
    ipcw_brier,
)

__all__ = [
    "Calibration",
    "Coverage",
    "Interval",
    "Jump",
    "Labels",
    "aalen_johansen_calibration",
    "auc",
    "auc_by_place",
    "bias",
    "block_bootstrap",
    "block_draws",
    "brier",
    "brier_skill",
    "calibration",
    "calibration_curve",
    "calibration_error",
    "carried_forward",
    "concordance_index",
    "crps_from_draws",
    "crps_from_quantiles",
    "cumulative_incidence",
    "incidence_at",
    "integrated_brier",
    "integrated_calibration_index",
    "interval_coverage",
    "interval_of",
    "ipcw_brier",
    "jump",
    "log_loss",
    "mae",
    "mape",
    "mase",
    "median_ape",
    "pinball",
    "quantile_coverage",
    "reliability",
    "seen_win_weight",
    "unexplained_change",
    "wape",
    "won_within",
]
