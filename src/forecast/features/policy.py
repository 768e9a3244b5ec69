"""Which features a model may use: a field that was filled in because the deal closed must not teach anything.

The leakage audit (`forecast.features.leakage`, docs/audit.md) judges fields; here its word on a field becomes a
decision on every feature that is computed from it. Training and serving read the same decisions: they are part
of the bundle, each with its reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from forecast.features.leakage import (
    ACTIVITIES,
    FACTS,
    LEFT_OUT,
    Finding,
    LeakRules,
    audit_fields,
    check_names,
)
from forecast.features.registry import BUILT_IN, custom_spec
from forecast.history import FIELDS, History
from forecast.history.columns import ACTIVITY, BANT

__all__ = ["Decision", "check_field_names", "decide_fields", "decided"]

# Features read from a column of `deals` that the contract has no events of.
_FACTS: Final = {
    "owner_edge": "owner_id",
    "owner_pace": "owner_id",
    "account_edge": "account_id",
    "account_closed": "account_id",
    "source_edge": "source",
    "source": "source",
    "motion": "motion",
}
_OF_ALL_BANT: Final = frozenset({"bant_answered", "bant_balance", "days_since_bant"})
_AS_OF: Final = "read as of the moment"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a feature is used, and why (or why not)."""

    feature: str
    used: bool
    reason: str


def decide_fields(
    history: History,
    until_us: int,
    *,
    exclude: tuple[str, ...] = (),
    trust: tuple[str, ...] = (),
    rules: LeakRules | None = None,
) -> list[Decision]:
    """Decide on every feature of a history, from what was recorded before `until_us`.

    exclude : features or fields left out whatever the data say
    trust : fields used although they leak; a built-in field without events has no value to use at any past
        moment, so it cannot be trusted
    Raises UsageError for a name that means nothing.
    """
    check_field_names(history, exclude, trust)
    return decided(audit_fields(history, until_us, exclude=exclude, trust=trust, rules=rules), exclude)


def check_field_names(history: History, exclude: tuple[str, ...], trust: tuple[str, ...]) -> None:
    """Raise UsageError for a name in the settings that this data does not have."""
    fields = {*FIELDS[:ACTIVITY], ACTIVITIES, *FACTS, *history.columns.custom} - {"stage"}
    named = fields | {spec.name for spec in BUILT_IN} | {spec.field for spec in BUILT_IN if spec.field}
    check_names("exclude_fields", exclude, named, "this data does")
    check_names("trust_fields", trust, fields, "this data does")


def decided(findings: Iterable[Finding], exclude: tuple[str, ...] = ()) -> list[Decision]:
    """Decisions on every feature of deals, from the audit's word on every field of theirs.

    exclude : features left out by their own name
    """
    findings = tuple(findings)
    found = {one.field: one for one in findings if not one.custom}
    decisions = []
    for spec in BUILT_IN:
        about = [found[field] for field in _reads(spec.name, spec.field) if field in found]
        # What sums several fields up goes on without one of them that merely has no history.
        refusal = next(
            (one for one in about if not one.used and (one is about[0] or one.verdict == "leaks")), None
        )
        if spec.name in exclude or (spec.field and spec.field in exclude):
            decisions.append(Decision(spec.name, False, LEFT_OUT))
        elif spec.name == "owner_changes" and not found["owner_id"].figures.writes:
            told = "owner_id has no events: it is only known as it stands today"
            decisions.append(Decision(spec.name, False, told))
        elif refusal is not None:
            decisions.append(Decision(spec.name, False, refusal.reason))
        else:
            notable = (one for one in about if one.verdict in ("trusted", "suspicious"))
            decisions.append(Decision(spec.name, True, next((one.reason for one in notable), _AS_OF)))
    decisions += [
        Decision(custom_spec(one.field).name, one.used, one.reason) for one in findings if one.custom
    ]
    return decisions


def _reads(feature: str, field: str) -> tuple[str, ...]:
    """Fields as the audit calls them that a built-in feature with this `field` of the registry is read from."""
    if feature in _FACTS:
        return (_FACTS[feature],)
    if field == "activity":
        return (ACTIVITIES,)
    if feature in _OF_ALL_BANT:
        return (field, *(FIELDS[one] for one in BANT if FIELDS[one] != field))
    return (field,) if field else ()
