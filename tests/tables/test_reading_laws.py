"""Laws of reading, whatever happens to the files: nothing is lost, nothing moves, nothing crashes."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_company import COMPANY, write_company

from forecast.tables import TABLES, CheckReport, FolderError, Reading, Tables, read_folder, write_folder

MODEST = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
CELLS = st.sampled_from(
    ["", " ", "NA", "007", "-1", "1e400", "nan", "won", "2025-13-01", "2025-01-01T00:00:00", '"', '"a\nb"',
     "x" * 300, "\x00", "\r", ",", ";", "é", "9007199254740993", "=1+1", "2026Q1", "*"]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, str]:
    """The company with some cells replaced, rows repeated, cut, or dropped."""
    texts = {}
    for table in draw(st.sets(st.sampled_from(list(COMPANY)), min_size=1, max_size=4)):
        lines = COMPANY[table].splitlines()
        for _ in range(draw(st.integers(1, 4))):
            place = draw(st.integers(1, len(lines) - 1))
            cells = lines[place].split(",")
            action = draw(st.sampled_from(["cell", "repeat", "cut", "longer", "drop"]))
            if action == "cell":
                cells[draw(st.integers(0, len(cells) - 1))] = draw(CELLS)
                lines[place] = ",".join(cells)
            elif action == "repeat":
                lines.append(lines[place])
            elif action == "cut":
                lines[place] = lines[place][: draw(st.integers(1, 20))]
            elif action == "longer":
                lines[place] += "," + draw(CELLS)
            elif len(lines) > 2:
                del lines[place]
        texts[table] = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\r\n"]))
    return texts


def report_of(**changed: str | bytes) -> tuple[CheckReport, Reading | None]:
    with tempfile.TemporaryDirectory() as made:
        folder = write_company(Path(made) / "company", **changed)
        try:
            reading = read_folder(folder)
        except FolderError as error:
            return error.report, None
    return reading.report, reading


@MODEST
@given(damaged())
def test_every_row_read_is_loaded_or_accounted_for(texts: dict[str, str]) -> None:
    report, reading = report_of(**texts)
    for table, count in report.tables.items():
        assert count.read == count.loaded + count.duplicates + count.superseded + count.quarantined
        rows = report.quarantine[report.quarantine["table"] == table]
        assert len(rows) == count.quarantined
        assert rows["line"].is_unique
        lines = texts.get(table, COMPANY[table]).replace("\r\n", "\n").split("\n")
        for line, raw in zip(rows["line"], rows["raw"], strict=True):
            # The raw text stands in that line of the file, and in the next ones where it has line breaks.
            assert "\n".join(lines[line - 1 :]).startswith(raw)
        if reading is not None:
            assert len(reading.tables[table]) == count.loaded
    assert json.loads(report.to_json()) == report.to_dict()


@MODEST
@given(damaged())
def test_ids_that_load_stood_in_the_file(texts: dict[str, str]) -> None:
    _, reading = report_of(**texts)
    if reading is None:
        return
    for table in ("deals", "leads", "users"):
        for loaded in reading.tables[table].iloc[:, 0]:
            assert loaded in texts.get(table, COMPANY[table])


@MODEST
@given(st.sampled_from(list(COMPANY)), st.binary(max_size=300))
def test_no_bytes_crash_the_reader(table: str, content: bytes) -> None:
    report_of(**{table: content})
    report_of(**{table: COMPANY[table].encode() + content})


@MODEST
@given(st.sampled_from(list(COMPANY)), st.data())
def test_a_file_cut_anywhere_loads_a_prefix_or_is_refused(table: str, data: st.DataObject) -> None:
    text = COMPANY[table]
    cut = data.draw(st.integers(1, len(text) - 1))
    report, reading = report_of(**{table: text[:cut]})
    if reading is not None:
        whole = text[:cut].count("\n") - 1 + (not text[:cut].endswith("\n"))
        assert report.tables[table].read == whole


@MODEST
@given(st.integers(0, 2**32))
def test_the_order_of_rows_and_columns_does_not_change_the_content(seed: int) -> None:
    shuffle = np.random.default_rng(seed)
    texts = {}
    for table in COMPANY:
        # Without the one row that has a comma inside a cell, so that cells can be split by commas.
        rows = [line.replace("retail, fashion", "retail").split(",") for line in COMPANY[table].splitlines()]
        order = list(range(len(rows[0])))
        shuffle.shuffle(order)
        body = rows[1:]
        shuffle.shuffle(body)
        texts[table] = "\n".join(",".join(row[place] for place in order) for row in [rows[0], *body])
    _, reading = report_of(**texts)
    _, plain = report_of(deals=COMPANY["deals"].replace("retail, fashion", "retail"))
    assert reading is not None
    assert plain is not None
    assert reading.tables.fingerprint == plain.tables.fingerprint
    for table in TABLES:
        key = list(TABLES[table])
        pd.testing.assert_frame_equal(
            reading.tables[table][key].sort_values(key, ignore_index=True),
            plain.tables[table][key].sort_values(key, ignore_index=True),
        )


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@MODEST
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=6), st.sampled_from(["csv", "parquet"]))
def test_any_text_comes_back_as_it_was_written(
    texts: list[tuple[str, str]], kind: Literal["csv", "parquet"]
) -> None:
    _, clean = report_of()
    assert clean is not None
    deals = pd.DataFrame(
        {
            "deal_id": [f"D{place}" for place in range(len(texts))],
            "created_at": pd.Timestamp("2025-01-01", tz="UTC"),
            "source": [source for source, _ in texts],
            "note": [note for _, note in texts],
        }
    )
    moves = {"recorded_at": pd.Timestamp("2025-01-01", tz="UTC"), "field": "stage", "value": "offer"}
    events = deals[["deal_id"]].assign(**moves)
    tables = Tables.from_frames(stages=clean.tables.stages, deals=deals, deal_events=events)
    with tempfile.TemporaryDirectory() as folder:
        write_folder(tables, Path(folder), format=kind)
        again = read_folder(folder).tables
    pd.testing.assert_frame_equal(again.deals, tables.deals)
    assert again.fingerprint == tables.fingerprint
