"""From cells to values, a whole column at once. Every function also says which cells it could not read.

Cells are text, or typed where a Parquet file has types. What is ambiguous is not guessed: a number with a
comma, a count of seconds where a date should be, an id stored as floating point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forecast.errors import DataError, UsageError
from forecast.tables.tables import MOMENT, TEXT

__all__ = ["Parsed", "check_zone", "dates", "flags", "integers", "moments", "numbers", "texts"]

_NUMBER: Final = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?$"
_DAY: Final = r"\d{4}-\d{2}-\d{2}"
_CLOCK: Final = r"[T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
_OFFSET: Final = r"(Z|z|[+-]\d{2}(:?\d{2})?)"
_ZONED: Final = f"^{_DAY}{_CLOCK} ?{_OFFSET}$"
_NAIVE: Final = f"^{_DAY}({_CLOCK})?$"
_MIDNIGHT: Final = rf"^{_DAY}([T ]00:00(:00(\.0+)?)?{_OFFSET}?)?$"
_TRUE: Final = ("true", "1", "yes")
_FALSE: Final = ("false", "0", "no")
_MAX_EXACT: Final = 2.0**53

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Parsed:
    """A column that was read.

    column : (n,) its values, unknown where the cell is empty or bad
    bad : (n,) whether the cell holds something that is no such value
    naive : number of moments without zone, offsets : the offsets of the others, shown when they are mixed
    """

    column: pd.Series
    bad: Bools
    naive: int = 0
    offsets: frozenset[str] = frozenset()


def check_zone(zone: str) -> None:
    """Raise UsageError if the system knows no time zone of that name."""
    try:
        ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError
        raise UsageError(
            f"'{zone}' is not a time zone; expected a name such as UTC or Europe/Rome", code="bad_zone"
        ) from error


def texts(cells: pa.ChunkedArray, name: str, *, exact: bool = False) -> Parsed:
    """Text as it stands; a cell of white space only is unknown.

    With `exact` (ids) a column stored as floating point is refused: 9007199254740993 has become ...992 there.
    """
    kind = cells.type
    if exact and (pa.types.is_floating(kind) or pa.types.is_temporal(kind)):
        raise DataError(
            f"stores {name} as {kind}, which does not keep ids; store them as text or integers",
            code="wrong_type",
        )
    text = cells if pa.types.is_large_string(kind) else cells.cast(pa.large_string())
    blank = pc.equal(pc.utf8_trim_whitespace(text), "")
    if pc.any(blank).as_py():
        text = pc.if_else(blank, pa.scalar(None, pa.large_string()), text)
    return Parsed(pd.Series(text.to_pandas(types_mapper=lambda _: TEXT)), np.zeros(len(text), bool))


def numbers(cells: pa.ChunkedArray, name: str) -> Parsed:
    """Finite numbers with a decimal point."""
    kind = cells.type
    if pa.types.is_decimal(kind):
        # Arrow's own cast is off by a bit in every tenth one; their text gives the nearest float.
        cells, kind = cells.cast(pa.large_string()), pa.large_string()
    if _is_number(kind) or pa.types.is_null(kind):
        values = cells.cast(pa.float64(), safe=False)
        return _finite(values, pc.is_null(cells))
    text = _text(cells, name, "a number")
    empty = pc.is_null(text)
    try:
        return _finite(text.cast(pa.float64()), empty)
    except pa.ArrowInvalid:
        fits = pc.fill_null(pc.match_substring_regex(text, _NUMBER), False)
        plain = pc.utf8_ltrim(pc.if_else(fits, text, pa.scalar(None, pa.large_string())), characters="+")
        return _finite(plain.cast(pa.float64()), empty)


def integers(cells: pa.ChunkedArray, name: str) -> Parsed:
    """Whole numbers, held as float64 (unknown is NaN)."""
    parsed = numbers(cells, name)
    values = parsed.column.to_numpy()
    whole = np.isnan(values) | ((values == np.floor(values)) & (np.abs(values) <= _MAX_EXACT))
    return Parsed(parsed.column.where(whole), parsed.bad | ~whole)


def flags(cells: pa.ChunkedArray, name: str) -> Parsed:
    """true or false (also 1 and 0, yes and no), as float64 1, 0 and NaN."""
    if pa.types.is_boolean(cells.type) or pa.types.is_null(cells.type):
        values = cells.cast(pa.uint8())
        return Parsed(_floats(values), np.zeros(len(cells), bool))
    if pa.types.is_integer(cells.type):
        cells = cells.cast(pa.large_string())
    text = pc.utf8_lower(_text(cells, name, "true or false"))
    true = pc.is_in(text, value_set=pa.array(_TRUE, pa.large_string()))
    known = pc.is_in(text, value_set=pa.array(_TRUE + _FALSE, pa.large_string()))
    values = pc.if_else(known, true, pa.scalar(None, pa.bool_())).cast(pa.uint8())
    return Parsed(_floats(values), _bools(pc.and_(pc.is_valid(text), pc.invert(known))))


def dates(cells: pa.ChunkedArray, name: str) -> Parsed:
    """Calendar days; a time of day is accepted only where it is midnight, the day is the one written."""
    kind = cells.type
    if pa.types.is_temporal(kind) and not pa.types.is_time(kind):
        values = _micros(cells, name, getattr(kind, "tz", None))
        values = values.dt.tz_localize(None) if isinstance(values.dtype, pd.DatetimeTZDtype) else values
        day = values.dt.normalize()
        late = (values != day).to_numpy() & values.notna().to_numpy()
        return Parsed(day.mask(late), late)
    text = _text(cells, name, "a date")
    fits = pc.fill_null(pc.match_substring_regex(text, _MIDNIGHT), False)
    day = pc.utf8_slice_codeunits(pc.if_else(fits, text, pa.scalar(None, pa.large_string())), 0, 10)
    values = pd.to_datetime(_strings(day), format="%Y-%m-%d", errors="coerce").astype("datetime64[us]")
    return Parsed(values, values.isna().to_numpy() & _bools(pc.is_valid(text)))


def moments(cells: pa.ChunkedArray, name: str, zone: str) -> Parsed:
    """ISO 8601 moments, each converted to UTC by its own offset; those without one are read in `zone`.

    In the hour a clock skips, the moment is the first one after; in the hour it repeats, the earlier.
    """
    kind = cells.type
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        return Parsed(_micros(cells, name, "UTC"), np.zeros(len(cells), bool))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        local = _micros(cells, name, None)
        return Parsed(_localized(local, zone), np.zeros(len(cells), bool), naive=int(local.notna().sum()))
    text = _text(cells, name, "a moment")
    try:
        # All with zone and well written, as nearly always.
        values = _series(text.cast(pa.timestamp("us", "UTC")))
        return Parsed(values, np.zeros(len(text), bool), offsets=_offsets(text))
    except pa.ArrowInvalid:
        return _moments_one_by_one(text, zone)


def _moments_one_by_one(text: pa.ChunkedArray, zone: str) -> Parsed:
    zoned = _bools(pc.fill_null(pc.match_substring_regex(text, _ZONED), False))
    naive = _bools(pc.fill_null(pc.match_substring_regex(text, _NAIVE), False))
    # Nanoseconds would narrow the years that can be held; nothing is recorded that finely.
    series = _strings(pc.replace_substring_regex(text, r"(\.\d{6})\d+", r"\1"))
    values = pd.Series(pd.NaT, index=series.index, dtype=MOMENT)
    if zoned.any():
        parsed = pd.to_datetime(series[zoned], format="ISO8601", utc=True, errors="coerce")
        values[zoned] = parsed.astype(MOMENT)
    if naive.any():
        local = pd.to_datetime(series[naive], format="ISO8601", errors="coerce").astype("datetime64[us]")
        values[naive] = _localized(local, zone)
    known = values.notna().to_numpy()
    bad = ~known & series.notna().to_numpy()
    return Parsed(
        values, bad, naive=int((naive & known).sum()), offsets=_offsets(text.filter(pa.array(zoned)))
    )


def _localized(local: pd.Series, zone: str) -> pd.Series:
    first = np.ones(len(local), bool)
    zoned = local.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    in_utc: pd.Series = zoned.dt.tz_convert("UTC").astype(MOMENT)
    return in_utc


def _offsets(zoned: pa.ChunkedArray) -> frozenset[str]:
    """The different offsets of moments that all have one."""
    other = zoned.filter(pc.invert(pc.fill_null(pc.ends_with(zoned, "Z"), True)))
    found = {"Z"} if len(other) < len(zoned) - zoned.null_count else set()
    if len(other):
        offset = pc.struct_field(pc.extract_regex(other, "(?P<offset>[Zz]|[+-][0-9:]+)$"), "offset")
        found |= {{"z": "Z", "+00:00": "Z"}.get(one, one) for one in pc.unique(offset).to_pylist()}
    return frozenset(found)


def _micros(cells: pa.ChunkedArray, name: str, zone: str | None) -> pd.Series:
    """Typed moments in microseconds; finer digits are cut off, as nothing is recorded that finely."""
    try:
        return _series(cells.cast(pa.timestamp("us", zone), safe=getattr(cells.type, "unit", "us") != "ns"))
    except pa.ArrowInvalid as error:
        raise DataError(f"holds a moment in {name} that no calendar has", code="wrong_type") from error


def _text(cells: pa.ChunkedArray, name: str, wanted: str) -> pa.ChunkedArray:
    """Cells as trimmed text, null where nothing is left; raises DataError for another type of column."""
    if pa.types.is_null(cells.type):
        return cells.cast(pa.large_string())
    if not pa.types.is_large_string(cells.type):
        raise DataError(f"stores {name} as {cells.type}; expected {wanted}", code="wrong_type")
    text = pc.utf8_trim_whitespace(cells)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.large_string()), text)


def _finite(values: pa.ChunkedArray, empty: pa.ChunkedArray) -> Parsed:
    numbers = _floats(values)
    finite = np.isfinite(numbers.to_numpy())
    return Parsed(numbers.where(finite), ~finite & ~_bools(empty))


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def _floats(values: Any) -> pd.Series:
    return pd.Series(values.cast(pa.float64()).to_numpy())


def _bools(mask: Any) -> Bools:
    found: Bools = mask.to_numpy().astype(bool)
    return found


def _series(moments: pa.ChunkedArray) -> pd.Series:
    return pd.Series(moments.to_pandas())


def _strings(text: pa.ChunkedArray) -> pd.Series:
    return pd.Series(text.to_pandas(types_mapper=lambda _: TEXT))
