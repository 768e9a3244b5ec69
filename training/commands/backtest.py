"""`python -m training backtest`: the command around `training.backtest`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource
from forecast.language import LOCALES
from training.commands.options import no_track_option, settings_option

if TYPE_CHECKING:
    from rich.console import Console

    from training.backtest.results import Results
    from training.backtest.run import Backtest

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training backtest --data sample --out out/backtest
  python -m training backtest --data export/ --out backtest/ --quarters 4 --jobs 1
  python -m training backtest --data export/ --out backtest/ --settings my.toml --locale it --no-track
"""


@click.command("backtest", epilog=_EPILOG)
@data_option()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for the tables and the page; what is finished there is not done again.",
)
@click.option(
    "--quarters",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many of the last complete quarters to test.  [default: of the settings, 8]",
)
@settings_option("change; training/settings.toml explains all of them")
@click.option(
    "--locale", type=click.Choice(LOCALES), default="en", show_default=True, help="Language of the page."
)
@click.option(
    "--jobs", type=click.IntRange(min=1), metavar="N", help="Processes.  [default: one for each core]"
)
@no_track_option("Do not record the figures with MLflow.")
def command(
    data: DataSource,
    out: Path,
    quarters: int | None,
    settings_path: Path | None,
    locale: str,
    jobs: int | None,
    no_track: bool,
) -> None:
    """Forecast past quarters again and compare: ours, and the rules everybody uses.

    From moments inside each of the last quarters everything is learnt anew from what had been recorded before,
    and set beside what came. Stop it whenever you like: the same command goes on where it was.
    """
    # Wrong arguments are told before anything slow is loaded.
    from training.settings import read_settings

    started = time.time()
    settings = read_settings(settings_path)

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from forecast.lock import exclusive
    from forecast.tables import open_tables
    from training.backtest.results import write_results
    from training.backtest.run import backtest, usable_cores
    from training.backtest.screen import show

    says = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(
        SpinnerColumn(),
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        # Origins end in bursts: the speed of the last ten minutes says more than that of the last half.
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
        console=says,
        transient=True,
        speed_estimate_period=600,
    )
    with exclusive(out):
        with bar:
            task = bar.add_task(f"reading {data}", total=1.0)
            reading = open_tables(data, dialect=settings.dialect)

            def tell(text: str, share: float) -> None:
                bar.update(task, description=text, completed=share)

            tested = backtest(
                reading.tables, out, settings, quarters=quarters, jobs=jobs or usable_cores(), tell=tell
            )
            tell("measuring and drawing", 1.0)
            results = write_results(tested, out, locale=locale)
        if bad := len(reading.report.quarantine):
            rows = "1 bad row was" if bad == 1 else f"{bad:,} bad rows were"
            says.print(f"{rows} set aside; `forecast check {data}` shows them", style="yellow", markup=False)
        show(
            Console(highlight=False, width=None if says.is_terminal else 120),
            results.facts,
            tested.plan.notes,
        )
        again = (
            f" ({tested.found} of {len(tested.finished)} origins were done before)" if tested.found else ""
        )
        says.print(f"Page: {results.page}; tables beside it{again}", markup=False)
        if settings.tracking.enabled and not no_track:
            _record(says, tested, results, out, started)


def _record(says: Console, tested: Backtest, results: Results, out: Path, started: float) -> None:
    """Record the figures; a server that does not answer costs the record, never the results."""
    from forecast.errors import UnavailableError
    from training.backtest.results import flat_figures, origin_figures
    from training.backtest.store import code_version
    from training.tracking.scoreboards import Look, Scoreboard, record_scoreboard

    quarters = tested.plan.quarters
    by_origin = origin_figures(tested.bookings)
    board = Scoreboard(
        name=f"backtest {quarters[0].label} to {quarters[-1].label}",
        folder=out,
        params={
            **tested.settings.flat(),
            "data_fingerprint": tested.fingerprint,
            "code": code_version()[:12],
            "quarters": str(len(quarters)),
            "choose": tested.settings.backtest.choose,
        },
        metrics=flat_figures(results.figures),
        looks=[
            Look(
                one.origin.name,
                {
                    "as_of": one.origin.as_of.isoformat(),
                    "rung": one.recipe.rung,
                    "ridge": str(one.recipe.ridge),
                    "clock": one.recipe.clock,
                    "rounds": " ".join(map(str, one.recipe.rounds)),
                },
                by_origin.get((one.origin.period.label, one.origin.week), {}),
            )
            for one in tested.finished
        ],
        files=[results.bookings, results.deals, results.scoreboard, results.page],
        started=started,
    )
    try:
        uri, run_id = record_scoreboard(board, tested.settings.tracking)
    except UnavailableError as error:
        says.print(f"warning: {error.message}; everything in {out} is complete", style="yellow", markup=False)
        return
    says.print(f"Recorded with MLflow at {uri}, run {run_id}", markup=False)
