"""The checks of the gate, each with its figures, a verdict and a sentence.

Both contenders give probabilities for the same looks, so what is judged is the difference on the same rows: it
varies far less than either score. Deals are drawn again whole, because the looks at a deal share its fate.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.special import xlogy

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.errors import DataError
from forecast.evaluation import metrics
from forecast.evaluation.baselines import booked_amount
from forecast.features.registry import custom_spec
from forecast.history import DatedRecords, History, Landmarks
from forecast.models import FittedModels, fit_models
from forecast.outlook import history_of, make_outlook
from forecast.periods import DAY_US, Period, as_of_us
from forecast.scoring import HORIZONS_DAYS, score_deals
from forecast.tables import Tables, known_before
from training.gate.contenders import Contender, settings_of
from training.holdout import Holdout, quarter_bookings
from training.settings import GateSettings

__all__ = [
    "BETTER",
    "FAILS",
    "PASSES",
    "TOLD",
    "Check",
    "Looks",
    "check_bookings",
    "check_calibration",
    "check_itself",
    "check_latency",
    "check_laws",
    "check_leakage",
    "check_reproduced",
    "check_scores",
]

FAILS: Final = "fails"
PASSES: Final = "passes"
BETTER: Final = "better"
TOLD: Final = "told"  # a figure nothing hangs on, or one that could not be had

_DRAWS: Final = 1000
_CALIBRATION_DRAWS: Final = 200  # a smooth curve is drawn for each
# Two scores that differ by less are the same numbers, rounded otherwise.
_SAME: Final = 1e-12
# A forecast is never as sure as this on the looks of a deal; a 0 or 1 would make any score infinite.
_SUREST: Final = 1e-6
_LEAK_AUC: Final = 0.95
# How a decision says that the audit found a leak which the settings overrule.
_LEAKS: Final = "trusted by the settings, although"
_LATENCY_REPEATS: Final = 15
# Slower is no matter below this: one deal over HTTP is to take 5 ms.
_LATENCY_FINE_MS: Final = 25.0
_ROUNDING: Final = 1e-9
# Probabilities of two fits of the same, on another processor perhaps.
_REPRODUCED: Final = 1e-4

Tell = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Check:
    """What one check found."""

    code: str
    verdict: str
    sentence: str
    figures: dict[str, float]


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks of the period and what both contenders say about them.

    champion, candidate: (n, H) probabilities of being won within the horizons
    weight: (n, H) 0 where the end of the data came before the horizon
    won: (n, H)
    """

    landmarks: Landmarks
    horizons_days: tuple[int, ...]
    champion: Floats
    candidate: Floats
    won: Floats
    weight: Floats
    deal: Ints

    @classmethod
    def of(
        cls, history: History, holdout: Holdout, looks: Landmarks, champion: Contender, candidate: Contender
    ) -> Looks:
        """Ask both."""
        horizons = holdout.horizons_days
        theirs = champion.models.win_probability(history, looks.deal, looks.at_us, horizons)
        ours = (
            theirs
            if candidate.models is champion.models
            else candidate.models.win_probability(history, looks.deal, looks.at_us, horizons)
        )
        follow_up = (as_of_us(holdout.end) - looks.at_us) / DAY_US
        labels = [
            metrics.won_within(
                looks.duration_days, looks.cause, days, follow_up_days=follow_up, weight=looks.weight
            )
            for days in horizons
        ]
        won = np.column_stack([one.outcome for one in labels])
        weight = np.column_stack([one.weight for one in labels])
        return cls(looks, horizons, theirs, ours, won, weight, np.unique(looks.deal, return_inverse=True)[1])

    @property
    def measurable(self) -> bool:
        """Whether anything was won: a period without a win cannot tell a good forecast from a bad one."""
        seen = self.weight > 0.0
        return bool((self.won[seen] > 0.0).any()) and bool((self.won[seen] == 0.0).any())


