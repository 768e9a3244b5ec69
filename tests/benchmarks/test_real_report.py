"""The tables of the real-data run get into the documentation, and nothing else of it changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import accuracy
from benchmarks.real.__main__ import main
from benchmarks.real.protocols import PROTOCOLS
from benchmarks.real.report import put_between_marks
from forecast.cli import run
from forecast.errors import UsageError

PAGE = (
    "before\n<!-- a: begin -->\nold\n<!-- a: end -->\nbetween \\1\n<!-- b: begin --><!-- b: end -->\nafter\n"
)


def test_a_block_replaces_what_is_between_its_marks_only(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    put_between_marks(page, "b", "| 1\\2 |\n")
    put_between_marks(page, "a", "new\n")
    put_between_marks(page, "a", "newer\n")
    assert page.read_text() == (
        "before\n<!-- a: begin -->\n\nnewer\n\n<!-- a: end -->\nbetween \\1\n"
        "<!-- b: begin -->\n\n| 1\\2 |\n\n<!-- b: end -->\nafter\n"
    )


def test_a_document_without_a_place_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    with pytest.raises(UsageError, match="no place for c"):
        put_between_marks(page, "c", "lost\n")
    assert page.read_text() == PAGE


def test_a_new_file_is_made_of_the_block(tmp_path: Path) -> None:
    page = tmp_path / "new.md"
    put_between_marks(page, "a", "first\n")
    put_between_marks(page, "a", "second\n")
    assert page.read_text() == "<!-- a: begin -->\n\nsecond\n\n<!-- a: end -->\n"


def test_absent_data_is_said_and_is_no_failure_of_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORECAST_REAL_DATA", str(tmp_path))
    assert run(accuracy.main, list(PROTOCOLS), "benchmarks.accuracy") == 0
    said = " ".join(capsys.readouterr().err.split())
    for name in PROTOCOLS:
        assert f"{name} skipped" in said
    assert "set FORECAST_REAL_DATA" in said


def test_absent_data_cannot_be_prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_REAL_DATA", str(tmp_path))
    assert run(main, ["prepare", "bpic2012", str(tmp_path / "out")], "benchmarks.real") == 5
    assert not (tmp_path / "out").exists()
