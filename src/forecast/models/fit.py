"""From a history to fitted models: landmarks, season, the ladder of rungs, amounts, arrivals, shock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from forecast.arrays import Floats, Ints
from forecast.errors import DataError
from forecast.features import FeatureMatrix, build, decide_fields
from forecast.history import LOST, OPEN, WON, DatedRecords, History, Landmarks, make_landmarks
from forecast.history.stages import StageMap
from forecast.models.amount import fit_amount
from forecast.models.arrivals import fit_arrivals
from forecast.models.bins import Bins, exposures
from forecast.models.cells import StageCells, fit_cells
from forecast.models.encoder import fit_encoder
from forecast.models.fitted import FittedModels, Grades, Rung
from forecast.models.hazard import CAUSES, OutcomeModel, Survival, outcome_log_score
from forecast.models.incidence import HORIZON_CAP_DAYS
from forecast.models.linear import LinearHazard, choose_knots, fit_linear
from forecast.models.season import Season, fit_season
from forecast.models.settings import FitSettings
from forecast.models.shock import Shock, estimate_shock
from forecast.periods import DAY_US, as_of_us, to_timestamp

__all__ = ["fit_models", "fit_outcome", "seasons_of"]

Tell = Callable[[str, float], None]

_FEW_ROWS: Final = 3_000  # with fewer landmarks the linear rung does not bend
_RIDGE_ROWS: Final = 15_000  # enough to tell one strength of shrinkage from another
_PERCENTILES: Final = np.linspace(0.01, 0.99, 99)
_FEW_OPEN: Final = 50  # deals whose percentiles mean little: the newest landmarks stand beside them
_NEWEST: Final = 1_000


@dataclass(frozen=True)
class _Rows:
    """Landmarks with their features, sliced together."""

    landmarks: Landmarks
    features: FeatureMatrix

    def take(self, rows: Ints) -> _Rows:
        return _Rows(self.landmarks.take(rows), self.features.take(rows))


def fit_models(
    history: History, until: pd.Timestamp, settings: FitSettings, *, tell: Tell | None = None
) -> FittedModels:
    """Learn everything from what was recorded before `until`.

    tell : called with what is being done and the share done, for a progress bar
    Raises DataError if no deal is known before `until`.
    """
    # One thread: the matrices are too small to gain from more, and the order of sums must not depend on how
    # many there are.
    with threadpool_limits(limits=1):
        return _fit_models(history, until, settings, tell or (lambda _text, _share: None))


def _fit_models(history: History, until: pd.Timestamp, settings: FitSettings, say: Tell) -> FittedModels:
    until_us = as_of_us(until)
    known_from = history.known_from_us()
    if not (known_from < until_us).any():
        raise DataError(
            f"no deal was recorded before {until.isoformat()}; the data begins "
            f"{to_timestamp(int(known_from.min())).isoformat() if len(history) else 'nowhere (no deals)'}",
            code="nothing_known",
        )
    say("laying landmarks", 0.0)
    every = make_landmarks(history, until_us=until_us, every_days=settings.landmark_every_days)
    rng = np.random.default_rng(settings.seed)
    landmarks = every.thin(settings.max_landmarks, rng)
    decisions = decide_fields(history, until_us, exclude=settings.exclude_fields, trust=settings.trust_fields)
    use = tuple(d.feature for d in decisions if d.used)

    say("finding the season", 0.05)
    seasons = seasons_of(history, until_us) if settings.use_season else (Season.flat(), Season.flat())
    say("building features", 0.1)
    records = DatedRecords.of(history)
    rows = _Rows(landmarks, build(history, landmarks.deal, landmarks.at_us, records))

    outcome, ladder = fit_outcome(
        rows.landmarks, rows.features, use, seasons, history.stages, until_us, settings, tell=say
    )
    say("learning amounts and arrivals", 0.9)
    amount = fit_amount(history, landmarks, until_us)
    average = outcome.reference @ outcome.basis
    arrivals = fit_arrivals(history, until_us, outcome.bins, seasons, average)

    closings = history.closings
    closed = closings.at_us < until_us
    frozen = records.freeze(history, until_us)
    draft = FittedModels(
        trained_until_us=until_us,
        stages=history.stages,
        money=history.money,
        outcome=outcome,
        seasons=seasons,
        amount=amount,
        arrivals=arrivals,
        records=frozen,
        shock=Shock(0.0, 4.0, 0),
        grades=Grades(np.empty(0)),
        decisions=tuple(decisions),
        ladder=ladder,
        counts={
            "deals": int((known_from < until_us).sum()),
            "open": len(history.open_deals(until_us)),
            "won": int((closings.kind[closed] == WON).sum()),
            "lost": int((closings.kind[closed] == LOST).sum()),
            "landmarks": len(every),
        },
        settings=settings.to_json(),
    )
    say("measuring how sure this is", 0.95)
    shock = estimate_shock(draft, history, records, until_us)
    fitted = replace(draft, shock=shock, grades=_grades(draft, history, landmarks, until_us))
    say("done", 1.0)
    return fitted


def fit_outcome(
    landmarks: Landmarks,
    features: FeatureMatrix,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    stages: StageMap,
    until_us: int,
    settings: FitSettings,
    *,
    causes: tuple[int, ...] = (WON, LOST),
    tell: Tell | None = None,
) -> tuple[OutcomeModel, tuple[Rung, ...]]:
    """Climb the ladder: stage cells always, the linear rung if it foretold later windows clearly better.

    causes : outcomes that must have been seen before the linear rung is tried

    Each window trains on what was recorded before it and is scored on the landmarks inside it, so the choice
    is made by the question that is asked in use. Ties go to the simpler rung.
    """
    say: Tell = tell or (lambda _text, _share: None)
    rows = _Rows(landmarks, features)
    bins = Bins.for_follow_up(_longest_days(landmarks))
    survival = Survival.of(landmarks, bins, seasons)
    closed = _closed_deals(landmarks)
    cells = _cells(rows, survival, bins, stages)
    if closed < settings.min_closed_deals or not _all_seen(landmarks, causes):
        reason = (
            f"{closed:.0f} closed deals on the landmark grid; "
            f"the linear rung needs {settings.min_closed_deals}, {' and '.join(CAUSES[c - 1] for c in causes)}"
        )
        return cells, (Rung("aalen-johansen", None, True, reason), Rung("linear", None, False, reason))

    say("comparing rungs on later windows", 0.2)
    ridge, differences, scores = _compare(rows, use, seasons, stages, until_us, settings, causes, say)
    mean = float(np.mean(differences)) if len(differences) else 0.0
    error = float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else np.inf
    linear_wins = mean > error
    reason = f"linear gains {mean:+.4f} (standard error {error:.4f}) in log score per deal over cells"
    ladder = (
        Rung("aalen-johansen", scores[0], not linear_wins, reason),
        Rung("linear", scores[1], linear_wins, reason),
    )
    if not linear_wins:
        return cells, ladder
    say("fitting the linear rung", 0.65)
    return _linear(rows, use, survival, bins, ridge), ladder


def _cells(rows: _Rows, survival: Survival, bins: Bins, stages: StageMap) -> StageCells:
    deals = float(len(np.unique(rows.landmarks.deal)))
    closed = _closed_deals(rows.landmarks)
    return fit_cells(_stage_codes(rows), survival, bins, stages, deals=deals, closed_deals=closed)


def _linear(rows: _Rows, use: tuple[str, ...], survival: Survival, bins: Bins, ridge: float) -> LinearHazard:
    encoder = fit_encoder(rows.features, use, spline=len(rows.landmarks) >= _FEW_ROWS)
    ended = rows.landmarks.duration_days[rows.landmarks.cause > 0]
    knots = choose_knots(ended, bins)
    return fit_linear(encoder.encode(rows.features), survival, bins, encoder, knots, ridge)


def _compare(
    rows: _Rows,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    stages: StageMap,
    until_us: int,
    settings: FitSettings,
    causes: tuple[int, ...],
    say: Tell,
) -> tuple[float, Floats, tuple[float | None, float | None]]:
    """Ridge chosen, per-deal gains of linear over cells, and both mean log scores, over later windows."""
    step_us = round(settings.window_days * DAY_US)
    span_us = until_us - int(rows.landmarks.at_us.min())
    step_us = min(step_us, span_us // (2 * settings.windows + 1))
    base: list[Floats] = []
    deals: list[Ints] = []
    tried: dict[float, list[Floats]] = {strength: [] for strength in settings.ridge_grid}
    for window in range(1, settings.windows + 1):
        split_us = until_us - window * step_us
        early = _censored(rows, split_us)
        closed = _closed_deals(early.landmarks)
        if closed < settings.min_closed_deals or not _all_seen(early.landmarks, causes):
            break
        early = early.take(_sample(len(early.landmarks), _RIDGE_ROWS, settings.seed))
        late = _censored(rows.take(np.flatnonzero(rows.landmarks.at_us >= split_us)), split_us + step_us)
        bins = Bins.for_follow_up(_longest_days(early.landmarks))
        survival = Survival.of(early.landmarks, bins, seasons)
        follow_up_days = (split_us + step_us - late.landmarks.at_us) / DAY_US
        later = np.stack([exposures(bins, s, late.landmarks.at_us, follow_up_days) for s in seasons])
        cause = late.landmarks.cause
        base.append(outcome_log_score(_on_bins(_cells(early, survival, bins, stages), late), later, cause))
        deals.append(late.landmarks.deal)
        for strength, scores in tried.items():
            model = _linear(early, use, survival, bins, strength)
            scores.append(outcome_log_score(_on_bins(model, late), later, cause))
        say("comparing rungs on later windows", 0.2 + 0.45 * window / settings.windows)
    if not base:
        return max(settings.ridge_grid), np.empty(0), (None, None)
    # All windows choose the ridge together; equal scores go to the stronger shrinkage.
    ridge = max(tried, key=lambda strength: (sum(float(s.sum()) for s in tried[strength]), strength))
    gains = [_per_deal(s - b, d) for s, b, d in zip(tried[ridge], base, deals, strict=True)]
    means = float(np.concatenate(base).mean()), float(np.concatenate(tried[ridge]).mean())
    return ridge, np.concatenate(gains), means


def _on_bins(model: OutcomeModel, rows: _Rows) -> Floats:
    log_hazard: Floats = model.coefficients(rows.features) @ model.basis
    return log_hazard


def _per_deal(values: Floats, deal: Ints) -> Floats:
    """Mean per deal: landmarks of one deal share their fate and are no independent evidence."""
    place = np.unique(deal, return_inverse=True)[1]
    return np.bincount(place, values) / np.bincount(place)


def _censored(rows: _Rows, split_us: int) -> _Rows:
    """What these landmarks looked like to somebody standing at `split_us`."""
    early = rows.take(np.flatnonzero(rows.landmarks.at_us < split_us))
    marks = early.landmarks
    seen_days = (split_us - marks.at_us) / DAY_US
    unseen = marks.duration_days >= seen_days
    return _Rows(
        Landmarks(
            marks.deal,
            marks.at_us,
            np.minimum(marks.duration_days, seen_days),
            np.where(unseen, OPEN, marks.cause).astype(np.int8),
            marks.weight,
        ),
        early.features,
    )


def _sample(size: int, most: int, seed: int) -> Ints:
    if size <= most:
        return np.arange(size)
    return np.sort(np.random.default_rng(seed).choice(size, size=most, replace=False))


def _stage_codes(rows: _Rows) -> Ints:
    return rows.features["stage"].astype(np.int64)


def _closed_deals(landmarks: Landmarks) -> float:
    return float(len(np.unique(landmarks.deal[landmarks.cause > 0])))


def _all_seen(landmarks: Landmarks, causes: tuple[int, ...]) -> bool:
    return all((landmarks.cause == cause).any() for cause in causes)


def _longest_days(landmarks: Landmarks) -> float:
    return float(landmarks.duration_days.max(initial=7.0))


def seasons_of(history: History, until_us: int) -> tuple[Season, Season]:
    """Daily numbers of deals open, won and lost, and the profiles they show."""
    deal, at_us, stage = history.stage_entries
    kind = history.stages.kind[stage]
    known = at_us < until_us
    deal, at_us, kind = deal[known], at_us[known], kind[known]
    if not len(at_us):
        return Season.flat(), Season.flat()
    before = np.where(np.concatenate(([True], deal[1:] != deal[:-1])), -1, np.concatenate(([-1], kind[:-1])))
    day = at_us // DAY_US
    first, last = int(day.min()), int(until_us // DAY_US)
    days = np.arange(first, last + 1)
    opened = np.bincount(day[(kind == OPEN) & (before != OPEN)] - first, minlength=len(days))
    closed = np.bincount(day[(kind != OPEN) & (before == OPEN)] - first, minlength=len(days))
    at_risk = np.cumsum(opened) - np.cumsum(closed) + closed  # a deal is at risk on the day it closes, too
    profiles = []
    for cause in (WON, LOST):
        ended = np.bincount(day[(kind == cause) & (before == OPEN)] - first, minlength=len(days))
        profiles.append(fit_season(days, at_risk.astype(np.float64), ended.astype(np.float64)))
    return profiles[0], profiles[1]


def _grades(models: FittedModels, history: History, landmarks: Landmarks, until_us: int) -> Grades:
    """Percentiles of the deals open at training; with few of them, of the latest landmarks as well."""
    deal = history.open_deals(until_us)
    at_us = np.full(len(deal), until_us)
    if len(deal) < _FEW_OPEN and len(landmarks):
        newest = np.argsort(landmarks.at_us, kind="stable")[-_NEWEST:]
        deal = np.concatenate((deal, landmarks.deal[newest]))
        at_us = np.concatenate((at_us, landmarks.at_us[newest]))
    if not len(deal):
        return Grades(_PERCENTILES)
    chance = models.win_probability(history, deal, at_us, [HORIZON_CAP_DAYS])[:, 0]
    return Grades(np.quantile(chance, _PERCENTILES))
