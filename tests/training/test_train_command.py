"""`python -m training train` on the sample company, whole."""

from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from forecast.bundle import load_bundle, resolve_bundle
from forecast.errors import DataError
from forecast.outlook import make_outlook
from forecast.periods import Period
from forecast.tables import Tables
from training.__main__ import main
from training.settings import Settings, read_settings
from training.tracking import BUNDLE_PATH
from training.train import Training, train

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
AS_OF = pd.Timestamp("2026-01-01", tz="UTC")


@pytest.fixture(scope="module")
def quick() -> Settings:
    """Settings for a fit of seconds."""
    settings = read_settings()
    return dataclasses.replace(
        settings,
        fit=dataclasses.replace(
            settings.fit, max_landmarks=6_000, windows=1, ridge_grid=(12.0,), rounds_grid=(20,)
        ),
    )


@pytest.fixture(scope="module")
def quick_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file."""
    path = tmp_path_factory.mktemp("settings") / "quick.toml"
    path.write_text(
        "[fit]\nmax_landmarks = 6000\nwindows = 1\nridge_grid = [12]\nrounds_grid = [20]\n", encoding="utf-8"
    )
    return path


@pytest.fixture(scope="module")
def trained(sample_tables: Tables, quick: Settings, tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp("models") / "one"
    return train(sample_tables, folder, quick, as_of=AS_OF)


def only_open(tables: Tables) -> Tables:
    """The same company before anybody had closed a deal."""
    kinds = tables.stages.set_index("stage")["kind"]
    events = tables.deal_events
    stage = events["field"] == "stage"
    closed = set(events.loc[stage & (events["value"].map(kinds) != "open"), "deal_id"])
    return without_deals(tables, closed)


def without_deals(tables: Tables, gone: set[str]) -> Tables:
    frames = {name: getattr(tables, name) for name in ("stages", "users", "quotas", "fx_rates")}
    for name in ("deals", "deal_events", "activities", "leads"):
        frame = getattr(tables, name)
        frames[name] = frame[~frame["deal_id"].isin(gone)]
    return Tables.from_frames(**frames)


def test_the_bundle_holds_models_of_everything_and_metrics_of_the_holdout(trained: Training) -> None:
    bundle = load_bundle(trained.folder)
    assert bundle.id == trained.bundle_id
    assert bundle.trained_until == AS_OF
    values = bundle.manifest["metrics"]["values"]
    assert values["brier_90d"] < values["brier_90d_base_rate"]
    assert values["brier_90d"] < values["brier_90d_stage_rate"]
    assert 0.6 < values["auc_90d"] < 0.95
    assert bundle.manifest["metrics"]["holdout"]["quarter"] == "2025Q4"
    bookings = {row["forecaster"]: row for row in bundle.manifest["metrics"]["holdout"]["bookings"]}
    assert bookings["ours"]["p10"] < bookings["ours"]["expected"] < bookings["ours"]["p90"]
    assert {"ours", "stage_weighted", "actual"} <= set(bookings)


def test_the_same_data_settings_and_moment_give_the_same_id_anywhere(
    trained: Training, sample_tables: Tables, quick: Settings, tmp_path: Path
) -> None:
    shuffled = dataclasses.replace(
        sample_tables, deal_events=sample_tables.deal_events.sample(frac=1.0, random_state=1)
    )
    assert train(shuffled, tmp_path / "two", quick, as_of=AS_OF).bundle_id == trained.bundle_id


def test_another_setting_gives_another_id(
    trained: Training, sample_tables: Tables, quick: Settings, tmp_path: Path
) -> None:
    other = dataclasses.replace(quick, fit=dataclasses.replace(quick.fit, seed=1))
    assert train(sample_tables, tmp_path / "two", other, as_of=AS_OF).bundle_id != trained.bundle_id


def test_without_a_closed_deal_it_trains_answers_and_says_so(
    sample_tables: Tables, quick: Settings, tmp_path: Path
) -> None:
    tables = only_open(sample_tables)
    done = train(tables, tmp_path / "none", quick, as_of=AS_OF)
    assert any("No deal has closed yet" in note for note in done.notes)
    assert any("cannot tell a good forecast from a bad one" in note for note in done.notes)
    outlook = make_outlook(tables, load_bundle(done.folder), as_of=AS_OF, period=Period.parse("2026Q1"))
    assert outlook.scores["win_probability"].between(0, 1).all()
    assert len(outlook.scores) > 10


def test_few_closed_deals_are_named(sample_tables: Tables, quick: Settings, tmp_path: Path) -> None:
    recent = sample_tables.deals["created_at"] >= pd.Timestamp("2025-09-15", tz="UTC")
    tables = without_deals(sample_tables, set(sample_tables.deals.loc[~recent, "deal_id"]))
    done = train(tables, tmp_path / "few", quick, as_of=AS_OF)
    counts = done.models.counts
    assert 0 < counts["won"] + counts["lost"] < 100
    assert any(note.startswith(f"Only {counts['won']} won and {counts['lost']} lost") for note in done.notes)


def test_a_moment_before_all_data_is_refused(sample_tables: Tables, quick: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no deal was recorded before 2010"):
        train(sample_tables, tmp_path / "none", quick, as_of=pd.Timestamp("2010-01-01", tz="UTC"))
    assert not (tmp_path / "none").exists()


def test_the_command_trains_tracks_registers_and_prints_the_table(
    sample_folder: Path,
    quick_file: Path,
    tracking_db: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_db)
    arguments = ["train", "--data", str(sample_folder), "--settings", str(quick_file), "--register"]
    assert main([*arguments, "--bundle", str(tmp_path / "models" / "mine")]) == 0
    shown = capsys.readouterr()
    bundle = load_bundle(tmp_path / "models" / "mine")
    assert load_bundle(tmp_path / "models" / "current").id == bundle.id, "the first one serves"
    for text in (
        "this model",
        "stage-weighted (CRM)",
        "closed deals only",
        "Bookings of 2025Q4",
        bundle.short_id,
    ):
        assert text in shown.out
    assert f"Bundle {bundle.short_id} registered as forecast version" in shown.err

    client = MlflowClient(tracking_uri=tracking_db)
    versions = client.search_model_versions(f"name = 'forecast' and tags.bundle_id = '{bundle.id}'")
    assert len(versions) == 1
    run = client.get_run(versions[0].run_id)
    assert run.data.metrics["brier_90d"] == bundle.manifest["metrics"]["values"]["brier_90d"]
    assert "brier_90d_stage_weighted" in run.data.metrics
    assert run.data.params["fit.max_landmarks"] == "6000"
    assert run.data.params["data_fingerprint"] == bundle.manifest["data_fingerprint"]
    artifact = download_artifacts(
        f"models:/forecast/{versions[0].version}/{BUNDLE_PATH}", dst_path=str(tmp_path / "got")
    )
    assert load_bundle(artifact).id == bundle.id
    card = (tmp_path / "models" / "mine.card.md").read_text(encoding="utf-8")
    assert card.startswith(f"# Model card of bundle {bundle.short_id}")
    assert versions[0].description.startswith(card.split("## ")[0].rstrip())
    (data,) = run.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest) == (
        sample_folder.name,
        bundle.manifest["data_fingerprint"][:36],
    )


@pytest.mark.parametrize("register", [False, True])
def test_an_unreachable_server_costs_seconds_and_never_the_bundle(
    register: bool,
    sample_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    settings = tmp_path / "quick.toml"
    # Nothing held out and only cells: what takes time here is the server.
    settings.write_text(
        "[fit]\nmin_closed_deals = 100000\n[holdout]\ndays = 0\n[tracking]\nretries = 1\n", encoding="utf-8"
    )
    folder = tmp_path / "models" / "mine"
    arguments = ["train", "--data", str(sample_folder), "--settings", str(settings), "--bundle", str(folder)]
    begun = time.monotonic()
    assert main([*arguments, *(["--register"] if register else [])]) == (5 if register else 0)
    assert time.monotonic() - begun < 20
    said = capsys.readouterr().err
    assert f"MLflow at http://127.0.0.1:{port} did not record the run: Connection refused" in said
    assert ("but not registered: run the same command again" in said) == register
    assert json.loads((folder / "manifest.json").read_text())["metrics"] == {}
    assert load_bundle(folder).trained_until <= AS_OF


@pytest.mark.e2e
def test_a_killed_training_leaves_the_old_bundle_and_running_it_again_is_all_it_takes(
    trained: Training, sample_folder: Path, tmp_path: Path
) -> None:
    folder, settings = tmp_path / "models" / "mine", tmp_path / "unmeasured.toml"
    settings.write_text("[fit]\nmin_closed_deals = 100000\n[holdout]\ndays = 0\n", encoding="utf-8")
    shutil.copytree(trained.folder, folder)
    arguments = ["--data", str(sample_folder), "--bundle", str(folder), "--settings", str(settings)]
    lock = folder.parent / ".mine.lock"
    with subprocess.Popen(
        [sys.executable, "-m", "training", "train", *arguments, "--no-track"], stderr=subprocess.DEVNULL
    ) as process:
        while not (lock.exists() and lock.read_text()):
            time.sleep(0.05)
        time.sleep(0.3)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "it was killed before it was done"
    assert load_bundle(folder).id == trained.bundle_id
    assert main(["train", *arguments, "--no-track", "--as-of", "2025-12-01"]) == 0
    assert load_bundle(folder).trained_until == pd.Timestamp("2025-12-01", tz="UTC")
    served = resolve_bundle(folder.parent / "current")
    assert served != folder, "a copy serves, which no training replaces"
    first = load_bundle(served).id
    assert main(["train", *arguments, "--no-track", "--as-of", "2025-11-01"]) == 0
    assert load_bundle(folder.parent / "current").id == first


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--as-of", "banana"], 2, "as-of 'banana' is not a date"),
        (["--register", "--no-track"], 2, "--register needs tracking"),
        (["--settings", "nowhere.toml"], 2, "nowhere.toml cannot be read"),
        (["--bundle", "models/UPPER"], 8, "bundle name 'UPPER' is not usable"),
        (["--bundle", "models/promoted-1"], 8, "the name of a promoted bundle, which is never changed"),
        (["--data", "nowhere"], 3, "nowhere"),
    ],
)
def test_a_wrong_argument_is_one_line_and_costs_nothing(
    arguments: list[str],
    code: int,
    message: str,
    sample_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    base = ["train", "--data", str(sample_folder), "--bundle", "models/mine"]
    begun = time.monotonic()
    assert main([*base, *arguments]) == code
    assert time.monotonic() - begun < 5
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "models" / "mine").exists()
