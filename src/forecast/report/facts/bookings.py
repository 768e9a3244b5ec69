"""Facts about the period: the company's number, its range, what it is made of, and who brings what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from forecast.report.facts.plain import Fact, number, person
from forecast.rollup.hierarchy import UNASSIGNED

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["DEALS_PER_QUOTA", "VERDICTS", "company_facts", "group_facts", "verdict"]

# Lowest probability that earns each word, best first. Words for chances, so that 60 % and 95 % do not both
# read as "likely"; the number always stands beside the word.
VERDICTS: Final = (
    (0.95, "nearly_certain"),
    (0.80, "very_likely"),
    (0.60, "likely"),
    (0.40, "open"),
    (0.20, "unlikely"),
    (0.05, "very_unlikely"),
    (0.0, "hardly"),
)
_LEVELS: Final = ("region", "team", "user")
# What the roll-up has to be asked for, see `make_outlook`.
DEALS_PER_QUOTA: Final = 3
_LEAST_EFFECT: Final = 0.01  # one point of the chance of reaching the quota
_NUMBERS: Final = ("booked", "open", "arrivals", "expected", "p10", "p50", "p90", "gap", "coverage_needed")


def verdict(probability: float | None) -> str | None:
    """The word for a probability of reaching quota.

    >>> verdict(0.83), verdict(0.5), verdict(None)
    ('very_likely', 'open', None)
    """
    if probability is None:
        return None
    return next(word for lowest, word in VERDICTS if probability >= lowest)


def company_facts(outlook: Outlook) -> Fact:
    """The one line of the company, with the quota None where there is none."""
    table = outlook.bookings.table
    return _line(table[table["level"] == "company"].iloc[0])


def group_facts(outlook: Outlook, names: dict[str, str]) -> list[Fact]:
    """Regions, teams and users, largest quota first; people with neither quota nor bookings are left out.

    Each with the deals that decide its quota, if the roll-up was asked for them.
    """
    table = outlook.bookings.table
    busy = table["quota"].notna() | (table["expected"] > 0) | (table["pipeline_open_amount"] > 0)
    groups = []
    for level in _LEVELS:
        chosen = table[(table["level"] == level) & busy]
        if chosen.empty:
            continue
        order = chosen.assign(known=chosen["quota"].fillna(-1.0)).sort_values(
            ["known", "expected"], ascending=False, kind="stable"
        )
        lines = [
            _line(row)
            | {
                "entity": str(row["entity"]),
                "name": names.get(str(row["entity"])) if level == "user" else str(row["entity"]),
                "deciding": _deciding(outlook, level, str(row["entity"]), names),
            }
            for _, row in order.iterrows()
        ]
        if level != "user" and all(line["entity"] == UNASSIGNED for line in lines):
            continue  # a company that keeps no teams is spared a table that says so
        ends = [line[name] or 0.0 for line in lines for name in ("quota", "expected", "p90")]
        groups.append(
            {
                "level": level,
                "lines": lines,
                "has_quota": any(line["quota"] is not None for line in lines),
                "top": max(ends),  # common scale of the bars of one table
            }
        )
    return groups


def _deciding(outlook: Outlook, level: str, entity: str, names: dict[str, str]) -> list[Fact]:
    """The few deals on which this entity's quota hinges; none where no single deal moves it by a point."""
    parts = outlook.bookings.parts
    mine = (parts["level"] == level) & (parts["entity"] == entity) & (parts["effect"] >= _LEAST_EFFECT)
    return [
        {
            "deal_id": str(row["deal_id"]),
            "owner": person(row["owner_id"], names),
            "amount_if_won": number(row["amount_if_won"]),
            "won_in_period": number(row["won_in_period"]),
            "effect": number(row["effect"]),
        }
        for _, row in parts[mine].iterrows()
    ]


def _line(row: pd.Series) -> Fact:
    quota = number(row["quota"])
    probability = number(row["attainment_probability"])
    expected = float(np.nan_to_num(row["expected"]))
    return {
        **{name: number(row[name]) for name in _NUMBERS},
        "quota": quota,
        "probability": probability,
        "verdict": verdict(probability),
        "attainment": expected / quota if quota else None,
        "pipeline_open_amount": number(row["pipeline_open_amount"]),
    }
