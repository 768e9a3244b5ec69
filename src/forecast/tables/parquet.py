"""Parquet files: columns as they are typed in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from forecast.errors import DataError
from forecast.tables.source import Source, as_csv, check_header, read_regular_file

__all__ = ["plain", "read_parquet"]

# A few kilobytes of Parquet can unfold to any size.
_MAX_UNFOLDED_BYTES: Final = 16 << 30


def read_parquet(path: Path) -> Source:
    """Read a Parquet file. Raises DataError if it is damaged, unfolds beyond measure or nests values."""
    content = read_regular_file(path)
    try:
        file = pyarrow.parquet.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)
        metadata = file.metadata
        unfolded = sum(metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
        if unfolded > _MAX_UNFOLDED_BYTES:
            raise DataError(f"unfolds to {unfolded:,} bytes; split the data", code="too_large")
        check_header(file.schema_arrow.names)
        cells = pa.table([plain(column) for column in file.read().columns], names=file.schema_arrow.names)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise DataError(
            f"is not a whole Parquet file: {reason}; write it again", code="bad_parquet"
        ) from error
    rows = np.arange(cells.num_rows)
    return Source(
        file=path.name,
        read=cells.num_rows,
        cells=cells,
        record=rows,
        lines=lambda which: which + 1,
        raw=lambda which: as_csv(cells, which),
    )


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A dictionary of values as the values; raises ArrowInvalid for text that is not UTF-8."""
    column.validate(full=True)
    kind = column.type
    if pa.types.is_dictionary(kind):
        return plain(column.cast(kind.value_type))
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return column.cast(pa.large_string())
    if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        raise DataError(
            f"has a column of type {kind}; expected text, numbers, dates, booleans", code="wrong_type"
        )
    return column
