"""`--ledger`: where what is published is kept, for every command that writes or reads it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from forecast.errors import UsageError

if TYPE_CHECKING:
    from forecast.ledger import Ledger

__all__ = ["ledger_option", "now_us", "open_ledger"]

F = TypeVar("F", bound=Callable[..., Any])


def ledger_option(function: F) -> F:
    """--ledger URL"""
    return click.option(
        "--ledger",
        metavar="URL",
        help="sqlite:///FILE or postgresql://USER@HOST/DATABASE; also FORECAST_LEDGER, and with a password "
        "in the file FORECAST_LEDGER_FILE names. [default: sqlite:///forecast.db]",
    )(function)


@contextmanager
def open_ledger(url: str | None) -> Iterator[Ledger]:
    """The ledger of an option or of the environment. Raises UsageError without its libraries."""
    try:
        from forecast.ledger import Ledger, ledger_url
    except ModuleNotFoundError as error:
        raise UsageError(
            f"a ledger needs {error.name}, which is not installed; run: pip install 'forecast[serve]'",
            code="missing_package",
        ) from error
    place = ledger_url(url, os.environ)
    assert place is not None  # noqa: S101  (there is a default)
    with Ledger.open(place) as ledger:
        yield ledger


def now_us() -> int:
    """The time of a command."""
    return int(time.time() * 1e6)
