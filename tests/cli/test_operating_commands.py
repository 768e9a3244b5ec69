"""`forecast doctor` and `forecast rollback` as an operator meets them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from forecast.bundle import load_bundle, write_bundle
from forecast.cli import cli, run
from forecast.promotion.desk import Desk
from forecast.promotion.shelf import Shelf

NOW = pd.Timestamp("2026-01-10", tz="UTC")


@pytest.fixture
def models(trained_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("FORECAST_API_KEY", "FORECAST_API_KEYS_FILE", "FORECAST_LEDGER", "FORECAST_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORECAST_STALE_BUNDLE_DAYS", "100000")
    root = tmp_path / "models"
    shutil.copytree(trained_bundle, root / "a")
    write_bundle(load_bundle(trained_bundle).models, root / "b", metrics={"b": 1}, data_fingerprint="")
    assert Shelf(root).serve_first(root / "a", NOW)
    desk = Desk(Shelf(root), None, NOW)
    desk.promote(desk.candidate_of_folder(root / "b"), desk.state().champion, ("better",), None)
    return root


def test_a_rollback_needs_one_command_and_goes_back_no_further_than_the_first(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = load_bundle(models / "a").id
    assert run(cli, ["rollback", "--models", str(models), "--reason", "bookings far off"], "forecast") == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(f"Rolled back: bundle {first[:12]} serves in place of bundle ")
    assert load_bundle(models / "current").id == first
    last = Shelf(models).entries()[-1]
    assert (last.action, last.reasons) == ("rollback", ("bookings far off",))
    assert run(cli, ["rollback", "--models", str(models)], "forecast") == 2
    assert "nothing to roll back to" in capsys.readouterr().err


def test_a_damaged_way_back_changes_nothing(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serves = load_bundle(models / "current").id
    outcome = Shelf(models).folder_of(load_bundle(models / "a").id) / "outcome.json"
    outcome.write_bytes(outcome.read_bytes()[:-1])
    assert run(cli, ["rollback", "--models", str(models)], "forecast") == 7
    assert "outcome.json" in capsys.readouterr().err
    assert load_bundle(models / "current").id == serves


def test_the_doctor_finds_a_sound_installation_sound(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = models / ".serve-key"
    key.write_text("a-key-of-our-own\n")
    key.chmod(0o600)
    assert run(cli, ["doctor", "--json", "found.json"], "forecast") == 0
    shown = capsys.readouterr().out
    assert "0 broken" in shown
    assert "a-key-of-our-own" not in shown
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["broken"] == 0
    assert {"bundle", "promotion", "rollback", "keys", "disk"} <= {one["check"] for one in found["findings"]}


def test_what_is_broken_is_said_with_what_to_do_and_an_exit_code(
    models: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (models / "current").write_text("a\n")
    (models / ".serve-key").write_text("not a key of ours!\n")
    assert run(cli, ["doctor", "--ledger", "sqlite:///missing.db"], "forecast") == 14
    shown = capsys.readouterr().out
    assert "chmod 600" in shown
    assert "--settle" in shown
    assert not Path("missing.db").exists()


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://x", "file:///etc/passwd"])
def test_only_http_is_asked(models: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["doctor", "--url", url], "forecast") == 2
    assert "expected http://" in capsys.readouterr().err
