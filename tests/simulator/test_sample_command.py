"""`forecast sample DIR`: whole tables, the same for the same seed, and nobody's folder overwritten."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.cli import cli, run
from forecast.simulator import simulate

TABLES = ("stages", "deals", "deal_events", "activities", "users", "quotas", "leads", "fx_rates")


def sample(*arguments: object) -> int:
    return run(cli, ["sample", *map(str, arguments)], "forecast")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_it_writes_every_table_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(tmp_path / "acme", "--deals", 60, "--seed", 3) == 0
    assert set(contents(tmp_path / "acme")) == {*(f"{name}.csv" for name in TABLES), "sample.json"}
    assert len(pd.read_csv(tmp_path / "acme" / "deals.csv")) == 60
    said = capsys.readouterr().out
    assert "deal_events.csv" in said
    assert "60 deals" in said


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_same_seed_writes_the_same_bytes(form: str, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert sample(tmp_path / name, "--deals", 80, "--seed", 9, "--format", form) == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_an_earlier_sample_is_replaced_whole(tmp_path: Path) -> None:
    assert sample(tmp_path, "--deals", 50, "--format", "parquet") == 0
    assert sample(tmp_path, "--deals", 40, "--format", "csv") == 0
    assert not list(tmp_path.glob("*.parquet")), "a table must not be there in two formats"
    assert len(pd.read_csv(tmp_path / "deals.csv")) == 40
    assert json.loads((tmp_path / "sample.json").read_text())["deals"] == 40


def test_a_folder_with_something_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "deals.csv").write_text("the real ones")
    assert sample(tmp_path, "--deals", 10) == 2
    assert contents(tmp_path) == {"deals.csv": b"the real ones"}
    assert "--force" in capsys.readouterr().err
    assert sample(tmp_path, "--deals", 10, "--force") == 0
    assert len(pd.read_csv(tmp_path / "deals.csv")) == 10


@pytest.mark.parametrize(
    "wrong", [["--deals", 0], ["--format", "xlsx"], ["--truth", "truth.txt"], ["--seed", -1]]
)
def test_wrong_options_leave_nothing_behind(wrong: list[object], tmp_path: Path) -> None:
    assert sample(tmp_path / "new", *wrong) == 2
    assert not (tmp_path / "new").exists()


def test_the_truth_is_written_beside(tmp_path: Path) -> None:
    truth = tmp_path / "truth.csv"
    assert sample(tmp_path / "acme", "--deals", 200, "--seed", 4, "--truth", truth) == 0
    rows = pd.read_csv(truth, parse_dates=["as_of"])
    assert list(rows.columns) == ["deal_id", "as_of", "horizon_days", "probability"]
    assert rows["as_of"].nunique() == 13
    assert rows["probability"].between(0, 1).all()
    one = rows.iloc[500]
    known = simulate(200, seed=4).truth_within([one["deal_id"]], one["as_of"], [one["horizon_days"]])
    np.testing.assert_allclose(one["probability"], known[0, 0])


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("--help") == 0
    assert "forecast sample data/sample --deals 5000" in capsys.readouterr().out
