"""What to do: keep the bundle, look at something, put the data right first, or train again; and why.

Training again helps where what happens has moved: levels, spread, pace, arrivals, amounts. It does not help
where an input broke: a model trained on a field that stopped coming learns that nothing is known. So broken
inputs come first, whatever else moved.

The bound of evidence (`evidence`) holds for all questions together: their e-processes are averaged, with
weights that say how much each matters for bookings, before the average is compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.evaluation.drift.bookings import Foretold, Remaining
from forecast.evaluation.drift.evidence import combined
from forecast.evaluation.drift.inputs import SCORE, Inputs
from forecast.evaluation.drift.outcomes import Outcomes
from forecast.evaluation.drift.settings import MonitorSettings
from forecast.features import spec_of

__all__ = ["WEIGHTS", "Action", "Reason", "Verdict", "combined_evidence", "decide"]

Action = Literal["keep", "look", "fix", "retrain"]
WEIGHTS: Final = {
    "wins": 0.30,
    "losses": 0.15,
    "created": 0.15,
    "spread": 0.10,
    "pace": 0.10,
    "signed": 0.10,
    "size": 0.10,
}
_STOPPED: Final = np.log(0.1)  # a field written to a tenth as often as usual is a feed that broke
_BROKEN_POINTS: Final = 0.3  # so much more unknown among the newest deals, too
_SEASON_P: Final = 0.001
_ACTIVITIES: Final = frozenset({"activity_in", "meeting"})


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason, as facts: what kind, about what, and its numbers. Words are the report's business.

    kind : question, segment, stability, missing, missing_new, writes, new_value, new_stage, bookings, season,
        age
    remedy : what would help
    """

    kind: str
    subject: str
    remedy: Action
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Verdict:
    """What to do and why, the weightiest reason first.

    evidence : (W,) logarithm of the combined evidence by week
    since : start of the week in which it first reached the threshold, None if it did not
    enough : whether there were enough closings to tell anything about outcomes
    effect : bookings of the rest of the quarter beside what the bundle says, None if unknown
    """

    action: Action
    reasons: tuple[Reason, ...]
    evidence: Floats
    since: pd.Timestamp | None
    enough: bool
    quarter: str | None
    effect: float | None


def combined_evidence(outcomes: Outcomes) -> Floats:
    """(W,) logarithm of the weighted mean of all questions' e-processes."""
    return combined(
        [one.evidence.log_e for one in outcomes.questions], [WEIGHTS[one.name] for one in outcomes.questions]
    )


def decide(
    inputs: Inputs,
    outcomes: Outcomes,
    foretold: tuple[Foretold, ...],
    remaining: Remaining | None,
    age_days: float,
    settings: MonitorSettings,
) -> Verdict:
    """The verdict on a bundle."""
    evidence = combined_evidence(outcomes)
    crossed = np.flatnonzero(evidence >= np.log(settings.retrain_evidence))
    reasons = [
        *_broken(inputs),
        *_moved(outcomes, settings, alarmed=bool(len(crossed))),
        *_seen(inputs, outcomes, foretold, settings),
    ]
    if age_days >= settings.old_days:
        reasons.append(Reason("age", "bundle", "look", {"days": int(age_days)}))
    first = {one.remedy for one in reasons}
    urgent: tuple[Action, ...] = ("fix", "retrain", "look")
    action: Action = next((one for one in urgent if one in first), "keep")
    since = None
    if len(crossed):
        since = pd.Timestamp(int(outcomes.ends_us[crossed[0]]), unit="us", tz="UTC")
    return Verdict(
        action,
        tuple(reasons),
        evidence,
        since,
        outcomes.question("wins").enough or outcomes.question("losses").enough,
        None if remaining is None else remaining.quarter,
        None if remaining is None else _effect(outcomes, remaining),
    )


