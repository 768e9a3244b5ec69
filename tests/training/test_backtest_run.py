"""Running a back-test: finished looks stay, an interrupted run ends up with the same bytes."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from forecast.errors import DataError, ForecastError
from forecast.models import Recipe
from forecast.tables import Tables, write_folder
from training.backtest import run
from training.backtest.origin import said_at
from training.backtest.run import Backtest, backtest
from training.backtest.store import Store
from training.settings import Settings


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the looks that are really worked on."""
    names: list[str] = []

    def spy(tables: Tables, history: object, origin: object, *rest: object) -> object:
        names.append(origin.name)  # type: ignore[attr-defined]  # an Origin
        return said_at(tables, history, origin, *rest)  # type: ignore[arg-type]  # handed on as they came

    monkeypatch.setattr(run, "said_at", spy)
    return names


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "origins").iterdir())}


def folder_of(tested: Backtest) -> Path:
    return tested.finished[0].bookings.parents[1]


def test_finished_looks_are_not_done_again(
    small_tables: Tables, quick_backtest: Settings, small_backtest: Backtest, recorded: list[str]
) -> None:
    told: list[tuple[str, float]] = []
    again = backtest(
        small_tables, folder_of(small_backtest), quick_backtest, tell=lambda *what: told.append(what)
    )
    assert recorded == []
    assert again.found == len(again.finished) == 6
    assert told == [("6 of 6 looks done before", 1.0)]
    pd.testing.assert_frame_equal(again.bookings, small_backtest.bookings)
    pd.testing.assert_frame_equal(again.deals, small_backtest.deals)


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    small_tables: Tables,
    quick_backtest: Settings,
    small_backtest: Backtest,
    recorded: list[str],
    tmp_path: Path,
) -> None:
    def stop(text: str, _share: float) -> None:
        if text.startswith("3 of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backtest(small_tables, tmp_path, quick_backtest, tell=stop)
    assert len(recorded) == 3
    again = backtest(small_tables, tmp_path, quick_backtest)
    assert len(recorded) == 6
    assert again.found == 3
    assert files(tmp_path) == files(folder_of(small_backtest))
    pd.testing.assert_frame_equal(again.bookings, small_backtest.bookings)


def test_a_damaged_file_is_made_again(
    small_tables: Tables, quick_backtest: Settings, small_backtest: Backtest, recorded: list[str]
) -> None:
    whole = files(folder_of(small_backtest))
    damaged = small_backtest.finished[-1].deals
    damaged.write_bytes(damaged.read_bytes()[:-100])
    backtest(small_tables, folder_of(small_backtest), quick_backtest)
    assert recorded == [small_backtest.finished[-1].origin.name]
    assert files(folder_of(small_backtest)) == whole


def test_other_data_settings_or_recipes_are_other_looks(
    small_tables: Tables, quick_backtest: Settings, small_backtest: Backtest
) -> None:
    origin, folder = small_backtest.finished[1].origin, folder_of(small_backtest)
    recipe = small_backtest.finished[1].recipe
    fit, until = quick_backtest.fit, small_backtest.until

    def found(
        fingerprint: str = small_tables.fingerprint, given: Recipe = recipe, **fit_settings: int
    ) -> object:
        settings = dataclasses.replace(fit, **fit_settings)
        return Store.open(folder, fingerprint, until, settings, (30,)).find(origin, given)

    assert found() is not None
    assert found("0" * 64) is None
    assert found(seed=fit.seed + 1) is None
    assert found(given=dataclasses.replace(recipe, ridge=recipe.ridge + 1.0)) is None


def test_followers_take_the_recipe_of_their_quarter(small_backtest: Backtest) -> None:
    recipes = {}
    for one in small_backtest.finished:
        recipes.setdefault(one.origin.period.label, set()).add(one.recipe)
    assert all(len(kinds) == 1 for kinds in recipes.values())


def test_an_error_names_the_look(
    small_tables: Tables, quick_backtest: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> object:
        raise DataError("no such thing", code="gone")

    monkeypatch.setattr(run, "said_at", fails)
    with pytest.raises(DataError, match="2025Q3 week 0: no such thing") as caught:
        backtest(small_tables, tmp_path, quick_backtest)
    assert caught.value.code == "gone"

    def breaks(*_: object) -> object:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(run, "said_at", breaks)
    with pytest.raises(ForecastError, match="internal: 2025Q3 week 0: ZeroDivisionError: by zero"):
        backtest(small_tables, tmp_path, quick_backtest)


@pytest.mark.slow
def test_processes_give_the_same_bytes_as_one(
    small_tables: Tables, quick_backtest: Settings, small_backtest: Backtest, tmp_path: Path
) -> None:
    two = backtest(small_tables, tmp_path, quick_backtest, jobs=2)
    assert files(tmp_path) == files(folder_of(small_backtest))
    pd.testing.assert_frame_equal(two.deals, small_backtest.deals)


@pytest.mark.slow
@pytest.mark.e2e
def test_killed_at_any_time_nothing_finished_is_lost_and_no_worker_is_left(
    small_tables: Tables, small_backtest: Backtest, tmp_path: Path
) -> None:
    write_folder(small_tables, tmp_path / "data")
    (tmp_path / "quick.toml").write_text(SETTINGS, encoding="utf-8")
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "training", "backtest", "--data", str(tmp_path / "data"), "--out", str(out),
        "--settings", str(tmp_path / "quick.toml"), "--jobs", "2", "--no-track",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while not list((out / "origins").glob("*.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        workers = children_of(process.pid)
        assert workers
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = files(out)
    assert any(name.endswith(".json") for name in kept)
    deadline = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(alive, workers))
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    whole = {name: content for name, content in files(out).items() if not name.startswith(".")}
    assert whole == files(folder_of(small_backtest))
    finished = {name.removesuffix(".json") for name in kept if name.endswith(".json")}
    assert all(kept[name] == whole[name] for name in kept if name.split(".")[0] in finished)


SETTINGS = """
[fit]
max_landmarks = 3000
windows = 1
ridge_grid = [12.0]
min_boosted_deals = 1000000000
[backtest]
quarters = 2
weeks = [0, 6, 12]
horizons_days = [30]
draws = 100
"""


def children_of(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    if not found.exists():
        pytest.skip("this system does not tell a process's children")
    return [int(text) for text in found.read_text().split()]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        # One that ended and was not waited for is no process any more.
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
