"""The benchmark of leads measures what it says: ours lies between the truth and the base rate."""

from __future__ import annotations

import pytest

from benchmarks.leads import HORIZONS_DAYS, compare
from forecast.models import FitSettings
from forecast.simulator import simulate


def test_ours_stands_between_the_truth_and_the_base_rate() -> None:
    table, about = compare(simulate(1_000, seed=3), FitSettings(seed=1))
    rows = table.set_index("forecaster")
    for horizon in HORIZONS_DAYS:
        assert rows.loc["truth", f"MAE{horizon}"] == 0.0
        assert rows.loc["ours", f"MAE{horizon}"] < 0.5 * rows.loc["base rate", f"MAE{horizon}"]
        assert rows.loc["base rate", f"AUC{horizon}"] == pytest.approx(0.5)
    assert about["rung"] in ("linear", "boosted")
    assert 0.0 < float(about["becomes_won"]) < 0.1
