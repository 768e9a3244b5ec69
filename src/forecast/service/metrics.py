"""What Prometheus may know: counts and times by route, never a value and never a path as somebody typed it.

BentoML's own request metrics are switched off (see `app`): they take the raw path as a label, so a stranger
who asks for random paths could fill the memory of every worker.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """The counters of one process; with several workers BentoML's shared folder adds them up."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "forecast_http_requests_total",
            "Requests by route and status",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "forecast_http_request_seconds",
            "Time from the first byte of a request to its answer",
            ["route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._refused = Counter(
            "forecast_http_refused_total", "Refused requests by error code", ["code"], registry=self._registry
        )
        self._deals = Counter(
            "forecast_scored_deals_total", "Deals scored by route", ["route"], registry=self._registry
        )
        self._bundle = Gauge(
            "forecast_bundle_info",
            "1 for the bundle a worker serves; its first twelve digits",
            ["bundle"],
            registry=self._registry,
            multiprocess_mode="liveall",
        )
        self._trained = Gauge(
            "forecast_bundle_trained_until_seconds",
            "Until when the bundle in use was trained, as Unix time; the oldest of all workers",
            registry=self._registry,
            multiprocess_mode="livemin",
        )
        self._reloads = Counter(
            "forecast_reloads_total",
            "Bundles offered to a running worker, by what became of them: accepted or refused",
            ["result"],
            registry=self._registry,
        )
        self._refusing = Gauge(
            "forecast_bundle_refused",
            "1 while what is offered does not serve, because it is damaged or missing",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._serving = ""

    def bundle(self, short_id: str, trained_until_us: int) -> None:
        """A bundle came into use, in place of the one before."""
        if self._serving:
            self._bundle.labels(self._serving).set(0)
        self._bundle.labels(short_id).set(1)
        self._serving = short_id
        self._trained.set(trained_until_us / 1e6)

    def reloaded(self, result: str) -> None:
        """A bundle was offered and `accepted` or `refused`."""
        self._reloads.labels(result).inc()

    def refusing(self, refusing: bool) -> None:
        """Whether another bundle is offered than the one that serves."""
        self._refusing.set(float(refusing))

    def answered(self, route: str, status: int, seconds: float, deals: int, code: str | None) -> None:
        """A request was answered; `route` is one of our own paths, or `other`."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)
        if code is not None:
            self._refused.labels(code).inc()
        if deals:
            self._deals.labels(route).inc(deals)

    def render(self) -> bytes:
        """The Prometheus text of all workers."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return bytes(generate_latest(self._registry))
        _forget_the_dead(Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]  # prometheus_client types half
        return bytes(generate_latest(everybody))


def _forget_the_dead(folder: Path) -> None:
    """Drop the gauges of workers that ended: what they served is served no more."""
    for file in folder.glob("gauge_live*.db"):
        process = file.stem.rsplit("_", 1)[-1]
        if process.isdigit() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            with contextlib.suppress(FileNotFoundError):
                file.unlink()
