"""Recording a finished training as a run."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Final

from training.settings import TrackingSettings
from training.tracking.client import connect, failures_explained, quoted, tracking_uri, without_password
from training.tracking.registry import ARTIFACT, add_version, name_version, registered

__all__ = ["Record", "Recorded", "record"]

_BATCH: Final = 100  # parameters one request may carry


@dataclass(frozen=True, slots=True)
class Record:
    """What is recorded of a training. `started` in seconds since 1970."""

    folder: Path
    bundle_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    started: float


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where it was recorded.

    uri: of the server, without a password
    version, alias: None unless it was to be registered
    known: it had been registered before; `run_id` is the run of then
    """

    uri: str
    run_id: str
    version: str | None = None
    alias: str | None = None
    known: bool = False


def record(training: Record, settings: TrackingSettings, *, register: bool) -> Recorded:
    """Record a finished training as a run and, with `register`, as a version of the registered model.

    Raises UnavailableError within seconds when the server does not answer or refuses.
    """
    uri = tracking_uri(settings)
    shown = without_password(uri)
    with failures_explained(shown):
        client = connect(uri, settings)
        experiment = _experiment(client, uri, settings.experiment)
        _close_abandoned(client, experiment, training.folder)
        version = registered(client, settings.model, training.bundle_id) if register else None
        known = version is not None
        run_id = str(version.run_id) if version is not None else _run(client, experiment, training)
        if not register:
            return Recorded(shown, run_id)
        if version is None:
            version = add_version(client, settings.model, run_id, training.bundle_id)
        alias = name_version(client, settings.model, str(version.version), folder=training.folder)
        return Recorded(shown, run_id, str(version.version), alias, known)


def _experiment(client: Any, uri: str, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # A database in a file has its artifacts in a folder beside it; a server decides for itself.
    beside = None
    if uri.startswith("sqlite:///"):
        beside = (Path(uri.removeprefix("sqlite:///")).absolute().parent / "mlartifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=beside))


def _close_abandoned(client: Any, experiment: str, folder: Path) -> None:
    """Mark runs of a training that was killed while recording as failed.

    Only one training at a time writes a bundle folder, so a run of ours for it that is still going is dead.
    """
    mine = f"tags.folder = '{quoted(folder)}' and tags.host = '{socket.gethostname()}'"
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' and {mine}"):
        client.set_terminated(run.info.run_id, status="FAILED")


def _run(client: Any, experiment: str, training: Record) -> str:
    from mlflow.entities import Metric, Param

    tags = {
        **training.tags,
        "bundle_id": training.bundle_id,
        "folder": quoted(training.folder),
        "host": socket.gethostname(),
    }
    start_ms, now_ms = int(training.started * 1000), int(time() * 1000)
    run = client.create_run(
        experiment,
        start_time=start_ms,
        tags=tags,
        run_name=f"{training.folder.name} {training.bundle_id[:12]}",
    )
    run_id = str(run.info.run_id)
    try:
        metrics = [Metric(name, value, now_ms, 0) for name, value in sorted(training.metrics.items())]
        params = [Param(name, value) for name, value in sorted(training.params.items())]
        for start in range(0, len(params), _BATCH):
            client.log_batch(run_id, params=params[start : start + _BATCH])
        client.log_batch(run_id, metrics=metrics)
        client.log_artifacts(run_id, str(training.folder), ARTIFACT)
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id)
    return run_id
