"""`forecast sample DIR`: write the history of an invented company."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from forecast.errors import OutputError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from forecast.simulator import Simulation

__all__ = ["command"]

# What marks a folder as ours to overwrite.
MARKER: Final = "sample.json"
_MADE_BY: Final = "forecast sample"
_TRUTH_HORIZONS: Final = (30, 90, 180, 365)


@click.command(
    "sample",
    short_help="Write the history of an invented company to try things on.",
    epilog="""\b
Example:
  forecast sample data/sample --deals 5000 --seed 7
  forecast check data/sample
""",
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--deals", default=5000, show_default=True, type=click.IntRange(1, 1_000_000), help="Number of deals."
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Same seed, same files.")
@click.option(
    "--format",
    "format_",
    default="csv",
    show_default=True,
    type=click.Choice(["csv", "parquet"]),
    help="How the tables are written.",
)
@click.option(
    "--truth",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Also write the true probability of winning of every open deal, month by month over the last year.",
)
@click.option(
    "--leaks",
    is_flag=True,
    help="Also plant fields that leak the outcome, and clean ones that look as if they did.",
)
@click.option("--force", is_flag=True, help="Write into a folder that holds something else.")
def command(
    folder: Path, deals: int, seed: int, format_: str, truth: Path | None, leaks: bool, force: bool
) -> None:
    """Invent a B2B company with four years of CRM history and write its tables to DIR.

    The company has teams in three regions, quotas, renewals, two currencies and the habits of real sellers
    (docs/simulator.md). Its history ends with 2025, so the coming quarter is 2026Q1. A folder that holds
    anything but a previous sample is left alone unless --force is given.
    """
    previous = _previous(folder)
    if previous is None and not force and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty and is not a previous sample; choose another folder or give --force",
            code="not_empty",
        )
    if truth is not None and truth.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"--truth {truth.name!r} must end in .csv or .parquet", code="bad_ending")

    # Imported late: `forecast sample --help` and a refusal need no pandas.
    from forecast.simulator import LEAKS, LOOKALIKES, simulate
    from forecast.tables import TABLES, write_bytes, write_folder, write_table

    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        step = progress.add_task(f"Inventing a company with {deals:,} deals", total=None)
        simulation = simulate(deals, seed, leaks=(*LEAKS, *LOOKALIKES) if leaks else ())
        progress.update(step, description=f"Writing tables to {folder}")
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} cannot be made: {error.strerror}", code="bad_folder") from error
        marker = {"made_by": _MADE_BY, "deals": deals, "seed": seed, "format": format_}
        if leaks:
            marker["leaks"] = True
        # The marker first: a run that is stopped here may simply be started again.
        write_bytes(folder / MARKER, (json.dumps(marker, indent=2) + "\n").encode())
        # A table must not be there in two formats.
        for name in TABLES:
            (folder / f"{name}.{'parquet' if format_ == 'csv' else 'csv'}").unlink(missing_ok=True)
        write_folder(simulation.tables, folder, format=cast(Literal["csv", "parquet"], format_))
        if truth is not None:
            progress.update(step, description="Working out the truth")
            write_table(_truth_rows(simulation), truth)

    shown = Table(box=None, pad_edge=False, show_header=False)
    for name in TABLES:
        shown.add_row(f"{name}.{format_}", f"{len(simulation.tables[name]):,} rows")
    if truth is not None:
        shown.add_row(escape(str(truth)), "the truth")
    out = Console(highlight=False, soft_wrap=True)
    out.print(
        f"Sample company in {escape(str(folder))} ({deals:,} deals, seed {seed}, coming quarter 2026Q1)"
    )
    out.print(shown)


def _previous(folder: Path) -> dict[str, Any] | None:
    """The marker of a previous sample, None where there is none."""
    try:
        marker = json.loads((folder / MARKER).read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) and marker.get("made_by") == _MADE_BY else None


def _truth_rows(simulation: Simulation) -> pd.DataFrame:
    """The truth at each month's start of the last year, its end included."""
    import pandas as pd

    moments = [simulation.until - pd.DateOffset(months=back) for back in range(12, -1, -1)]
    return pd.concat([simulation.truth_at(moment, _TRUTH_HORIZONS) for moment in moments], ignore_index=True)
