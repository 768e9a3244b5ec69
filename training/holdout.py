"""Measuring on a later period: models that had learnt only what was recorded before it, beside the baselines.

E.g. as of 1 January 2026 with 180 days: models and baselines learn from what was recorded before 5 July 2025.
They are asked about every deal open at each weekly look from then on; of a look on 1 November the 30 days
after it are fully seen and count, the 90 days are not. Bookings are those of the last complete quarter,
forecast as of its first moment: October to December, as of 1 October.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.bundle import Bundle
from forecast.errors import DataError
from forecast.evaluation.baselines import (
    StageRate,
    all_baselines,
    all_bookings_baselines,
    booked_amount,
)
from forecast.evaluation.scoreboard import measure, metric_names
from forecast.history import History, Landmarks, make_landmarks
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.outlook import make_outlook
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Tables
from training.settings import HoldoutSettings

__all__ = [
    "OURS",
    "Holdout",
    "Looks",
    "Measured",
    "choose_holdout",
    "held_out_looks",
    "measure_holdout",
    "quarter_bookings",
]

Tell = Callable[[str, float], None]

OURS: Final = "ours"
# No more than this share of the history is kept back from the models that are measured.
_LARGEST_SHARE: Final = 1 / 3
# A quarter with no more than this to go counts as complete: data often end on the evening of its last day.
_COMPLETE_WITHIN: Final = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Holdout:
    """The period models are measured on.

    start, end: learnt before `start`, measured on [start, end)
    horizons_days: those of the settings that fit in
    quarter: the complete quarter inside whose bookings are compared; None if there is none
    """

    start: pd.Timestamp
    end: pd.Timestamp
    horizons_days: tuple[int, ...]
    quarter: Period | None

    @property
    def days(self) -> int:
        """Length in whole days."""
        return (self.end - self.start).days


@dataclass(frozen=True, slots=True)
class Looks:
    """Who was asked about what: what the metrics were made of, for whoever wants to look closer.

    models: those that were measured
    landmarks: n looks at deals of `history` inside the holdout
    predictions: forecaster -> (n, H) probabilities of being won within the horizons of the holdout
    """

    history: History
    models: FittedModels
    landmarks: Landmarks
    predictions: dict[str, Floats]


@dataclass(frozen=True, slots=True)
class Measured:
    """What came out.

    table: long table of metrics, see `evaluation.scoreboard`; our models are the forecaster `ours`
    bookings: rows forecaster, expected, p10, p50, p90 of the quarter (quantiles NaN for rules that give
        none); the row `actual` last; None without a quarter
    rung: the rung of the measured models; the final ones, with more to learn from, may climb higher
    looks: what the metrics were made of; None where only they were kept
    """

    holdout: Holdout
    table: pd.DataFrame
    bookings: pd.DataFrame | None
    rung: str
    looks: Looks | None = None

    def metrics(self) -> dict[str, float]:
        """Flat names for a bundle and MLflow: `brier_90d`, `brier_90d_stage_weighted`, `bookings_error`."""
        found = metric_names(self.table, ours=OURS)
        if self.bookings is not None:
            expected = self.bookings.set_index("forecaster")["expected"]
            actual = float(expected["actual"])
            found["bookings_actual"] = actual
            for forecaster, value in expected.drop("actual").items():
                suffix = "" if forecaster == OURS else f"_{forecaster}"
                found[f"bookings_expected{suffix}"] = float(value)
                if actual > 0.0:
                    found[f"bookings_error{suffix}"] = (float(value) - actual) / actual
        return {name: value for name, value in found.items() if not np.isnan(value)}

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as None."""
        return {
            "start": self.holdout.start.isoformat(),
            "end": self.holdout.end.isoformat(),
            "quarter": None if self.holdout.quarter is None else self.holdout.quarter.label,
            "rung": self.rung,
            "metrics": _plain(self.table),
            "bookings": None if self.bookings is None else _plain(self.bookings),
        }


def choose_holdout(
    history: History, as_of: pd.Timestamp, settings: HoldoutSettings
) -> tuple[Holdout | None, str]:
    """The period to measure on, None if the history is too short, and what there is to say about it."""
    if settings.days == 0:
        return None, "The models were not measured: the settings hold out 0 days."
    until_us = as_of_us(as_of)
    span = (until_us - int(history.known_from_us().min(initial=until_us))) / DAY_US
    most = span * _LARGEST_SHARE
    days = min(float(settings.days), most)
    horizons = tuple(sorted(h for h in settings.horizons_days if h < days))
    if not horizons:
        return None, (
            f"The models were not measured on a later period: {span:.0f} days of history are too few to keep "
            f"{min(settings.horizons_days)} of them back and still learn from twice as many."
        )
    note = ""
    if days < settings.days:
        note = f"With {span:.0f} days of history, {days:.0f} instead of {settings.days} are held out."
    start = (as_of - pd.Timedelta(days=days)).floor("D")
    quarter = Period.containing(as_of + _COMPLETE_WITHIN).previous()
    if quarter.start < start:
        # A little more than asked for makes the quarter whole.
        if (as_of - quarter.start) / pd.Timedelta(days=1) <= most:
            start = quarter.start
        else:
            return Holdout(start, as_of, horizons, None), note
    return Holdout(start, as_of, horizons, quarter), note


