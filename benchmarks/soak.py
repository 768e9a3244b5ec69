"""Does the service hold out: minutes of requests while things go wrong, and far more requests than it can take.

    python -m benchmarks.soak [--minutes 10] [--seed 1]
    python -m benchmarks.soak --overload [--rate 500] [--seconds 60]

50 requests a second come at random moments (Poisson), whatever the service does; a time counts from the
moment a request was due, and whoever is told to come back later does so once. One in a hundred is wrong, and
every ten seconds there is a book of 1,000 deals and a stream. After the first two minutes, within one: another
bundle is put in place, a worker is killed with -9, a damaged bundle is offered, and the first bundle is put
back; all the time the MLflow server named in the environment does not exist. Every five seconds memory, files
and threads of each process are looked at.

The overload is ten times as many requests: those that are let in must not wait long, the others must be told
to come back later, and right after it everything must be as before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.asking import AS_OF, Answered, Client, Due, open_loop, poisson, request_bytes, run, sent_deals
from benchmarks.machine import machine
from benchmarks.serving import KEY, RATE, Served, serving
from forecast.bundle import set_current, write_bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.service.engine import Engine
from forecast.simulator import simulate

__all__ = ["Soaked", "overload", "prepared", "soak"]

_BUNDLE: Final = re.compile(rb'"bundle":"([0-9a-f]+)"')
_LOOK_SECONDS: Final = 5.0
_WRONG_SHARE: Final = 0.01
_BOOK_EVERY_SECONDS: Final = 10.0
_NOBODY: Final = "http://127.0.0.1:9"  # where no MLflow server listens
_GOOD: Final = ("one", "book", "stream")


@dataclass(frozen=True, slots=True)
class Look:
    """One process at one moment: seconds since the start, memory, open files, threads."""

    at_s: float
    pid: int
    megabytes: float
    files: int
    threads: int


@dataclass(frozen=True)
class Prepared:
    """A folder of bundles with the pointer `current`: two sound ones and one that is damaged."""

    folder: Path
    first: Path
    second: Path
    damaged: Path


@dataclass
class Soaked:
    """What was seen of a run.

    happened : second -> what was done to the service
    edge_s : length of the first and of the last part, which are compared
    """

    seconds: float
    edge_s: float
    answers: list[Answered]
    looks: list[Look] = field(default_factory=list)
    happened: dict[float, str] = field(default_factory=dict)

    @property
    def settled_s(self) -> float:
        """From here on nothing is done to the service any more."""
        return min(self.edge_s + 60.0, self.seconds - self.edge_s)

    def of(self, *kinds: str) -> list[Answered]:
        """Answers to requests of some kinds."""
        return [one for one in self.answers if one.kind in kinds]

    def unanswered(self) -> list[Answered]:
        """Well-formed requests without a good answer, not even to their retry."""
        return [one for one in self.of(*_GOOD) if one.status != 200]

    def faults(self) -> list[Answered]:
        """Wrong requests that were not refused as the caller's fault."""
        return [one for one in self.of("wrong") if not 400 <= one.status < 500]

    def bundles(self) -> list[str]:
        """Bundles that answered, in the order they first did."""
        found = (_BUNDLE.search(one.body) for one in sorted(self.of("one"), key=lambda one: one.at_s))
        return list(dict.fromkeys(one[1].decode() for one in found if one))

    def quantile_ms(self, q: float, start_s: float, end_s: float) -> float:
        """A quantile of the times of single deals that were due in a span."""
        times = [one.seconds for one in self.of("one") if start_s <= one.at_s < end_s]
        return float(np.quantile(times, q)) * 1e3 if times else float("nan")

    def growth(self) -> dict[int, float]:
        """MB a minute by which each process grew from `settled_s` on, by least squares; those that lived on."""
        found = {}
        for pid in {look.pid for look in self.looks}:
            late = [look for look in self.looks if look.pid == pid and look.at_s >= self.settled_s]
            if len(late) > 2 and late[-1].at_s > self.seconds - 2 * _LOOK_SECONDS:
                slope = np.polyfit([look.at_s / 60 for look in late], [look.megabytes for look in late], 1)[0]
                found[pid] = float(slope)
        return found


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long.")
@click.option("--seed", default=1, show_default=True, help="Of the moments and of the deals.")
@click.option("--overload", "overloaded", is_flag=True, help="Far too many requests instead.")
@click.option("--rate", default=500.0, show_default=True, help="Requests a second of the overload.")
@click.option("--seconds", default=60.0, show_default=True, help="How long the overload lasts.")
def main(minutes: float, seed: int, overloaded: bool, rate: float, seconds: float) -> None:
    """Put the service under load and print what it did."""
    console = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch:
        bundles = prepared(Path(scratch) / "models")
        if overloaded:
            kept = _tell_overload(console, overload(bundles, Path(scratch), rate, seconds, seed), seconds)
        else:
            kept = _tell(console, soak(bundles, Path(scratch), minutes, seed), bundles)
    sys.exit(0 if kept else 1)


