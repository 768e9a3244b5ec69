"""Small companies to roll up: each builder fills in what a test does not care about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from forecast.periods import Period, as_of_us
from forecast.rollup import PeriodInputs, Uncertainty
from forecast.tables.money import Money

QUARTER = Period.parse("2026Q1")
AS_OF = pd.Timestamp("2026-01-15", tz="UTC")
CALM = Uncertainty(shock_sd=0.0, shock_df=8.0)

_BOOKED = {"deal_id": "str", "owner_id": "str", "amount": "float64"}
_OPEN = _BOOKED | {"won_in_period": "float64", "amount_if_won": "float64", "amount_log_sd": "float64"}
_ARRIVALS = {"owner_id": "str", "deals": "float64", "amount_mean": "float64", "amount_cv": "float64"}
_USERS = {"user_id": "str", "team": "str", "region": "str", "active": "bool"}
_QUOTAS = {"level": "str", "entity": "str", "period": "str", "amount": "float64", "currency": "str"}


def frame(rows: Sequence[Sequence[Any]], dtypes: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(dtypes)).astype(dtypes)


def users(*rows: tuple[str, str | None, str | None, bool]) -> pd.DataFrame:
    """(user_id, team, region, active) each."""
    return frame(rows, _USERS)


def quotas(*rows: tuple[str, str, str, float, str | None]) -> pd.DataFrame:
    """(level, entity, period, amount, currency) each."""
    return frame(rows, _QUOTAS)


def booked(*rows: tuple[str, str | None, float]) -> pd.DataFrame:
    """(deal_id, owner_id, amount) each."""
    return frame(rows, _BOOKED)


def deals(*rows: tuple[str, str | None, float, float], log_sd: float = 0.0) -> pd.DataFrame:
    """(deal_id, owner_id, amount, won_in_period) each; the amount if won is today's amount."""
    return frame([(deal, owner, amount, p, amount, log_sd) for deal, owner, amount, p in rows], _OPEN)


def arrivals(*rows: tuple[str | None, float, float, float]) -> pd.DataFrame:
    """(owner_id, deals, amount_mean, amount_cv) each."""
    return frame(rows, _ARRIVALS)


def inputs(
    *,
    won: pd.DataFrame | None = None,
    pipeline: pd.DataFrame | None = None,
    coming: pd.DataFrame | None = None,
    uncertainty: Uncertainty = CALM,
    period: Period = QUARTER,
    as_of: pd.Timestamp = AS_OF,
) -> PeriodInputs:
    return PeriodInputs(
        period,
        as_of,
        booked() if won is None else won,
        deals() if pipeline is None else pipeline,
        arrivals() if coming is None else coming,
        uncertainty,
    )


def euros(**rates: list[tuple[str, float]]) -> Money:
    """Euros, and other currencies by dated rates, e.g. USD=[("2025-01-01", 0.9)]."""
    dated = {
        name: (
            np.array([as_of_us(pd.Timestamp(day, tz="UTC")) for day, _ in steps], np.int64),
            np.array([rate for _, rate in steps]),
        )
        for name, steps in rates.items()
    }
    return Money(
        "EUR",
        ("EUR", *dated),
        (np.empty(0, np.int64), *(days for days, _ in dated.values())),
        (np.empty(0), *(values for _, values in dated.values())),
    )


def row(table: pd.DataFrame, level: str, entity: str = "*") -> pd.Series:
    """The one row of an entity."""
    found = table[(table["level"] == level) & (table["entity"] == entity)]
    assert len(found) == 1, f"{len(found)} rows for {level} {entity!r}"
    return found.iloc[0]
