"""How each data set is split by time, and what is measured on it.

Nothing here touches the test period before it is scored: settings are the ones everybody gets, baselines
learn from the same landmarks as the models, and all are blind to what was recorded at or after the split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import pandas as pd

from benchmarks.real import bpic2012, maven_crm
from forecast.arrays import Floats
from forecast.evaluation import metrics, scoreboard
from forecast.evaluation.baselines import (
    AalenJohansenByStage,
    Baseline,
    BaseRate,
    ClosedOnly,
    StageWeighted,
)
from forecast.history import WON, History, Landmarks, make_landmarks
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Money, Tables

__all__ = ["FORECAST", "PROTOCOLS", "Result", "run_bpic2012", "run_maven_crm"]

Tell = Callable[[str], None]

FORECAST: Final = "forecast"
LABELS: Final = {
    "base_rate": "constant",
    "stage_weighted": "stage-weighted",
    "aalen_johansen": "Aalen-Johansen",
    "closed_only": "closed deals only",
    FORECAST: "Forecast",
}

BPIC_SPLIT: Final = pd.Timestamp("2012-01-09", tz=bpic2012.ZONE).tz_convert("UTC")
BPIC_LAST_MONDAY: Final = pd.Timestamp("2012-02-13", tz=bpic2012.ZONE).tz_convert("UTC")
BPIC_HORIZONS_DAYS: Final = (7, 14, 30)
MAVEN_MONTHS: Final = pd.date_range("2017-07-01", "2017-12-01", freq="MS", tz="UTC")
MAVEN_HORIZONS_DAYS: Final = (30, 90)


@dataclass(frozen=True)
class Result:
    """What came out for one data set.

    scores : long table of `forecast.evaluation.scoreboard`
    bookings : amounts, one row per as-of with `actual` and a column per forecaster; None if nothing is booked
    models : the last fit, which says what was chosen and which fields were refused
    """

    name: str
    title: str
    scores: pd.DataFrame
    bookings: pd.DataFrame | None
    models: FittedModels


def baselines() -> tuple[Baseline, ...]:
    """What stands beside the models, not yet fitted."""
    return BaseRate(), StageWeighted(), AalenJohansenByStage(), ClosedOnly(seed=0)


def run_bpic2012(tables: Tables, settings: FitSettings = FitSettings(), tell: Tell | None = None) -> Result:  # noqa: B008  (frozen)
    """Fit once on 9 January 2012, score all deals open on six Mondays, P(won within 7, 14 and 30 days)."""
    say = tell or (lambda _text: None)
    history = History.from_tables(tables, Money.from_tables(tables))
    split_us, until_us = as_of_us(BPIC_SPLIT), as_of_us(tables.default_as_of)
    say("bpic2012: fitting as of 2012-01-09")
    forecasters = _fitted(history, split_us, settings)
    models = forecasters.models
    test = make_landmarks(history, first_us=split_us, until_us=until_us, every_days=7.0)
    test = test.take(test.at_us <= as_of_us(BPIC_LAST_MONDAY))
    say("bpic2012: scoring six Mondays")
    predictions = forecasters.predict(test, BPIC_HORIZONS_DAYS)
    scores = scoreboard.measure(test, predictions, BPIC_HORIZONS_DAYS, until_us=until_us)
    return Result("bpic2012", "Loan applications (BPI Challenge 2012)", scores, None, models)


def run_maven_crm(tables: Tables, settings: FitSettings = FitSettings(), tell: Tell | None = None) -> Result:  # noqa: B008  (frozen)
    """Refit at each month start from July to December 2017, score all open deals.

    P(won within 30 and 90 days), and what the open deals bring until the end of the quarter: the sum of
    P(won by then) x list price against the list prices of those of them that were won by then.
    """
    say = tell or (lambda _text: None)
    history = History.from_tables(tables, Money.from_tables(tables))
    until_us = as_of_us(tables.default_as_of)
    tests: list[Landmarks] = []
    predictions: list[Mapping[str, Floats]] = []
    booked: list[dict[str, float | str]] = []
    for month in MAVEN_MONTHS:
        say(f"maven_crm: fitting as of {month:%Y-%m-%d}")
        at_us = as_of_us(month)
        forecasters = _fitted(history, at_us, settings)
        test = _open_at(history, at_us, until_us)
        quarter_end_us = Period.containing(month).end_us
        days_left = (quarter_end_us - at_us) / DAY_US
        found = forecasters.predict(test, (*MAVEN_HORIZONS_DAYS, days_left))
        price = history.amount(test.deal, test.at_us)
        won = (test.cause == WON) & (test.at_us + np.round(test.duration_days * DAY_US) < quarter_end_us)
        booked.append(
            {
                "as_of": f"{month:%Y-%m-%d}",
                "actual": float(price[won].sum()),
                **{name: float(p[:, -1] @ price) for name, p in found.items()},
            }
        )
        tests.append(test)
        predictions.append({name: p[:, :-1] for name, p in found.items()})
    pooled = _pooled(tests)
    together = {name: np.concatenate([found[name] for found in predictions]) for name in predictions[0]}
    scores = scoreboard.measure(pooled, together, MAVEN_HORIZONS_DAYS, until_us=until_us)
    return Result(
        "maven_crm", "Maven CRM sales opportunities", scores, pd.DataFrame(booked), forecasters.models
    )


class Measured(Protocol):
    """Fit, forecast and measure on the tables of one data set."""

    def __call__(self, tables: Tables, settings: FitSettings = ..., tell: Tell | None = None) -> Result: ...


PROTOCOLS: Final[dict[str, tuple[Callable[[], Tables], Measured]]] = {
    "maven_crm": (maven_crm.load, run_maven_crm),
    "bpic2012": (bpic2012.load, run_bpic2012),
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


@dataclass(frozen=True)
class _Fitted:
    history: History
    models: FittedModels
    baselines: tuple[Baseline, ...]

    def predict(self, rows: Landmarks, horizons_days: tuple[float, ...]) -> dict[str, Floats]:
        """Forecaster -> (n, H) probability of being won within each horizon."""
        found = {
            b.name: b.predict(self.history, rows.deal, rows.at_us, horizons_days) for b in self.baselines
        }
        found[FORECAST] = self.models.win_probability(self.history, rows.deal, rows.at_us, horizons_days)
        return found


def _fitted(history: History, until_us: int, settings: FitSettings) -> _Fitted:
    """Models and baselines that know what was recorded before `until_us`."""
    models = fit_models(history, pd.Timestamp(until_us, unit="us", tz="UTC"), settings)
    landmarks = make_landmarks(history, until_us=until_us, every_days=settings.landmark_every_days)
    beside = baselines()
    for baseline in beside:
        baseline.fit(history, landmarks)
    return _Fitted(history, models, beside)


def _open_at(history: History, at_us: int, until_us: int) -> Landmarks:
    """One row per deal open at a moment, with what became of it until the data end."""
    found = make_landmarks(history, first_us=at_us, until_us=until_us, every_days=1.0)
    return found.take(found.at_us == at_us)


def _pooled(parts: list[Landmarks]) -> Landmarks:
    names = Landmarks.__dataclass_fields__
    return Landmarks(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})
