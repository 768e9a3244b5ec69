"""Recording a training: the embedded database, children, the model, and servers that do not answer."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forecast.errors import BundleError, UnavailableError
from forecast.tables import Tables
from training.settings import TrackingSettings, read_settings
from training.tracking import BUNDLE_PATH, Child, Record, bundle_in, data_facts, record, tracking_uri

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def settings_for(uri: str, model: str = "forecast") -> TrackingSettings:
    return dataclasses.replace(read_settings().tracking, uri=uri, model=model)


@pytest.fixture
def training(trained_bundle: Path, sample_tables: Tables, tmp_path: Path) -> Record:
    folder = tmp_path / "models" / "mine"
    shutil.copytree(trained_bundle, folder)
    return Record(
        folder=folder,
        bundle_id=hashlib.sha256(str(tmp_path).encode()).hexdigest(),
        params={f"fit.p{number}": str(number) for number in range(130)},
        metrics={"brier_90d": 0.1, "brier_90d_stage_weighted": 0.2},
        tags={"rung": "linear"},
        started=time.time() - 5,
        data=data_facts(sample_tables, "export"),
        children=(
            Child("rung linear", "rung", {"chosen": "true"}, series={"log_score": (-0.6, -0.5)}, note="why"),
            Child("held out", "origin", metrics={"brier_90d": 0.1}),
        ),
        files={"card.md": b"# Card\n", "tables/curves.csv": b"days\n1\n"},
        card="# Card\n\nShort.\n\n## Limits\n\n" + "long " * 2_000,
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


def artifacts_of(uri: str, run_id: str, path: str | None = None) -> list[str]:
    return [one.path for one in client_of(uri).list_artifacts(run_id, path)]


def test_a_run_holds_parameters_metrics_files_and_what_computed_it(
    tracking_db: str, training: Record
) -> None:
    done = record(training, settings_for(tracking_db), register=False)
    run = client_of(tracking_db).get_run(done.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == training.params
    assert run.data.metrics == training.metrics
    tags = run.data.tags
    assert tags["bundle_id"] == training.bundle_id
    assert tags["version.numpy"] == np.__version__
    assert int(tags["system.cores"]) >= 1
    assert tags["mlflow.note.content"].startswith("# Card")
    assert len(tags["mlflow.note.content"]) <= 8_000
    assert done.version is None
    model = client_of(tracking_db).get_logged_model(tags["model_id"])
    assert {one.key: one.value for one in model.metrics} == training.metrics
    assert (model.source_run_id, model.status.name) == (done.run_id, "READY")
    assert artifacts_of(tracking_db, done.run_id) == ["card.md", "tables"]
    assert artifacts_of(tracking_db, done.run_id, "tables") == ["tables/curves.csv"]


def test_the_data_are_named_by_their_fingerprint_and_no_path_is_told(
    tracking_db: str, training: Record, tmp_path: Path, sample_tables: Tables
) -> None:
    done = record(training, settings_for(tracking_db), register=False)
    run = client_of(tracking_db).get_run(done.run_id)
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.name == "export"
    assert data.dataset.digest == sample_tables.fingerprint[:36]
    assert json.loads(data.dataset.profile)["rows"]["deals"] == len(sample_tables.deals)
    columns = {one["name"]: one["type"] for one in json.loads(data.dataset.schema)["mlflow_colspec"]}
    assert columns["deals.amount"] == "double"
    assert columns["deal_events.recorded_at"] == "datetime"
    told = [*run.data.tags.values(), data.dataset.source, data.dataset.schema]
    assert not any(str(tmp_path) in text for text in told)


def test_each_part_has_a_run_of_its_own_below(tracking_db: str, training: Record) -> None:
    client = client_of(tracking_db)
    done = record(training, settings_for(tracking_db), register=False)
    experiment = client.get_run(done.run_id).info.experiment_id
    children = client.search_runs([experiment], f"tags.mlflow.parentRunId = '{done.run_id}'")
    found = {run.info.run_name: run for run in children}
    assert set(found) == {"rung linear", "held out"}
    assert {run.info.status for run in children} == {"FINISHED"}
    rung = found["rung linear"]
    assert (rung.data.params, rung.data.tags["kind"]) == ({"chosen": "true"}, "rung")
    assert rung.data.tags["mlflow.note.content"] == "why"
    history = client.get_metric_history(rung.info.run_id, "log_score")
    assert [(one.step, one.value) for one in history] == [(0, -0.6), (1, -0.5)]
    assert found["held out"].data.metrics == {"brier_90d": 0.1}


def test_recording_the_same_bundle_again_records_nothing_new(tracking_db: str, training: Record) -> None:
    here = settings_for(tracking_db, "again")
    first = record(training, here, register=False)
    assert record(training, here, register=False).run_id == first.run_id
    # Registering later takes the run and the model that are there.
    later = record(training, here, register=True)
    assert (later.run_id, later.version, later.known) == (first.run_id, "1", False)


def test_a_failure_of_ours_halfway_leaves_no_run_open(
    tracking_db: str, training: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    (training.folder / "golden.json").write_text("[]\n", encoding="utf-8")
    begun = int(time.time() * 1000) - 10_000
    with pytest.raises(BundleError, match=r"golden\.json is damaged"):
        record(training, settings_for(tracking_db), register=True)
    client = client_of(tracking_db)
    experiment = client.get_experiment_by_name("forecast").experiment_id
    runs = client.search_runs([experiment], f"tags.bundle_id = '{training.bundle_id}'")
    assert len(runs) == 3
    assert begun < min(run.info.start_time for run in runs)
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED", "FINISHED"]
    models = client.search_logged_models([experiment], f"source_run_id = '{runs[-1].info.run_id}'")
    assert {model.status.name for model in models} <= {"FAILED"}


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


def test_a_registered_version_gives_back_the_bundle_and_tells_what_it_is(
    tracking_db: str, training: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_db)

    done = record(training, settings_for(tracking_db, "download"), register=True)
    folder = mlflow.artifacts.download_artifacts(
        f"models:/download@champion/{BUNDLE_PATH}", dst_path=str(tmp_path / "got")
    )
    same = {path.name: path.read_bytes() for path in training.folder.iterdir()}
    assert {path.name: path.read_bytes() for path in Path(folder).iterdir()} == same
    whole = mlflow.artifacts.download_artifacts("models:/download@champion", dst_path=str(tmp_path / "all"))
    assert bundle_in(Path(whole)) == Path(whole) / BUNDLE_PATH
    assert bundle_in(training.folder) == training.folder
    text = "".join(path.read_text("utf-8") for path in Path(whole).iterdir() if path.is_file())
    assert str(training.folder.parent) not in text
    assert done.alias == "champion"
    version = client_of(tracking_db).get_model_version("download", "1")
    assert version.description == f"# Card\n\nShort.\n\nThe rest is in card.md of run {done.run_id}.\n"


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
    place = client.get_run(done.run_id).data.tags["place"]
    dead = client.create_run(experiment, tags={"place": place}).info.run_id
    other = client.create_run(experiment, tags={"place": "another"}).info.run_id
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


def test_the_first_call_that_finds_nobody_is_the_last(
    tracking_db: str, training: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tidying up would wait for the same server again; the next training does it."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    asked: list[str] = []

    def gone(*_: Any, **__: Any) -> None:
        asked.append("log_batch")
        raise MlflowException("API request failed") from ConnectionRefusedError(111, "Connection refused")

    record(training, settings_for(tracking_db), register=False)
    other = dataclasses.replace(training, bundle_id="f" * 64)
    monkeypatch.setattr(MlflowClient, "log_batch", gone)
    monkeypatch.setattr(MlflowClient, "set_terminated", lambda *_, **__: asked.append("set_terminated"))
    with pytest.raises(UnavailableError, match="did not record the run: Connection refused"):
        record(other, settings_for(tracking_db), register=True)
    assert asked == ["log_batch"]
    monkeypatch.undo()
    done = record(other, settings_for(tracking_db), register=False)
    client = client_of(tracking_db)
    runs = client.search_runs(
        [client.get_run(done.run_id).info.experiment_id], f"tags.bundle_id = '{other.bundle_id}'"
    )
    assert sorted(run.info.status for run in runs) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]


def test_where_runs_go(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tracking_uri(settings_for("")) == "sqlite:///mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:5000")
    assert tracking_uri(settings_for("")) == "http://127.0.0.1:5000"
    assert tracking_uri(settings_for("sqlite:///own.db")) == "sqlite:///own.db"
