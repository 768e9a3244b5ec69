"""The models know more about the truth than the rules they are to replace."""

from __future__ import annotations

from benchmarks.peers.field import Field
from benchmarks.simulated import TRUTH, compare
from forecast.models import FitSettings
from forecast.simulator import simulate


def test_our_models_are_clearly_nearer_to_the_truth_than_every_baseline() -> None:
    settings = FitSettings(max_landmarks=15_000, windows=1, ridge_grid=(12.0,))
    found = compare(simulate(deals=2500, seed=4), settings, Field(peers=lambda: (), fork=False))
    table = found.scores.pivot(index="forecaster", columns=["metric", "horizon_days"], values="value")
    assert table["mae", 90].drop(TRUTH).idxmin() == "ours"
    for rule in ("stage_rate", "stage_weighted", "closed_only", "aalen_johansen", "base_rate"):
        assert table.loc["ours", ("mae", 90)] < 0.6 * table.loc[rule, ("mae", 90)], rule
        assert table.loc["ours", ("mae", 30)] < 0.6 * table.loc[rule, ("mae", 30)], rule
        assert table.loc["ours", ("brier", 90)] < table.loc[rule, ("brier", 90)], rule
    # Nobody beats the truth itself by more than luck.
    assert table.loc[TRUTH, ("brier", 90)] < table.loc["ours", ("brier", 90)] + 0.005
    assert table.loc[TRUTH, ("mae", 90)] == 0.0
    assert table.loc[TRUTH, ("bookings_error", 0)] == 0.0
    assert table.loc[TRUTH, ("days_from_truth", 0)] == 0.0
