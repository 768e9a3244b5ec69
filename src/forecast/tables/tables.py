"""One company's data: eight frames that keep the contract."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pandera.errors import SchemaError

from forecast.errors import DataError
from forecast.tables.models import DEFAULTS, OPEN_TABLES, TABLES, DealEvents, schema_of

__all__ = ["MOMENT", "TEXT", "Tables", "as_arrow", "empty_tables", "is_among", "row_hashes"]

TEXT: Final = pd.StringDtype(na_value=np.nan)
MOMENT: Final = pd.DatetimeTZDtype("us", "UTC")


@dataclass(frozen=True, eq=False)
class Tables:
    """Immutable snapshot of a company's data; what is optional and was not given is an empty frame.

    Ids and text are `str` with NaN for unknown; `*_at` datetime64[us, UTC]; `*_on` and `valid_from`
    datetime64[us] at midnight; amounts, shares and rates float64; `position` int64; `active` bool.
    Rows stand in the order of the file.
    """

    stages: pd.DataFrame
    deals: pd.DataFrame
    deal_events: pd.DataFrame
    activities: pd.DataFrame
    users: pd.DataFrame
    quotas: pd.DataFrame
    leads: pd.DataFrame
    fx_rates: pd.DataFrame

    @classmethod
    def from_frames(cls, **frames: pd.DataFrame) -> Tables:
        """Tables from frames by name; absent tables are empty, absent columns unknown or their default.

        Columns get the types of the contract and are checked against the models; the frames given stay as
        they are. Raises DataError for an unknown table or column, a value off contract, a moment without
        zone. Relations between tables are not checked: `read_folder` does that.
        """
        for name in frames.keys() - TABLES.keys():
            raise DataError(
                f"'{name}' is not a table; expected one of {', '.join(TABLES)}", code="unknown_table"
            )
        return cls(
            **{
                name: _conform(name, frames[name]) if name in frames else _empty(name).copy()
                for name in TABLES
            }
        )

    def __getitem__(self, name: str) -> pd.DataFrame:
        """The frame of a table by its name."""
        if name not in TABLES:
            raise KeyError(name)
        frame: pd.DataFrame = getattr(self, name)
        return frame

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the content: the same for any order of rows and columns and wherever it was read from."""
        return hashlib.sha256(";".join(f"{n}:{d}" for n, d in self.fingerprints.items()).encode()).hexdigest()

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """SHA-256 of the content of each table, by name; a custom attribute that no row fills is no content."""
        found = {}
        for name, contract in TABLES.items():
            frame = self[name]
            filled = [one for one in frame.columns if one in contract or frame[one].notna().any()]
            digest = hashlib.sha256(f"{name}:{','.join(sorted(filled))};".encode())
            digest.update(np.sort(row_hashes(frame[filled])).astype("<u8").tobytes())
            found[name] = digest.hexdigest()
        return found

    @property
    def default_as_of(self) -> pd.Timestamp:
        """The first moment at which everything in the data is known. Raises DataError without any event."""
        newest = self.deal_events[DealEvents.recorded_at].max()
        if pd.isna(newest):
            raise DataError(
                "deal_events has no rows, so there is no moment to forecast from; give --as-of or add events",
                code="no_events",
            )
        known_after: pd.Timestamp = newest + pd.Timedelta(1, "us")
        return known_after


def empty_tables() -> Tables:
    """Tables without a row, with all columns in their types."""
    return Tables.from_frames()


def row_hashes(frame: pd.DataFrame) -> NDArray[np.uint64]:
    """(n,) 64-bit hash of each row's content; neither the order of columns nor that of rows matters."""
    total = np.zeros(len(frame), np.uint64)
    for name in frame.columns:
        # The column's name salts its values, else swapping two columns would go unseen.
        salt = np.uint64(int.from_bytes(hashlib.sha256(str(name).encode()).digest()[:8], "little"))
        total += _mixed(_value_hashes(frame[name]) ^ salt)
    return _mixed(total)


