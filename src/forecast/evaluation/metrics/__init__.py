"""How good was a forecast: plain functions, one signature, no state.

`metric(actual, predicted, *, weight=None) -> float`, all arrays of shape (n,):

- probabilities (`brier`, `log_loss`, `auc`, ...): `actual` is 1 where the deal was won within the horizon and
  0 where it was not, `predicted` is the probability given for it;
- amounts (`wape`, `bias`, `mape`, `pinball`, ...): both are amounts in one currency.

A row of weight 0 does not exist for a metric, whatever its values. This is how labels that nobody has seen
yet are handled: `won_within` turns durations and causes into outcomes and weights (see `censoring`).
A metric of nothing (no row, no weight, only one class for a ranking) is NaN, never an exception: a table of
metrics shows a gap there.
"""

from forecast.evaluation.metrics.amounts import Coverage, bias, interval_coverage, mape, pinball, wape
from forecast.evaluation.metrics.censoring import Labels, won_within
from forecast.evaluation.metrics.incidence import cumulative_incidence, incidence_at
from forecast.evaluation.metrics.probability import (
    Calibration,
    auc,
    brier,
    brier_skill,
    calibration,
    calibration_error,
    log_loss,
)
from forecast.evaluation.metrics.time_and_cause import (
    aalen_johansen_calibration,
    concordance_index,
    integrated_brier,
    ipcw_brier,
)

__all__ = [
    "Calibration",
    "Coverage",
    "Labels",
    "aalen_johansen_calibration",
    "auc",
    "bias",
    "brier",
    "brier_skill",
    "calibration",
    "calibration_error",
    "concordance_index",
    "cumulative_incidence",
    "incidence_at",
    "integrated_brier",
    "interval_coverage",
    "ipcw_brier",
    "log_loss",
    "mape",
    "pinball",
    "wape",
    "won_within",
]
