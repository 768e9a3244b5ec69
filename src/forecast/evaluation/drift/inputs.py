"""Do the open deals still look like those the bundle learnt from? Inputs, week by week since training.

Four questions that ask for different remedies:

    stability   has the distribution of an input moved? (see `stability`)
    missing     are more values unknown, among all open deals or among the newest?
    writes      is a field still written to as often as it was? A feed that broke shows here first.
    new         which values had the bundle never seen: stages, sources, kinds of business, attributes?

Inputs made from track records of sellers, accounts and sources are left out: they grow with time by themselves
and are frozen in a bundle. `score` is an input like others here: the chance of being won within 90 days.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import fdtrc, stdtr

from forecast.arrays import Bools, Floats, Ints
from forecast.evaluation.drift.looks import WEEK_US, Looks
from forecast.evaluation.drift.settings import MonitorSettings
from forecast.evaluation.drift.stability import (
    FieldBins,
    category_bins,
    counts_by_week,
    number_bins,
    stability,
)
from forecast.features import spec_of
from forecast.history import FIELDS, History
from forecast.history.columns import OWNER, STAGE
from forecast.models import FittedModels

__all__ = ["SCORE", "Inputs", "NewValue", "ScoreMove", "judge_inputs"]

SCORE: Final = "score"
_PAST: Final = frozenset({"owner_edge", "owner_pace", "account_edge", "source_edge", "account_closed"})
_NEWEST_DAYS: Final = 28.0
_BLOCK_WEEKS: Final = 4
_YEAR_WEEKS: Final = 52
_LEAST_ROWS: Final = 20  # open deals below which a week says nothing about inputs
_LEAST_WRITES: Final = 10.0  # a field usually written to less often in four weeks says nothing
_LEAST_BLOCKS: Final = 4
_MANY_TEXTS: Final = 50  # an attribute with more values is no category
_LEAST_NEW: Final = 3  # deals in a value never seen before it is named
# Writing half as often, or twice, is what is told; a tenth is a feed that broke.
_HALF: Final = np.log(2.0)
_BROKEN: Final = 0.1


@dataclass(frozen=True, slots=True)
class NewValue:
    """A value the bundle never saw: how many of the deals open now have it, and what share that is."""

    field: str
    value: str
    deals: int
    share: float


@dataclass(frozen=True, slots=True)
class ScoreMove:
    """Mean win probability (90 days) then and now, and what made the difference.

    mix : deals stand in other stages; within : deals of the same stage have other chances
    ks : largest distance between the two distributions (Kolmogorov and Smirnov)
    """

    then: float
    now: float
    mix: float
    within: float
    ks: float


@dataclass(frozen=True)
class Inputs:
    """What was found.

    table : one row per week since training and field: week, field, check (`stability`, `missing`,
        `missing_new`, `writes`), value, usual, p_value, size (what is compared with a limit), drifted
    new : values never seen before, most frequent first
    score : how chances moved; None with too few deals
    score_shares : columns low, high, then, now: shares of open deals by win probability
    """

    table: pd.DataFrame
    new: tuple[NewValue, ...]
    score: ScoreMove | None
    score_shares: pd.DataFrame

    def drifted(self) -> pd.DataFrame:
        """Rows of the last week that drifted, largest first."""
        last = self.table[self.table["week"] == self.table["week"].max()]
        found: pd.DataFrame = last[last["drifted"] & (last["check"] != "new")]
        return found.sort_values("size", ascending=False)


def judge_inputs(
    looks: Looks, models: FittedModels, settings: MonitorSettings, trained_until_us: int
) -> Inputs:
    """Judge every week from week 0 on; a week of fewer than twenty open deals is left out."""
    features, history = looks.features, looks.features.history
    past = looks.week < -looks.first_week
    rows = []
    for name, values, bins in _fields(looks, models, past):
        counts = counts_by_week(bins, values, looks.week, looks.weeks)
        for week, one in enumerate(
            stability(counts, looks.first_week, min(settings.reference_weeks, -looks.first_week))
        ):
            rows.append((week, name, "stability", one.psi, one.expected, one.p_value, one.excess))
        unknown = np.isnan(values)
        if unknown.any():
            everybody = np.ones(len(looks), bool)
            rows += _missing(looks, name, "missing", unknown, everybody, settings)
            newest = features["age_days"] <= _NEWEST_DAYS
            rows += _missing(looks, name, "missing_new", unknown, newest, settings)
    rows += _writes(looks, history)
    new = _new_values(looks, models, trained_until_us)
    rows += [
        (week, f"{one.field}={one.value}", "new", one.share, 0.0, 0.0, one.share)
        for week, seen in new.items()
        for one in seen
    ]
    table = pd.DataFrame(rows, columns=["week", "field", "check", "value", "usual", "p_value", "size"])
    table = _judged(table, looks, settings)
    score, shares = _score_move(looks, settings)
    return Inputs(table, tuple(new[max(new)]), score, shares)


def _fields(looks: Looks, models: FittedModels, past: Bools) -> Iterator[tuple[str, Floats, FieldBins]]:
    """Every input the bundle uses, its values, and its bins by the reference."""
    features = looks.features
    for decision in models.decisions:
        name = decision.feature
        if not decision.used or name in _PAST:
            continue
        values = features[name]
        if spec_of(name).kind == "category":
            numbers = features.numbers(name)
            texts = features.texts(name)
            if len(texts) > _MANY_TEXTS or (
                np.isfinite(numbers[past]).mean() > 0.5 and name.startswith("custom:")
            ):
                values = numbers
                yield name, values, number_bins(values[past])
            else:
                yield name, values, category_bins(values[past], texts)
        else:
            yield name, values, number_bins(values[past])
    yield SCORE, looks.p_score, number_bins(looks.p_score[past])


Row = tuple[int, str, str, float, float, float, float]


def _missing(
    looks: Looks, name: str, check: str, unknown: Bools, among: Bools, settings: MonitorSettings
) -> list[Row]:
    """Share of unknown values among some deals of each week, against the reference: a test of two shares."""
    number = looks.per_week(among.astype(np.float64))
    missing = looks.per_week((among & unknown).astype(np.float64))
    zero = -looks.first_week
    reference = slice(max(zero - settings.reference_weeks, 0), zero)
    m, then = number[reference].sum(), missing[reference].sum()
    if m <= 0:
        return []
    usual = then / m
    # Half a value on either side: none missing among few says little about none missing at all.
    base = (then + 0.5) / (m + 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(number > 0, missing / np.maximum(number, 1.0), usual)
        z2 = (share - usual) ** 2 / (base * (1 - base) * (1 / np.maximum(number, 1.0) + 1 / m))
    known = number[reference] >= 1
    factor = max(1.0, float(z2[reference][known].mean())) if known.any() else 1.0
    independent = max(known.sum() / 8.0, 1.0)
    found = []
    for week in range(zero, looks.weeks):
        p = float(fdtrc(1.0, independent, z2[week] / factor)) if number[week] else 1.0
        found.append(
            (week - zero, name, check, float(share[week]), float(usual), p, float(share[week] - usual))
        )
    return found


def _writes(looks: Looks, history: History) -> list[Row]:
    """How often each field was written to in the four weeks before each look, per open deal."""
    zero = -looks.first_week
    fields = len(history.fields)
    group = np.repeat(np.arange(len(history) * fields), np.diff(history.index.starts))
    week = np.searchsorted(looks.starts_us, history.at_us, side="right") - 1
    inside = (history.at_us >= looks.starts_us[0]) & (history.at_us < looks.ends_us[-1])
    written = np.bincount(
        (group % fields)[inside] * looks.weeks + np.minimum(week[inside], looks.weeks - 1),
        minlength=fields * looks.weeks,
    ).reshape(fields, looks.weeks)
    days = (looks.ends_us - looks.starts_us) / WEEK_US
    risk = _open_by_week(looks, history) * days
    rows: list[Row] = []
    for field in range(fields):
        if field in (STAGE, OWNER):
            continue  # the pace of stages is judged as an outcome; owners change as people do
        name = history.fields[field]
        name = name if field < len(FIELDS) else f"custom:{name}"
        past_n = _blocks(written[field, :zero])
        past_risk = _blocks(risk[:zero])
        used = past_risk > 0
        if used.sum() < _LEAST_BLOCKS or past_n[used].mean() < _LEAST_WRITES:
            continue
        rate = np.log((past_n[used] + 0.5) / past_risk[used])
        # Chance alone scatters by this much; former blocks may have scattered by more.
        spread = max(float(rate.std(ddof=1)), float(np.sqrt(1.0 / past_n[used].mean())))
        for place in range(zero + 1, looks.weeks):
            span = slice(max(place - _BLOCK_WEEKS, zero), place)
            number, at_risk = written[field, span].sum(), risk[span].sum()
            usual = float(np.exp(rate.mean()) * at_risk)
            if usual < _LEAST_WRITES:
                continue
            off = float(np.log((number + 0.5) / at_risk) - rate.mean())
            own = np.hypot(spread, np.sqrt(max(1 / usual - spread**2, 0.0)))
            scale = np.hypot(own, spread / np.sqrt(used.sum()))
            p = float(2 * stdtr(used.sum() - 1, -abs(off) / scale))
            # August is quiet every year: the same weeks of the year before are asked as well.
            before = slice(span.start - _YEAR_WEEKS, span.stop - _YEAR_WEEKS)
            if before.start >= 0 and before.stop <= zero and risk[before].sum() > 0:
                then = written[field, before].sum()
                change = np.log((number + 0.5) / at_risk) - np.log((then + 0.5) / risk[before].sum())
                scale = np.hypot(own, max(spread, np.sqrt(1 / (then + 0.5))))
                p = max(p, float(2 * stdtr(used.sum() - 1, -abs(change) / scale)))
            rows.append((place - zero, name, "writes", float(number), usual, p, off))
    return rows


def _open_by_week(looks: Looks, history: History) -> Floats:
    """(W,) deals open at the start of each week, all of them: looks may hold a sample."""
    return np.array([float(len(history.open_deals(int(start)))) for start in looks.starts_us])


def _blocks(values: Floats | Ints) -> Floats:
    """Sums of four weeks, the newest block last, what does not fill one left out."""
    whole = len(values) // _BLOCK_WEEKS * _BLOCK_WEEKS
    blocks = values[len(values) - whole :].reshape(-1, _BLOCK_WEEKS)
    return np.asarray(blocks.sum(axis=1), np.float64)


def _judged(table: pd.DataFrame, looks: Looks, settings: MonitorSettings) -> pd.DataFrame:
    """Which rows drifted: unlikely by chance, all checks of a week counted (Holm 1979), and large enough."""
    zero = -looks.first_week
    rows = looks.per_week(np.ones(len(looks)))[zero:]
    drifted = np.zeros(len(table), bool)
    size = table["size"].to_numpy()
    check = table["check"].to_numpy(object)
    large = np.where(
        check == "stability",
        size >= settings.psi,
        np.where(check == "writes", np.abs(size) >= _HALF, size >= settings.missing_points),
    )
    table["size"] = table["size"].astype(np.float64)
    is_new = check == "new"
    named = np.array([str(field).startswith("stage=") for field in table["field"]], dtype=bool)
    large = np.where(is_new, named | (size >= settings.new_share), large)
    for week in np.unique(table["week"].to_numpy()):
        here = np.flatnonzero(table["week"].to_numpy() == week)
        if rows[week] < _LEAST_ROWS or not looks.aligned[zero + week]:
            continue
        p = table["p_value"].to_numpy()[here]
        order = np.argsort(p, kind="stable")
        passed = p[order] <= settings.input_share / (len(p) - np.arange(len(p)))
        kept = order[: int(np.argmin(passed)) if not passed.all() else len(p)]
        drifted[here[kept]] = large[here[kept]]
    table = table.assign(drifted=drifted)
    # One odd week (Christmas, a fair) is no drift: a distribution has to stay away for two looks.
    before = table.groupby(["field", "check"], sort=False)["drifted"].shift(fill_value=False)
    return table.assign(drifted=table["drifted"] & (before | (table["check"] != "stability")))


def _score_move(looks: Looks, settings: MonitorSettings) -> tuple[ScoreMove | None, pd.DataFrame]:
    """Mean chance then and now, split into other stages and other chances within stages."""
    zero = -looks.first_week
    then = (looks.week < zero) & (looks.week >= zero - settings.reference_weeks)
    now = looks.week == looks.weeks - 1
    edges = np.linspace(0.0, 1.0, 11)
    shares = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "then": 0.0, "now": 0.0})
    if not then.any() or now.sum() < _LEAST_ROWS:
        return None, shares
    score = looks.p_score
    for name, rows in (("then", then), ("now", now)):
        shares[name] = np.histogram(score[rows], edges)[0] / rows.sum()
    stage = looks.features["stage"].astype(np.int64)
    stages = int(stage.max(initial=0)) + 1
    p = np.bincount(stage[then], minlength=stages) / then.sum()
    q = np.bincount(stage[now], minlength=stages) / now.sum()
    mean_then = np.bincount(stage[then], score[then], minlength=stages) / np.maximum(p * then.sum(), 1.0)
    mean_now = np.bincount(stage[now], score[now], minlength=stages) / np.maximum(q * now.sum(), 1.0)
    # A stage that is new, or gone, has no chance on one side: all of it is mix.
    mean_then = np.where(p > 0, mean_then, mean_now)
    mean_now = np.where(q > 0, mean_now, mean_then)
    mix = float((q - p) @ (mean_then + mean_now) / 2)
    within = float((mean_now - mean_then) @ (p + q) / 2)
    from scipy.stats import ks_2samp  # half a second that only this needs

    distance = float(ks_2samp(score[then], score[now]).statistic)
    return ScoreMove(float(score[then].mean()), float(score[now].mean()), mix, within, distance), shares


def _new_values(looks: Looks, models: FittedModels, trained_until_us: int) -> dict[int, list[NewValue]]:
    """By week since training, values of open deals' categories that were never recorded before training."""
    history = looks.features.history
    zero = -looks.first_week
    early = history.known_from_us() < trained_until_us
    fields = len(history.fields)
    group = np.repeat(np.arange(len(history) * fields), np.diff(history.index.starts))
    known_entry = history.at_us < trained_until_us
    open_deals = looks.per_week(np.ones(len(looks)))
    found: dict[int, list[NewValue]] = {week: [] for week in range(looks.weeks - zero)}
    for name in looks.features.names:
        texts = looks.features.texts(name)
        if spec_of(name).kind != "category" or name == "category":
            continue
        if len(texts) > _MANY_TEXTS and name != "stage":
            continue
        if name in ("motion", "source"):
            seen = getattr(history.columns, name)[early].astype(np.float64)
        else:
            field = history.fields.index(name.removeprefix("custom:"))
            seen = history.value[known_entry & (group % fields == field)]
        if name == "stage":
            names = set(models.stages.names)
            seen = np.array([code for code in np.unique(seen) if texts[int(code)] in names])
        values = looks.features[name]
        new = np.isfinite(values) & ~np.isin(values, seen) & (looks.week >= zero)
        codes = np.stack((looks.week[new], values[new].astype(np.int64)))
        pairs, counts = np.unique(codes, axis=1, return_counts=True)
        for week, code, deals in zip(*pairs.tolist(), counts.tolist(), strict=True):
            if deals >= _LEAST_NEW:
                found[week - zero].append(NewValue(name, texts[code], deals, deals / open_deals[week]))
    return {
        week: sorted(values, key=lambda one: (-one.deals, one.field, one.value))
        for week, values in found.items()
    }
