"""What was served to whom, written in batches by a thread: an answer never waits for it.

Only ids of keys and requests, counts and hashes; nothing of what was sent or answered. A service that is
killed loses at most the last half second of this, one that stops in order loses nothing.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from forecast.errors import ForecastError

__all__ = ["Journal", "Served"]

_FLUSH_SECONDS: Final = 0.5
_MOST_WAITING: Final = 20_000
_BATCH: Final = 1_000
_log = logging.getLogger("forecast.ledger")


@dataclass(frozen=True, slots=True)
class Served:
    """One answer that went out.

    served_at_us, as_of_us : microseconds since 1970
    key : public id of the key
    rows : deals or leads that were computed or read
    asked_sha256, answered_sha256 : hex digests of the two bodies
    """

    served_at_us: int
    route: str
    key: str
    request_id: str
    status: int
    rows: int
    asked_sha256: str
    answered_sha256: str
    bundle: str | None = None
    as_of_us: int | None = None

    @staticmethod
    def digest(body: bytes) -> str:
        """The hash of a body as it is kept."""
        return hashlib.sha256(body).hexdigest()


class Journal:
    """A bounded queue in front of a table. Threads may share it.

    write : stores a batch; a ForecastError keeps it for the next try
    """

    def __init__(self, write: Callable[[list[dict[str, object]]], None]) -> None:
        self._write = write
        self._waiting: deque[Served] = deque()
        self._dropped = 0
        self._wake = threading.Event()
        self._closing = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Entries lost because the ledger did not take them for too long."""
        return self._dropped

    def add(self, entry: Served) -> None:
        """Take an entry; costs a microsecond."""
        if len(self._waiting) >= _MOST_WAITING:
            self._dropped += 1
            return
        self._waiting.append(entry)
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Write everything that waits. Raises ForecastError if the ledger does not take it."""
        with self._lock:
            while self._waiting:
                batch = [self._waiting[at] for at in range(min(_BATCH, len(self._waiting)))]
                self._write([asdict(entry) for entry in batch])
                for _ in batch:
                    self._waiting.popleft()

    def close(self) -> None:
        """Write what waits and stop; what cannot be written is dropped."""
        self._closing = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.flush()
        except ForecastError:
            self._dropped += len(self._waiting)
            self._waiting.clear()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ledger-journal", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(_FLUSH_SECONDS)
            try:
                self.flush()
            except Exception as fault:  # it stays in the queue, and the thread alive
                _log.warning("served not written: %s", type(fault).__name__)
