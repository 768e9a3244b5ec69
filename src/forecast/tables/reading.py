"""A folder of files or a database in, tables and an account of every row out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pandas as pd
import pyarrow as pa

from forecast.database_url import DataSource, parse_source
from forecast.errors import DataError, OutputError
from forecast.tables.check import QUARANTINE, CheckReport, FolderError, Refusal, TableCount
from forecast.tables.csv_text import read_csv
from forecast.tables.database import open_database, table_label
from forecast.tables.dialect import PLAIN, Dialect
from forecast.tables.folder import FORMATS, look_into
from forecast.tables.models import TABLES, Deals
from forecast.tables.money import Money
from forecast.tables.parquet import read_parquet
from forecast.tables.relations import check_relations, stages_fault
from forecast.tables.rows import Loaded, load
from forecast.tables.source import Source
from forecast.tables.tables import Tables
from forecast.tables.translate import Translation
from forecast.tables.values import check_zone
from forecast.tables.writing import write_table

__all__ = ["Reading", "open_tables", "read_folder", "write_folder"]

_READERS: Final[dict[str, Callable[[Path], Source]]] = {".csv": read_csv, ".parquet": read_parquet}


@dataclass(frozen=True, eq=False)
class Reading:
    """Tables and the account of how they were read."""

    tables: Tables
    report: CheckReport


def read_folder(folder: Path | str, *, zone: str | None = None, dialect: Dialect = PLAIN) -> Reading:
    """Read a data folder; moments without zone are read in `zone`.

    zone : that of the dialect unless told otherwise
    dialect : how the folder's own headers, stages and words are to be understood
    A bad row goes to quarantine and all others load. Raises FolderError (a DataError with `.report`) if a
    file is refused or a required table is missing, UsageError if `zone` is no time zone.
    """
    zone = dialect.zone if zone is None else zone
    check_zone(zone)
    found = look_into(Path(folder), stated=_stated(dialect))
    files = {table: (path.name, partial(_READERS[path.suffix], path)) for table, path in found.files.items()}
    return _read(files, found.absent, found.refused, found.warnings, zone, dialect)


def open_tables(source: DataSource | str, *, zone: str | None = None, dialect: Dialect = PLAIN) -> Reading:
    """Read the tables of a folder or of a database (`forecast.database_url`), by the same rules.

    A database is read in one transaction that sees one state and cannot write. Raises as `read_folder` does,
    and UnavailableError if the server does not answer, BusyError if another process holds the file,
    UsageError for a URL that names no source or a driver that is not installed.
    """
    where = parse_source(source) if isinstance(source, str) else source
    if isinstance(where, Path):
        return read_folder(where, zone=zone, dialect=dialect)
    zone = dialect.zone if zone is None else zone
    check_zone(zone)
    with open_database(where, stated=_stated(dialect)) as found:
        tables = {table: (table_label(table), partial(found.read, table)) for table in found.present}
        return _read(tables, found.absent, found.refused, (), zone, dialect)


def _stated(dialect: Dialect) -> tuple[str, ...]:
    """Tables that need not be there, for the dialect states their rows."""
    return ("stages",) if dialect.stated_stages else ()


def _read(
    sources: Mapping[str, tuple[str, Callable[[], Source]]],
    absent: Iterable[str],
    refusals: Iterable[Refusal],
    told: Iterable[str],
    zone: str,
    dialect: Dialect,
) -> Reading:
    """Load every table and set one against the other.

    sources : table -> its name in messages, and how to read it
    absent : optional tables that are not there; refusals, told : what looking for the tables found
    """
    translation = Translation(dialect)
    refused, warnings = list(refusals), list(told)
    loaded = {table: _absent(table, zone, translation) for table in absent}
    for table, (name, read) in sources.items():
        try:
            loaded[table] = _load(table, read(), zone, translation)
        except DataError as error:
            refused.append(Refusal(name, error.code, error.message))
    loaded = {table: loaded[table] for table in TABLES if table in loaded}
    if "deal_events" in loaded and "deals" in loaded:
        translation.stage_events(loaded["deal_events"], loaded["deals"])
    warnings += [*translation.warnings, *translation.notes(loaded)]
    warnings += check_relations(loaded)
    warnings += [line for table in loaded.values() for line in table.warnings]
    report = CheckReport(
        tables={name: _count(loaded[name]) if name in loaded else TableCount() for name in TABLES},
        quarantine=pd.concat([_quarantined(table) for table in loaded.values()], ignore_index=True)
        if loaded
        else pd.DataFrame(columns=list(QUARANTINE)),
        refused=tuple(refused),
        warnings=tuple(warnings),
    )
    if refused:
        raise FolderError(report)
    tables = Tables(**{name: loaded[name].frame for name in TABLES})
    return Reading(tables, CheckReport(report.tables, report.quarantine, (), (*warnings, *_unrated(tables))))


def write_folder(tables: Tables, folder: Path, *, format: Literal["csv", "parquet"] = "csv") -> None:  # noqa: A002  (named in the contract)
    """Write the eight tables as files that `read_folder` reads back the same; each is replaced whole.

    Raises OutputError, also when the folder holds a table in the other format: it would hide the new one.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}", code="cannot_write") from error
    ending = f".{format}"
    for table in TABLES:
        for other in FORMATS:
            if other != ending and (folder / f"{table}{other}").exists():
                raise OutputError(
                    f"{folder} already holds {table}{other}; remove it or write {other[1:]}",
                    code="other_format",
                )
    for table in TABLES:
        write_table(tables[table], folder / f"{table}{ending}")


