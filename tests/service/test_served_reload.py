"""The real server with two workers while bundles come and go and a worker is killed: requests are answered."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from bundles import damage, shelf_of
from running_server import KEY, Server, environment_for, free_port, running

from forecast.bundle import load_bundle, set_current
from forecast.service.engine import Engine
from forecast.service.openapi import example_score_request

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Caller:
    """Asks all the time in a thread of its own, each time on a new connection, so that both workers are met."""

    def __init__(self, server: Server, body: dict[str, Any]) -> None:
        self.statuses: list[int] = []
        self.failed: list[str] = []
        self.bundles: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(server, body))

    def _run(self, server: Server, body: dict[str, Any]) -> None:
        while not self._stop.wait(0.02):
            try:
                answer = server.ask("POST", "/v1/score", json=body)
            except httpx.HTTPError as error:
                self.failed.append(type(error).__name__)
                continue
            self.statuses.append(answer.status_code)
            if answer.status_code == 200:
                self.bundles.add(answer.json()["model"]["bundle"])

    def __enter__(self) -> Caller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def serving(server: Server) -> set[str]:
    """The bundles its workers serve, by their gauges."""
    lines = server.ask("GET", "/metrics").text.splitlines()
    on = [line for line in lines if line.startswith("forecast_bundle_info{") and line.endswith(" 1.0")]
    return {line.partition('bundle="')[2].partition('"')[0] + line.partition('pid="')[2] for line in on}


def until(true: Callable[[], bool], seconds: float = 60.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.1)


def workers_of(server: Server) -> list[int]:
    """Process ids of the workers, which are children of the server."""
    listed = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(line.split()[0]) for line in listed.stdout.splitlines() if "worker" in line]


def serves_everywhere(server: Server, short_id: str, workers: int = 2) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        found = serving(server)
        return len(found) == workers and all(one.startswith(short_id) for one in found)
    return False


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, trained_bundle: Path) -> list[Path]:
    return shelf_of(trained_bundle, tmp_path_factory.mktemp("served") / "models", 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, models: list[Path]) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("server")
    pointer = models[0].parent / "current"
    port = free_port()
    arguments = ["forecast.cli", "serve", "--port", str(port), "--bundle", str(pointer), "--workers", "2"]
    environment = environment_for(home, pointer, FORECAST_LOG="json", FORECAST_STALE_BUNDLE_DAYS="100000")
    with running(arguments, port, home, environment, home) as started:
        yield started


def test_bundles_come_and_a_worker_goes_while_every_request_is_answered(
    server: Server, models: list[Path]
) -> None:
    pipeline, stages = Engine.load(models[0]).example_stages()
    ids = [load_bundle(folder).id for folder in models]
    damage(models[2])
    until(lambda: serves_everywhere(server, ids[0][:12]))
    with Caller(server, example_score_request(stages, pipeline)) as caller:
        set_current(models[1])
        until(lambda: serves_everywhere(server, ids[1][:12]))

        set_current(models[2])
        until(lambda: server.ask("GET", "/readyz").json()["status"] == "degraded")
        until(lambda: "forecast_bundle_refused 1.0" in server.ask("GET", "/metrics").text)
        time.sleep(1)  # the other worker hears of it, too

    assert caller.failed == []
    assert set(caller.statuses) == {200}
    assert caller.bundles == set(ids[:2])
    refused = server.ask("GET", "/readyz")
    assert refused.status_code == 200
    assert refused.json()["degraded"] == [
        {"code": "bundle_refused", "because": "hash_mismatch", "affects": "scores"}
    ]

    # A worker is killed while what is offered is damaged: it comes back with what served.
    before = workers_of(server)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    with Caller(server, example_score_request(stages, pipeline)) as caller:
        until(lambda: len(set(workers_of(server)) - set(before)) == 1)
        until(lambda: serves_everywhere(server, ids[1][:12]))
    # A request whose worker was killed may be lost: callers ask once more.
    assert len(caller.failed) <= 1
    assert set(caller.statuses) == {200}
    assert caller.bundles == {ids[1]}

    set_current(models[0])
    until(lambda: serves_everywhere(server, ids[0][:12]))
    assert server.ask("GET", "/readyz").json() == {"status": "ready"}


def test_every_line_of_its_log_is_json_and_says_which_bundle_answered(
    server: Server, models: list[Path]
) -> None:
    assert server.ask("GET", "/v1/model", headers={"x-request-id": "named-2"}).status_code == 200
    until(lambda: "named-2" in server.log.read_text())
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    (named,) = [line for line in lines if line.get("request") == "named-2"]
    assert named["bundle"] == load_bundle(models[0]).short_id
    assert named["route"] == "/v1/model"
    said = [line["message"] for line in lines if line["event"] == "message"]
    assert any("serves in place of" in text for text in said)
    assert KEY not in server.log.read_text()
    # Before a worker has read its settings, the server around it writes lines of its own.
    assert all(line.startswith(("{", "key: ", "20")) for line in server.log.read_text().splitlines())


def test_at_sigterm_requests_under_way_are_answered_and_nothing_is_left(
    server: Server, models: list[Path]
) -> None:
    pipeline, stages = Engine.load(models[0]).example_stages()
    body = example_score_request(stages, pipeline)
    (deal,) = body["deals"]
    body["deals"] = [{**deal, "deal_id": f"L-{number}"} for number in range(2500)]
    body["reasons"] = 3
    found: list[int] = []
    asking = threading.Thread(
        target=lambda: found.append(server.ask("POST", "/v1/score", json=body).status_code)
    )
    asking.start()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(40) == 0
    asking.join()
    assert found == [200]
    left = Path(os.environ.get("TMPDIR", "/tmp")).glob(f"forecast-serve-{server.process.pid}-*")  # noqa: S108
    assert list(left) == []
