"""Which later period the models are measured on."""

from __future__ import annotations

import pandas as pd
import pytest

from forecast.history import History, StageMap
from forecast.tables import Money, empty_tables
from training.holdout import choose_holdout
from training.settings import HoldoutSettings

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
ASKED = HoldoutSettings(days=180, horizons_days=(30, 90))


def history_of(days: float) -> History:
    """A history that begins so many days before 2026."""
    first = AS_OF - pd.Timedelta(days=days)
    stages = pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["talk", "won", "lost"],
            "position": range(3),
            "kind": ["open", "won", "lost"],
            "default_probability": 0.2,
            "label": None,
        }
    )
    events = [{"field": "stage", "value": "talk", "recorded_at": first.isoformat()}]
    deal = {"deal_id": "a", "created_at": first.isoformat(), "events": events}
    money = Money.from_tables(empty_tables(), "EUR")
    return History.from_request([deal], stages=StageMap.from_frame(stages), money=money)


def test_a_long_history_keeps_back_what_was_asked_and_a_whole_quarter() -> None:
    holdout, note = choose_holdout(history_of(1460), AS_OF, ASKED)
    assert holdout is not None
    assert note == ""
    assert holdout.start == pd.Timestamp("2025-07-05", tz="UTC")
    assert holdout.end == AS_OF
    assert holdout.horizons_days == (30, 90)
    assert holdout.quarter is not None
    assert holdout.quarter.label == "2025Q4"


def test_the_evening_of_its_last_day_completes_a_quarter() -> None:
    holdout, _ = choose_holdout(history_of(1460), pd.Timestamp("2025-12-31 18:30", tz="UTC"), ASKED)
    assert holdout is not None
    assert holdout.quarter is not None
    assert holdout.quarter.label == "2025Q4"


def test_the_period_grows_a_little_to_hold_a_whole_quarter() -> None:
    holdout, _ = choose_holdout(history_of(1460), pd.Timestamp("2025-12-30", tz="UTC"), ASKED)
    assert holdout is not None
    assert holdout.start == pd.Timestamp("2025-07-01", tz="UTC")
    assert holdout.quarter is not None
    assert holdout.quarter.label == "2025Q3"


def test_a_short_history_keeps_back_a_third_and_says_so() -> None:
    holdout, note = choose_holdout(history_of(240), AS_OF, ASKED)
    assert holdout is not None
    assert holdout.days == 80
    assert holdout.horizons_days == (30,), "90 days do not fit into 80"
    assert holdout.quarter is None
    assert note == "With 240 days of history, 80 instead of 180 are held out."


@pytest.mark.parametrize("days", [0.5, 60.0, 90.0])
def test_too_short_a_history_is_not_measured_and_says_so(days: float) -> None:
    holdout, note = choose_holdout(history_of(days), AS_OF, ASKED)
    assert holdout is None
    assert "not measured" in note


def test_zero_days_measure_nothing() -> None:
    holdout, note = choose_holdout(history_of(1460), AS_OF, HoldoutSettings(days=0, horizons_days=(30,)))
    assert holdout is None
    assert "hold out 0 days" in note
