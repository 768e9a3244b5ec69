"""Killed at any moment, a promotion leaves the old bundle or the new one, and the next command finishes it."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast.bundle import load_bundle, write_bundle
from forecast.models import FittedModels
from forecast.models.season import Season
from forecast.promotion.shelf import Shelf
from training.settings import read_settings
from training.tracking import Record, record

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked"),
]
KILLER = Path(__file__).with_name("promotion_killer.py")
ROOT = KILLER.parents[2]


@pytest.fixture
def folder(sample_models: FittedModels, tmp_path: Path) -> Path:
    """Bundles `a`, which serves, and `b`; without a season, since golden scores are then computed sooner."""
    models = dataclasses.replace(sample_models, seasons=(Season.flat(), Season.flat()))
    shelf = tmp_path / "company" / "shelf"
    for name in "ab":
        write_bundle(models, shelf / name, metrics={"name": name}, data_fingerprint="")
    assert Shelf(shelf).serve_first(shelf / "a", pd.Timestamp("2026-01-01", tz="UTC"))
    return shelf.parent


def kill(folder: Path, kills: int, *uri: str) -> dict[str, Any]:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    ran = subprocess.run(
        [sys.executable, str(KILLER), str(folder), str(kills), *uri],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def test_160_kills_of_a_promotion_in_a_folder(folder: Path) -> None:
    found = kill(folder, 160)
    assert found["kills"] == 160
    assert found["steps"] == ["copied", "kept", "logged", "pointed"]
    assert found["left"]["old"] > 0, "some were killed before"
    assert found["left"]["new"] > 0, "and some after it counted"


def test_40_kills_of_a_promotion_with_a_registry(folder: Path) -> None:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    settings = dataclasses.replace(read_settings().tracking, uri=uri)
    for name in "ab":
        bundle = folder / "shelf" / name
        done = record(
            Record(bundle, load_bundle(bundle).id, params={}, metrics={}, tags={}, started=time.time()),
            settings,
            register=True,
        )
    assert (done.version, done.alias) == ("2", "candidate")
    found = kill(folder, 40, uri)
    assert found["kills"] == 40
    assert {"appended", "alias champion", "alias previous", "noted", "logged", "pointed"} <= set(
        found["steps"]
    )
