"""Settings of a training: `settings.toml` beside this file says what each means and holds the defaults.

A file is checked as a whole before anything runs: an unknown key is refused with the nearest one that exists,
a wrong type or range with what was expected.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib import resources
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from forecast.errors import UsageError
from forecast.evaluation.drift.settings import MonitorSettings
from forecast.features import LeakRules
from forecast.models import HORIZON_CAP_DAYS, FitSettings
from forecast.tables import PLAIN, Dialect
from forecast.tables.dialect import SECTIONS as DIALECT_SECTIONS
from forecast.tables.dialect import load_toml

__all__ = [
    "AuditSettings",
    "BacktestSettings",
    "GateSettings",
    "HoldoutSettings",
    "SegmentSettings",
    "Settings",
    "TrackingSettings",
    "expected",
    "packaged_text",
    "read_settings",
    "settings_of",
]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSettings:
    """From when on a field is held to leak, as `LeakRules`, and what may be registered nevertheless.

    allow : fields that leak, are trusted, and do not stop `--register`
    """

    allow: tuple[str, ...]
    closing_hours: float
    min_closed: int
    written_by_closing: float
    changed_at_closing: float
    echo: float
    echo_auc: float
    odds: float

    def rules(self) -> LeakRules:
        """The thresholds alone, as a fit takes them."""
        return LeakRules(**{one.name: getattr(self, one.name) for one in fields(LeakRules)})


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings:
    """By which columns of deals the model card tells metrics apart."""

    columns: tuple[str, ...]
    least_deals: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSettings:
    """What a candidate must show to take the champion's place; docs/promotion.md has the rule."""

    confidence: float
    score_margin: float
    calibration_margin: float
    calibration_cap: float
    bookings_margin: float
    latency_factor: float
    fresher_days: float
    reproduce: bool


