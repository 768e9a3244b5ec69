"""What was known before a moment: the tables as they would have been read then.

A forecast made as of a moment is a function of this part of the data alone. It stays the same while the data
grow: later rows are cut off, and so is what later events wrote into `deals`. So a forecast can be made again,
and checked, months afterwards.

E.g. as of 2026-01-01 00:00 a deal first seen on 3 January is not there, a win recorded on 2 January is not
either, and `deals.amount`, put right on 4 January by an event, is unknown there: the events before tell it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.tables.models import BANT, TABLES, Activities, DealEvents, Deals, FxRates, Leads
from forecast.tables.tables import Tables, is_among

__all__ = ["known_before"]

# Columns of deals that show the present; what they were is told by events alone, so nothing reads them.
_PRESENT: Final = (Deals.expected_close_on, Deals.forecast_category, *BANT)
# Read where no event of the deal speaks of them (see forecast.history.build).
_UNLESS_SPOKEN_OF: Final = (Deals.amount, Deals.owner_id)


def known_before(tables: Tables, as_of: pd.Timestamp) -> Tables:
    """Rows recorded before `as_of`; tables without dates (stages, users, quotas) are whole.

    Deals are those with a stage event before `as_of`, their events and activities those before it; leads
    those created before it, open again if they were converted or disqualified later. Exchange rates are those
    of days that have begun. Of `deals` only what can be read as of the moment stays: columns that events speak
    of are unknown, whenever the event is.
    """
    events = tables.deal_events
    before = (events[DealEvents.recorded_at] < as_of).to_numpy()
    stage = (events[DealEvents.field] == "stage").to_numpy()
    deals = _rows(
        tables.deals, is_among(tables.deals[Deals.deal_id], events[DealEvents.deal_id][before & stage])
    )
    leads = _leads(tables, as_of)
    activities = tables.activities
    theirs = is_among(activities[Activities.deal_id], deals[Deals.deal_id]) | is_among(
        activities[Activities.lead_id], leads[Leads.lead_id]
    )
    begun = tables.fx_rates[FxRates.valid_from].dt.tz_localize("UTC") <= as_of
    return Tables(
        stages=tables.stages,
        deals=_deals(deals, events),
        deal_events=_rows(events, before & is_among(events[DealEvents.deal_id], deals[Deals.deal_id])),
        activities=_rows(activities, theirs & (activities[Activities.occurred_at] < as_of).to_numpy()),
        users=tables.users,
        quotas=tables.quotas,
        leads=leads,
        fx_rates=_rows(tables.fx_rates, begun.to_numpy()),
    )


def _rows(frame: pd.DataFrame, mask: NDArray[np.bool_]) -> pd.DataFrame:
    return frame if mask.all() else frame[mask].reset_index(drop=True)


def _deals(deals: pd.DataFrame, events: pd.DataFrame) -> pd.DataFrame:
    """Deals without what events tell: now, before, or one day."""
    spoken = {
        name: is_among(deals[Deals.deal_id], events.loc[events[DealEvents.field] == name, DealEvents.deal_id])
        for name in _UNLESS_SPOKEN_OF
    }
    masked = {name: deals[name].mask(where) for name, where in spoken.items()}
    told = set(events[DealEvents.field].unique()) - set(TABLES["deals"])
    present = [*_PRESENT, *(name for name in deals.columns if name in told)]
    masked |= {name: deals[name].mask(np.ones(len(deals), bool)) for name in present}
    return deals.assign(**masked)


def _leads(tables: Tables, as_of: pd.Timestamp) -> pd.DataFrame:
    """Leads created before the moment, with the outcomes dated before it."""
    leads = _rows(tables.leads, (tables.leads[Leads.created_at] < as_of).to_numpy())
    # A lead that names a deal and no date was converted when that deal was created.
    of_deal = pd.Index(tables.deals[Deals.deal_id]).get_indexer(pd.Index(leads[Leads.deal_id]))
    born = tables.deals[Deals.created_at].array.take(of_deal, allow_fill=True)
    converted = leads[Leads.converted_at].where(
        leads[Leads.converted_at].notna(), pd.Series(born, leads.index)
    )
    later = (converted >= as_of).to_numpy()
    return leads.assign(
        **{
            Leads.converted_at: leads[Leads.converted_at].mask(later),
            Leads.deal_id: leads[Leads.deal_id].mask(later),
            Leads.disqualified_at: leads[Leads.disqualified_at].mask(leads[Leads.disqualified_at] >= as_of),
        }
    )
