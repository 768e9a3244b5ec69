"""What a monitor found, as plain facts: for the page, the terminal, and as JSON for schedulers."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.evaluation.drift import Monitoring
from forecast.evaluation.drift.outcomes import Question
from forecast.evaluation.drift.verdict import WEIGHTS
from forecast.periods import to_timestamp
from forecast.report.facts.plain import Fact, number, rows

__all__ = ["monitoring_facts"]

_MOST_SEGMENTS: Final = 12


def monitoring_facts(found: Monitoring, locale: str) -> Fact:
    """Everything a page or a scheduler needs; survives JSON, unknown is None.

    Evidence is given as it is, not as its logarithm; beyond 1e9 it is 1e9.
    """
    outcomes, verdict, settings = found.outcomes, found.verdict, found.settings
    return {
        "locale": locale,
        "currency": found.currency,
        "bundle": found.bundle_id,
        "trained_until": found.trained_until.isoformat(),
        "as_of": found.as_of.isoformat(),
        "age_days": round(found.age_days, 1),
        "open_deals": found.open_deals,
        "verdict": {
            "action": verdict.action,
            "enough": verdict.enough,
            "since": None if verdict.since is None else verdict.since.isoformat(),
            "evidence": _evidence(verdict.evidence[-1]) if len(verdict.evidence) else 1.0,
            "threshold": settings.retrain_evidence,
            "quarter": verdict.quarter,
            "effect": number(verdict.effect),
        },
        "reasons": [
            {"kind": one.kind, "subject": one.subject, "remedy": one.remedy, **_plain(one.numbers)}
            for one in verdict.reasons
        ],
        "weeks": [
            {
                "start": to_timestamp(int(start)).isoformat(),
                "end": to_timestamp(int(end)).isoformat(),
                "evidence": _evidence(log_e),
            }
            for start, end, log_e in zip(outcomes.starts_us, outcomes.ends_us, verdict.evidence, strict=True)
        ],
        "questions": [_question(one) for one in outcomes.questions],
        "segments": [
            {
                "by": one.by,
                "value": one.value,
                "cause": one.cause,
                "came": one.came,
                "expected": one.expected,
                "evidence": _evidence(one.evidence.log_e.max(initial=0.0)),
            }
            for one in outcomes.segments[:_MOST_SEGMENTS]
        ],
        "calibration": {
            "horizon_days": outcomes.calibrated.horizon_days,
            "slope": number(outcomes.calibrated.slope),
            "intercept": number(outcomes.calibrated.intercept),
            "looks": outcomes.calibrated.rows,
            "wins": outcomes.calibrated.wins,
            "curve": rows(outcomes.calibrated.curve),
        },
        "season": {"p_value": outcomes.season.p_value, "parts": rows(outcomes.season.table)},
        "inputs": _inputs(found),
        "new": [
            {"field": one.field, "value": one.value, "deals": one.deals, "share": one.share}
            for one in found.inputs.new
        ],
        "score": None
        if found.inputs.score is None
        else {
            name: number(getattr(found.inputs.score, name)) for name in ("then", "now", "mix", "within", "ks")
        },
        "score_shares": rows(found.inputs.score_shares),
        "bookings": [
            {
                "quarter": one.quarter,
                "start": one.start.isoformat(),
                "end": one.end.isoformat(),
                "whole": one.whole,
                "expected": one.expected,
                "p10": one.p10,
                "p90": one.p90,
                "came": one.came,
                "outside": one.outside,
            }
            for one in found.foretold
        ],
        "limits": {"psi": settings.psi, "look_evidence": settings.look_evidence},
    }


def _question(one: Question) -> Fact:
    return {
        "name": one.name,
        "weight": WEIGHTS[one.name],
        "enough": one.enough,
        "came": number(np.nansum(one.came)),
        "expected": number(one.expected.sum()),
        "ratio": number(one.ratio),
        "factor": number(one.credible),
        "low": number(one.low),
        "high": number(one.high),
        "evidence": _evidence(one.evidence.log_e[-1]) if len(one.evidence.log_e) else 1.0,
        "most": _evidence(one.evidence.log_e.max(initial=0.0)),
        "weeks": [
            {
                "came": number(came),
                "expected": number(expected),
                "sd": number(sd),
                "evidence": _evidence(log_e),
            }
            for came, expected, sd, log_e in zip(
                one.came, one.expected, one.sd, one.evidence.log_e, strict=True
            )
        ],
    }


def _inputs(found: Monitoring) -> list[Fact]:
    """The checks of the last look, those that drifted first, then by p-value."""
    table = found.inputs.table
    if not len(table):
        return []
    last = table[(table["week"] == table["week"].max()) & (table["check"] != "new")]
    last = last.sort_values(["drifted", "p_value"], ascending=[False, True], kind="stable")
    found_rows = rows(last.drop(columns="week"))
    paths = table[table["check"] == "stability"].groupby("field", sort=False)["value"].agg(list)
    for row in found_rows:
        if row["check"] == "stability":
            row["path"] = [number(value) for value in paths[row["field"]]]
    return found_rows


def _evidence(log_e: Any) -> float:
    return float(np.exp(min(float(log_e), np.log(1e9))))


def _plain(numbers: dict[str, Any]) -> Fact:
    return {
        name: number(value) if isinstance(value, float | np.floating) or pd.isna(value) else value
        for name, value in numbers.items()
    }