def check_scores(looks: Looks, settings: GateSettings, rng: np.random.Generator) -> list[Check]:
    """Log score and Brier score, mean over the horizons, as differences on the same looks."""
    return [
        _compare(
            name,
            label,
            loss(looks.won, looks.champion),
            loss(looks.won, looks.candidate),
            looks,
            settings,
            rng,
        )
        for name, label, loss in _SCORES
    ]


def check_itself(
    history: History, bundle: Bundle, looks: Looks, settings: GateSettings, rng: np.random.Generator
) -> Check:
    """A candidate that had seen the period must not foretell it worse than its settings, which had not.

    What is compared above is the candidate's settings. This asks whether the bundle at hand is what they give.
    """
    models = bundle.models
    records = DatedRecords.of(history, models.records.dilution)
    said = models.win_probability(
        history, looks.landmarks.deal, looks.landmarks.at_us, looks.horizons_days, records
    )
    _, _, loss = _SCORES[0]
    fresh, own = loss(looks.won, looks.candidate), loss(looks.won, said)
    _, interval = _difference(fresh, own, looks, settings, rng)
    figures = {"difference": interval.value, "lower": interval.lower, "upper": interval.upper}
    if interval.lower > settings.score_margin:
        return Check(
            "itself",
            FAILS,
            f"The bundle, which had seen the period, has a log score {interval.value:+.1%} of that of its own "
            "settings, which had not: it is not what they give.",
            figures,
        )
    return Check("itself", PASSES, "The bundle is as good as its settings on what it had seen.", figures)


def check_reproduced(tables: Tables, bundle: Bundle, *, tell: Tell) -> Check:
    """Fit the candidate's settings again on its own data: the bundle must give the same probabilities.

    Comparing settings says nothing of a bundle that was changed on its way; this does.
    """
    known = known_before(tables, bundle.trained_until)
    if bundle.manifest.get("data_fingerprint") != known.fingerprint:
        return Check("reproduced", TOLD, "Not fitted again: the data are not those it was trained on.", {})
    # Like the training, from tables in which nothing later is even at hand.
    history = history_of(known, bundle)
    again = fit_models(history, bundle.trained_until, settings_of(bundle), tell=tell)
    at_us = bundle.models.trained_until_us
    deal = history.open_deals(at_us)
    figures = {"deals": float(len(deal)), "apart": 0.0}
    if len(deal):
        when = np.full(len(deal), at_us)
        stored, found = (
            one.win_probability(history, deal, when, HORIZONS_DAYS) for one in (bundle.models, again)
        )
        figures["apart"] = float(np.abs(stored - found).max())
    if figures["apart"] > _REPRODUCED:
        return Check(
            "reproduced",
            FAILS,
            f"Fitted again on the same data, its settings give other probabilities, by up to "
            f"{figures['apart']:.1%}: it was changed, or made with other packages.",
            figures,
        )
    return Check("reproduced", PASSES, "Fitted again on the same data, its settings give the same.", figures)


def check_calibration(looks: Looks, settings: GateSettings, rng: np.random.Generator) -> list[Check]:
    """Distance of probabilities from the shares that came (integrated calibration index), per horizon."""
    found = []
    for at, days in enumerate(looks.horizons_days):
        seen = looks.weight[:, at] > 0.0
        y, w = looks.won[seen, at], looks.weight[seen, at]
        theirs, ours = (_index(y, said[seen, at]) for said in (looks.champion, looks.candidate))
        champion, candidate = theirs(w), ours(w)
        figures = {"champion": champion, "candidate": candidate}
        lower = upper = candidate - champion
        if not np.array_equal(looks.champion, looks.candidate):
            interval = metrics.block_bootstrap(
                lambda drawn, ours=ours, theirs=theirs: ours(drawn) - theirs(drawn),  # type: ignore[misc]  # bound
                looks.deal[seen],
                weight=w,
                rng=rng,
                draws=_CALIBRATION_DRAWS,
                level=2.0 * settings.confidence - 1.0,
            )
            lower, upper = interval.lower, interval.upper
        figures |= {"lower": lower, "upper": upper}
        verdict, text = PASSES, f"Off by {candidate:.1%} at {days} days, the champion by {champion:.1%}."
        if lower > settings.calibration_margin:
            verdict = FAILS
            text += f" That is worse for sure by more than {settings.calibration_margin:.1%}."
        elif candidate > settings.calibration_cap and candidate > champion + _SAME:
            verdict = FAILS
            text += f" More than {settings.calibration_cap:.0%} is not accepted."
        found.append(Check(f"calibration_{days}d", verdict, text, figures))
    return found


