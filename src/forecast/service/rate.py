"""How much one key may have computed: a token bucket by rows, one for each key in each process.

A row is a deal or a lead. Who asks is let in while the bucket holds anything and pays afterwards, when the rows
are known: so a large request needs no guess, and may leave a debt that later ones wait for.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from forecast.access import Access
from forecast.service.refusals import Refusal

__all__ = ["BYTES_PER_ROW", "Rate"]

# A refused body was read all the same; a deal with some history has about this many bytes.
BYTES_PER_ROW: Final = 2_048


@dataclass(slots=True)
class _Bucket:
    rows: float
    at_s: float


class Rate:
    """The buckets of one process. A bucket holds what a minute allows and fills evenly.

    clock : seconds that never go back
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

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
        if access.rows_per_minute is not None:
            self._filled(access, access.rows_per_minute).rows -= rows

    def wait_seconds(self, access: Access) -> float:
        """How long until the bucket holds a row; 0 if it does. A stream waits so long between its parts."""
        limit = access.rows_per_minute
        if limit is None:
            return 0.0
        missing = min(1.0, limit) - self._filled(access, limit).rows
        return 0.0 if missing <= 0 else missing * 60.0 / limit

    def _filled(self, access: Access, limit: int) -> _Bucket:
        now_s = self._clock()
        bucket = self._buckets.setdefault(access.key, _Bucket(float(limit), now_s))
        bucket.rows = min(float(limit), bucket.rows + (now_s - bucket.at_s) * limit / 60.0)
        bucket.at_s = now_s
        return bucket
