"""`python -m training backtest` on a small company, whole; its facts, and its figures in MLflow."""

from __future__ import annotations

import dataclasses
import io
import json
import socket
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from forecast.errors import UnavailableError
from forecast.tables import Tables, write_folder
from training.__main__ import main
from training.backtest.facts import collect
from training.backtest.figures import COLUMNS
from training.backtest.origin import BOOKINGS_COLUMNS
from training.backtest.results import flat_figures, origin_figures
from training.backtest.run import Backtest
from training.backtest.screen import show
from training.settings import TrackingSettings, read_settings
from training.tracking.client import connect
from training.tracking.scoreboards import Look, Scoreboard, record_scoreboard

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

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


@pytest.fixture(scope="module")
def facts(small_backtest: Backtest, small_scoreboard: pd.DataFrame) -> dict[str, Any]:
    return collect(small_backtest, small_scoreboard)


def test_facts_are_plain_and_agree_with_the_scoreboard(
    facts: dict[str, Any], small_scoreboard: pd.DataFrame
) -> None:
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    board = small_scoreboard.set_index(["part", "level", "line", "week", "horizon", "forecaster", "metric"])
    assert (
        facts["ours"]["value"]
        == board.loc[("bookings", "company", "total", "all", "", "ours", "wape"), "value"]
    )
    errors = [rule["value"] for rule in facts["rules"][1:]]
    assert errors == sorted(errors)
    assert facts["nearest"] == facts["rules"][1]
    assert {level["level"] for level in facts["levels"]} == {"company", "region", "team", "user"}
    assert [fan["period"] for fan in facts["fans"]] == facts["quarters"] == ["2025Q3", "2025Q4"]


def test_two_quarters_prove_nothing(facts: dict[str, Any]) -> None:
    assert not facts["enough"]
    assert facts["ours"]["lower"] is None
    assert {rule["verdict"] for rule in facts["rules"]} <= {None, "ahead", "behind"}


def test_every_comparison_that_was_lost_is_told(
    facts: dict[str, Any], small_scoreboard: pd.DataFrame
) -> None:
    lost = small_scoreboard[
        (small_scoreboard["metric"] == "difference_wape")
        & (small_scoreboard["level"] == "company")
        & (small_scoreboard["line"] == "total")
        & (small_scoreboard["value"] > 0.0)
    ]
    told = {
        (loss["name"], loss["week"] or "all")
        for loss in facts["losses"]
        if loss["part"] == "bookings" and loss["level"] == "company" and loss["line"] == "total"
    }
    assert told == set(zip(lost["forecaster"], lost["week"], strict=True))
    for loss in facts["losses"]:
        assert loss["theirs"] < loss["ours"]


def test_the_screen_answers_first_how_far_off(facts: dict[str, Any]) -> None:
    text = io.StringIO()
    show(Console(file=text, width=140), facts, ("A note.",))
    lines = text.getvalue().splitlines()
    assert lines[0].startswith(f"Off by {facts['ours']['value']:.1%} of bookings")
    assert lines[1].startswith("Nearest of the other rules: ")
    assert "2 quarters are too few for intervals" in text.getvalue()
    assert lines[-1] == "A note."


@pytest.mark.e2e
def test_the_command_leaves_tables_a_page_and_a_run(
    small_tables: Tables,
    small_backtest: Backtest,
    tracking_db: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(small_tables, tmp_path / "data")
    tracking = f'[tracking]\nuri = "{tracking_db}"\nexperiment = "backtests"\n'
    (tmp_path / "quick.toml").write_text(SETTINGS + tracking, encoding="utf-8")
    out = tmp_path / "out"
    arguments = [
        "backtest", "--data", "data", "--out", str(out), "--settings", "quick.toml", "--jobs", "1",
        "--quarters", "1", "--locale", "it",
    ]  # fmt: skip
    assert main(arguments) == 0
    said = capsys.readouterr()
    assert said.out.startswith("Off by ")
    assert "Recorded with MLflow" in said.err
    bookings = pd.read_parquet(out / "backtest.parquet")
    newest = small_backtest.bookings[small_backtest.bookings["period"] == "2025Q4"].reset_index(drop=True)
    pd.testing.assert_frame_equal(bookings, newest)
    assert list(bookings.columns) == list(BOOKINGS_COLUMNS)
    assert list(pd.read_parquet(out / "scoreboard.parquet").columns) == list(COLUMNS)
    assert len(pd.read_parquet(out / "deals.parquet"))
    page = (out / "scoreboard.html").read_text(encoding="utf-8")
    assert '<html lang="it">' in page

    assert main(arguments) == 0
    assert "3 of 3 origins were done before" in capsys.readouterr().err
    assert (out / "scoreboard.html").read_text(encoding="utf-8") == page

    client = connect(tracking_db, settings_for(tracking_db))
    experiment = client.get_experiment_by_name("backtests").experiment_id
    runs = client.search_runs([experiment])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    parent = parents[0]
    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert {run.info.run_name for run in children} == {f"2025Q4 week {week}" for week in (0, 6, 12)}
    assert all("error" in run.data.metrics and run.data.params["rung"] for run in children)
    assert "wape_company_total" in parent.data.metrics
    assert "wape_company_total_stage_weighted" in parent.data.metrics
    kept = {one.path for one in client.list_artifacts(parent.info.run_id, "backtest")}
    assert kept == {
        f"backtest/{name}"
        for name in ("backtest.parquet", "deals.parquet", "scoreboard.parquet", "scoreboard.html")
    }


def settings_for(uri: str) -> TrackingSettings:
    return dataclasses.replace(read_settings().tracking, uri=uri, experiment="backtests", retries=0)


def test_a_server_that_is_down_costs_the_record_and_nothing_else(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    board = Scoreboard("backtest", tmp_path, {}, {}, [Look("2025Q4 week 0", {}, {})], [], 0.0)
    with pytest.raises(UnavailableError, match="did not record the run"):
        record_scoreboard(board, settings_for(f"http://127.0.0.1:{port}"))


def test_names_of_figures_are_flat(small_scoreboard: pd.DataFrame, small_backtest: Backtest) -> None:
    found = flat_figures(small_scoreboard)
    assert {"wape_company_total", "brier_in_period", "brier_quota", "change_total_company_total"} <= set(
        found
    )
    looks = origin_figures(small_backtest.bookings)
    assert set(looks) == {(period, week) for period in ("2025Q3", "2025Q4") for week in (0, 6, 12)}
    one = looks["2025Q4", 0]
    assert one["error"] == pytest.approx(one["expected"] / one["actual"] - 1.0)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--quarters", "0"], 2, "--quarters"),
        (["--jobs", "0"], 2, "--jobs"),
        (["--locale", "fr"], 2, "--locale"),
    ],
)
def test_wrong_arguments_are_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: str
) -> None:
    whole = ["backtest", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "out"), *arguments]
    assert main(whole) == code
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
