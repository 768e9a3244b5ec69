"""Fits of no time at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from oracles import Oracle

from forecast.history import History
from forecast.models import FitSettings
from training.tuning import study


@pytest.fixture
def oracles(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[FitSettings], float]], list[FitSettings]]:
    """Replaces fits by oracles whose strength is a function of the settings; returns what was fitted."""

    def replace(strength: Callable[[FitSettings], float]) -> list[FitSettings]:
        fitted: list[FitSettings] = []

        def fit(_history: History, _until: pd.Timestamp, settings: FitSettings, **_: Any) -> Oracle:
            fitted.append(settings)
            return Oracle(strength(settings))

        monkeypatch.setattr(study, "fit_models", fit)
        return fitted

    return replace
