"""One training at a time for each bundle, one promotion at a time for each folder of bundles.

The lock is held by the operating system for as long as the process lives: a killed training leaves a file
behind, but no lock, so nothing has to be cleaned up or waited for.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from forecast.errors import BusyError, OutputError

try:
    import fcntl
except ImportError:  # Windows has none: there two trainings at once are the user's own care
    fcntl = None  # type: ignore[assignment]  # a module or nothing

__all__ = ["exclusive"]

_ASK_AGAIN_SECONDS: Final = 0.02


@contextlib.contextmanager
def exclusive(
    folder: Path, *, holder_is: str = "another training is writing", patience_seconds: float = 0.0
) -> Iterator[None]:
    """Hold the right to write `folder`; BusyError if another process has it and keeps it for the patience.

    The lock file lies beside the folder, hidden, and names the process that holds it.

    holder_is : what the other one is doing, for the message
    """
    path = folder.parent / f".{folder.name}.lock"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise OutputError(
            f"{folder.parent} cannot be written: {error.strerror}", code="cannot_write"
        ) from error
    with handle:
        if fcntl is not None:
            given_up = time.monotonic() + patience_seconds
            while True:
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError as error:
                    if time.monotonic() < given_up:
                        time.sleep(_ASK_AGAIN_SECONDS)
                        continue
                    handle.seek(0)
                    holder = handle.read(20).strip() or "unknown"
                    raise BusyError(
                        f"{holder_is} {folder} (process {holder}); wait for it to end", code="locked"
                    ) from error
        handle.seek(0)
        handle.truncate()
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield
