"""Rules of single deal events: a value is checked as the column of deals it speaks of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from forecast.tables.dialect import Dialect
from forecast.tables.models import BANT, EVENT_FIELDS, TABLES, DealEvents, schema_of
from forecast.tables.rules import UNREADABLE, Sieve, failures, parse, shown
from forecast.tables.source import Faults
from forecast.tables.tables import as_arrow

__all__ = ["bad_events"]

# An empty value says "unknown from then on". A deal always has a stage, and an amount is a number.
_NEVER_EMPTY: Final = ("stage", "amount")
_WITHOUT_HISTORY: Final = tuple(name for name in TABLES["deals"] if name not in EVENT_FIELDS)


def bad_events(
    events: pd.DataFrame, record: NDArray[np.int64], faults: Faults, dialect: Dialect
) -> NDArray[np.bool_]:
    """(rows,) events whose field or value cannot be used; each is noted in `faults` by its record.

    Whether a stage exists depends on the deal's pipeline and is checked with the other tables.
    """
    sieve = Sieve(record, faults)
    fields, texts = events[DealEvents.field], events[DealEvents.value].fillna("")
    sieve.drop(
        fields.isin(_WITHOUT_HISTORY).to_numpy(),
        "unknown_field",
        partial(
            _reasons, "field", fields, f"has no history; expected {', '.join(EVENT_FIELDS)} or a custom one"
        ),
    )
    for name in EVENT_FIELDS:
        rows = np.flatnonzero((fields == name).to_numpy())
        for bad, code, says in _value_faults(name, events[DealEvents.value].iloc[rows]):
            mask = np.zeros(len(events), bool)
            mask[rows[bad]] = True
            hint = dialect.bant_hint if name in BANT and code == "bad_number" else None
            sieve.drop(mask, code, partial(_reasons, name, texts, says, hint=hint))
    return sieve.bad


def _value_faults(name: str, texts: pd.Series) -> Iterator[tuple[NDArray[np.bool_], str, str]]:
    """For each thing wrong with values of the field `name`: (n,) which, its code, its words."""
    if name in _NEVER_EMPTY:
        yield texts.isna().to_numpy(), "blank", "is empty"
    if name == "stage" or not len(texts):
        return
    spec = schema_of("deals").columns[name]
    parsed = parse(pa.chunked_array([as_arrow(texts)]), spec, "UTC")
    if str(spec.dtype) in UNREADABLE:
        yield parsed.bad, *UNREADABLE[str(spec.dtype)]
    yield from failures(spec, parsed.column)


def _reasons(
    name: str,
    texts: pd.Series,
    says: str,
    rows: NDArray[np.int64],
    *,
    hint: Callable[[str, str], str] | None = None,
) -> list[str]:
    return [f"{name} {shown(text)} {says}{hint(name, text) if hint else ''}" for text in texts.iloc[rows]]
