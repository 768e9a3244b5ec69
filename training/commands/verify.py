"""`python -m training verify`: train a bundle again and compare it to the byte."""

from __future__ import annotations

from pathlib import Path

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training verify models/sample --data sample
  python -m training verify models/current --data postgresql://reader@db/crm --json verified.json
"""


@click.command("verify", epilog=_EPILOG)
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@data_option()
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the findings as JSON."
)
def command(path: Path, data: DataSource, json_file: Path | None) -> int:
    """Train a bundle again, with the settings it recorded, and compare it to the byte.

    The data may have grown since: what counts is what was recorded before the moment the bundle was trained
    until. Takes as long as the training did. Exits with 0 when everything agrees, else with 10.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from forecast.bundle import load_bundle
    from forecast.cli.verify import tell
    from forecast.tables import open_tables
    from training.verify import verify_training

    bar = Progress(
        SpinnerColumn(),
        BarColumn(24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True, highlight=False, soft_wrap=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(f"reading {data}", total=1.0)
        tables = open_tables(data, dialect=load_bundle(path).dialect).tables
        checks = verify_training(
            path, tables, tell=lambda text, share: bar.update(task, description=text, completed=share)
        )
    return tell(checks, json_file)
