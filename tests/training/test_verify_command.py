"""`python -m training verify`: a bundle comes out again, also from data that have grown since."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from exports import export_at

from forecast.bundle import load_bundle
from forecast.receipts import Check
from forecast.simulator import simulate
from forecast.tables import Tables, write_folder
from training import verify
from training.__main__ import main
from training.settings import Settings, read_settings, settings_of
from training.train import Training, train
from training.verify import verify_training

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
THEN = pd.Timestamp("2025-10-01", tz="UTC")


@pytest.fixture(scope="module")
def company() -> Tables:
    return simulate(deals=400, seed=5).tables


@pytest.fixture(scope="module")
def quick() -> Settings:
    fit = {"max_landmarks": 3_000, "windows": 1, "ridge_grid": [12.0], "rounds_grid": [5]}
    return settings_of({"fit": fit, "holdout": {"days": 0}}, "here")


@pytest.fixture(scope="module")
def trained(company: Tables, quick: Settings, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """Trained on the export of 1 October."""
    folder = tmp_path_factory.mktemp("models") / "then"
    return train(export_at(company, THEN), folder, quick, as_of=THEN)


def told(checks: list[Check]) -> dict[str, bool | None]:
    return {check.name: check.agrees for check in checks}


def test_a_bundle_comes_out_again_months_later(trained: Training, company: Tables) -> None:
    # Quotas and users have no date: those of then are needed.
    export = export_at(company, THEN)
    grown = dataclasses.replace(company, quotas=export.quotas)
    checks = verify_training(trained.folder, grown)
    assert told(checks) == dict.fromkeys(("bundle", "code", "data", "trained again"), True), checks


def test_a_changed_past_is_told_with_the_files_it_changes(trained: Training, company: Tables) -> None:
    export = export_at(company, THEN)
    lost = export.deal_events["value"].isin(["won"]).cumsum() == 1
    other = dataclasses.replace(export, deal_events=export.deal_events[~lost].reset_index(drop=True))
    checks = verify_training(trained.folder, other)
    assert told(checks) == {"bundle": True, "code": True, "data": False, "trained again": False}
    data, again = (
        next(check.text for check in checks if check.name == name) for name in ("data", "trained again")
    )
    assert "deal_events" in data
    assert "model.json" in again
    assert "manifest.json data_fingerprint" in again


def test_other_code_is_told(trained: Training, company: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    code = verify.training_code()
    other = code | {"sources": code["sources"] | {"training": "0" * 64}}
    monkeypatch.setattr(verify, "training_code", lambda: other)
    # Training again has its own test; here it would only take its time.
    monkeypatch.setattr(verify, "_train_again", lambda bundle, *_: bundle)
    checks = verify_training(trained.folder, export_at(company, THEN))
    assert told(checks) == {"bundle": True, "code": False, "data": True, "trained again": True}
    assert "sources of training" in next(check.text for check in checks if check.name == "code")


@pytest.mark.slow
def test_the_command_says_so_and_exits_with_ten_when_it_differs(
    trained: Training,
    company: Tables,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_folder(export_at(company, THEN), tmp_path / "data", format="parquet")
    arguments = ["verify", str(trained.folder), "--data", str(tmp_path / "data")]
    assert main([*arguments, "--json", str(tmp_path / "found.json")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "Verified."
    assert json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))["verified"] is True
    (tmp_path / "data" / "fx_rates.parquet").unlink()
    monkeypatch.setattr(verify, "_train_again", lambda bundle, *_: bundle)
    assert main(arguments) == 10
    assert "Not verified: data" in capsys.readouterr().out


def test_a_bundle_without_its_settings_is_refused(
    trained: Training, company: Tables, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = Path(shutil.copytree(trained.folder, tmp_path / "old"))
    manifest = json.loads((old / "manifest.json").read_text(encoding="utf-8"))
    del manifest["settings"]
    (old / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    write_folder(company, tmp_path / "data")
    assert main(["verify", str(old), "--data", str(tmp_path / "data")]) == 7
    assert "train it again with this version" in capsys.readouterr().err


def test_the_manifest_holds_all_settings_as_plain_values_and_they_are_read_again(
    trained: Training, quick: Settings
) -> None:
    recorded = load_bundle(trained.folder).manifest["settings"]
    assert json.loads(json.dumps(recorded)) == recorded
    again = settings_of(recorded, "the bundle")
    assert (again.fit, again.holdout) == (quick.fit, quick.holdout)
    assert {f"{section}.{key}" for section in recorded for key in recorded[section]} == set(quick.flat())
    assert settings_of(read_settings().recorded(), "defaults").fit == read_settings().fit
