"""`python -m training monitor`: the command around `forecast.evaluation.drift`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource
from training.commands.options import as_of_option, json_option, settings_option

if TYPE_CHECKING:
    from rich.console import Console

    from forecast.evaluation.drift import Monitoring
    from training.settings import Settings

__all__ = ["command"]

_EPILOG = """\b
Exit codes: 0 keep the bundle, 11 train again, 12 look at something, 13 put the data right first.

\b
Examples:
  python -m training monitor --data export/ --bundle models/mine
  python -m training monitor --data export/ --bundle models/current --out monitoring/ --locale it
  python -m training monitor --data export/ --bundle models/mine --as-of 2026-03-01 --json verdict.json
"""


@click.command("monitor", epilog=_EPILOG)
@data_option()
@click.option(
    "--bundle",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="Trained bundle, or a pointer to one such as models/current.",
)
@as_of_option("Use only")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR|FILE",
    help="A page ending in .html; or a folder that gets the page, and facts and table of every run.",
)
@json_option("everything that was found")
@settings_option("change; its section [monitor] holds the thresholds")
@click.option(
    "--locale",
    type=click.Choice(["en", "it"]),
    default="en",
    show_default=True,
    help="Language of the page.",
)
@click.option(
    "--weeks",
    type=click.IntRange(min=1),
    metavar="N",
    help="Look back no further than N weeks.  [default: since training]",
)
@click.option("--track", is_flag=True, help="Also record the result with MLflow.")
def command(
    data: DataSource,
    folder: Path,
    as_of_text: str | None,
    out: Path | None,
    json_file: Path | None,
    settings_path: Path | None,
    locale: str,
    weeks: int | None,
    track: bool,
) -> int:
    """Compare a bundle with what was recorded since it was trained, and say whether to train again.

    Inputs, scores, wins and losses, amounts, new deals and bookings are compared week by week, without waiting
    for deals to end; the result may be looked at as often as one likes.
    """
    # Wrong arguments are told before anything slow is loaded.
    from forecast.periods import parse_as_of
    from training.settings import read_settings

    settings = read_settings(settings_path)
    as_of = None if as_of_text is None else parse_as_of(as_of_text)

    from forecast.bundle import load_bundle

    bundle = load_bundle(folder)

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from forecast.evaluation.drift import monitor_bundle
    from forecast.tables import open_tables
    from training.monitoring import EXIT_CODES, check_target, show, write_files

    check_target(out, json_file)
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
    with bar:
        task = bar.add_task(f"reading {data}", total=1.0)
        reading = open_tables(data, dialect=bundle.dialect)
        found = monitor_bundle(
            reading.tables,
            bundle,
            reading.tables.default_as_of if as_of is None else as_of,
            settings.monitor,
            weeks=weeks,
            tell=lambda text, share: bar.update(task, description=text, completed=share),
        )
        written = write_files(found, out, json_file, locale)
    bad = len(reading.report.quarantine)
    if bad:
        says.print(
            f"{bad:,} bad row{' was' if bad == 1 else 's were'} set aside; `forecast check {data}` shows them",
            style="yellow",
            markup=False,
        )
    show(Console(highlight=False, width=None if says.is_terminal else 110), found)
    for path in written:
        says.print(f"Written: {path}", markup=False)
    if track:
        _record(says, found, settings, locale)
    return EXIT_CODES[found.verdict.action]


def _record(says: Console, found: Monitoring, settings: Settings, locale: str) -> None:
    """Record with MLflow; a server that does not answer costs the record and not the verdict."""
    from forecast.errors import UnavailableError
    from forecast.report.monitoring import monitoring_facts, render_monitoring
    from training.monitoring import facts_text, metrics_of
    from training.tracking.monitoring import record_monitoring

    facts = monitoring_facts(found, locale)
    tags = {"verdict": found.verdict.action, "as_of": found.as_of.isoformat()}
    texts = {"monitoring.html": render_monitoring(facts), "monitoring.json": facts_text(facts)}
    try:
        where = record_monitoring(found.bundle_id, metrics_of(found), tags, texts, settings.tracking)
    except UnavailableError as error:
        says.print(f"warning: {error.message}; the verdict stands", style="yellow", markup=False)
        return
    says.print(f"Recorded with MLflow at {where}", markup=False)
