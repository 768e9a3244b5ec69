"""`python -m training COMMAND`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Final

import click

from forecast import __version__
from forecast.cli import LazyCommands, run

__all__ = ["cli", "main"]

_COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "audit": ("audit", "Find fields that leak what became of a deal."),
    "train": ("train", "Fit the models on a data folder, measure them, write a bundle."),
    "promote": ("promote", "Compare a bundle with the one that serves; let it serve if it is better."),
    "rollback": ("rollback", "Let the bundle serve again that served before."),
    "verify": ("verify", "Train a bundle again and compare it to the byte."),
    "settings": ("settings", "Check a settings file and show what holds."),
    "tune": ("tune", "Search hyper-parameters on folds before the held-out period."),
    "monitor": ("monitor", "Say whether a bundle still fits what was recorded since it was trained."),
    "backtest": ("backtest", "Forecast past quarters again, beside the rules everybody uses."),
}


@click.group(
    cls=LazyCommands,
    package="training.commands",
    commands_of=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="training")
@click.option("--debug", is_flag=True, help="Show the full traceback of an error.")
def cli(debug: bool) -> None:
    """Train, measure and register the models of Forecast."""
    if debug:
        os.environ["FORECAST_DEBUG"] = "1"


def main(args: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code (docs/cli.md)."""
    return run(cli, args, "python -m training")


if __name__ == "__main__":
    sys.exit(main())
