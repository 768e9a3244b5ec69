"""What a CRM would have exported earlier: the tables as they stood at a moment."""

from __future__ import annotations

import pandas as pd

from forecast.tables import Tables

CHANGING = (
    "amount",
    "owner_id",
    "expected_close_on",
    "forecast_category",
    "budget",
    "authority",
    "need",
    "timeline",
)


def export_at(tables: Tables, moment: pd.Timestamp) -> Tables:
    """The tables as an export of that moment would hold them.

    Later rows are missing, and `deals` shows the values of then; later quotas and rates are not known yet.
    """
    events = tables.deal_events[tables.deal_events["recorded_at"] < moment]
    seen = set(events.loc[events["field"] == "stage", "deal_id"])
    deals = tables.deals[tables.deals["deal_id"].isin(seen)].set_index("deal_id")
    for field in CHANGING:
        now = tables.deal_events.loc[tables.deal_events["field"] == field, "deal_id"]
        written = events[events["field"] == field].sort_values("recorded_at", kind="stable")
        last = written.drop_duplicates("deal_id", keep="last").set_index("deal_id")["value"]
        values = last.reindex(deals.index)
        if field in ("expected_close_on",):
            typed = pd.to_datetime(values)
        elif field in ("owner_id", "forecast_category"):
            typed = values
        else:
            typed = pd.to_numeric(values)
        # Of deals whose field has no event at all the column stays what it is.
        deals[field] = deals[field].where(~deals.index.isin(now), typed)
    leads = tables.leads[tables.leads["created_at"] < moment]
    converted = leads["converted_at"] >= moment
    activities = tables.activities[tables.activities["occurred_at"] < moment]
    mine = activities["deal_id"].isin(seen) | activities["lead_id"].isin(leads["lead_id"])
    return Tables.from_frames(
        stages=tables.stages,
        deals=deals.reset_index(),
        deal_events=events[events["deal_id"].isin(seen)],
        activities=activities[mine],
        users=tables.users,
        quotas=tables.quotas[tables.quotas["period"] < f"{moment.year + 1}"],
        leads=leads.assign(
            converted_at=leads["converted_at"].mask(converted),
            deal_id=leads["deal_id"].mask(converted),
            disqualified_at=leads["disqualified_at"].mask(leads["disqualified_at"] >= moment),
        ),
        fx_rates=tables.fx_rates[tables.fx_rates["valid_from"].dt.tz_localize("UTC") <= moment],
    )
