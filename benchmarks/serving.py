"""Speed of the service beside what could serve in its place, over HTTP on loopback.

    python -m benchmarks.serving [--bundle models/current] [--rounds 5]

The same deals (8 events, 10 activities, five reasons) go to our service, to an endpoint written by hand with
FastAPI (`benchmarks.peers.endpoint`) and to `mlflow models serve` with the bundle as its model, two workers
each. They are asked in turn, round after round, so that whatever else the machine does hits all of them;
medians of the rounds are printed. The client runs on the same cores. CPU is what the workers spend on a
request: other work on the machine moves it less. Below stands where the time of a request goes, and the
floor: the bare model.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import pandas as pd
import psutil
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.asking import (
    AS_OF,
    Answered,
    Client,
    Due,
    closed_loop,
    open_loop,
    poisson,
    request_bytes,
    run,
    sent_deals,
)
from benchmarks.machine import machine
from forecast.bundle import load_bundle, write_bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.models.incidence import HORIZON_CAP_DAYS
from forecast.periods import to_timestamp
from forecast.scoring import HORIZONS_DAYS, score_arrays
from forecast.service.engine import Engine
from forecast.service.flat import flat_row
from forecast.service.reading import read_score_request
from forecast.service.requests import ScoreRequest
from forecast.simulator import simulate

__all__ = ["KEY", "Served", "free_port", "serving", "small_bundle"]

KEY: Final = "only-for-this-measurement"
READY_SECONDS: Final = 120.0
WORKERS: Final = 2
CONNECTIONS: Final = 16
RATE: Final = 50.0
BOOK: Final = 1000
DIFFERENT: Final = 64  # requests of one deal, asked in turn
ENVIRONMENT: Final = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "BENTOML_DO_NOT_TRACK": "True",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@dataclass(frozen=True)
class Served:
    """A running server: its port, and the process that started it."""

    port: int
    process: psutil.Process

    def workers(self) -> list[psutil.Process]:
        """All processes below it, and itself."""
        return [self.process, *self.process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """CPU that all of them have spent so far."""
        total = 0.0
        for one in self.workers():
            with contextlib.suppress(psutil.NoSuchProcess):
                spent = one.cpu_times()
                total += spent.user + spent.system
        return total


@dataclass
class Peer:
    """A server to measure, and what is sent to it: one deal a request, and a whole book."""

    name: str
    start: Callable[[Path], contextlib.AbstractContextManager[Served]]
    small: list[bytes]
    book: bytes
    book_plain: bytes
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, value: float) -> None:
        self.rounds.setdefault(what, []).append(value)

    def median(self, what: str) -> float:
        return float(np.median(self.rounds[what]))


@click.command()
@click.option("--bundle", type=click.Path(path_type=Path, exists=True), help="Bundle to serve.")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(1), help="Rounds, for medians.")
@click.option("--seconds", default=4.0, show_default=True, help="Seconds of each measurement of a round.")
def main(bundle: Path | None, rounds: int, seconds: float) -> None:
    """Print the speed of the service beside its peers, and where the time of a request goes."""
    console = Console(soft_wrap=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = (bundle or small_bundle(Path(scratch) / "sample")).resolve()
        engine = Engine.of(load_bundle(folder))
        peers = _peers(engine, folder)
        with contextlib.ExitStack() as stack:
            running = [(peer, stack.enter_context(peer.start(Path(scratch)))) for peer in peers]
            for peer, served in running:
                run(_measure(peer, served, min(1.0, seconds)))  # not counted: all get warm
                peer.rounds.clear()
            for done in track(range(rounds), "rounds", console=Console(stderr=True)):
                # Another one begins each time: whoever comes after the heaviest finds the caches cold.
                first = done % len(running)
                for peer, served in (*running[first:], *running[:first]):
                    run(_measure(peer, served, seconds))
        console.print(_peer_table(peers))
        transport_ms = peers[0].median("cpu")
        console.print(_breakdown(engine, transport_ms))
        ours, by_hand, mlflow = peers
        rate = ours.median("rate")
        console.print(
            f"One deal at {RATE:g}/s: median {ours.median('median'):.2f} ms (asked for: 2.5), "
            f"p99 {ours.median('p99'):.1f} ms (15). Throughput {rate / by_hand.median('rate'):.2f}x "
            f"FastAPI (1.0), {rate / mlflow.median('rate'):.1f}x mlflow models serve (8). "
            f"{BOOK:,} deals: {ours.median('book_plain'):,.0f}/s without reasons (10,000), "
            f"{ours.median('book'):,.0f}/s with (2,500)."
        )


def _peers(engine: Engine, bundle: Path) -> list[Peer]:
    pipeline, _ = engine.example_stages()
    deals = sent_deals(engine.bundle.models.stages, pipeline, DIFFERENT, seed=1)
    book = sent_deals(engine.bundle.models.stages, pipeline, BOOK, seed=2)
    as_of = f"{AS_OF:%Y-%m-%dT%H:%M:%SZ}"

    def listed(some: list[dict[str, Any]], reasons: int) -> bytes:
        return json.dumps({"as_of": as_of, "deals": some, "reasons": reasons}).encode()

    def table(some: list[dict[str, Any]], reasons: int) -> bytes:
        rows = [flat_row(deal) for deal in some]
        return json.dumps(
            {"dataframe_records": rows, "params": {"as_of": as_of, "reasons": reasons}}
        ).encode()

    def peer(name: str, start: Any, path: str, body: Callable[[list[dict[str, Any]], int], bytes]) -> Peer:
        return Peer(
            name,
            start,
            [request_bytes(path, body([deal], 5), KEY) for deal in deals],
            request_bytes(path, body(book, 5), KEY),
            request_bytes(path, body(book, 0), KEY),
        )

    return [
        peer("forecast serve", lambda scratch: serving(bundle, scratch), "/v1/score", listed),
        peer("FastAPI by hand", lambda scratch: _endpoint(bundle, scratch), "/score", listed),
        peer("mlflow models serve", lambda scratch: _mlflow(bundle, scratch), "/invocations", table),
    ]


async def _measure(peer: Peer, served: Served, seconds: float) -> None:
    client = Client(served.port)
    due = [
        Due(at_s, peer.small[place % len(peer.small)])
        for place, at_s in enumerate(poisson(RATE, 1.5 * seconds, seed=len(peer.rounds.get("median", []))))
    ]
    calm = _all_right(await open_loop(client, due))
    median, p99 = np.percentile([one.seconds * 1e3 for one in calm], [50, 99])
    peer.add("median", float(median))
    peer.add("p99", float(p99))
    before = served.cpu_seconds()
    busy = _all_right(await closed_loop(client, peer.small, CONNECTIONS, seconds))
    peer.add("cpu", (served.cpu_seconds() - before) / len(busy) * 1e3)
    peer.add("rate", len(busy) / max(one.at_s + one.seconds for one in busy))
    for what, request in (("book", peer.book), ("book_plain", peer.book_plain)):
        times = [one.seconds for one in _all_right(await closed_loop(client, [request], 1, seconds / 2))]
        peer.add(what, BOOK / float(np.median(times)))
    client.close()


def _all_right(answers: list[Answered]) -> list[Answered]:
    for one in answers:
        if one.status != 200:
            raise RuntimeError(f"status {one.status}: {one.body[:300]!r}")
    return answers


def _peer_table(peers: list[Peer]) -> Table:
    table = Table(
        title=f"Serving with {WORKERS} workers; client on the same {machine()}",
        caption=f"one deal: 8 events, 10 activities, 5 reasons; {CONNECTIONS} connections at saturation",
    )
    table.add_column("server")
    for heading in (
        f"median ms at {RATE:g}/s", "p99 ms", "requests/s at saturation", "CPU ms/request",
        f"deals/s, {BOOK:,} with reasons", "without",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for peer in peers:
        table.add_row(
            peer.name,
            *(f"{peer.median(what):.2f}" for what in ("median", "p99")),
            f"{peer.median('rate'):,.0f}",
            f"{peer.median('cpu'):.2f}",
            *(f"{peer.median(what):,.0f}" for what in ("book", "book_plain")),
        )
    return table


# -- where the time goes ------------------------------------------------------------------------------------


def _breakdown(engine: Engine, served_ms: float) -> Table:
    """CPU of one request and of a book by part, measured in this process with everything warm."""
    engine.warm_up()
    now_us = time.time_ns() // 1000
    pipeline, _ = engine.example_stages()
    table = Table(
        title="CPU of a request by part (ms)",
        caption="transport: HTTP, door, turn, log, metrics; rested: after 20 ms of sleep, as at 50 requests/s, "
        "in which others had the caches",
    )
    table.add_column("part")
    parts: dict[str, dict[str, float]] = {}
    runs = (("1 deal", 1, 400, 0.0), ("rested", 1, 100, 1 / RATE), (f"{BOOK:,} deals", BOOK, 7, 0.0))
    for heading, number, repeats, rest_s in runs:
        table.add_column(heading, justify="right")
        deals = sent_deals(engine.bundle.models.stages, pipeline, number, seed=3)
        body = json.dumps({"as_of": f"{AS_OF:%Y-%m-%dT%H:%M:%SZ}", "deals": deals}).encode()
        parts[heading] = _parts(engine, body, now_us, repeats, rest_s)
    # What comes first after a rest finds nothing in the caches, so only wholes can be compared there.
    parts["rested"] = {name: parts["rested"][name] for name in ("bytes to bytes", "floor: the bare model")}
    if served_ms:
        parts["1 deal"] = {"transport": served_ms - parts["1 deal"]["bytes to bytes"], **parts["1 deal"]}
    for name in ("transport", *(one for one in parts["1 deal"] if one != "transport")):
        table.add_row(name, *(f"{one[name]:.3f}" if name in one else "" for one in parts.values()))
    return table


def _parts(engine: Engine, body: bytes, now_us: int, repeats: int, rest_s: float) -> dict[str, float]:
    models = engine.bundle.models
    request = read_score_request(body, engine.known, now_us)
    history = request.sent.history(models.stages, models.money)
    as_of_us = request.as_of_us
    deal = history.open_deals(as_of_us)
    when = np.full(len(deal), as_of_us)
    features = models.features(history, deal, when)
    marks = [*map(float, HORIZONS_DAYS), HORIZON_CAP_DAYS]

    def read() -> ScoreRequest:
        return read_score_request(body, engine.known, now_us)

    def past() -> History:
        return request.sent.history(models.stages, models.money)

    def scores(reasons: int) -> dict[str, Any]:
        return score_arrays(history, engine.bundle, deal, to_timestamp(as_of_us), reasons=reasons)

    def bare() -> Any:
        hazards = models.on_bins(models.outcome.coefficients(features)) + models.log_pace(features)
        return models.cells(as_of_us, marks).curves(hazards).won_by(np.array(HORIZONS_DAYS))

    calls: dict[str, Callable[[], Any]] = {
        "whole": lambda: engine.score(body, now_us),
        "parse": read,
        # The courses of a history are read once: of a new one, as in a request, and of one known already.
        "new": lambda: models.features(past(), deal, when),
        "features": lambda: models.features(history, deal, when),
        "plain": lambda: scores(0),
        "explained": lambda: scores(5),
        "bare": bare,
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            if rest_s:
                time.sleep(rest_s)
            start = time.thread_time()
            call()
            times[name].append((time.thread_time() - start) * 1e3)
    ms = {name: float(np.median(found)) for name, found in times.items()}
    return {
        "parse": ms["parse"],
        "history and features": ms["new"],
        "model": ms["plain"] - ms["features"],
        "reasons": ms["explained"] - ms["plain"],
        "encode": ms["whole"] - ms["parse"] - ms["new"] - (ms["explained"] - ms["features"]),
        "bytes to bytes": ms["whole"],
        "floor: the bare model": ms["bare"],
    }


# -- servers ------------------------------------------------------------------------------------------------


def small_bundle(folder: Path) -> Path:
    """A bundle of an invented company."""
    tables = simulate(deals=1500, seed=1).tables
    until = pd.Timestamp("2026-01-01", tz="UTC")
    models = fit_models(History.from_tables(tables), until, FitSettings(max_landmarks=20_000, windows=1))
    write_bundle(models, folder, metrics={}, data_fingerprint=tables.fingerprint)
    return folder


def free_port() -> int:
    """A port of the loopback address nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def serving(
    bundle: Path, scratch: Path, workers: int = WORKERS, **environment: str
) -> contextlib.AbstractContextManager[Served]:
    """`forecast serve` until the block ends."""
    port = free_port()
    command = [
        *(sys.executable, "-m", "forecast.cli", "serve", "--bundle", str(bundle)),
        *("--port", str(port), "--workers", str(workers)),
    ]
    home = {"FORECAST_API_KEY": KEY, "BENTOML_HOME": str(scratch / "bentoml"), **environment}
    return _started(command, port, "/readyz", scratch / "forecast.log", home)


