"""Options that several commands of training share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

__all__ = ["as_of_option", "json_option", "no_track_option", "settings_option"]

F = TypeVar("F", bound=Callable[..., Any])


def as_of_option(use: str) -> Callable[[F], F]:
    """--as-of DATE; `use` says what is done with what was recorded until then."""
    return click.option(
        "--as-of",
        "as_of_text",
        metavar="DATE",
        help=f"{use} what was recorded before this moment.  [default: after the newest event]",
    )


def settings_option(which: str) -> Callable[[F], F]:
    """--settings FILE; `which` says what of it this command reads."""
    return click.option(
        "--settings",
        "settings_path",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=f"TOML file with the settings to {which}.",
    )


def json_option(what: str) -> Callable[[F], F]:
    """--json FILE"""
    return click.option(
        "--json",
        "json_file",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        help=f"Also write {what} as JSON.",
    )


def no_track_option(help_text: str) -> Callable[[F], F]:
    """--no-track"""
    return click.option("--no-track", is_flag=True, help=help_text)