def measure_holdout(
    tables: Tables, history: History, holdout: Holdout, settings: FitSettings, *, tell: Tell
) -> Measured:
    """Fit on what was recorded before the holdout; measure ours and every baseline inside it.

    tell: called with what is being done and the share done
    """
    start_us, end_us = as_of_us(holdout.start), as_of_us(holdout.end)
    models = fit_models(
        history, holdout.start, settings, tell=lambda text, share: tell(f"for measuring: {text}", 0.5 * share)
    )
    tell("asking models and baselines about the held-out period", 0.5)
    rng = np.random.default_rng(settings.seed)
    learn = make_landmarks(history, until_us=start_us, every_days=settings.landmark_every_days).thin(
        settings.max_landmarks, rng
    )
    asked = held_out_looks(history, holdout, settings, rng)
    horizons = holdout.horizons_days
    predictions = {OURS: models.win_probability(history, asked.deal, asked.at_us, horizons)}
    baselines = all_baselines(settings.seed)
    for number, baseline in enumerate(baselines):
        tell(f"baseline: {baseline.label}", 0.6 + 0.3 * number / len(baselines))
        baseline.fit(history, learn)
        predictions[baseline.name] = baseline.predict(history, asked.deal, asked.at_us, horizons)
    table = measure(asked, predictions, horizons, until_us=end_us)
    tell("bookings of the held-out quarter", 0.9)
    rates = next(one.rate for one in baselines if isinstance(one, StageRate))
    bookings = None
    if holdout.quarter is not None:
        try:
            bookings = _bookings(tables, history, models, holdout.quarter, end_us, rates)
        except DataError as error:
            if error.code != "no_amounts":  # chances can be measured without any
                raise
    tell("measured", 1.0)
    looks = Looks(history, models, asked, predictions)
    return Measured(holdout, table, bookings, models.outcome.name, looks)


def held_out_looks(
    history: History, holdout: Holdout, settings: FitSettings, rng: np.random.Generator
) -> Landmarks:
    """The looks of the held-out period: every deal open at each of them, until its end."""
    return make_landmarks(
        history,
        until_us=as_of_us(holdout.end),
        first_us=as_of_us(holdout.start),
        every_days=settings.landmark_every_days,
    ).thin(settings.max_landmarks, rng)


def quarter_bookings(
    tables: Tables, history: History, models: FittedModels, quarter: Period
) -> tuple[float, float, float, float]:
    """Bookings of a quarter as models foretell them at its first moment: expected, p10, p50, p90.

    Raises DataError if no amount is known of any deal.
    """
    # A bundle that never was on disk: from here on the way to bookings is the one everybody takes.
    bundle = Bundle(id="", manifest={}, models=models, golden=[])
    outlook = make_outlook(tables, bundle, as_of=quarter.start, period=quarter, history=history, reasons=0)
    company = outlook.bookings.table.query("level == 'company'").iloc[0]
    return (
        float(company["expected"]),
        float(company["p10"]),
        float(company["p50"]),
        float(company["p90"]),
    )


def _bookings(
    tables: Tables,
    history: History,
    models: FittedModels,
    quarter: Period,
    end_us: int,
    rates: Any,
) -> pd.DataFrame:
    """Bookings of the quarter as foretold at its first moment, and as they came by the end of the holdout."""
    at_us = quarter.start_us
    nothing = float("nan")
    rows = [(OURS, *quarter_bookings(tables, history, models, quarter))]
    for rule in all_bookings_baselines(rates):
        expected = rule.forecast(history, at_us, quarter).expected
        # A rule with nothing to say (no commits kept, no year before) has no row rather than a 0.
        if expected > 0.0:
            rows.append((rule.name, expected, nothing, nothing, nothing))
    rows.append(("actual", booked_amount(history, end_us, quarter), nothing, nothing, nothing))
    return pd.DataFrame(rows, columns=["forecaster", "expected", "p10", "p50", "p90"])


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): None if isinstance(one, float) and np.isnan(one) else one for key, one in row.items()}
        for row in frame.to_dict("records")
    ]
