"""`forecast doctor`: does this installation keep its promises, and what is to be done where it does not?"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from forecast.doctor import Finding

__all__ = ["BROKEN", "command"]

BROKEN: Final = 14
_EPILOG = """\b
Examples:
  forecast doctor
  forecast doctor --url http://127.0.0.1:3000 --ledger sqlite:///forecast.db
  forecast doctor --bundle models/current --json findings.json
"""


@click.command("doctor", epilog=_EPILOG)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    default=Path("models/current"),
    envvar="FORECAST_BUNDLE",
    show_default=True,
    metavar="DIR",
    help="The bundle that is to serve, or the pointer to it.",
)
@click.option("--ledger", metavar="URL", help="Ledger to check.  [default: FORECAST_LEDGER, if it is set]")
@click.option("--url", metavar="URL", help="A running service to check, e.g. http://127.0.0.1:3000.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    envvar="FORECAST_API_KEYS_FILE",
    metavar="FILE",
    help="The service's file of keys.  [default: .serve-key beside the bundle, if it is there]",
)
@click.option(
    "--json", "json_file", metavar="FILE", type=click.Path(path_type=Path), help="Write the findings as JSON."
)
def command(
    bundle: Path, ledger: str | None, url: str | None, keys: Path | None, json_file: Path | None
) -> int:
    """Check what the service promises and say what to do.

    Looks at the bundle and its golden scores, pointer and promotion log, keys, ledger, disk, leftovers of
    killed commands, clock, versions, and a running service. Changes nothing. Exits with 0, or with 14 if
    something is broken; warnings do not count.
    """
    from forecast.errors import UsageError

    if url is not None and not url.startswith(("http://", "https://")):
        raise UsageError("--url: expected http://HOST:PORT or https://HOST", code="bad_url")
    if ledger or any(os.environ.get(name) for name in ("FORECAST_LEDGER", "FORECAST_LEDGER_FILE")):
        # Only then: the ledger's libraries are an extra.
        from forecast.ledger import ledger_url

        ledger = ledger_url(ledger, os.environ, None)

    from forecast.tables import write_bytes

    findings = _findings(bundle, ledger, None if url is None else url.rstrip("/"), keys)
    broken = [one for one in findings if one.state == "broken"]
    if json_file is not None:
        found = {"broken": len(broken), "findings": [one.to_json() for one in findings]}
        write_bytes(json_file, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
    _show(findings)
    return BROKEN if broken else 0


def _findings(bundle: Path, ledger: str | None, url: str | None, keys: Path | None) -> list[Finding]:
    from forecast import doctor
    from forecast.errors import ForecastError
    from forecast.service.readiness import Thresholds

    now_s = time.time()
    limits = Thresholds.from_environment(os.environ)
    findings, loaded = doctor.check_bundle(bundle, now_s * 1e6, limits.bundle_days)
    findings += doctor.check_promotion(bundle)
    if keys is None and (beside := bundle.absolute().parent / ".serve-key").exists():
        keys = beside
    key = os.environ.get("FORECAST_API_KEY")
    if keys is not None:
        findings.append(doctor.check_key_file(keys))
        try:
            key = key or _plain_key(keys)
        except (OSError, UnicodeDecodeError, ForecastError) as error:
            said = getattr(error, "message", type(error).__name__)
            findings.append(doctor.Finding("keys", "broken", said, "write one key per line (docs/http.md)"))
    elif key is None:
        findings.append(
            doctor.Finding(
                "keys",
                "warning",
                "none is set",
                "forecast serve makes one on this machine; else docs/http.md",
            )
        )
    if ledger is not None:
        findings += doctor.check_ledger(ledger, now_s * 1e6, limits.snapshot_hours)
    folders = [bundle.absolute().parent]
    if ledger is not None and ledger.startswith("sqlite:///"):
        folders.append(Path(ledger.removeprefix("sqlite:///")).absolute().parent)
    findings += doctor.check_disk(folders)
    findings.append(doctor.check_leftovers(bundle.absolute().parent, now_s))
    findings += doctor.check_versions(Path("requirements.lock"), loaded)
    if url is not None:
        findings += doctor.check_service(url, key, None if loaded is None else loaded.id, now_s)
    return findings


def _plain_key(file: Path) -> str | None:
    """The first key of a file that stands there as it is; its other lines are checked, too."""
    from forecast.service.keys import Keys

    lines = file.read_text(encoding="utf-8").splitlines()
    Keys.of(lines, str(file))
    for line in lines:
        words = line.split()
        if words and not words[0].startswith(("#", "sha256:")):
            return words[0]
    return None


def _show(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    colours = {"ok": "green", "warning": "yellow", "broken": "bold red"}
    table = Table(box=None, pad_edge=False)
    for name in ("Check", "", "Found", "What to do"):
        table.add_column(name, overflow="fold")
    for one in findings:
        table.add_row(
            Text(one.check), Text(one.state, colours[one.state]), Text(_plain(one.text)), Text(one.remedy)
        )
    console.print(table)
    count = {state: sum(one.state == state for one in findings) for state in colours}
    text = f"{count['ok']} ok, {count['warning']} warnings, {count['broken']} broken"
    console.print(Text(text, "bold red" if count["broken"] else "bold green"))


def _plain(text: str) -> str:
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
