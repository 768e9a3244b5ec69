"""Every field of deals, and of leads, with the audit's word on it."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from forecast.arrays import Ints
from forecast.errors import UsageError
from forecast.features.leakage.association import Values, custom_values
from forecast.features.leakage.dated import Past, judge_activities, judge_dated
from forecast.features.leakage.fates import Fates
from forecast.features.leakage.findings import RANK, Finding, LeakRules
from forecast.features.leakage.undated import Judgement, Words, judge_undated
from forecast.history import History
from forecast.history.columns import ACTIVITY, BANT, FIELDS
from forecast.history.history import NEVER_US

__all__ = [
    "ACTIVITIES",
    "FACTS",
    "LEFT_OUT",
    "audit_fields",
    "audit_lead_fields",
    "check_names",
    "worst_first",
]

# What the counters of activities are called together.
ACTIVITIES: Final = "activities"
# Columns of `deals` that have no events by the contract, and so no dates.
FACTS: Final = ("account_id", "source", "motion")
LEFT_OUT: Final = "left out by the settings"
_TRUSTED: Final = "trusted by the settings"
_DEALS: Final = Words("deals", "won", "lost")
_LEADS: Final = Words("leads", "converted", "disqualified")
_LEAD_COLUMNS: Final = ("owner_id", "account_id", "source", *(FIELDS[field] for field in BANT))


def audit_fields(
    history: History,
    until_us: int,
    *,
    exclude: tuple[str, ...] = (),
    trust: tuple[str, ...] = (),
    rules: LeakRules | None = None,
) -> tuple[Finding, ...]:
    """Judge every field of deals; built-in ones first, then custom attributes.

    Fields with events are judged by what was recorded before `until_us`. A column without any is a snapshot of
    the end of the data and is compared with what had become of the deals by then: at an earlier moment a deal
    that was closed later counted as open, and its column, filled in by then, would make the leak look honest.

    exclude : fields left out whatever the data say; trust : fields used although they leak
    """
    rules = rules or LeakRules()
    eventful = history.columns.eventful
    end = Fates.of(history, NEVER_US)
    past = Past(history, Fates.of(history, until_us), rules)
    every = np.arange(len(history))

    def undated(value: Callable[[], Values]) -> Judgement:
        return judge_undated(value(), end, _DEALS, rules)

    findings = []
    for field, name in enumerate(FIELDS[:ACTIVITY]):
        if name == "stage":
            continue
        if name in eventful:
            judge = partial(judge_dated, past, field, _DEALS)
        elif name == "owner_id":
            judge = partial(undated, partial(_coded, history.columns.owner))
        else:
            told = f"{name} has no events: it is only known as it stands today"
            findings.append(Finding(name, "no_history", "no_history", told))
            continue
        findings.append(_decided(name, judge, exclude, trust))
    # The registry calls what activities are counted in by its singular.
    without = (*exclude, ACTIVITIES) if "activity" in exclude else exclude
    findings.append(_decided(ACTIVITIES, partial(judge_activities, past, _DEALS), without, trust))
    for name in FACTS:
        codes = getattr(history.columns, name.removesuffix("_id"))
        findings.append(_decided(name, partial(undated, partial(_coded, codes)), exclude, trust))
    for place, name in enumerate(history.columns.custom):
        field = len(FIELDS) + place
        if name in eventful:
            judge = partial(judge_dated, past, field, _DEALS)
        else:
            judge = partial(undated, partial(_custom, history, name, field, every))
        findings.append(_decided(name, judge, exclude, trust, custom=True))
    return tuple(findings)


def audit_lead_fields(
    history: History,
    *,
    exclude: tuple[str, ...] = (),
    trust: tuple[str, ...] = (),
    rules: LeakRules | None = None,
) -> tuple[Finding, ...]:
    """Judge every column of leads, all of which are snapshots, and their activities."""
    rules = rules or LeakRules()
    end = Fates.of(history, NEVER_US)
    every = np.arange(len(history))
    by_name = {FIELDS[field]: field for field in BANT}

    def judge(name: str, *, custom: bool) -> Judgement:
        if custom:
            value = _custom(history, name, len(FIELDS) + history.columns.custom.index(name), every)
        elif name in by_name:
            answers = history.last(every, by_name[name], np.int64(NEVER_US))
            value = Values(answers, numbers=answers)
        else:
            value = _coded(getattr(history.columns, name.removesuffix("_id")))
        return _judge_lead_column(value, end, rules)

    findings = [_decided(name, partial(judge, name, custom=False), exclude, trust) for name in _LEAD_COLUMNS]
    activities = partial(judge_activities, Past(history, end, rules), _LEADS)
    findings.append(_decided(ACTIVITIES, activities, exclude, trust))
    findings += [
        _decided(name, partial(judge, name, custom=True), exclude, trust, custom=True)
        for name in history.columns.custom
    ]
    return tuple(findings)


def worst_first(findings: tuple[Finding, ...]) -> list[Finding]:
    """In the order a reader wants: what leaks, what is suspicious, then the rest by name."""
    return sorted(findings, key=lambda one: (RANK[one.verdict], one.field))


def check_names(setting: str, names: tuple[str, ...], known: set[str], whose: str) -> None:
    """Raise UsageError for a name that means nothing: a typo there would let a leaking field stay."""
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            meant = f"; is {near[0]!r} meant?" if near else ""
            raise UsageError(f"{setting} names {name!r}, which {whose} not have{meant}", code="unknown_field")


def _judge_lead_column(value: Values, end: Fates, rules: LeakRules) -> Judgement:
    if value.filled.any() and end.is_closed.any() and not end.is_open.any():
        told = "no lead is open: nobody can tell whether it was filled in before a lead left or by leaving"
        return Judgement("leaks", "nobody_open", told, judge_undated(value, end, _LEADS, rules).figures)
    return judge_undated(value, end, _LEADS, rules)


def _decided(
    name: str,
    judge: Callable[[], Judgement],
    exclude: tuple[str, ...],
    trust: tuple[str, ...],
    *,
    custom: bool = False,
) -> Finding:
    """The data's word on a field, or that of the settings where they overrule it."""
    if name in exclude:
        return Finding(name, "excluded", "excluded", LEFT_OUT, custom)
    found = judge()
    finding = Finding(name, found.verdict, found.code, found.reason, custom, found.figures)
    if name in trust and found.verdict == "leaks":
        return replace(finding, verdict="trusted", reason=f"{_TRUSTED}, although {found.reason}")
    return finding


def _coded(codes: Ints) -> Values:
    return Values(np.where(codes < 0, np.nan, codes).astype(np.float64))


def _custom(history: History, name: str, field: int, every: Ints) -> Values:
    return custom_values(history, name, history.last(every, field, np.int64(NEVER_US)))
