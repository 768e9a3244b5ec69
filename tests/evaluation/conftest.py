"""One monitored company for the tests of drift: fitting it takes seconds."""

from __future__ import annotations

import pytest
from drift_cases import QUICK, TRAINED_UNTIL, monitored

from forecast.evaluation.drift import Monitoring
from forecast.history import History
from forecast.models import FittedModels, fit_models
from forecast.simulator import simulate
from forecast.tables import Tables


@pytest.fixture(scope="session")
def clean_tables() -> Tables:
    return simulate(deals=1500, seed=2).tables


@pytest.fixture(scope="session")
def july_models(clean_tables: Tables) -> FittedModels:
    """Learnt from what was recorded before July 2025."""
    return fit_models(History.from_tables(clean_tables), TRAINED_UNTIL, QUICK)


@pytest.fixture(scope="session")
def clean_monitoring(clean_tables: Tables, july_models: FittedModels) -> Monitoring:
    """Nothing changed."""
    return monitored(clean_tables, july_models)
