"""How much one key may have computed: a token bucket by rows for each key, shared by the workers of a server.

A row is a deal or a lead. Who asks is let in while the bucket holds anything and pays afterwards, when the rows
are known: so a large request needs no guess, and may leave a debt that later ones wait for.

A bucket that fills evenly is told by one number, the moment it will be full again (as in the generic cell rate
algorithm of ITU-T I.371). So a table of such moments, in a file that all workers map into their memory, is all
they have to share, and a key that asks one worker has asked them all.
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from forecast.access import Access
from forecast.errors import OutputError
from forecast.service.refusals import Refusal

try:
    import fcntl
except ImportError:  # Windows has none, and no workers beside each other either
    fcntl = None  # type: ignore[assignment]  # a module or nothing

__all__ = ["BYTES_PER_ROW", "Rate"]

# A refused body was read all the same; a deal with some history has about this many bytes.
BYTES_PER_ROW: Final = 2_048
_SLOT: Final = np.dtype([("key", "<u8"), ("full_at_s", "<f8")])
# Keys that may be in debt at once; a bucket that is full again needs no slot.
_SLOTS: Final = 4_096
_TRIES: Final = 50
_TRY_AGAIN_SECONDS: Final = 0.0002


class Rate:
    """The buckets of one server. A bucket holds what a minute allows and fills evenly.

    shared : a file for the workers of one server, made by whoever comes first; without it this process counts
        alone. OutputError if it cannot be made
    clock : seconds that never go back, the same in all processes of the machine
    """

    def __init__(self, shared: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._file = None if shared is None else _file(shared)
        self._map = mmap.mmap(-1 if self._file is None else self._file, _SLOTS * _SLOT.itemsize)
        self._slots = np.frombuffer(self._map, dtype=_SLOT)
        self._lock = threading.Lock()
        self._places: dict[str, tuple[int, int]] = {}

    def admit(self, access: Access) -> None:
        """Let a request in; Refusal 429 with Retry-After while the key has used up what it may."""
        wait_s = self.wait_seconds(access)
        if wait_s > 0:
            raise Refusal(
                429,
                "rate_limited",
                f"this key may have {access.rows_per_minute} rows computed a minute; try again later",
                headers={"retry-after": str(max(1, math.ceil(wait_s)))},
            )

    def charge(self, access: Access, rows: int) -> None:
        """Take what was computed out of the bucket."""
        limit = access.rows_per_minute
        if limit is None:
            return
        with self._alone():
            now_s, place = self._clock(), self._place(access.key)
            full_at_s = self._slots["full_at_s"]
            full_at_s[place] = max(full_at_s[place], now_s) + rows * 60.0 / limit

    def wait_seconds(self, access: Access) -> float:
        """How long until the bucket holds a row; 0 if it does. A stream waits so long between its parts."""
        limit = access.rows_per_minute
        if limit is None:
            return 0.0
        with self._alone():
            missing_s = self._slots["full_at_s"][self._place(access.key)] - self._clock()
        # A bucket holds a row for all but the last of the time it takes to fill.
        return max(0.0, float(missing_s) - 60.0 * (1.0 - 1.0 / limit))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other thread and no other worker reads or writes meanwhile.

        A worker that was stopped in the middle must not stop all others: after a while they go on, and may lose
        what somebody else charges in that moment. One that was killed holds nothing.
        """
        with self._lock:
            if self._file is None or fcntl is None:
                yield
                return
            for _ in range(_TRIES):
                with suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                time.sleep(_TRY_AGAIN_SECONDS)
            try:
                yield
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)

    def _place(self, key: str) -> int:
        """The slot of a key; a new one takes that of a bucket that has been full the longest."""
        keys = self._slots["key"]
        name, place = self._places.get(key) or (_name(key), 0)
        if keys[place] != name:
            found = np.flatnonzero(keys == name)
            place = int(found[0]) if len(found) else int(self._slots["full_at_s"].argmin())
            if not len(found):
                self._slots[place] = (name, 0.0)
            if len(self._places) >= _SLOTS:
                self._places.clear()
            self._places[key] = (name, place)
        return place


def _name(key: str) -> int:
    """A key as a number other than 0, which marks a slot nobody has taken."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") or 1


def _file(path: Path) -> int:
    """The file, open, with room for every slot: a hole in it could end a worker that writes there."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle, 0, _SLOTS * _SLOT.itemsize)
        else:
            os.ftruncate(handle, _SLOTS * _SLOT.itemsize)
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror}", code="cannot_write") from error
    return handle
