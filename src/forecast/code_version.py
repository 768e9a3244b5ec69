"""Which code made a result: the version, a hash of the source files, and the libraries it ran on.

Two installations of one version may differ, by a change that is not released yet or one that nobody told of.
The hash of the sources sees that. Files that cannot change a result (the command line, the service) are left
out of it, so that a new option does not make old results look foreign.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Collection
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from forecast import __version__

__all__ = ["code_of", "sources_hash"]

_FOLDER: Final = Path(__file__).resolve().parent
_NO_RESULT: Final = frozenset(
    {
        "access.py",
        "cli",
        "client",
        "connectors",
        "doctor.py",
        "ledger",
        "lock.py",
        "promotion",
        "py.typed",
        "service",
        "simulator",
    }
)
"""Parts of the package that ask for, keep or serve results, choose bundles or invent data; none computes."""


def sources_hash(folder: Path, without: Collection[str] = ()) -> str:
    """SHA-256 of all files below a package's folder, by their path in it; caches and hidden files are none.

    without : names of files and folders at the top of it that are left out
    """
    return _hash(folder, frozenset(without))


def code_of(
    *, packages: Collection[str], without: Collection[str] = (), also: dict[str, str] | None = None
) -> dict[str, Any]:
    """The code of this process as plain values: version, sources (package -> hash), python, packages.

    packages : distributions whose version can change the result; one that is not installed is left out
    without : further parts of `forecast` that cannot change the result in question
    also : hashes of other packages that took part
    """
    return {
        "version": __version__,
        "sources": {"forecast": sources_hash(_FOLDER, _NO_RESULT | set(without)), **(also or {})},
        "python": platform.python_version(),
        "packages": {name: found for name in sorted(packages) if (found := _version(name)) is not None},
    }


@cache
def _hash(folder: Path, without: frozenset[str]) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda path: path.relative_to(folder).as_posix()):
        place = path.relative_to(folder)
        hidden = any(part.startswith(".") or part == "__pycache__" for part in place.parts)
        if hidden or place.parts[0] in without or path.suffix == ".pyc" or not path.is_file():
            continue
        # The length keeps the end of one file apart from the start of the next.
        content = path.read_bytes()
        digest.update(f"{place.as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
