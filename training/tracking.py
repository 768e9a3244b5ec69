"""MLflow, and nothing but MLflow: the only module that imports it.

A training is done when its bundle is written. What happens here comes after, reads only that folder, and may
fail without losing anything: running the same command again gives the same bundle and records it.

- A run holds the settings as parameters, the metrics, and the bundle folder as artifact `bundle`.
- A registered version points at that artifact. It is a plain folder of text files: nothing is pickled.
- The first version gets the alias `champion`, because something must serve; a later one `candidate`.
- One bundle is registered once: its id is the tag `bundle_id` of the version.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any, Final

from forecast.errors import UnavailableError
from training.settings import TrackingSettings

__all__ = ["CANDIDATE", "CHAMPION", "DEFAULT_URI", "Record", "Recorded", "record", "tracking_uri"]

DEFAULT_URI: Final = "sqlite:///mlflow.db"
CHAMPION: Final = "champion"
CANDIDATE: Final = "candidate"
_ARTIFACT: Final = "bundle"
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


def tracking_uri(settings: TrackingSettings) -> str:
    """Where runs go: the settings, else MLFLOW_TRACKING_URI, else a file in the current folder."""
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def record(training: Record, settings: TrackingSettings, *, register: bool) -> Recorded:
    """Record a finished training as a run and, with `register`, as a version of the registered model.

    Raises UnavailableError within seconds when the server does not answer or refuses.
    """
    uri = tracking_uri(settings)
    shown = _without_password(uri)
    with _failures_explained(shown):
        client = _client(uri, settings)
        experiment = _experiment(client, uri, settings.experiment)
        _close_abandoned(client, experiment, training.folder)
        version = _registered(client, settings.model, training.bundle_id) if register else None
        known = version is not None
        run_id = str(version.run_id) if version is not None else _run(client, experiment, training)
        if not register:
            return Recorded(shown, run_id)
        if version is None:
            version = _version(client, settings.model, run_id, training.bundle_id)
        alias = _name_version(client, settings.model, str(version.version))
        return Recorded(shown, run_id, str(version.version), alias, known)


def _client(uri: str, settings: TrackingSettings) -> Any:
    # By default MLflow reports home, and waits four minutes for a server that is down. Both are read from the
    # environment, the first one at import. What the user has set himself stays.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(settings.retries))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(settings.timeout_seconds))
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    from mlflow import MlflowClient

    # Its import sets up loggers that announce each table of a new database.
    for noisy in ("alembic", "mlflow", "urllib3.connectionpool"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def _failures_explained(uri: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise UnavailableError(
            "MLflow is not installed; run: pip install 'forecast[train]', or train with --no-track",
            code="missing_extra",
        ) from error
    except Exception as error:
        # Whatever goes wrong in or behind the client, the training itself stands.
        message = _without_password(f"MLflow at {uri} did not record the run: {_reason(error)}")
        # The original holds the password, if there is one, so it is not chained.
        raise UnavailableError(message, code="tracking") from None


def _reason(error: BaseException) -> str:
    """The operating system's word where there is one ("Connection refused"), else the error's first line."""
    root = error
    while (below := root.__cause__ or root.__context__) is not None:
        root = below
    if isinstance(root, OSError) and (root.strerror or isinstance(root, TimeoutError)):
        return root.strerror or "no answer in time"
    return str(error).strip().split("\n", 1)[0][:300] or type(error).__name__


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
    mine = f"tags.folder = '{_quoted(folder)}' and tags.host = '{socket.gethostname()}'"
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' and {mine}"):
        client.set_terminated(run.info.run_id, status="FAILED")


def _run(client: Any, experiment: str, training: Record) -> str:
    from mlflow.entities import Metric, Param

    tags = {
        **training.tags,
        "bundle_id": training.bundle_id,
        "folder": _quoted(training.folder),
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
        client.log_artifacts(run_id, str(training.folder), _ARTIFACT)
    except BaseException:
        with contextlib.suppress(Exception):
            client.set_terminated(run_id, status="FAILED")
        raise
    client.set_terminated(run_id)
    return run_id


def _registered(client: Any, model: str, bundle_id: str) -> Any | None:
    versions = client.search_model_versions(f"name = '{_quoted(model)}'")
    same = [version for version in versions if version.tags.get("bundle_id") == bundle_id]
    return min(same, key=lambda version: int(version.version)) if same else None


def _version(client: Any, model: str, run_id: str, bundle_id: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(model)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    return client.create_model_version(
        model, source=f"runs:/{run_id}/{_ARTIFACT}", run_id=run_id, tags={"bundle_id": bundle_id}
    )


def _name_version(client: Any, model: str, version: str) -> str:
    """Give a version its alias, unless it is the champion already."""
    aliases = client.get_registered_model(model).aliases
    if str(aliases.get(CHAMPION)) == version:
        return CHAMPION
    alias = CANDIDATE if CHAMPION in aliases else CHAMPION
    client.set_registered_model_alias(model, alias, version)
    return alias


def _quoted(text: object) -> str:
    """Text for a filter, which has no way to write a quote inside quotes."""
    return str(text).replace("'", "_")


def _without_password(text: str) -> str:
    """Text in which no address names a user or a password."""
    return re.sub(r"//[^/@\s]+@", "//", text)