def _broken(inputs: Inputs) -> list[Reason]:
    """Inputs that stopped coming, and stages the bundle never heard of."""
    found = []
    numbers: dict[str, Any]
    for one in inputs.new:
        if one.field == "stage":
            numbers = {"value": one.value, "deals": one.deals, "share": one.share}
            found.append(Reason("new_stage", one.field, "fix", numbers))
    for row in inputs.drifted().to_dict("records"):
        check, size = str(row["check"]), float(row["size"])
        stopped = check == "writes" and size <= _STOPPED
        if stopped or (check in ("missing", "missing_new") and size >= _BROKEN_POINTS):
            numbers = {"value": float(row["value"]), "usual": float(row["usual"])}
            found.append(Reason(check, str(row["field"]), "fix", numbers))
    # Messages and meetings are activities: where all of them stopped, the parts are no news.
    silent = {one.subject for one in found if one.kind == "writes"}
    parts = _ACTIVITIES if "activity" in silent else frozenset()
    return [
        one
        for one in found
        if one.subject not in parts and (one.kind == "writes" or not _follows(one.subject, silent))
    ]


def _follows(field: str, broken: set[str]) -> bool:
    """Whether an input is made of a field that broke: that it moved is no news of its own."""
    made_of = spec_of(field).field if field != SCORE else ""
    return bool(made_of) and bool({made_of, field} & broken)


def _moved(outcomes: Outcomes, settings: MonitorSettings, *, alarmed: bool) -> list[Reason]:
    """Questions whose evidence is large, the largest first; with an alarm at least the largest is named."""
    order = sorted(outcomes.questions, key=lambda one: -WEIGHTS[one.name] * one.evidence.most)
    found = []
    for place, one in enumerate(order):
        telling = one.evidence.most >= settings.look_evidence
        if not one.enough or not (telling or (alarmed and place == 0)):
            continue
        numbers = {
            "came": float(np.nansum(one.came)),
            "expected": float(np.nansum(one.expected)),
            "ratio": one.ratio,
            "low": one.low,
            "high": one.high,
            "evidence": one.evidence.most,
            "evidence_now": one.evidence.now,
        }
        found.append(Reason("question", one.name, "retrain" if alarmed else "look", numbers))
    return found


def _seen(
    inputs: Inputs, outcomes: Outcomes, foretold: tuple[Foretold, ...], settings: MonitorSettings
) -> list[Reason]:
    """What should be looked at without a bundle being wrong yet."""
    found = []
    numbers: dict[str, Any]
    for part in foretold:
        if part.outside:
            numbers = {"came": part.came, "expected": part.expected, "low": part.low, "high": part.high}
            found.append(Reason("bookings", part.quarter, "look", numbers))
    # All segments are looked at together, so a single one has to say as much more.
    limit = settings.look_evidence * max(len(outcomes.segments), 1)
    for one in outcomes.segments:
        if one.evidence.most >= limit:
            numbers = {"by": one.by, "cause": one.cause, "came": one.came, "expected": one.expected}
            found.append(Reason("segment", one.value, "look", numbers))
    if outcomes.season.p_value <= _SEASON_P:
        last = outcomes.season.table.iloc[-1]
        numbers = {"came": float(last["came"]), "expected": float(last["expected"])}
        found.append(Reason("season", "quarter", "look", numbers))
    for new in inputs.new:
        if new.field != "stage" and new.share >= settings.new_share:
            numbers = {"value": new.value, "deals": new.deals, "share": new.share}
            found.append(Reason("new_value", new.field, "look", numbers))
    broken = {one.subject for one in _broken(inputs)}
    said = broken | (_ACTIVITIES if "activity" in broken else frozenset())
    for row in inputs.drifted().to_dict("records"):
        if row["field"] not in said and not _follows(str(row["field"]), broken):
            numbers = {"value": float(row["value"]), "usual": float(row["usual"])}
            found.append(Reason(str(row["check"]), str(row["field"]), "look", numbers))
    return found


def _effect(outcomes: Outcomes, remaining: Remaining) -> float | None:
    """Bookings still to come beside what the bundle says, were what has moved to stay; None if too few came."""
    wins, created = outcomes.question("wins"), outcomes.question("created")
    signed, size = outcomes.question("signed"), outcomes.question("size")
    if not wins.enough:
        return None
    amount = signed.credible if signed.enough else 1.0
    opened = remaining.open * (wins.credible * amount - 1.0)
    more = created.credible if created.enough else 1.0
    larger = size.credible if size.enough else 1.0
    return opened + remaining.arrivals * (wins.credible * amount * more * larger - 1.0)
