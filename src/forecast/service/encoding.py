"""From columns to JSON rows: unknown becomes null, moments end in Z, and no NaN ever leaves."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["columns_of", "json_rows", "moment", "rows"]

# A NaN would leave as null, without a word: `_cells` has turned it into what it means before.
_encoder: Final = msgspec.json.Encoder()
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def moment(at_us: int) -> str:
    """Microseconds since 1970 as ISO text in UTC.

    >>> moment(1_767_225_600_000_000)
    '2026-01-01T00:00:00Z'
    """
    return (_EPOCH + timedelta(microseconds=int(at_us))).isoformat().replace("+00:00", "Z")


def rows(columns: Mapping[str, NDArray[Any]], *, moments: Collection[str] = ()) -> list[dict[str, Any]]:
    """One dict per row, in order, keys in the order of the columns.

    columns : plain arrays of shape (n,); datetime64 are calendar days
    moments : columns of int64 microseconds since 1970
    """
    cells = [
        _moments(values) if name in moments else _cells(values) for name, values in columns.items()
    ]
    return [dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True)]


def json_rows(
    columns: Mapping[str, NDArray[Any]], *, moments: Collection[str] = (), json_texts: Collection[str] = ()
) -> list[bytes]:
    """The same rows as JSON objects, ready to be sent.

    json_texts : columns that hold JSON as text, put in as they are
    """
    cells = []
    for name, values in columns.items():
        if name in json_texts:
            cells.append([msgspec.Raw(text) for text in values])
        else:
            cells.append(_moments(values) if name in moments else _cells(values))
    encode = _encoder.encode
    return [encode(dict(zip(columns, row, strict=True))) for row in zip(*cells, strict=True)]


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


def _moments(values: NDArray[Any]) -> list[str]:
    """(n,) moments as text; most rows of an answer share one."""
    every: list[int] = values.tolist()
    told = {at_us: moment(at_us) for at_us in set(every)}
    return [told[at_us] for at_us in every]


def _cells(values: NDArray[Any]) -> list[Any]:
    """(n,) values as JSON takes them."""
    kind = values.dtype.kind
    if kind == "f":
        finite = np.isfinite(values)
        numbers: list[Any] = values.tolist()
        if finite.all():
            return numbers
        return [number if known else None for number, known in zip(numbers, finite, strict=True)]
    if kind == "M":
        days = np.datetime_as_string(values, unit="D").tolist()
        return [None if day == "NaT" else day for day in days]
    if kind == "O":
        # A missing text is None in an array and NaN in a frame; NaN is the one value unlike itself.
        return [None if text is None or text != text else str(text) for text in values]
    found: list[Any] = values.tolist()
    return found
