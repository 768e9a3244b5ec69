"""Speed of scoring: `forecast score` of a large book end to end, and one deal in the library.

    python -m benchmarks.scoring [--deals 100000] [--runs 3]

The book is a made-up company whose open deals are repeated under new ids, each with its events and
activities, until there are enough. The command runs as a process of its own, from reading the files to
writing the scores.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.features import Taken, median_taken
from benchmarks.machine import machine, peak_gigabytes
from forecast.bundle import Bundle, load_bundle, write_bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.periods import Period
from forecast.scoring import score_arrays, score_deals, score_open_deals
from forecast.simulator import simulate
from forecast.tables import Money, Tables, write_folder

TARGET_SECONDS: Final = 20.0
TARGET_PEAK_GB: Final = 2.0
TARGET_DEALS: Final = 100_000


class Run(NamedTuple):
    """Time and peak memory of one process."""

    taken: Taken
    peak_gb: float


def book_of(tables: Tables, size: int) -> Tables:
    """The same company with its open deals repeated until exactly `size` are open; closed ones stay."""
    kinds = tables.stages.set_index("stage")["kind"]
    stage_events = tables.deal_events[tables.deal_events["field"] == "stage"]
    last = stage_events.sort_values("recorded_at", kind="stable").groupby("deal_id")["value"].last()
    open_ids = pd.Index(last.index[last.map(kinds) == "open"])
    kept = tables.deals.loc[~tables.deals["deal_id"].isin(open_ids), "deal_id"]
    copies = [open_ids[: size - start] for start in range(0, size, len(open_ids))]

    def repeated(frame: pd.DataFrame) -> pd.DataFrame:
        parts = [frame[frame["deal_id"].isin(kept)]]
        for number, ids in enumerate(copies):
            part = frame[frame["deal_id"].isin(ids)]
            parts.append(part.assign(deal_id=part["deal_id"] + f"~{number}"))
        return pd.concat(parts, ignore_index=True)

    return Tables.from_frames(
        stages=tables.stages,
        deals=repeated(tables.deals),
        deal_events=repeated(tables.deal_events),
        activities=repeated(tables.activities),
        users=tables.users,
        quotas=tables.quotas,
        fx_rates=tables.fx_rates,
    )


def run_command(data: Path, bundle: Path, period: str, out: Path) -> Run:
    """One `forecast score`; ClickException with what it said if it failed."""
    arguments = ["score", "--data", data, "--bundle", bundle, "--period", period, "--out", out]
    with tempfile.TemporaryFile("w+") as said:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "forecast.cli", *map(str, arguments)], stdout=said, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            said.seek(0)
            raise click.ClickException(f"forecast score failed: {said.read().strip()[-2000:]}")
    return Run(Taken(seconds, usage.ru_utime + usage.ru_stime), peak_gigabytes(usage))


@click.command(help=__doc__)
@click.option("--deals", default=TARGET_DEALS, show_default=True, help="Open deals to score.")
@click.option("--runs", default=3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def command(deals: int, runs: int, seed: int) -> None:
    console, progress = Console(), Console(stderr=True)
    with tempfile.TemporaryDirectory() as scratch, progress.status("inventing a company") as status:
        folder = Path(scratch)
        company = simulate(5000, seed).tables
        status.update("fitting")
        bundle = _bundle(company, folder / "bundle", seed)
        period = Period.coming(company.default_as_of).label
        book = book_of(company, deals)
        table = Table(title=f"Scoring · {machine()}", caption=f"medians of {runs} runs")
        for name in ("what", "by the clock", "processor", "peak memory", "target", ""):
            table.add_column(name, justify="left" if name == "what" else "right")
        kinds: tuple[Literal["csv", "parquet"], ...] = ("csv", "parquet")
        for kind in kinds:
            status.update(f"writing {deals:,} open deals as {kind}")
            write_folder(book, folder / kind, format=kind)
            status.update(f"forecast score, {kind}")
            out = folder / f"scores.{kind}"
            measured = [run_command(folder / kind, folder / "bundle", period, out) for _ in range(runs)]
            seconds = statistics.median(run.taken.wall for run in measured)
            busy = statistics.median(run.taken.cpu for run in measured)
            peak = max(run.peak_gb for run in measured)
            met = seconds <= TARGET_SECONDS and peak <= TARGET_PEAK_GB
            table.add_row(
                f"forecast score, {deals:,} open deals, {kind}",
                f"{seconds:.1f} s",
                f"{busy:.1f} s",
                f"{peak:.2f} GB",
                f"{TARGET_SECONDS:.0f} s, {TARGET_PEAK_GB:.0f} GB",
                "[green]met[/]" if met else "[red]missed[/]",
            )
        status.update("one deal in the library")
        for what, taken in _one_deal(company, bundle).items():
            table.add_row(what, f"{taken.wall * 1e3:.2f} ms", f"{taken.cpu * 1e3:.2f} ms", "", "", "")
    console.print(table)


def _bundle(company: Tables, folder: Path, seed: int) -> Bundle:
    history = History.from_tables(company, Money.from_tables(company))
    models = fit_models(history, company.default_as_of, FitSettings(seed=seed))
    write_bundle(models, folder, metrics={}, data_fingerprint=company.fingerprint)
    return load_bundle(folder)


def _one_deal(company: Tables, bundle: Bundle) -> dict[str, Taken]:
    """Medians of scoring one deal: from its JSON, and from a history already there."""
    as_of = company.default_as_of
    history = History.from_tables(company, bundle.models.money)
    first = score_open_deals(history, bundle, as_of, reasons=0)["deal_id"].iloc[0]
    one = history.index_of([first])
    request = [_as_request(company, str(first))]

    def from_request() -> object:
        fresh = History.from_request(request, stages=bundle.models.stages, money=bundle.models.money)
        return score_arrays(fresh, bundle, np.array([0]), as_of)

    return {
        "one deal, from its JSON, five reasons": median_taken(from_request, 200),
        "one deal, history at hand, five reasons": median_taken(
            lambda: score_arrays(history, bundle, one, as_of), 200
        ),
        "one deal, history at hand, no reasons": median_taken(
            lambda: score_arrays(history, bundle, one, as_of, reasons=0), 200
        ),
        "one deal, as a table, five reasons": median_taken(
            lambda: score_deals(history, bundle, one, as_of), 200
        ),
    }


def _as_request(company: Tables, deal_id: str) -> dict[str, Any]:
    """A deal of the tables as a caller of the service would send it."""
    row = company.deals[company.deals["deal_id"] == deal_id].iloc[0].dropna()
    events = company.deal_events[company.deal_events["deal_id"] == deal_id].fillna({"value": ""})
    activities = company.activities[company.activities["deal_id"] == deal_id]
    return {
        **{str(name): value for name, value in row.items()},
        "events": [
            {"field": event.field, "value": event.value or None, "recorded_at": event.recorded_at}
            for event in events.itertuples()
        ],
        "activities": [
            {"kind": activity.kind, "direction": activity.direction, "occurred_at": activity.occurred_at}
            for activity in activities.itertuples()
        ],
    }


if __name__ == "__main__":
    command()