def _endpoint(bundle: Path, scratch: Path) -> contextlib.AbstractContextManager[Served]:
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", "benchmarks.peers.endpoint:app"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", str(WORKERS)),
    ]
    settings = {"BUNDLE": str(bundle), "ENDPOINT_KEY": KEY}
    return _started(command, port, "/openapi.json", scratch / "endpoint.log", settings)


def _mlflow(bundle: Path, scratch: Path) -> contextlib.AbstractContextManager[Served]:
    from mlflow.models import Model

    from training.tracking.pyfunc import save_model

    save_model(bundle, scratch / "model", model=Model())
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", str(scratch / "model")),
        *("--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", str(WORKERS)),
    ]
    return _started(command, port, "/ping", scratch / "mlflow.log", {})


@contextlib.contextmanager
def _started(command: list[str], port: int, probe: str, log: Path, more: dict[str, str]) -> Iterator[Served]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FORECAST_", "BENTOML_"))}
    here = os.pathsep.join(str(Path(__file__).parents[1] / name) for name in ("src", "."))
    path = os.pathsep.join(
        (str(Path(sys.executable).parent), os.environ.get("PATH", ""))
    )  # for mlflow's uvicorn
    environment = {**kept, **ENVIRONMENT, "PATH": path, "PYTHONPATH": here, **more}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env=environment)
    served = Served(port, psutil.Process(process.pid))
    try:
        deadline = time.monotonic() + READY_SECONDS
        while not run(_is_up(port, probe)):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(log.read_text(errors="replace")[-2000:])
            time.sleep(0.3)
        yield served
    finally:
        below = served.process.children(recursive=True) if process.poll() is None else []
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        for one in below:  # `mlflow models serve` leaves its server behind
            with contextlib.suppress(psutil.NoSuchProcess):
                one.terminate()


async def _is_up(port: int, path: str) -> bool:
    client = Client(port)
    status, *_ = await client.ask(request_bytes(path, b"", method="GET"), retries=0)
    client.close()
    return status == 200


if __name__ == "__main__":
    main()
