"""`python -m training audit`: the command around `training.audit`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from forecast.cli.data_source import data_option
from forecast.database_url import DataSource
from training.commands.options import as_of_option, settings_option

__all__ = ["command"]

_EPILOG = """\b
Examples:
  python -m training audit --data sample
  python -m training audit --data export/ --settings my.toml --strict --json audit.json
"""


@click.command("audit", epilog=_EPILOG)
@data_option()
@as_of_option("Look only at")
@settings_option("change; [audit] holds the thresholds")
@click.option(
    "--bundle",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Also see whether the scores of this bundle stay the same when the future is scrambled.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the findings as JSON."
)
@click.option("--strict", is_flag=True, help="Exit with 9 when any field leaks, though it is left out.")
def command(
    data: DataSource,
    as_of_text: str | None,
    settings_path: Path | None,
    folder: Path | None,
    json_file: Path | None,
    strict: bool,
) -> int:
    """Find the fields that were written because a deal closed, or that repeat what became of it.

    Every field is listed with what was found and how to overrule it, worst first (docs/audit.md). Exits with 9
    when a field leaks that the settings trust and do not allow, when something sees the future, and with
    --strict when any field leaks.
    """
    from forecast.periods import parse_as_of
    from training.settings import read_settings

    settings = read_settings(settings_path)
    as_of = None if as_of_text is None else parse_as_of(as_of_text)

    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from forecast.bundle import load_bundle
    from forecast.errors import GateError
    from forecast.tables import open_tables, write_bytes
    from training.audit import audit
    from training.audit_tables import show_audit

    says = Console(stderr=True, highlight=False, soft_wrap=True)
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
        tables = open_tables(data, dialect=settings.dialect).tables
        models = None if folder is None else load_bundle(folder).models
        found = audit(
            tables,
            settings,
            as_of=as_of,
            models=models,
            tell=lambda text, share: bar.update(task, description=text, completed=share),
        )
    if json_file is not None:
        write_bytes(json_file, (json.dumps(found.to_json(), indent=2) + "\n").encode())
    show_audit(Console(highlight=False, width=None if says.is_terminal else 150), found)
    changed = found.scramble is not None and bool(found.scramble.changed)
    refused = bool(found.trusted(settings.audit.allow)) or changed or (strict and bool(found.of("leaks")))
    return GateError.exit_code if refused else 0
