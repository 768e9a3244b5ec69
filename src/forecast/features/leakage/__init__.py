"""The leakage audit: which fields were written because a deal closed, or repeat what became of it.

See docs/audit.md for the traps, what is measured, and how often it is right.
"""

from forecast.features.leakage.association import cramers_v
from forecast.features.leakage.audit import (
    ACTIVITIES,
    FACTS,
    LEFT_OUT,
    audit_fields,
    audit_lead_fields,
    check_names,
    worst_first,
)
from forecast.features.leakage.findings import RANK, Figures, Finding, LeakRules, Verdict

__all__ = [
    "ACTIVITIES",
    "FACTS",
    "LEFT_OUT",
    "RANK",
    "Figures",
    "Finding",
    "LeakRules",
    "Verdict",
    "audit_fields",
    "audit_lead_fields",
    "check_names",
    "cramers_v",
    "worst_first",
]
