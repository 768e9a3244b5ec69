"""From a history to fitted models: landmarks, season, the ladder's outcome, level, amounts, arrivals, shock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from forecast.errors import DataError
from forecast.features import KIND_FEATURES, FeatureMatrix, build, decide_fields
from forecast.features.kinds import fit_kinds
from forecast.history import LOST, OPEN, WON, DatedRecords, History, Landmarks, make_landmarks
from forecast.models.amount import fit_amount
from forecast.models.arrivals import fit_arrivals
from forecast.models.cells import StageCells
from forecast.models.fitted import FittedModels, Grades
from forecast.models.hazard import Survival
from forecast.models.incidence import HORIZON_CAP_DAYS
from forecast.models.ladder import Outcome, OwnRung, fit_outcome
from forecast.models.level import Level, fit_level, quarterly_residuals
from forecast.models.origins import cheap_refits
from forecast.models.recipe import Recipe
from forecast.models.rows import Rows, looks_per_closing
from forecast.models.season import Season, fit_season
from forecast.models.settings import FitSettings
from forecast.models.shock import Shock, estimate_shock
from forecast.models.windows import compared_from_us
from forecast.periods import DAY_US, as_of_us, to_timestamp

__all__ = ["fit_models", "seasons_of"]

Tell = Callable[[str, float], None]

_LEVEL_ROWS: Final = 200_000  # more tell no more about a dozen quarters
_PERCENTILES: Final = np.linspace(0.01, 0.99, 99)
_FEW_OPEN: Final = 50  # deals whose percentiles mean little: the newest landmarks stand beside them
_NEWEST: Final = 1_000


def fit_models(
    history: History,
    until: pd.Timestamp,
    settings: FitSettings,
    *,
    own: tuple[OwnRung, ...] = (),
    recipe: Recipe | None = None,
    tell: Tell | None = None,
) -> FittedModels:
    """Learn everything from what was recorded before `until`.

    own : outcome models of your own that join the ladder, see docs/own-model.md
    recipe : what an earlier fit chose (`FittedModels.recipe`): the same kind of model is learnt again without
        comparing others, in a fraction of the time. Too few closed deals still give cells by stage.
    tell : called with what is being done and the share done, for a progress bar
    Raises DataError if no deal is known before `until`.
    """
    # One thread: the matrices are too small to gain from more, and the order of sums must not depend on how
    # many there are.
    with threadpool_limits(limits=1):
        return _fit_models(history, until, settings, own, recipe, tell or (lambda _text, _share: None))


def _fit_models(
    history: History,
    until: pd.Timestamp,
    settings: FitSettings,
    own: tuple[OwnRung, ...],
    recipe: Recipe | None,
    say: Tell,
) -> FittedModels:
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
    decisions = decide_fields(
        history,
        until_us,
        exclude=settings.exclude_fields,
        trust=settings.trust_fields,
        rules=settings.leak_rules,
    )
    use = tuple(d.feature for d in decisions if d.used)

    say("finding the season", 0.05)
    seasons = (
        seasons_of(history, until_us, settings.fiscal_year_starts)
        if settings.use_season
        else (Season.flat(), Season.flat())
    )
    say("building features", 0.1)
    # Before the windows in which models are compared, so that nothing knows what it is judged by.
    before_us = compared_from_us(landmarks, until_us, settings)
    records = DatedRecords.of(history).diluted(history, before_us)
    wanted = recipe is None or recipe.kinds
    kinds = fit_kinds(history, before_us, use, records) if wanted else None
    features = build(history, landmarks.deal, landmarks.at_us, records, kinds)

    chosen = fit_outcome(
        landmarks,
        features,
        use,
        seasons,
        history.stages,
        until_us,
        settings,
        own=own,
        recipe=recipe,
        tell=say,
    )
    outcome, seasons = chosen.model, chosen.seasons
    say("looking for a drift", 0.85)
    level = _level(chosen, landmarks, features, seasons, until_us) if settings.use_level else Level.none()
    say("learning amounts and arrivals", 0.9)
    amount = fit_amount(history, landmarks, until_us)
    average = outcome.reference @ outcome.basis + outcome.baseline + np.array(level.shift)[:, None]
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
        clock=chosen.clock,
        level=level,
        amount=amount,
        arrivals=arrivals,
        records=frozen,
        kinds=kinds if chosen.recipe.kinds else None,
        shock=Shock(0.0, 4.0, 0),
        grades=Grades(np.empty(0)),
        decisions=tuple(decisions),
        ladder=chosen.ladder,
        counts={
            "deals": int((known_from < until_us).sum()),
            "open": len(history.open_deals(until_us)),
            "won": int((closings.kind[closed] == WON).sum()),
            "lost": int((closings.kind[closed] == LOST).sum()),
            "landmarks": len(every),
        },
        settings=settings.to_json(),
        recipe=chosen.recipe,
    )
    say("measuring how sure this is", 0.95)
    # Kinds learnt later than an origin would know its future.
    refit = cheap_refits(
        landmarks,
        features,
        tuple(name for name in use if name not in KIND_FEATURES),
        seasons,
        history.stages,
        linear=outcome.name != StageCells.name,
        min_closed_deals=settings.min_closed_deals,
        seed=settings.seed,
    )
    shock = estimate_shock(draft, history, records, until_us, refit)
    fitted = replace(draft, shock=shock, grades=_grades(draft, history, landmarks, until_us))
    say("done", 1.0)
    return fitted


def _level(
    chosen: Outcome,
    landmarks: Landmarks,
    features: FeatureMatrix,
    seasons: tuple[Season, Season],
    until_us: int,
) -> Level:
    """What the newest quarters add to the log hazards."""
    model, some = chosen.model, Rows(landmarks, features).sample(_LEVEL_ROWS, 0)
    landmarks, features = some.landmarks, some.features
    if not (landmarks.cause > 0).any():
        return Level.none("nothing has closed yet")
    pace = chosen.clock.log_pace(features, model.bins)
    survival = Survival.of(landmarks, model.bins, seasons).paced(pace)
    log_hazard = model.coefficients(features) @ model.basis + model.baseline
    came, expected = quarterly_residuals(
        survival, log_hazard, landmarks.at_us, landmarks.duration_days, model.bins, until_us
    )
    return fit_level(came, expected, looks_per_closing(landmarks))


def seasons_of(history: History, until_us: int, first_month: int) -> tuple[Season, Season]:
    """Daily numbers of deals open, won and lost, and the profiles they show.

    first_month : 1 to 12, in which fiscal years, and with them quarters, begin
    """
    deal, at_us, stage = history.stage_entries
    kind = history.stages.kind[stage]
    known = at_us < until_us
    deal, at_us, kind = deal[known], at_us[known], kind[known]
    if not len(at_us):
        return Season.flat(), Season.flat()
    before = np.where(np.concatenate(([True], deal[1:] != deal[:-1])), -1, np.concatenate(([-1], kind[:-1])))
    day = at_us // DAY_US
    first, last = int(day.min()), int((until_us - 1) // DAY_US)  # the as-of day itself has not begun
    days = np.arange(first, last + 1)
    opened = np.bincount(day[(kind == OPEN) & (before != OPEN)] - first, minlength=len(days))
    closed = np.bincount(day[(kind != OPEN) & (before == OPEN)] - first, minlength=len(days))
    at_risk = np.cumsum(opened) - np.cumsum(closed) + closed  # a deal is at risk on the day it closes, too
    profiles = []
    for cause in (WON, LOST):
        ended = np.bincount(day[(kind == cause) & (before == OPEN)] - first, minlength=len(days))
        profiles.append(fit_season(days, at_risk.astype(np.float64), ended.astype(np.float64), first_month))
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