def _value_hashes(column: pd.Series) -> NDArray[np.uint64]:
    """(n,) hash of each value; the same for the same content whatever its place in memory."""
    if column.dtype == TEXT:
        encoded = pc.dictionary_encode(as_arrow(column))
        values = encoded.dictionary.to_pylist()
        hashes = np.zeros(len(values) + 1, np.uint64)  # the last one stands for unknown
        hashes[:-1] = pd.util.hash_array(np.array(values, object), categorize=False) if values else 0
        of_rows: NDArray[np.uint64] = hashes[pc.fill_null(encoded.indices, len(values)).to_numpy()]
        return of_rows
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(np.float64) + 0.0  # -0.0 is 0.0
        bits: NDArray[np.uint64] = np.where(np.isnan(values), np.nan, values).view(np.uint64)
        return _mixed(bits)
    if pd.api.types.is_bool_dtype(column.dtype):
        return _mixed(column.to_numpy().astype(np.uint64))
    return _mixed(column.astype("int64").to_numpy().view(np.uint64))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Finaliser of splitmix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def as_arrow(column: pd.Series) -> pa.Array:
    """A text column as one Arrow array; null is unknown."""
    array = pa.array(column, from_pandas=True)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def is_among(column: pd.Series, members: pd.Series) -> NDArray[np.bool_]:
    """(n,) whether each text of `column` is one of `members`; unknown is not.

    Series.isin makes a Python object of every member first, which takes seconds for a million ids.
    """
    found = pc.is_in(as_arrow(column), value_set=pc.unique(as_arrow(members)), skip_nulls=True)
    mask: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return mask


def _conform(table: str, frame: pd.DataFrame) -> pd.DataFrame:
    """A frame with the contract's columns first, in the contract's types, then custom attributes."""
    schema = schema_of(table)
    custom = [name for name in frame.columns if name not in schema.columns]
    if custom and table not in OPEN_TABLES:
        raise DataError(
            f"{table} has no column {custom[0]!r}; expected {', '.join(schema.columns)}",
            code="unknown_column",
        )
    columns = {name: _typed(table, name, frame) for name in schema.columns}
    columns |= {str(name): _text(frame[name]) for name in custom}
    conformed = pd.DataFrame(columns, index=frame.index).reset_index(drop=True)
    check_contract(table, conformed)
    return conformed


@cache
def _empty(table: str) -> pd.DataFrame:
    return _conform(table, pd.DataFrame())


def check_contract(table: str, frame: pd.DataFrame) -> None:
    """Raise DataError at the first value that is off the table's model."""
    try:
        schema_of(table).validate(frame)
    except SchemaError as error:
        raise DataError(
            f"{table} is off contract: {' '.join(str(error).split())[:300]}", code="off_contract"
        ) from error


def _typed(table: str, name: str, frame: pd.DataFrame) -> pd.Series:
    spec = schema_of(table).columns[name]
    if name in frame.columns:
        column = frame[name]
        if spec.default is not None:
            column = column.replace("", None).astype(object).fillna(spec.default)
    else:
        column = pd.Series(DEFAULTS[table].get(name), index=frame.index, dtype=object)
    kind = str(spec.dtype)
    try:
        typed: pd.Series = _TYPES[kind](column)
        return typed
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"{table}.{name} cannot be read as {kind}: {error}; convert the column first", code="wrong_type"
        ) from error


def _text(column: pd.Series) -> pd.Series:
    """Text; what is empty or white space only is unknown, as it would be in a file."""
    text = column.astype(TEXT)
    return text.mask(text.str.strip() == "")


def _moment(column: pd.Series) -> pd.Series:
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        return column.astype(MOMENT)
    if column.notna().any() and pd.api.types.is_datetime64_dtype(column.dtype):
        raise ValueError("its moments have no zone")
    return pd.Series(pd.to_datetime(column.astype(object), utc=True), index=column.index).astype(MOMENT)


def _date(column: pd.Series) -> pd.Series:
    dates = pd.Series(pd.to_datetime(column.astype(object)), index=column.index).astype("datetime64[us]")
    if not dates.dropna().equals(dates.dropna().dt.normalize()):
        raise ValueError("its dates have a time of day")
    return dates


_TYPES: Final[dict[str, Any]] = {
    "string[pyarrow]": _text,
    "float64": lambda column: column.astype("float64"),
    "int64": lambda column: column.astype("int64"),
    "bool": lambda column: column.astype("bool"),
    "datetime64[us, UTC]": _moment,
    "datetime64[ns]": _date,
}
