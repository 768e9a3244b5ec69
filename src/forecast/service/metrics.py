"""What Prometheus may know: counts and times by route, never a value and never a path as somebody typed it.

BentoML's own request metrics are switched off (see `app`): they take the raw path as a label, so a stranger
who asks for random paths could fill the memory of every worker.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections import Counter as Counted
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SCORING: Final = frozenset({"/v1/score", "/v1/score/bulk", "/v1/leads/score"})
# As our own encoder writes it; within a text of somebody else the quotes would be escaped.
_SCORE: Final = re.compile(rb'"score":(\d{1,3})[,}]')
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
        self._scores = Counter(
            "forecast_scores_total",
            "Scores handed out by route, in tens: their distribution",
            ["route", "score"],
            registry=self._registry,
        )
        self._waiting = Gauge(
            "forecast_waiting_requests",
            "Requests in turn or waiting for it, sampled once a second, by lane",
            ["lane"],
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._published = Gauge(
            "forecast_snapshot_published_seconds",
            "When the newest snapshot in the ledger was published, as Unix time",
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._degraded = Gauge(
            "forecast_degraded",
            "1 while /readyz names this code",
            ["code"],
            registry=self._registry,
            multiprocess_mode="livemax",
        )
        self._kept: dict[tuple[str, int], tuple[Counter, Histogram]] = {}  # by route and status
        self._serving = ""
        self._named: set[str] = set()

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
        requests, times = self._figures_of(route, status)
        requests.inc()
        times.observe(seconds)
        if code is not None:
            self._refused.labels(code).inc()
        if deals:
            self._deals.labels(route).inc(deals)

    def _figures_of(self, route: str, status: int) -> tuple[Counter, Histogram]:
        """The figures every answer moves; the library would find them anew under a lock, one by one."""
        found = self._kept.get((route, status))
        if found is None:
            found = self._requests.labels(route, str(status)), self._seconds.labels(route)
            self._kept[route, status] = found
        return found

    def scored(self, route: str, answer: bytes) -> None:
        """Scores stand in an answer, or in a part of one: add them to their distribution."""
        if route not in _SCORING:
            return
        found = Counted((int(score) - 1) // 10 for score in _SCORE.findall(answer))
        for tens, number in found.items():
            self._scores.labels(route, f"{10 * tens + 1}-{10 * tens + 10}").inc(number)

    def waiting(self, lanes: Mapping[str, int]) -> None:
        """How many requests are in each lane now."""
        for lane, number in lanes.items():
            self._waiting.labels(lane).set(number)

    def published(self, seconds: float) -> None:
        """When the newest snapshot was published."""
        self._published.set(seconds)

    def degraded(self, codes: Collection[str]) -> None:
        """What /readyz names now."""
        for code in {*self._named, *codes}:
            self._degraded.labels(code).set(float(code in codes))
        self._named.update(codes)

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