def _load(table: str, source: Source, zone: str, translation: Translation) -> Loaded:
    loaded = load(table, translation.cells(table, source), zone, translation.dialect)
    if table == "stages":
        translation.stages(loaded)
        if fault := stages_fault(loaded):
            raise DataError(fault, code="no_won_stage")
    return loaded


def _absent(table: str, zone: str, translation: Translation) -> Loaded:
    """A table that was not given: all columns, no file, and no rows unless the settings state them."""
    nothing = np.empty(0, np.int64)
    cells = pa.table({name: pa.array([], pa.large_string()) for name in TABLES[table]})
    loaded = load(table, Source("", 0, cells, nothing, lambda which: which, lambda _: []), zone)
    if table == "stages":
        translation.stages(loaded)
    return loaded


def _count(loaded: Loaded) -> TableCount:
    return TableCount(
        read=loaded.source.read + loaded.stated,
        loaded=len(loaded.frame),
        duplicates=loaded.duplicates,
        superseded=loaded.superseded,
        quarantined=len(loaded.faults),
    )


def _quarantined(loaded: Loaded) -> pd.DataFrame:
    """Rows of a table that did not load, in the order of the file."""
    faults = loaded.faults
    if not len(faults):
        return pd.DataFrame(columns=list(QUARANTINE))
    record = np.concatenate(faults.records)
    order = np.argsort(record, kind="stable")
    counts = [len(records) for records in faults.records]
    reasons = np.array([reason for group in faults.reasons for reason in group], dtype=object)
    return pd.DataFrame(
        {
            "table": loaded.table,
            "file": loaded.source.where(record[order]) if loaded.source.where else loaded.source.file,
            "line": loaded.source.lines(record[order]),
            "code": np.repeat(np.array(faults.codes, dtype=object), counts)[order],
            "reason": reasons[order],
            "raw": loaded.source.raw(record[order]),
        },
        columns=list(QUARANTINE),
    )


def _unrated(tables: Tables) -> list[str]:
    money = Money.from_tables(tables)
    codes = money.codes(tables.deals[Deals.currency])
    names = sorted(tables.deals[Deals.currency][codes < 0].unique())
    if not names:
        return []
    return [
        f"deals: {int((codes < 0).sum()):,} amounts are in {', '.join(names[:5])}, which fx_rates does not "
        f"convert to {money.reporting}; they are counted apart"
    ]
