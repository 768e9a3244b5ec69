"""How a company's export says what the contract says: its own headers, stage names and words.

A dialect is data, three sections of a settings file (docs/settings.md), and travels in the bundle, so that the
same folder is read the same way by every command. It changes what a file says before anything is checked; what
no rule of it covers is checked as it stands, and set aside with its reason if it does not fit.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from forecast.errors import UsageError
from forecast.periods import as_of_us, parse_as_of, to_timestamp
from forecast.tables.models import BANT, OPEN_TABLES, TABLES, Stages
from forecast.tables.values import check_zone

__all__ = ["PLAIN", "SECTIONS", "Dialect", "Redefinition", "load_toml", "read_dialect"]

SECTIONS: Final = ("reading", "columns", "stages", "bant")
"""Sections of a settings file that are a dialect."""

Words = Mapping[str, float]
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_UNKNOWN: Final = float("nan")
_KINDS: Final = ("open", "won", "lost")
_LEAST_ALIKE: Final = 0.75
_ANY_PIPELINE: Final = ""

# What can be meant in one way only. "None", "partly" or "in progress" can be meant in two.
_COMMON_WORDS: Final[Words] = MappingProxyType(
    {
        **dict.fromkeys(("yes", "y", "true", "confirmed", "approved", "established"), 1.0),
        **dict.fromkeys(("sì", "si", "si'", "vero", "confermato", "confermata", "approvato"), 1.0),
        **dict.fromkeys(("approvata", "accertato", "accertata"), 1.0),
        **dict.fromkeys(("no", "n", "false", "absent", "rejected", "denied"), 0.0),
        **dict.fromkeys(("falso", "assente", "negato", "negata", "respinto", "respinta"), 0.0),
        **dict.fromkeys(("unknown", "tbd", "to be determined", "to be confirmed", "n/a"), _UNKNOWN),
        **dict.fromkeys(("not known", "not available", "not asked", "null", "-", "--", "?"), _UNKNOWN),
        **dict.fromkeys(("--none--", "sconosciuto", "sconosciuta", "non noto", "non nota"), _UNKNOWN),
        **dict.fromkeys(("da definire", "da confermare", "non disponibile", "n.d.", "nd"), _UNKNOWN),
    }
)


@dataclass(frozen=True, slots=True)
class Redefinition:
    """Names of stages that meant something else before a moment.

    until_us : the last moment, exclusive, at which `rename` held
    pipeline : the one it speaks of; empty for all
    rename : name of the time -> stage it is today
    """

    until_us: int
    pipeline: str
    rename: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Dialect:
    """What has to be put into the contract's words. The default changes nothing.

    zone : of moments that name none
    columns : table -> header of theirs -> column of ours; those of deals also name fields of deal_events
    stage_names : pipeline ("" for all) -> name of theirs -> stage of ours
    stated_stages : rows of the stages table that no file has to hold, or that replace those of the file
    redefinitions : in order of their moments
    common_words : whether common words of English and Italian are read in BANT fields
    words : BANT field ("" for all) -> word in lower case -> share, NaN for unknown
    """

    zone: str = "UTC"
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NOTHING)
    stage_names: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: _NOTHING)
    stated_stages: tuple[Mapping[str, Any], ...] = ()
    redefinitions: tuple[Redefinition, ...] = ()
    common_words: bool = False
    words: Mapping[str, Words] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def from_toml(cls, tables: Mapping[str, Any], where: str) -> Dialect:
        """From the sections `SECTIONS` of a settings file; other sections are not looked at.

        where : names the file in errors
        Raises UsageError naming the key, what came and what was expected.
        """
        reader = _Reader(where)
        for name in SECTIONS:
            if not isinstance(tables.get(name, {}), Mapping):
                raise reader.wrong(name, tables[name], "a section")
        reading = reader.keys("reading", tables.get("reading", {}), ("zone",))
        zone = reader.text("reading.zone", reading.get("zone", "UTC"))
        check_zone(zone)
        stages = reader.keys(
            "stages", tables.get("stages", {}), ("rename", "rename_in", "redefined", "stated")
        )
        common_words, words = reader.bant(tables.get("bant", {}))
        return cls(
            zone=zone,
            columns=reader.columns(tables.get("columns", {})),
            stage_names=reader.stage_names(stages),
            stated_stages=reader.stated(stages.get("stated", [])),
            redefinitions=reader.redefinitions(stages.get("redefined", []), zone),
            common_words=common_words,
            words=words,
        )

    @classmethod
    def from_json(cls, data: Any) -> Dialect:
        """Inverse of `to_json`; UsageError for anything else."""
        if not isinstance(data, Mapping) or not set(data) <= set(SECTIONS):
            raise UsageError("the reading rules of the bundle are damaged", code="bad_setting")
        return cls.from_toml(data, "of the bundle")

    def to_json(self) -> dict[str, Any]:
        """The sections a settings file would hold, without what is default."""
        stages = {
            "rename": dict(self.stage_names.get(_ANY_PIPELINE, {})),
            "rename_in": {name: dict(rules) for name, rules in self.stage_names.items() if name},
            "redefined": [
                {
                    "until": _moment_text(one.until_us),
                    **({"pipeline": one.pipeline} if one.pipeline else {}),
                    "rename": dict(one.rename),
                }
                for one in self.redefinitions
            ],
            "stated": [dict(row) for row in self.stated_stages],
        }
        bant = {
            **({"common_words": True} if self.common_words else {}),
            **{name or "words": _plain_words(words) for name, words in self.words.items()},
        }
        sections = {
            "reading": {} if self.zone == "UTC" else {"zone": self.zone},
            "columns": {table: dict(rules) for table, rules in self.columns.items()},
            "stages": {key: rules for key, rules in stages.items() if rules},
            "bant": bant,
        }
        return {name: rules for name, rules in sections.items() if rules}

    @property
    def renames_stages(self) -> bool:
        """Whether any stage goes by another name than ours."""
        return bool(self.redefinitions or self.stage_names)

    def stage(self, pipeline: str, name: str, at_us: int) -> str:
        """Our stage for one name of theirs, recorded at a moment; the name itself where no rule covers it."""
        for one in self.redefinitions:
            if at_us < one.until_us and one.pipeline in (_ANY_PIPELINE, pipeline) and name in one.rename:
                return one.rename[name]
        own = self.stage_names.get(pipeline, {})
        return own.get(name, self.stage_names.get(_ANY_PIPELINE, {}).get(name, name))

    def stated_share(self, column: str, word: str) -> float | None:
        """What the rules (not the common words) read in a word of a BANT field; None if they do not know it."""
        key = _folded(word)
        return self.words.get(column, {}).get(key, self.words.get("", {}).get(key))

    def share(self, column: str, word: str) -> float | None:
        """What a word of a BANT field is read as, NaN for unknown; None if nothing is known of it."""
        found = self.stated_share(column, word)
        return _COMMON_WORDS.get(_folded(word)) if found is None and self.common_words else found

    def bant_hint(self, column: str, word: str) -> str:
        """What may have been meant by a word no rule covers, and where to say so; ends a reason."""
        known = {
            **(_COMMON_WORDS if self.common_words else {}),
            **self.words.get("", {}),
            **self.words.get(column, {}),
        }
        near = difflib.get_close_matches(_folded(word)[:40], known, 1, 0.6)
        meant = f"; is '{near[0]}' meant?" if near else ";"
        if not near and _folded(word) in _COMMON_WORDS:
            return "; common_words = true below [bant] in the settings would read it"
        return f"{meant} [bant] of the settings says what words mean"


PLAIN: Final = Dialect()


def read_dialect(path: Path) -> Dialect:
    """The dialect of a settings file; its other sections belong to training.

    Raises UsageError, also for a section that is nearly one of ours: a slip must not be passed over in silence.
    """
    tables = load_toml(path)
    for name in tables:
        near = difflib.get_close_matches(name, SECTIONS, 1, _LEAST_ALIKE)
        if near and near[0] != name:
            raise UsageError(
                f"settings {path}: [{name}] does not exist; did you mean {near[0]}?", code="unknown_setting"
            )
    return Dialect.from_toml(tables, str(path))


def load_toml(path: Path) -> dict[str, Any]:
    """The tables of a settings file; UsageError if it cannot be read or is not TOML."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise UsageError(f"settings {path} cannot be read: {reason}", code="bad_settings") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"settings {path} is not TOML: {error}", code="bad_settings") from error


