"""`forecast rollback`: the bundle before the last promotion serves again."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

__all__ = ["command"]

_EPILOG = """\b
Examples:
  forecast rollback
  forecast rollback --models /srv/forecast/models --reason "bookings of March far off"
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
def command(root: Path, reason: str) -> None:
    """Let the bundle serve again that served before the last promotion.

    Asks no gate, no data and no MLflow; a running service follows within seconds. Called again, it goes one
    promotion further back. `python -m training rollback` does the same and tells MLflow.
    """
    import pandas as pd

    from forecast.promotion.desk import Desk
    from forecast.promotion.shelf import Shelf

    says = Console(stderr=True, highlight=False, soft_wrap=True)
    desk = Desk(Shelf(root), None, pd.Timestamp.now("UTC"))
    for text in desk.settle():
        says.print(text, style="yellow", markup=False)
    new, old = desk.roll_back(reason.strip() or "rolled back by hand")
    Console(highlight=False, soft_wrap=True).print(
        f"Rolled back: {new.name} serves in place of {old.name}", markup=False
    )
    says.print(f"{desk.shelf.pointer} names {desk.shelf.folder_of(new.bundle_id).name}", markup=False)
    if old.version is not None:
        says.print(
            f"MLflow still names {old.name}: run `python -m training rollback` where it answers, or the next "
            "command that follows it brings that one back",
            style="yellow",
            markup=False,
        )
