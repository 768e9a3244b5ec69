"""Where the raw files are."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pandas as pd

from forecast.errors import UnavailableError

__all__ = ["VARIABLE", "raw_file", "raw_folder", "read_text"]

VARIABLE: Final = "FORECAST_REAL_DATA"
_ROOT: Final = Path(__file__).resolve().parents[2]


def raw_folder() -> Path:
    """Holds a folder per data set: `FORECAST_REAL_DATA`, else `../shared/data` beside the project."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else _ROOT.parent / "shared" / "data"


def raw_file(*parts: str, folder: Path | None = None) -> Path:
    """One raw file; UnavailableError says what to set when it is not there."""
    path = (raw_folder() if folder is None else folder).joinpath(*parts)
    if not path.is_file():
        raise UnavailableError(
            f"{'/'.join(parts)} is not in {path.parents[len(parts) - 1]}; the public data sets are not part "
            f"of the project: set {VARIABLE} to the folder that holds them (see docs/real-data.md)",
            code="no_real_data",
        )
    return path


def read_text(path: Path) -> pd.DataFrame:
    """A CSV with every cell as text: an id stays as written, an empty cell is unknown, "NA" is a word."""
    return pd.read_csv(path, dtype="str", keep_default_na=False, na_values=[""], encoding="utf-8-sig")
