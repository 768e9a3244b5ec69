"""From the cells of one file to the rows of one table; relations between tables come later."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from forecast.errors import DataError
from forecast.tables import values
from forecast.tables.dialect import PLAIN, Dialect
from forecast.tables.events import bad_events
from forecast.tables.models import (
    BANT,
    DEFAULTS,
    KEYS,
    OPEN_TABLES,
    TABLES,
    Activities,
    Quotas,
    required_columns,
    schema_of,
)
from forecast.tables.rules import FAILURES, UNREADABLE, Sieve, failures, parse, shown
from forecast.tables.source import Faults, Source
from forecast.tables.tables import row_hashes

__all__ = ["Loaded", "load"]

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

_MANY_ATTRIBUTES: Final = 100


@dataclass(eq=False)
class Loaded:
    """Rows of one table on their way in.

    frame : the rows that are still in, in the contract's columns and types
    record : (rows,) the record of the file each row was
    stated : rows at the end that come from the settings, with no record
    """

    table: str
    source: Source
    frame: pd.DataFrame
    record: Ints
    faults: Faults
    duplicates: int = 0
    superseded: int = 0
    stated: int = 0
    warnings: list[str] = field(default_factory=list)

    def quarantine(self, bad: Bools, code: str, reason: Callable[[pd.DataFrame], list[str]]) -> None:
        """Take the rows `bad` (rows,) out; `reason` makes one text for each."""
        if bad.any():
            self.faults.add(self.record[bad], code, reason(self.frame[bad]))
            self.keep(~bad)

    def settle_versions(self) -> None:
        """Keep one row for each key: the last in the file. Equal rows are duplicates, others superseded.

        Rows of a database have no order: there the one that stays is picked by content, so it is always the
        same one.
        """
        key, content = _row_groups(self.frame, KEYS[self.table])
        if self.table in ("deal_events", "activities"):
            content = key
        rows = np.arange(len(key))
        if not self.source.ordered and int(key.max(initial=-1)) + 1 < len(key):
            rows = np.argsort(row_hashes(self.frame), kind="stable")
        winner = np.zeros(len(key), np.int64)
        winner[key[rows]] = rows  # the last row of a key is written last
        loses = winner[key] != np.arange(len(key))
        if loses.any():
            same = content == content[winner[key]]
            superseded = int((loses & ~same).sum())
            self.duplicates += int((loses & same).sum())
            self.superseded += superseded
            if superseded and not self.source.ordered:
                self.warnings.append(
                    f"{self.source.file}: {superseded:,} rows have the key of another one "
                    f"({', '.join(KEYS[self.table])}) and other content; which of them holds is arbitrary, so "
                    "make the key unique"
                )
            self.keep(~loses)

    def keep(self, mask: Bools) -> None:
        """Only the rows `mask` (rows,) go on."""
        self.frame = self.frame[mask].reset_index(drop=True)
        self.record = self.record[mask]

    def state(self, frame: pd.DataFrame, rows: int) -> None:
        """Go on with `frame`, whose last `rows` rows come from the settings."""
        self.record = np.concatenate((self.record, np.full(rows, -1, np.int64)))
        self.frame, self.stated = frame, self.stated + rows


def load(table: str, source: Source, zone: str, dialect: Dialect = PLAIN) -> Loaded:
    """Understand the cells of a file as rows of a table; naive moments are read in `zone`.

    dialect : what was put into our words already; here it only helps to say what else may have been meant

    Raises DataError if a required column is missing or a column has a type that cannot be meant.
    """
    warnings = _check_columns(table, source)
    reader = _Reader(table, source, zone, Sieve(source.record, source.faults), warnings, dialect)
    columns = {name: reader.contract_column(name) for name in TABLES[table]}
    if table in OPEN_TABLES:
        columns |= {name: reader.custom_column(name) for name in _extra_names(table, source)}
    loaded = Loaded(table, source, pd.DataFrame(columns), source.record, source.faults, warnings=warnings)
    loaded.keep(~reader.sieve.bad)
    _check_rows(loaded, dialect)
    loaded.settle_versions()
    return loaded


@dataclass(frozen=True, eq=False)
class _Reader:
    """Reads the columns of one source; rows with a bad cell are noted in `sieve`."""

    table: str
    source: Source
    zone: str
    sieve: Sieve
    warnings: list[str]
    dialect: Dialect

    def contract_column(self, name: str) -> pd.Series:
        """A column of the contract in its type; all unknown, or all default, when the file has none."""
        spec = schema_of(self.table).columns[name]
        kind = str(spec.dtype)
        rows = self.source.cells.num_rows
        given = name in self.source.cells.column_names
        parsed = parse(
            self.source.cells[name] if given else pa.chunked_array([pa.nulls(rows)]), spec, self.zone
        )
        if kind in UNREADABLE:
            self._drop(parsed.bad, name, *UNREADABLE[kind])
        column = parsed.column
        if spec.default is not None:
            default = DEFAULTS[self.table][name]
            column = column.fillna(float(default) if kind == "bool" else default)
        elif not spec.nullable:
            self._drop(column.isna().to_numpy(), name, "blank", "")
        for bad, code, says in failures(spec, column):
            self._drop(bad, name, code, says)
        self.warnings.extend(_zone_warnings(f"{self.source.file}: {name}", parsed, self.zone))
        # Rows with a bad cell leave before anyone sees the zero that stands in for it.
        return column.fillna(0).astype(np.dtype(kind)) if kind in ("int64", "bool") else column

    def custom_column(self, name: str) -> pd.Series:
        """A custom attribute: text as it stands."""
        column = values.texts(self.source.cells[name], name).column
        self._drop(column.str.contains("\0", regex=False).eq(True).to_numpy(bool), name, *FAILURES["no_nul"])
        return column

    def _drop(self, bad: Bools, name: str, code: str, says: str) -> None:
        def reasons(rows: Ints) -> list[str]:
            if code == "blank":
                return [f"{name} is empty"] * len(rows)
            cells = self.source.cells[name].take(rows).to_pylist()
            hint = self.dialect.bant_hint if name in BANT and code == "bad_number" else _no_hint
            return [f"{name} {shown(cell)} {says}{hint(name, str(cell))}" for cell in cells]

        self.sieve.drop(bad, code, reasons)


def _no_hint(_name: str, _cell: str) -> str:
    return ""


def _check_columns(table: str, source: Source) -> list[str]:
    names = source.cells.column_names
    contract = TABLES[table]
    for name in required_columns(table):
        if name not in names:
            near = difflib.get_close_matches(name, [one for one in names if one not in contract], 1, 0.6)
            hint = f"is '{near[0]}' meant? rename it" if near else f"it has {', '.join(names[:8])}"
            raise DataError(f"has no column '{name}'; {hint}", code="missing_column")
    extra = _extra_names(table, source)
    absent = [name for name in contract if name not in names]
    warnings = []
    for name in extra:
        near = difflib.get_close_matches(name.strip().lower(), absent, 1, 0.8)
        meant = f"; is '{near[0]}' meant?" if near else ""
        if table not in OPEN_TABLES:
            warnings.append(f"{source.file}: column '{name}' is not in the contract and was left out{meant}")
        elif near:
            warnings.append(f"{source.file}: column '{name}' is kept as a custom attribute{meant}")
    if table in OPEN_TABLES and len(extra) > _MANY_ATTRIBUTES:
        warnings.append(
            f"{source.file}: has {len(extra)} custom attributes; few of that many will tell anything"
        )
    return warnings


def _extra_names(table: str, source: Source) -> list[str]:
    return [name for name in source.cells.column_names if name not in TABLES[table]]


def _zone_warnings(where: str, parsed: values.Parsed, zone: str) -> list[str]:
    warnings = []
    if parsed.naive:
        others = " while the others have one" if parsed.offsets else ""
        count = "1 moment has" if parsed.naive == 1 else f"{parsed.naive:,} moments have"
        warnings.append(f"{where}: {count} no zone{others}; read in {zone}")
    if len(parsed.offsets) > 1:
        some = ", ".join(sorted(parsed.offsets)[:6])
        warnings.append(f"{where} mixes the offsets {some}; each moment was converted to UTC by its own")
    return warnings


def _check_rows(loaded: Loaded, dialect: Dialect) -> None:
    """Rules on several columns of one row."""
    frame = loaded.frame
    if loaded.table == "activities":
        both = frame[Activities.deal_id].notna() == frame[Activities.lead_id].notna()
        reason = "exactly one of deal_id and lead_id must be given"
        loaded.quarantine(both.to_numpy(), "deal_or_lead", lambda rows: [reason] * len(rows))
    elif loaded.table == "quotas":
        named = (frame[Quotas.level] == "company") & (frame[Quotas.entity] != "*")
        reason = "the entity of a company quota is *"
        loaded.quarantine(named.to_numpy(), "unknown_entity", lambda rows: [reason] * len(rows))
    elif loaded.table == "deal_events":
        loaded.keep(~bad_events(loaded.frame, loaded.record, loaded.faults, dialect))


def _row_groups(frame: pd.DataFrame, key: tuple[str, ...]) -> tuple[Ints, Ints]:
    """(rows,) number of each row's key, and of its whole content: equal exactly where those are."""
    keyed = _grouped(frame, list(key), np.zeros(len(frame), np.int64))
    rest = [name for name in frame.columns if name not in key]
    return keyed, _grouped(frame, rest, keyed)


def _grouped(frame: pd.DataFrame, names: list[str], group: Ints) -> Ints:
    for name in names:
        codes, _ = pd.factorize(frame[name], use_na_sentinel=True)
        group = pd.factorize(group * (int(codes.max(initial=0)) + 2) + codes + 1)[0].astype(np.int64)
    return group
