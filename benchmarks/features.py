"""Speed of history and features: many landmarks at once, and one deal of a request.

    python -m benchmarks.features [--deals 200000] [--landmarks 1000000] [--runs 3]

Deals are made up straight as arrays: eight entries each (three stages, amount, close date, one BANT answer,
two activities) over four years, with owners, accounts and sources that have track records.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine, peak_gigabytes
from forecast.features import build
from forecast.history import DatedRecords, History, Landmarks, StageMap, make_landmarks
from forecast.history.build import columns_from_request
from forecast.history.columns import (
    ACTIVITY,
    AMOUNT,
    BANT,
    EXPECTED_CLOSE,
    MEETING,
    STAGE,
    Columns,
    Vocabulary,
)
from forecast.periods import DAY_US, as_of_us
from forecast.tables import Money

TARGET_BULK_SECONDS: Final = 6.0
TARGET_PEAK_GB: Final = 1.5
TARGET_ONE_MICROSECONDS: Final = 300.0

_FIRST: Final = pd.Timestamp("2022-01-01", tz="UTC")
_DAYS: Final = 4 * 365
_RUNS_OF_ONE: Final = 300
_STAGES: Final = pd.DataFrame(
    {
        "pipeline": "sales",
        "stage": ["qualification", "proposal", "negotiation", "won", "lost"],
        "position": range(5),
        "kind": ["open", "open", "open", "won", "lost"],
        "default_probability": np.nan,
        "label": None,
    }
)
_MONEY: Final = Money("EUR", ("EUR",), (np.array([0]),), (np.array([1.0]),))


def made_up_columns(deals: int, rng: np.random.Generator) -> Columns:
    """Eight entries for each of `deals` deals, in arrays of shape (8 * deals,)."""
    stages = StageMap.from_frame(_STAGES)
    created = as_of_us(_FIRST) + (rng.random(deals) * _DAYS * DAY_US).astype(np.int64)
    life = rng.exponential(70.0, deals) + 1.0
    outcome = rng.choice([2, 3, 4], deals, p=[0.15, 0.3, 0.55])
    every = np.arange(deals)

    def after(share: float) -> np.ndarray[Any, np.dtype[np.int64]]:
        return created + (share * life * DAY_US).astype(np.int64)

    close_on = (created // DAY_US + life * rng.uniform(0.5, 1.5, deals)).astype(np.int64)
    parts = [
        (STAGE, created, np.zeros(deals)),
        (STAGE, after(0.4), np.ones(deals)),
        (STAGE, after(1.0), outcome.astype(np.float64)),
        (AMOUNT, created, rng.lognormal(9.0, 1.0, deals).round(2)),
        (EXPECTED_CLOSE, after(0.1), close_on.astype(np.float64)),
        (BANT[1], after(0.3), rng.choice([0.0, 0.5, 1.0], deals)),
        (ACTIVITY, after(0.2), np.zeros(deals)),
        (MEETING, after(0.7), np.zeros(deals)),
    ]
    names = {"owner_id": 200, "account_id": 20_000, "source": 8}
    vocabularies = {key: Vocabulary(tuple(f"{n:06d}" for n in range(size))) for key, size in names.items()}
    vocabularies |= {"motion": Vocabulary(("new",)), "pipeline": Vocabulary(("sales",))}
    return Columns(
        stages=stages,
        money=_MONEY,
        deal_ids=np.array([f"{n:07d}" for n in range(deals)], dtype=object),
        created_at_us=created,
        currency=np.zeros(deals, dtype=np.int32),
        pipeline=np.zeros(deals, dtype=np.int64),
        motion=np.zeros(deals, dtype=np.int64),
        account=rng.integers(names["account_id"], size=deals),
        source=rng.integers(names["source"], size=deals),
        owner=rng.integers(names["owner_id"], size=deals),
        amount_raw=np.full(deals, np.nan),
        entry_deal=np.tile(every, len(parts)),
        entry_field=np.repeat([field for field, _, _ in parts], deals),
        entry_at_us=np.concatenate([at_us for _, at_us, _ in parts]),
        entry_value=np.concatenate([value for _, _, value in parts]),
        vocabularies=vocabularies,
        custom=(),
        eventful=frozenset({"stage", "amount", "expected_close_on", "authority"}),
    )


def drawn_landmarks(history: History, rows: int, rng: np.random.Generator) -> Landmarks:
    """At least `rows` landmarks on a daily grid, thinned to exactly that many."""
    until_us = as_of_us(_FIRST) + _DAYS * DAY_US
    every_days = 7.0
    while len(found := make_landmarks(history, until_us=until_us, every_days=every_days)) < rows:
        every_days /= 2.0
        if every_days < 0.5:
            raise click.ClickException(
                f"{len(history)} deals have only {len(found)} landmarks; ask for fewer"
            )
    return found.thin(rows, rng)


def one_deal() -> dict[str, Any]:
    """A deal as a caller of the service sends it."""
    start = pd.Timestamp("2025-09-01T08:00:00Z")

    def at(days: float) -> int:
        return as_of_us(start + pd.Timedelta(days=days))

    return {
        "deal_id": "D-1",
        "created_at": at(0),
        "owner_id": "000003",
        "account_id": "000044",
        "source": "000001",
        "events": [
            {"field": "stage", "value": "qualification", "recorded_at": at(0)},
            {"field": "amount", "value": 12_000.0, "recorded_at": at(0)},
            {"field": "expected_close_on", "value": "2025-12-12", "recorded_at": at(3)},
            {"field": "authority", "value": 1.0, "recorded_at": at(9)},
            {"field": "stage", "value": "proposal", "recorded_at": at(20)},
            {"field": "stage", "value": "negotiation", "recorded_at": at(41)},
        ],
        "activities": [
            {"occurred_at": at(10), "kind": "call", "direction": "out"},
            {"occurred_at": at(30), "kind": "email", "direction": "in"},
        ],
    }


class Taken(NamedTuple):
    """Medians in seconds: by the clock, and of processor time, which other programs cannot stretch."""

    wall: float
    cpu: float


def median_taken(work: Callable[[], object], runs: int) -> Taken:
    """Median time of several runs after one that warms the caches."""
    work()
    gc.collect()
    wall, cpu = [], []
    for _ in range(runs):
        start, busy = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - busy)
    return Taken(statistics.median(wall), statistics.median(cpu))


def _verdict(value: float, target: float) -> str:
    return "[green]met[/]" if value <= target else "[red]missed[/]"


@click.command(help=__doc__)
@click.option("--deals", default=200_000, show_default=True)
@click.option("--landmarks", default=1_000_000, show_default=True)
@click.option("--runs", default=3, show_default=True)
@click.option("--seed", default=0, show_default=True)
def command(deals: int, landmarks: int, runs: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    columns = made_up_columns(deals, rng)
    sorting = median_taken(lambda: History.from_columns(columns), runs)
    history = History.from_columns(columns)
    rows = drawn_landmarks(history, landmarks, rng)
    records = DatedRecords.of(history)
    building = median_taken(lambda: build(history, rows.deal, rows.at_us, records), runs)
    peak = peak_gigabytes()

    request, stages = [one_deal()], StageMap.from_frame(_STAGES)
    now_us = np.array([as_of_us(pd.Timestamp("2025-11-01T08:00:00Z"))])
    frozen = records.freeze(history, int(now_us[0]))
    alone = History.from_columns(columns_from_request(request, stages, _MONEY))
    bound, first = frozen.bind(alone), np.array([0])

    def whole_request() -> object:
        fresh = History.from_columns(columns_from_request(request, stages, _MONEY))
        return build(fresh, first, now_us, frozen.bind(fresh))

    one = median_taken(lambda: build(alone, first, now_us, bound), _RUNS_OF_ONE)
    asked = median_taken(whole_request, _RUNS_OF_ONE)

    table = Table(title=f"{landmarks:,} landmarks over {deals:,} deals x 8 entries\n{machine()}")
    for name in ("what", "by the clock", "processor", "target", ""):
        table.add_column(name, justify="left" if name == "what" else "right")

    def row(what: str, taken: Taken, unit: str, target: float | None = None) -> None:
        scale, shape = (1.0, ".2f") if unit == "s" else (1e6, ".0f")
        verdict = "" if target is None else _verdict(taken.wall * scale, target)
        wanted = "" if target is None else f"{target:.0f} {unit}"
        table.add_row(
            what,
            f"{taken.wall * scale:{shape}} {unit}",
            f"{taken.cpu * scale:{shape}} {unit}",
            wanted,
            verdict,
        )

    row("history: sort and index", sorting, "s")
    row("features of all landmarks", building, "s")
    both = Taken(sorting.wall + building.wall, sorting.cpu + building.cpu)
    row("both", both, "s", TARGET_BULK_SECONDS)
    met = _verdict(peak, TARGET_PEAK_GB)
    table.add_row("peak memory of the process", f"{peak:.2f} GB", "", f"{TARGET_PEAK_GB} GB", met)
    row("features of one deal", one, "us", TARGET_ONE_MICROSECONDS)
    row("history and features of one deal, from its JSON", asked, "us")
    table.caption = f"medians of {runs} runs, of one deal {_RUNS_OF_ONE}"
    Console().print(table)


if __name__ == "__main__":
    command()
