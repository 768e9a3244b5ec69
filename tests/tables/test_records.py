"""Records are found where Python's csv module finds them, and a wrong quote costs one line."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.tables.records import BROKEN, find_records

ROWS = st.lists(
    st.lists(st.text(alphabet='ab,"\n\r é', max_size=6), min_size=3, max_size=3).filter(any),
    min_size=1,
    max_size=8,
)


def found(text: str) -> list[tuple[str, int, int]]:
    content = text.encode()
    records = find_records(content)
    return [
        (content[start:end].decode(), int(line), int(cells))
        for start, end, line, cells in zip(
            records.start, records.end, records.line, records.cells, strict=True
        )
    ]


@settings(max_examples=200, deadline=None)
@given(ROWS, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
def test_every_record_a_csv_writer_makes_is_found_where_it_stands(
    rows: list[list[str]], line_end: str, quoting: int
) -> None:
    if quoting == csv.QUOTE_MINIMAL:
        # Python before 3.13 does not quote a bare carriage return.
        rows = [[cell.replace("\r", "r") for cell in row] for row in rows]
    text, lines = io.StringIO(), []
    writer = csv.writer(text, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    for row in [["x", "y", "z"], *rows]:
        lines.append(text.getvalue().count("\n") + 1)
        writer.writerow(row)
    records = found(text.getvalue())
    if any(cells == BROKEN for _, _, cells in records):
        # Only a row two of whose lines look like rows by themselves is not believed.
        assert any("\n" in "".join(row) and "".join(row).count(",") >= 2 for row in rows)
        return
    assert [line for _, line, _ in records] == lines
    assert {cells for _, _, cells in records} == {3}
    assert [next(csv.reader([raw])) for raw, _, _ in records if "\n" not in raw and "\r" not in raw] == [
        row for row in [["x", "y", "z"], *rows] if not any(sign in cell for cell in row for sign in "\n\r")
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("\n\r\n", []),
        ("a,b", [("a,b", 1, 2)]),
        ('a,b\n5" pipe,2\n', [("a,b", 1, 2), ('5" pipe,2', 2, 2)]),
        ('a,b\n"x"y,2\n3,4\n', [("a,b", 1, 2), ('"x"y,2', 2, BROKEN), ("3,4", 3, 2)]),
        ('a,b\n1,"2\n3,4', [("a,b", 1, 2), ('1,"2', 2, BROKEN), ("3,4", 3, 2)]),
        (
            'a,b\n1,"2\n3,4\n5,6"\n7,8',
            [("a,b", 1, 2), ('1,"2', 2, BROKEN), ("3,4", 3, 2), ('5,6"', 4, 2), ("7,8", 5, 2)],
        ),
        ('a,b\nq"r,"s\n\nt"\n3,4', [("a,b", 1, 2), ('q"r,"s\n\nt"', 2, 2), ("3,4", 5, 2)]),
        ("a,b\n1\r2,3\n4,5\r\n", [("a,b", 1, 2), ("1\r2,3", 2, BROKEN), ("4,5", 3, 2)]),
        ('a,b\n"1\r2",3\r', [("a,b", 1, 2), ('"1\r2",3', 2, 2)]),
    ],
)  # fmt: skip
def test_odd_texts(text: str, expected: list[tuple[str, int, int]]) -> None:
    assert found(text) == expected
