"""Scores of whole curves: one long table, every forecaster on the same deals.

Columns forecaster, metric, horizon_days, value, as in `forecast.evaluation.scoreboard`, whose metrics are in
it; a metric of the whole curve has the last day it looks at as its horizon.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from benchmarks.peers.field import Questions
from forecast.arrays import Bools, Floats
from forecast.evaluation import metrics, scoreboard
from forecast.history import WON
from forecast.periods import DAY_US

__all__ = ["curve_scores", "days_to_win"]

_SMALLEST: Final = 1e-12


def curve_scores(
    questions: Questions,
    won: Mapping[str, Floats],
    horizons_days: Sequence[int],
    *,
    until_us: int,
    reference: str = scoreboard.REFERENCE,
) -> pd.DataFrame:
    """The metrics of the scoreboard at each horizon, and of the curves up to the last one.

    won : forecaster -> (n, H) P(won within each horizon of the grid)

    Besides the scoreboard's: `ici` at each horizon, `concordance` of P(won within the middle horizon) with what
    was won by then, `integrated_brier` from the first day of the grid to the last horizon, and `days_to_win`,
    the mean distance in days between when a deal was won and the middle of its forecast time, both given a win
    by the last horizon.
    """
    marks = questions.landmarks
    follow_up_days = (until_us - marks.at_us) / DAY_US
    at = [questions.at(horizon) for horizon in horizons_days]
    table = scoreboard.measure(
        marks,
        {name: p[:, at] for name, p in won.items()},
        horizons_days,
        until_us=until_us,
        reference=reference,
    )
    grid = np.array(questions.grid_days)
    last, middle = horizons_days[-1], horizons_days[len(horizons_days) // 2]
    within = grid <= last
    followed = follow_up_days >= last
    won_by_then = followed & (marks.cause == WON) & (marks.duration_days < last)
    rows: list[tuple[str, int, str, float]] = []
    for name, p in won.items():
        rows += [
            (name, middle, "concordance", _concordance(questions, p[:, questions.at(middle)], middle)),
            (
                name,
                last,
                "integrated_brier",
                metrics.integrated_brier(
                    marks.duration_days,
                    marks.cause,
                    p[:, within],
                    list(grid[within]),
                    follow_up_days=follow_up_days,
                ),
            ),
            (name, last, "days_to_win", _days_off(questions, p, won_by_then, last)),
        ]
        for horizon in horizons_days:
            seen = metrics.won_within(
                marks.duration_days, marks.cause, horizon, follow_up_days=follow_up_days, weight=marks.weight
            )
            said = p[:, questions.at(horizon)]
            ici = metrics.integrated_calibration_index(seen.outcome, said, weight=seen.weight)
            rows.append((name, horizon, "ici", ici))
    return pd.concat([table, pd.DataFrame(rows, columns=list(scoreboard.COLUMNS))], ignore_index=True)


def days_to_win(grid_days: Floats, won: Floats, within_days: float) -> Floats:
    """(n,) the day by which half of the wins within `within_days` are expected; NaN where none is.

    grid_days : (H,) increasing and above 0; won : (n, H) incidences, on straight lines between the grid's days
    """
    grid = np.concatenate(([0.0], grid_days[grid_days <= within_days]))
    curves = np.concatenate((np.zeros((len(won), 1)), won[:, grid_days <= within_days]), axis=1)
    # Of a curve that falls somewhere, which some methods give, the highest value so far counts.
    curves = np.maximum.accumulate(curves, axis=1)
    half = curves[:, -1:] / 2
    upper = np.clip((curves < half).sum(axis=1), 1, len(grid) - 1)
    rows = np.arange(len(won))
    low, high = curves[rows, upper - 1], curves[rows, upper]
    part = np.clip((half[:, 0] - low) / np.maximum(high - low, _SMALLEST), 0.0, 1.0)
    found = grid[upper - 1] + part * (grid[upper] - grid[upper - 1])
    return np.where(curves[:, -1] > _SMALLEST, found, np.nan)


def _days_off(questions: Questions, won: Floats, rows: Bools, within_days: float) -> float:
    """Who gives a deal no chance at all has no day for it either: the middle of the time counts."""
    said = days_to_win(np.array(questions.grid_days), won[rows], within_days)
    said = np.where(np.isnan(said), within_days / 2, said)
    return (
        float(np.abs(said - questions.landmarks.duration_days[rows]).mean()) if rows.any() else float("nan")
    )


def _concordance(questions: Questions, won: Floats, horizon_days: float) -> float:
    marks = questions.landmarks
    return metrics.concordance_index(marks.duration_days, marks.cause, won, horizon_days=horizon_days)
