"""Recording a training: the embedded database, aliases, and servers that do not answer."""

from __future__ import annotations

import dataclasses
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forecast.errors import UnavailableError
from training.settings import TrackingSettings, read_settings
from training.tracking import Record, record, tracking_uri

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def settings_for(uri: str, model: str = "forecast") -> TrackingSettings:
    return dataclasses.replace(read_settings().tracking, uri=uri, model=model)


@pytest.fixture
def training(tmp_path: Path) -> Record:
    folder = tmp_path / "models" / "mine"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text('{"format": 1}\n', encoding="utf-8")
    return Record(
        folder=folder,
        bundle_id="a" * 64,
        params={f"fit.p{number}": str(number) for number in range(130)},
        metrics={"brier_90d": 0.1, "brier_90d_stage_weighted": 0.2},
        tags={"rung": "linear"},
        started=time.time() - 5,
    )


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
    for connection in held:
        connection.close()


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"):
        monkeypatch.delenv(name, raising=False)


def client_of(uri: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def test_a_run_holds_parameters_metrics_and_the_bundle(tracking_db: str, training: Record) -> None:
    done = record(training, settings_for(tracking_db), register=False)
    run = client_of(tracking_db).get_run(done.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == training.params
    assert run.data.metrics == training.metrics
    assert run.data.tags["bundle_id"] == training.bundle_id
    assert done.version is None
    names = [one.path for one in client_of(tracking_db).list_artifacts(done.run_id, "bundle")]
    assert names == ["bundle/manifest.json"]


def test_the_first_version_is_champion_and_later_ones_are_candidates(
    tracking_db: str, training: Record
) -> None:
    here = settings_for(tracking_db, "aliases")
    first = record(training, here, register=True)
    second = record(dataclasses.replace(training, bundle_id="b" * 64), here, register=True)
    third = record(dataclasses.replace(training, bundle_id="c" * 64), here, register=True)
    assert [(one.version, one.alias) for one in (first, second, third)] == [
        ("1", "champion"),
        ("2", "candidate"),
        ("3", "candidate"),
    ]
    model = client_of(tracking_db).get_registered_model("aliases")
    assert {name: str(version) for name, version in model.aliases.items()} == {
        "champion": "1",
        "candidate": "3",
    }


def test_a_registered_version_gives_back_the_bundle(
    tracking_db: str, training: Record, tmp_path: Path
) -> None:
    import mlflow

    done = record(training, settings_for(tracking_db, "download"), register=True)
    mlflow.set_tracking_uri(tracking_db)
    folder = mlflow.artifacts.download_artifacts(
        "models:/download@champion", dst_path=str(tmp_path / "got"), tracking_uri=tracking_db
    )
    assert [path.name for path in Path(folder).iterdir()] == ["manifest.json"]
    assert (Path(folder) / "manifest.json").read_bytes() == (training.folder / "manifest.json").read_bytes()
    assert done.alias == "champion"


def test_the_same_bundle_is_registered_once(tracking_db: str, training: Record) -> None:
    here = settings_for(tracking_db, "once")
    first = record(training, here, register=True)
    again = record(training, here, register=True)
    assert (again.version, again.alias, again.known) == ("1", "champion", True)
    assert again.run_id == first.run_id
    assert len(client_of(tracking_db).search_model_versions("name = 'once'")) == 1


def test_a_run_whose_training_was_killed_is_marked_failed_by_the_next(
    tracking_db: str, training: Record
) -> None:
    here = settings_for(tracking_db)
    client = client_of(tracking_db)
    done = record(training, here, register=False)
    experiment = client.get_run(done.run_id).info.experiment_id
    tags = {"folder": str(training.folder), "host": socket.gethostname()}
    dead = client.create_run(experiment, tags=tags).info.run_id
    other = client.create_run(experiment, tags={**tags, "folder": "models/another"}).info.run_id
    record(training, here, register=False)
    assert client.get_run(dead).info.status == "FAILED"
    assert client.get_run(other).info.status == "RUNNING"


def test_a_closed_port_costs_seconds_and_says_where(training: Record) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    begun = time.monotonic()
    with pytest.raises(
        UnavailableError,
        match=rf"^MLflow at http://127\.0\.0\.1:{port} did not record the run: Connection refused$",
    ):
        record(training, settings_for(f"http://user:secret@127.0.0.1:{port}"), register=True)
    assert time.monotonic() - begun < 10


def test_a_server_that_never_answers_is_given_the_time_of_the_settings(
    training: Record, silent_port: int
) -> None:
    address = f"http://user:secret@127.0.0.1:{silent_port}"
    impatient = dataclasses.replace(settings_for(address), timeout_seconds=1, retries=1)
    begun = time.monotonic()
    with pytest.raises(UnavailableError) as caught:
        record(training, impatient, register=True)
    assert time.monotonic() - begun < 8
    assert caught.value.message == (
        f"MLflow at http://127.0.0.1:{silent_port} did not record the run: no answer in time"
    )


def test_where_runs_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri(settings_for("")) == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(settings_for("")) == "http://127.0.0.1:5000"
    assert tracking_uri(settings_for("sqlite:///own.db")) == "sqlite:///own.db"