# Sections that can change a result, beside the dialect.
_OF_RESULTS: Final = ("fit", "holdout", "audit")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one training."""

    fit: FitSettings
    holdout: HoldoutSettings
    segments: SegmentSettings
    backtest: BacktestSettings
    tracking: TrackingSettings
    monitor: MonitorSettings
    gate: GateSettings
    audit: AuditSettings
    dialect: Dialect = PLAIN

    def to_toml(self) -> dict[str, dict[str, Any]]:
        """Section -> key -> value as a TOML file has it: None is "", of a dialect only what is not default."""
        own = {
            section: {key: _plain(getattr(getattr(self, section), key)) for key in _keys(cls)}
            for section, cls in _SECTIONS.items()
        }
        return {**own, **self.dialect.to_json()}

    def flat(self) -> dict[str, str]:
        """`section.key` -> value as text, of everything that can change a result."""
        own = {
            f"{section}.{key}": _text(getattr(getattr(self, section), key))
            for section in _OF_RESULTS
            for key in _keys(type(getattr(self, section)))
        }
        dialect = {section: _rules_text(rules) for section, rules in self.dialect.to_json().items()}
        return {**own, **dialect}

    def recorded(self) -> dict[str, dict[str, Any]]:
        """The same as section -> key -> plain value: what a bundle holds, and `settings_of` reads."""
        own = self.to_toml()
        return {name: own[name] for name in own if name in _OF_RESULTS or name in DIALECT_SECTIONS}


@dataclass(frozen=True, slots=True)
class _Range:
    """Which values of a key make sense, and how to say so."""

    holds: Callable[[Any], bool]
    words: str
    each: bool = field(default=False)  # of every element of a list, and the list may not be empty

    def __call__(self, value: Any) -> bool:
        return bool(value) and all(map(self.holds, value)) if self.each else self.holds(value)


_LONGEST_TEXT: Final = 500
_POSITIVE: Final = _Range(lambda n: n > 0 and math.isfinite(n), "a number above 0")
_NATURAL: Final = _Range(lambda n: n >= 0, "0 or more")
_POSITIVES: Final = _Range(_POSITIVE.holds, "one or more numbers above 0", each=True)
_ABOVE_ONE: Final = _Range(lambda n: n > 1 and math.isfinite(n), "a number above 1")
_SHARE: Final = _Range(lambda n: 0 < n <= 1, "a number above 0, at most 1")
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
    "audit.closing_hours": _POSITIVE,
    "audit.min_closed": _Range(lambda n: n >= 1, "1 or more"),
    "audit.written_by_closing": _SHARE,
    "audit.changed_at_closing": _SHARE,
    "audit.echo": _SHARE,
    "audit.echo_auc": _Range(lambda n: 0.5 < n <= 1, "a number above 0.5, at most 1"),
    "audit.odds": _Range(lambda n: n > 1, "a number above 1"),
    "segments.least_deals": _Range(lambda n: n >= 1, "1 or more"),
    "gate.confidence": _Range(lambda share: 0.5 < share < 1.0, "a number above 0.5 and below 1"),
    "gate.score_margin": _NATURAL,
    "gate.calibration_margin": _NATURAL,
    "gate.calibration_cap": _POSITIVE,
    "gate.bookings_margin": _NATURAL,
    "gate.latency_factor": _Range(lambda factor: factor >= 1.0, "1 or more"),
    "gate.fresher_days": _NATURAL,
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
    "monitor.retrain_evidence": _ABOVE_ONE,
    "monitor.look_evidence": _ABOVE_ONE,
    "monitor.level_shift": _POSITIVE,
    "monitor.amount_shift": _POSITIVE,
    "monitor.amount_tolerance": _POSITIVE,
    "monitor.input_share": _SHARE,
    "monitor.psi": _NATURAL,
    "monitor.missing_points": _SHARE,
    "monitor.new_share": _SHARE,
    "monitor.reference_weeks": _POSITIVE,
    "monitor.calibration_days": _Range(lambda n: 1 <= n <= HORIZON_CAP_DAYS, "1 to 730 days"),
    "monitor.least_expected": _POSITIVE,
    "monitor.old_days": _POSITIVE,
}
_SECTIONS: Final[Mapping[str, type]] = {
    "fit": FitSettings,
    "holdout": HoldoutSettings,
    "segments": SegmentSettings,
    "backtest": BacktestSettings,
    "tracking": TrackingSettings,
    "monitor": MonitorSettings,
    "audit": AuditSettings,
    "gate": GateSettings,
}
# Part of the fit, but written in a section of its own: [audit].
_ELSEWHERE: Final = frozenset({"leak_rules"})


def read_settings(path: Path | None = None) -> Settings:
    """The packaged defaults, changed by the keys of the TOML file at `path`.

    Raises UsageError naming the file, the key, what came and what was expected.
    """
    return settings_of({}, "settings.toml") if path is None else settings_of(load_toml(path), str(path))


def settings_of(changes: Mapping[str, Any], where: str) -> Settings:
    """The packaged defaults, changed by section -> key -> value; `where` they come from is told in errors.

    Unset is None or empty text. Raises UsageError as `read_settings` does.
    """
    tables = tomllib.loads(packaged_text())
    dialect = Dialect.from_toml(changes, where)
    for section, own in changes.items():
        if section in DIALECT_SECTIONS:
            continue
        known = _SECTIONS.get(section)
        if known is None or not isinstance(own, dict):
            # A key written above the first [section] lands here too.
            raise _unknown(where, f"[{section}]", section, [*_SECTIONS, *DIALECT_SECTIONS])
        for key in own:
            if key not in _keys(known):
                raise _unknown(where, f"{section}.{key}", key, _keys(known))
        tables[section].update({key: "" if value is None else value for key, value in own.items()})
    audit = _section(AuditSettings, "audit", tables, where)
    return Settings(
        fit=replace(_section(FitSettings, "fit", tables, where), leak_rules=audit.rules()),
        holdout=_section(HoldoutSettings, "holdout", tables, where),
        segments=_section(SegmentSettings, "segments", tables, where),
        backtest=_section(BacktestSettings, "backtest", tables, where),
        tracking=_section(TrackingSettings, "tracking", tables, where),
        monitor=_section(MonitorSettings, "monitor", tables, where),
        audit=audit,
        gate=_section(GateSettings, "gate", tables, where),
        dialect=dialect,
    )


def packaged_text() -> str:
    """The file of all settings with their defaults and what they mean."""
    return resources.files("training").joinpath("settings.toml").read_text("utf-8")


def expected(section: str, key: str) -> str:
    """What a value of a setting must be, in words; those of a dialect check themselves."""
    cls = _SECTIONS.get(section)
    if cls is None:
        return "true or false" if key == "common_words" else "a time zone" if key == "zone" else "a table"
    words = _words(get_type_hints(cls)[key])
    allowed = _RANGES.get(f"{section}.{key}")
    return words if allowed is None else f"{words}; {allowed.words}"


def _unknown(where: str, what: str, name: str, known: list[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
    return UsageError(f"settings {where}: {what} does not exist; {hint}", code="unknown_setting")


def _section(cls: type[T], name: str, tables: Mapping[str, Any], where: str) -> T:
    """One section, checked. The packaged file holds every key, so none is missing here (a test sees to it)."""
    values: dict[str, Any] = {}
    hints = get_type_hints(cls)
    for key in _keys(cls):
        kind = hints[key]
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
    return [one.name for one in fields(cls) if one.name not in _ELSEWHERE]


def _rules_text(rules: Any) -> str:
    """Rules as text, or their hash where a server would refuse so long a text."""
    text = json.dumps(rules, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= _LONGEST_TEXT else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else "" if value is None else value


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else "" if value is None else str(value)
