"""The ladder: from the simplest model of outcomes to the richest that later windows bear out.

    Aalen-Johansen cells  ->  linear hazards (+ the deal's own clock)  ->  boosted hazards

Each window learns from what was recorded before it and is scored on the landmarks inside it, so every choice
(strength of shrinkage, clock, number of trees, rung) is made by the question that is asked in use, and by
several windows together: one alone may be a lucky or an unlucky quarter. A step up must gain more than one
standard error by deal; ties go to the simpler.

A rung of one's own joins above them by the same rule (`OwnRung`, docs/own-model.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features import KIND_FEATURES, FeatureMatrix
from forecast.history import LOST, WON, Landmarks
from forecast.history.stages import StageMap
from forecast.models.bins import Bins
from forecast.models.boosted import SHARES, can_boost, fit_boosted, grow
from forecast.models.cells import StageCells, fit_cells
from forecast.models.clock import CLOCKS, DealClock
from forecast.models.fitted import Rung
from forecast.models.hazard import CAUSES, OutcomeModel, Survival, baseline_of
from forecast.models.linear import LinearHazard
from forecast.models.recipe import Recipe
from forecast.models.rows import Rows, looks_per_closing
from forecast.models.season import Season
from forecast.models.season_fit import season_given_deals
from forecast.models.settings import FitSettings
from forecast.models.windows import Base, Window, lay_windows, paced_survival

__all__ = ["Outcome", "OwnRung", "Tell", "fit_outcome"]

Tell = Callable[[str, float], None]
# Rounds of trees for won and for lost, and their share in the mean with the linear stage.
Trees = tuple[tuple[int, int], float]

_SURE_ERRORS: Final = 2.0  # standard errors by which cells must beat linear
_FINAL_LINEAR_ROWS: Final = 200_000
_SEASON_ROWS: Final = 40_000
_SEASON_PASSES: Final = 2
_SEASON_RIDGE: Final = 31.0  # of the hazards beside which the season is found, before one has been chosen
_CLOCK_ROWS: Final = 100_000  # from which the final clock is learnt


class OwnRung(Protocol):
    """An estimator of somebody's own, to be compared with the rungs of the ladder and used if it is better.

    name : as the ladder, the bundle and reports show it
    """

    name: str

    def fit(self, rows: Rows, survival: Survival, bins: Bins) -> OutcomeModel:
        """Learn from n landmarks.

        rows : landmarks and their features
        survival : the same rows on the time axis, season and the deals' clock already in their exposure
        bins : the time axis the model must use
        """
        ...


@dataclass(frozen=True)
class Outcome:
    """What the ladder chose.

    model : the outcome model
    seasons, clock : what belongs to it: the season given the deals, and the deals' own clock
    ladder : the rungs as they were judged, simplest first
    recipe : what was chosen, to fit the same kind of model again
    """

    model: OutcomeModel
    seasons: tuple[Season, Season]
    clock: DealClock
    ladder: tuple[Rung, ...]
    recipe: Recipe


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
    own: tuple[OwnRung, ...] = (),
    recipe: Recipe | None = None,
    tell: Tell | None = None,
) -> Outcome:
    """Climb the ladder and fit what it chose to all landmarks.

    own : more rungs to compare, in this order
    recipe : what an earlier climb chose; nothing is compared then, only fitted
    landmarks, features : n rows, cut off at `until_us`
    use : names of the features the field policy lets in
    causes : outcomes that must have been seen before anything but cells is tried
    """
    say: Tell = tell or (lambda _text, _share: None)
    rows = Rows(landmarks, features)
    if rows.closed_deals < settings.min_closed_deals or not rows.has_seen(causes):
        reason = (
            f"{rows.closed_deals:.0f} closed deals on the landmark grid; "
            f"the linear rung needs {settings.min_closed_deals}, {' and '.join(CAUSES[c - 1] for c in causes)}"
        )
        cells = _cells(rows, seasons, stages)
        refused = (Rung("aalen-johansen", None, True, reason), Rung("linear", None, False, reason))
        return Outcome(cells, seasons, DealClock.flat(), refused, _cells_only(settings))

    guess, every = seasons, use
    if recipe is not None and not recipe.kinds:
        use = _without_kinds(use)
    if settings.use_season:
        seasons = _given_deals(rows, use, guess, settings)
    if recipe is None:
        say("comparing models on later windows", 0.15)
        windows, use, why = _choose_kinds(rows, use, seasons, until_us, settings, causes)
        if use != every and settings.use_season:
            # What stays out must not have had a word in the season either: a refit will not have it.
            seasons = _given_deals(rows, use, guess, settings)
            windows = lay_windows(rows, use, seasons, until_us, settings, causes)
        recipe, ladder = _choose(windows, use, stages, seasons, settings, own, why, say)
    else:
        ladder = (Rung(recipe.rung, None, True, "chosen by an earlier fit; nothing was compared"),)
    if recipe.rung == StageCells.name:
        return Outcome(_cells(rows, seasons, stages), seasons, DealClock.flat(), ladder, recipe)
    say(f"fitting the {recipe.rung} model", 0.6)
    # Beyond so many rows the linear stage gains nothing; trees do.
    base = Base.of(rows.sample(_FINAL_LINEAR_ROWS, settings.seed), use, seasons)
    clock = Base.of(rows.sample(_CLOCK_ROWS, settings.seed), use, seasons).clock(recipe.clock, recipe.ridge)
    for rung in own:
        if rung.name == recipe.rung:
            own_model = rung.fit(rows, paced_survival(rows, seasons, clock, base.bins), base.bins)
            return Outcome(own_model, seasons, clock, ladder, recipe)
    linear = base.linear(recipe.ridge, clock)
    if recipe.rung == LinearHazard.name:
        return Outcome(linear, seasons, clock, ladder, recipe)
    say("growing trees", 0.7)
    del base  # its encoded rows would lie beside all that trees need
    paced = paced_survival(rows, seasons, clock, linear.bins)
    boosted = fit_boosted(
        linear, features, paced, rounds=recipe.rounds, share=recipe.share, seed=settings.seed
    )
    return Outcome(boosted, seasons, clock, ladder, recipe)


def _given_deals(
    rows: Rows, use: tuple[str, ...], seasons: tuple[Season, Season], settings: FitSettings
) -> tuple[Season, Season]:
    """Season and linear hazards in turn, from a first guess of the season."""
    some = rows.sample(_SEASON_ROWS, settings.seed)
    base = Base.of(some, use, seasons)
    for _ in range(_SEASON_PASSES):
        survival = Survival.of(some.landmarks, base.bins, seasons)
        model = base.fits.fit(survival, _SEASON_RIDGE)
        log_hazard = model.from_design(base.fits.design) @ model.basis + model.baseline
        seasons = season_given_deals(
            some.landmarks,
            survival,
            log_hazard,
            base.bins,
            settings.fiscal_year_starts,
            looks=looks_per_closing(some.landmarks),
        )
    return seasons


def _cells(rows: Rows, seasons: tuple[Season, Season], stages: StageMap) -> StageCells:
    bins = Bins.for_follow_up(float(rows.landmarks.duration_days.max(initial=7.0)))
    deals = float(len(np.unique(rows.landmarks.deal)))
    survival = Survival.of(rows.landmarks, bins, seasons)
    return fit_cells(rows.stage_codes, survival, bins, stages, deals=deals)


def _cells_only(settings: FitSettings) -> Recipe:
    return Recipe(StageCells.name, max(settings.ridge_grid), "", (0, 0), 0.0)


def _choose(
    windows: list[Window],
    use: tuple[str, ...],
    stages: StageMap,
    seasons: tuple[Season, Season],
    settings: FitSettings,
    own: tuple[OwnRung, ...],
    kinds_reason: str,
    say: Tell,
) -> tuple[Recipe, tuple[Rung, ...]]:
    """Ridge, clock, number of trees and rung, by all windows together; and the rungs as they were judged."""
    if not windows:
        reason = "no window with enough closed deals before it: nothing can be compared"
        ladder = (Rung("aalen-johansen", None, True, reason), Rung("linear", None, False, reason))
        return _cells_only(settings), ladder
    cells = [w.score(_on_bins(_cells(w.base.rows, seasons, stages), w.late.features)) for w in windows]
    flat = [DealClock.flat()] * len(windows)
    linear: dict[float, list[Floats]] = {}
    grid = sorted(settings.ridge_grid)
    for number, strength in enumerate(grid, start=1):
        linear[strength] = _linear_scores(windows, flat, strength)
        say("comparing models on later windows", 0.15 + 0.15 * number / len(grid))
        if number > 1 and _total(linear[strength]) < _total(linear[grid[number - 2]]):
            break  # scores rise to one best strength and fall from there on
    # All windows choose together; equal scores go to the stronger shrinkage.
    ridge = max(linear, key=lambda strength: (_total(linear[strength]), strength))
    clock, clock_scores, clock_reason = _choose_clock(windows, use, ridge, linear[ridge], settings)
    say("comparing models on later windows", 0.4)
    rises, why = _clear_gain(windows, cells, clock_scores)
    # A few short windows of a small company prove little either way; so cells must show that they are better.
    rises = rises or not _clear_gain(windows, clock_scores, cells, errors=_SURE_ERRORS)[0]
    reason = "; ".join(filter(None, (f"linear gains {why} over cells", clock_reason, kinds_reason)))
    rungs = [
        Rung("aalen-johansen", _mean(cells), not rises, reason, _by_window(cells)),
        Rung("linear", _mean(clock_scores), rises, reason, _by_window(clock_scores)),
    ]
    best = clock_scores if rises else cells
    (rounds, share), boosted, why = _choose_trees(windows, ridge, clock, clock_scores, settings, say)
    if why:
        rungs.append(Rung("boosted", None, False, why))
    else:
        # The mean of two opinions is less a matter of luck than either, so it need not earn a margin.
        rises, gain = _clear_gain(windows, best, boosted, errors=0.0)
        below = next(rung.name for rung in rungs if rung.chosen)
        reason = f"{rounds[0]} rounds of trees with a share of {share:g} gain {gain} over {below}"
        if rises and max(rounds) > 0:
            best = boosted
            rungs = [replace(rung, chosen=False) for rung in rungs]
        rungs.append(Rung("boosted", _mean(boosted), best is boosted, reason, _by_window(boosted)))
    for rung in own:
        scores = [_own_score(window, rung, clock, ridge) for window in windows]
        rises, gain = _clear_gain(windows, best, scores)
        if rises:
            best = scores
            rungs = [replace(one, chosen=False) for one in rungs]
        reason = f"gains {gain} over the best rung below"
        rungs.append(Rung(rung.name, _mean(scores), rises, reason, _by_window(scores)))
    chosen = next(rung.name for rung in rungs if rung.chosen)
    kinds = chosen != StageCells.name and KIND_FEATURES[0] in windows[0].base.encoder.groups
    return Recipe(chosen, ridge, clock, rounds, share, kinds), tuple(rungs)


def _choose_kinds(
    rows: Rows,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    until_us: int,
    settings: FitSettings,
    causes: tuple[int, ...],
) -> tuple[list[Window], tuple[str, ...], str]:
    """Windows with or without likeness to hidden kinds, the features that leaves, and why."""
    plain = lay_windows(rows, _without_kinds(use), seasons, until_us, settings, causes)
    if not plain or np.isnan(rows.features[KIND_FEATURES[0]]).all():
        return plain, use, ""
    windows = lay_windows(rows, use, seasons, until_us, settings, causes)
    flat = [DealClock.flat()] * len(windows)
    grid = sorted(settings.ridge_grid)
    before, after = (_linear_scores(some, flat, grid[len(grid) // 2]) for some in (plain, windows))
    # What they tell is drawn to nothing where they tell nothing, so they need not earn a margin.
    gains, gain = _clear_gain(windows, before, after, errors=0.0)
    if gains:
        return windows, use, f"likeness to hidden kinds gains {gain}"
    return plain, _without_kinds(use), f"likeness to hidden kinds would gain only {gain}"


def _without_kinds(use: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in use if name not in KIND_FEATURES)


def _own_score(window: Window, rung: OwnRung, clock: str, ridge: float) -> Floats:
    base = window.base
    own = base.clock(clock, ridge)
    model = rung.fit(base.rows, base.survival.paced(own.log_pace(base.rows.features, base.bins)), base.bins)
    return window.score(_on_bins(model, window.late.features) + window.pace(own))


def _choose_clock(
    windows: list[Window],
    use: tuple[str, ...],
    ridge: float,
    without: list[Floats],
    settings: FitSettings,
) -> tuple[str, list[Floats], str]:
    """Feature the clock counts ("" for none), scores of the linear rung with it, and why."""
    if not settings.use_clock:
        return "", without, "no clock by the settings"
    best, scores, why = "", without, "no clock of its own helps"
    for feature, group in CLOCKS.items():
        # What the field policy keeps out of the model must not come in by its clock.
        if feature not in use or group not in use:
            continue
        clocks = [window.base.clock(feature, ridge) for window in windows]
        found = _linear_scores(windows, clocks, ridge)
        # A band in which it shows nothing is drawn to one, so a clock need not earn a margin: what few deals
        # have, like renewals that are signed when a contract ends, hardly shows in the mean of all.
        gains, gain = _clear_gain(windows, without, found, errors=0.0)
        if gains and _total(found) > _total(scores):
            best, scores, why = feature, found, f"a clock by {feature} gains {gain}"
    return best, scores, why


def _linear_scores(windows: list[Window], clocks: list[DealClock], ridge: float) -> list[Floats]:
    """Scores of the linear rung in each window, with the clock that window learnt."""
    found = []
    for window, clock in zip(windows, clocks, strict=True):
        model = window.base.linear(ridge, clock)
        found.append(window.score(_on_bins(model, window.late.features) + window.pace(clock)))
    return found


def _choose_trees(
    windows: list[Window],
    ridge: float,
    clock: str,
    linear: list[Floats],
    settings: FitSettings,
    say: Tell,
) -> tuple[Trees, list[Floats], str]:
    """The trees that deals of all windows like best, their scores, and why none were grown."""
    if min(window.closed_deals for window in windows) < settings.min_boosted_deals:
        return (
            ((0, 0), 0.0),
            linear,
            f"trees need {settings.min_boosted_deals} closed deals before every window",
        )
    if not can_boost():
        return ((0, 0), 0.0), linear, "LightGBM is not installed (extra train)"
    grid = sorted(settings.rounds_grid)
    ways: list[Trees] = [((0, 0), 0.0), *(((rounds, rounds), share) for rounds in grid for share in SHARES)]
    by_window: list[list[Floats]] = []
    for number, window in enumerate(windows, start=1):
        base, (early, late) = window.base, (window.early, window.late)
        own = base.clock(clock, ridge)
        model = base.linear(ridge, own)
        paced, pace = paced_survival(early, base.seasons, own, model.bins), window.pace(own)
        grown = grow(model, early.features, paced, rounds=(grid[-1], grid[-1]), seed=settings.seed)
        means = [grown.mean(share) for share in SHARES]
        known = [(_on_bins(mean, early.features), _on_bins(mean, late.features) + pace) for mean in means]
        said_early, said_late = (
            np.zeros((len(some.landmarks), 2, len(model.basis))) for some in (early, late)
        )
        scores = [linear[number - 1]]
        for start, until in pairwise([0, *grid]):
            said_early = said_early + grown.trees(early.features, start, until - start)
            said_late = said_late + grown.trees(late.features, start, until - start)
            for share, (at_first, later) in zip(SHARES, known, strict=True):
                put_right = baseline_of(paced, at_first + share * said_early @ model.basis)
                scores.append(window.score(later + share * said_late @ model.basis + put_right))
        by_window.append(scores)
        say("comparing models on later windows", 0.4 + 0.2 * number / len(windows))
    # One way for both causes: where each chose by itself, noise decided now and then.
    by_way = [list(scores) for scores in zip(*by_window, strict=True)]

    def best_of(shares: tuple[float, ...]) -> int:
        some = [way for way, (_, share) in enumerate(ways) if share in shares]
        return max(some, key=lambda way: (_mean_per_deal(windows, by_way[way]), -way))

    half, alone = best_of((0.0, SHARES[0])), best_of(SHARES[1:])
    # A mean is the safer choice: trees alone have to be clearly better.
    best = alone if _clear_gain(windows, by_way[half], by_way[alone])[0] else half
    return ways[best], by_way[best], ""


def _on_bins(model: OutcomeModel, features: FeatureMatrix) -> Floats:
    log_hazard: Floats = model.coefficients(features) @ model.basis + model.baseline
    return log_hazard


def _clear_gain(
    windows: list[Window],
    before: list[Floats],
    after: list[Floats],
    *,
    errors: float = 1.0,
) -> tuple[bool, str]:
    """Whether scores rose by more than so many standard errors, and by how much, per deal and window."""
    gains = np.concatenate(
        [_per_deal(a - b, w.late.landmarks.deal) for w, b, a in zip(windows, before, after, strict=True)]
    )
    mean = float(np.mean(gains)) if len(gains) else 0.0
    error = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    return mean > errors * error, f"{mean:+.4f} (standard error {error:.4f}) in log score per deal"


def _mean_per_deal(windows: list[Window], scores: list[Floats]) -> float:
    told = [_per_deal(s, w.late.landmarks.deal) for w, s in zip(windows, scores, strict=True)]
    return float(np.mean(np.concatenate(told)))


def _per_deal(values: Floats, deal: Ints) -> Floats:
    """Mean per deal: landmarks of one deal share their fate and are no independent evidence."""
    place = np.unique(deal, return_inverse=True)[1]
    return np.bincount(place, values) / np.bincount(place)


def _total(scores: list[Floats]) -> float:
    return sum(float(score.sum()) for score in scores)


def _mean(scores: list[Floats]) -> float:
    return float(np.concatenate(scores).mean())


def _by_window(scores: list[Floats]) -> tuple[float, ...]:
    """Mean of each window; one without a landmark has none."""
    return tuple(float(score.mean()) for score in scores if len(score))
