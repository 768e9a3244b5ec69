"""Bookings as the bundle foretold them since training, beside what came; and what it says of the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import DataError
from forecast.evaluation.baselines import booked_amount
from forecast.history import History
from forecast.outlook import make_outlook
from forecast.periods import Period, as_of_us
from forecast.tables import Tables

__all__ = ["Foretold", "Remaining", "foretold_bookings", "remaining_bookings"]

_LEAST: Final = pd.Timedelta(days=14)  # of a quarter, to be compared or corrected
# From the 80 % range to that of 99 %, as for a normal distribution.
_WIDER: Final = 2.576 / 1.2816


@dataclass(frozen=True, slots=True)
class Foretold:
    """Bookings of a quarter, or of the part of it from training, or until now.

    start, end : the part; whole : whether it ends with the quarter
    low, high : 99 % range, made wider from that of 80 %
    """

    quarter: str
    start: pd.Timestamp
    end: pd.Timestamp
    whole: bool
    expected: float
    p10: float
    p90: float
    low: float
    high: float
    came: float

    @property
    def outside(self) -> bool:
        """Whether what came lies outside the 99 % range."""
        return not self.low <= self.came <= self.high


@dataclass(frozen=True, slots=True)
class Remaining:
    """What the bundle expects of the rest of a quarter: from deals now open, and from those not yet created."""

    quarter: str
    open: float
    arrivals: float


def foretold_bookings(
    tables: Tables, history: History, bundle: Bundle, as_of: pd.Timestamp, *, seed: int = 0
) -> tuple[Foretold, ...]:
    """One for each quarter since training, oldest first; forecast as of its start or as of training.

    Parts shorter than two weeks are left out, and so is a quarter for which no amount is known.
    """
    found = []
    quarter = Period.containing(bundle.trained_until)
    while quarter.start < as_of:
        start, end = max(quarter.start, bundle.trained_until), min(quarter.end, as_of)
        if end - start >= _LEAST:
            part = Period(quarter.label, "quarter", start, end)
            try:
                company = _company(tables, history, bundle, start, part, seed)
            except DataError as error:
                if error.code != "no_amounts":
                    raise
            else:
                low = company["p50"] - _WIDER * (company["p50"] - company["p10"])
                high = company["p50"] + _WIDER * (company["p90"] - company["p50"])
                found.append(
                    Foretold(
                        quarter=quarter.label,
                        start=start,
                        end=end,
                        whole=end == quarter.end,
                        expected=float(company["expected"]),
                        p10=float(company["p10"]),
                        p90=float(company["p90"]),
                        low=max(float(low), 0.0),
                        high=float(high),
                        came=booked_amount(history, as_of_us(end), part),
                    )
                )
        quarter = quarter.next()
    return tuple(found)


def remaining_bookings(
    tables: Tables, history: History, bundle: Bundle, as_of: pd.Timestamp, *, seed: int = 0
) -> Remaining | None:
    """Of the running quarter, or the coming one where less than two weeks are left; None without amounts."""
    quarter = Period.containing(as_of)
    if quarter.end - as_of < _LEAST:
        quarter = quarter.next()
    start = max(quarter.start, as_of)
    part = Period(quarter.label, "quarter", start, quarter.end)
    try:
        company = _company(tables, history, bundle, as_of, part, seed)
    except DataError as error:
        if error.code != "no_amounts":
            raise
        return None
    return Remaining(quarter.label, float(company["open"]), float(company["arrivals"]))


def _company(
    tables: Tables, history: History, bundle: Bundle, as_of: pd.Timestamp, part: Period, seed: int
) -> pd.Series:
    outlook = make_outlook(tables, bundle, as_of=as_of, period=part, history=history, reasons=0, seed=seed)
    found: pd.Series = outlook.bookings.table.query("level == 'company'").iloc[0]
    return found
