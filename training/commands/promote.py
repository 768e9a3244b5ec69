"""`python -m training promote`: the command around `training.gate` and `forecast.promotion`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource
from training.commands.options import as_of_option, json_option, no_track_option, settings_option

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from forecast.bundle import Bundle
    from training.gate import Outcome
    from training.settings import Settings
    from training.tracking import Registry

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training promote --candidate --data sample
  python -m training promote 7 --data export/ --json gate.json
  python -m training promote models/mine --data export/ --no-track
  python -m training promote 7 --force "new sales process, nothing to compare with"
"""


@click.command("promote", epilog=_EPILOG)
@click.argument("what", required=False, metavar="[VERSION|FOLDER]")
@click.option("--candidate", is_flag=True, help="The version with the alias candidate in the registry.")
@click.option(
    "--settle",
    is_flag=True,
    help="Promote nothing: only finish what a killed command left, and follow the registry.",
)
@data_option(required=False)
@as_of_option("Compare on")
@click.option(
    "--models",
    "root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of bundles whose `current` is to change.  [default: the folder's parent, else models]",
)
@settings_option("change; [gate] holds the margins")
@click.option("--force", metavar="REASON", help="Promote whatever the gate says; the reason is recorded.")
@no_track_option("Leave MLflow alone: only the folder of bundles counts.")
@json_option("what the gate found")
def command(
    what: str | None,
    candidate: bool,
    settle: bool,
    data: DataSource | None,
    as_of_text: str | None,
    root: Path | None,
    settings_path: Path | None,
    force: str | None,
    no_track: bool,
    json_file: Path | None,
) -> None:
    """Compare a bundle with the one that serves, on the same later period, and let it serve if it is better.

    VERSION is a number in the MLflow registry, FOLDER a bundle. --data are the tables to compare on. It is
    promoted if it is not worse beyond the margins and better somewhere; otherwise the command ends with 9 and
    nothing changes. Killed at any moment, it leaves the old bundle or the new one serving, and the next command
    finishes what it began.
    """
    # Wrong arguments are told before anything slow is loaded.
    from forecast.errors import ForecastError, GateError, UsageError
    from forecast.periods import parse_as_of
    from training.settings import read_settings

    if (what is not None) + candidate + settle != 1:
        raise UsageError(
            "say what to promote: a VERSION of the registry, the FOLDER of a bundle, or --candidate",
            code="bad_option",
        )
    if force is not None and not force.strip():
        raise UsageError("--force needs a reason, which is recorded", code="bad_option")
    settings = read_settings(settings_path)
    as_of = None if as_of_text is None else parse_as_of(as_of_text)
    folder = None if what is None or what.isdigit() else Path(what)
    if root is None:
        root = Path("models") if folder is None else folder.parent

    import pandas as pd
    from rich.console import Console

    from forecast.bundle import load_bundle
    from forecast.promotion.desk import Desk
    from forecast.promotion.shelf import Shelf
    from forecast.tables import write_bytes
    from training.gate.show import show
    from training.tracking import Registry

    says = Console(stderr=True, highlight=False, soft_wrap=True)
    shows = Console(highlight=False, width=None if says.is_terminal else 110)
    registry = None if no_track else Registry.open(settings.tracking)
    if folder is not None:
        load_bundle(folder)  # whoever mistypes a folder is told before anything else happens
    desk = Desk(Shelf(root), registry, pd.Timestamp.now("UTC"))
    for text in desk.settle():
        says.print(text, style="yellow", markup=False)
    if settle:
        serves = desk.champion()
        shows.print("Nothing serves yet." if serves is None else f"Serving: {serves[0].name}", markup=False)
        return

    if candidate:
        what = _candidate(registry)
        if what is None:
            shows.print("Nothing to promote: no version is called candidate. Train one with --register.")
            return
    new = desk.candidate_of_folder(folder) if folder is not None else desk.candidate_of_version(str(what))
    champion = desk.champion()
    if champion is not None and champion[0].bundle_id == new.bundle_id:
        shows.print(f"Nothing to promote: {new.name} is the champion already.", markup=False)
        return
    against = None if champion is None else champion[0]
    outcome = None
    reasons: tuple[str, ...] = ("Nothing served before: something must serve.",)
    if champion is not None:
        try:
            theirs = load_bundle(champion[1])
            ours = load_bundle(desk.shelf.folder_of(new.bundle_id))
            outcome = _outcome(says, settings, theirs, ours, data, as_of)
            reasons = outcome.reasons
        except ForecastError as error:
            # What cannot be compared can still be wanted: that is what --force is for.
            if force is None:
                raise
            reasons = (f"It was not compared: {error.message}",)
    if outcome is not None and json_file is not None:
        found = {"candidate": new._asdict(), "champion": None if against is None else against._asdict()}
        write_bytes(json_file, (json.dumps({**found, **outcome.to_json()}, indent=1) + "\n").encode())
    gate = None if outcome is None else outcome.to_json()
    if outcome is not None and not outcome.passed and force is None:
        desk.refuse(new, against, reasons, outcome.to_json())
        show(shows, outcome, f"Not promoted: {new.name}")
        raise GateError(
            f"{new.name} was not promoted, see the table: {', '.join(outcome.failed) or 'nowhere better'}; "
            "promote it all the same with --force REASON",
            code="not_better",
        )
    if force is not None:
        reasons = (f"Forced: {force.strip()}", *reasons)
    desk.promote(new, against, reasons, gate)
    head = f"Promoted: {new.name} serves" + ("" if against is None else f" in place of {against.name}")
    if outcome is None:
        shows.print(f"{head}. {' '.join(reasons)}", markup=False)
    else:
        show(shows, outcome, head, forced=force)
    says.print(f"{desk.shelf.pointer} names {desk.shelf.folder_of(new.bundle_id).name}", markup=False)


def _candidate(registry: Registry | None) -> str | None:
    from forecast.errors import UsageError

    if registry is None:
        raise UsageError(
            "--candidate is an alias of the registry, and there is no MLflow here; name the folder of the "
            "bundle instead",
            code="no_registry",
        )
    return registry.candidate()


def _outcome(
    says: Console,
    settings: Settings,
    champion: Bundle,
    candidate: Bundle,
    data: DataSource | None,
    as_of: pd.Timestamp | None,
) -> Outcome:
    """Read the data and ask the gate."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from forecast.errors import UsageError
    from forecast.tables import open_tables
    from training.gate import judge

    if data is None:
        raise UsageError("say which data to compare on: --data DIR", code="no_data")
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
        return judge(
            open_tables(data, dialect=candidate.dialect).tables,
            champion,
            candidate,
            settings,
            as_of=as_of,
            tell=lambda text, share: bar.update(task, description=text, completed=share),
        )
