"""`python -m training tune` as a process: what it prints and writes, and what a kill costs."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from forecast.simulator import simulate
from forecast.tables import write_folder
from training.__main__ import main
from training.settings import read_settings

# Cells by stage alone: a fit of a tenth of a second.
QUICK = "[fit]\nwindows = 1\nuse_season = false\nmin_closed_deals = 100000\nmin_boosted_deals = 100000\n"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    write_folder(simulate(deals=400, seed=3).tables, folder)
    return folder


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "quick.toml"
    path.write_text(QUICK, encoding="utf-8")
    return path


def arguments(data: Path, quick: Path, out: Path, *more: str) -> list[str]:
    return ["tune", "--data", str(data), "--settings", str(quick), "--out", str(out), *more]


@pytest.mark.slow
def test_both_comparisons_are_printed_and_only_an_improvement_is_written(
    data: Path, quick: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned.toml"
    assert main(arguments(data, quick, out, "--trials", "3")) == 0
    shown = capfd.readouterr().out
    assert "folds, 20" in shown
    assert "held out from 2025-07-04, not seen by the search" in shown
    assert "3 trials finished" in shown
    assert (
        json.loads((tmp_path / "tuned.study" / "about.json").read_text("utf-8"))["settings"]["windows"] == 1
    )
    if out.exists():
        assert "Better by more than two standard errors" in shown
        assert read_settings(out) != read_settings(quick)
    else:
        assert "The defaults stand" in shown
    # Nothing is left to do: the same answer without a single fit of the search.
    assert main(arguments(data, quick, out, "--trials", "3")) == 0
    assert capfd.readouterr().out == shown


@pytest.mark.slow
@pytest.mark.e2e
def test_a_killed_search_goes_on_and_ends_as_one_that_nobody_stopped(
    data: Path, quick: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killed, whole = tmp_path / "killed" / "tuned.toml", tmp_path / "whole" / "tuned.toml"
    command = [sys.executable, "-m", "training", *arguments(data, quick, killed, "--trials", "4")]
    study = killed.with_suffix(".study")
    for finished in range(2):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while len(list(study.glob("trial-*.npy"))) <= finished and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {path.name: path.read_bytes() for path in study.glob("trial-*.npy")}
    assert kept
    assert main(arguments(data, quick, killed, "--trials", "4")) == 0
    after = capfd.readouterr().out
    assert {name: (study / name).read_bytes() for name in kept} == kept
    assert main(arguments(data, quick, whole, "--trials", "4")) == 0
    assert after.replace(str(killed), "OUT") == capfd.readouterr().out.replace(str(whole), "OUT")
    assert killed.exists() == whole.exists()


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--minutes", "0"], 2, "--minutes is 0; expected a number above 0"),
        (["--minutes", "nan"], 2, "--minutes is nan"),
        (["--trials", "0"], 2, "--trials is 0; expected 1 or more"),
        (["--as-of", "yesterday"], 2, "'yesterday' is not a date"),
        (["--as-of", "2022-03-01", "--trials", "1"], 3, "nothing can be tuned without a held-out period"),
        (["--as-of", "2022-05-10", "--trials", "1"], 3, "too few to compare settings on"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    data: Path,
    quick: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    more: list[str],
    code: int,
    says: str,
) -> None:
    assert main(arguments(data, quick, tmp_path / "tuned.toml", *more)) == code
    error = capfd.readouterr().err
    assert says in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "tuned.toml").exists()


def test_the_file_to_write_is_settings(
    data: Path, quick: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments(data, quick, tmp_path / "tuned.json")) == 8
    assert "expected .toml" in capfd.readouterr().err
