"""Which features a model may use: a field that was filled in because the deal closed must not teach anything.

A field with events is safe: it is read as of the moment. A field without any event is known only as it stands
today, for closed deals perhaps as somebody completed it while closing. Built-in fields of that kind are left
out. A custom attribute of that kind stays if it is filled as often in open deals as in closed ones, and if it
does not by itself tell won from lost. Every decision carries its reason into the bundle.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.errors import UsageError
from forecast.features.registry import BUILT_IN, custom_spec
from forecast.history import LOST, OPEN, WON, History
from forecast.history.history import NEVER_US

__all__ = ["ECHO", "Decision", "cramers_v", "decide_fields", "fill_gap"]

# Filled differently: by more than five points, and by more than three standard errors of the difference.
_FILL_GAP: Final = 0.05
_FILL_Z: Final = 3.0
# Association with the outcome (Cramer's V) beyond which a field is taken to repeat it.
ECHO: Final = 0.8
_LEAST_CLOSED: Final = 20  # filled in fewer closed deals, an association is chance


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a feature is used, and why (or why not)."""

    feature: str
    used: bool
    reason: str


def decide_fields(
    history: History, until_us: int, *, exclude: tuple[str, ...] = (), trust: tuple[str, ...] = ()
) -> list[Decision]:
    """Decide on every feature of a history, from what was recorded before `until_us`.

    exclude : features or fields left out whatever the data say
    trust : custom attributes used although they have no events; a built-in field without events has no value
        to use at any past moment, so it cannot be trusted
    """
    _check_names(history, exclude, trust)
    eventful = history.columns.eventful
    decisions = []
    for spec in BUILT_IN:
        if spec.name in exclude or spec.field in exclude:
            decisions.append(Decision(spec.name, False, "left out by the settings"))
        elif not spec.field or spec.field == "activity" or spec.field in eventful:
            decisions.append(Decision(spec.name, True, "read as of the moment"))
        else:
            decisions.append(
                Decision(spec.name, False, f"{spec.field} has no events: it is only known as it stands today")
            )
    stage = history.stage(np.arange(len(history)), np.int64(until_us))
    kind = np.where(stage >= 0, history.stages.kind[stage], -1)
    for place, name in enumerate(history.columns.custom):
        feature = custom_spec(name).name
        if name in exclude:
            decisions.append(Decision(feature, False, "left out by the settings"))
        elif name in trust:
            decisions.append(Decision(feature, True, "trusted by the settings"))
        elif name in eventful:
            decisions.append(Decision(feature, True, "read as of the moment"))
        else:
            decisions.append(_judge_static(history, feature, place, kind))
    return decisions


def _check_names(history: History, exclude: tuple[str, ...], trust: tuple[str, ...]) -> None:
    """Raise UsageError for a name that means nothing: a typo there would let a leaking field stay."""
    custom = set(history.columns.custom)
    known = custom | {spec.name for spec in BUILT_IN} | {spec.field for spec in BUILT_IN if spec.field}
    for setting, names, allowed in (("exclude_fields", exclude, known), ("trust_fields", trust, custom)):
        for name in names:
            if name not in allowed:
                near = difflib.get_close_matches(name, sorted(allowed), n=1)
                meant = f"; is {near[0]!r} meant?" if near else ""
                raise UsageError(
                    f"{setting} names {name!r}, which this data does not have{meant}", code="unknown_field"
                )


def _judge_static(history: History, feature: str, place: int, kind: Ints) -> Decision:
    """Judge a custom attribute without events: the `place`-th one, of deals whose stage is of `kind` (D,)."""
    every = np.arange(len(history))
    field = len(history.fields) - len(history.columns.custom) + place
    value = history.last(every, field, np.int64(NEVER_US))
    filled = np.isfinite(value)
    is_open, is_closed = kind == OPEN, (kind == WON) | (kind == LOST)
    gap = fill_gap(filled, is_open, is_closed)
    if gap is not None:
        low, high = gap
        return Decision(
            feature,
            False,
            f"filled in {low:.0%} of open but {high:.0%} of closed deals: it is filled in by closing",
        )
    echo = cramers_v(value[is_closed & filled], kind[is_closed & filled] == WON)
    if echo > ECHO:
        return Decision(feature, False, f"tells won from lost by itself (Cramer's V {echo:.2f}): an echo")
    return Decision(feature, True, "without events, but filled alike in open and closed deals")


def fill_gap(
    filled: NDArray[np.bool_], is_open: NDArray[np.bool_], is_closed: NDArray[np.bool_]
) -> tuple[float, float] | None:
    """Shares of open and of closed records in which a column is filled, if they differ by more than chance."""
    if not is_open.any() or not is_closed.any():
        return None
    low, high = float(filled[is_open].mean()), float(filled[is_closed].mean())
    both = filled[is_open | is_closed].mean()
    error = np.sqrt(max(both * (1 - both), 1e-9) * (1 / is_open.sum() + 1 / is_closed.sum()))
    return (low, high) if abs(low - high) > max(_FILL_GAP, _FILL_Z * error) else None


def cramers_v(value: Floats, won: NDArray[np.bool_]) -> float:
    """Association of a category with the outcome, 0 to 1, with the small-sample bias taken off.

    Source: Bergsma 2013, A bias-correction for Cramer's V.
    """
    if len(value) < _LEAST_CLOSED or won.all() or not won.any():
        return 0.0
    codes = np.unique(value, return_inverse=True)[1]
    table = np.zeros((codes.max() + 1, 2))
    np.add.at(table, (codes, won.astype(int)), 1.0)
    if len(table) < 2:
        return 0.0
    total = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / total
    chi2 = ((table - expected) ** 2 / expected).sum()
    rows = len(table)
    phi2 = max(0.0, chi2 / total - (rows - 1) / (total - 1))
    width = rows - (rows - 1) ** 2 / (total - 1)
    return float(np.sqrt(phi2 / max(min(width - 1, 1.0), 1e-9))) if width > 1 else 0.0
