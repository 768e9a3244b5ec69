"""The errors a caller may meet, as one tree; each knows the exit code of its kind.

    ForecastError        1  internal
    ├── UsageError       2  a wrong argument or setting
    ├── DataError        3  data that cannot be used
    ├── UnavailableError 5  something outside does not answer
    ├── BusyError        6  another run holds the lock
    ├── BundleError      7  a model bundle that is damaged, foreign or does not fit
    ├── OutputError      8  a result that cannot be written
    └── GateError        9  a promotion refused by its gate

A message is one line: what came, where, what was expected, what to do. Never a secret, never a whole record.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "BundleError",
    "BusyError",
    "DataError",
    "ForecastError",
    "GateError",
    "OutputError",
    "UnavailableError",
    "UsageError",
]


class ForecastError(Exception):
    """Base of every expected error. `code` is a stable machine-readable word for the message."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, code: str = "internal") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class UsageError(ForecastError):
    """A wrong argument, option or setting."""

    exit_code = 2


class DataError(ForecastError):
    """Input data that cannot be used as a whole (single bad rows go to quarantine instead)."""

    exit_code = 3


class UnavailableError(ForecastError):
    """Something outside this process does not answer."""

    exit_code = 5


class BusyError(ForecastError):
    """Another run holds what this one needs."""

    exit_code = 6


class BundleError(ForecastError):
    """A model bundle that is damaged, incomplete, foreign, or does not fit the data."""

    exit_code = 7


class OutputError(ForecastError):
    """A result that cannot be written where it was asked for."""

    exit_code = 8


class GateError(ForecastError):
    """A candidate that did not pass its gate."""

    exit_code = 9
