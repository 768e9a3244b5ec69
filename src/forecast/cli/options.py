"""Options that several commands share, and how they are read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click
import pandas as pd
from rich.console import Console
from rich.markup import escape

from forecast.bundle import Bundle, load_bundle
from forecast.database_url import DataSource
from forecast.errors import OutputError
from forecast.language import LOCALES
from forecast.outlook import check_reach
from forecast.periods import Period, parse_as_of
from forecast.receipts import read_as_of
from forecast.tables import Reading, open_tables

__all__ = [
    "as_of_option",
    "bundle_option",
    "locale_option",
    "note",
    "open_inputs",
    "out_option",
    "period_option",
    "table_option",
]

F = TypeVar("F", bound=Callable[..., Any])
# A CRM in which nobody touches any deal for longer than this is more likely an old export.
_STALE: Final = pd.Timedelta(days=31)


def bundle_option(function: F) -> F:
    """--bundle DIR"""
    return click.option(
        "--bundle",
        type=click.Path(path_type=Path),
        required=True,
        metavar="DIR",
        help="Trained bundle, or a pointer to one such as models/current.",
    )(function)


def as_of_option(function: F) -> F:
    """--as-of DATE"""
    return click.option(
        "--as-of",
        metavar="DATE",
        help="Use only what was recorded before this moment. [default: after the newest event]",
    )(function)


def period_option(*, required: bool) -> Callable[[F], F]:
    """--period 2026Q1"""
    return click.option("--period", metavar="PERIOD", required=required, help="2026Q1, 2026-01 or 2026.")


def locale_option(help_text: str) -> Callable[[F], F]:
    """--locale en|it"""
    return click.option(
        "--locale", type=click.Choice(LOCALES), default="en", show_default=True, help=help_text
    )


def out_option(help_text: str, *endings: str) -> Callable[[F], F]:
    """--out FILE, whose ending must be one of `endings`."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        metavar="FILE",
        callback=_writable(endings),
        help=f"Where to write: {help_text}.",
    )


def table_option(name: str, help_text: str) -> Callable[[F], F]:
    """--NAME FILE, a second table, CSV or Parquet, that is written only when asked for."""
    return click.option(
        f"--{name}",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        callback=_writable((".csv", ".parquet")),
        help=help_text,
    )


def _writable(
    endings: tuple[str, ...],
) -> Callable[[click.Context, click.Parameter, Path | None], Path | None]:
    """Refuses a file that could not be written: it is wrong before the work begins, not after."""

    def check(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:  # noqa: ARG001  (click's interface)
        if path is None:
            return None
        if path.suffix not in endings:
            raise OutputError(
                f"{path} has no ending that names a format; expected {' or '.join(endings)}",
                code="unknown_format",
            )
        if not path.parent.is_dir():
            raise OutputError(
                f"{path} cannot be written: there is no folder {path.parent}; make it first",
                code="cannot_write",
            )
        return path

    return check


def open_inputs(
    data: DataSource, bundle: Path, as_of: str | None, period: str | None, kind: str
) -> tuple[Reading, Bundle, pd.Timestamp, Period | None]:
    """Read and verify what a command works on, and say on stderr what was set aside while reading.

    kind : of the output (`receipts.KINDS`); the tables returned are those it reads, as known before the moment
    """
    span = None if period is None else Period.parse(period)
    asked = None if as_of is None else parse_as_of(as_of)
    loaded = load_bundle(bundle)
    reading = open_tables(data, dialect=loaded.dialect)
    moment = reading.tables.default_as_of if asked is None else asked
    note(reading, loaded, moment)
    check_reach(reading.tables, moment, leads=kind == "lead_scores")
    known = read_as_of(reading.tables, kind, moment, span)
    return Reading(known, reading.report), loaded, moment, span


def note(reading: Reading, bundle: Bundle, as_of: pd.Timestamp) -> None:
    """One line on stderr for each thing the reader of the result should know."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    bad = len(reading.report.quarantine)
    if bad:
        rows = "1 bad row was" if bad == 1 else f"{bad:,} bad rows were"
        console.print(f"[yellow]note:[/] {rows} set aside; `forecast check` shows them")
    for warning in reading.report.warnings:
        console.print(f"[yellow]note:[/] {escape(str(warning))}")
    if bundle.trained_until > as_of:
        console.print(
            f"[yellow]note:[/] the bundle learnt from data until {bundle.trained_until:%Y-%m-%d}, later than "
            f"the as-of date {as_of:%Y-%m-%d}: this is not an honest back-test"
        )
    newest = reading.tables.deal_events["recorded_at"].max()
    if as_of - newest > _STALE:  # False for data without any event
        console.print(
            f"[yellow]note:[/] nothing was recorded in the {(as_of - newest).days} days before the as-of date "
            f"{as_of:%Y-%m-%d}: what happened since {newest:%Y-%m-%d} is in none of the numbers"
        )
