"""Recording a monitor as a run of its own, beside the runs of trainings.

The experiment is that of trainings with `-monitoring` behind its name; the tag `bundle_id` leads back to the
training. A metric has one value a run: how it moved is in the list of runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from training.settings import TrackingSettings
from training.tracking.client import connect, failures_explained, tracking_uri, without_password
from training.tracking.runs import _experiment

__all__ = ["record_monitoring"]


def record_monitoring(
    bundle_id: str,
    metrics: Mapping[str, float],
    tags: Mapping[str, str],
    texts: Mapping[str, str],
    settings: TrackingSettings,
) -> str:
    """Record one monitoring and return where.

    texts : artifacts by file name, e.g. the page and the facts
    Raises UnavailableError within seconds when the server does not answer or refuses.
    """
    uri = tracking_uri(settings)
    shown = without_password(uri)
    with failures_explained(shown):
        client = connect(uri, settings)
        experiment = _experiment(client, uri, f"{settings.experiment}-monitoring")
        run = client.create_run(
            experiment, tags={**tags, "bundle_id": bundle_id}, run_name=f"monitor {bundle_id[:12]}"
        )
        run_id = str(run.info.run_id)
        try:
            _fill(client, run_id, metrics, texts)
        except BaseException:
            with contextlib.suppress(Exception):
                client.set_terminated(run_id, status="FAILED")
            raise
        client.set_terminated(run_id)
    return f"{shown}, run {run_id}"


def _fill(client: Any, run_id: str, metrics: Mapping[str, float], texts: Mapping[str, str]) -> None:
    for name, value in sorted(metrics.items()):
        client.log_metric(run_id, name, value)
    for name, text in sorted(texts.items()):
        client.log_text(run_id, text, name)
