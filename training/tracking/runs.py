"""Recording a finished training: one run, a child for each rung and for the held-out period, and the model.

The parent comes first and is finished last: whatever happens in between, a run that stands as finished is
whole.
A bundle that is recorded already is not recorded twice.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from time import time
from typing import Any, Final

from forecast import __version__
from training.settings import TrackingSettings
from training.tracking.client import connect, failures_explained, quoted, tracking_uri, without_password
from training.tracking.dataset import DataFacts, dataset_input
from training.tracking.pyfunc import save_model
from training.tracking.registry import add_version, name_version, registered

__all__ = ["Child", "Record", "Recorded", "record"]

_BATCH: Final = 100  # parameters one request may carry
_MOST_NOTE: Final = 8_000  # characters a tag may have
_MOST_DESCRIPTION: Final = 5_000  # and the description of a version
_PACKAGES: Final = ("numpy", "pandas", "scipy", "lightgbm", "mlflow")
# Tags of ours by which a run is found again.
_PARENT, _MODEL = "parent", "model_id"


@dataclass(frozen=True, slots=True)
class Child:
    """A part of a training with figures of its own.

    series : metric -> its values in order, e.g. by window; shown as a curve
    """

    name: str
    kind: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """What is recorded of a training. `started` in seconds since 1970.

    data : what it learnt from
    children : its parts
    files : name -> content of the artifacts of its run
    card : its model card, Markdown; note of the run and description of the version
    """

    folder: Path
    bundle_id: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    started: float
    data: DataFacts | None = None
    children: tuple[Child, ...] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    card: str = ""


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

    Raises UnavailableError within seconds when the server does not answer or refuses: the first call that fails
    is the last.
    """
    uri = tracking_uri(settings)
    shown = without_password(uri)
    with failures_explained(shown):
        client = connect(uri, settings)
        experiment = _experiment(client, uri, settings.experiment)
        _close_abandoned(client, experiment, training.folder)
        version = registered(client, settings.model, training.bundle_id) if register else None
        if version is not None:
            alias = name_version(client, settings.model, str(version.version), folder=training.folder)
            return Recorded(shown, str(version.run_id), str(version.version), alias, known=True)
        run = _recorded_run(client, experiment, training.bundle_id)
        if run is None:
            run = _Writer(client, experiment, training).write(settings.model)
        run_id = str(run.info.run_id)
        if not register:
            return Recorded(shown, run_id)
        version = add_version(
            client,
            settings.model,
            run_id,
            training.bundle_id,
            model_id=run.data.tags[_MODEL],
            description=_shortened(training.card, _MOST_DESCRIPTION, f"card.md of run {run_id}"),
        )
        alias = name_version(client, settings.model, str(version.version), folder=training.folder)
        return Recorded(shown, run_id, str(version.version), alias)


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
    mine = f"tags.place = '{_place(folder)}'"
    for run in client.search_runs([experiment], f"attributes.status = 'RUNNING' and {mine}"):
        client.set_terminated(run.info.run_id, status="FAILED")


def _recorded_run(client: Any, experiment: str, bundle_id: str) -> Any | None:
    """The finished run of a bundle, if there is one."""
    mine = f"tags.bundle_id = '{quoted(bundle_id)}' and tags.kind = '{_PARENT}'"
    found = client.search_runs([experiment], f"attributes.status = 'FINISHED' and {mine}", max_results=1)
    return next((run for run in found if _MODEL in run.data.tags), None)


def _place(folder: Path) -> str:
    """Which folder on which machine, told apart from all others without saying where it is."""
    return sha256(f"{socket.gethostname()}:{folder.resolve()}".encode()).hexdigest()[:16]


