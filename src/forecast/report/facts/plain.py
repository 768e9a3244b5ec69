"""Facts are plain: what JSON can carry, and nothing else. Unknown is None, never NaN."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["Fact", "date_of", "number", "person", "rows", "text"]

Fact = dict[str, Any]


def number(value: Any) -> float | None:
    """A finite number as a Python float; None for anything unknown or infinite."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    found = float(value)
    return found if math.isfinite(found) else None


def text(value: Any) -> str | None:
    """A text as it is; None where it is missing or blank."""
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(value) or None


def date_of(moment: pd.Timestamp | np.datetime64 | None) -> str | None:
    """The day of a moment as ISO text, e.g. `2026-03-31`; None if unknown."""
    if moment is None or pd.isna(moment):
        return None
    return str(pd.Timestamp(moment).date().isoformat())


def rows(frame: pd.DataFrame) -> list[Fact]:
    """A frame as a list of plain rows: numbers are int or float, unknown is None."""
    return [
        {str(name): _cell(value) for name, value in zip(frame.columns, values, strict=True)}
        for values in frame.itertuples(index=False, name=None)
    ]


def person(user_id: Any, names: dict[str, str]) -> Fact | None:
    """Who owns something: id and name, the id alone for somebody the users table does not know."""
    known = text(user_id)
    return None if known is None else {"id": known, "name": names.get(known)}


def _cell(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return number(value)
    if isinstance(value, pd.Timestamp | np.datetime64):
        return date_of(value)
    if isinstance(value, list | dict):
        return value
    return text(value)
