"""One tracking database for all tests here: making its schema takes seconds."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def tracking_db(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of an embedded database."""
    return f"sqlite:///{tmp_path_factory.mktemp('tracking') / 'mlflow.db'}"
