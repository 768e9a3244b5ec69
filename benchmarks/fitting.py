"""Cost of learning: processor time, time by the clock and memory of a whole fit, ladder and all.

    python -m benchmarks.fitting [--deals 30000] [--landmarks 70000]
    python -m benchmarks.fitting --deals 112000 --landmarks 1000000
    python -m benchmarks.fitting --beside-survival-boost     # a quarter of an hour

A company is simulated, and everything recorded before 2026 is learnt from by one thread: season, ladder, clock,
trees, level, amounts, arrivals and shock. Memory is the most the process ever held, the data included.

SurvivalBoost learns in the same process from the same landmarks, as it was published, with one thread, too.
"""

from __future__ import annotations

import time

import click
import pandas as pd
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from benchmarks.machine import machine, peak_gigabytes
from benchmarks.peers import SurvivalBoostPeer
from benchmarks.peers.field import Lesson
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.simulator import simulate

_UNTIL = pd.Timestamp("2026-01-01", tz="UTC")


@click.command(epilog="Example: python -m benchmarks.fitting --deals 112000 --landmarks 1000000")
@click.option("--deals", default=30_000, show_default=True, help="Deals to simulate.")
@click.option("--landmarks", default=70_000, show_default=True, help="Landmarks to learn from, at most.")
@click.option("--seed", default=3, show_default=True, help="Of the simulation.")
@click.option("--beside-survival-boost", is_flag=True, help="Fit SurvivalBoost on the same landmarks, too.")
def main(deals: int, landmarks: int, seed: int, beside_survival_boost: bool) -> None:
    """Fit models once and print what it took."""
    console = Console(highlight=False)
    history = History.from_tables(simulate(deals=deals, seed=seed).tables)
    before_gb = peak_gigabytes()
    clock, processor = time.perf_counter(), time.process_time()
    with console.status("learning") as status:
        models = fit_models(
            history,
            _UNTIL,
            FitSettings(max_landmarks=landmarks),
            tell=lambda text, share: status.update(f"{text} ({share:.0%})"),
        )
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    table = Table(title=f"Fitting · {machine()}", show_header=False)
    for what, value in (
        ("landmarks laid", f"{models.counts['landmarks']:,}"),
        ("learnt from", f"{min(models.counts['landmarks'], landmarks):,}"),
        ("model", models.outcome.name),
        ("by the clock", f"{clock:.0f} s"),
        ("processor", f"{processor:.0f} s"),
        ("peak memory, with the data", f"{peak_gigabytes():.2f} GB"),
        ("peak memory before the fit", f"{before_gb:.2f} GB"),
    ):
        table.add_row(what, value)
    if beside_survival_boost:
        theirs = _survival_boost_seconds(Lesson(history, _UNTIL, FitSettings(max_landmarks=landmarks)))
        table.add_row("SurvivalBoost, processor", f"{theirs:.0f} s")
        table.add_row("ours takes of that", f"1/{theirs / processor:.0f}")
    console.print(table)


def _survival_boost_seconds(lesson: Lesson) -> float:
    """Processor time of SurvivalBoost as published, encoding left out."""
    peer, marks, design = SurvivalBoostPeer.as_published(), lesson.landmarks, lesson.design
    started = time.process_time()
    with threadpool_limits(limits=1):
        peer.fit(design, marks.at_us, marks.duration_days, marks.cause.astype("int64"))
    return time.process_time() - started


if __name__ == "__main__":
    main()