def check_bookings(
    tables: Tables,
    history: History,
    holdout: Holdout,
    champion: Contender,
    candidate: Contender,
    settings: GateSettings,
) -> Check:
    """Error of the bookings of the complete quarters, as foretold at the first moment of each."""
    quarters: list[Period] = []
    quarter = holdout.quarter
    while quarter is not None and quarter.start >= holdout.start:
        quarters.append(quarter)
        quarter = quarter.previous()
    came = sum(booked_amount(history, as_of_us(holdout.end), one) for one in quarters)
    if not quarters or came <= 0.0:
        return Check("bookings", TOLD, "No complete quarter with bookings lies in the period.", {})
    try:
        theirs = _quarter_errors(tables, history, champion.models, quarters, holdout)
        ours = (
            theirs
            if candidate.models is champion.models
            else _quarter_errors(tables, history, candidate.models, quarters, holdout)
        )
    except DataError as error:
        if error.code != "no_amounts":  # chances can be compared without any
            raise
        return Check("bookings", TOLD, "The deals have no amounts.", {})
    champion_off, candidate_off = theirs / came, ours / came
    names = ", ".join(one.label for one in reversed(quarters))
    text = f"Off by {candidate_off:.0%} of what was booked in {names}, the champion by {champion_off:.0%}"
    figures = {"champion": champion_off, "candidate": candidate_off, "quarters": float(len(quarters))}
    if candidate_off > champion_off + settings.bookings_margin:
        return Check(
            "bookings", FAILS, f"{text}: by more than {settings.bookings_margin:.0%} worse.", figures
        )
    few = "one quarter tells little" if len(quarters) == 1 else f"{len(quarters)} quarters tell little"
    return Check("bookings", PASSES, f"{text}; {few}.", figures)


def check_laws(
    tables: Tables, history: History, candidate: Bundle, champion: Bundle, as_of: pd.Timestamp
) -> Check:
    """What any forecast must obey, on today's open deals and the coming quarter."""
    deal = history.open_deals(as_of_us(as_of))
    scores = score_deals(history, candidate, deal, as_of, reasons=0)
    broken = _broken_scores(scores) + _broken_sums(tables, history, candidate, as_of)
    if champion.leads is not None and candidate.leads is None:
        broken.append("it cannot score leads, and the champion can")
    figures = {"deals": float(len(deal)), "broken": float(len(broken))}
    if broken:
        return Check("laws", FAILS, f"On {len(deal):,} open deals: {'; '.join(broken)}.", figures)
    return Check("laws", PASSES, f"Every law holds on {len(deal):,} open deals and their sums.", figures)


def check_latency(
    history: History, candidate: Bundle, champion: Bundle, as_of: pd.Timestamp, settings: GateSettings
) -> Check:
    """Time of one deal with its reasons: both in turn, in this process, medians compared."""
    deal = history.open_deals(as_of_us(as_of))[:1]
    if not len(deal):
        return Check("latency", TOLD, "No deal is open.", {})
    times: dict[str, list[float]] = {"champion": [], "candidate": []}
    for _ in range(_LATENCY_REPEATS + 2):
        for who, bundle in (("champion", champion), ("candidate", candidate)):
            begun = time.perf_counter()
            score_deals(history, bundle, deal, as_of)
            times[who].append((time.perf_counter() - begun) * 1e3)
    theirs, ours = (statistics.median(times[who][2:]) for who in ("champion", "candidate"))
    text = f"One deal with reasons takes {ours:.1f} ms, with the champion {theirs:.1f} ms"
    slow = ours > settings.latency_factor * theirs and ours > _LATENCY_FINE_MS
    figures = {"champion_ms": theirs, "candidate_ms": ours}
    if slow:
        return Check(
            "latency", FAILS, f"{text}: more than {settings.latency_factor:g} times as long.", figures
        )
    return Check("latency", PASSES, f"{text}.", figures)