def prepared(folder: Path) -> Prepared:
    """Train two small bundles and damage a copy of the second."""
    until = pd.Timestamp("2026-01-01", tz="UTC")
    made = []
    for seed in (1, 2):
        tables = simulate(deals=800, seed=seed).tables
        models = fit_models(History.from_tables(tables), until, FitSettings(max_landmarks=8_000, windows=1))
        made.append(folder / f"bundle-{seed}")
        write_bundle(models, made[-1], metrics={}, data_fingerprint=tables.fingerprint)
    first, second = made
    damaged = folder / "damaged"
    shutil.copytree(second, damaged)
    largest = max(damaged.glob("*.json"), key=lambda path: path.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(content)
    set_current(first)
    return Prepared(folder, first, second, damaged)


def soak(bundles: Prepared, scratch: Path, minutes: float, seed: int) -> Soaked:
    """The run that is described above, with two workers."""
    set_current(bundles.first)
    seconds = minutes * 60
    edge_s = min(120.0, seconds / 3)
    due = list(_mixed(bundles, seconds, seed))
    with serving(bundles.folder / "current", scratch, MLFLOW_TRACKING_URI=_NOBODY) as served:
        return run(_soaked(served, bundles, due, seconds, edge_s))


async def _soaked(served: Served, bundles: Prepared, due: list[Due], seconds: float, edge_s: float) -> Soaked:
    client = Client(served.port, comes_back=True)
    found = Soaked(seconds, edge_s, [])
    start = time.perf_counter()
    around = [
        asyncio.create_task(_watch(served, start, found.looks)),
        asyncio.create_task(_disturb(served, bundles, start, found)),
    ]
    found.answers = await open_loop(client, due, start)
    for task in around:
        task.cancel()
    for ended in await asyncio.gather(*around, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    client.close()
    return found


async def _disturb(served: Served, bundles: Prepared, start: float, found: Soaked) -> None:
    """What happens to the service, spread over the minute behind the first part."""
    span_s = found.settled_s - found.edge_s
    steps = (
        (0.0, "second bundle put in place", lambda: set_current(bundles.second)),
        (0.25, "a worker killed", lambda: _kill_a_worker(served)),
        (0.5, "damaged bundle offered", lambda: set_current(bundles.damaged)),
        (0.75, "first bundle put back", lambda: set_current(bundles.first)),
    )
    for part, what, do in steps:
        await asyncio.sleep(max(start + found.edge_s + part * span_s - time.perf_counter(), 0))
        found.happened[round(time.perf_counter() - start, 1)] = what
        do()


def _kill_a_worker(served: Served) -> None:
    """End a worker as a machine out of memory would: the one that worked most."""
    busiest = max(served.process.children(), key=lambda one: sum(one.cpu_times()[:2]))
    os.kill(busiest.pid, signal.SIGKILL)


async def _watch(served: Served, start: float, looks: list[Look]) -> None:
    while True:
        at_s = time.perf_counter() - start
        for one in served.workers():
            with contextlib.suppress(psutil.NoSuchProcess), one.oneshot():
                memory_mb = one.memory_info().rss / 2**20
                looks.append(Look(at_s, one.pid, memory_mb, one.num_fds(), one.num_threads()))
        await asyncio.sleep(_LOOK_SECONDS)


def _mixed(bundles: Prepared, seconds: float, seed: int) -> Iterator[Due]:
    """Single deals, one in a hundred of them wrong, and now and then a book and a stream."""
    pick = random.Random(seed)  # noqa: S311  a load, not a secret
    engine = Engine.load(bundles.first)
    pipeline, _ = engine.example_stages()
    deals = sent_deals(engine.bundle.models.stages, pipeline, 400, seed)
    ones = [request_bytes("/v1/score", _asked([deal]), KEY) for deal in deals]
    wrong = _wrong(deals[0])
    book = [deal | {"deal_id": f"{deal['deal_id']}-{turn}"} for turn in range(3) for deal in deals][:1000]
    large = {
        "book": request_bytes("/v1/score", _asked(book), KEY),
        "stream": request_bytes(
            "/v1/score/bulk?as_of=2026-01-01T00:00:00Z",
            b"".join(json.dumps(deal).encode() + b"\n" for deal in book),
            KEY,
            media="application/x-ndjson",
        ),
    }
    turns = [
        Due(at_s + shift_s, large[kind], kind)
        for at_s in np.arange(_BOOK_EVERY_SECONDS, seconds - 5, _BOOK_EVERY_SECONDS).tolist()
        for kind, shift_s in (("book", 0.0), ("stream", _BOOK_EVERY_SECONDS / 2))
    ]
    small = [
        Due(at_s, pick.choice(wrong), "wrong")
        if pick.random() < _WRONG_SHARE
        else Due(at_s, pick.choice(ones), "one")
        for at_s in poisson(RATE, seconds, seed)
    ]
    yield from sorted([*turns, *small], key=lambda one: one.at_s)


def _asked(deals: list[dict[str, Any]]) -> bytes:
    return json.dumps({"as_of": f"{AS_OF:%Y-%m-%dT%H:%M:%SZ}", "deals": deals}).encode()


def _wrong(deal: dict[str, Any]) -> list[bytes]:
    """Requests nobody should send, one of each kind."""
    sound = _asked([deal])
    bodies = [
        sound[:-7],
        sound.replace(b'"deal_id"', b'"deal_id": 1, "deal_id"', 1),
        _asked([{**deal, "amount": "12"}]),
        _asked([{**deal, "created_at": "2025-01-01T00:00:00"}]),
        _asked([{**deal, "events": []}]),
        _asked([{**deal, "deal_id": "x" * 300}]),
        _asked([{**deal, "amount": float("nan")}]),
        b"[" * 5000,
        b"\xff\xfe",
    ]
    return [
        *(request_bytes("/v1/score", body, KEY) for body in bodies),
        request_bytes("/v1/score", sound, "no-key-of-ours"),
        request_bytes("/v1/nowhere", sound, KEY),
        request_bytes("/v1/score", sound, KEY, media="text/plain"),
    ]


def _tell(console: Console, found: Soaked, bundles: Prepared) -> bool:
    """Print a run; whether it kept every promise."""
    last_s = found.seconds - found.edge_s
    first_ms, last_ms = (found.quantile_ms(0.99, start, start + found.edge_s) for start in (0.0, last_s))
    growth = found.growth()
    worst = max(growth.values(), default=0.0)
    named = [Engine.load(path).bundle.id for path in (bundles.first, bundles.second)]
    retried = sum(one.retried for one in found.of(*_GOOD))
    files, threads = ((max(look.files for look in found.looks)), max(look.threads for look in found.looks))
    codes = Counter(one.status for one in found.of("wrong"))
    promises = [
        ("well-formed requests answered", f"{len(found.of(*_GOOD)):,}, {retried} of them at the second try,"
         f" {len(found.unanswered())} not", not found.unanswered()),
        ("wrong requests refused as such", f"{codes.total():,}: {dict(sorted(codes.items()))}",
         not found.faults()),
        ("two reloads, no damaged bundle", f"{len(found.bundles())} bundles answered",
         found.bundles() == named),
        ("memory, MB a minute at most 1", f"{worst:+.2f} in the worst of {len(growth)} processes",
         worst <= 1.0),
        ("p99 of the last part at most 1.2x the first", f"{last_ms:.1f} ms after {first_ms:.1f} ms",
         last_ms <= 1.2 * first_ms),
    ]  # fmt: skip
    title = f"{found.seconds / 60:g} minutes at {RATE:g}/s, 2 workers; client on the same {machine()}"
    table = Table(title=title)
    for heading in ("promise", "seen", ""):
        table.add_column(heading)
    for promise, seen, holds in promises:
        table.add_row(promise, seen, "kept" if holds else "MISSED")
    console.print(table)
    console.print(
        f"single deals: median {found.quantile_ms(0.5, 0, found.seconds):.1f} ms, "
        f"p99 {found.quantile_ms(0.99, 0, found.seconds):.1f} ms, "
        f"longest {found.quantile_ms(1.0, 0, found.seconds):.0f} ms; at most {files} open files and "
        f"{threads} threads in a process"
    )
    for at_s, what in found.happened.items():
        console.print(f"{at_s:6.1f} s  {what}")
    for pid, slope in growth.items():
        sizes = [look.megabytes for look in found.looks if look.pid == pid]
        console.print(
            f"process {pid}: {sizes[0]:.0f} MB at first, {sizes[-1]:.0f} MB at last, {slope:+.2f} MB/min"
        )
    return all(holds for *_, holds in promises)


# -- far too many -------------------------------------------------------------------------------------------


def overload(bundles: Prepared, scratch: Path, rate: float, seconds: float, seed: int) -> list[Answered]:
    """Ten seconds as usual, the overload, and twenty seconds as usual; kinds `before`, `over` and `after`."""
    set_current(bundles.first)
    engine = Engine.load(bundles.first)
    pipeline, _ = engine.example_stages()
    deals = sent_deals(engine.bundle.models.stages, pipeline, 400, seed)
    ones = [request_bytes("/v1/score", _asked([deal]), KEY) for deal in deals]
    spans = (
        ("before", RATE, 0.0, 10.0),
        ("over", rate, 10.0, seconds),
        ("after", RATE, 10.0 + seconds, 20.0),
    )
    due = [
        Due(start_s + at_s, ones[place % len(ones)], kind)
        for kind, much, start_s, span_s in spans
        for place, at_s in enumerate(poisson(much, span_s, seed))
    ]
    with serving(bundles.folder / "current", scratch) as served:

        async def ask() -> list[Answered]:
            client = Client(served.port)
            answers = await open_loop(client, due)
            client.close()
            return answers

        return run(ask())


def _tell_overload(console: Console, answers: list[Answered], seconds: float) -> bool:
    over = [one for one in answers if one.kind == "over"]
    taken = [one for one in over if one.status == 200]
    sent_away = [one for one in over if one.status == 429]
    others = Counter(one.status for one in over if one.status not in (200, 429))
    before, after = (
        [one for one in answers if one.kind == kind and one.at_s >= least]
        for kind, least in (("before", 0.0), ("after", 20.0 + seconds))
    )
    p99_ms = float(np.quantile([one.seconds for one in taken], 0.99)) * 1e3
    medians = [float(np.median([one.seconds for one in some])) * 1e3 for some in (before, after)]
    again = all(b"retry-after:" in one.headers.lower() for one in sent_away)
    promises = [
        ("taken, p99 at most 500 ms", f"{len(taken):,} of {len(over):,} "
         f"({len(taken) / seconds:,.0f}/s), p99 {p99_ms:.0f} ms", p99_ms <= 500),
        ("the others 429 with Retry-After", f"{len(sent_away):,}; anything else: {dict(others)}",
         again and not others),
        ("as before ten seconds later", f"median {medians[1]:.1f} ms after {medians[0]:.1f} ms before, "
         f"all answered: {all(one.status == 200 for one in after)}",
         all(one.status == 200 for one in after) and medians[1] <= 1.5 * medians[0]),
    ]  # fmt: skip
    much = f"{len(over) / seconds:,.0f}/s for {seconds:g} s"
    table = Table(title=f"Overload of {much}, 2 workers; client on the same {machine()}")
    for heading in ("promise", "seen", ""):
        table.add_column(heading)
    for promise, seen, holds in promises:
        table.add_row(promise, seen, "kept" if holds else "MISSED")
    console.print(table)
    return all(holds for *_, holds in promises)


if __name__ == "__main__":
    main()
