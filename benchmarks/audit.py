"""Does the leakage audit find what leaks, and leave alone what does not? Planted fields in simulated companies.

    python -m benchmarks.audit [--deals 100,300,1000,5000] [--companies 20]

Every company is simulated twice: with all leaks of `forecast.simulator.leaks` and the clean lookalikes, and
with the lookalikes alone. A leak is *caught* if every field it touches is left out or named as suspicious; in
how many it was left out stands in brackets. A clean field is *accused* if it is left out, *named* if it is
called suspicious. Clean are the lookalikes and all fields of the company itself but two: its amounts are
corrected at signature and its close dates overwritten by a win, as in real CRMs, and the audit rightly says so.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from forecast.features import Finding, audit_fields
from forecast.history import History
from forecast.periods import as_of_us
from forecast.simulator import LEAKS, LOOKALIKES, simulate

__all__ = ["TOUCHED", "Rates", "measure"]

_END: Final = pd.Timestamp("2026-01-01", tz="UTC")
# Fields a planted leak touches, where they are not called as the leak is.
TOUCHED: Final[dict[str, tuple[str, ...]]] = {
    **{name: (name,) for name in LEAKS},
    "bant_on_win": ("budget", "authority", "need", "timeline"),
    "amount_on_win": ("amount",),
    "mails_on_win": ("activities",),
    "account_on_closing": ("account_id",),
}
# What the simulated company itself does at a win, leaks planted or not.
_OWN_HABITS: Final = frozenset({"amount", "expected_close_on"})


@dataclass
class Rates:
    """Counts over companies of one size.

    caught, left_out : leak -> companies in which it was caught, and in which it was left out
    clean, accused, named : clean fields looked at, left out, called suspicious; `which` names the latter two
    few : clean and leaking fields of which too little was known
    """

    companies: int = 0
    caught: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    clean: int = 0
    accused: int = 0
    named: int = 0
    which: Counter[str] = field(default_factory=Counter)
    few: int = 0
    seconds: list[float] = field(default_factory=list)


def measure(deals: int, seeds: range) -> Rates:
    """Audit a company of each seed, with leaks and without."""
    rates = Rates()
    for seed in seeds:
        leaky = _audited(deals, seed, (*LEAKS, *LOOKALIKES), rates)
        rates.companies += 1
        for leak, fields in TOUCHED.items():
            verdicts = {leaky[name].verdict for name in fields}
            rates.caught[leak] += verdicts <= {"leaks", "suspicious"}
            rates.left_out[leak] += verdicts == {"leaks"}
        planted = {name for fields in TOUCHED.values() for name in fields}
        _count_clean(rates, leaky, planted | _OWN_HABITS)
        _count_clean(rates, _audited(deals, seed, tuple(LOOKALIKES), rates), _OWN_HABITS)
    return rates


def _audited(deals: int, seed: int, planted: tuple[str, ...], rates: Rates) -> dict[str, Finding]:
    history = History.from_tables(simulate(deals, seed, leaks=planted).tables)
    started = time.process_time()
    found = audit_fields(history, as_of_us(_END))
    rates.seconds.append(time.process_time() - started)
    return {one.field: one for one in found}


def _count_clean(rates: Rates, found: dict[str, Finding], dirty: frozenset[str] | set[str]) -> None:
    for name, one in found.items():
        rates.few += one.verdict == "too_few"
        if name in dirty:
            continue
        rates.clean += 1
        rates.accused += one.verdict == "leaks"
        rates.named += one.verdict == "suspicious"
        if one.verdict in ("leaks", "suspicious"):
            rates.which[f"{name} ({one.code})"] += 1


@click.command()
@click.option("--deals", "sizes", default="100,300,1000,5000", show_default=True, help="Sizes of companies.")
@click.option("--companies", default=20, show_default=True, help="Companies of each size.")
@click.option("--first-seed", default=1, show_default=True, help="Seed of the first of them.")
def main(sizes: str, companies: int, first_seed: int) -> None:
    """Print the catch rate of every leak and the false alarms, by size of the company."""
    console = Console(width=110)
    console.print(machine())
    found = {
        int(size): measure(int(size), range(first_seed, first_seed + companies)) for size in sizes.split(",")
    }
    table = Table(title=f"Caught in {companies} companies (left out)", title_justify="left")
    table.add_column("planted leak")
    for size in found:
        table.add_column(f"{size:,} deals", justify="right")
    for leak in LEAKS:
        table.add_row(leak, *(f"{r.caught[leak]} ({r.left_out[leak]})" for r in found.values()))
    rows = {
        "all leaks": [f"{sum(r.caught.values()) / (r.companies * len(LEAKS)):.1%}" for r in found.values()],
        "clean fields": [f"{r.clean:,}" for r in found.values()],
        "accused": [f"{r.accused} ({r.accused / r.clean:.2%})" for r in found.values()],
        "named": [f"{r.named} ({r.named / r.clean:.2%})" for r in found.values()],
        "too few to tell": [f"{r.few:,}" for r in found.values()],
        "CPU seconds each": [f"{np.median(r.seconds):.2f}" for r in found.values()],
    }
    table.add_section()
    for label, cells in rows.items():
        table.add_row(label, *cells)
    console.print(table)
    for size, rates in found.items():
        for name, count in rates.which.most_common():
            console.print(f"{size:,} deals: clean field {name} accused or named {count} times")


if __name__ == "__main__":
    main()
