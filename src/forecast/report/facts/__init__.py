"""What the report says, as plain data: everything is computed here, nothing is worded or drawn.

The result can go through JSON and back. Amounts are in the reporting currency, probabilities in [0, 1], days
are ISO dates, unknown is None. Only the labels of the models' reasons depend on the locale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from forecast.errors import UsageError
from forecast.outlook import make_outlook
from forecast.report.facts.baselines import baseline_facts
from forecast.report.facts.bookings import company_facts, group_facts
from forecast.report.facts.changes import change_facts
from forecast.report.facts.deals import deal_facts, open_deals
from forecast.report.facts.pipeline import funnel_facts, stage_facts
from forecast.report.facts.plain import Fact, date_of
from forecast.report.facts.provenance import provenance_facts
from forecast.report.facts.sellers import close_rate_facts

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["collect_facts", "earlier_outlook"]


def collect_facts(outlook: Outlook, locale: str = "en", *, compare_days: int | None = 28) -> Fact:
    """Everything the report shows.

    compare_days : the forecast is made again as of so many days earlier, with the same bundle, to say what
        changed; None leaves that part out, and so does data that does not reach back that far
    """
    names = _names(outlook.tables.users)
    before = None if compare_days is None else earlier_outlook(outlook, compare_days)
    deals = open_deals(outlook)
    return {
        "locale": locale,
        "currency": outlook.history.money.reporting,
        "as_of": date_of(outlook.as_of),
        "period": {
            "label": outlook.period.label,
            "kind": outlook.period.kind,
            "start": date_of(outlook.period.start),
            "last_day": date_of(outlook.period.end - pd.Timedelta(days=1)),
            "running": bool(outlook.period.start < outlook.as_of),
            "days_left": max((outlook.period.end - max(outlook.as_of, outlook.period.start)).days, 0),
        },
        "company": company_facts(outlook),
        "change": change_facts(outlook, before, names),
        "groups": group_facts(outlook, names),
        "pipeline": stage_facts(deals, outlook),
        "funnel": funnel_facts(outlook),
        "deals": deal_facts(deals, outlook, names, locale),
        "close_rates": close_rate_facts(outlook, names),
        "baselines": baseline_facts(outlook),
        "provenance": provenance_facts(outlook),
    }


def earlier_outlook(outlook: Outlook, days: int) -> Outlook | None:
    """The same period as it would have looked `days` earlier; None if nothing was recorded by then."""
    try:
        return make_outlook(
            outlook.tables,
            outlook.bundle,
            as_of=outlook.as_of - pd.Timedelta(days=days),
            period=outlook.period,
            reasons=0,
            history=outlook.history,
        )
    except UsageError as error:
        if error.code != "as_of_before_data":
            raise
        return None


def _names(users: pd.DataFrame) -> dict[str, str]:
    """Names by user id, of those who have one. The email is nobody's business on a page."""
    named = users.dropna(subset=["name"])
    return {str(user): str(name) for user, name in zip(named["user_id"], named["name"], strict=True) if name}