def check_leakage(looks: Looks | None, candidate: Bundle, allow: tuple[str, ...] = ()) -> Check:
    """Signs of a field that knows the outcome: one the audit found, or a ranking too good for open deals.

    allow : fields that leak, are trusted by the settings of the candidate, and may serve nevertheless
    """
    trusted = {
        one.feature: one.reason for one in candidate.models.decisions if one.used and _LEAKS in one.reason
    }
    allowed = {*allow, *(custom_spec(name).name for name in allow)}
    for feature, reason in trusted.items():
        if feature not in allowed:
            return Check(
                "leakage", FAILS, f"{feature} is {reason}. If you know better, name it in [audit] allow.", {}
            )
    told = f" Allowed by the settings: {', '.join(trusted)}." if trusted else ""
    found: list[float] = []
    if looks is not None:
        for at in range(len(looks.horizons_days)):
            seen = looks.weight[:, at] > 0.0
            found.append(
                metrics.auc(looks.won[seen, at], looks.candidate[seen, at], weight=looks.weight[seen, at])
            )
    most = max((one for one in found if not np.isnan(one)), default=float("nan"))
    figures = {} if np.isnan(most) else {"auc": most}
    if most >= _LEAK_AUC:
        return Check(
            "leakage",
            FAILS,
            f"AUC {most:.3f}: {_LEAK_AUC:g} or more is a field filled in by closing until proven "
            f"otherwise.{told}",
            figures,
        )
    return Check("leakage", PASSES, f"No sign of a field filled in by closing.{told}", figures)


def _log_loss(won: Floats, said: Floats) -> Floats:
    p = np.clip(said, _SUREST, 1.0 - _SUREST)
    return np.asarray(-xlogy(won, p) - xlogy(1.0 - won, 1.0 - p), dtype=np.float64)


def _squared(won: Floats, said: Floats) -> Floats:
    return np.asarray((won - said) ** 2, dtype=np.float64)


_SCORES: Final[Sequence[tuple[str, str, Callable[[Floats, Floats], Floats]]]] = (
    ("log_score", "Log score", _log_loss),
    ("brier", "Brier score", _squared),
)


def _compare(
    code: str,
    label: str,
    champion: Floats,
    candidate: Floats,
    looks: Looks,
    settings: GateSettings,
    rng: np.random.Generator,
) -> Check:
    base, interval = _difference(champion, candidate, looks, settings, rng)
    figures = {
        "champion": base,
        "candidate": base * (1.0 + interval.value),
        "difference": interval.value,
        "lower": interval.lower,
        "upper": interval.upper,
        "deals": float(interval.blocks),
    }
    if np.array_equal(champion, candidate):
        return Check(code, PASSES, f"{label} {base:.4f}, of the same models.", figures)
    sure = f"{interval.lower:+.1%} to {interval.upper:+.1%}"
    text = f"{label} {interval.value:+.1%} against the champion's {base:.4f} ({sure}; below 0 is better)"
    if np.isnan(interval.upper):
        return Check(code, FAILS, f"{text}: too few deals to be sure of anything.", figures)
    if interval.upper >= settings.score_margin:
        return Check(
            code, FAILS, f"{text}: worse by {settings.score_margin:.1%} or more is not ruled out.", figures
        )
    if interval.upper < -_SAME:
        return Check(code, BETTER, f"{text}: better for sure.", figures)
    return Check(code, PASSES, f"{text}: not worse.", figures)


