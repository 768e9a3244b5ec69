"""`python -m training rollback`: the command around `forecast.promotion`."""

from __future__ import annotations

from pathlib import Path

import click

from training.commands.options import no_track_option, settings_option

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training rollback
  python -m training rollback --reason "bookings of March far off" --models models
  python -m training rollback --no-track
"""


@click.command("rollback", epilog=_EPILOG)
@click.option(
    "--models",
    "root",
    type=click.Path(path_type=Path),
    default=Path("models"),
    show_default=True,
    metavar="DIR",
    help="Folder of bundles whose `current` is to change.",
)
@click.option("--reason", default="", metavar="TEXT", help="Why, for the log.")
@settings_option("change; [tracking] says where MLflow is")
@no_track_option("Leave MLflow alone: only the folder of bundles counts.")
def command(root: Path, reason: str, settings_path: Path | None, no_track: bool) -> None:
    """Let the bundle serve again that served before the last promotion.

    Asks no gate and needs no data. Called again, it goes one promotion further back.
    """
    from training.settings import read_settings

    settings = read_settings(settings_path)

    import pandas as pd
    from rich.console import Console

    from forecast.promotion.desk import Desk
    from forecast.promotion.shelf import Shelf
    from training.tracking import Registry

    says = Console(stderr=True, highlight=False, soft_wrap=True)
    desk = Desk(Shelf(root), None if no_track else Registry.open(settings.tracking), pd.Timestamp.now("UTC"))
    for text in desk.settle():
        says.print(text, style="yellow", markup=False)
    new, old = desk.roll_back(reason.strip() or "rolled back by hand")
    Console(highlight=False, soft_wrap=True).print(
        f"Rolled back: {new.name} serves in place of {old.name}", markup=False
    )
    says.print(f"{desk.shelf.pointer} names {desk.shelf.folder_of(new.bundle_id).name}", markup=False)
