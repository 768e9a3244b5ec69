"""Stage cells: Aalen-Johansen where there is data, the CRM's own promise where there is none."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sksurv.nonparametric import cumulative_incidence_competing_risks

from forecast.history import Landmarks, StageMap
from forecast.models import Bins, Season, Survival, fit_cells
from forecast.models.incidence import Cells
from forecast.periods import DAY_US

STAGES = StageMap.from_frame(
    pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["early", "late", "won", "lost"],
            "position": [1, 2, 3, 4],
            "kind": ["open", "open", "won", "lost"],
            "default_probability": [0.1, 0.7, 1.0, 0.0],
            "label": None,
        }
    )
)
FLAT = (Season.flat(), Season.flat())
START_US = 20_000 * DAY_US


def landmarks(rows: int, seed: int) -> Landmarks:
    rng = np.random.default_rng(seed)
    won, lost, end = rng.exponential(80, rows), rng.exponential(120, rows), rng.uniform(20, 400, rows)
    duration = np.minimum(np.minimum(won, lost), end)
    cause = np.where(duration == end, 0, np.where(won < lost, 1, 2)).astype(np.int8)
    return Landmarks(np.arange(rows), np.full(rows, START_US), duration, cause, np.ones(rows))


def curves(cells: object, stage: int, days: list[float]) -> tuple[np.ndarray, np.ndarray]:
    log_hazard = cells.log_hazards[stage][None]  # type: ignore[attr-defined]
    marks = np.array(days)
    found = Cells.at(START_US, cells.bins, FLAT, marks_days=marks).curves(log_hazard)  # type: ignore[attr-defined]
    return found.won_by(marks)[0], found.lost_by(marks)[0]


def test_incidence_agrees_with_the_aalen_johansen_estimator_of_scikit_survival() -> None:
    rows = landmarks(8_000, seed=1)
    bins = Bins.for_follow_up(400)
    cells = fit_cells(
        np.zeros(8_000, np.int64),
        Survival.of(rows, bins, FLAT),
        bins,
        STAGES,
        deals=8_000,
    )
    days, reference = cumulative_incidence_competing_risks(rows.cause.astype(int), rows.duration_days)
    for at in (11.0, 32.0, 80.0, 170.0, 270.0):
        won, lost = curves(cells, 0, [at])
        step = np.searchsorted(days, at, side="right") - 1
        # Bins hold the hazard constant, so agreement is to half a percent point, not to the last digit.
        assert won[0] == pytest.approx(reference[1][step], abs=0.006)
        assert lost[0] == pytest.approx(reference[2][step], abs=0.006)


def test_without_any_closed_deal_the_crm_probabilities_speak() -> None:
    # Open for two years without an end: perhaps they never close, perhaps closed deals were not exported.
    rows = Landmarks(np.arange(4), np.full(4, START_US), np.full(4, 700.0), np.zeros(4, np.int8), np.ones(4))
    bins = Bins.for_follow_up(730)
    cells = fit_cells(np.array([0, 0, 1, 1]), Survival.of(rows, bins, FLAT), bins, STAGES, deals=4)
    early, late = curves(cells, 0, [730.0])[0][0], curves(cells, 1, [730.0])[0][0]
    assert early == pytest.approx(0.1, abs=0.05)
    assert late == pytest.approx(0.7, abs=0.1)


def test_data_outweighs_the_crm_probabilities() -> None:
    """The CRM promises 10 % in the early stage; here 60 % are won."""
    rows = landmarks(3_000, seed=2)
    bins = Bins.for_follow_up(400)
    cells = fit_cells(
        np.zeros(3_000, np.int64),
        Survival.of(rows, bins, FLAT),
        bins,
        STAGES,
        deals=3_000,
    )
    assert curves(cells, 0, [340.0])[0][0] > 0.5


def test_json_keeps_every_digit() -> None:
    rows = landmarks(200, seed=3)
    bins = Bins.for_follow_up(400)
    cells = fit_cells(np.zeros(200, np.int64), Survival.of(rows, bins, FLAT), bins, STAGES, deals=200)
    again = type(cells).from_json(cells.to_json())
    np.testing.assert_array_equal(again.log_hazards, cells.log_hazards)
    assert again.stages == cells.stages
