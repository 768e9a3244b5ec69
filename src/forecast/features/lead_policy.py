"""Which columns of leads a model may use: one that was filled in because the lead left must not teach anything.

The `leads` table is a snapshot: none of its columns says when it was filled, and at conversion much is (the
account, the budget, the owner who takes over). So the audit (`forecast.features.leakage`) judges every column
as it does a custom attribute of deals without events (docs/decisions/0006): it is used if it is filled as often
in leads that are open as in those created at the same time that were converted *and* in those that were
disqualified. Both are compared apart: conversions are few, and among all that left a column which only they
fill would not stand out.

Compared is the snapshot with itself: open, converted, disqualified as it stands at the end of the data. At an
earlier moment a lead that was converted later counted as open, and its column, filled by then, would make the
leak look like honesty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from forecast.features.leakage import (
    ACTIVITIES,
    LEFT_OUT,
    Finding,
    LeakRules,
    audit_lead_fields,
    check_names,
)
from forecast.features.policy import Decision
from forecast.features.registry import LEADS, custom_spec
from forecast.history import History

__all__ = ["check_lead_field_names", "decide_lead_fields", "decided_leads"]

_AS_OF: Final = "read as of the moment"
_ALIKE: Final = "a snapshot without dates, but filled alike whatever became of the lead"


def decide_lead_fields(
    history: History,
    *,
    exclude: tuple[str, ...] = (),
    trust: tuple[str, ...] = (),
    rules: LeakRules | None = None,
) -> list[Decision]:
    """Decide on every feature of leads.

    exclude : features or columns left out whatever the data say
    trust : columns used whatever the data say
    Raises UsageError for a name that means nothing.
    """
    check_lead_field_names(history, exclude, trust)
    return decided_leads(audit_lead_fields(history, exclude=exclude, trust=trust, rules=rules), exclude)


def check_lead_field_names(history: History, exclude: tuple[str, ...], trust: tuple[str, ...]) -> None:
    """Raise UsageError for a name in the settings that these leads do not have."""
    columns = {spec.field for spec in LEADS} - {"", "activity"} | {ACTIVITIES, *history.columns.custom}
    whose = "the leads of this data do"
    check_names("exclude_lead_fields", exclude, columns | {spec.name for spec in LEADS}, whose)
    check_names("trust_lead_fields", trust, columns, whose)


def decided_leads(findings: Iterable[Finding], exclude: tuple[str, ...] = ()) -> list[Decision]:
    """Decisions on every feature of leads, from the audit's word on every column.

    exclude : features left out by their own name
    """
    findings = tuple(findings)
    found = {one.field: one for one in findings if not one.custom}

    def decide(feature: str, finding: Finding | None) -> Decision:
        if feature in exclude:
            return Decision(feature, False, LEFT_OUT)
        if finding is None:
            return Decision(feature, True, _AS_OF)
        plain = _AS_OF if finding.field == ACTIVITIES and not finding.custom else _ALIKE
        notable = finding.verdict != "ok"
        return Decision(feature, finding.used, finding.reason if notable else plain)

    decisions = [
        decide(spec.name, found.get(ACTIVITIES if spec.field == "activity" else spec.field)) for spec in LEADS
    ]
    return decisions + [decide(custom_spec(one.field).name, one) for one in findings if one.custom]
