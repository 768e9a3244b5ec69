"""Does what the bundle says still come true? Outcomes since training, week by week, nothing waited for.

    wins, losses   closings of open deals against those expected for the week
    spread         whether deals given more do win more, as much more as was said (the slope of calibration)
    created        new deals against those expected
    pace           moves to a later stage against those usual for deals of each stage
    signed         amounts signed against those expected of the deals that were won
    size           first amounts of new deals against those of the year before training

Each is a question with one e-process (see `evidence`). Wins and losses are also asked by segment: who of those
at risk it was, given how many, so that a bad quarter for all is no news about a team.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import chdtrc

from forecast.arrays import Bools, Floats, Ints, Texts
from forecast.evaluation.drift.evidence import (
    Evidence,
    dispersion,
    level_evidence,
    mean_evidence,
    tilt_evidence,
)
from forecast.evaluation.drift.looks import WEEK_US, Looks
from forecast.evaluation.drift.settings import MonitorSettings
from forecast.evaluation.metrics import calibration, reliability
from forecast.history import LOST, OPEN, WON, History
from forecast.models import FittedModels
from forecast.models.amount import segment_names
from forecast.periods import DAY_US

__all__ = ["QUESTIONS", "Calibrated", "Outcomes", "Question", "Seasonal", "Segment", "judge_outcomes"]

QUESTIONS: Final = ("wins", "losses", "spread", "created", "pace", "signed", "size")
_PACE_SD: Final = 0.1  # of quarters, for the pace of stages: nothing in a bundle tells it
_PACE_DF: Final = 6.0
_MONTH_PRIOR: Final = 20.0  # moves that a month's own pace is diluted with
_SPREAD_TOLERANCE: Final = 0.1  # change of log odds of a deal one standard deviation better than others
_SPREAD_SHIFT: Final = 0.25
_SEGMENT_TOLERANCE: Final = 0.15  # log scale by which segments may always have been off
_LEAST_SD: Final = 0.05  # of signed amounts: where all are signed as they stand, one cent would be a miracle
_SIZE_TOLERANCE: Final = 0.08  # log scale by which first amounts of a half-year wander
_LEAST_DEALS: Final = 20
_YEAR_WEEKS: Final = 52
_PHASES_DAYS: Final = (35, 70)  # the first five weeks of a quarter, the next five, the rush
_WHOLE_WEEKS: Final = 12
_LEAST_OF_PHASE: Final = 5.0  # wins expected below which a chi-square is no chi-square


@dataclass(frozen=True)
class Question:
    """One question and its answer so far.

    name : one of `QUESTIONS`
    came, expected : (W,) of each week since training: counts, or for `signed` amounts; for `spread` and `size`
        the number of cases, and NaN
    sd : (W,) of the sum of what came up to each week: chance, and good and bad quarters; NaN where not counted
    evidence : of a change, by week
    ratio : what came over what was expected, since training; None if nothing was expected. For `spread` the
        factor on the slope, for `size` on amounts
    credible, low, high : the factor now, drawn to 1, and its 95 % range
    enough : whether there was enough to tell anything
    """

    name: str
    came: Floats
    expected: Floats
    sd: Floats
    evidence: Evidence
    ratio: float | None
    credible: float
    low: float
    high: float
    enough: bool


@dataclass(frozen=True)
class Segment:
    """Wins or losses of one segment against its share."""

    by: str
    value: str
    cause: str
    came: float
    expected: float
    evidence: Evidence


@dataclass(frozen=True)
class Calibrated:
    """Chance of a win within the horizon, or until now where that is sooner, against what happened.

    curve : columns said, happened, lower, upper, rows
    """

    horizon_days: float
    slope: float
    intercept: float
    rows: int
    wins: int
    curve: pd.DataFrame


@dataclass(frozen=True)
class Seasonal:
    """Wins by part of the quarter: rows first five weeks, next five, the rest; columns came, expected.

    Expected numbers add up to those that came, so a good quarter is no news here.
    """

    table: pd.DataFrame
    p_value: float


@dataclass(frozen=True)
class Outcomes:
    """What came since training, of W weeks.

    starts_us, ends_us : (W,)
    segments : every segment with enough expected, most telling first
    """

    starts_us: Ints
    ends_us: Ints
    questions: tuple[Question, ...]
    segments: tuple[Segment, ...]
    calibrated: Calibrated
    season: Seasonal

    def question(self, name: str) -> Question:
        """The question of that name."""
        return next(one for one in self.questions if one.name == name)


def judge_outcomes(
    history: History, models: FittedModels, looks: Looks, teams: dict[str, str], settings: MonitorSettings
) -> Outcomes:
    """Answer every question from what was recorded before the end of the last look.

    teams : user id -> team
    """
    zero, weeks = -looks.first_week, looks.weeks - 1 + looks.first_week
    starts, ends = looks.starts_us[zero : zero + weeks], looks.ends_us[zero : zero + weeks]
    quarter = _quarter_of((starts + ends) // 2)
    since = (looks.week >= zero) & (looks.week < zero + weeks)
    questions: list[Question] = []
    segments: list[Segment] = []
    season = Seasonal(pd.DataFrame({"came": np.zeros(3), "expected": np.zeros(3)}), 1.0)
    for name, cause, chance in (("wins", WON, looks.p_won), ("losses", LOST, looks.p_lost)):
        ended = looks.ended(cause)
        came, expected = looks.per_week(ended), looks.per_week(chance)
        scatter = _scatter(came, expected, looks, zero, settings)
        here = slice(zero, zero + weeks)
        questions.append(
            _counted(
                name,
                came[here],
                expected[here],
                quarter,
                settings,
                shock_sd=models.shock.sd,
                shock_df=models.shock.df,
                scatter=scatter,
            )
        )
        segments += _segments(looks, ended, chance, since, zero, weeks, teams, name, settings)
        if name == "wins":
            questions.append(_spread(looks, ended, chance, since, zero, weeks, settings))
            season = _season(came[here], expected[here], starts, ends, scatter)
    questions.append(_created(history, models, starts, ends, quarter, looks, zero, settings))
    questions.append(_pace(history, looks, zero, weeks, quarter, settings))
    questions.append(_signed(history, models, looks, np.flatnonzero(since), zero, weeks, settings))
    questions.append(_size(history, starts, ends, looks, settings))
    order = {name: place for place, name in enumerate(QUESTIONS)}
    return Outcomes(
        starts,
        ends,
        tuple(sorted(questions, key=lambda one: order[one.name])),
        tuple(sorted(segments, key=lambda one: -one.evidence.most)),
        _calibrated(looks, np.flatnonzero(since), settings),
        season,
    )


def _per_week(week: Ints, value: Floats, weeks: int) -> Floats:
    """(W,) sums."""
    return np.bincount(week, value, minlength=weeks).astype(np.float64)


def _quarter_of(moment_us: Ints) -> Ints:
    """Number of the calendar quarter of each moment."""
    month = (moment_us // DAY_US).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return month // 3


def _scatter(came: Floats, expected: Floats, looks: Looks, zero: int, settings: MonitorSettings) -> float:
    """How weekly counts scattered before training, levels of quarters apart."""
    past = slice(max(zero - settings.reference_weeks, 0), zero)
    return dispersion(came[past], expected[past], _quarter_of(looks.starts_us[past] + WEEK_US // 2))


def _counted(
    name: str,
    came: Floats,
    expected: Floats,
    quarter: Ints,
    settings: MonitorSettings,
    *,
    shock_sd: float,
    shock_df: float,
    scatter: float,
) -> Question:
    """A question about counts: their level."""
    evidence = level_evidence(
        came,
        expected,
        quarter,
        shock_sd=shock_sd,
        shock_df=shock_df,
        shift_sd=settings.level_shift,
        scatter=scatter,
    )
    total = float(expected.sum())
    enough = total >= settings.least_expected
    by_quarter = expected[:, None] * (quarter[:, None] == np.unique(quarter))
    shocks = ((shock_sd * np.cumsum(by_quarter, axis=0)) ** 2).sum(axis=1)
    return Question(
        name,
        came,
        expected,
        np.sqrt(scatter * np.cumsum(expected) + shocks),
        evidence if enough else Evidence.none(len(came)),
        float(came.sum()) / total if total > 0 else None,
        float(np.exp(evidence.shift)),
        float(np.exp(evidence.low)),
        float(np.exp(evidence.high)),
        enough,
    )


def _tilted(
    score: Floats,
    looks: Looks,
    ended: Floats,
    chance: Floats,
    since: Bools,
    zero: int,
    weeks: int,
    *,
    tolerance: float,
    shift_sd: float,
) -> Evidence:
    """Evidence that those with a high score have more, or less, than before training.

    A model is never right about every group even in the weeks it learnt from. That is no drift: what the year
    before training shows of it is taken off.
    """
    past = looks.week < zero
    before = tilt_evidence(
        score[past], ended[past], chance[past], looks.week[past], zero, tolerance=tolerance, shift_sd=shift_sd
    )
    return tilt_evidence(
        score[since],
        ended[since],
        (chance * np.exp(before.shift * score))[since],
        looks.week[since] - zero,
        weeks,
        tolerance=tolerance,
        shift_sd=shift_sd,
    )


def _spread(
    looks: Looks,
    ended: Floats,
    chance: Floats,
    since: Bools,
    zero: int,
    weeks: int,
    settings: MonitorSettings,
) -> Question:
    """Whether wins go to the deals with the better chances, as much as was said."""
    came = _per_week(looks.week[since] - zero, ended[since], weeks)
    log_chance = np.log(np.maximum(chance, 1e-9))
    # The scale is that of the weeks before training, where there are any: it may not know what came later.
    past = looks.week < zero if zero else since
    weight = chance * past / max(float(chance[past].sum()), 1e-12)
    centre = float(weight @ log_chance)
    sd = float(np.sqrt(weight @ (log_chance - centre) ** 2))
    nothing = np.full(weeks, np.nan)
    if sd <= 0.0 or chance[since].sum() < settings.least_expected:
        return Question("spread", came, nothing, nothing, Evidence.none(weeks), None, 1.0, 1.0, 1.0, False)
    evidence = _tilted(
        np.round((log_chance - centre) / sd, 2),
        looks,
        ended,
        chance,
        since,
        zero,
        weeks,
        tolerance=_SPREAD_TOLERANCE,
        shift_sd=_SPREAD_SHIFT,
    )
    factor = [1.0 + value / sd for value in (evidence.shift, evidence.low, evidence.high)]
    return Question(
        "spread", came, nothing, nothing, evidence, factor[0], factor[0], factor[1], factor[2], True
    )


def _segments(
    looks: Looks,
    ended: Floats,
    chance: Floats,
    since: Bools,
    zero: int,
    weeks: int,
    teams: dict[str, str],
    cause: str,
    settings: MonitorSettings,
) -> list[Segment]:
    """Every stage, kind of business, source and team with enough expected, but one that is nearly all."""
    features, history = looks.features, looks.features.history
    owner = history.vocabulary("owner_id").take(history.owner(looks.deal, looks.starts_us[looks.week]))
    team = pd.Series(owner, dtype=object).map(teams).to_numpy(object)
    texts = {name: _texts(features[name], features.texts(name)) for name in ("stage", "motion", "source")}
    total = float(chance[since].sum())
    found = []
    for by, values in {**texts, "team": team}.items():
        codes, names = pd.factorize(values)
        for code, value in enumerate(names):
            inside = (codes == code).astype(np.float64)
            expected = float(chance[since] @ inside[since])
            if min(expected, total - expected) < settings.least_expected:
                continue
            evidence = _tilted(
                inside,
                looks,
                ended,
                chance,
                since,
                zero,
                weeks,
                tolerance=_SEGMENT_TOLERANCE,
                shift_sd=settings.level_shift,
            )
            came = float(ended[since] @ inside[since])
            found.append(Segment(by, str(value), cause, came, expected, evidence))
    return found


def _texts(codes: Floats, texts: tuple[str, ...]) -> Texts:
    place = np.where(np.isnan(codes), -1, codes).astype(np.int64)
    return np.array([*texts, None], dtype=object)[place]


def _season(came: Floats, expected: Floats, starts: Ints, ends: Ints, scatter: float) -> Seasonal:
    """When in the quarter deals were won, in the whole quarters since training, given how many."""
    middle = (starts + ends) // 2
    quarter = _quarter_of(middle)
    first = (quarter * 3).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    into = middle // DAY_US - first
    phase = np.searchsorted(_PHASES_DAYS, into, side="right")
    table = pd.DataFrame({"came": np.zeros(3), "expected": np.zeros(3)})
    statistic = dof = 0.0
    whole = [one for one in np.unique(quarter) if len(np.unique(phase[quarter == one])) == 3]
    for one in whole[: -1 if len(whole) and (quarter == whole[-1]).sum() < _WHOLE_WEEKS else None]:
        here = quarter == one
        seen = np.bincount(phase[here], came[here], minlength=3)
        said = np.bincount(phase[here], expected[here], minlength=3)
        if said.min() <= 0:
            continue
        said = said * seen.sum() / said.sum()
        table["came"] += seen
        table["expected"] += said
        statistic += float(((seen - said) ** 2 / np.maximum(said, 1e-9)).sum()) / scatter
        dof += 2
    p_value = float(chdtrc(dof, statistic)) if dof and table["expected"].min() >= _LEAST_OF_PHASE else 1.0
    return Seasonal(table, p_value)


def _created(
    history: History,
    models: FittedModels,
    starts: Ints,
    ends: Ints,
    quarter: Ints,
    looks: Looks,
    zero: int,
    settings: MonitorSettings,
) -> Question:
    """New deals against the rate the bundle expects, told at the start of each week."""
    creation, owners = models.arrivals.creation, models.arrivals.owners

    def counted(first: Ints, last: Ints) -> tuple[Floats, Floats]:
        born = np.sort(history.known_from_us())
        came = np.searchsorted(born, last) - np.searchsorted(born, first)
        expected = [
            float(creation.expected(history, int(a), np.array([a]), np.array([b]), owners)[0].sum())
            for a, b in zip(first.tolist(), last.tolist(), strict=True)
        ]
        return came.astype(np.float64), np.array(expected)

    past = slice(max(zero - settings.reference_weeks, 0), zero)
    then_came, then_expected = counted(looks.starts_us[past], looks.ends_us[past])
    scatter = dispersion(then_came, then_expected, _quarter_of(looks.starts_us[past] + WEEK_US // 2))
    came, expected = counted(starts, ends)
    return _counted(
        "created",
        came,
        expected,
        quarter,
        settings,
        shock_sd=creation.spread.sd,
        shock_df=creation.spread.df,
        scatter=scatter,
    )


def _pace(
    history: History, looks: Looks, zero: int, weeks: int, quarter: Ints, settings: MonitorSettings
) -> Question:
    """Deals that moved to a later open stage in the week, against what deals of their stage usually do."""
    moved = _moved_on(history, looks)
    stage = looks.features["stage"].astype(np.int64)
    stages = int(stage.max(initial=0)) + 1
    month = (looks.starts_us + WEEK_US // 2) // DAY_US
    month = month.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64) % 12
    past = np.flatnonzero((looks.week < zero) & (looks.week >= zero - settings.reference_weeks))
    at_risk = np.bincount(stage[past], minlength=stages)
    rate = np.bincount(stage[past], moved[past], minlength=stages) / np.maximum(at_risk, 1)
    span = (looks.ends_us - looks.starts_us) / WEEK_US
    plain = rate[stage] * span[looks.week]
    # The months of the year before: people are away in August every year.
    of_month = month[looks.week]
    came_then = np.bincount(of_month[past], moved[past], minlength=12)
    foretold_then = np.bincount(of_month[past], plain[past], minlength=12)
    monthly = (came_then + _MONTH_PRIOR) / (foretold_then + _MONTH_PRIOR)
    expected = looks.per_week(plain * monthly[of_month])
    came = looks.per_week(moved)
    here = slice(zero, zero + weeks)
    return _counted(
        "pace",
        came[here],
        expected[here],
        quarter,
        settings,
        shock_sd=_PACE_SD,
        shock_df=_PACE_DF,
        scatter=_scatter(came, expected, looks, zero, settings),
    )


def _moved_on(history: History, looks: Looks) -> Floats:
    """(n,) 1 where the deal is in a later open stage at the end of the week than at its start."""
    before = looks.features["stage"].astype(np.int64)
    after = history.stage(looks.deal, looks.ends_us[looks.week])
    step, kind = history.stages.step, history.stages.kind
    found: Floats = ((kind[after] == OPEN) & (step[after] > step[before])).astype(np.float64)
    return found


def _signed(
    history: History,
    models: FittedModels,
    looks: Looks,
    rows: Ints,
    zero: int,
    weeks: int,
    settings: MonitorSettings,
) -> Question:
    """Amounts signed, as known at the end of the week of winning, against those expected a look before."""
    won = rows[looks.ended(WON)[rows] > 0]
    deal, week = looks.deal[won], looks.week[won]
    expected, shape = models.amount.predict(history, deal, looks.starts_us[week])
    won_at = looks.starts_us[week] + (looks.duration_days[won] * DAY_US).round().astype(np.int64)
    signed = history.amount_raw(deal, looks.ends_us[week]) * history.rate(deal, won_at)
    usable = np.isfinite(signed) & (signed > 0) & np.isfinite(expected) & (expected > 0)
    signed, expected, shape, week = signed[usable], expected[usable], shape[usable], week[usable] - zero
    spreads = np.maximum(models.amount.shapes.std(axis=1), _LEAST_SD)
    sd = spreads[shape]
    wins = max(float(models.counts["won"]), 1.0)
    # Of deals with an amount on record: nearly all are.
    scale = float(np.median(spreads[: len(spreads) // 2]))
    evidence = mean_evidence(
        (signed / np.maximum(expected, 1e-12) - 1.0) / sd,
        week,
        weeks,
        tolerance=float(np.hypot(settings.amount_tolerance / scale, wins**-0.5)),
        shift_sd=settings.amount_shift / scale,
    )
    came = _per_week(week, signed, weeks)
    foretold = _per_week(week, expected, weeks)
    enough = len(week) >= settings.least_expected
    factor = [1.0 + value * scale for value in (evidence.shift, evidence.low, evidence.high)]
    return Question(
        "signed",
        came,
        foretold,
        np.full(weeks, np.nan),
        evidence if enough else Evidence.none(weeks),
        float(came.sum() / foretold.sum()) if foretold.sum() > 0 else None,
        factor[0],
        factor[1],
        factor[2],
        enough,
    )


def _size(history: History, starts: Ints, ends: Ints, looks: Looks, settings: MonitorSettings) -> Question:
    """First amounts of deals, as known at the end of the week they appeared in, by segment of the amounts."""
    born = history.known_from_us()
    first = max(int(starts[0]) if len(starts) else int(looks.ends_us[-1]), 0)
    grid = np.append(first + np.arange(-_YEAR_WEEKS, 0) * WEEK_US, starts)
    last = np.append(first + np.arange(1 - _YEAR_WEEKS, 1) * WEEK_US, ends)
    deal = np.flatnonzero((born >= grid[0]) & (born < last[-1])) if len(grid) else np.empty(0, np.int64)
    week = np.searchsorted(grid, born[deal], side="right") - 1
    amount = history.amount(deal, last[week])
    known = np.isfinite(amount) & (amount > 0)
    deal, week, value = deal[known], week[known] - _YEAR_WEEKS, np.log(amount[known])
    _, place = segment_names(history)
    group = place[deal]
    then = week < 0
    groups = int(group.max(initial=0)) + 1
    number = np.bincount(group[then], minlength=groups)
    mean = np.bincount(group[then], value[then], minlength=groups) / np.maximum(number, 1)
    spread = np.bincount(group[then], (value[then] - mean[group[then]]) ** 2, minlength=groups)
    sd = np.sqrt(spread / np.maximum(number - 1, 1))
    use = ~then & (number[group] >= _LEAST_DEALS) & (sd[group] > 0)
    weeks = len(starts)
    nothing = np.full(weeks, np.nan)
    came = np.bincount(week[use], minlength=weeks).astype(np.float64)
    if use.sum() < _LEAST_DEALS:
        return Question("size", came, nothing, nothing, Evidence.none(weeks), None, 1.0, 1.0, 1.0, False)
    off, scale = value[use] - mean[group[use]], float(number @ sd / number.sum())
    evidence = mean_evidence(
        off / sd[group[use]],
        week[use],
        weeks,
        tolerance=float(np.hypot(_SIZE_TOLERANCE / scale, number.sum() ** -0.5)),
        shift_sd=settings.amount_shift / scale,
    )
    factor = [float(np.exp(v * scale)) for v in (evidence.shift, evidence.low, evidence.high)]
    return Question(
        "size",
        came,
        nothing,
        nothing,
        evidence,
        float(np.exp(off.mean())),
        factor[0],
        factor[1],
        factor[2],
        True,
    )


def _calibrated(looks: Looks, rows: Ints, settings: MonitorSettings) -> Calibrated:
    """Every look since training, over the horizon or what is left until now: all labels are known."""
    said = looks.p_horizon[rows]
    won = (looks.cause[rows] == WON) & (looks.duration_days[rows] < looks.horizon_days[rows])
    happened = won.astype(np.float64)
    fitted = calibration(happened, said)
    return Calibrated(
        settings.calibration_days,
        fitted.slope,
        fitted.intercept,
        len(rows),
        len(np.unique(looks.deal[rows][won])),
        reliability(happened, said)[["said", "happened", "lower", "upper", "rows"]],
    )
