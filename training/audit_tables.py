"""How the leakage audit looks in a terminal: a table worst first, or the few lines `train` prints."""

from __future__ import annotations

import math
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from forecast.features import Finding
from training.audit import Audit

__all__ = ["audit_lines", "show_audit"]

_WORDS: Final = {
    "leaks": ("leaks, left out", "bold red"),
    "trusted": ("leaks, trusted", "bold red"),
    "suspicious": ("suspicious, used", "yellow"),
    "too_few": ("too few to tell", "dim"),
    "no_history": ("no events, left out", "dim"),
    "excluded": ("left out by you", "dim"),
    "ok": ("ok", ""),
}


def show_audit(console: Console, audit: Audit) -> None:
    """Print every field with its figures, the scramble test, and how to overrule."""
    console.print(_table(f"Fields of deals as of {audit.as_of:%Y-%m-%d %H:%M} UTC", audit.deals, leads=False))
    if audit.leads:
        console.print(_table("Columns of leads", audit.leads, leads=True))
    scramble = audit.scramble
    if scramble is not None:
        what = "Features and scores" if scramble.scored else "Features"
        if scramble.changed:
            worst = ", ".join(f"{escape(name)} ({share:.0%})" for name, share in scramble.changed.items())
            console.print(
                f"The future is seen: with all later records scrambled, {worst} changed.", style="bold red"
            )
        else:
            dates = " and ".join(f"{moment:%Y-%m-%d}" for moment in scramble.moments)
            console.print(
                f"The future is invisible: {what.lower()} of {scramble.looks:,} looks"
                f"{f' as of {dates}' if dates else ''} are the same with all later records scrambled."
            )
    console.print(audit_lines(audit)[0])


def audit_lines(audit: Audit) -> list[str]:
    """One line that counts, then a line for each field that is left out for leaking, trusted, or suspicious."""
    looked = len(audit.deals) + len(audit.leads)
    leaks, trusted = audit.of("leaks"), audit.of("trusted")
    suspicious, few = audit.of("suspicious"), audit.of("too_few")
    parts = [f"{len(leaks)} left out" if leaks else "none leaks"]
    if trusted:
        parts.append(f"{len(trusted)} trusted although {'they leak' if len(trusted) > 1 else 'it leaks'}")
    if suspicious:
        parts.append(f"{len(suspicious)} suspicious")
    if few:
        parts.append(f"{len(few)} too few to tell")
    lines = [f"Leakage audit: {looked} fields looked at, {', '.join(parts)}."]
    lines += [
        f"  {name}: {_WORDS[one.verdict][0]}: {one.reason}" for name, one in (*trusted, *leaks, *suspicious)
    ]
    return lines


def _table(title: str, findings: tuple[Finding, ...], *, leads: bool) -> Table:
    trust, exclude = (
        ("trust_lead_fields", "exclude_lead_fields") if leads else ("trust_fields", "exclude_fields")
    )
    won, lost = ("converted", "disqualified") if leads else ("won", "lost")
    table = Table(
        title=title,
        title_justify="left",
        caption_justify="left",
        caption="By closing: of all writes, the share in the 24 h before the closing or after it, "
        f"{won} / {lost} (chance). Filled: open / {won} / {lost}; before the closing where writes have dates. "
        f"Tells: {won} from {lost}, 0 to 1, half-way > in the end. To overrule, under \\[fit] in the settings: "
        f'trust: {trust} = ["FIELD"]; exclude: {exclude} = ["FIELD"].',
    )
    table.add_column("field", overflow="fold")
    table.add_column("verdict")
    table.add_column("why", overflow="fold", ratio=1)
    table.add_column("by closing", justify="right")
    table.add_column("filled", justify="right")
    table.add_column("tells", justify="right")
    table.add_column("overrule")
    for one in findings:
        word, style = _WORDS[one.verdict]
        figures = one.figures
        chance = "" if math.isnan(figures.chance_share) else f" ({_percent(figures.chance_share)})"
        written = _row(figures.closing_share_won, figures.closing_share_lost)
        setting = {"leaks": "trust", "suspicious": "exclude"}.get(one.verdict, "")
        table.add_row(
            escape(one.field),
            word,
            escape(one.reason),
            f"{written}{chance}" if written else "",
            _row(figures.filled_open, figures.filled_won, figures.filled_lost),
            _tells(figures.strength_landmark, figures.strength_close),
            setting,
            style=style,
        )
    return table


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.0%}"


def _row(*shares: float) -> str:
    return "" if all(map(math.isnan, shares)) else " / ".join(map(_percent, shares))


def _tells(early: float, late: float) -> str:
    if math.isnan(late):
        return ""
    return f"{late:.2f}" if math.isnan(early) else f"{early:.2f} > {late:.2f}"
