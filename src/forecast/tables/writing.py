"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import secrets
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from forecast.errors import OutputError

__all__ = ["table_bytes", "write_bytes", "write_table"]

# A spreadsheet runs a cell that begins so (CWE-1236), also in the full-width forms of an Asian keyboard.
FORMULA_SIGNS: Final = ("=", "+", "-", "@", "\t", "\r", "\0", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def write_bytes(path: Path, content: bytes) -> None:
    """Put `content` at `path`; a reader meets the old file or the new one, never half of one.

    Written under a temporary name in the same folder, flushed to disk, renamed. Nothing is left behind when
    that fails. Raises OutputError.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OutputError(
                f"{path} cannot be written: {error.strerror or error}; check the folder, its rights and the "
                "free space",
                code="cannot_write",
            ) from error
        raise


def write_table(frame: pd.DataFrame, path: Path, *, guard_formulas: bool = False) -> None:
    """Write a frame as CSV or Parquet, by the ending of `path`, whole or not at all.

    In CSV, moments are ISO 8601 with `Z`, dates plain, unknown values empty, numbers with a decimal point.
    With `guard_formulas` text cells a spreadsheet would run get a leading apostrophe: for tables that people
    open, not for data folders. Raises OutputError.
    """
    path = Path(path)
    write_bytes(path, table_bytes(frame, path, guard_formulas=guard_formulas))


def table_bytes(frame: pd.DataFrame, path: Path, *, guard_formulas: bool = False) -> bytes:
    """What `write_table` writes to `path`: equal frames give equal bytes."""
    if path.suffix == ".csv":
        shown = pd.DataFrame({name: _as_text(frame[name], guard_formulas) for name in frame.columns})
        if guard_formulas:
            shown.columns = _guarded(pd.Series(shown.columns, dtype="str")).to_numpy(object)
        text = shown.to_csv(index=False, lineterminator="\n")
        if "\r" in text:
            # Before Python 3.13 the csv module leaves a cell with a bare carriage return unquoted.
            text = shown.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)
        return text.encode()
    if path.suffix == ".parquet":
        sink = io.BytesIO()
        # With checksums a flipped bit is a damaged file to the reader, not another amount.
        frame.to_parquet(sink, index=False, engine="pyarrow", write_page_checksum=True)
        return sink.getvalue()
    raise OutputError(
        f"{path} has no ending that names a format; expected .csv or .parquet", code="unknown_format"
    )


def _as_text(column: pd.Series, guard_formulas: bool) -> pd.Series:
    """A column as CSV shows it; unknown stays missing."""
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return _moments_as_text(column.dt.tz_convert("UTC").dt.tz_localize(None), "Z")
    if pd.api.types.is_datetime64_dtype(column.dtype):
        if column.equals(column.dt.normalize()):
            return _cast_to_text(column.dt.as_unit("s").astype("date32[pyarrow]"))
        return _moments_as_text(column, "")
    if pd.api.types.is_bool_dtype(column.dtype):
        return column.map({True: "true", False: "false"}).astype("str")
    if pd.api.types.is_float_dtype(column.dtype):
        # 24000.0 is how a machine says 24000; shortest form that reads back to the same number.
        return _cast_to_text(column)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return column
    texts = column.astype("str")
    return _guarded(texts) if guard_formulas else texts


def _moments_as_text(column: pd.Series, suffix: str) -> pd.Series:
    micros = column.dt.as_unit("us")
    whole = micros.dropna().astype("int64").mod(1_000_000).eq(0).all()
    moments = pa.array(micros, from_pandas=True).cast(pa.timestamp("s" if whole else "us"))
    texts = pc.strftime(moments, format=f"%Y-%m-%dT%H:%M:%S{suffix}")
    return _text_series(texts, column.index)


def _text_series(texts: pa.Array, index: pd.Index) -> pd.Series:
    # The bare array: a Series would be aligned to the index, and rows of a part of a table lost.
    return pd.Series(
        texts.to_pandas(types_mapper=lambda _: pd.StringDtype(na_value=np.nan)).array, index=index
    )


def _cast_to_text(column: pd.Series) -> pd.Series:
    texts = pa.array(column, from_pandas=True).cast(pa.large_string())
    return _text_series(texts, column.index)


def _guarded(texts: pd.Series) -> pd.Series:
    return texts.where(~texts.str.startswith(FORMULA_SIGNS, na=False), "'" + texts)


def _sync_folder(folder: Path) -> None:
    """The rename itself must survive a power cut; systems that cannot open a folder promise it anyway."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
