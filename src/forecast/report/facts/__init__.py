"""What the report says, as plain data: everything is computed here, nothing is worded or drawn.

The result can go through JSON and back. Amounts are in the reporting currency, probabilities in [0, 1], days
are ISO dates, unknown is None. Only the labels of the models' reasons depend on the locale.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pandas as pd

from forecast.errors import ForecastError
from forecast.outlook import make_outlook
from forecast.report.facts.baselines import baseline_facts
from forecast.report.facts.bookings import DEALS_PER_QUOTA, company_facts, group_facts
from forecast.report.facts.changes import change_facts
from forecast.report.facts.deals import deal_facts, open_deals
from forecast.report.facts.pipeline import funnel_facts, stage_facts
from forecast.report.facts.plain import Fact, date_of
from forecast.report.facts.provenance import provenance_facts
from forecast.report.facts.sellers import close_rate_facts
from forecast.report.facts.undecided import undecided_facts

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["DEALS_PER_QUOTA", "collect_facts", "earlier_outlook"]

# Before the data, or before the first amount; or the period was still beyond every horizon.
_NO_EARLIER: Final = ("as_of_before_data", "no_amounts", "beyond_horizon_cap")


def collect_facts(outlook: Outlook, locale: str = "en", *, compare_days: int | None = 28) -> Fact:
    """Everything the report shows.

    compare_days : the forecast is made again as of so many days earlier, with the same bundle, to say what
        changed; None leaves that part out, and so does data that does not reach back that far
    """
    names = _names(outlook)
    before = None if compare_days is None else earlier_outlook(outlook, compare_days)
    deals = open_deals(outlook)
    undecided = undecided_facts(deals, outlook, names)
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
        "undecided": undecided,
        "deals": deal_facts(deals, outlook, names, locale, shows_undecided=undecided["verdict"] == "seen"),
        "close_rates": close_rate_facts(outlook, names),
        "baselines": baseline_facts(outlook),
        "provenance": provenance_facts(outlook),
    }


def earlier_outlook(outlook: Outlook, days: int) -> Outlook | None:
    """The same period as it would have looked `days` earlier; None where no forecast could be made then."""
    try:
        return make_outlook(
            outlook.tables,
            outlook.bundle,
            as_of=outlook.as_of - pd.Timedelta(days=days),
            period=outlook.period,
            reasons=0,
            history=outlook.history,
        )
    except ForecastError as error:
        if error.code not in _NO_EARLIER:
            raise
        return None


def _names(outlook: Outlook) -> dict[str, str]:
    """What to call each user: the name, else the id. The email is nobody's business on a page.

    Without a users table every owner goes by the id; with one, who is missing there is missing here.
    """
    users = outlook.tables.users
    if users.empty:
        return {owner: owner for owner in outlook.history.vocabulary("owner_id").texts}
    called = users["name"].where(users["name"].notna(), users["user_id"])
    return dict(zip(users["user_id"], called, strict=True))
