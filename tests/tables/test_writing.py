"""A file is whole or not there, and a spreadsheet runs nothing of it."""

from __future__ import annotations

import csv
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.errors import OutputError
from forecast.tables import Reading, table_bytes, write_bytes, write_folder, write_table

TRIGGERS = "=+-@\t\r\0＝＋－＠"


def test_content_replaces_content(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for content in (b"", b"first", b"second\0"):
        write_bytes(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "out"
    write_bytes(path, b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OutputError, match="cannot be written: No space left on device") as caught:
        write_bytes(path, b"new")
    assert caught.value.exit_code == 8
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]


def test_an_interruption_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "out", b"new")
    assert os.listdir(tmp_path) == []


def test_the_content_is_on_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = []
    fsync, replace = os.fsync, os.replace

    def seen_fsync(handle: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "sync file")
        fsync(handle)

    def seen_replace(source: Path, target: Path) -> None:
        steps.append("rename")
        assert Path(source).parent == Path(target).parent
        assert Path(source).read_bytes() == b"content"
        replace(source, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(os, "replace", seen_replace)
    write_bytes(tmp_path / "out", b"content")
    assert steps == ["sync file", "rename", "sync folder"]


def test_where_nothing_can_be_written_it_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken.csv").mkdir()
    frame = pd.DataFrame({"a": [1]})
    for path in (tmp_path / "absent" / "out.csv", tmp_path / "taken.csv", tmp_path / "out.xlsx"):
        with pytest.raises(OutputError, match=path.name) as caught:
            write_table(frame, path)
        assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["taken.csv"]


def test_csv_says_values_as_the_contract_does(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "id": ["007", None, 'a "b", c'],
            "amount": [24000.0, 0.1, np.nan],
            "count": [1, 2, 3],
            "on": pd.to_datetime(["2025-01-31", None, "2026-02-01"]),
            "at": pd.to_datetime(["2025-01-31T09:00+01:00", None, "2026-02-01T00:00Z"], utc=True),
            "precise_at": pd.to_datetime(["2025-01-31T09:00:00.25Z", None, None], utc=True),
            "local": pd.to_datetime(["2025-01-31T09:00", None, None]),
            "active": [True, False, True],
        }
    )
    before = frame.copy(deep=True)
    write_table(frame, tmp_path / "out.csv")
    pd.testing.assert_frame_equal(frame, before)
    assert (tmp_path / "out.csv").read_text().splitlines() == [
        "id,amount,count,on,at,precise_at,local,active",
        "007,24000,1,2025-01-31,2025-01-31T08:00:00Z,2025-01-31T09:00:00.250000Z,2025-01-31T09:00:00,true",
        ",0.1,2,,,,,false",
        '"a ""b"", c",,3,2026-02-01,2026-02-01T00:00:00Z,,,true',
    ]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_numbers_read_back_to_the_last_bit(values: list[float]) -> None:
    text = pd.Series(values)
    from forecast.tables.writing import _as_text

    assert [float(shown) for shown in _as_text(text, guard_formulas=True)] == values


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.text(alphabet=st.sampled_from(TRIGGERS + "a1'\"\n, "), max_size=5)
        | st.text(max_size=5).filter(lambda text: text.isprintable()),
        min_size=1,
        max_size=10,
    )
)
def test_no_cell_of_an_export_starts_a_formula(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str]
) -> None:
    path = tmp_path_factory.mktemp("export") / "out.csv"
    write_table(pd.DataFrame({"=name": texts, "amount": -1.0}), path, guard_formulas=True)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["'=name", "amount"]
    assert [text.startswith(tuple(TRIGGERS)) for text, _ in rows] == [False] * len(texts)
    # Numbers stay numbers, and other text stays as it is.
    assert {amount for _, amount in rows} == {"-1"}
    assert [text.removeprefix("'") for text, _ in rows] == [text.removeprefix("'") for text in texts]


def test_data_tables_keep_their_text(tmp_path: Path) -> None:
    write_table(pd.DataFrame({"id": ["=1", "-2", "@x"]}), tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "id\n=1\n-2\n@x\n"


def test_a_part_of_a_table_is_written_like_the_whole(tmp_path: Path) -> None:
    moments = pd.to_datetime(["2026-01-01T00:00", "2026-02-03T04:05", "2026-03-04T00:00"], utc=True)
    frame = pd.DataFrame({"at": moments, "on": moments.tz_localize(None).normalize(), "x": [0.5, 1.0, 2.0]})
    part = table_bytes(frame.iloc[1:], tmp_path / "a.csv").decode().splitlines()
    header = table_bytes(frame, tmp_path / "a.csv").decode().splitlines()[0]
    assert part == [header, "2026-02-03T04:05:00Z,2026-02-03,1", "2026-03-04T00:00:00Z,2026-03-04,2"]


def test_a_folder_does_not_get_two_formats(clean: Reading, tmp_path: Path) -> None:
    write_folder(clean.tables, tmp_path / "data")
    with pytest.raises(OutputError, match=r"already holds stages\.csv"):
        write_folder(clean.tables, tmp_path / "data", format="parquet")
    assert not list((tmp_path / "data").glob("*.parquet"))
    write_folder(clean.tables, tmp_path / "data")


def test_a_folder_that_cannot_be_made_is_an_output_error(clean: Reading, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"):
        write_folder(clean.tables, tmp_path / "file" / "data")
