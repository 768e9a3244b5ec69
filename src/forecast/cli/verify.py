"""`forecast verify`: does a published file still come from what its receipt says?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console
from rich.text import Text

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource

if TYPE_CHECKING:
    from forecast.receipts import Check
    from forecast.tables import Dialect

__all__ = ["DISAGREES", "command", "tell"]

DISAGREES: Final = 10
_EPILOG = """\b
Examples:
  forecast verify scores.csv.receipt.json
  forecast verify report.html --data sample --bundle models/sample
  forecast verify models/sample --data sample --json verified.json
"""


@click.command("verify", epilog=_EPILOG)
@click.argument("path", metavar="RECEIPT|BUNDLE", type=click.Path(path_type=Path))
@data_option(required=False)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The bundle the file was made with, or a pointer to it.",
)
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the findings as JSON."
)
def command(path: Path, data: DataSource | None, bundle: Path | None, json_file: Path | None) -> int:
    """Check a published file against its receipt, or a bundle against its manifest.

    RECEIPT is scores.csv.receipt.json or scores.csv itself; the other lies beside it. With --data and --bundle
    the file is made again and compared to the byte. Data may have grown since: what counts is what was
    recorded before the as-of moment. Exits with 0 when everything that could be checked agrees, else with 10.
    """
    from forecast.bundle import resolve_bundle
    from forecast.errors import UsageError
    from forecast.receipts import read_receipt, receipt_path, verify_bundle, verify_output
    from forecast.tables import open_tables

    is_bundle = resolve_bundle(path).is_dir() if path.name == "current" else path.is_dir()
    if is_bundle and bundle is not None:
        raise UsageError(f"{path} is a bundle itself; leave out --bundle", code="bad_option")
    tables = None
    if data is not None:
        dialect = _dialect_of(path) if is_bundle else read_receipt(receipt_path(path))[0].dialect
        tables = open_tables(data, dialect=dialect).tables
    checks = verify_bundle(path, tables) if is_bundle else verify_output(receipt_path(path), tables, bundle)
    return tell(checks, json_file)


def _dialect_of(bundle: Path) -> Dialect:
    """How the bundle reads an export in its own words; one that cannot be loaded is told of by the checks."""
    from forecast.bundle import load_bundle
    from forecast.errors import BundleError
    from forecast.tables import PLAIN

    try:
        return load_bundle(bundle).dialect
    except BundleError:
        return PLAIN


def tell(checks: list[Check], json_file: Path | None) -> int:
    """Print the checks, write them as JSON where that is wanted, and return the exit code."""
    from forecast.tables import write_bytes

    holds = all(check.agrees is not False for check in checks)
    if json_file is not None:
        found = {"verified": holds, "checks": [asdict(check) for check in checks]}
        write_bytes(json_file, (json.dumps(found, indent=2, ensure_ascii=False) + "\n").encode())
    _show(checks, Console(highlight=False, soft_wrap=True))
    return 0 if holds else DISAGREES


def _show(checks: list[Check], console: Console) -> None:
    """A line for each check, and the verdict."""
    width = max(len(check.name) for check in checks)
    for check in checks:
        word, colour = {True: ("agrees", "green"), False: ("DIFFERS", "bold red"), None: ("-", "dim")}[
            check.agrees
        ]
        said = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in check.text)
        console.print(Text(f"{check.name:<{width}}  ") + Text(f"{word:<7}", colour) + Text(f"  {said}"))
    wrong = [check.name for check in checks if check.agrees is False]
    open_ = [check.name for check in checks if check.agrees is None]
    if wrong:
        console.print(Text(f"Not verified: {', '.join(wrong)}.", "bold red"))
    else:
        rest = f" as far as it was checked; open: {', '.join(open_)}" if open_ else ""
        console.print(Text(f"Verified{rest}.", "bold green"))
