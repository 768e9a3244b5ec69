"""Which columns of leads a model may use: one that was filled in because the lead left must not teach anything.

The `leads` table is a snapshot: none of its columns says when it was filled, and at conversion much is (the
account, the budget, the owner who takes over). So every column is judged as a custom attribute of deals
without events is (docs/decisions/0006): it is used if it is filled about as often in leads that are open as
in those that were converted *and* in those that were disqualified. Both are compared apart: conversions are
few, and among all that left a column which only they fill would not stand out.

Compared is the snapshot with itself: open, converted, disqualified as it stands at the end of the data. At an
earlier moment a lead that was converted later counted as open, and its column, filled by then, would make the
leak look like honesty.
"""

from __future__ import annotations

import difflib
from typing import Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.errors import UsageError
from forecast.features.policy import ECHO, Decision, cramers_v, fill_gap
from forecast.features.registry import LEADS, custom_spec
from forecast.history import CONVERTED, DISQUALIFIED, OPEN, History
from forecast.history.columns import BANT, FIELDS
from forecast.history.history import NEVER_US

__all__ = ["decide_lead_fields"]

_ALIKE: Final = "a snapshot without dates, but filled alike whatever became of the lead"
_LEFT: Final = {CONVERTED: "converted", DISQUALIFIED: "disqualified"}


def decide_lead_fields(
    history: History, *, exclude: tuple[str, ...] = (), trust: tuple[str, ...] = ()
) -> list[Decision]:
    """Decide on every feature of leads.

    exclude : features or columns left out whatever the data say
    trust : columns used whatever the data say
    Raises UsageError for a name that means nothing.
    """
    columns = {spec.field for spec in LEADS} - {"", "activity"} | set(history.columns.custom)
    _check_names("exclude_lead_fields", exclude, columns | {spec.name for spec in LEADS})
    _check_names("trust_lead_fields", trust, columns)
    every = np.arange(len(history))
    kind = history.stages.kind[history.stage(every, np.int64(NEVER_US))].astype(np.int64)
    verdicts = {name: _judge(_values(history, name, every), kind) for name in columns}

    def decide(feature: str, column: str) -> Decision:
        if feature in exclude or column in exclude:
            return Decision(feature, False, "left out by the settings")
        if column in ("", "activity"):
            return Decision(feature, True, "read as of the moment")
        if column in trust:
            return Decision(feature, True, "trusted by the settings")
        refusal = verdicts[column]
        return Decision(feature, refusal is None, refusal or _ALIKE)

    decided = [decide(spec.name, spec.field) for spec in LEADS]
    return decided + [decide(custom_spec(name).name, name) for name in history.columns.custom]


def _values(history: History, column: str, every: Ints) -> Floats:
    """(L,) a column as it stands in the snapshot, NaN where it is empty."""
    codes = {
        "owner_id": history.columns.owner,
        "account_id": history.columns.account,
        "source": history.columns.source,
    }
    if column in codes:
        return np.where(codes[column] < 0, np.nan, codes[column])
    named = {FIELDS[field]: field for field in BANT}
    # A custom attribute may be called as a field of deals is; the contract's own names are not among them.
    field = named[column] if column in named else len(FIELDS) + history.columns.custom.index(column)
    return history.last(every, field, np.int64(NEVER_US))


def _judge(value: Floats, kind: Ints) -> str | None:
    """Why a column may not be used; None if it may."""
    filled = np.isfinite(value)
    if not filled.any():
        return None
    is_open, has_left = kind == OPEN, kind != OPEN
    if has_left.any() and not is_open.any():
        return "no lead is open: nobody can tell whether it was filled in before a lead left or by leaving"
    for cause, word in _LEFT.items():
        gap = fill_gap(filled, is_open, kind == cause)
        if gap is not None:
            low, high = gap
            return (
                f"filled in {low:.0%} of open but {high:.0%} of {word} leads: "
                "when it is filled depends on what became of the lead"
            )
    echo = cramers_v(value[has_left & filled], kind[has_left & filled] == CONVERTED)
    if echo > ECHO:
        return f"tells converted from disqualified by itself (Cramer's V {echo:.2f}): an echo"
    return None


def _check_names(setting: str, names: tuple[str, ...], known: set[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            meant = f"; is {near[0]!r} meant?" if near else ""
            raise UsageError(
                f"{setting} names {name!r}, which the leads of this data do not have{meant}",
                code="unknown_field",
            )
