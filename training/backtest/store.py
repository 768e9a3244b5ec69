"""What was finished, kept: one origin's tables in files of their own, found again only by what made them.

    OUT/origins/2025Q3-w02-1a2b3c4d5e6f.bookings.parquet
    OUT/origins/2025Q3-w02-1a2b3c4d5e6f.deals.parquet
    OUT/origins/2025Q3-w02-1a2b3c4d5e6f.json        written last: with it the origin is finished

The name holds a hash of everything a result depends on: data, settings of the fit, horizons, the moment, the
recipe and the code. Other data or settings are other names, so they start anew and disturb nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import pandas as pd

from forecast.code_version import code_of, sources_hash
from forecast.errors import OutputError
from forecast.models import FitSettings, Recipe
from forecast.tables import write_bytes, write_table
from training.backtest.plan import Origin

__all__ = ["Finished", "Store", "code_version"]

_FORMAT: Final = 1
# Parts that word, draw or run what was forecast, and decide nothing of it.
_NO_FORECAST: Final = ("report", "language")
_NO_LOOK: Final = ("figures.py", "facts.py", "results.py", "run.py", "screen.py", "store.py")
_LIBRARIES: Final = ("numpy", "pandas", "scipy", "lightgbm")


@cache
def code_version() -> str:
    """Hash of the sources and libraries that decide what is forecast."""
    own = sources_hash(Path(__file__).parent, _NO_LOOK)
    code = code_of(packages=_LIBRARIES, without=_NO_FORECAST, also={"training.backtest": own})
    return hashlib.sha256(json.dumps(code, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Finished:
    """A finished origin: where its tables are, what its models were made by, and why."""

    origin: Origin
    bookings: Path
    deals: Path
    recipe: Recipe
    reason: str


@dataclass(frozen=True)
class Store:
    """The finished origins of a folder.

    fingerprint : of the data
    until : the end of what was recorded, as outcomes depend on it
    """

    folder: Path
    fingerprint: str
    until: pd.Timestamp
    settings: FitSettings
    horizons_days: tuple[int, ...]

    @classmethod
    def open(
        cls,
        out: Path,
        fingerprint: str,
        until: pd.Timestamp,
        settings: FitSettings,
        horizons_days: Sequence[int],
    ) -> Store:
        """The store of an output folder, made if it is not there. Raises OutputError."""
        folder = out / "origins"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}", code="cannot_write") from error
        return cls(folder, fingerprint, until, settings, tuple(horizons_days))

    def _path(self, origin: Origin, given: Recipe | None, ending: str) -> Path:
        made_by = {
            "format": _FORMAT,
            "code": code_version(),
            "data": self.fingerprint,
            "until": self.until.isoformat(),
            "settings": self.settings.to_json(),
            "horizons_days": self.horizons_days,
            "as_of": origin.as_of.isoformat(),
            "period": origin.period.label,
            "before": None if origin.before is None else origin.before.isoformat(),
            "after": origin.after.isoformat(),
            "recipe": None if given is None else given.to_json(),
        }
        key = hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:12]
        return self.folder / f"{origin.period.label}-w{origin.week:02d}-{key}.{ending}"

    def find(self, origin: Origin, given: Recipe | None) -> Finished | None:
        """The origin as it was finished with this recipe given; None if it was not, or files are damaged."""
        mark = self._path(origin, given, "json")
        try:
            content = json.loads(mark.read_text("utf-8"))
            for path, digest in (
                (self._path(origin, given, f"{table}.parquet"), content["sha256"][table])
                for table in ("bookings", "deals")
            ):
                if hashlib.sha256(path.read_bytes()).hexdigest() != digest:
                    return None
            return self._finished(origin, given, Recipe.from_json(content["recipe"]), str(content["reason"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(
        self,
        origin: Origin,
        given: Recipe | None,
        bookings: pd.DataFrame,
        deals: pd.DataFrame,
        recipe: Recipe,
        reason: str,
    ) -> Finished:
        """Keep an origin; until the last file is there it counts as not done. Raises OutputError."""
        finished = self._finished(origin, given, recipe, reason)
        write_table(bookings, finished.bookings)
        write_table(deals, finished.deals)
        content: dict[str, Any] = {
            "origin": origin.name,
            "recipe": recipe.to_json(),
            "reason": reason,
            "sha256": {
                "bookings": hashlib.sha256(finished.bookings.read_bytes()).hexdigest(),
                "deals": hashlib.sha256(finished.deals.read_bytes()).hexdigest(),
            },
        }
        text = json.dumps(content, indent=1, sort_keys=True) + "\n"
        write_bytes(self._path(origin, given, "json"), text.encode())
        return finished

    def _finished(self, origin: Origin, given: Recipe | None, recipe: Recipe, reason: str) -> Finished:
        return Finished(
            origin,
            self._path(origin, given, "bookings.parquet"),
            self._path(origin, given, "deals.parquet"),
            recipe,
            reason,
        )
