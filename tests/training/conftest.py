"""What takes seconds and all tests here share: a tracking database, a small back-test."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from forecast.simulator import simulate
from forecast.tables import Tables
from training.backtest.figures import make_scoreboard
from training.backtest.run import Backtest, backtest
from training.settings import Settings, read_settings


@pytest.fixture(scope="session")
def tracking_db(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of an embedded database."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"


@pytest.fixture(scope="session")
def quick_backtest() -> Settings:
    """Settings of a back-test of seconds: a linear model at most, three looks a quarter."""
    settings = read_settings()
    return dataclasses.replace(
        settings,
        fit=dataclasses.replace(
            settings.fit, max_landmarks=3_000, windows=1, ridge_grid=(12.0,), min_boosted_deals=10**9
        ),
        backtest=dataclasses.replace(
            settings.backtest, quarters=2, weeks=(0, 6, 12), horizons_days=(30,), draws=100
        ),
    )


@pytest.fixture(scope="session")
def small_tables() -> Tables:
    return simulate(deals=300, seed=5).tables


@pytest.fixture(scope="session")
def small_backtest(
    small_tables: Tables, quick_backtest: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Backtest:
    """Two quarters of a small company, tested in this process."""
    return backtest(small_tables, tmp_path_factory.mktemp("backtest"), quick_backtest)


@pytest.fixture(scope="session")
def small_scoreboard(small_backtest: Backtest) -> pd.DataFrame:
    return make_scoreboard(small_backtest.bookings, small_backtest.deals, draws=100, seed=0)