def _difference(
    champion: Floats, candidate: Floats, looks: Looks, settings: GateSettings, rng: np.random.Generator
) -> tuple[float, metrics.Interval]:
    """The champion's mean loss, and the candidate's difference from it as a share of it, with its interval."""
    # One row a deal: sums of loss and weight are all a mean needs, and deals are what is drawn.
    deals = int(looks.deal.max(initial=-1)) + 1
    used = [at for at in range(len(looks.horizons_days)) if looks.weight[:, at].any()]

    def by_deal(values: Floats) -> Floats:
        return np.column_stack(
            [
                np.bincount(looks.deal, weights=values[:, at] * looks.weight[:, at], minlength=deals)
                for at in used
            ]
        )

    weight = by_deal(np.ones_like(champion))
    base = float((by_deal(champion).sum(0) / weight.sum(0)).mean())
    gap = by_deal(candidate - champion)

    def share(drawn: Floats) -> float:
        total = drawn @ weight
        return float(((drawn @ gap) / total).mean() / base) if (total > 0.0).all() else float("nan")

    interval = metrics.block_bootstrap(
        share, np.arange(deals), rng=rng, draws=_DRAWS, level=2.0 * settings.confidence - 1.0
    )
    return base, interval


def _index(y: Floats, said: Floats) -> Callable[[Floats], float]:
    def index(weight: Floats) -> float:
        drawn = weight > 0.0
        return metrics.integrated_calibration_index(y[drawn], said[drawn], weight=weight[drawn])

    return index


def _quarter_errors(
    tables: Tables, history: History, models: FittedModels, quarters: Sequence[Period], holdout: Holdout
) -> float:
    """Sum of the absolute errors."""
    end_us = as_of_us(holdout.end)
    return sum(
        abs(quarter_bookings(tables, history, models, one)[0] - booked_amount(history, end_us, one))
        for one in quarters
    )


def _broken_scores(scores: pd.DataFrame) -> list[str]:
    """Laws of the scores of open deals that are broken, in words."""
    won = scores[[f"won_{days}d" for days in HORIZONS_DAYS]].to_numpy(float)
    lost = scores[[f"lost_{days}d" for days in HORIZONS_DAYS]].to_numpy(float)
    close = scores[["close_on_p10", "close_on_p50", "close_on_p90"]].apply(pd.to_datetime)
    early, middle, late = (close[name] for name in close)
    laws: dict[str, Any] = {
        "a probability is no number": np.isfinite(won).all() and np.isfinite(lost).all(),
        "a probability is below 0": (won >= -_ROUNDING).all() and (lost >= -_ROUNDING).all(),
        "won and lost add up to more than 1": (won + lost <= 1.0 + _ROUNDING).all(),
        "a chance falls as the horizon grows": (np.diff(won) >= -_ROUNDING).all()
        and (np.diff(lost) >= -_ROUNDING).all(),
        "close dates are out of order": not ((early > middle) | (middle > late)).any(),
    }
    return [text for text, holds in laws.items() if not holds]


def _broken_sums(tables: Tables, history: History, bundle: Bundle, as_of: pd.Timestamp) -> list[str]:
    """Laws of the coming quarter's roll-up that are broken, in words."""
    try:
        outlook = make_outlook(tables, bundle, as_of=as_of, history=history, reasons=0)
    except DataError as error:
        if error.code != "no_amounts":
            raise
        return []
    table = outlook.bookings.table
    parts = table[["booked", "open", "arrivals"]].sum(axis=1)
    total = float(table.loc[table["level"] == "company", "expected"].iloc[0])
    near = _ROUNDING * max(1.0, abs(total))
    laws: dict[str, Any] = {
        "bookings are no number": np.isfinite(table[["expected", "p10", "p50", "p90"]].to_numpy(float)).all(),
        "booked, open and arrivals do not add up": ((parts - table["expected"]).abs() <= near).all(),
        "quantiles of bookings are out of order": (table["p10"] <= table["p50"] + near).all()
        and (table["p50"] <= table["p90"] + near).all(),
        "parts do not add up to the company": (
            (table.groupby("level")["expected"].sum() - total).abs() <= near
        ).all(),
    }
    return [text for text, holds in laws.items() if not holds]