class _Writer:
    """Writes one training; what it began and could not finish is marked as failed."""

    def __init__(self, client: Any, experiment: str, training: Record) -> None:
        self.client, self.experiment, self.training = client, experiment, training
        self.tags = {
            "bundle_id": training.bundle_id,
            "bundle": training.folder.name,
            "place": _place(training.folder),
        }
        self.started_ms = int(training.started * 1000)
        self.running: list[str] = []
        self.model_id: str | None = None

    def write(self, model_name: str) -> Any:
        """Everything, in the order in which it can be read afterwards; returns the run."""
        try:
            return self._write(model_name)
        except Exception as error:
            # A server that is gone is not asked again: the next training of the folder closes what is open.
            if not _unreachable(error):
                self._fail()
            raise
        except BaseException:
            self._fail()
            raise

    def _write(self, model_name: str) -> Any:
        client, training = self.client, self.training
        tags = {**training.tags, **_system(), "kind": _PARENT}
        if training.card:
            tags["mlflow.note.content"] = _shortened(training.card, _MOST_NOTE, "the artifact card.md")
        run_id = self._begin(f"{training.folder.name} {training.bundle_id[:12]}", tags)
        data = None if training.data is None else dataset_input(training.data)
        if data is not None:
            client.log_inputs(run_id, datasets=[data])
        logged = client.create_logged_model(
            self.experiment,
            name=model_name,
            source_run_id=run_id,
            tags={"bundle_id": training.bundle_id},
            params=dict(training.tags),
        )
        self.model_id = str(logged.model_id)
        self._figures(run_id, training.params, training.metrics, model_id=self.model_id)
        for child in training.children:
            self._child(run_id, child)
        if training.files:
            with TemporaryDirectory() as scratch:
                for name, content in training.files.items():
                    file = Path(scratch) / name
                    file.parent.mkdir(exist_ok=True)
                    file.write_bytes(content)
                client.log_artifacts(run_id, scratch)
        self._model(run_id, logged.artifact_location)
        client.set_tag(run_id, _MODEL, self.model_id)
        self._end(run_id)
        return client.get_run(run_id)

    def _begin(self, name: str, tags: Mapping[str, str]) -> str:
        run = self.client.create_run(
            self.experiment, start_time=self.started_ms, tags={**self.tags, **tags}, run_name=name
        )
        self.running.append(str(run.info.run_id))
        return self.running[-1]

    def _end(self, run_id: str) -> None:
        self.client.set_terminated(run_id)
        self.running.remove(run_id)

    def _child(self, parent: str, child: Child) -> None:
        tags = {**child.tags, "kind": child.kind, "mlflow.parentRunId": parent}
        if child.note:
            tags["mlflow.note.content"] = child.note
        run_id = self._begin(child.name, tags)
        self._figures(run_id, child.params, child.metrics, child.series)
        self._end(run_id)

    def _figures(
        self,
        run_id: str,
        params: Mapping[str, str],
        values: Mapping[str, float],
        series: Mapping[str, tuple[float, ...]] | None = None,
        *,
        model_id: str | None = None,
    ) -> None:
        """Parameters and metrics, in as few requests as may be; those of a model are shown with it, too."""
        from mlflow.entities import Metric, Param

        now_ms = int(time() * 1000)
        metrics = [
            Metric(name, value, now_ms, 0, model_id=model_id) for name, value in sorted(values.items())
        ]
        metrics += [
            Metric(name, value, now_ms, step)
            for name, steps in (series or {}).items()
            for step, value in enumerate(steps)
        ]
        told = [Param(name, value) for name, value in sorted(params.items())]
        for start in range(0, max(len(told), 1), _BATCH):
            first = metrics if start == 0 else []
            self.client.log_batch(run_id, metrics=first, params=told[start : start + _BATCH])

    def _model(self, run_id: str, location: str) -> None:
        """The bundle as a model of the experiment, put out by the run."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        with TemporaryDirectory() as scratch:
            into = Path(scratch) / "model"
            described = Model(
                artifact_path=location, model_uuid=self.model_id, run_id=run_id, model_id=self.model_id
            )
            save_model(self.training.folder, into, model=described)
            self.client.log_model_artifacts(self.model_id, str(into))
        self.client.finalize_logged_model(self.model_id, "READY")
        self.client.log_outputs(run_id, [LoggedModelOutput(self.model_id, step=0)])

    def _fail(self) -> None:
        with contextlib.suppress(Exception):
            if self.model_id is not None and self.running:
                self.client.finalize_logged_model(self.model_id, "FAILED")
            for run_id in reversed(self.running):
                self.client.set_terminated(run_id, status="FAILED")


def _shortened(card: str, most: int, where: str) -> str:
    """The card cut to at most so many characters, at a heading if it can be, with a word where the rest is."""
    if len(card) <= most:
        return card
    rest = f"\n\nThe rest is in {where}.\n"
    kept = card[: most - len(rest)]
    at = kept.rfind("\n\n## ")
    return (kept[:at] if at > 0 else kept[: kept.rfind("\n")]).rstrip() + rest


def _unreachable(error: BaseException) -> bool:
    """Whether the failure is one of the way to the server, not an answer of it."""
    root = error
    while (below := root.__cause__ or root.__context__) is not None:
        root = below
    return isinstance(root, OSError)


def _system() -> dict[str, str]:
    """What computed it."""
    found = {"python": ".".join(map(str, sys.version_info[:3])), "forecast": __version__}
    for name in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return {
        **{f"version.{name}": version for name, version in found.items()},
        "system.cores": str(os.cpu_count() or 1),
        "system.platform": sys.platform,
    }
