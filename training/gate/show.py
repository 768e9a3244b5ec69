"""What the gate found, on one screen."""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table

from training.gate.checks import BETTER, FAILS, PASSES, TOLD
from training.gate.judge import Outcome

__all__ = ["show"]

_STYLES: Final = {FAILS: "red", BETTER: "green", PASSES: "", TOLD: "dim"}


def show(console: Console, outcome: Outcome, head: str, *, forced: str | None = None) -> None:
    """Print the verdict in one line, then every check with its sentence.

    head : what happened, e.g. "Promoted: version 7 serves"
    forced : the reason for promoting whatever the gate said
    """
    because = " ".join(outcome.reasons) if forced is None else f"forced ({forced})"
    console.print(f"{head}, because: {because}", style="bold", markup=False)
    table = Table(caption=outcome.compared, title_justify="left", caption_justify="left")
    for heading in ("check", "verdict", "what was found"):
        table.add_column(heading)
    for check in outcome.checks:
        table.add_row(check.code, check.verdict, check.sentence, style=_STYLES[check.verdict])
    console.print(table)
