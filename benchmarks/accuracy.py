"""How good are the forecasts, beside every baseline and every peer, on the same rows?

    python -m benchmarks.accuracy [SETS...] [--deals 1000,5000,30000] [--seeds 1,2,3] [--docs docs]

Sets: `simulated` and `drift` (a simulator that knows the truth: `benchmarks.simulated`), `another` (a company
by other rules, written apart from the simulator: `benchmarks.another`), and the public data sets of
`benchmarks.real`. Without SETS all are run. Of several seeds the medians are shown. With `--docs` the tables
are put between their marks in accuracy.md and real-data.md of that folder, and the charts into its images/.

Costs: each forecaster runs in a process of its own with one thread; CPU time, and the memory it needs on top of
the data that all share. Who cannot take all rows in reasonable time takes fewer, and a line below the table
says so; `--every-row` gives everybody everything.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import altair as alt
import click
import pandas as pd
from rich.console import Console

from benchmarks import charts, simulated, tables
from benchmarks.another import another_company
from benchmarks.machine import machine
from benchmarks.numbers import Numbers
from benchmarks.peers import Peer, all_peers
from benchmarks.peers.field import OURS, Field
from benchmarks.real.protocols import PROTOCOLS
from benchmarks.real.report import as_markdown, as_rich, put_between_marks
from forecast.cli import run as run_command
from forecast.errors import UnavailableError, UsageError
from forecast.evaluation import metrics
from forecast.models import FitSettings
from forecast.periods import DAY_US
from forecast.simulator import simulate

__all__ = ["main"]

SIMULATED: Final = ("simulated", "drift", "another")
SETS: Final = (*SIMULATED, *PROTOCOLS)
DRIFT_PER_YEAR: Final = 0.25
DRIFT_DEALS: Final = 5_000
DRIFT_COLUMNS: Final = tuple(
    column
    for column in tables.ACCURACY
    if column.metric in ("mae", "brier", "ici", "truth_bias", "bookings_bias", "bookings_error")
)
Tell = Callable[[str], None]


class Runs:
    """Scores of the simulated companies run so far, kept in a file so that a long run can be taken up again."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        known = file is not None and file.is_file()
        self.scores = pd.read_csv(file, keep_default_na=True) if known and file is not None else None
        if self.scores is not None and "rules" not in self.scores:
            self.scores["rules"] = "simulated"  # a file from before there was another company
        self.newest: simulated.Comparison | None = None
        self.failed: dict[str, str] = {}

    def of(self, rules: str, deals: int, seed: int, drift: float, field: Field, tell: Tell) -> pd.DataFrame:
        """Rows of one company, with its rules, deals, seed and drift; run now unless they are known.

        rules : `simulated` or `another`; the latter knows no drift
        """
        if self.scores is not None:
            known = self.scores.query(
                "rules == @rules and deals == @deals and seed == @seed and drift == @drift"
            )
            if len(known):
                return known
        company: simulated.Company = (
            simulate(deals=deals, seed=seed, drift_per_year=drift)
            if rules == "simulated"
            else another_company(deals=deals, seed=seed, moments=simulated.MONTHS)
        )
        here = f"{rules}, {deals:,} deals, seed {seed}{', drifting' if drift else ''}"
        self.newest = simulated.compare(company, FitSettings(), field, lambda who: tell(f"{here}: {who}"))
        self.failed |= self.newest.failed
        found = self.newest.scores.assign(rules=rules, deals=deals, seed=seed, drift=drift)
        notes = {name: answer.note for name, answer in self.newest.answers.items()}
        found["note"] = found["forecaster"].map(notes).where(found["metric"] == "rows", "")
        self.scores = found if self.scores is None else pd.concat([self.scores, found], ignore_index=True)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.scores.to_csv(self.file, index=False)
        return found


@click.command(
    epilog="Example: python -m benchmarks.accuracy simulated --deals 5000 --seeds 1 --without forest"
)
@click.argument("sets", nargs=-1, type=click.Choice(SETS))
@click.option(
    "--deals", type=Numbers(), default="1000,5000,30000", show_default=True, help="Sizes to simulate."
)
@click.option("--seeds", type=Numbers(), default="1,2,3", show_default=True, help="Of the simulations.")
@click.option(
    "--without", multiple=True, metavar="NAME", help="Leave a peer out, e.g. survival_boost; may be repeated."
)
@click.option("--every-row", is_flag=True, help="Give every peer all rows, however long it needs.")
@click.option(
    "--scores",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Keep simulated scores there, and go on from them.",
)
@click.option(
    "--docs", type=click.Path(file_okay=False, path_type=Path), help="Put tables and charts into this folder."
)
def main(
    sets: tuple[str, ...],
    deals: tuple[int, ...],
    seeds: tuple[int, ...],
    without: tuple[str, ...],
    every_row: bool,
    scores: Path | None,
    docs: Path | None,
) -> None:
    """Compare our models with baselines and peers, on simulated and on real data."""
    console, progress = Console(highlight=False, width=200), Console(stderr=True)
    names = {peer.name for peer in all_peers()}
    if unknown := sorted(set(without) - names):
        raise UsageError(
            f"there is no peer {unknown[0]!r}; expected one of {', '.join(sorted(names))}", code="no_peer"
        )

    def peers() -> tuple[Peer, ...]:
        return tuple(peer for peer in all_peers(every_row=every_row) if peer.name not in without)

    field, runs = Field(peers=peers), Runs(scores)
    chosen = sets or SETS
    with progress.status("") as status:
        if "simulated" in chosen:
            _simulated(deals, seeds, runs, field, status.update, console, docs)
        if "drift" in chosen:
            _drift(seeds, runs, field, status.update, console, docs)
        if "another" in chosen:
            _sizes("another", deals, seeds, runs, field, status.update, console, docs)
        for name in (one for one in chosen if one in PROTOCOLS):
            _real(name, field, status.update, console, progress, docs)


