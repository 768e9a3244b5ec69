"""The outlook for a period: scores, bookings and what they were made from, put together in one place.

The command line, the service and the report all come through here, so they cannot disagree.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import DataError, UsageError
from forecast.history import History, Leads
from forecast.periods import Period, as_of_us, to_timestamp
from forecast.rollup import Bookings, PeriodInputs, Uncertainty, roll_up
from forecast.scoring import score_open_deals
from forecast.tables import CheckReport, Money, Tables

__all__ = ["Outlook", "check_as_of", "check_reach", "history_of", "leads_of", "make_outlook", "period_inputs"]


@dataclass(frozen=True)
class Outlook:
    """A period as seen from one moment.

    scores : one row per open deal (contract columns, with won_in_period)
    bookings : the roll-up against quotas
    inputs : what the roll-up was made from
    check : what reading the tables reported, if they came from a folder
    """

    tables: Tables
    history: History
    bundle: Bundle
    as_of: pd.Timestamp
    period: Period
    scores: pd.DataFrame
    bookings: Bookings
    inputs: PeriodInputs
    check: CheckReport | None = None


def history_of(tables: Tables, bundle: Bundle) -> History:
    """History of a folder for scoring, with its own exchange rates in the bundle's reporting currency.

    A folder without rates is read with the bundle's.
    """
    own = Money.from_tables(tables, bundle.models.money.reporting)
    money = own if len(tables.fx_rates) else bundle.models.money
    return History.from_tables(tables, money)


def check_reach(tables: Tables, as_of: pd.Timestamp, *, leads: bool = False) -> None:
    """Raise as `check_as_of` does (with `leads` as `leads_of` does), before tables are cut at the moment.

    What was cut off can no longer say when the data begin.
    """
    if leads:
        if not len(tables.leads):
            raise _no_leads()
        first = tables.leads["created_at"].min()
        if first >= as_of:
            raise _no_lead_before(as_of, first)
        return
    events = tables.deal_events
    begins = events.loc[events["field"] == "stage", "recorded_at"].min()
    if pd.isna(begins) or begins >= as_of:
        raise _nothing_before(as_of, None if pd.isna(begins) else begins)


def _no_leads() -> DataError:
    return DataError(
        "there is no lead in this data: its leads table is missing or empty; add one (see docs/tables.md)",
        code="no_leads",
    )


def _no_lead_before(as_of: pd.Timestamp, first: pd.Timestamp) -> UsageError:
    return UsageError(
        f"no lead was known before {as_of.isoformat()} in this data (the first is of "
        f"{first.isoformat()}); choose a later --as-of",
        code="as_of_before_data",
    )


def _nothing_before(as_of: pd.Timestamp, first: pd.Timestamp | None) -> UsageError:
    begins = "it holds no deals" if first is None else f"it begins {first.isoformat()}"
    return UsageError(
        f"nothing was recorded before {as_of.isoformat()} in this data ({begins}); choose a later --as-of",
        code="as_of_before_data",
    )


def leads_of(tables: Tables, deals: History, as_of: pd.Timestamp) -> History:
    """History of a folder's leads; `deals` is that of its deals.

    Raises DataError if there are none, UsageError if none was known before `as_of`.
    """
    history = Leads.from_tables(tables, deals).history
    if not len(history):
        raise _no_leads()
    first = int(history.known_from_us().min())
    if first >= as_of_us(as_of):
        raise _no_lead_before(as_of, to_timestamp(first))
    return history


def check_as_of(history: History, as_of: pd.Timestamp) -> None:
    """Raise UsageError if nothing at all was recorded before `as_of`."""
    first = int(history.known_from_us().min(initial=np.iinfo(np.int64).max)) if len(history) else None
    if first is None or first >= as_of_us(as_of):
        raise _nothing_before(as_of, None if first is None else to_timestamp(first))


def check_amounts(inputs: PeriodInputs) -> None:
    """Raise DataError if there are deals but not one amount among them: a sum of nothing would read as zero."""
    deals = len(inputs.booked) + len(inputs.open)
    if deals and inputs.booked["amount"].isna().all() and inputs.open["amount_if_won"].isna().all():
        raise DataError(
            f"none of the {deals:,} deals of {inputs.period.label} has an amount above zero that can be "
            "converted, so there is nothing to add up; fill in deals.amount, or fx_rates for its currency",
            code="no_amounts",
        )


def make_outlook(
    tables: Tables,
    bundle: Bundle,
    *,
    as_of: pd.Timestamp | None = None,
    period: Period | None = None,
    reasons: int = 5,
    history: History | None = None,
    check: CheckReport | None = None,
    seed: int = 0,
    locale: str = "en",
    deciding: int = 0,
) -> Outlook:
    """Score all open deals and roll them up.

    as_of : default is the moment after the newest event
    period : default is the quarter that starts next
    locale : the language of the reasons
    deciding : how many deals to name for each quota, see `roll_up`
    history : pass one to save building it again for another moment
    Raises UsageError if nothing was recorded before `as_of`, or for a period that is over or too far away,
    DataError if there are deals but no amount is known of any.
    """
    moment = tables.default_as_of if as_of is None else as_of
    span = Period.coming(moment) if period is None else period
    past = history_of(tables, bundle) if history is None else history
    check_as_of(past, moment)
    scores = score_open_deals(past, bundle, moment, period=span, reasons=reasons, locale=locale)
    inputs = period_inputs(past, bundle, moment, span, scores)
    check_amounts(inputs)
    bookings = roll_up(inputs, tables.users, tables.quotas, past.money, seed=seed, deciding=deciding)
    return Outlook(tables, past, bundle, moment, span, scores, bookings, inputs, check)


def period_inputs(
    history: History, bundle: Bundle, as_of: pd.Timestamp, period: Period, scores: pd.DataFrame
) -> PeriodInputs:
    """Booked, open and arriving business of a period, ready to be rolled up."""
    models, at_us = bundle.models, as_of_us(as_of)
    deal = history.index_of(scores["deal_id"].to_numpy(object))
    _, shape = models.amount.predict(history, deal, np.full(len(deal), at_us))
    shapes = models.amount.shapes
    # The log-normal spread with the same second moment, for whom two moments are enough.
    log_sd = np.sqrt(np.log(np.maximum((shapes**2).mean(axis=1), 1.0)))
    columns = ["deal_id", "owner_id", "amount", "won_in_period", "amount_if_won"]
    return PeriodInputs(
        period=period,
        as_of=as_of,
        booked=history.booked(at_us, period.start_us, period.end_us)[["deal_id", "owner_id", "amount"]],
        open=scores[columns].assign(amount_log_sd=log_sd[shape], amount_shape=shape),
        arrivals=models.arrivals.expected(history, at_us, period.start_us, period.end_us, models.seasons),
        uncertainty=Uncertainty(models.shock.sd, models.shock.df, models.arrivals.sd),
        amount_shapes=shapes,
    )
