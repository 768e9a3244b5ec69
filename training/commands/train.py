"""`python -m training train`: the command around `training.train`."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource
from training.commands.options import as_of_option, no_track_option, settings_option

if TYPE_CHECKING:
    from rich.console import Console

    from forecast.tables import CheckReport
    from training.settings import TrackingSettings
    from training.tracking import Record

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training train --data sample --bundle models/sample
  python -m training train --data export/ --as-of 2026-01-01 --bundle models/q1 --register
  python -m training train --data export/ --bundle models/mine --settings my.toml --no-track
"""


@click.command("train", epilog=_EPILOG)
@data_option()
@as_of_option("Learn only from")
@click.option(
    "--bundle",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Folder to write the bundle to, e.g. models/NAME; an older bundle there is replaced.",
)
@settings_option("change; training/settings.toml explains all of them")
@click.option("--register", is_flag=True, help="Add the bundle to the MLflow registry as a new version.")
@no_track_option("Do not record the run with MLflow.")
def command(
    data: DataSource,
    as_of_text: str | None,
    folder: Path,
    settings_path: Path | None,
    register: bool,
    no_track: bool,
) -> None:
    """Fit the models on a data folder, measure them on a later period, and write a bundle.

    The bundle is measured beside the rules everybody uses, on a period it had not seen, and then learns from
    everything. The same data, settings and as-of moment give the same bundle id.
    """
    # Wrong arguments are told before anything slow is loaded.
    from forecast.errors import BundleError, OutputError, UsageError
    from forecast.periods import parse_as_of
    from training.settings import read_settings

    started = time.time()
    settings = read_settings(settings_path)
    as_of = None if as_of_text is None else parse_as_of(as_of_text)
    track = settings.tracking.enabled and not no_track
    if register and not track:
        raise UsageError(
            "--register needs tracking, which --no-track or the settings switch off", code="bad_option"
        )

    from forecast.bundle import check_bundle_folder
    from forecast.promotion.shelf import Shelf, is_kept_name

    check_bundle_folder(folder)
    if is_kept_name(folder.name):
        raise OutputError(
            f"{folder} is the name of a promoted bundle, which is never changed; choose another name",
            code="bad_bundle_name",
        )
    shelf = Shelf(folder.parent)

    import pandas as pd
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from forecast.lock import exclusive
    from forecast.tables import known_before, open_tables, write_bytes
    from training.card import card_facts, card_path, card_text
    from training.evidence import collect_evidence
    from training.recording import record_of
    from training.summary import show
    from training.tracking import data_facts
    from training.train import train

    says = Console(stderr=True, highlight=False, soft_wrap=True)
    bar = Progress(
        SpinnerColumn(),
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=says,
        transient=True,
    )
    now = pd.Timestamp.now("UTC")
    with exclusive(folder):
        with contextlib.suppress(BundleError), shelf.locked():
            # What serves is kept under a name of its own before a training can replace it.
            shelf.settle(now)
        with bar:
            task = bar.add_task(f"reading {data}", total=1.0)
            reading = open_tables(data, dialect=settings.dialect)
            training = train(
                reading.tables,
                folder,
                settings,
                as_of=as_of,
                registering=register,
                tell=lambda text, share: bar.update(task, description=text, completed=share),
            )
            bar.update(task, description="writing the model card")
            tables = known_before(reading.tables, training.as_of)
            evidence = collect_evidence(training.models, training.history, training.measured, settings)
            facts = card_facts(training, tables, evidence, settings)
            write_bytes(card_path(training.folder), card_text(facts).encode())
        for text in _set_aside(reading.report, data):
            says.print(text, style="yellow", markup=False)
        show(Console(highlight=False, width=None if says.is_terminal else 110), training)
        if shelf.serve_first(folder, now):
            says.print(f"It serves from now on: {shelf.pointer} names it", markup=False)
        elif shelf.folder_of(training.bundle_id) != shelf.champion_folder():
            says.print(
                f"Another bundle serves, as {shelf.pointer} says; `python -m training promote` compares them",
                markup=False,
            )
        if track:
            named = data_facts(tables, _name_of(data))
            run = record_of(training, evidence, facts, named, settings, started=started)
            _record(says, run, settings.tracking, register=register)


def _set_aside(report: CheckReport, data: DataSource) -> list[str]:
    """What reading the tables left out or warned of, a line each."""
    bad = len(report.quarantine)
    rows = "1 bad row was" if bad == 1 else f"{bad:,} bad rows were"
    aside = [f"{rows} set aside; `forecast check {data}` shows them"] if bad else []
    return [*aside, *report.warnings]


def _name_of(data: DataSource) -> str:
    """What a data set is called where strangers read: the last part of its place, never the way to it."""
    name = data.resolve().name if isinstance(data, Path) else str(data).rstrip("/").rpartition("/")[2]
    return name or "data"


def _record(says: Console, run: Record, settings: TrackingSettings, *, register: bool) -> None:
    """Record the finished training; a server that does not answer costs the record, never the bundle."""
    from forecast.errors import UnavailableError
    from training.tracking import record

    try:
        done = record(run, settings, register=register)
    except UnavailableError as error:
        kept = f"{error.message}; the bundle in {run.folder} is complete"
        if register:
            # Registration was asked for and did not happen: a scheduler must see that.
            raise UnavailableError(
                f"{kept} but not registered: run the same command again once it answers", code=error.code
            ) from error
        says.print(f"warning: {kept}", style="yellow", markup=False)
        return
    if done.version is None:
        says.print(f"Recorded with MLflow at {done.uri}, run {done.run_id}", markup=False)
    else:
        was = "is already registered as" if done.known else "registered as"
        says.print(
            f"Bundle {run.bundle_id[:12]} {was} {settings.model} version {done.version}, "
            f"alias {done.alias} ({done.uri})",
            markup=False,
        )
