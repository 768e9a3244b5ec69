"""Maven Analytics "CRM Sales Opportunities" as contract tables.


8,800 deals of a company that is public but fictitious, October 2016 to December 2017. The adapter decides:

- Prospecting deals have no date at all, so nothing can be known about them as of any moment: left out.
- Dates carry no time of day. A date stands for its noon (UTC): an as-of midnight then lies clearly before
  or after it, and no deal is closed at the very moment it was engaged.
- No deal closes before 1 March 2017, although deals are engaged from October on: what closed earlier is not
  in the data. Older deals are therefore first seen on 1 March, with their true age; a history that began
  with their engagement would teach that for months nothing is ever won or lost.
- The list price is the amount from the engage date on. `close_value` is 0 for a lost deal and blank for an
  open one, so it is known from the close date on and only of won deals: it becomes an event of that day.
- "GTXPro" in the pipeline is "GTX Pro" in the price list.
- `account` is blank for most open deals and never for closed ones: it is filled when a deal closes. As
  `account_id` it would be believed and get a track record of its own; so it stays a custom attribute
  `account`, as an export would have it, and the field policy has to find out that it cannot be used.
- `product` and `series` are filled for every deal, open or closed, and the price follows from them:
  attributes known from the start. The agent too; changes of agent are not recorded.
- The data set has no quotas, activities, BANT or close dates: none are made up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.real.source import raw_file, read_text
from forecast.errors import DataError
from forecast.tables import Tables

__all__ = ["adapt", "load", "price_list"]

NAME: Final = "maven_crm"
_NOON: Final = pd.Timedelta(hours=12)
_COMPLETE_FROM: Final = pd.Timestamp("2017-03-01", tz="UTC")
_PRODUCT_AS_PRICED: Final = {"GTXPro": "GTX Pro"}
_OUTCOME: Final = {"Won": "won", "Lost": "lost", "Engaging": None}
_STAGES: Final = pd.DataFrame(
    [
        ("sales", "engaging", 1, "open", "Engaging"),
        ("sales", "won", 2, "won", "Won"),
        ("sales", "lost", 3, "lost", "Lost"),
    ],
    columns=["pipeline", "stage", "position", "kind", "label"],
)


def load(folder: Path | None = None) -> Tables:
    """Contract tables from `maven_crm/` in the folder of raw data (default: see `source`)."""

    def read(name: str) -> pd.DataFrame:
        return read_text(raw_file(NAME, name, folder=folder))

    return adapt(read("sales_pipeline.csv"), read("products.csv"), read("sales_teams.csv"))


def price_list(products: pd.DataFrame) -> pd.Series:
    """List price by product."""
    return products.set_index("product")["sales_price"].astype("float64")


def adapt(pipeline: pd.DataFrame, products: pd.DataFrame, teams: pd.DataFrame) -> Tables:
    """Contract tables from the raw frames (all cells text, as in the files).

    Raises DataError for a stage or a product nobody has heard of: a silent guess would spoil every number.
    """
    _refuse_unknown(pipeline["deal_stage"], {*_OUTCOME, "Prospecting"}, "stage")
    dated = pipeline[pipeline["deal_stage"] != "Prospecting"]
    product = dated["product"].replace(_PRODUCT_AS_PRICED)
    _refuse_unknown(product, set(products["product"]), "product")
    price = product.map(price_list(products))
    engaged_at, closed_at = _noon(dated["engage_date"]), _noon(dated["close_date"])
    seen_at = engaged_at.where(engaged_at >= _COMPLETE_FROM, _COMPLETE_FROM)
    outcome = dated["deal_stage"].map(_OUTCOME)
    won, closed = outcome == "won", outcome.notna()
    value = dated["close_value"].astype("float64")

    deals = pd.DataFrame(
        {
            "deal_id": dated["opportunity_id"],
            "pipeline": "sales",
            "motion": "new",
            "created_at": engaged_at,
            "owner_id": dated["sales_agent"],
            # As an export shows it: today's amount. What it was at an earlier moment is in the events.
            "amount": value.where(won, price),
            "currency": "USD",
            "product": product,
            "series": product.map(products.set_index("product")["series"]),
            "account": dated["account"],
        }
    )
    ids = dated["opportunity_id"]
    events = pd.concat(
        [
            _events(ids, seen_at, "stage", pd.Series("engaging", index=ids.index)),
            _events(ids, seen_at, "amount", _as_text(price)),
            _events(ids[won], closed_at[won], "amount", _as_text(value[won])),
            _events(ids[closed], closed_at[closed], "stage", outcome[closed]),
        ],
        ignore_index=True,
    )
    return Tables.from_frames(stages=_STAGES, deals=deals, deal_events=events, users=_users(teams))


def _users(teams: pd.DataFrame) -> pd.DataFrame:
    """Agents with their manager's team and their office; managers lead, and sell nothing themselves."""
    agents = pd.DataFrame(
        {
            "user_id": teams["sales_agent"],
            "name": teams["sales_agent"],
            "team": teams["manager"],
            "region": teams["regional_office"],
            "manager_id": teams["manager"],
        }
    )
    managers = teams["manager"].drop_duplicates()
    return pd.concat([agents, pd.DataFrame({"user_id": managers, "name": managers})], ignore_index=True)


def _events(ids: pd.Series, at: pd.Series, field: str, value: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"deal_id": ids, "recorded_at": at, "field": field, "value": value})


def _noon(dates: pd.Series) -> pd.Series:
    return pd.to_datetime(dates, format="%Y-%m-%d", utc=True).dt.as_unit("us") + _NOON


def _as_text(amounts: pd.Series) -> pd.Series:
    return amounts.map("{:.0f}".format).astype("str")


def _refuse_unknown(found: pd.Series, known: set[str], what: str) -> None:
    unknown = sorted(set(found.dropna()) - known) + (["(blank)"] if found.isna().any() else [])
    if unknown:
        raise DataError(
            f"maven_crm has the unknown {what} {unknown[0]!r}; expected one of {', '.join(sorted(known))}: "
            "check that the files are those docs/real-data.md names",
            code=f"unknown_{what}",
        )
