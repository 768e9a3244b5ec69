"""A currency is a unit: its amounts a hundred times as large at a hundredth of its rate are the same money."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.testing import assert_allclose, assert_array_equal

from forecast.bundle import Bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.outlook import Outlook, make_outlook
from forecast.periods import Period
from forecast.simulator import Simulation
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
CENTS = 128.0  # a power of two scales floats without rounding


def in_cents(tables: Tables) -> Tables:
    """The same company with its dollars counted in units of which a dollar has 128."""
    deals, events, rates = tables.deals.copy(), tables.deal_events.copy(), tables.fx_rates.copy()
    dollars = deals["currency"] == "USD"
    assert dollars.any()
    deals.loc[dollars, "amount"] *= CENTS
    mine = (events["field"] == "amount") & events["deal_id"].isin(deals.loc[dollars, "deal_id"])
    events.loc[mine, "value"] = [repr(float(value) * CENTS) for value in events.loc[mine, "value"]]
    rates.loc[rates["currency"] == "USD", "rate"] /= CENTS
    quotas = tables.quotas.copy()
    quotas.loc[quotas["currency"] == "USD", "amount"] *= CENTS
    parts = ("stages", "activities", "users", "leads")
    return Tables.from_frames(
        deals=deals,
        deal_events=events,
        fx_rates=rates,
        quotas=quotas,
        **{name: getattr(tables, name) for name in parts},
    )


def outlook_of(tables: Tables) -> Outlook:
    history = History.from_tables(tables)
    settings = FitSettings(seed=1, max_landmarks=4_000, windows=1, ridge_grid=(12.0,))
    bundle = Bundle("test", {}, fit_models(history, AS_OF, settings), [])
    period = Period.parse("2026Q1")
    return make_outlook(tables, bundle, as_of=AS_OF, period=period, history=history, reasons=0)


def test_scaling_a_currency_with_its_rate_changes_nothing(sample: Simulation) -> None:
    once, again = outlook_of(sample.tables), outlook_of(in_cents(sample.tables))
    for column in ("won_in_period", "amount_if_won", "expected_bookings"):
        assert_allclose(again.scores[column], once.scores[column], rtol=1e-9)
    numbers = once.bookings.table.select_dtypes(np.number).columns
    assert_allclose(again.bookings.table[numbers], once.bookings.table[numbers], rtol=1e-6, equal_nan=True)
    assert_array_equal(again.bookings.table["entity"], once.bookings.table["entity"])
    one, other = once.bundle.models, again.bundle.models
    assert_allclose(other.arrivals.amount_mean, one.arrivals.amount_mean, rtol=1e-9)
    for name, segment in one.amount.table.items():
        assert_allclose(other.amount.table[name].ratio, segment.ratio, rtol=1e-9)
