"""The rule: not worse beyond the margins, and better somewhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import DataError
from forecast.history import History
from forecast.outlook import history_of
from forecast.periods import to_timestamp
from forecast.tables import Tables
from training.gate.checks import (
    BETTER,
    FAILS,
    PASSES,
    TOLD,
    Check,
    Looks,
    check_bookings,
    check_calibration,
    check_itself,
    check_latency,
    check_laws,
    check_leakage,
    check_reproduced,
    check_scores,
)
from training.gate.contenders import check_comparable, contenders, settings_of, stages_apart
from training.holdout import Holdout, choose_holdout, held_out_looks
from training.settings import Settings

__all__ = ["Outcome", "judge"]

Tell = Callable[[str, float], None]

# More looks than this make the intervals no narrower that matter, and calibration curves slow.
_MOST_LOOKS: Final = 40_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the gate says of a candidate.

    passed: whether it may take the champion's place
    reasons: sentences, the deciding ones
    compared: what was asked about which period, in a sentence
    """

    passed: bool
    reasons: tuple[str, ...]
    compared: str
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[str, ...]:
        """Codes of the checks that failed."""
        return tuple(check.code for check in self.checks if check.verdict == FAILS)

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        found = asdict(self)
        for check in found["checks"]:
            check["figures"] = {
                name: None if np.isnan(value) else round(float(value), 9)
                for name, value in check["figures"].items()
            }
        return {**found, "reasons": list(self.reasons), "checks": list(found["checks"])}


def judge(
    tables: Tables,
    champion: Bundle,
    candidate: Bundle,
    settings: Settings,
    *,
    as_of: pd.Timestamp | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Compare two bundles on the same later period and say whether the candidate may serve.

    as_of : the end of the period; default: the moment after the newest event
    Raises GateError if they cannot be compared, DataError or UsageError for data that do not fit them.
    """
    say: Tell = tell or (lambda _text, _share: None)
    check_comparable(champion, candidate)
    moment = tables.default_as_of if as_of is None else as_of
    say("reading the history", 0.0)
    history = history_of(tables, candidate)
    _check_stages(history, candidate)
    holdout, note = choose_holdout(history, moment, settings.holdout)
    checks: list[Check] = []
    looks: Looks | None = None
    compared = note
    if holdout is not None:
        looks, measured, compared = _measure(tables, history, holdout, champion, candidate, settings, say)
        checks += measured
    if settings.gate.reproduce:
        checks.append(
            check_reproduced(
                tables,
                candidate,
                tell=lambda text, share: say(f"candidate again: {text}", 0.6 + 0.35 * share),
            )
        )
    say("checking laws and latency", 0.95)
    checks += [
        Check("golden", PASSES, "Whole, and its golden scores are reproduced.", {}),
        check_laws(tables, history, candidate, champion, moment),
        check_latency(history, candidate, champion, moment, settings.gate),
        check_leakage(looks, candidate, settings.audit.allow),
        _fresher(champion, candidate, settings),
    ]
    say("done", 1.0)
    return _decide(checks, compared, same=settings_of(champion) == settings_of(candidate))


def _measure(
    tables: Tables,
    history: History,
    holdout: Holdout,
    champion: Bundle,
    candidate: Bundle,
    settings: Settings,
    say: Tell,
) -> tuple[Looks | None, list[Check], str]:
    """Looks, checks, and what was compared."""
    theirs, ours = contenders(
        history, holdout, champion, candidate, tell=lambda text, share: say(text, 0.05 + 0.4 * share)
    )
    compared = (
        f"Asked about {holdout.start:%Y-%m-%d} to {holdout.end:%Y-%m-%d}, from what was recorded before: "
        f"of the champion {theirs.what}, of the candidate {ours.what}"
    )
    compared += ", which are the same." if ours.models is theirs.models else "."
    say("asking both about the same looks", 0.45)
    fit = settings_of(candidate)
    rng = np.random.default_rng(fit.seed)
    asked = held_out_looks(
        history, holdout, replace(fit, max_landmarks=min(fit.max_landmarks, _MOST_LOOKS)), rng
    )
    looks = Looks.of(history, holdout, asked, theirs, ours)
    if not looks.measurable:
        return None, [], f"{compared} Nothing was won in the period, so it cannot tell one from the other."
    checks = check_scores(looks, settings.gate, rng)
    say("comparing calibration", 0.5)
    checks += check_calibration(looks, settings.gate, rng)
    say("comparing bookings", 0.55)
    checks.append(check_bookings(tables, history, holdout, theirs, ours, settings.gate))
    if not ours.itself:
        checks.append(check_itself(history, candidate, looks, settings.gate, rng))
    return looks, checks, compared


def _check_stages(history: History, candidate: Bundle) -> None:
    """Raise DataError if these are the data of another company."""
    apart = stages_apart(history.stages, candidate.models.stages)
    if apart:
        raise DataError(
            f"the data and the candidate know different stages ({apart}); give the data it was trained on",
            code="other_data",
        )


def _fresher(champion: Bundle, candidate: Bundle, settings: Settings) -> Check:
    days = (candidate.trained_until - champion.trained_until).total_seconds() / 86_400.0
    until = f"{to_timestamp(candidate.models.trained_until_us):%Y-%m-%d}"
    least = settings.gate.fresher_days
    figures = {"days": days}
    if 0.0 < least <= days:
        return Check(
            "fresher", BETTER, f"It learnt until {until}, {days:.0f} days more than the champion.", figures
        )
    if days < 0.0:
        return Check(
            "fresher", TOLD, f"It learnt until {until}, {-days:.0f} days less than the champion.", figures
        )
    return Check(
        "fresher", TOLD, f"It learnt until {until}, {days:.0f} days more than the champion.", figures
    )


def _decide(checks: list[Check], compared: str, *, same: bool) -> Outcome:
    """The rule. `same`: both have the same settings, so a period could show no difference anyway."""
    failed = [check for check in checks if check.verdict == FAILS]
    better = [check for check in checks if check.verdict == BETTER]
    scored = any(check.code == "log_score" for check in checks)
    reasons = tuple(check.sentence for check in failed or better)
    if not failed and not scored and not same:
        better, reasons = [], ("There is no later period to compare other settings on.",)
    elif not reasons:
        reasons = ("It is not worse, and nowhere better.",)
    return Outcome(not failed and bool(better), reasons, compared, tuple(checks))
