"""A simulated company with known truth: how far is each forecast from the exact probability?

A company is simulated from 2022 to 2026. Everybody learns from what was recorded before 2025, and is then asked
about every deal open at the start of each month from January to June 2025: half a year later is still inside
the data. The truth is asked as well, as one forecaster among others: it shows what is possible.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from benchmarks.peers.cost import Cost
from benchmarks.peers.field import Answer, Field, Lesson, Questions
from benchmarks.peers.scores import curve_scores, days_to_win
from forecast.arrays import Floats
from forecast.history import WON, History, Landmarks, make_landmarks
from forecast.models import FitSettings
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Tables

__all__ = [
    "HORIZONS_DAYS",
    "LEARN_UNTIL",
    "MONTHS",
    "TRUTH",
    "Company",
    "Comparison",
    "compare",
    "medians",
    "monthly_landmarks",
]

TRUTH: Final = "truth"
HORIZONS_DAYS: Final = (30, 90, 180)
LEARN_UNTIL: Final = pd.Timestamp("2025-01-01", tz="UTC")
MONTHS: Final = pd.date_range(LEARN_UNTIL, periods=6, freq="MS")
_KEYS: Final = ["deals", "drift", "forecaster", "metric", "horizon_days"]


class Company(Protocol):
    """An invented company: what a CRM would hold of it, and the truth about it."""

    @property
    def tables(self) -> Tables:
        """The contract tables."""

    @property
    def until(self) -> pd.Timestamp:
        """The end of the data."""

    def truth_within(self, deal_ids: Any, as_of: pd.DatetimeIndex, horizons_days: Sequence[float]) -> Floats:
        """(n, H) exact P(won within h days | everything recorded before as_of)."""

    def expected_bookings(self, as_of: pd.Timestamp, period: Period) -> pd.DataFrame:
        """At least deal_id and amount_if_won, the true expectation, of every deal open then."""


@dataclass(frozen=True)
class Comparison:
    """scores : long, see `compare`; answers : by forecaster, the truth last; failed : who gave none, and why

    until_us : the end of the data
    """

    scores: pd.DataFrame
    answers: dict[str, Answer]
    failed: dict[str, str]
    questions: Questions
    until_us: int


def monthly_landmarks(history: History, until_us: int) -> Landmarks:
    """Every deal open at the start of each asked month, followed until `until_us`."""
    monthly = []
    for moment in MONTHS:
        # A grid wider than the data has one point: the moment itself.
        every = make_landmarks(history, until_us=until_us, first_us=as_of_us(moment), every_days=10_000.0)
        monthly.append(every.take(every.at_us == as_of_us(moment)))
    return Landmarks(
        *(np.concatenate([getattr(one, name) for one in monthly]) for name in Landmarks.__dataclass_fields__)
    )


def questions_of(history: History, until_us: int) -> Questions:
    """The landmarks, and a grid of days that holds the horizons and what is left of each month's quarter."""
    grid = {*HORIZONS_DAYS, 1, 2, *range(4, HORIZONS_DAYS[-1], 4), *(_days_left(month) for month in MONTHS)}
    return Questions(
        monthly_landmarks(history, until_us),
        tuple(float(day) for day in sorted(grid)),
        tuple(float(day) for day in HORIZONS_DAYS),
    )


