"""Speed of the service: one deal and whole lists over HTTP on loopback, beside the bare library call.

    python -m benchmarks.serving [--bundle models/sample] [--requests 1000]

A deal has 8 events and 10 activities. Requests go one after the other over one kept-alive connection, so a
time is what a CRM waits for, without queueing; CPU is what the serving process spends on a call, which other
work on the machine hardly moves. Without --bundle a small one is trained on an invented company.
"""

from __future__ import annotations

import contextlib
import copy
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine
from forecast.bundle import load_bundle, write_bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.periods import to_timestamp
from forecast.scoring import score_open_deals
from forecast.service.engine import Engine
from forecast.service.openapi import example_score_request
from forecast.service.requests import parse_score_request
from forecast.simulator import simulate

TARGET_MS: Final = 5.0
KEY: Final = "only-for-this-measurement"
READY_SECONDS: Final = 60.0


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), help="Bundle to serve.")
@click.option(
    "--requests", default=1000, show_default=True, type=click.IntRange(20), help="Requests of one deal."
)
def main(bundle: Path | None, requests: int) -> None:
    """Print median and 99th percentile of every kind of call."""
    console = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = bundle or _small_bundle(Path(scratch) / "sample")
        engine = Engine.of(load_bundle(folder))
        pipeline, stages = engine.example_stages()
        example = example_score_request(stages, pipeline)
        one = _body(example, 1)
        with _server(folder, Path(scratch)) as (port, worker):
            post = _poster(port)
            measured = [
                _measure("HTTP, 1 deal", 1, lambda: post(one), requests, worker),
                *(
                    _measure(
                        f"HTTP, {size:,} deals{note}", size, lambda body=body: post(body), repeats, worker
                    )
                    for size, note, repeats, body in (
                        (100, "", 30, _body(example, 100)),
                        (1000, "", 8, _body(example, 1000)),
                        (1000, ", no reasons", 8, _body(example, 1000, reasons=0)),
                    )
                ),
            ]
        engine.warm_up()
        us, now_us = psutil.Process(), time.time_ns() // 1000
        for name, call in (
            ("bytes to bytes, 1 deal", lambda: engine.score(one, now_us)),
            ("history and scores alone, 1 deal", _library(engine, one, now_us)),
            ("parsing alone, 1 deal", lambda: parse_score_request(one, engine.known, now_us)),
        ):
            measured.append(_measure(name, 1, call, requests, us))
    console.print(_table(measured))
    median = measured[0].median_ms
    console.print(
        f"one deal over HTTP: {median:.2f} ms, {'within' if median < TARGET_MS else 'MISSES'} the target"
    )


@dataclass(frozen=True)
class Measured:
    """Milliseconds of one kind of call."""

    name: str
    deals: int
    median_ms: float
    p99_ms: float
    cpu_ms: float


def _measure(
    name: str, deals: int, call: Callable[[], object], repeats: int, process: psutil.Process
) -> Measured:
    """Times of `repeats` calls and the CPU `process` spends on one, after a few calls that do not count."""
    for _ in range(min(20, repeats)):
        call()
    before = process.cpu_times()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    after = process.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    median, p99 = np.percentile(times, [50, 99])
    return Measured(name, deals, float(median), float(p99), cpu_s / repeats * 1e3)


def _table(measured: list[Measured]) -> Table:
    table = Table(title=f"Serving, {machine()}", caption=f"target: one deal over HTTP under {TARGET_MS:g} ms")
    table.add_column("call")
    for heading in ("median ms", "p99 ms", "CPU ms", "deals/s"):
        table.add_column(heading, justify="right")
    for row in measured:
        numbers = (f"{row.median_ms:.2f}", f"{row.p99_ms:.2f}", f"{row.cpu_ms:.2f}")
        table.add_row(row.name, *numbers, f"{row.deals / row.median_ms * 1e3:,.0f}")
    return table


def _small_bundle(folder: Path) -> Path:
    tables = simulate(deals=1500, seed=1).tables
    until = pd.Timestamp("2026-01-01", tz="UTC")
    models = fit_models(History.from_tables(tables), until, FitSettings(max_landmarks=20_000, windows=1))
    write_bundle(models, folder, metrics={}, data_fingerprint=tables.fingerprint)
    return folder


def _body(example: dict[str, Any], size: int, **more: Any) -> bytes:
    deals = [copy.deepcopy(example["deals"][0]) | {"deal_id": f"D-{number}"} for number in range(size)]
    return json.dumps({**example, "deals": deals, **more}).encode()


def _library(engine: Engine, body: bytes, now_us: int) -> Callable[[], object]:
    """The computation without any transport or encoding."""
    request = parse_score_request(body, engine.known, now_us)
    models, as_of = engine.bundle.models, to_timestamp(request.as_of_us)

    def call() -> object:
        history = History.from_request(request.deals, stages=models.stages, money=models.money)
        return score_open_deals(history, engine.bundle, as_of)

    return call


def _poster(port: int) -> Callable[[bytes], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}

    def post(body: bytes) -> bytes:
        connection.request("POST", "/v1/score", body, headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {answer[:300]!r}")
        return answer

    return post


@contextlib.contextmanager
def _server(bundle: Path, scratch: Path) -> Iterator[tuple[int, psutil.Process]]:
    """`forecast serve` on a free port until the block ends: the port, and its one worker."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environment = {**os.environ, "FORECAST_API_KEY": KEY, "BENTOML_HOME": str(scratch / "bentoml")}
    command = [sys.executable, "-m", "forecast.cli", "serve", "--bundle", str(bundle), "--port", str(port)]
    with (scratch / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not _ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((scratch / "server.log").read_text()[-2000:])
            time.sleep(0.2)
        (worker,) = psutil.Process(process.pid).children()
        yield port, worker
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
