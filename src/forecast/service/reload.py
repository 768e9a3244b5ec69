"""Following what serves: a thread in each worker sees that another bundle is offered, and takes it over.

looks twice a second -- something new, and no longer being written --> admission (a child tries it, once)
    refused:  the old bundle stays; said once in the log, in a metric and by /readyz
    admitted: load the copy and warm it up in this thread, then hand it over between two requests
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from forecast.errors import ForecastError
from forecast.promotion.shelf import Shelf
from forecast.service.admission import TIMEOUT, Admission, Offer, Verdict, offered
from forecast.service.engine import Engine
from forecast.service.metrics import Metrics

__all__ = ["Follower"]

_log = logging.getLogger("forecast.service")
_LOOK_SECONDS: Final = 0.5
_GONE_SECONDS: Final = 5.0  # a training that replaces its folder leaves the name empty for an instant
_QUIET_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 60.0  # a trial that ran out of time may have had a busy machine


class Follower:
    """Keeps the engine of one worker the one that a path names.

    path : a bundle folder, or a pointer such as models/current
    engine : what serves now
    serve : takes over a new engine, between two requests
    """

    def __init__(
        self,
        path: Path,
        admission: Admission,
        engine: Engine,
        serve: Callable[[Engine], None],
        metrics: Metrics | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._admission = admission
        self.engine = engine
        self._serve = serve
        self._metrics = metrics
        self._clock = clock
        self._settled: Offer | None = None  # decided upon
        self._seen: Offer | None = None  # seen once; decided upon when it is seen again unchanged
        self._again_at: float | None = None
        self._gone_at: float | None = None
        self._settled_at = 0.0
        self._prepared: Offer | None = None  # what was settled when a way back was prepared
        self._stop = threading.Event()
        self.refused: str | None = None
        """Code of why what is offered now does not serve; None while it does."""

    def start(self) -> None:
        """Look twice a second from now on, in a thread that ends with the process."""
        threading.Thread(target=self._run, name="follower", daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._admission.close()

    def look(self) -> None:
        """Look once, and act on what is found."""
        offer = offered(self._path)
        if offer is None:
            self._gone()
            return
        self._gone_at = None
        if offer == self._settled and not self._is_time_again():
            self._prepare_return()
            return
        if offer != self._seen:
            self._seen = offer
            return
        verdict = self._admission.ask(offer)
        if offered(self._path) != offer:
            return  # written to meanwhile: what was tried is not what is there
        self._settled = offer
        self._settled_at = self._clock()
        self._again_at = self._clock() + _AGAIN_SECONDS if verdict.code == TIMEOUT else None
        if verdict.bundle_id is None:
            self._refuse(verdict)
        elif verdict.bundle_id != self.engine.bundle.id:
            self._take(verdict.bundle_id)
        else:
            self.refused = None
        self._tell()

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            try:
                self.look()
            except Exception as fault:  # the thread must outlive whatever a folder holds
                self._settled, self._again_at = self._seen, self._clock() + _AGAIN_SECONDS
                self._refuse(Verdict(None, "internal", f"{self._path}: {type(fault).__name__} {fault}"))
                self._tell()

    def _take(self, bundle_id: str) -> None:
        started = self._clock()
        try:
            engine = Engine.load(self._admission.copy_of(bundle_id))
            engine.warm_up()
        except ForecastError as error:
            self._refuse(Verdict(None, error.code, error.message))
            return
        self._serve(engine)
        old, self.engine = self.engine.short_id, engine
        self.refused = None
        self._admission.serves(bundle_id)
        # The old engine goes with its last request. What came with the new one stays for good, like the rest.
        gc.collect()
        gc.freeze()
        if self._metrics is not None:
            self._metrics.bundle(engine.short_id, engine.trained_until_us)
            self._metrics.reloaded("accepted")
        _log.info(
            "bundle %s serves in place of %s, loaded in %.1fs",
            engine.short_id,
            old,
            self._clock() - started,
        )

    def _prepare_return(self) -> None:
        """Once things are quiet, try what a rollback would bring: then it is followed at once."""
        if self._prepared == self._settled or self._clock() - self._settled_at < _QUIET_SECONDS:
            return
        self._prepared = self._settled
        if not self._path.is_file():
            return
        shelf = Shelf(self._path.parent)
        try:
            before = shelf.state().previous
        except ForecastError:  # a log that cannot be read says nothing of what serves now
            return
        offer = None if before is None else offered(shelf.folder_of(before.bundle_id))
        if offer is not None:
            self._admission.ask(offer)

    def _refuse(self, verdict: Verdict) -> None:
        if self.refused != verdict.code or verdict.code != TIMEOUT:
            _log.error(
                "bundle refused, %s stays: code=%s %s", self.engine.short_id, verdict.code, verdict.message
            )
            if self._metrics is not None:
                self._metrics.reloaded("refused")
        self.refused = verdict.code

    def _gone(self) -> None:
        now = self._clock()
        if self._gone_at is None:
            self._gone_at = now
        elif now - self._gone_at >= _GONE_SECONDS and self.refused != "no_bundle":
            self._settled = self._seen = None
            self._refuse(Verdict(None, "no_bundle", f"{self._path} names no bundle"))
            self._tell()

    def _is_time_again(self) -> bool:
        return self._again_at is not None and self._clock() >= self._again_at

    def _tell(self) -> None:
        if self._metrics is not None:
            self._metrics.refusing(self.refused is not None)
