"""`forecast check`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forecast.cli import cli, run

STAGES = "pipeline,stage,position,kind\nsales,offer,1,open\nsales,won,2,won\n"
DEALS = "deal_id,created_at,amount\n007,2025-01-13T09:00:00Z,1\n"
EVENTS = "deal_id,recorded_at,field,value\n007,2025-01-13T09:00:00Z,stage,offer\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    for table, text in (("stages", STAGES), ("deals", DEALS), ("deal_events", EVENTS)):
        (made / f"{table}.csv").write_text(text)
    return made


def check(*arguments: object) -> int:
    return run(cli, ["check", *map(str, arguments)], "forecast")


def test_a_clean_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder, "--strict") == 0
    assert "4 rows load, none is left out." in capsys.readouterr().out


def test_rows_that_do_not_load_are_shown_and_matter_with_strict(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "deals.csv").write_text(DEALS + "8,2025-01-13T09:00:00Z,[bold]\x1b[31m\n")
    assert check(folder) == 0
    assert check(folder, "--strict") == 4
    out = capsys.readouterr().out
    assert "bad_number" in out
    assert "[bold]" in out, "text from a file is no markup"
    assert "\x1b[31m" not in out, "nor an order to the terminal"


def test_a_refused_file_and_the_json_of_the_contract(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "users.csv").write_text("user,name\nana,Ana\n")
    (folder / "deals.csv").write_text(DEALS + "8,2025-01-13T09:00:00Z\n")
    assert check(folder, "--strict", "--json", folder / "check.json") == 3
    assert "refused: users.csv has no column 'user_id'; is 'user' meant? rename it" in capsys.readouterr().out
    found = json.loads((folder / "check.json").read_text(encoding="utf-8"))
    assert list(found) == ["tables", "quarantine", "refused"]
    assert found["tables"]["deals"] == {
        "read": 2, "loaded": 1, "duplicates": 0, "superseded": 0, "quarantined": 1,
    }  # fmt: skip
    assert found["quarantine"] == [
        {
            "table": "deals",
            "file": "deals.csv",
            "line": 3,
            "code": "cell_count",
            "reason": "2 cells where the header has 3",
            "raw": "8,2025-01-13T09:00:00Z",
        }
    ]
    assert found["refused"] == [
        {
            "file": "users.csv",
            "code": "missing_column",
            "reason": "has no column 'user_id'; is 'user' meant? rename it",
        }
    ]


def test_a_path_without_tables_is_one_line_and_still_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path / "nowhere", "--json", tmp_path / "check.json") == 3
    assert "nowhere does not exist" in capsys.readouterr().out
    assert json.loads((tmp_path / "check.json").read_text())["refused"][0]["code"] == "not_a_folder"


def test_wrong_arguments_and_places(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(folder, "--zone", "Mars/Base") == 2
    assert check() == 2
    assert check(folder, "--json", folder / "absent" / "check.json") == 8
    assert "Traceback" not in capsys.readouterr().err


def test_the_zone_is_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "deals.csv").write_text(DEALS.replace("Z", ""))
    assert check(folder, "--zone", "Europe/Rome") == 0
    assert "1 moment has no zone; read in Europe/Rome" in capsys.readouterr().out
