"""`forecast verify`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forecast.cli import cli, run


@pytest.fixture(scope="module")
def scores(sample_folder: Path, trained_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "scores.csv"
    inputs = ["--data", str(sample_folder), "--bundle", str(trained_bundle), "--reasons", "0"]
    assert run(cli, ["score", *inputs, "--out", str(out)], "forecast") == 0
    return out


def verify(*arguments: object) -> int:
    return run(cli, ["verify", *map(str, arguments)], "forecast")


def test_a_line_for_each_check_and_a_verdict(
    scores: Path, sample_folder: Path, trained_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(scores, "--data", sample_folder, "--bundle", trained_bundle) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:-1]] == [
        "receipt", "output", "code", "data", "bundle", "made again",
    ]  # fmt: skip
    assert lines[-1] == "Verified."


def test_without_data_and_bundle_it_says_what_is_left_open(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(f"{scores}.receipt.json") == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "Verified as far as it was checked; open: data, bundle, made again."
    )


def test_a_difference_is_named_exits_with_ten_and_stands_in_the_json(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (scores.name, f"{scores.name}.receipt.json"):
        (tmp_path / name).write_bytes((scores.parent / name).read_bytes())
    (tmp_path / scores.name).write_text("deal_id\n")
    assert verify(tmp_path / scores.name, "--json", tmp_path / "found.json") == 10
    assert capsys.readouterr().out.splitlines()[-1] == "Not verified: output."
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["verified"] is False
    assert {check["name"]: check["agrees"] for check in found["checks"]}["output"] is False


def test_a_bundle_or_the_pointer_to_one(trained_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (trained_bundle.parent / "current").write_text(f"{trained_bundle.name}\n")
    assert verify(trained_bundle) == 0
    assert verify(trained_bundle.parent / "current") == 0
    assert verify(trained_bundle, "--bundle", trained_bundle) == 2
    assert "leave out --bundle" in capsys.readouterr().err


def test_nothing_to_verify_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lonely.csv").write_text("x\n")
    assert verify(tmp_path / "lonely.csv") == 3
    assert "has one beside it" in capsys.readouterr().err
