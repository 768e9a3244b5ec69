"""Recording a finished back-test: a run with a child run for each origin, tables and page as artifacts."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Final

from training.settings import TrackingSettings
from training.tracking.client import connect, failures_explained, quoted, tracking_uri, without_password

__all__ = ["Look", "Scoreboard", "record_scoreboard"]

_BATCH: Final = 500  # metrics one request may carry, half of MLflow's limit
_PARAMS: Final = 100


@dataclass(frozen=True, slots=True)
class Look:
    """One origin: its name, what it was made by, and its figures."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Scoreboard:
    """What is recorded of a back-test. `started` in seconds since 1970."""

    name: str
    folder: Path
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    looks: Sequence[Look]
    files: Sequence[Path]
    started: float


def record_scoreboard(scoreboard: Scoreboard, settings: TrackingSettings) -> tuple[str, str]:
    """Record a back-test; returns the server's address without a password, and the id of the parent run.

    Raises UnavailableError within seconds when the server does not answer or refuses.
    """
    uri = tracking_uri(settings)
    shown = without_password(uri)
    with failures_explained(shown):
        client = connect(uri, settings)
        experiment = _experiment(client, uri, settings.experiment)
        tags = {"kind": "backtest", "folder": quoted(scoreboard.folder), "host": socket.gethostname()}
        _close_abandoned(client, experiment, tags)
        start_ms = int(scoreboard.started * 1000)
        parent = _begin(client, experiment, scoreboard.name, tags, start_ms)
        with _failed_if_it_fails(client, parent):
            _log(client, parent, scoreboard.params, scoreboard.metrics)
            for look in scoreboard.looks:
                child_tags = {**tags, "mlflow.parentRunId": parent}
                child = _begin(client, experiment, look.name, child_tags, start_ms)
                with _failed_if_it_fails(client, child):
                    _log(client, child, look.params, look.metrics)
                client.set_terminated(child)
            for path in scoreboard.files:
                client.log_artifact(parent, str(path), "backtest")
        client.set_terminated(parent)
        return shown, parent


def _experiment(client: Any, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A database in a file has its artifacts in a folder beside it; a server decides for itself.
    beside = None
    if uri.startswith("sqlite:///"):
        beside = (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=beside))


def _close_abandoned(client: Any, experiment: str, tags: Mapping[str, str]) -> None:
    """Mark runs of a back-test that was killed while recording as failed: one at a time writes a folder."""
    mine = " and ".join(f"tags.{name} = '{value}'" for name, value in tags.items())
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' and {mine}"):
        client.set_terminated(run.info.run_id, status="FAILED")


def _begin(client: Any, experiment: str, name: str, tags: Mapping[str, str], start_ms: int) -> str:
    run = client.create_run(experiment, start_time=start_ms, tags=dict(tags), run_name=name)
    return str(run.info.run_id)


def _log(client: Any, run_id: str, params: Mapping[str, str], metrics: Mapping[str, float]) -> None:
    from mlflow.entities import Metric, Param

    now_ms = int(time() * 1000)
    named = [Param(name, value) for name, value in sorted(params.items())]
    for start in range(0, len(named), _PARAMS):
        client.log_batch(run_id, params=named[start : start + _PARAMS])
    values = [Metric(name, value, now_ms, 0) for name, value in sorted(metrics.items())]
    for start in range(0, len(values), _BATCH):
        client.log_batch(run_id, metrics=values[start : start + _BATCH])


@contextlib.contextmanager
def _failed_if_it_fails(client: Any, run_id: str) -> Any:
    try:
        yield
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(run_id, status="FAILED")
        raise
