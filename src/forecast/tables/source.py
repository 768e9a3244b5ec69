"""What a file or a table of a database held before anything was understood: cells, and the way back from each
row to its text.
"""

from __future__ import annotations

import csv
import io
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from forecast.errors import DataError

__all__ = ["Faults", "Source", "as_csv", "check_header", "read_regular_file"]

_MAX_BYTES: Final = 4 << 30
_MAX_COLUMNS: Final = 1000
_MAX_NAME: Final = 255

Ints = NDArray[np.int64]


@dataclass
class Faults:
    """Records that do not load, each once: which, and why."""

    records: list[Ints] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    reasons: list[list[str]] = field(default_factory=list)

    def add(self, records: Ints, code: str, reasons: list[str]) -> None:
        """Note that `records` (n,) do not load, each with its reason."""
        if len(records):
            self.records.append(records)
            self.codes.append(code)
            self.reasons.append(reasons)

    def __len__(self) -> int:
        return sum(map(len, self.records))


@dataclass(frozen=True, eq=False)
class Source:
    """One file, or one table of a database.

    file : its name, as messages begin with it
    read : number of records it holds
    cells : the well-formed ones, text or typed columns as the file has them
    record : (rows of cells,) which record each row is
    lines : records -> line of the file (CSV) or row (Parquet), from 1
    raw : records -> their text
    faults : the records that are not well formed
    where : records -> what to call each, in place of file and line; None for a file, whose records have lines
    """

    file: str
    read: int
    cells: pa.Table
    record: Ints
    lines: Callable[[Ints], Ints]
    raw: Callable[[Ints], list[str]]
    faults: Faults = field(default_factory=Faults)
    where: Callable[[Ints], list[str]] | None = None

    @property
    def ordered(self) -> bool:
        """Whether the order of its records means anything: rows of a database have none."""
        return self.where is None


def as_csv(cells: pa.Table, which: Ints) -> list[str]:
    """Rows as a CSV file would have them."""
    texts = []
    for row in cells.take(which).to_pylist():
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow(["" if cell is None else cell for cell in row.values()])
        texts.append(line.getvalue())
    return texts


def read_regular_file(path: Path) -> bytes:
    """Content of a file that is a file: not a link, pipe or device, and not beyond all measure."""
    # O_NONBLOCK: opening a pipe would wait for a writer that never comes.
    flags = (
        os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    )
    if path.is_symlink():
        raise DataError("is a symbolic link; put the file itself there", code="not_a_file")
    try:
        handle = os.open(path, flags)
    except OSError as error:
        raise DataError(f"cannot be opened: {error.strerror}; check its rights", code="unreadable") from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise DataError("is not a regular file; put a file there", code="not_a_file")
    with os.fdopen(handle, "rb") as file:
        if status.st_size > _MAX_BYTES:
            raise DataError(
                f"has {status.st_size:,} bytes, more than {_MAX_BYTES:,}; write it as Parquet",
                code="too_large",
            )
        try:
            content = file.read()
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", code="unreadable") from error
    if not content:
        raise DataError("is empty; expected a header line", code="empty_file")
    return content


def check_header(names: list[Any]) -> None:
    """Raise DataError for column names that cannot be told apart or written down."""
    if len(names) > _MAX_COLUMNS:
        raise DataError(
            f"has {len(names):,} columns, more than {_MAX_COLUMNS:,}; leave out what says nothing of a row",
            code="too_many_columns",
        )
    seen: set[str] = set()
    for place, name in enumerate(names, start=1):
        if not name.strip():
            raise DataError(f"column {place} has no name; name it or leave it out", code="blank_column")
        if name in seen:
            raise DataError(
                f"column {name[:60]!r} appears twice; rename or leave out one", code="duplicate_column"
            )
        if len(name) > _MAX_NAME or not name.isprintable():
            raise DataError(
                f"column {place} has a name of more than {_MAX_NAME} characters or with control characters; "
                f"rename {name[:60]!r}",
                code="bad_column",
            )
        seen.add(name)
