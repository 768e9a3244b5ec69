"""python -m benchmarks.real: prepare. What is measured on these sets, `python -m benchmarks.accuracy` runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

import click

from benchmarks.real.protocols import PROTOCOLS
from forecast.cli import run as run_command
from forecast.tables import write_folder

# The tables of the other sets are made anew for every question put to them.
_WITH_TABLES = ("bpic2012", "maven_crm")


@click.group(help="Public data sets as contract tables.")
def main() -> None:
    pass


@main.command(help="Write a data set as a folder of tables that every command of Forecast reads.")
@click.argument("name", type=click.Choice(_WITH_TABLES))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--format", "kind", type=click.Choice(["csv", "parquet"]), default="csv", show_default=True)
def prepare(name: str, folder: Path, kind: Literal["csv", "parquet"]) -> None:
    load, _ = PROTOCOLS[name]
    tables = load()
    write_folder(tables, folder, format=kind)
    click.echo(f"{name}: {len(tables.deals):,} deals, {len(tables.deal_events):,} events written to {folder}")


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.real"))
