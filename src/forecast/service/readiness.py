"""Whether the service is ready, and in what it is degraded: what it answers all the same, but not as it should.

    200 ready       everything as promised
    200 degraded    it answers; `degraded` says what is wrong, as codes without names of files or machines
    503             it does not answer yet

A load balancer keeps sending to a degraded service: an old bundle answers better than nobody. Alarms look at
the codes. MLflow is no reason: nothing here asks it.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from forecast.errors import ForecastError, UsageError
from forecast.service.strict_json import dumps

__all__ = [
    "STALE_BUNDLE_DAYS",
    "STALE_SNAPSHOT_HOURS",
    "LedgerWatch",
    "Readiness",
    "Thresholds",
    "ready_body",
]

STALE_BUNDLE_DAYS: Final = "FORECAST_STALE_BUNDLE_DAYS"
STALE_SNAPSHOT_HOURS: Final = "FORECAST_STALE_SNAPSHOT_HOURS"
_ASK_SECONDS: Final = 5.0

Reason = dict[str, str]


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From when on what is served counts as stale.

    bundle_days : since the newest record a bundle learnt from; retraining is expected every quarter
    snapshot_hours : since the last snapshot was published; publishing is expected every night
    """

    bundle_days: float = 100.0
    snapshot_hours: float = 36.0

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Thresholds:
        """From FORECAST_STALE_BUNDLE_DAYS and FORECAST_STALE_SNAPSHOT_HOURS.

        Raises UsageError for what is no positive number.
        """
        usual = cls()
        return cls(
            _positive(environment, STALE_BUNDLE_DAYS, usual.bundle_days),
            _positive(environment, STALE_SNAPSHOT_HOURS, usual.snapshot_hours),
        )


class LedgerWatch:
    """Asks the ledger every few seconds, in a thread of its own, so that no probe waits for it.

    newest_us : when the newest snapshot was published, in microseconds since 1970; None without any. It raises
        ForecastError where the ledger does not answer
    tell : is told the moment of the newest snapshot, in seconds, whenever it is known
    """

    def __init__(self, newest_us: Callable[[], int | None], tell: Callable[[float], None]) -> None:
        self._newest_us = newest_us
        self._tell = tell
        self._said: tuple[bool, int | None] = (True, None)

    def start(self) -> None:
        """Ask from now on, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="ledger-watch", daemon=True).start()

    def ask(self) -> None:
        """Ask once."""
        try:
            newest_us = self._newest_us()
        except ForecastError:
            self._said = (False, None)
            return
        self._said = (True, newest_us)
        if newest_us is not None:
            self._tell(newest_us / 1e6)

    def reasons(self, now_us: float, thresholds: Thresholds) -> list[Reason]:
        """What is wrong with the ledger. Scoring goes on without it; reads do not."""
        reachable, newest_us = self._said
        if not reachable:
            return [{"code": "ledger_unavailable", "affects": "reads"}]
        if newest_us is not None and now_us - newest_us > thresholds.snapshot_hours * 3600e6:
            return [{"code": "stale_snapshot", "affects": "reads"}]
        return []

    def _run(self) -> None:
        while True:
            self.ask()
            time.sleep(_ASK_SECONDS)


@dataclass(slots=True)
class Readiness:
    """What of a worker is degraded.

    trained_until_us : of the bundle that serves now
    refused : code of why what is offered does not serve, None while it does
    """

    thresholds: Thresholds
    trained_until_us: Callable[[], int]
    refused: Callable[[], str | None]
    ledger: LedgerWatch | None = None
    clock: Callable[[], float] = time.time

    def reasons(self) -> list[Reason]:
        """Codes of what is wrong now; none if nothing is."""
        now_us = self.clock() * 1e6
        found: list[Reason] = []
        why = self.refused()
        if why is not None:
            found.append({"code": "bundle_refused", "because": why, "affects": "scores"})
        if now_us - self.trained_until_us() > self.thresholds.bundle_days * 86_400e6:
            found.append({"code": "stale_bundle", "affects": "scores"})
        if self.ledger is not None:
            found += self.ledger.reasons(now_us, self.thresholds)
        return found


def ready_body(reasons: list[Reason]) -> bytes:
    """Answer of `GET /readyz` once the service answers."""
    return dumps({"status": "degraded", "degraded": reasons} if reasons else {"status": "ready"})


def _positive(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{name}={text[:20]!r}: expected a number above 0", code="bad_threshold")
    return value
