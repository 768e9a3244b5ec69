"""The ladder: from the simplest model of outcomes to the richest that later windows bear out.

    Aalen-Johansen cells  ->  linear hazards (+ the deal's own clock)  ->  boosted hazards

Each window learns from what was recorded before it and is scored on the landmarks inside it, so every choice
(strength of shrinkage, clock, number of trees, rung) is made by the question that is asked in use, and by
several windows together: one alone may be a lucky or an unlucky quarter. A step up must gain more than one
standard error by deal; ties go to the simpler.

A rung of one's own joins above them by the same rule (`OwnRung`, docs/own-model.md).

Example: data until 1 July, three windows of 90 days: they begin on 3 October, 1 January and 2 April. A landmark
of 10 January, won on 20 March, is scored in the window of 1 January by models that saw neither.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Final, Protocol

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features import LIKENESSES, FeatureMatrix
from forecast.history import LOST, WON, Landmarks
from forecast.history.stages import StageMap
from forecast.models.bins import Bins, exposures
from forecast.models.boosted import Boosting, can_boost, fit_boosted, grow
from forecast.models.cells import StageCells, fit_cells
from forecast.models.clock import CLOCKS, DealClock, fit_clock
from forecast.models.encoder import Encoder, fit_encoder
from forecast.models.fitted import Rung
from forecast.models.hazard import CAUSES, OutcomeModel, Survival, outcome_log_score
from forecast.models.linear import LinearFits, LinearHazard, choose_knots
from forecast.models.origins import censored_at
from forecast.models.recipe import Recipe
from forecast.models.season import Season
from forecast.models.season_fit import season_given_deals
from forecast.models.settings import FitSettings
from forecast.periods import DAY_US

__all__ = ["Outcome", "OwnRung", "Rows", "compared_from_us", "fit_outcome", "looks_per_closing"]

Tell = Callable[[str, float], None]

_FEW_ROWS: Final = 3_000  # with fewer landmarks the linear rung does not bend
_SURE_ERRORS: Final = 2.0  # standard errors by which cells must beat linear, and likeness to kinds must help
_LINEAR_ROWS: Final = (
    12_000  # of a window: enough to tell one strength of shrinkage, or one clock, from another
)
_FINAL_LINEAR_ROWS: Final = 200_000
_SEASON_ROWS: Final = 40_000
_SEASON_PASSES: Final = 2
_SEASON_RIDGE: Final = 31.0  # of the hazards beside which the season is found, before one has been chosen
_CLOCK_ROWS: Final = 40_000  # from which the final clock is learnt
_LATE_ROWS: Final = 80_000  # of a window: to be scored on
_BOOSTED_ROWS: Final = 35_000  # of a window: trees want more


@dataclass(frozen=True)
class Rows:
    """Landmarks with their features, sliced together."""

    landmarks: Landmarks
    features: FeatureMatrix

    def __len__(self) -> int:
        return len(self.landmarks)

    def take(self, rows: Ints) -> Rows:
        """Some of the rows, by position."""
        return Rows(self.landmarks.take(rows), self.features.take(rows))

    def sample(self, most: int, seed: int) -> Rows:
        """At most so many of the rows, drawn at random."""
        if len(self) <= most:
            return self
        drawn = np.random.default_rng(seed).choice(len(self), size=most, replace=False)
        return self.take(np.sort(drawn))

    def between(self, start_us: int, end_us: int) -> Rows:
        """Those laid in [start, end)."""
        at_us = self.landmarks.at_us
        return self.take(np.flatnonzero((at_us >= start_us) & (at_us < end_us)))

    def seen_at(self, split_us: int) -> Rows:
        """What the landmarks before `split_us` looked like to somebody standing there."""
        early = np.flatnonzero(self.landmarks.at_us < split_us)
        return Rows(censored_at(self.landmarks, split_us), self.features.take(early))

    @cached_property
    def stage_codes(self) -> Ints:
        """(n,) stage of each landmark."""
        return self.features["stage"].astype(np.int64)

    @cached_property
    def closed_deals(self) -> float:
        """Number of different deals that closed."""
        return float(len(np.unique(self.landmarks.deal[self.landmarks.cause > 0])))

    def has_seen(self, causes: tuple[int, ...]) -> bool:
        """Whether each of these outcomes came at least once."""
        return all(bool((self.landmarks.cause == cause).any()) for cause in causes)


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


def looks_per_closing(landmarks: Landmarks) -> float:
    """Weight of the landmarks that tell of one and the same closing: it counts once, not so often."""
    closed = landmarks.cause > 0
    deals = len(np.unique(landmarks.deal[closed]))
    return max(float(landmarks.weight[closed].sum()) / max(deals, 1), 1.0)


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


@dataclass(frozen=True)
class _Base:
    """A set of training rows on the time axis, encoded."""

    rows: Rows
    seasons: tuple[Season, Season]
    bins: Bins
    survival: Survival
    encoder: Encoder
    fits: LinearFits
    fitted: dict[tuple[float, str, bytes], LinearHazard] = field(default_factory=dict)
    clocks: dict[str, DealClock] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, use: tuple[str, ...], seasons: tuple[Season, Season]) -> _Base:
        marks = rows.landmarks
        bins = Bins.for_follow_up(float(marks.duration_days.max(initial=7.0)))
        encoder = fit_encoder(rows.features, use, spline=len(rows) >= _FEW_ROWS)
        knots_days = choose_knots(marks.duration_days[marks.cause > 0], bins)
        fits = LinearFits(encoder.encode(rows.features), bins, encoder, knots_days)
        return cls(rows, seasons, bins, Survival.of(marks, bins, seasons), encoder, fits)

    def linear(self, ridge: float, clock: DealClock) -> LinearHazard:
        """Fitted once for each ridge and clock: choices come back to the same ones."""
        key = ridge, clock.feature, clock.pace.tobytes()
        if key not in self.fitted:
            paced = self.survival.paced(clock.log_pace(self.rows.features, self.bins))
            self.fitted[key] = self.fits.fit(paced, ridge)
        return self.fitted[key]

    def clock(self, feature: str, ridge: float) -> DealClock:
        """Fitted once for each feature, too."""
        if not feature:
            return DealClock.flat()

        def log_hazard(clock: DealClock) -> Floats:
            model = self.linear(ridge, clock)
            found: Floats = model.from_design(self.fits.design) @ model.basis + model.baseline
            return found

        if feature not in self.clocks:
            marks = self.rows.landmarks
            self.clocks[feature] = fit_clock(
                feature,
                self.rows.features,
                self.survival,
                marks.duration_days,
                self.bins,
                log_hazard,
                looks=looks_per_closing(marks),
            )
        return self.clocks[feature]


@dataclass(frozen=True)
class _Window:
    """One comparison: early rows to learn from, late ones to be scored on.

    early : those that trees may learn from; base : those the linear stage learns from
    closed_deals : among all that were known
    exposure : (2, m, J) season days of each late row until the window's end, whatever happens
    """

    early: Rows
    late: Rows
    closed_deals: float
    base: _Base
    exposure: Floats

    @classmethod
    def of(
        cls,
        rows: Rows,
        use: tuple[str, ...],
        seasons: tuple[Season, Season],
        split_us: int,
        end_us: int,
        seed: int,
    ) -> _Window:
        early = rows.seen_at(split_us)
        later = rows.between(split_us, end_us).sample(_LATE_ROWS, seed).seen_at(end_us)
        base = _Base.of(early.sample(_LINEAR_ROWS, seed), use, seasons)
        follow_up_days = (end_us - later.landmarks.at_us) / DAY_US
        exposed = [exposures(base.bins, s, later.landmarks.at_us, follow_up_days) for s in seasons]
        grown = early.sample(_BOOSTED_ROWS, seed + 1)
        return cls(grown, later, early.closed_deals, base, np.stack(exposed))

    def score(self, log_hazard: Floats) -> Floats:
        """(m,) log probability given to what became of each late row, from (m, 2, J) log hazards."""
        return outcome_log_score(log_hazard, self.exposure, self.late.landmarks.cause)

    def pace(self, clock: DealClock) -> Floats:
        return clock.log_pace(self.late.features, self.base.bins)


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
            windows = _windows(rows, use, seasons, until_us, settings, causes)
        recipe, ladder = _choose(windows, use, stages, seasons, settings, own, why, say)
    else:
        ladder = (Rung(recipe.rung, None, True, "chosen by an earlier fit; nothing was compared"),)
    if recipe.rung == StageCells.name:
        return Outcome(_cells(rows, seasons, stages), seasons, DealClock.flat(), ladder, recipe)
    say(f"fitting the {recipe.rung} model", 0.6)
    # Beyond so many rows the linear stage gains nothing; trees do.
    base = _Base.of(rows.sample(_FINAL_LINEAR_ROWS, settings.seed), use, seasons)
    clock = _Base.of(rows.sample(_CLOCK_ROWS, settings.seed), use, seasons).clock(recipe.clock, recipe.ridge)
    for rung in own:
        if rung.name == recipe.rung:
            own_model = rung.fit(rows, _paced(rows, seasons, clock, base.bins), base.bins)
            return Outcome(own_model, seasons, clock, ladder, recipe)
    linear = base.linear(recipe.ridge, clock)
    if recipe.rung == LinearHazard.name:
        return Outcome(linear, seasons, clock, ladder, recipe)
    say("growing trees", 0.7)
    del base  # its encoded rows would lie beside all that trees need
    paced = _paced(rows, seasons, clock, linear.bins)
    boosted = fit_boosted(linear, features, paced, rounds=recipe.rounds, seed=settings.seed)
    return Outcome(boosted, seasons, clock, ladder, recipe)


def _paced(rows: Rows, seasons: tuple[Season, Season], clock: DealClock, bins: Bins) -> Survival:
    """Rows on the time axis, with season and the deals' own clocks."""
    return Survival.of(rows.landmarks, bins, seasons).paced(clock.log_pace(rows.features, bins))