@dataclass(frozen=True, slots=True)
class _Reader:
    """Checks the sections of one file."""

    where: str

    def wrong(self, key: str, given: Any, expected: str) -> UsageError:
        return UsageError(
            f"settings {self.where}: {key} is {str(given)[:60]!r}; expected {expected}", code="bad_setting"
        )

    def unknown(self, key: str, name: str, known: Iterable[str]) -> UsageError:
        names = list(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(names)}"
        return UsageError(
            f"settings {self.where}: {key} does not exist; {hint}",
            code="unknown_setting",
        )

    def keys(self, section: str, given: Any, known: Iterable[str]) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            raise self.wrong(section, given, "a table of keys")
        for name in given:
            if name not in known:
                raise self.unknown(f"{section}.{name}", name, known)
        return given

    def text(self, key: str, given: Any) -> str:
        if type(given) is not str or not given.strip():
            raise self.wrong(key, given, "text in quotes")
        return given

    def names(self, key: str, given: Any) -> Mapping[str, str]:
        """A table of texts; no name may lead to one that is led on: it would depend on who comes first."""
        if not isinstance(given, Mapping):
            raise self.wrong(key, given, 'a table such as { "Their name" = "ours" }')
        rules = {name: self.text(f"{key}.{name!r}", ours) for name, ours in given.items()}
        for name, ours in rules.items():
            if rules.get(ours, ours) != ours:
                raise self.wrong(f"{key}.{name!r}", ours, f"a final name, here {rules[ours]!r}")
        return MappingProxyType(rules)

    def columns(self, given: Any) -> Mapping[str, Mapping[str, str]]:
        found = {}
        for table, rules in self.keys("columns", given, TABLES).items():
            found[table] = self.names(f"columns.{table}", rules)
            for name, ours in found[table].items():
                # An event speaks of `stage`, which is no column of deals.
                if table not in OPEN_TABLES and ours not in TABLES[table]:
                    raise self.unknown(f"columns.{table}.{name!r} = {ours!r}", ours, TABLES[table])
        return MappingProxyType({table: rules for table, rules in found.items() if rules})

    def stage_names(self, stages: Mapping[str, Any]) -> Mapping[str, Mapping[str, str]]:
        given = stages.get("rename_in", {})
        if not isinstance(given, Mapping):
            raise self.wrong("stages.rename_in", given, "a table for each pipeline")
        found = {_ANY_PIPELINE: self.names("stages.rename", stages.get("rename", {}))}
        for pipeline, rules in given.items():
            found[pipeline] = self.names(f"stages.rename_in.{pipeline}", rules)
        return MappingProxyType({pipeline: rules for pipeline, rules in found.items() if rules})

    def stated(self, given: Any) -> tuple[Mapping[str, Any], ...]:
        rows, seen = [], set()
        for number, row in enumerate(self.tables("stages.stated", given), start=1):
            key = f"stages.stated[{number}]"
            checked = {
                Stages.pipeline: self.text(f"{key}.pipeline", row.get("pipeline", "sales")),
                Stages.stage: self.text(f"{key}.stage", row.get("stage")),
                Stages.position: row.get("position"),
                Stages.kind: row.get("kind"),
                Stages.default_probability: row.get("default_probability"),
                Stages.label: row.get("label"),
            }
            self.keys(key, row, checked)
            if type(checked[Stages.position]) is not int:
                raise self.wrong(f"{key}.position", checked[Stages.position], "a whole number")
            if checked[Stages.kind] not in _KINDS:
                raise self.wrong(f"{key}.kind", checked[Stages.kind], "open, won or lost")
            if checked[Stages.default_probability] is not None:
                share = self.share_of(f"{key}.default_probability", checked[Stages.default_probability])
                checked[Stages.default_probability] = share
            if checked[Stages.label] is not None:
                self.text(f"{key}.label", checked[Stages.label])
            name = checked[Stages.pipeline], checked[Stages.stage]
            if name in seen:
                raise self.wrong(key, name[1], f"a stage that pipeline {name[0]!r} has once")
            seen.add(name)
            rows.append(MappingProxyType({k: value for k, value in checked.items() if value is not None}))
        return tuple(rows)

    def redefinitions(self, given: Any, zone: str) -> tuple[Redefinition, ...]:
        found = []
        for number, row in enumerate(self.tables("stages.redefined", given), start=1):
            key = f"stages.redefined[{number}]"
            self.keys(key, row, ("until", "pipeline", "rename"))
            until = row.get("until")
            if not isinstance(until, str | date | datetime):
                raise self.wrong(f"{key}.until", until, "a date or moment such as 2025-07-01")
            try:
                moment = parse_as_of(until if isinstance(until, str) else until.isoformat(), zone)
            except UsageError as error:
                raise self.wrong(f"{key}.until", until, "a date or moment such as 2025-07-01") from error
            pipeline = row.get("pipeline", _ANY_PIPELINE)
            if pipeline != _ANY_PIPELINE:
                self.text(f"{key}.pipeline", pipeline)
            rename = row.get("rename", {})
            if not isinstance(rename, Mapping) or not rename:
                raise self.wrong(
                    f"{key}.rename", rename, 'a table such as { "Name of then" = "stage of now" }'
                )
            rules = {name: self.text(f"{key}.rename.{name!r}", ours) for name, ours in rename.items()}
            found.append(Redefinition(as_of_us(moment), pipeline, MappingProxyType(rules)))
        # The earliest end that is still to come holds.
        return tuple(sorted(found, key=lambda one: (one.until_us, not one.pipeline, one.pipeline)))

    def bant(self, given: Any) -> tuple[bool, Mapping[str, Words]]:
        section = self.keys("bant", given, ("common_words", "words", *BANT))
        common_words = section.get("common_words", False)
        if type(common_words) is not bool:
            raise self.wrong("bant.common_words", common_words, "true or false")
        found: dict[str, Words] = {}
        for name in ("words", *BANT):
            rules = section.get(name, {})
            if not isinstance(rules, Mapping):
                raise self.wrong(f"bant.{name}", rules, 'a table such as { "Confirmed" = 1, "Open" = "" }')
            words: dict[str, float] = {}
            for word, value in rules.items():
                share = _UNKNOWN if value == "" else self.share_of(f"bant.{name}.{word!r}", value, ' or ""')
                # "Yes" and "yes" are one word; that they are given two meanings is a slip.
                if str(words.get(_folded(word), share)) != str(share):
                    raise self.wrong(f"bant.{name}.{word!r}", value, "one meaning for one word in any case")
                words[_folded(word)] = share
            if words:
                found["" if name == "words" else name] = MappingProxyType(words)
        return common_words, MappingProxyType(found)

    def share_of(self, key: str, given: Any, more: str = "") -> float:
        if type(given) not in (int, float) or not math.isfinite(given) or not 0 <= given <= 1:
            raise self.wrong(key, given, f"a number from 0 to 1{more}")
        return float(given)

    def tables(self, key: str, given: Any) -> list[Mapping[str, Any]]:
        if not isinstance(given, list) or not all(isinstance(row, Mapping) for row in given):
            raise self.wrong(key, given, f"tables, each below a line [[{key}]]")
        return given


def _folded(word: str) -> str:
    return " ".join(word.split()).casefold()


def _plain_words(words: Words) -> dict[str, Any]:
    return {word: "" if math.isnan(share) else share for word, share in words.items()}


def _moment_text(at_us: int) -> str:
    return to_timestamp(at_us).isoformat()
