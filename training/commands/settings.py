"""`python -m training settings`: check a settings file and show what holds."""

from __future__ import annotations

from pathlib import Path

import click

from forecast.cli.data_source import DATA_SOURCE
from forecast.database_url import DataSource

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training settings
  python -m training settings my.toml --changed
  python -m training settings my.toml --data export/
"""


@click.command("settings", epilog=_EPILOG)
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path, dir_okay=False))
@click.option("--changed", is_flag=True, help="Show only what the file changes.")
@click.option(
    "--data",
    type=DATA_SOURCE,
    metavar="DIR|URL",
    help="Folder of tables, or database: also say what does not go together with its history.",
)
def command(path: Path | None, changed: bool, data: DataSource | None) -> None:
    """Check a settings file and show every setting: its value, and its default where that is another.

    Without a file: the defaults. A mistake is refused as `train` would, with the nearest key or what was
    expected. What can be, but makes no sense together, is noted.
    """
    from training.settings import read_settings

    settings = read_settings(path)

    from rich.console import Console
    from rich.table import Table

    from training.sense import notes
    from training.settings_page import all_settings, shown

    span_days = None
    if data is not None:
        from forecast.history import History
        from forecast.tables import open_tables
        from training.train import span_days_of

        tables = open_tables(data, dialect=settings.dialect).tables
        span_days = span_days_of(History.from_tables(tables), tables.default_as_of)

    values = settings.to_toml()
    table = Table("setting", "value", "default", title_justify="left")
    for one in all_settings():
        value = values.get(one.section, {}).get(one.key, one.default)
        differs = value != one.default
        if differs or not changed:
            table.add_row(
                f"{one.section}.{one.key}",
                shown(value),
                shown(one.default) if differs else "",
                style="bold" if differs else "dim",
            )
    console = Console(highlight=False, markup=False)
    if table.row_count:
        console.print(table)
    else:
        console.print("Nothing is changed: the defaults hold.")
    for text in notes(settings, span_days):
        console.print(f"note: {text}", style="yellow")
