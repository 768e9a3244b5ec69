"""What a cell must be to pass as a value of its column: the models' checks, each with a code and words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from forecast.tables import values
from forecast.tables.source import Faults

__all__ = ["FAILURES", "UNREADABLE", "Sieve", "failures", "parse", "shown"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

FAILURES: Final[dict[str, tuple[str, str]]] = {
    "isin": ("unknown_value", "is not one of {allowed_values}"),
    "str_length": ("too_long", "has more than {max_value} characters"),
    "no_control_character": ("control_character", "holds a control character"),
    "no_nul": ("control_character", "holds a NUL character"),
    "in_range": ("out_of_range", "lies outside {min_value:g} to {max_value:g}"),
    "greater_than": ("out_of_range", "is not greater than {min_value:g}"),
    "less_than_or_equal_to": ("out_of_range", "is greater than {max_value:g}"),
    "from_1970_to_2199": ("out_of_range", "lies outside the years 1970 to 2199"),
    "period_name": ("bad_period", "is not a period; expected 2026Q1, 2026-01 or 2026"),
}
"""Check of a model -> code, and what a value that fails it is."""

UNREADABLE: Final[dict[str, tuple[str, str]]] = {
    "float64": ("bad_number", "is not a number with a decimal point"),
    "int64": ("bad_number", "is not a whole number"),
    "bool": ("bad_flag", "is not true or false"),
    "datetime64[us, UTC]": ("bad_moment", "is not an ISO 8601 moment, e.g. 2026-01-31T09:00:00Z"),
    "datetime64[ns]": ("bad_date", "is not an ISO 8601 date, e.g. 2026-01-31"),
}
"""Type of a column -> code, and what a cell that cannot be read as one is not."""


@dataclass(eq=False)
class Sieve:
    """Which rows have shown a fault. Of several faults of one row only the first is told.

    record : (rows,) record of the file each row is
    bad : (rows,) rows that have shown one
    """

    record: Ints
    faults: Faults
    bad: Bools = field(init=False)

    def __post_init__(self) -> None:
        self.bad = np.zeros(len(self.record), bool)

    def drop(self, bad: Bools, code: str, reasons: Callable[[Ints], list[str]]) -> None:
        """Note the rows `bad` (rows,); `reasons` makes one text for each row number it is given."""
        rows = np.flatnonzero(bad & ~self.bad)
        if len(rows):
            self.faults.add(self.record[rows], code, reasons(rows))
            self.bad[rows] = True


def parse(cells: pa.ChunkedArray, spec: Any, zone: str) -> values.Parsed:
    """Read cells as values of the column that `spec` (of a pandera schema) describes."""
    kind = str(spec.dtype)
    if kind == "datetime64[us, UTC]":
        return values.moments(cells, spec.name, zone)
    if kind == "string[pyarrow]":
        is_id = any(check.name == "no_control_character" for check in spec.checks)
        return values.texts(cells, spec.name, exact=is_id)
    readers = {
        "float64": values.numbers,
        "int64": values.integers,
        "bool": values.flags,
        "datetime64[ns]": values.dates,
    }
    return readers[kind](cells, spec.name)


def failures(spec: Any, column: pd.Series) -> Iterator[tuple[Bools, str, str]]:
    """For each check of the column's model that fails: (rows,) where, its code, its words.

    Unknown values fail nothing here.
    """
    known = column.notna().to_numpy()
    given = column[known]
    if not len(given):
        return
    for check in spec.checks:
        passes = check(given).check_output.to_numpy(bool)
        if passes.all():
            continue
        bad = np.zeros(len(column), bool)
        bad[known] = ~passes
        code, says = FAILURES[check.name]
        told = {
            key: ", ".join(value) if key == "allowed_values" else value
            for key, value in check.statistics.items()
        }
        yield bad, code, says.format(**told)


def shown(value: Any, limit: int = 40) -> str:
    """A value within a reason: quoted, short, in one line."""
    text = str(value)
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
