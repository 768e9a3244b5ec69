"""`python -m training promote` and `rollback`, whole: what they print, leave behind and answer with."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from forecast.bundle import load_bundle
from training.__main__ import main

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
STAGES_ALONE = "[fit]\nmin_closed_deals = 100000\nmax_landmarks = 6000\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with settings for fits of a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "quick.toml").write_text(STAGES_ALONE, encoding="utf-8")
    return tmp_path


def train(data: Path, name: str, *more: str) -> str:
    arguments = ["--data", str(data), "--bundle", f"models/{name}", "--settings", "quick.toml", *more]
    assert main(["train", *arguments]) == 0
    return load_bundle(Path("models") / name).id


def serving() -> str:
    return load_bundle(Path("models/current")).id


@pytest.mark.slow
def test_a_fresher_bundle_is_promoted_and_an_older_one_is_refused(
    here: Path, sample_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = train(sample_folder, "old", "--as-of", "2025-12-01", "--no-track")
    new = train(sample_folder, "new", "--no-track")
    assert serving() == old
    assert "Another bundle serves" in capsys.readouterr().err
    asked = ["--data", str(sample_folder), "--no-track"]
    assert main(["promote", "models/new", *asked, "--json", "gate.json"]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith(
        f"Promoted: bundle {new[:12]} serves in place of bundle {old[:12]}, because: It"
    )
    assert serving() == new
    found = json.loads(Path("gate.json").read_text())
    assert (found["passed"], found["candidate"]["bundle_id"], found["champion"]["bundle_id"]) == (
        True,
        new,
        old,
    )
    assert {check["code"]: check["verdict"] for check in found["checks"]}["reproduced"] == "passes"

    assert main(["promote", "models/old", *asked]) == 9
    shown = capsys.readouterr()
    assert shown.out.startswith(
        f"Not promoted: bundle {old[:12]}, because: It is not worse, and nowhere better."
    )
    assert shown.err.strip().count("\n") == 0
    assert "was not promoted, see the table: nowhere better" in shown.err
    assert serving() == new

    assert main(["promote", "models/old", *asked, "--force", "the new one is slow"]) == 0
    assert serving() == old
    assert main(["rollback", "--no-track", "--reason", "it was not"]) == 0
    assert serving() == new
    log = [json.loads(line) for line in Path("models/promotions.jsonl").read_text().splitlines()]
    assert [one["action"] for one in log] == ["first", "promote", "refuse", "promote", "rollback"]
    assert log[3]["reasons"][0] == "Forced: the new one is slow"
    assert log[4]["reasons"] == ["it was not"]
    assert log[1]["gate"]["checks"]
    assert not Path("mlflow.db").exists()


@pytest.mark.slow
def test_the_candidate_of_the_registry_is_promoted_and_rolled_back(
    here: Path,
    sample_folder: Path,
    tracking_db: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_db)
    with Path("quick.toml").open("a", encoding="utf-8") as file:
        file.write('[tracking]\nmodel = "promoted"\n[gate]\nreproduce = false\n')
    settings = ["--settings", "quick.toml"]
    train(sample_folder, "mine", "--as-of", "2025-12-01", "--register")
    assert main(["promote", "--candidate", *settings]) == 0
    assert "Nothing to promote: no version is called candidate" in capsys.readouterr().out
    new = train(sample_folder, "mine", "--register")
    assert serving() != new
    assert main(["promote", "--candidate", "--data", str(sample_folder), *settings]) == 0
    shown = capsys.readouterr().out
    assert f"Promoted: version 2 (bundle {new[:12]}) serves in place of version 1" in shown
    assert serving() == new
    assert main(["promote", "2", *settings]) == 0
    assert "is the champion already" in capsys.readouterr().out
    assert main(["rollback", *settings]) == 0
    assert capsys.readouterr().out.startswith("Rolled back: version 1")
    assert serving() != new
    assert main(["promote", "--settle", *settings]) == 0
    assert capsys.readouterr().out.startswith("Serving: version 1")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "say what to promote"),
        (["3", "--candidate"], 2, "say what to promote"),
        (["--candidate"], 2, "there is no MLflow here"),
        (["3"], 2, "version 3 cannot be looked up without MLflow"),
        (["models/none"], 7, "no bundle at models/none"),
        (["--candidate", "--force", " "], 2, "--force needs a reason"),
        (["--candidate", "--as-of", "banana"], 2, "as-of 'banana' is not a date"),
    ],
)
def test_a_wrong_argument_is_one_line_and_costs_nothing(
    arguments: list[str], code: int, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begun = time.monotonic()
    assert main(["promote", *arguments]) == code
    assert time.monotonic() - begun < 5
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1
    assert not Path("mlflow.db").exists()


def test_without_data_there_is_nothing_to_compare_on(
    here: Path, trained_bundle: Path, sample_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(sample_folder, "mine", "--as-of", "2025-12-01", "--no-track")
    assert main(["promote", str(trained_bundle), "--models", "models", "--no-track"]) == 2
    assert "say which data to compare on: --data DIR" in capsys.readouterr().err


def test_nothing_to_roll_back_to_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rollback"]) == 2
    assert "there is nothing to roll back to: nothing served in models before" in capsys.readouterr().err
