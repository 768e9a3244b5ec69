"""How sure the metrics of the held-out period are: intervals by drawing whole deals again.

Looks at one deal tell one story, so the deal is what is drawn (`metrics.block_bootstrap`). A metric that is a
mean, or a share of two means, is the same of deals as of looks when each deal brings its sums: these are drawn
in a moment, whatever the number of looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.evaluation import metrics
from forecast.evaluation.metrics import Interval, block_bootstrap
from forecast.evaluation.scoreboard import REFERENCE
from forecast.history import Landmarks
from forecast.periods import DAY_US

__all__ = ["COLUMNS", "LEVEL", "Seen", "intervals", "seen_at"]

LEVEL: Final = 0.9
COLUMNS: Final = ("horizon_days", "metric", "value", "lower", "upper", "deals")
_DRAWS: Final = 1_000
# Ranks are no sums: all looks are ranked anew in every draw.
_RANKED_DRAWS: Final = 200
_RANKED_ROWS: Final = 20_000


@dataclass(frozen=True)
class Seen:
    """The looks whose outcome at one horizon is known.

    rows : (m,) their places among all looks
    deal : (m,) numbers from 0 of their deals; outcome : (m,) won within the horizon or not; weight : (m,)
    """

    rows: Ints
    deal: Ints
    outcome: Floats
    weight: Floats

    @property
    def deals(self) -> int:
        """Number of different deals."""
        return int(self.deal.max(initial=-1)) + 1

    def sums(self, values: Floats) -> Floats:
        """(deals,) weighted sum of (m,) values per deal."""
        return np.bincount(self.deal, self.weight * values, minlength=self.deals).astype(np.float64)

    def where(self, rows: np.typing.NDArray[np.bool_]) -> Seen:
        """Some of the looks, by mask (m,)."""
        deal = np.unique(self.deal[rows], return_inverse=True)[1]
        return Seen(self.rows[rows], deal, self.outcome[rows], self.weight[rows])


def seen_at(landmarks: Landmarks, horizon_days: float, *, until_us: int) -> Seen:
    """The looks that could be followed for the horizon, as `evaluation.scoreboard` counts them."""
    labels = metrics.won_within(
        landmarks.duration_days,
        landmarks.cause,
        horizon_days,
        follow_up_days=(until_us - landmarks.at_us) / DAY_US,
        weight=landmarks.weight,
    )
    rows = np.flatnonzero(labels.weight > 0.0)
    deal = np.unique(landmarks.deal[rows], return_inverse=True)[1]
    return Seen(rows, deal, labels.outcome[rows].astype(np.float64), labels.weight[rows])


def share_of(seen: Seen, above: Floats, below: Floats | None, rng: np.random.Generator) -> Interval:
    """Interval of a weighted mean, or of the share of two: (m,) values of the looks."""
    top = seen.sums(above)
    bottom = seen.sums(np.ones_like(above) if below is None else below)

    def value(times: Floats) -> float:
        total = float(times @ bottom)
        return float(times @ top) / total if total > 0.0 else float("nan")

    return block_bootstrap(value, np.arange(seen.deals), rng=rng, draws=_DRAWS, level=LEVEL)


def intervals(
    landmarks: Landmarks,
    predictions: Mapping[str, Floats],
    horizons_days: Sequence[int],
    *,
    until_us: int,
    ours: str,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Columns `COLUMNS`, an interval of LEVEL for each metric of the forecaster `ours` at each horizon.

    brier, skill (share of the base rate's Brier score removed), auc, bias (mean probability given less the
    share won), and for each other forecaster `brier_gain_NAME`, its Brier score less ours on the same looks.
    """
    rows: list[tuple[float, str, float, float, float, int]] = []
    for place, horizon in enumerate(horizons_days):
        seen = seen_at(landmarks, horizon, until_us=until_us)
        if not seen.deals:
            continue
        said = {name: predicted[seen.rows, place] for name, predicted in predictions.items()}
        loss = {name: (p - seen.outcome) ** 2 for name, p in said.items()}
        found = {"brier": share_of(seen, loss[ours], None, rng)}
        if REFERENCE in loss:
            kept = share_of(seen, loss[ours], loss[REFERENCE], rng)
            found["skill"] = Interval(1.0 - kept.value, 1.0 - kept.upper, 1.0 - kept.lower, kept.blocks)
        found["auc"] = _ranked(seen, said[ours], rng)
        found["bias"] = share_of(seen, said[ours] - seen.outcome, None, rng)
        found |= {
            f"brier_gain_{name}": share_of(seen, theirs - loss[ours], None, rng)
            for name, theirs in loss.items()
            if name != ours
        }
        rows += [
            (horizon, metric, one.value, one.lower, one.upper, one.blocks) for metric, one in found.items()
        ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _ranked(seen: Seen, said: Floats, rng: np.random.Generator) -> Interval:
    few = np.arange(len(said))
    if len(few) > _RANKED_ROWS:
        few = np.sort(rng.choice(len(said), _RANKED_ROWS, replace=False))
    outcome, p = seen.outcome[few], said[few]
    return block_bootstrap(
        lambda weight: metrics.auc(outcome, p, weight=weight),
        seen.deal[few],
        rng=rng,
        weight=seen.weight[few],
        draws=_RANKED_DRAWS,
        level=LEVEL,
    )
