"""Settings of a training: `settings.toml` beside this file says what each means and holds the defaults.

A file is checked as a whole before anything runs: an unknown key is refused with the nearest one that exists,
a wrong type or range with what was expected.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from forecast.errors import UsageError
from forecast.models import FitSettings

__all__ = ["BacktestSettings", "HoldoutSettings", "Settings", "TrackingSettings", "read_settings"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldoutSettings:
    """How the models are measured on a later period; 0 days measures nothing."""

    days: int
    horizons_days: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestSettings:
    """What the time machine tests; see training.backtest."""

    quarters: int
    weeks: tuple[int, ...]
    horizons_days: tuple[int, ...]
    choose: str
    min_history_days: float
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """Where runs are recorded. `uri` empty: the environment decides."""

    enabled: bool
    uri: str
    experiment: str
    model: str
    timeout_seconds: int
    retries: int


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one training."""

    fit: FitSettings
    holdout: HoldoutSettings
    backtest: BacktestSettings
    tracking: TrackingSettings

    def flat(self) -> dict[str, str]:
        """`section.key` -> value as text, of everything that can change a result."""
        return {
            f"{section}.{key}": _text(getattr(getattr(self, section), key))
            for section in ("fit", "holdout")
            for key in _keys(type(getattr(self, section)))
        }


@dataclass(frozen=True, slots=True)
class _Range:
    """Which values of a key make sense, and how to say so."""

    holds: Callable[[Any], bool]
    words: str
    each: bool = field(default=False)  # of every element of a list, and the list may not be empty

    def __call__(self, value: Any) -> bool:
        return bool(value) and all(map(self.holds, value)) if self.each else self.holds(value)


_POSITIVE: Final = _Range(lambda n: n > 0 and math.isfinite(n), "a number above 0")
_NATURAL: Final = _Range(lambda n: n >= 0, "0 or more")
_POSITIVES: Final = _Range(_POSITIVE.holds, "one or more numbers above 0", each=True)
_NAME: Final = _Range(lambda text: bool(text.strip()) and "/" not in text, "a name without /")
_RANGES: Final[Mapping[str, _Range]] = {
    "fit.seed": _NATURAL,
    "fit.landmark_every_days": _POSITIVE,
    "fit.max_landmarks": _Range(lambda n: n >= 1000, "1000 or more"),
    "fit.ridge_grid": _POSITIVES,
    "fit.min_closed_deals": _NATURAL,
    "fit.min_boosted_deals": _NATURAL,
    "fit.rounds_grid": _POSITIVES,
    "fit.fiscal_year_starts": _Range(lambda n: 1 <= n <= 12, "a month from 1 to 12"),
    "fit.windows": _Range(lambda n: n >= 1, "1 or more"),
    "fit.window_days": _POSITIVE,
    "holdout.days": _NATURAL,
    "holdout.horizons_days": _POSITIVES,
    "backtest.quarters": _Range(lambda n: n >= 1, "1 or more"),
    "backtest.weeks": _Range(lambda n: 0 <= n <= 12, "one or more weeks from 0 to 12", each=True),
    "backtest.horizons_days": _POSITIVES,
    "backtest.choose": _Range(lambda text: text in ("once", "quarter", "origin"), "once, quarter or origin"),
    "backtest.min_history_days": _POSITIVE,
    "backtest.draws": _Range(lambda n: n >= 100, "100 or more"),
    "tracking.experiment": _NAME,
    "tracking.model": _NAME,
    "tracking.timeout_seconds": _POSITIVE,
    "tracking.retries": _NATURAL,
}
_SECTIONS: Final[Mapping[str, type]] = {
    "fit": FitSettings,
    "holdout": HoldoutSettings,
    "backtest": BacktestSettings,
    "tracking": TrackingSettings,
}


def read_settings(path: Path | None = None) -> Settings:
    """The packaged defaults, changed by the keys of the TOML file at `path`.

    Raises UsageError naming the file, the key, what came and what was expected.
    """
    tables = tomllib.loads(resources.files("training").joinpath("settings.toml").read_text("utf-8"))
    if path is not None:
        for section, own in _load(path).items():
            known = _SECTIONS.get(section)
            if known is None or not isinstance(own, dict):
                # A key written above the first [section] lands here too.
                raise _unknown(path, f"[{section}]", section, list(_SECTIONS))
            for key in own:
                if key not in _keys(known):
                    raise _unknown(path, f"{section}.{key}", key, _keys(known))
            tables[section].update(own)
    where = "settings.toml" if path is None else str(path)
    return Settings(
        fit=_section(FitSettings, "fit", tables, where),
        holdout=_section(HoldoutSettings, "holdout", tables, where),
        backtest=_section(BacktestSettings, "backtest", tables, where),
        tracking=_section(TrackingSettings, "tracking", tables, where),
    )


def _load(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"settings {path} cannot be read: {reason}", code="bad_settings") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"settings {path} is not TOML: {error}", code="bad_settings") from error


def _unknown(path: Path, what: str, name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return UsageError(f"settings {path}: {what} does not exist; {hint}", code="unknown_setting")


def _section(cls: type[T], name: str, tables: Mapping[str, Any], where: str) -> T:
    """One section, checked. The packaged file holds every key, so none is missing here (a test sees to it)."""
    values: dict[str, Any] = {}
    for key, kind in get_type_hints(cls).items():
        given = tables[name][key]
        value = _converted(given, kind)
        if value is _WRONG:
            raise UsageError(
                f"settings {where}: {name}.{key} is {given!r}; expected {_words(kind)}", code="bad_setting"
            )
        allowed = _RANGES.get(f"{name}.{key}")
        if allowed is not None and not allowed(value):
            raise UsageError(
                f"settings {where}: {name}.{key} is {given!r}; expected {allowed.words}", code="bad_setting"
            )
        values[key] = value
    return cls(**values)


_WRONG: Final = object()


def _converted(given: Any, kind: Any) -> Any:
    """A TOML value as the field's type, `_WRONG` if it is another. Text "" stands for None where allowed."""
    if get_origin(kind) is UnionType:
        inner = next(one for one in get_args(kind) if one is not NoneType)
        return None if given == "" else _converted(given, inner)
    if get_origin(kind) is tuple:
        if not isinstance(given, list):
            return _WRONG
        items = tuple(_converted(item, get_args(kind)[0]) for item in given)
        return _WRONG if any(item is _WRONG for item in items) else items
    if kind is float and type(given) is int:
        return float(given)
    # `type`, not isinstance: true is no number.
    return given if type(given) is kind else _WRONG


def _words(kind: Any) -> str:
    if get_origin(kind) is UnionType:
        return _words(next(one for one in get_args(kind) if one is not NoneType)) + " or empty"
    if get_origin(kind) is tuple:
        return f"a list, each item {_words(get_args(kind)[0])}"
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text in quotes"}[kind]


def _keys(cls: type) -> list[str]:
    return [one.name for one in fields(cls)]


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
