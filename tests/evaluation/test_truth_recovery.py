"""The models know more about the truth than the rules they are to replace."""

from __future__ import annotations

from benchmarks.truth import compare
from forecast.models import FitSettings
from forecast.simulator import simulate


def test_the_linear_rung_is_clearly_nearer_to_the_truth_than_every_baseline() -> None:
    table = compare(
        simulate(deals=2500, seed=4), FitSettings(max_landmarks=15_000, windows=1, ridge_grid=(12.0,))
    ).set_index("forecaster")
    assert table["mae_90d"].drop("truth").idxmin() == "ours"
    for rule in ("stage_rate", "stage_weighted", "closed_only", "aalen_johansen", "base_rate"):
        assert table.loc["ours", "mae_90d"] < 0.6 * table.loc[rule, "mae_90d"], rule
        assert table.loc["ours", "mae_30d"] < 0.6 * table.loc[rule, "mae_30d"], rule
        assert table.loc["ours", "brier_90d"] < table.loc[rule, "brier_90d"], rule
    # Nobody beats the truth itself by more than luck.
    assert table.loc["truth", "brier_90d"] < table.loc["ours", "brier_90d"] + 0.005
    assert table.loc["truth", "mae_90d"] == 0.0
