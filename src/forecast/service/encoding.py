"""From columns to JSON rows: unknown becomes null, moments end in Z, and no NaN ever leaves."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["cells_of", "columns_of", "moment", "rows"]

_FEW: Final = 30  # below, Python is through before numpy begins
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at_us: int) -> str:
    """Microseconds since 1970 as ISO text in UTC.

    >>> moment(1_767_225_600_000_000)
    '2026-01-01T00:00:00Z'
    """
    return (_EPOCH + timedelta(microseconds=int(at_us))).isoformat().replace("+00:00", "Z")


def rows(
    columns: Mapping[str, NDArray[Any]], *, moments: Collection[str] = (), json_texts: Collection[str] = ()
) -> list[dict[str, Any]]:
    """One dict per row, in order, keys in the order of the columns.

    columns : plain arrays of shape (n,); datetime64 are calendar days
    moments : columns of int64 microseconds since 1970
    json_texts : columns that hold JSON as text, put in as what it says
    """
    cells = [
        [json.loads(text) for text in values]
        if name in json_texts
        else cells_of(values, is_moment=name in moments)
        for name, values in columns.items()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def columns_of(frame: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """The columns of a frame as `rows` reads them: moments with a zone become int64 microseconds."""
    return {
        str(name): (
            column.dt.as_unit("us").astype("int64").to_numpy()
            if isinstance(column.dtype, pd.DatetimeTZDtype)
            else column.to_numpy()
        )
        for name, column in frame.items()
    }


def cells_of(values: NDArray[Any], *, is_moment: bool = False) -> list[Any]:
    """(n,) values as JSON takes them."""
    if is_moment:
        told = {at_us: moment(at_us) for at_us in set(values.tolist())}  # most rows of an answer share one
        return [told[at_us] for at_us in values.tolist()]
    kind = values.dtype.kind
    if kind == "f":
        numbers: list[Any] = values.tolist()
        if len(numbers) > _FEW and np.isfinite(values).all():
            return numbers
        # NaN and infinity less themselves are NaN, which counts as true.
        return [None if number - number else number for number in numbers]
    if kind == "M":
        days: list[Any] = values.astype("datetime64[D]").tolist()
        return [None if day is None else day.isoformat() for day in days]
    if kind == "O":
        # A missing text is None in an array and NaN in a frame; NaN is the one value unlike itself.
        return [None if text is None or text != text else str(text) for text in values]
    found: list[Any] = values.tolist()
    return found