def _given_deals(
    rows: Rows, use: tuple[str, ...], seasons: tuple[Season, Season], settings: FitSettings
) -> tuple[Season, Season]:
    """Season and linear hazards in turn, from a first guess of the season."""
    some = rows.sample(_SEASON_ROWS, settings.seed)
    base = _Base.of(some, use, seasons)
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


def _windows(
    rows: Rows,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    until_us: int,
    settings: FitSettings,
    causes: tuple[int, ...],
) -> list[_Window]:
    """The newest window first; fewer than asked for where the data before a window are too few."""
    step_us = _window_us(rows.landmarks, until_us, settings)
    found = []
    for number in range(1, settings.windows + 1):
        split_us = until_us - number * step_us
        early = rows.seen_at(split_us)
        # Half as many as for the final fit will do: a window compares, it does not serve.
        if 2 * early.closed_deals < settings.min_closed_deals or not early.has_seen(causes):
            break
        window = _Window.of(rows, use, seasons, split_us, split_us + step_us, settings.seed)
        if len(window.late):  # a window shorter than the step from look to look may hold none
            found.append(window)
    return found


def _window_us(landmarks: Landmarks, until_us: int, settings: FitSettings) -> int:
    """How long a window is: shorter than asked for where the data are."""
    span_us = until_us - int(landmarks.at_us.min(initial=until_us))
    return min(round(settings.window_days * DAY_US), span_us // (2 * settings.windows + 1))


def compared_from_us(landmarks: Landmarks, until_us: int, settings: FitSettings) -> int:
    """When the oldest window begins in which models are compared: what is learnt before knows none of them."""
    return until_us - settings.windows * _window_us(landmarks, until_us, settings)


def _cells_only(settings: FitSettings) -> Recipe:
    return Recipe(StageCells.name, max(settings.ridge_grid), "", (0, 0))


def _choose(
    windows: list[_Window],
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
    rounds, boosted, why = _choose_rounds(windows, ridge, clock, clock_scores, settings, say)
    if why:
        rungs.append(Rung("boosted", None, False, why))
    else:
        rises, gain = _clear_gain(windows, best, boosted)
        below = next(rung.name for rung in rungs if rung.chosen)
        reason = f"{rounds[0]} rounds of trees for won and {rounds[1]} for lost gain {gain} over {below}"
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
    kinds = chosen != StageCells.name and LIKENESSES[0] in windows[0].base.encoder.groups
    return Recipe(chosen, ridge, clock, rounds, kinds), tuple(rungs)


def _choose_kinds(
    rows: Rows,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    until_us: int,
    settings: FitSettings,
    causes: tuple[int, ...],
) -> tuple[list[_Window], tuple[str, ...], str]:
    """Windows with or without likeness to hidden kinds, the features that leaves, and why."""
    plain = _windows(rows, _without_kinds(use), seasons, until_us, settings, causes)
    if not plain or np.isnan(rows.features[LIKENESSES[0]]).all():
        return plain, use, ""
    windows = _windows(rows, use, seasons, until_us, settings, causes)
    flat = [DealClock.flat()] * len(windows)
    grid = sorted(settings.ridge_grid)
    before, after = (_linear_scores(some, flat, grid[len(grid) // 2]) for some in (plain, windows))
    # They cost more than other features, at every answer and to whoever reads why: they have to earn it.
    gains, gain = _clear_gain(windows, before, after, errors=_SURE_ERRORS)
    if gains:
        return windows, use, f"likeness to hidden kinds gains {gain}"
    return plain, _without_kinds(use), f"likeness to hidden kinds would gain only {gain}"


def _without_kinds(use: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in use if name not in LIKENESSES)


def _own_score(window: _Window, rung: OwnRung, clock: str, ridge: float) -> Floats:
    base = window.base
    own = base.clock(clock, ridge)
    model = rung.fit(base.rows, base.survival.paced(own.log_pace(base.rows.features, base.bins)), base.bins)
    return window.score(_on_bins(model, window.late.features) + window.pace(own))


def _choose_clock(
    windows: list[_Window],
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
        gains, gain = _clear_gain(windows, without, found)
        if gains and _total(found) > _total(scores):
            best, scores, why = feature, found, f"a clock by {feature} gains {gain}"
    return best, scores, why


def _linear_scores(windows: list[_Window], clocks: list[DealClock], ridge: float) -> list[Floats]:
    """Scores of the linear rung in each window, with the clock that window learnt."""
    found = []
    for window, clock in zip(windows, clocks, strict=True):
        model = window.base.linear(ridge, clock)
        found.append(window.score(_on_bins(model, window.late.features) + window.pace(clock)))
    return found


def _choose_rounds(
    windows: list[_Window],
    ridge: float,
    clock: str,
    linear: list[Floats],
    settings: FitSettings,
    say: Tell,
) -> tuple[tuple[int, int], list[Floats], str]:
    """Rounds of trees for won and lost that all windows like best, their scores, and why none were grown."""
    if min(window.closed_deals for window in windows) < settings.min_boosted_deals:
        return (0, 0), linear, f"trees need {settings.min_boosted_deals} closed deals before every window"
    if not can_boost():
        return (0, 0), linear, "LightGBM is not installed (extra train)"
    grid = [0, *sorted(settings.rounds_grid)]
    staged: list[list[Floats]] = []
    for number, window in enumerate(windows, start=1):
        base = window.base
        own = base.clock(clock, ridge)
        model = base.linear(ridge, own)
        grown = _grow(window, model, own, grid[-1], settings)
        log_hazard = _on_bins(model, window.late.features) + window.pace(own)
        stages = [log_hazard]
        for start, until in pairwise(grid):
            log_hazard = (
                log_hazard + grown.coefficients(window.late.features, start, until - start) @ model.basis
            )
            stages.append(log_hazard)
        staged.append(stages)
        say("comparing models on later windows", 0.4 + 0.2 * number / len(windows))

    def scores(won: int, lost: int) -> list[Floats]:
        """With the trees of the won-th and lost-th step of the grid."""
        return [
            window.score(np.stack((stages[won][:, 0], stages[lost][:, 1]), axis=1))
            for window, stages in zip(windows, staged, strict=True)
        ]

    # Each cause has trees of its own, and may need more or fewer: first together, then one after the other.
    steps = range(len(grid))
    both = max(steps, key=lambda step: (_total(scores(step, step)), -step))
    won = max(steps, key=lambda step: (_total(scores(step, both)), -step))
    lost = max(steps, key=lambda step: (_total(scores(won, step)), -step))
    return (grid[won], grid[lost]), scores(won, lost), ""


def _grow(
    window: _Window, model: LinearHazard, clock: DealClock, rounds: int, settings: FitSettings
) -> Boosting:
    """Trees on more of the early rows than the linear stage was compared on."""
    rows = window.early
    paced = _paced(rows, window.base.seasons, clock, model.bins)
    return grow(model, rows.features, paced, rounds=(rounds, rounds), seed=settings.seed)


def _on_bins(model: OutcomeModel, features: FeatureMatrix) -> Floats:
    log_hazard: Floats = model.coefficients(features) @ model.basis + model.baseline
    return log_hazard


def _clear_gain(
    windows: list[_Window], before: list[Floats], after: list[Floats], *, errors: float = 1.0
) -> tuple[bool, str]:
    """Whether scores rose by more than so many standard errors, and by how much, per deal and window."""
    gains = np.concatenate(
        [_per_deal(a - b, w.late.landmarks.deal) for w, b, a in zip(windows, before, after, strict=True)]
    )
    mean = float(np.mean(gains)) if len(gains) else 0.0
    error = float(np.std(gains, ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
    return mean > errors * error, f"{mean:+.4f} (standard error {error:.4f}) in log score per deal"


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