def compare(
    company: Company,
    settings: FitSettings,
    field: Field,
    tell: Callable[[str], None] = lambda _text: None,
) -> Comparison:
    """Scores of all forecasters, the truth last, and their answers.

    Scores are long: forecaster, metric, horizon_days, value. Besides the metrics of `curve_scores`:

    - `mae`: mean distance from the exact P(won within h | everything recorded); `truth_bias`: with its sign
    - `mae_quarter`: the same for P(won by the end of the quarter of the moment)
    - `days_from_truth`: mean distance in days between the middle of the forecast time to a win and that of the
      true one, both given a win by the last horizon, of the deals that were won by then
    - `bookings_bias`, `bookings_error`: the open deals' P(won in the quarter) x amount, summed at each moment,
      against the true expectation: mean of the relative differences with their sign, and without. All are given
      the true expected amounts, so that probabilities are compared
    - `brier_ratio`, `integrated_brier_ratio`, `concordance_gap`: against the truth's own
    - `fit_seconds`, `predict_ms` (for 1,000 deals), `peak_mb`, `rows`
    """
    history = History.from_tables(company.tables)
    until_us = as_of_us(company.until)
    questions = questions_of(history, until_us)
    marks = questions.landmarks
    ids = history.deal_ids[marks.deal]
    truth = company.truth_within(ids, pd.to_datetime(marks.at_us, unit="us", utc=True), questions.grid_days)
    found = field.ask(Lesson(history, LEARN_UNTIL, settings), questions, tell)
    nothing = Cost(float("nan"), float("nan"), float("nan"))
    answers = {answer.name: answer for answer in found.answers}
    answers[TRUTH] = Answer(TRUTH, "the truth", truth, nothing, 0)

    won = {name: answer.won for name, answer in answers.items()}
    scores = curve_scores(questions, won, HORIZONS_DAYS, until_us=until_us)
    expected = _expected_bookings(company, history, marks)
    at_end = np.array([questions.at(_days_left(pd.Timestamp(at, unit="us", tz="UTC"))) for at in marks.at_us])
    grid = np.array(questions.grid_days)
    came = (marks.cause == WON) & (marks.duration_days < HORIZONS_DAYS[-1])
    rows: list[tuple[str, str, int, float]] = []
    for name, answer in answers.items():
        for horizon in HORIZONS_DAYS:
            off = answer.won[:, questions.at(horizon)] - truth[:, questions.at(horizon)]
            rows += [(name, "mae", horizon, float(np.abs(off).mean()))]
            rows += [(name, "truth_bias", horizon, float(off.mean()))]
        in_quarter, truly = (p[np.arange(len(marks)), at_end] for p in (answer.won, truth))
        rows.append((name, "mae_quarter", 0, float(np.abs(in_quarter - truly).mean())))
        said = _by_moment(marks, in_quarter * expected) / _by_moment(marks, truly * expected) - 1.0
        rows += [(name, "bookings_bias", 0, float(said.mean()))]
        rows += [(name, "bookings_error", 0, float(np.abs(said).mean()))]
        middle, true_middle = (days_to_win(grid, p[came], HORIZONS_DAYS[-1]) for p in (answer.won, truth))
        middle = np.where(np.isnan(middle), HORIZONS_DAYS[-1] / 2, middle)
        rows.append((name, "days_from_truth", 0, float(np.abs(middle - true_middle).mean())))
        cost = answer.cost
        for metric in ("fit_seconds", "predict_ms", "peak_mb"):
            rows.append((name, metric, 0, float(getattr(cost, metric))))
        rows.append((name, "rows", 0, float(answer.rows)))
    more = pd.DataFrame(rows, columns=["forecaster", "metric", "horizon_days", "value"])
    table = pd.concat([more, scores], ignore_index=True)
    scores = pd.concat([table, _against_truth(table)], ignore_index=True)
    return Comparison(scores, answers, found.failed, questions, until_us)


def medians(scores: pd.DataFrame) -> pd.DataFrame:
    """The median over seeds of every score: columns deals, drift, forecaster, metric, horizon_days, value."""
    found = scores.groupby(_KEYS, sort=False, dropna=False)["value"].median()
    return found.reset_index()


def _days_left(moment: pd.Timestamp) -> int:
    """Whole days from a midnight to the end of its quarter."""
    return int((Period.containing(moment).end_us - as_of_us(moment)) // DAY_US)


def _expected_bookings(company: Company, history: History, marks: Landmarks) -> Floats:
    """(n,) the true expected amount of each deal if it is won in the quarter of its moment."""
    amount = np.empty(len(marks))
    for at_us in np.unique(marks.at_us):
        moment = pd.Timestamp(at_us, unit="us", tz="UTC")
        frame = company.expected_bookings(moment, Period.containing(moment)).set_index("deal_id")
        rows = marks.at_us == at_us
        amount[rows] = frame["amount_if_won"].reindex(history.deal_ids[marks.deal[rows]]).to_numpy(np.float64)
    return np.nan_to_num(amount)


def _by_moment(marks: Landmarks, values: Floats) -> Floats:
    return np.bincount(np.unique(marks.at_us, return_inverse=True)[1], weights=values)


def _against_truth(table: pd.DataFrame) -> pd.DataFrame:
    """Scores told against what the truth itself reaches on the same deals."""
    parts = []
    for metric, name, compared in (
        ("brier", "brier_ratio", np.divide),
        ("integrated_brier", "integrated_brier_ratio", np.divide),
        ("concordance", "concordance_gap", lambda one, best: best - one),
    ):
        rows = table[table["metric"] == metric]
        best = rows[rows["forecaster"] == TRUTH].set_index("horizon_days")["value"]
        parts.append(rows.assign(metric=name, value=compared(rows["value"], rows["horizon_days"].map(best))))
    return pd.concat(parts, ignore_index=True)
