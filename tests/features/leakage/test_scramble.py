"""The scramble test sees nothing where the future is invisible, and names what looks ahead where it is not."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.features import FeatureMatrix, build
from forecast.features.leakage import scramble
from forecast.features.leakage.scramble import look_moments, scramble_test
from forecast.history import History, asof
from forecast.models import FittedModels
from forecast.periods import DAY_US
from forecast.simulator import LEAKS, simulate
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")


def test_the_future_is_invisible_to_features_and_scores(
    sample_tables: Tables, sample_history: History, sample_models: FittedModels
) -> None:
    moments = look_moments(sample_history, AS_OF)
    found = scramble_test(
        sample_tables,
        sample_history,
        moments,
        score=lambda history, deal, at_us: sample_models.win_probability(history, deal, at_us, [90])[:, 0],
    )
    assert found.changed == {}
    assert found.scored
    assert found.looks > 100
    assert all(moment < AS_OF for moment in moments)


def test_with_every_leak_planted_dated_reading_still_holds() -> None:
    tables = simulate(300, 2, leaks=tuple(LEAKS)).tables
    history = History.from_tables(tables)
    assert scramble_test(tables, history, look_moments(history, AS_OF)).changed == {}


def test_half_open_time_broken_on_purpose_is_named(
    sample_tables: Tables, sample_history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The moments are those of recorded entries: an entry of that very moment must be unknown."""
    monkeypatch.setattr(
        asof.Clock, "rank", lambda self, at_us: np.searchsorted(self.moments_us, at_us, side="right")
    )
    history = History.from_tables(sample_tables)
    moments = [
        pd.Timestamp(int(at), unit="us", tz="UTC")
        for at in np.random.default_rng(0).choice(history.at_us[history.at_us > history.at_us.mean()], 12)
    ]
    assert scramble_test(sample_tables, history, moments).changed


def test_a_feature_that_looks_ahead_is_named_alone(
    sample_tables: Tables, sample_history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looking_ahead(
        history: History, deal: np.ndarray, at_us: np.ndarray, records: object
    ) -> FeatureMatrix:
        honest = build(history, deal, at_us, records)
        later = build(history, deal, at_us + 60 * DAY_US, records)
        return honest.replaced({"amount": later["amount"]})

    monkeypatch.setattr(scramble, "build", looking_ahead)
    found = scramble_test(sample_tables, sample_history, look_moments(sample_history, AS_OF))
    assert list(found.changed) == ["amount"]
    assert 0 < found.changed["amount"] < 1


def test_scores_that_look_ahead_are_named(sample_tables: Tables, sample_history: History) -> None:
    found = scramble_test(
        sample_tables,
        sample_history,
        look_moments(sample_history, AS_OF),
        score=lambda history, deal, at_us: history.stage(deal, at_us + 200 * DAY_US).astype(float),
    )
    assert list(found.changed) == ["scores"]


def test_the_tables_given_stay_as_they_are(sample_tables: Tables, sample_history: History) -> None:
    before = {name: sample_tables[name].copy() for name in ("deals", "deal_events", "activities")}
    scramble_test(sample_tables, sample_history, look_moments(sample_history, AS_OF, 1))
    for name, copy in before.items():
        pd.testing.assert_frame_equal(sample_tables[name], copy)
