"""`forecast erase`: one person, account or deal, or what is too old, out of everything that is kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from forecast.cli.ledger import ledger_option, now_us, open_ledger
from forecast.errors import DataError, UsageError

if TYPE_CHECKING:
    from forecast.ledger import Erased, Ledger, Subject

__all__ = ["command"]

_EPILOG: Final = """\b
Examples:
  forecast erase --account A-17
  forecast erase --account A-17 --folder out --yes
  forecast erase --owner U-3 --folder out --folder data --yes
  forecast erase --older-than-days 730 --yes
"""
_DAY_US: Final = 86_400_000_000


@click.command("erase", epilog=_EPILOG)
@click.option("--deal", metavar="ID", help="A deal and everything said of it.")
@click.option("--account", metavar="ID", help="An account's deals, likewise.")
@click.option(
    "--owner", metavar="ID", help="A person's deals while they owned them, their forecasts and keys."
)
@click.option("--user", metavar="ID", help="The person alone: forecasts, keys, ownership; the deals stay.")
@click.option(
    "--older-than-days",
    type=click.IntRange(min=1),
    help="Snapshots, judgements and notes of what was served that are older than this.",
)
@click.option(
    "--folder",
    "folders",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="DIR",
    help="Also erase from the files below: outputs, quarantine reports, tables. May be given several times.",
)
@click.option("--yes", is_flag=True, help="Do it; without this only what would go is shown.")
@ledger_option
def command(
    deal: str | None,
    account: str | None,
    owner: str | None,
    user: str | None,
    older_than_days: int | None,
    folders: tuple[Path, ...],
    yes: bool,
    ledger: str | None,
) -> None:
    """Erase from the ledger, and from folders you name, without a byte left in its files.

    Killed at any moment, the same command finishes it. What was erased is noted in the ledger by a hash.
    """
    given = {"deal": deal, "account": account, "owner": owner, "user": user}
    named = {kind: value for kind, value in given.items() if value is not None}
    if len(named) + (older_than_days is not None) != 1:
        raise UsageError(
            "expected one of --deal, --account, --owner, --user and --older-than-days", code="bad_option"
        )
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"--folder {folder} is no folder", code="no_folder")
    with open_ledger(ledger) as kept:
        from forecast.ledger import Subject

        if older_than_days is not None:
            if folders:
                raise UsageError(
                    "--older-than-days is about the ledger; leave out --folder", code="bad_option"
                )
            _expire(kept, older_than_days, yes)
            return
        ((kind, value),) = named.items()
        _forget(kept, Subject(kind, value), folders, yes)  # type: ignore[arg-type]  # the kinds are the options


def _forget(ledger: Ledger, subject: Subject, folders: tuple[Path, ...], yes: bool) -> None:
    from forecast.ledger.files import erase_in_folder, still_holding

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not yes:
        found = Counter(ledger.holds(subject))
        for table, rows in found.items():
            console.print(f"{table:<12} {rows:>8,} rows would go")
    # Files first: which deals belong to an account is known only while the ledger has them.
    deals = ledger.deals_of(subject)
    for folder in folders:
        done = erase_in_folder(folder, subject, deals, rehearse=not yes)
        for path, rows in done.changed.items():
            console.print(f"{path}: {rows:,} row{'' if rows == 1 else 's'} {'erased' if yes else 'would go'}")
        for path in done.removed:
            console.print(f"{path}: {'removed' if yes else 'would be removed'}")
        for path in done.packed:
            console.print(f"{path}: is compressed and was not looked into; unpack it or delete it")
        if not yes:
            known = {*done.changed, *done.removed, *done.packed}
            for path in (path for path in still_holding(folder, subject) if path not in known):
                console.print(f"{path}: holds the id and cannot be taken apart; would stay for you to delete")
    if not yes:
        console.print("Nothing was erased; say --yes to do it.")
        return
    erased = ledger.erase(subject, now_us=now_us())
    _tell(erased, console)
    console.print(f"noted in {ledger.place} as {subject.kind} {erased.hash[:12]}")
    left = [path for folder in folders for path in still_holding(folder, subject)]
    if left:
        shown = ", ".join(map(str, left[:5])) + (f" and {len(left) - 5:,} more" if len(left) > 5 else "")
        raise DataError(
            f"the id is still in {len(left):,} files that cannot be taken apart: {shown}; delete them, and "
            "train again where it is a bundle",
            code="still_there",
        )


def _expire(ledger: Ledger, days: int, yes: bool) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    now = now_us()
    before_us = now - days * _DAY_US
    if not yes:
        old = [found for found in ledger.snapshots() if found.published_at_us < before_us]
        console.print(f"{len(old):,} snapshots older than {days:,} days would go, with what was served then")
        console.print("Nothing was erased; say --yes to do it.")
        return
    _tell(ledger.erase_before(before_us, now_us=now), console)


def _tell(erased: Erased, console: Console) -> None:
    for table, rows in erased.rows.items():
        console.print(f"{table:<12} {rows:>8,} rows erased")
    if erased.snapshots:
        console.print(f"snapshots that held some of it: {', '.join(name[:12] for name in erased.snapshots)}")
    if erased.bundles and erased.hash:
        console.print(
            f"their bundles: {', '.join(name[:12] for name in erased.bundles)}. A bundle keeps counts of deals "
            "won by owner and account under their ids: train again from data without them, and delete the old"
        )
