"""A monitor's result as files and on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from forecast.errors import OutputError
from forecast.evaluation.drift import Action, Monitoring
from forecast.report.monitoring import (
    MonitoringPhrases,
    monitoring_facts,
    monitoring_words,
    render_monitoring,
)
from forecast.tables import write_bytes, write_table

__all__ = ["EXIT_CODES", "check_target", "facts_text", "metrics_of", "show", "write_files"]

# What a scheduler sees (docs/cli.md).
EXIT_CODES: Final[dict[Action, int]] = {"keep": 0, "retrain": 11, "look": 12, "fix": 13}


def check_target(out: Path | None, json_file: Path | None) -> None:
    """Raise OutputError for a target that could not be written, before the work begins."""
    if out is not None and out.suffix not in ("", ".html"):
        raise OutputError(
            f"{out} has no ending that names a format; expected a folder, or a page ending in .html",
            code="unknown_format",
        )
    for path in (out if out is not None and out.suffix else None, json_file):
        if path is not None and not path.parent.is_dir():
            raise OutputError(
                f"{path} cannot be written: there is no folder {path.parent}; make it first",
                code="cannot_write",
            )
    if out is not None and not out.suffix:
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{out} cannot be made: {error.strerror}", code="cannot_write") from error


def write_files(found: Monitoring, out: Path | None, json_file: Path | None, locale: str) -> list[Path]:
    """Write what was asked for, each file whole or not at all, and return the files.

    A folder gets the newest page as `monitoring.html`, and for every run, named by its moment and bundle, the
    facts as JSON and the long table as Parquet: the history of a folder is all its tables read together. A run
    of the same moment and bundle replaces its own files and no others.
    """
    facts = monitoring_facts(found, locale)
    written = []
    if out is not None and out.suffix:
        write_bytes(out, render_monitoring(facts).encode())
        written.append(out)
    elif out is not None:
        stem = f"monitoring-{found.as_of:%Y-%m-%dT%H%M}-{found.bundle_id[:12]}"
        write_bytes(out / "monitoring.html", render_monitoring(facts).encode())
        write_bytes(out / f"{stem}.json", facts_text(facts).encode())
        write_table(found.table(), out / f"{stem}.parquet")
        written += [out / "monitoring.html", out / f"{stem}.json", out / f"{stem}.parquet"]
    if json_file is not None:
        write_bytes(json_file, facts_text(facts).encode())
        written.append(json_file)
    return written


def facts_text(facts: dict[str, Any]) -> str:
    """Facts as JSON."""
    return json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def metrics_of(found: Monitoring) -> dict[str, float]:
    """Flat names for MLflow: `evidence`, `evidence_wins`, `ratio_wins`, `exit_code`."""
    facts = monitoring_facts(found, "en")
    values: dict[str, Any] = {
        "evidence": facts["verdict"]["evidence"],
        "exit_code": float(EXIT_CODES[found.verdict.action]),
        "age_days": facts["age_days"],
        "open_deals": float(facts["open_deals"]),
        "calibration_slope": facts["calibration"]["slope"],
        "inputs_drifted": float(len(found.inputs.drifted())),
    }
    for question in facts["questions"]:
        values[f"evidence_{question['name']}"] = question["evidence"]
        values[f"ratio_{question['name']}"] = question["ratio"]
    return {name: float(value) for name, value in values.items() if value is not None}


def show(console: Console, found: Monitoring) -> None:
    """The verdict in one line, its reasons in order, and the questions behind it."""
    facts = monitoring_facts(found, "en")
    words = monitoring_words(facts)
    say = MonitoringPhrases(words)
    head = str(say.headline(facts).striptags())
    style = {"keep": "bold green", "look": "bold yellow"}.get(found.verdict.action, "bold red")
    console.print(f"{head}: {' '.join(str(line.striptags()) for line in say.lead(facts))}", style=style)
    for place, reason in enumerate(facts["reasons"], start=1):
        remedy = words(f"monitor_remedy.{reason['remedy']}")
        console.print(f"  {place}. {say.reason(reason)} ({remedy})", markup=False)
    table = Table(title=_title(found), title_justify="left", title_style="")
    for name in ("", "came", "expected", "factor now", "95 % range", "evidence"):
        table.add_column(name, justify="right" if name else "left")
    for question in facts["questions"]:
        enough = question["enough"]
        table.add_row(
            say.part(question["name"]),
            say.count(question, "came"),
            say.count(question, "expected"),
            f"{question['factor']:.2f}" if enough else "too few",
            f"{question['low']:.2f} to {question['high']:.2f}" if enough else "",
            f"{question['evidence']:,.1f}" if enough else "",
        )
    table.add_row("all together", "", "", "", "", f"{facts['verdict']['evidence']:,.1f}", end_section=True)
    console.print(table)
    threshold = facts["verdict"]["threshold"]
    slope = facts["calibration"]["slope"]
    console.print(
        f"Evidence of {threshold:g} advises to train again; 1 says nothing. Inputs: "
        f"{len(found.inputs.drifted())} of {found.inputs.table['field'].nunique()} moved, "
        f"{len(found.inputs.new)} new values"
        + ("." if slope is None else f"; calibration slope {slope:.2f}.")
    )
    for part in facts["bookings"]:
        until = "" if part["whole"] else f" until {part['end'][:10]}"
        console.print(
            f"Bookings of {part['quarter']}{until} in {found.currency}: {part['expected']:,.0f} foretold "
            f"({part['p10']:,.0f} to {part['p90']:,.0f} in 8 of 10 cases), {part['came']:,.0f} came."
        )


def _title(found: Monitoring) -> str:
    return (
        f"Bundle {found.bundle_id[:12]}, trained until {found.trained_until:%Y-%m-%d}, against what was "
        f"recorded until {found.as_of:%Y-%m-%d %H:%M} UTC ({found.age_days:.0f} days)"
    )
