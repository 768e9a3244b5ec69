"""python -m benchmarks.real: prepare | run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click
from rich.console import Console

from benchmarks.real.protocols import PROTOCOLS
from benchmarks.real.report import as_markdown, as_rich, put_between_marks
from forecast.cli import run as run_command
from forecast.errors import UnavailableError
from forecast.tables import write_folder

# The others are made anew for every question put to them.
_TABLES = ("bpic2012", "maven_crm")


@click.group(help="Public data sets as contract tables, and the whole job measured on them.")
def main() -> None:
    pass


@main.command(help="Write a data set as a folder of tables that every command of Forecast reads.")
@click.argument("name", type=click.Choice(_TABLES))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
def prepare(name: str, folder: Path, kind: Literal["csv", "parquet"]) -> None:
    load, _ = PROTOCOLS[name]
    tables = load()
    write_folder(tables, folder, format=kind)
    click.echo(f"{name}: {len(tables.deals):,} deals, {len(tables.deal_events):,} events written to {folder}")


@main.command(help="Fit, forecast and measure with a split by time; print the table.")
@click.argument("name", type=click.Choice([*sorted(PROTOCOLS), "all"]), default="all")
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Put the tables into this document, between its marks.",
)
def run(name: str, markdown: Path | None) -> None:
    console, progress = Console(), Console(stderr=True)
    for each in sorted(PROTOCOLS) if name == "all" else [name]:
        load, protocol = PROTOCOLS[each]
        try:
            tables = load()
        except UnavailableError as absent:
            # Data that is not there is no failure of the project: said plainly, and the rest goes on.
            progress.print(f"{each} skipped: {absent.message}")
            continue
        with progress.status(each) as status:
            result = protocol(tables, tell=status.update)
        console.print(as_rich(result))
        if markdown is not None:
            put_between_marks(markdown, each, as_markdown(result))


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.real"))
