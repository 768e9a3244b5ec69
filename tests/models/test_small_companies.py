"""Small companies: from the first deal on an answer, as wide as it must be, that closings make sharper.

One simulated company, cut at the moments at which 0, 40 and 200 of its deals have closed.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.learning_curve import moment_of
from forecast.bundle import Bundle
from forecast.history import History, StageMap
from forecast.history.landmarks import Landmarks
from forecast.models import Bins, FitSettings, FittedModels, Season, Survival, fit_cells, fit_models
from forecast.models.incidence import Cells
from forecast.outlook import make_outlook
from forecast.periods import DAY_US, as_of_us
from forecast.simulator import Simulation, simulate

SIZES = (0, 40, 200)
FLAT = (Season.flat(), Season.flat())
START_US = 20_000 * DAY_US


@pytest.fixture(scope="module")
def company() -> Simulation:
    return simulate(deals=500, seed=5, start="2022-01-01", until="2024-07-01")


@pytest.fixture(scope="module")
def history(company: Simulation) -> History:
    return History.from_tables(company.tables)


@pytest.fixture(scope="module")
def fits(history: History) -> dict[int, FittedModels]:
    """Models by number of closed deals."""
    return {size: fit_models(history, moment_of(history, size), FitSettings(windows=2)) for size in SIZES}


def width_over_mean(company: Simulation, history: History, models: FittedModels, size: int) -> float:
    as_of = moment_of(history, size)
    bundle = Bundle("test", {}, models, [])
    outlook = make_outlook(company.tables, bundle, as_of=as_of, history=history, reasons=0)
    row = outlook.bookings.table.query("level == 'company'").iloc[0]
    assert row["p10"] < row["expected"] < row["p90"]
    return float((row["p90"] - row["p10"]) / row["expected"])


@pytest.mark.parametrize("size", SIZES)
def test_the_moment_is_where_exactly_so_many_deals_have_closed(history: History, size: int) -> None:
    closings = history.closings
    before = closings.at_us < as_of_us(moment_of(history, size))
    assert len(np.unique(closings.deal[before])) == size


def test_ranges_narrow_as_deals_close(
    company: Simulation, history: History, fits: dict[int, FittedModels]
) -> None:
    wide, middle, narrow = (width_over_mean(company, history, fits[size], size) for size in SIZES)
    assert wide > middle > narrow
    assert wide > 1.5  # with nothing to learn from, p10 to p90 is more than the forecast itself


def test_the_shared_shock_is_surer_with_every_win(fits: dict[int, FittedModels]) -> None:
    spreads = [fits[size].shock.sd for size in SIZES]
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[0] > 1.0  # a level that no win has shown may be off by a factor of e


def test_without_a_closed_deal_stages_are_ranked_as_the_crm_ranks_them(
    history: History, fits: dict[int, FittedModels]
) -> None:
    # The models know of no closing; asked half a year later, deals have come as far as any stage.
    moment = as_of_us(moment_of(history, 0)) + 180 * DAY_US
    deal = history.open_deals(moment)
    chance = fits[0].incidence(history, deal, moment, [730.0])[:, 1, 0]
    promised = history.stages.default_probability[history.stage(deal, np.full(len(deal), moment))]
    assert len(np.unique(promised)) > 1
    np.testing.assert_allclose(chance, promised, atol=0.06)


def stage_map(promised: float | None) -> StageMap:
    return StageMap.from_frame(
        pd.DataFrame(
            {
                "pipeline": "sales",
                "stage": ["early", "late", "won", "lost"],
                "position": [1, 2, 3, 4],
                "kind": ["open", "open", "won", "lost"],
                "default_probability": [0.1, promised, 1.0, 0.0],
                "label": None,
            }
        )
    )


def late_wins(decided: int, promised: float) -> float:
    """P(won within two years) in the late stage, where 40 % of `decided` deals were won after 30 days."""
    won = np.arange(decided) < 0.4 * decided
    marks = Landmarks(
        np.arange(decided),
        np.full(decided, START_US),
        np.full(decided, 30.0),
        np.where(won, 1, 2).astype(np.int8),
        np.ones(decided),
    )
    bins = Bins.for_follow_up(730)
    survival = Survival.of(marks, bins, FLAT)
    cells = fit_cells(np.ones(decided, np.int64), survival, bins, stage_map(promised), deals=decided)
    until = np.array([730.0])
    axis = Cells.at(START_US, bins, FLAT, marks_days=until)
    return float(axis.curves(cells.log_hazards[1][None]).won_by(until)[0, 0])


@pytest.mark.parametrize("promised", [0.05, 0.9])
def test_the_answer_moves_from_the_promise_to_the_data_and_never_past_it(promised: float) -> None:
    path = [late_wins(decided, promised) for decided in (5, 20, 100, 1_000)]
    distance = [abs(chance - 0.4) for chance in path]
    assert distance == sorted(distance, reverse=True)
    assert distance[0] > 0.05  # five deals do not overrule the promise
    assert distance[-1] < 0.03  # a thousand do


def test_a_stage_nobody_has_left_keeps_its_rank() -> None:
    """Closings of one stage say how fast deals close; the one promised to be won more still is."""
    marks = Landmarks(
        np.arange(40),
        np.full(40, START_US),
        np.full(40, 30.0),
        np.where(np.arange(40) < 4, 1, 2).astype(np.int8),
        np.ones(40),
    )
    bins = Bins.for_follow_up(730)
    cells = fit_cells(np.zeros(40, np.int64), Survival.of(marks, bins, FLAT), bins, stage_map(0.7), deals=40)
    share = np.exp(
        cells.log_hazards[:2, 0] - np.logaddexp(cells.log_hazards[:2, 0], cells.log_hazards[:2, 1])
    )
    assert (share[1] > 3 * share[0]).all()
