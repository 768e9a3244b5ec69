"""The long table of metrics: who is in it, which landmarks count, and the flat names made from it."""

from __future__ import annotations

import numpy as np
import pytest

from forecast.evaluation import metrics
from forecast.evaluation.scoreboard import COLUMNS, measure, metric_names, wide
from forecast.history import Landmarks
from forecast.periods import DAY_US

UNTIL = 1000 * DAY_US
# Days before the end, duration, cause: the last one is followed for 60 days only.
ROWS = [(400, 20.0, 1), (300, 50.0, 2), (200, 200.0, 0), (120, 80.0, 1), (60, 10.0, 1)]


@pytest.fixture
def landmarks() -> Landmarks:
    before, duration, cause = (np.array(column) for column in zip(*ROWS, strict=True))
    deal = np.array([0, 1, 2, 2, 3])
    return Landmarks(deal, UNTIL - before * DAY_US, duration, cause.astype(np.int8), np.ones(5))


def test_only_landmarks_followed_for_the_whole_horizon_count(landmarks: Landmarks) -> None:
    p = np.array([[0.5, 0.8], [0.2, 0.3], [0.1, 0.2], [0.4, 0.6], [0.5, 0.9]])
    table = measure(landmarks, {"ours": p, "base_rate": np.full((5, 2), 0.3)}, (30, 90), until_us=UNTIL)
    assert tuple(table.columns) == COLUMNS
    values = table.set_index(["forecaster", "horizon_days", "metric"])["value"]
    assert values["actual", 30, "rows"] == 5
    assert values["actual", 90, "rows"] == 4
    assert values["actual", 90, "deals"] == 3
    assert values["actual", 90, "share_won"] == 0.5
    y = [1.0, 0.0, 0.0, 1.0]
    assert values["ours", 90, "brier"] == pytest.approx(metrics.brier(y, p[:4, 1]))
    assert values["ours", 90, "skill"] == pytest.approx(metrics.brier_skill(y, p[:4, 1], reference=0.3))
    assert values["base_rate", 90, "skill"] == 0.0


def test_without_the_reference_there_is_no_skill(landmarks: Landmarks) -> None:
    table = measure(landmarks, {"ours": np.full((5, 1), 0.4)}, (30,), until_us=UNTIL)
    assert "skill" not in set(table["metric"])


def test_a_horizon_nobody_was_followed_for_gives_gaps_not_errors(landmarks: Landmarks) -> None:
    table = measure(landmarks, {"ours": np.full((5, 1), 0.4)}, (900,), until_us=UNTIL)
    values = table.set_index(["forecaster", "metric"])["value"]
    assert values["actual", "rows"] == 0
    assert np.isnan(values["ours", "brier"])
    assert "brier_900d" not in metric_names(table, ours="ours")


def test_flat_names_say_whose_a_metric_is(landmarks: Landmarks) -> None:
    table = measure(
        landmarks,
        {"ours": np.full((5, 1), 0.4), "base_rate": np.full((5, 1), 0.3)},
        (30,),
        until_us=UNTIL,
    )
    names = metric_names(table, ours="ours")
    assert {"brier_30d", "brier_30d_base_rate", "rows_30d", "share_won_30d"} <= set(names)
    assert not any(name.endswith("_ours") or "actual" in name for name in names)


def test_wide_keeps_the_order_in_which_forecasters_were_measured(landmarks: Landmarks) -> None:
    p = {name: np.full((5, 2), 0.3) for name in ("ours", "base_rate", "another")}
    shown = wide(measure(landmarks, p, (30, 90), until_us=UNTIL), "brier")
    assert list(shown.index) == ["ours", "base_rate", "another"]
    assert list(shown.columns) == [30, 90]
