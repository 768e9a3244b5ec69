"""`python -m training tune`: the command around `training.tuning`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource
from training.commands.options import as_of_option, settings_option

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from training.tuning.study import Budget

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training tune --data sample --out out/tuned.toml
  python -m training tune --data export/ --settings my.toml --out out/tuned.toml --minutes 60
  python -m training tune --data sample --out out/tuned.toml --trials 20
"""
_MINUTES = 10.0


@click.command("tune", epilog=_EPILOG)
@data_option()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="Settings to write if they are an improvement (.toml); the search is kept beside it and goes on.",
)
@click.option(
    "--minutes",
    type=float,
    metavar="N",
    help="Stop after so many minutes.  [default: 10, or none with --trials]",
)
@click.option(
    "--trials", type=int, metavar="N", help="Stop at so many finished trials, earlier runs counted."
)
@as_of_option("Use only")
@settings_option("start from")
def command(
    data: DataSource,
    out: Path,
    minutes: float | None,
    trials: int | None,
    as_of_text: str | None,
    settings_path: Path | None,
) -> None:
    """Search hyper-parameters on folds that end before the held-out period, and show whether it was worth it.

    The search is kept in a folder beside --out and goes on where it was stopped. --out is written only where
    the gain over the settings it started from is more than twice its standard error.
    """
    from forecast.errors import OutputError, UsageError
    from forecast.periods import parse_as_of
    from training.settings import read_settings

    if minutes is not None and not 0 < minutes <= 100_000:
        raise UsageError(f"--minutes is {minutes:g}; expected a number above 0", code="bad_option")
    if trials is not None and trials < 1:
        raise UsageError(f"--trials is {trials}; expected 1 or more", code="bad_option")
    if out.suffix != ".toml":
        raise OutputError(f"{out} has no ending that names a format; expected .toml", code="unknown_format")
    settings = read_settings(settings_path)
    as_of = None if as_of_text is None else parse_as_of(as_of_text)

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from forecast.errors import DataError
    from forecast.history import History
    from forecast.lock import exclusive
    from forecast.tables import Money, known_before, open_tables, write_bytes
    from training.holdout import choose_holdout
    from training.tuning.result import show, tuned_text
    from training.tuning.study import Budget, confirm, search

    if minutes is None and trials is None:
        minutes = _MINUTES
    budget = Budget(None if minutes is None else 60 * minutes, trials)
    says = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(
        SpinnerColumn(),
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.description}"),
        console=says,
        transient=True,
    )
    folder = out.with_suffix(".study")
    with exclusive(folder), bar:
        task = bar.add_task(f"reading {data}", total=1.0, left="")
        reading = open_tables(data, dialect=settings.dialect)
        moment = reading.tables.default_as_of if as_of is None else as_of
        tables = known_before(reading.tables, moment)  # the same search while the data grow
        history = History.from_tables(tables, Money.from_tables(tables, settings.fit.reporting_currency))
        holdout, note = choose_holdout(history, moment, settings.holdout)
        if holdout is None:
            raise DataError(f"nothing can be tuned without a held-out period. {note}", code="no_holdout")
        found = search(
            history,
            tables.fingerprint,
            holdout,
            settings.fit,
            folder,
            budget,
            tell=lambda text, finished, spent: _progress(bar, task, budget, text, finished, spent),
        )
        bar.update(task, description="asking the held-out period", completed=1.0, left="")
        confirmed = confirm(history, moment, holdout, settings.fit, found.settings)
        if found.is_better:
            write_bytes(out, tuned_text(settings, found, confirmed, holdout).encode())
    bad = len(reading.report.quarantine)
    if bad:
        says.print(f"{bad:,} bad rows were set aside; `forecast check {data}` shows them", style="yellow")
    console = Console(highlight=False, width=None if says.is_terminal else 110)
    show(console, settings, found, confirmed, holdout, out)


def _progress(bar: Progress, task: TaskID, budget: Budget, text: str, finished: int, spent: float) -> None:
    shares = []
    if budget.seconds is not None:
        shares.append(spent / budget.seconds)
    if budget.trials is not None:
        shares.append(finished / budget.trials)
    share = min(max(shares, default=0.0), 1.0)
    left = "" if share <= 0.0 else f"{max(spent / share - spent, 0.0) / 60:.0f} min left"
    bar.update(task, description=text, completed=share, left=left)