def _simulated(
    deals: Sequence[int],
    seeds: Sequence[int],
    runs: Runs,
    field: Field,
    tell: Tell,
    console: Console,
    docs: Path | None,
) -> None:
    """The truth's distance table for each size, and the charts of it."""
    table = _sizes("simulated", deals, seeds, runs, field, tell, console, docs)
    if docs is None:
        return
    images = docs / "images"
    shown = field.labels()
    largest = table[table["deals"] == max(deals)]
    charts.write_chart(charts.truth_chart(largest, shown), images / "accuracy-truth.svg")
    if len(deals) > 1:
        charts.write_chart(charts.learning_chart(table, shown), images / "accuracy-learning.svg")
    if runs.newest is not None:
        charts.write_chart(_calibration(runs.newest), images / "accuracy-calibration.svg")


def _sizes(
    rules: str,
    deals: Sequence[int],
    seeds: Sequence[int],
    runs: Runs,
    field: Field,
    tell: Tell,
    console: Console,
    docs: Path | None,
) -> pd.DataFrame:
    """The distance table of companies by these rules for each size; returns the medians of all of them."""
    labels = {**field.labels(), simulated.TRUTH: "the truth"}
    parts, sizes = [], []
    for size in deals:
        scores = pd.concat([runs.of(rules, size, seed, 0.0, field, tell) for seed in seeds])
        table = simulated.medians(scores)
        sizes.append(table)
        title = f"{size:,} deals"
        for columns in (tables.ACCURACY, tables.COST):
            console.print(tables.as_rich(title, *tables.cells(table, labels, columns, deals=size)))
        accuracy = tables.as_markdown(*tables.cells(table, labels, tables.ACCURACY, deals=size))
        cost = tables.as_markdown(*tables.cells(table, labels, tables.COST))
        lines = [*notes(scores, labels), *failures(runs, labels), about(seeds)]
        for line in lines:
            console.print(line)
        parts.append(f"### {title}\n\n{accuracy}\n{cost}\n" + "".join(f"- {line}\n" for line in lines))
    if docs is not None:
        put_between_marks(docs / "accuracy.md", rules, "\n".join(parts))
    return pd.concat(sizes)


def _drift(
    seeds: Sequence[int], runs: Runs, field: Field, tell: Tell, console: Console, docs: Path | None
) -> None:
    """A company whose deals are won ever faster: who notices?"""
    labels = {**field.labels(), simulated.TRUTH: "the truth"}
    scores = pd.concat(
        [runs.of("simulated", DRIFT_DEALS, seed, DRIFT_PER_YEAR, field, tell) for seed in seeds]
    )
    found = tables.cells(simulated.medians(scores), labels, DRIFT_COLUMNS)
    title = f"{DRIFT_DEALS:,} deals, the log rate of winning rising by {DRIFT_PER_YEAR} a year"
    console.print(tables.as_rich(title, *found))
    lines = [*notes(scores, labels), *failures(runs, labels), about(seeds)]
    for line in lines:
        console.print(line)
    if docs is not None:
        block = f"{tables.as_markdown(*found)}\n" + "".join(f"- {line}\n" for line in lines)
        put_between_marks(docs / "accuracy.md", "drift", block)


def _real(
    name: str, field: Field, tell: Tell, console: Console, progress: Console, docs: Path | None
) -> None:
    """A public data set by its own protocol; one that is not there is said so and left out."""
    load, protocol = PROTOCOLS[name]
    try:
        loaded = load()
    except UnavailableError as absent:
        progress.print(f"{name} skipped: {absent.message}")
        return
    result = protocol(loaded, field=field, tell=tell)
    console.print(as_rich(result))
    if docs is None:
        return
    put_between_marks(docs / "real-data.md", name, as_markdown(result))
    if (result.scores["metric"] == "skill").any():
        charts.write_chart(
            charts.skill_chart(result.scores, result.labels), docs / "images" / f"skill-{name}.svg"
        )


def notes(scores: pd.DataFrame, labels: dict[str, str]) -> list[str]:
    """What was chosen, and who learnt from fewer rows: a line for each forecaster with something to say."""
    said = scores[(scores["metric"] == "rows") & scores["note"].fillna("").astype(bool)]
    return [
        f"{labels[name]}: {'; '.join(dict.fromkeys(rows['note']))}."
        for name, rows in said.groupby("forecaster", sort=False)
        if name in labels
    ]


def failures(runs: Runs, labels: dict[str, str]) -> list[str]:
    """Who gave no answer, and why."""
    return [f"{labels[name]} gave no answer: {error}." for name, error in runs.failed.items()]


def about(seeds: Sequence[int]) -> str:
    """What the numbers were measured on."""
    of = f"medians of seeds {', '.join(map(str, seeds))}" if len(seeds) > 1 else f"seed {seeds[0]}"
    return f"{of[0].upper()}{of[1:]}; {machine()}."


def _calibration(comparison: simulated.Comparison) -> alt.LayerChart:
    marks, questions = comparison.questions.landmarks, comparison.questions
    follow_up_days = (comparison.until_us - marks.at_us) / DAY_US
    seen = metrics.won_within(marks.duration_days, marks.cause, 90.0, follow_up_days=follow_up_days)
    shown = (OURS, "survival_boost", "closed_only", simulated.TRUTH)
    said = {
        comparison.answers[name].label: comparison.answers[name].won[:, questions.at(90.0)]
        for name in shown
        if name in comparison.answers
    }
    return charts.calibration_chart(seen.outcome, seen.weight, said)


if __name__ == "__main__":
    sys.exit(run_command(main, None, "python -m benchmarks.accuracy"))
