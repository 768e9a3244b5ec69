"""CSV files: every record that has as many cells as the header, as text, and the others by line."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from forecast.errors import DataError, ForecastError
from forecast.tables.models import TABLES
from forecast.tables.records import BROKEN, Records, find_records
from forecast.tables.source import Faults, Source, check_header, read_regular_file

__all__ = ["read_csv"]

_BOM: Final = b"\xef\xbb\xbf"
_OTHER_SEPARATORS: Final = {";": "';'", "\t": "tab", "|": "'|'"}


def read_csv(path: Path) -> Source:
    """Read a CSV file as text: "007", "NA" and 9007199254740993 stay what they are.

    Raises DataError when no record of it can be trusted: not UTF-8, no header, other separator, column names
    twice or blank, no record with as many cells as the header.
    """
    content = read_regular_file(path).removeprefix(_BOM)
    _check_utf8(content)
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")  # line ends of the classic Macintosh
    records = find_records(content)
    if not len(records.start):
        raise DataError("is empty; expected a header line", code="empty_file")
    names = _header(_raw(content, records, np.array([0]))[0])
    rows = Records(records.start[1:], records.end[1:], records.line[1:], records.cells[1:])
    whole = rows.cells == len(names)
    faults = _faults(rows, np.flatnonzero(~whole), len(names))
    return Source(
        file=path.name,
        read=len(whole),
        cells=_split(content, rows, whole, names),
        record=np.flatnonzero(whole),
        lines=lambda which: rows.line[which],
        raw=lambda which: _raw(content, rows, which),
        faults=faults,
    )


def _check_utf8(content: bytes) -> None:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError("is UTF-16; save it as UTF-8", code="not_utf8")
    try:
        content.isascii() or content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"is not UTF-8: byte 0x{content[error.start]:02x} in line {line}; save it as UTF-8",
            code="not_utf8",
        ) from error


def _header(text: str) -> list[str]:
    try:
        names = next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise DataError(f"has a header that cannot be read: {error}", code="bad_header") from error
    contract = {name for columns in TABLES.values() for name in columns}
    for separator, shown in _OTHER_SEPARATORS.items():
        parts = text.replace('"', "").split(separator)
        if len(contract.intersection(parts)) > max(1, len(contract.intersection(names))):
            raise DataError(f"separates its cells by {shown}; expected ','", code="wrong_separator")
    check_header(names)
    return names


def _faults(rows: Records, odd: NDArray[np.int64], expected: int) -> Faults:
    cells = rows.cells[odd]
    counts, how_many = np.unique(cells, return_counts=True)
    # Off by the same number everywhere is one fault of the file, not one of each row.
    if len(odd) > 1 and len(odd) == len(rows.cells) and how_many.max() == len(odd) and counts[0] != BROKEN:
        raise DataError(
            f"has {counts[0]} cells in every row where the header has {expected}; make them agree",
            code="cell_count",
        )
    faults = Faults()
    broken = cells == BROKEN
    reason = "a quote inside a cell, or one that is never closed; double it or quote the whole cell"
    faults.add(odd[broken], "bad_quotes", [reason] * int(broken.sum()))
    wrong = ~broken
    faults.add(
        odd[wrong], "cell_count", [f"{count} cells where the header has {expected}" for count in cells[wrong]]
    )
    return faults


def _split(content: bytes, rows: Records, whole: NDArray[np.bool_], names: list[str]) -> pa.Table:
    """The cells of the whole records, all text."""
    if not whole.any():
        return pa.table({name: pa.array([], pa.large_string()) for name in names})
    # With nothing to leave out the text is parsed where it lies.
    if whole.all():
        text = memoryview(content)[int(rows.start[0]) :]
    else:
        text = memoryview(
            b"\n".join(
                content[start:end]
                for start, end in zip(rows.start[whole].tolist(), rows.end[whole].tolist(), strict=True)
            )
        )
    longest = int((rows.end - rows.start)[whole].max())
    table = pyarrow.csv.read_csv(
        pa.BufferReader(pa.py_buffer(text)),
        # A record must fit into a block.
        read_options=pyarrow.csv.ReadOptions(column_names=names, block_size=max(1 << 22, 2 * longest + 1024)),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=b'"' in content),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: pa.large_string() for name in names},
            strings_can_be_null=False,
            quoted_strings_can_be_null=False,
            check_utf8=False,
        ),
    )
    if table.num_rows != int(whole.sum()):
        raise ForecastError(
            f"{table.num_rows} rows were split where {int(whole.sum())} were found; report the file"
        )
    return table


def _raw(content: bytes, rows: Records, which: NDArray[np.int64]) -> list[str]:
    return [content[rows.start[one] : rows.end[one]].decode() for one in which.tolist()]
