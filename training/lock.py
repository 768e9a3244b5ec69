"""One training at a time for each bundle.

The lock is held by the operating system for as long as the process lives: a killed training leaves a file
behind, but no lock, so nothing has to be cleaned up or waited for.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from forecast.errors import BusyError, OutputError

try:
    import fcntl
except ImportError:  # Windows has none: there two trainings at once are the user's own care
    fcntl = None  # type: ignore[assignment]  # a module or nothing

__all__ = ["exclusive"]


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the right to write the bundle `folder`; BusyError at once if another process has it.

    The lock file lies beside the folder, hidden, and names the process that holds it.
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
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                holder = handle.read(20).strip() or "unknown"
                raise BusyError(
                    f"another training is writing {folder} (process {holder}); wait for it to end",
                    code="locked",
                ) from error
        handle.seek(0)
        handle.truncate()
        handle.write(f"{os.getpid()}\n")
        handle.flush()
        yield
