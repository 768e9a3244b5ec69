"""What a search may change: knobs of `[fit]`, each with what it turns and where it stands by default.

Every knob is something the ladder does not choose for itself inside each training. With all of them at their
default position the settings are those the search started from, key for key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from forecast.models import FitSettings

__all__ = ["KNOBS", "Knob", "default_positions", "turned"]

Positions = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Knob:
    """One dimension of the search.

    why : what turning it may bring
    positions : values to choose from
    default : the one at which settings stay as they are
    turn : settings, position -> the keys that change
    applies : whether turning it can change anything at all, given the settings
    """

    name: str
    why: str
    positions: tuple[Any, ...]
    default: Any
    turn: Callable[[FitSettings, Any], dict[str, Any]]
    applies: Callable[[FitSettings], bool] = lambda _settings: True


def _scaled(values: tuple[Any, ...], factor: float) -> tuple[Any, ...]:
    """A grid times a factor; whole numbers stay whole and above 0."""
    scaled = (max(round(one * factor), 1) if isinstance(one, int) else one * factor for one in values)
    return tuple(dict.fromkeys(scaled))


def _switch(name: str, why: str) -> Knob:
    """A part of the model that may be left out; one that the settings leave out stays out."""
    return Knob(
        name,
        why,
        (True, False),
        True,
        lambda _settings, on: {} if on else {name: False},
        lambda settings: bool(getattr(settings, name)),
    )


KNOBS: Final = (
    Knob(
        "ridge",
        "factor on the strengths of shrinkage the linear model chooses from",
        (0.25, 0.5, 1.0, 2.0, 4.0),
        1.0,
        lambda s, factor: {"ridge_grid": _scaled(s.ridge_grid, factor)},
    ),
    Knob(
        "rounds",
        "factor on the numbers of rounds of trees to choose from",
        (0.5, 1.0, 2.0),
        1.0,
        lambda s, factor: {"rounds_grid": _scaled(s.rounds_grid, factor)},
    ),
    Knob(
        "landmarks",
        "factor on the days between looks at a deal",
        (0.5, 1.0, 2.0),
        1.0,
        lambda s, factor: {"landmark_every_days": s.landmark_every_days * factor},
    ),
    Knob(
        "window_days",
        "factor on the length of the windows the ladder compares rungs in",
        (0.5, 0.75, 1.0, 1.5),
        1.0,
        lambda s, factor: {"window_days": s.window_days * factor},
    ),
    Knob(
        "windows",
        "windows the ladder compares rungs in, more or fewer",
        (-1, 0, 1, 2),
        0,
        lambda s, more: {"windows": max(s.windows + more, 1)},
    ),
    _switch("use_season", "whether a profile of the calendar may enter"),
    _switch("use_clock", "whether a clock of the deal's own may enter"),
    _switch("use_level", "whether the newest quarters may correct the level"),
)


def knobs_for(settings: FitSettings) -> tuple[Knob, ...]:
    """Those whose turning can change anything."""
    return tuple(knob for knob in KNOBS if knob.applies(settings))


def default_positions(settings: FitSettings) -> dict[str, Any]:
    """Where every knob stands for the settings themselves."""
    return {knob.name: knob.default for knob in knobs_for(settings)}


def turned(settings: FitSettings, positions: Positions) -> FitSettings:
    """The settings with each knob at its position; those not named stay where they are."""
    changed: dict[str, Any] = {}
    for knob in knobs_for(settings):
        position = positions.get(knob.name, knob.default)
        if position != knob.default:
            changed |= knob.turn(settings, position)
    return replace(settings, **changed)
