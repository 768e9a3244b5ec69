"""How each data set is split by time, and what is measured on it.

Nothing here touches the test period before it is scored: settings are fixed before, baselines and peers learn
from the same landmarks as the models, and all are blind to what was recorded at or after the split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from benchmarks.peers import CoxPeer
from benchmarks.peers.cost import Cost
from benchmarks.peers.field import OURS, Field, Lesson, Questions, Round
from benchmarks.peers.scores import curve_scores
from benchmarks.peers.static import LogisticPeer, TreesPeer
from benchmarks.real import bpic2012, maven_crm, prefixes, salvirt_b2b
from benchmarks.tables import COST, Column
from forecast.arrays import Bools, Floats
from forecast.evaluation import metrics
from forecast.evaluation.baselines import BaseRate
from forecast.features import decide_fields
from forecast.history import WON, History, Landmarks, make_landmarks
from forecast.models import FitSettings
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Money, Tables

__all__ = ["PROTOCOLS", "Result", "run_bpic2012", "run_bpic2012_prefixes", "run_maven_crm", "run_salvirt_b2b"]

Tell = Callable[[str], None]

BPIC_SPLIT: Final = pd.Timestamp("2012-01-09", tz=bpic2012.ZONE).tz_convert("UTC")
BPIC_LAST_MONDAY: Final = pd.Timestamp("2012-02-13", tz=bpic2012.ZONE).tz_convert("UTC")
BPIC_HORIZONS_DAYS: Final = (7, 14, 30)
BPIC_EVERY_DAYS: Final = 3.0
MAVEN_MONTHS: Final = pd.date_range("2017-07-01", "2017-12-01", freq="MS", tz="UTC")
MAVEN_HORIZONS_DAYS: Final = (30, 90)
MAVEN_EVERY_DAYS: Final = 7.0  # as in every training by default
SALVIRT_FOLDS: Final = 5
SALVIRT_SEEDS: Final = range(10)
# Whoever is still open after so long was decided long ago in this table, where all deals live a week.
_SALVIRT_DAYS: Final = 30.0
_EVER_DAYS: Final = 365.0
_COLUMNS: Final = ["forecaster", "metric", "horizon_days", "value"]


@dataclass(frozen=True)
class Result:
    """What came out for one data set.

    labels : forecaster -> its label, in the order of the tables
    columns : what the table shows of the scores
    scores : long table, columns forecaster, metric, horizon_days, value; costs included
    bookings : amounts, one row per as-of with `actual` and a column per forecaster; None if nothing is booked
    lines : what a reader must know beside the numbers
    """

    name: str
    title: str
    labels: dict[str, str]
    columns: tuple[Column, ...]
    scores: pd.DataFrame
    bookings: pd.DataFrame | None
    lines: tuple[str, ...]


def _by_horizon(horizons: Sequence[int], aims: dict[str, Sequence[str]]) -> tuple[Column, ...]:
    """AUC, Brier, skill and ICI at each horizon, with what has to be reached."""
    shown = (
        ("auc", "AUC", ".3f"),
        ("brier", "Brier", ".4f"),
        ("skill", "skill", "+.3f"),
        ("ici", "ICI", ".3f"),
    )
    return tuple(
        Column(
            metric, horizon, f"{label} {horizon} d", style, ((0, aims[metric][at]),) if metric in aims else ()
        )
        for metric, label, style in shown
        for at, horizon in enumerate(horizons)
    )


_BPIC_COLUMNS: Final = (
    *_by_horizon(
        BPIC_HORIZONS_DAYS, {"auc": ("≥ .87", "≥ .805", "≥ .775"), "skill": ("≥ .30", "≥ .23", "≥ .195")}
    ),
    Column("concordance", 14, "C 14 d", ".3f"),
    Column("integrated_brier", 30, "IBS 30 d", ".4f"),
    Column("days_to_win", 30, "days to win", ".2f", ((0, "≤ 4.5"),)),
)
_MAVEN_COLUMNS: Final = (
    *_by_horizon(MAVEN_HORIZONS_DAYS, {"brier": ("≤ .097", "≤ .188")}),
    Column("bookings_mape", 0, "bookings MAPE", ".0%", ((0, "≤ 25%"),)),
    Column("bookings_bias", 0, "bookings bias", "+.0%"),
)
_PREFIX_COLUMNS: Final = (
    Column("auc", 0, "AUC, weighted", ".3f", ((0, "≥ .63"),)),
    *(Column("auc", length, f"after {length}", ".3f") for length in (1, 5, 10, 15, 20, 30, 40)),
)
_SALVIRT_COLUMNS: Final = (
    Column("auc", 448, "AUC, 448 rows", ".3f", ((0, "≥ .815"),)),
    Column("brier", 448, "Brier, 448 rows", ".4f", ((0, "≤ .172"),)),
    Column("ici", 448, "ICI, 448 rows", ".3f"),
    Column("auc", 365, "AUC, 365 distinct", ".3f"),
    Column("brier", 365, "Brier, 365 distinct", ".4f"),
)


def run_bpic2012(
    tables: Tables,
    settings: FitSettings | None = None,
    field: Field | None = None,
    tell: Tell | None = None,
) -> Result:
    """Fit once on 9 January 2012, score all deals open on six Mondays, P(won within 7, 14 and 30 days)."""
    settings, field = settings or FitSettings(), field or Field()
    history = History.from_tables(tables, Money.from_tables(tables))
    until_us = as_of_us(tables.default_as_of)
    lesson = Lesson(history, BPIC_SPLIT, replace(settings, landmark_every_days=BPIC_EVERY_DAYS))
    test = make_landmarks(history, first_us=lesson.until_us, until_us=until_us, every_days=7.0)
    test = test.take(test.at_us <= as_of_us(BPIC_LAST_MONDAY))
    horizons = tuple(float(day) for day in BPIC_HORIZONS_DAYS)
    questions = Questions(test, tuple(float(day) for day in range(1, 31)), horizons)
    found = field.ask(lesson, questions, _here("bpic2012", tell))
    scores = curve_scores(questions, found.won(), BPIC_HORIZONS_DAYS, until_us=until_us)
    return Result(
        "bpic2012",
        "Loan applications (BPI Challenge 2012)",
        field.labels(),
        _BPIC_COLUMNS,
        _with_costs(scores, [found]),
        None,
        (*_counted(scores), *_noted([found], field)),
    )


def run_bpic2012_prefixes(
    loaded: tuple[Tables, pd.DataFrame],
    settings: FitSettings | None = None,
    field: Field | None = None,
    tell: Tell | None = None,
) -> Result:
    """AUC of "will the offer be accepted" after each of the first 40 events, weighted by the cases there."""
    settings, field = settings or FitSettings(), field or Field()
    tables, log = loaded
    history = History.from_tables(tables, Money.from_tables(tables))
    split = prefixes.split_us(log)
    lesson = Lesson(
        history,
        pd.Timestamp(split, unit="us", tz="UTC"),
        replace(settings, landmark_every_days=BPIC_EVERY_DAYS),
    )
    rows, length = prefixes.prefixes(log, history, split)
    questions = Questions(rows, (_EVER_DAYS,), (_EVER_DAYS,))
    found = field.ask(lesson, questions, _here("bpic2012_prefixes", tell))
    aucs: list[tuple[str, str, int, float]] = []
    for answer in found.answers:
        each = {
            k: metrics.auc(rows.cause[length == k] == WON, answer.won[length == k, 0])
            for k in range(1, prefixes.LONGEST + 1)
        }
        weight = np.array([np.count_nonzero(length == k) for k in each], dtype=np.float64)
        values = np.array(list(each.values()))
        told = ~np.isnan(values)
        aucs.append((answer.name, "auc", 0, float(np.average(values[told], weights=weight[told]))))
        aucs += [(answer.name, "auc", k, value) for k, value in each.items()]
    scores = pd.DataFrame(aucs, columns=_COLUMNS)
    cases = len(np.unique(rows.deal))
    lines = (
        f"{len(rows):,} prefixes of {cases:,} cases that start at or after {lesson.until:%Y-%m-%d}, "
        f"{np.mean(rows.cause == WON):.1%} of them of cases whose offer is accepted.",
    )
    return Result(
        "bpic2012_prefixes",
        "Loan offers after each event (BPI Challenge 2012)",
        field.labels(),
        _PREFIX_COLUMNS,
        _with_costs(scores, [found]),
        None,
        (*lines, *_noted([found], field)),
    )


def run_maven_crm(
    tables: Tables,
    settings: FitSettings | None = None,
    field: Field | None = None,
    tell: Tell | None = None,
) -> Result:
    """Refit at each month start from July to December 2017, score all open deals.

    P(won within 30 and 90 days), and what the open deals bring until the end of the quarter: the sum of
    P(won by then) x list price against the list prices of those of them that were won by then.
    """
    settings, field = settings or FitSettings(), field or Field()
    history = History.from_tables(tables, Money.from_tables(tables))
    until_us = as_of_us(tables.default_as_of)
    horizons = tuple(float(day) for day in MAVEN_HORIZONS_DAYS)
    common = tuple(float(day) for day in range(5, 91, 5))
    rounds: list[Round] = []
    tests: list[Landmarks] = []
    curves: list[dict[str, Floats]] = []
    booked: list[dict[str, float | str]] = []
    for month in MAVEN_MONTHS:
        lesson = Lesson(history, month, replace(settings, landmark_every_days=MAVEN_EVERY_DAYS))
        at_us = lesson.until_us
        test = _open_at(history, at_us, until_us)
        quarter_end_us = Period.containing(month).end_us
        days_left = (quarter_end_us - at_us) / DAY_US
        questions = Questions(test, tuple(sorted({*common, days_left})), horizons)
        found = field.ask(lesson, questions, _here(f"maven_crm as of {month:%Y-%m-%d}", tell))
        price = history.amount(test.deal, test.at_us)
        won = (test.cause == WON) & (test.at_us + np.round(test.duration_days * DAY_US) < quarter_end_us)
        in_time = questions.at(days_left)
        booked.append(
            {
                "as_of": f"{month:%Y-%m-%d}",
                "actual": float(price[won].sum()),
                **{answer.name: float(answer.won[:, in_time] @ price) for answer in found.answers},
            }
        )
        kept = [questions.at(day) for day in common]
        curves.append({name: won[:, kept] for name, won in found.won().items()})
        tests.append(test)
        rounds.append(found)
    everywhere = [name for name in curves[0] if all(name in each for each in curves)]
    together = {name: np.concatenate([each[name] for each in curves]) for name in everywhere}
    questions = Questions(_pooled(tests), common, horizons)
    scores = curve_scores(questions, together, MAVEN_HORIZONS_DAYS, until_us=until_us)
    bookings = pd.DataFrame(booked)
    errors = bookings_errors(bookings)
    rows = [
        (name, f"bookings_{metric}", 0, float(errors.loc[name, metric]))
        for name in errors.index
        for metric in errors
    ]
    scores = pd.concat([scores, pd.DataFrame(rows, columns=_COLUMNS)], ignore_index=True)
    refused = [
        f"Refused by the field policy: {decision.feature}, {decision.reason}."
        for decision in decide_fields(history, as_of_us(MAVEN_MONTHS[-1]))
        if decision.feature.startswith("custom:") and not decision.used
    ]
    return Result(
        "maven_crm",
        "Maven CRM sales opportunities",
        field.labels(),
        _MAVEN_COLUMNS,
        _with_costs(scores, rounds),
        bookings,
        (*_counted(scores), *refused, *_noted(rounds, field)),
    )


def run_salvirt_b2b(
    raw: pd.DataFrame,
    settings: FitSettings | None = None,
    field: Field | None = None,
    tell: Tell | None = None,
    seeds: Sequence[int] = SALVIRT_SEEDS,
) -> Result:
    """Won or lost, out of fold: 5 folds, 10 times, identical rows in one fold; the table has no time.

    Forecasters that are about time alone are left out; `half` is the mean of ours and of boosted trees.
    """
    settings, field = settings or FitSettings(), field or Field()
    say = _here("salvirt_b2b", tell)
    static = replace(
        field,
        baselines=lambda: (BaseRate(),),
        peers=lambda: (CoxPeer(), LogisticPeer(), TreesPeer()),
        fork=False,
    )
    labels = {**static.labels(), "half": "half Forecast, half boosted trees"}
    rows: list[tuple[str, str, int, float]] = []
    rounds: list[Round] = []
    for data in (raw, salvirt_b2b.distinct_rows(raw)):
        found: list[dict[str, tuple[float, float, float]]] = []
        actual = (data[salvirt_b2b.TARGET] == "Won").to_numpy(np.float64)
        for seed in seeds:
            say(f"{len(data)} rows, seed {seed}")
            said, folds = _out_of_fold(data, seed, settings, static)
            rounds += folds
            said["half"] = (said[OURS] + said[TreesPeer.name]) / 2
            found.append(
                {
                    name: (
                        metrics.auc(actual, p),
                        metrics.brier(actual, p),
                        metrics.integrated_calibration_index(actual, p),
                    )
                    for name, p in said.items()
                }
            )
        for name in found[0]:
            means = np.mean([scores[name] for scores in found], axis=0)
            rows += [
                (name, metric, len(data), float(v))
                for metric, v in zip(("auc", "brier", "ici"), means, strict=True)
            ]
    scores = pd.DataFrame(rows, columns=_COLUMNS)
    lines = (
        f"Means over {len(seeds)} divisions into {SALVIRT_FOLDS} folds; {len(raw)} rows, "
        f"{(raw[salvirt_b2b.TARGET] == 'Won').mean():.1%} of them won.",
    )
    return Result(
        "salvirt_b2b",
        "B2B deals judged by their sellers (Salvirt)",
        labels,
        _SALVIRT_COLUMNS,
        _with_costs(scores, rounds),
        None,
        (*lines, *_noted(rounds[-1:], static)),
    )


def _out_of_fold(
    data: pd.DataFrame, seed: int, settings: FitSettings, field: Field
) -> tuple[dict[str, Floats], list[Round]]:
    """Forecaster -> (n,) P(won) of each row by models that never saw it or its twins."""
    rng = np.random.default_rng(seed)
    group = salvirt_b2b.groups_of(data)
    fold = rng.permutation(np.arange(group.max() + 1) % SALVIRT_FOLDS)[group]
    said: dict[str, Floats] = {}
    rounds = []
    for number in range(SALVIRT_FOLDS):
        asked: Bools = fold == number
        tables = salvirt_b2b.tables_of(data, asked, rng)
        history = History.from_tables(tables)
        lesson = Lesson(history, salvirt_b2b.OPEN_AT, replace(settings, seed=seed))
        deal = history.index_of(tables.deals["deal_id"].to_numpy()[asked])
        none = np.zeros(len(deal))
        rows = Landmarks(deal, np.full(len(deal), lesson.until_us), none, none.astype(np.int8), none + 1.0)
        found = field.ask(lesson, Questions(rows, (_SALVIRT_DAYS,), (_SALVIRT_DAYS,)))
        for name, won in found.won().items():
            said.setdefault(name, np.full(len(data), np.nan))[asked] = won[:, 0]
        rounds.append(found)
    return said, rounds


class Measured(Protocol):
    """Fit, forecast and measure on one data set as its `load` gives it."""

    def __call__(
        self,
        loaded: Any,
        settings: FitSettings | None = None,
        field: Field | None = None,
        tell: Tell | None = None,
    ) -> Result: ...


# Name -> how it is loaded, and its protocol. A further set is a line here and a place in docs/real-data.md.
PROTOCOLS: Final[dict[str, tuple[Callable[[], Any], Callable[..., Result]]]] = {
    "bpic2012": (bpic2012.load, run_bpic2012),
    "bpic2012_prefixes": (prefixes.load, run_bpic2012_prefixes),
    "maven_crm": (maven_crm.load, run_maven_crm),
    "salvirt_b2b": (salvirt_b2b.load, run_salvirt_b2b),
}


def bookings_errors(bookings: pd.DataFrame) -> pd.DataFrame:
    """Mean absolute percentage error and bias over the as-of dates, one row per forecaster."""
    names = [name for name in bookings.columns if name not in ("as_of", "actual")]
    return pd.DataFrame(
        {
            "mape": [metrics.mape(bookings["actual"], bookings[name]) for name in names],
            "bias": [metrics.bias(bookings["actual"], bookings[name]) for name in names],
        },
        index=pd.Index(names, name="forecaster"),
    )


def _here(where: str, tell: Tell | None) -> Tell:
    return lambda who: tell(f"{where}: {who}") if tell is not None else None


def _with_costs(scores: pd.DataFrame, rounds: Sequence[Round]) -> pd.DataFrame:
    """The scores and what a fit cost: means over the rounds."""
    costs: dict[str, list[tuple[float, ...]]] = {}
    for answer in (answer for each in rounds for answer in each.answers):
        cost: Cost = answer.cost
        costs.setdefault(answer.name, []).append(
            (answer.rows, cost.fit_seconds, cost.predict_ms, cost.peak_mb)
        )
    rows = [
        (name, column.metric, 0, value)
        for name, found in costs.items()
        for column, value in zip(COST, np.mean(found, axis=0), strict=True)
    ]
    return pd.concat([scores, pd.DataFrame(rows, columns=_COLUMNS)], ignore_index=True)


def _counted(scores: pd.DataFrame) -> list[str]:
    """How many rows the numbers rest on."""
    actual = scores[scores["forecaster"] == "actual"]
    facts = actual.pivot_table(index="horizon_days", columns="metric", values="value", sort=False)
    return [
        f"Scored at {horizon} days: {row['rows']:,.0f} rows of {row['deals']:,.0f} open deals, "
        f"{row['share_won']:.1%} of them won by then."
        for horizon, row in facts.iterrows()
    ]


def _noted(rounds: Sequence[Round], field: Field) -> list[str]:
    """What the last fit chose, who learnt from fewer rows, and who gave no answer."""
    labels = field.labels()
    return [
        *(f"{answer.label}: {answer.note}." for answer in rounds[-1].answers if answer.note),
        *(
            f"{labels[name]} gave no answer: {error}."
            for each in rounds
            for name, error in each.failed.items()
        ),
    ]


def _open_at(history: History, at_us: int, until_us: int) -> Landmarks:
    """One row per deal open at a moment, with what became of it until the data end."""
    found = make_landmarks(history, first_us=at_us, until_us=until_us, every_days=1.0)
    return found.take(found.at_us == at_us)


def _pooled(parts: list[Landmarks]) -> Landmarks:
    names = Landmarks.__dataclass_fields__
    return Landmarks(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
