"""`forecast check`: read a data folder and say what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forecast.bundle import load_bundle
from forecast.cli.data_source import DATA_SOURCE
from forecast.database_url import DataSource
from forecast.errors import UsageError
from forecast.tables import PLAIN, CheckReport, Dialect, FolderError, open_tables, read_dialect, write_bytes

__all__ = ["command", "show_report"]

_CLEAN: Final = 0
_REFUSED: Final = 3
_QUARANTINED: Final = 4


@click.command("check")
@click.argument("data", metavar="DIR|URL", type=DATA_SOURCE)
@click.option("--strict", is_flag=True, help="Exit with 4 when rows were quarantined.")
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the findings as JSON."
)
@click.option(
    "--settings",
    "settings_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Settings of a training: its own headers, stage names and BANT words are understood.",
)
@click.option(
    "--bundle",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Read the tables as this bundle does, instead of --settings.",
)
@click.option("--zone", help="Time zone of moments that name none.  [default: of the settings, else UTC]")
def command(
    data: DataSource,
    strict: bool,
    json_file: Path | None,
    settings_file: Path | None,
    bundle: Path | None,
    zone: str | None,
) -> int:
    """Read a data folder, or a database, and say what is wrong with it.

    Counts the rows of every table and lists those that did not load, with file, line and reason (of a
    database: table and key). Nothing is
    changed. Exits with 0 when every file was read, 3 when one was refused, and with --strict 4 when rows did
    not load.

    \b
    Examples:
      forecast check data/ --strict --json check.json
      forecast check export/ --settings my.toml
    """
    dialect = _dialect(settings_file, bundle)
    try:
        report = open_tables(data, zone=zone, dialect=dialect).report
    except FolderError as error:
        report = error.report
    if json_file is not None:
        write_bytes(json_file, report.to_json().encode())
    show_report(report, Console(highlight=False, soft_wrap=True))
    if report.refused:
        return _REFUSED
    return _QUARANTINED if strict and len(report.quarantine) else _CLEAN


def _dialect(settings_file: Path | None, bundle: Path | None) -> Dialect:
    if settings_file is not None and bundle is not None:
        raise UsageError(
            "--settings and --bundle each say how to read the folder; give one", code="bad_option"
        )
    if bundle is not None:
        return load_bundle(bundle).dialect
    return PLAIN if settings_file is None else read_dialect(settings_file)


def show_report(report: CheckReport, console: Console) -> None:
    """Print the counts, then what did not load by kind of fault, then refusals and warnings."""
    if any(count.read for count in report.tables.values()):
        console.print(_counts(report))
    if len(report.quarantine):
        console.print(_faults(report))
    for refusal in report.refused:
        console.print(f"[bold red]refused:[/] {_plain(refusal.file)} {_plain(refusal.reason)}")
    for warning in report.warnings:
        console.print(f"[yellow]warning:[/] {_plain(warning)}")
    console.print(_verdict(report))


def _counts(report: CheckReport) -> Table:
    table = Table(title="Rows", title_justify="left")
    table.add_column("table")
    for name in ("read", "loaded", "duplicates", "superseded", "quarantined"):
        table.add_column(name, justify="right")
    for name, count in report.tables.items():
        numbers = (count.read, count.loaded, count.duplicates, count.superseded, count.quarantined)
        table.add_row(name, *(f"{number:,}" for number in numbers), style="dim" if not count.read else "")
    return table


def _faults(report: CheckReport) -> Table:
    table = Table(title="Not loaded", title_justify="left")
    table.add_column("table")
    table.add_column("code")
    table.add_column("rows", justify="right")
    table.add_column("first", overflow="fold")
    for (name, code), rows in report.quarantine.groupby(["table", "code"], sort=False):
        first = rows.iloc[0]
        table.add_row(
            str(name),
            str(code),
            f"{len(rows):,}",
            _plain(f"{_place(first)}: {first['reason']}"),
        )
    return table


def _place(row: pd.Series) -> str:
    """Where a row stands; one of a database has no line."""
    return f"{row['file']} line {row['line']}" if row["line"] else str(row["file"])


def _verdict(report: CheckReport) -> str:
    return ", ".join(_parts(report)) + "."


def _parts(report: CheckReport) -> Iterator[str]:
    loaded = sum(count.loaded for count in report.tables.values())
    left_out = len(report.quarantine)
    yield f"{loaded:,} rows load"
    yield f"{left_out:,} do not" if left_out else "none is left out"
    if report.refused:
        yield f"[bold red]{len(report.refused)} refused: the folder cannot be used[/]"


def _plain(text: str) -> str:
    """Text from a file as a terminal may show it: no markup, no control sequences."""
    return escape("".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text))
