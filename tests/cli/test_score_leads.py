"""`forecast score --leads` from folder and bundle to a file, and one clear line where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from forecast.bundle import load_bundle
from forecast.cli import cli, run
from forecast.history import Leads
from forecast.scoring import score_open_leads

AS_OF = "2026-01-01"


def score(folder: Path, bundle: Path, out: Path, *more: str) -> int:
    named = ["--data", str(folder), "--bundle", str(bundle), "--out", str(out), "--as-of", AS_OF]
    return run(cli, ["score", "--leads", *named, *more], "forecast")


@pytest.fixture
def folder(sample_folder: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(sample_folder, tmp_path / "data"))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_file_holds_what_the_library_says(
    sample_folder: Path,
    lead_bundle: Path,
    sample_leads: Leads,
    tmp_path: Path,
    ending: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / f"leads.{ending}"
    assert score(sample_folder, lead_bundle, out) == 0
    found = pd.read_csv(out) if ending == "csv" else pd.read_parquet(out)
    expected = score_open_leads(sample_leads.history, load_bundle(lead_bundle), pd.Timestamp(AS_OF, tz="UTC"))
    assert list(found.columns) == list(expected.columns)
    for name in ("lead_id", "converted_90d", "becomes_won", "score", "reasons"):
        assert found[name].tolist() == expected[name].tolist(), name
    said = capsys.readouterr().err
    assert f"{len(expected)} open leads scored as of 2026-01-01" in said
    assert "to become a won deal" in said


def test_a_bundle_without_models_of_leads_says_so(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "leads.csv"
    assert score(sample_folder, trained_bundle, out) == 7
    assert "cannot score leads" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_without_leads_says_so(
    folder: Path, lead_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "leads.csv").unlink()
    lines = (folder / "activities.csv").read_text().splitlines(keepends=True)
    (folder / "activities.csv").write_text(
        "".join([lines[0], *(line for line in lines[1:] if ",L-" not in line)])
    )
    assert score(folder, lead_bundle, tmp_path / "leads.csv") == 3
    assert "there is no lead in this data" in capsys.readouterr().err
    assert not (tmp_path / "leads.csv").exists()


def test_all_leads_gone_is_an_empty_table(folder: Path, lead_bundle: Path, tmp_path: Path) -> None:
    leads = pd.read_csv(folder / "leads.csv", dtype="str")
    leads[leads["disqualified_at"].notna()].to_csv(folder / "leads.csv", index=False)
    assert score(folder, lead_bundle, tmp_path / "leads.csv") == 0
    found = pd.read_csv(tmp_path / "leads.csv")
    assert len(found) == 0
    assert "becomes_won" in found


def test_reasons_can_be_italian(sample_folder: Path, lead_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "lead.csv"
    assert score(sample_folder, lead_bundle, out, "--locale", "it", "--reasons", "50") == 0
    first = json.loads(pd.read_csv(out)["reasons"].iloc[0])
    said = {reason["feature"]: reason for reason in first}
    assert said["lead_age_days"]["label"] == "età del lead"
    assert said["lead_age_days"]["text"].startswith("lead ")
    assert not any("bookings_effect" in reason for reason in first)


def test_what_makes_no_sense_for_leads_is_refused(
    sample_folder: Path, lead_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "leads.csv"
    assert score(sample_folder, lead_bundle, out, "--as-of", "2021-01-01") == 2
    assert "no lead was known before" in capsys.readouterr().err
    assert score(sample_folder, lead_bundle, out, "--period", "2026Q1") == 2
    assert "--leads knows no period" in capsys.readouterr().err
    assert score(sample_folder, lead_bundle, out, "--questions", str(tmp_path / "questions.csv")) == 2
    assert "--questions are asked about deals" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
