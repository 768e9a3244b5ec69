"""`forecast roll-up`: the table of the contract in a file, and one line that says what it found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from forecast.cli import cli, run

CONTRACT = [
    "period", "as_of", "level", "entity", "booked", "open", "arrivals", "expected", "p10", "p50", "p90",
    "quota", "attainment_probability", "gap", "pipeline_open_amount", "coverage_needed",
]  # fmt: skip


def roll_up(folder: Path, bundle: Path, out: Path, *more: str) -> int:
    return run(
        cli,
        [
            "roll-up",
            "--data",
            str(folder),
            "--bundle",
            str(bundle),
            "--period",
            "2026Q1",
            "--out",
            str(out),
            *more,
        ],
        "forecast",
    )


def test_the_file_is_the_contract(sample_folder: Path, trained_bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "bookings.csv"
    assert roll_up(sample_folder, trained_bundle, out, "--as-of", "2026-01-01") == 0
    table = pd.read_csv(out, dtype={"entity": "str"}, keep_default_na=False, na_values={"quota": ""})
    assert table.columns.tolist() == CONTRACT
    assert (table["period"] == "2026Q1").all()
    assert (table["as_of"] == "2026-01-01T00:00:00Z").all()
    assert table["level"].unique().tolist() == ["company", "region", "team", "user"]
    assert table["entity"].iloc[0] == "*"
    for column in ("booked", "open", "arrivals", "expected", "pipeline_open_amount"):
        sums = table.groupby("level")[column].sum()
        assert_allclose(sums, sums["company"], rtol=1e-9, atol=1e-6)


def test_parquet_and_csv_hold_the_same_numbers(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path
) -> None:
    as_csv, as_parquet = tmp_path / "bookings.csv", tmp_path / "bookings.parquet"
    for out in (as_csv, as_parquet):
        assert roll_up(sample_folder, trained_bundle, out, "--as-of", "2026-01-01") == 0
    one, other = pd.read_csv(as_csv), pd.read_parquet(as_parquet)
    assert other["as_of"].iloc[0] == pd.Timestamp("2026-01-01", tz="UTC")
    numbers = CONTRACT[4:]
    assert_array_equal(one[numbers].to_numpy(np.float64), other[numbers].to_numpy(np.float64))


def test_one_line_says_how_much_and_how_sure(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bookings.csv"
    roll_up(sample_folder, trained_bundle, out, "--as-of", "2026-01-01")
    told = " ".join(capsys.readouterr().err.split())
    for part in ("2026Q1:", "expected (80 %:", "of which booked", "not yet created", "rows written to"):
        assert part in told


def test_the_deals_that_decide_are_written_when_asked_for(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, deciding = tmp_path / "bookings.csv", tmp_path / "deciding.csv"
    more = ("--as-of", "2026-01-01", "--deciding", str(deciding))
    assert roll_up(sample_folder, trained_bundle, out, *more) == 0
    assert "quotas written to" in " ".join(capsys.readouterr().err.split())
    table, bookings = pd.read_csv(deciding), pd.read_csv(out)
    assert table.columns.tolist() == [
        "period", "as_of", "level", "entity", "attainment_probability", "deal_id", "owner_id", "amount_if_won",
        "won_in_period", "effect", "sway",
    ]  # fmt: skip
    assert set(table["level"]) == {"company", "region", "team", "user"}
    assert table.groupby(["level", "entity"]).size().max() == 10
    keys = ["level", "entity", "attainment_probability"]
    with_quota = bookings.loc[bookings["quota"].notna(), keys]
    assert set(table[keys].itertuples(index=False)) <= set(with_quota.itertuples(index=False))


def test_a_second_file_that_cannot_be_written_stops_the_first(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bookings.csv"
    assert roll_up(sample_folder, trained_bundle, out, "--deciding", str(tmp_path / "deals.xlsx")) == 8
    assert not out.exists()


@pytest.mark.parametrize("wrong", [("--period", "2026Q5"), ("--as-of", "yesterday")])
def test_a_wrong_argument_writes_nothing(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path, wrong: tuple[str, str]
) -> None:
    out = tmp_path / "bookings.csv"
    assert roll_up(sample_folder, trained_bundle, out, *wrong) == 2
    assert not out.exists()


def test_an_ending_nobody_knows_is_an_output_error(
    sample_folder: Path, trained_bundle: Path, tmp_path: Path
) -> None:
    assert roll_up(sample_folder, trained_bundle, tmp_path / "bookings.xlsx") == 8


def test_help_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["roll-up", "--help"], "forecast") == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Example: forecast roll-up --data sample" in shown
    for option in ("--data", "--bundle", "--as-of", "--period", "--out"):
        assert option in shown
