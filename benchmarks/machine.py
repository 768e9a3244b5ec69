"""What a measurement was made on: a figure without its machine says nothing."""

from __future__ import annotations

import os
import platform
import resource
import sys

__all__ = ["machine", "peak_gigabytes"]

# Linux counts the resident set in KiB, macOS in bytes.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def machine() -> str:
    """Cores we may use, memory and Python in a few words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{cores} cores, {memory_gb:.0f} GB, Python {platform.python_version()}"


def peak_gigabytes(usage: resource.struct_rusage | None = None) -> float:
    """Largest resident set so far: of this process, or of the finished one whose usage is given."""
    usage = resource.getrusage(resource.RUSAGE_SELF) if usage is None else usage
    return usage.ru_maxrss * _RSS_UNIT / 2**30
