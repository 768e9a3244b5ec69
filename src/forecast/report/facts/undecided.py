"""Facts about open deals that nobody will ever decide: how many, worth what, whose, and the largest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.models import HORIZON_CAP_DAYS
from forecast.report.facts.plain import Fact, number, person, text
from forecast.rollup.hierarchy import UNASSIGNED
from forecast.scoring import followed, undecided_sums

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["undecided_facts"]

_PROBABLY: Final = 0.5
_SHOWN: Final = 10
_GROUPS_SHOWN: Final = 12


def undecided_facts(deals: pd.DataFrame, outlook: Outlook, names: dict[str, str]) -> Fact:
    """What of the open pipeline will probably never be decided; said only where the past shows such deals.

    deals : `open_deals(outlook)`
    """
    past = followed(outlook.history, outlook.as_of)
    chance = deals["no_decision"].to_numpy(np.float64)
    amount = deals["amount"].to_numpy(np.float64)
    probably = deals[deals["no_decision"] >= _PROBABLY]
    largest = probably.sort_values("amount", ascending=False, kind="stable", na_position="last")[:_SHOWN]
    level, label = _level(deals, outlook)
    groups = [
        {
            "entity": entity or UNASSIGNED,
            "name": names.get(entity or "") if level == "user" else entity,
            **_line(row),
        }
        for entity, row in ((text(key), row) for key, row in undecided_sums(chance, amount, label).iterrows())
    ]
    return {
        "verdict": past.verdict,
        "followed": {"deals": past.deals, "undecided": past.undecided, "at_least": past.at_least},
        "within_days": int(HORIZON_CAP_DAYS),
        "total": _line(undecided_sums(chance, amount).iloc[0]),
        "probably": {
            "chance": _PROBABLY,
            "deals": len(probably),
            "amount": float(probably["amount"].sum()),
        },
        "level": level,
        "groups": groups[:_GROUPS_SHOWN],
        "more_groups": max(len(groups) - _GROUPS_SHOWN, 0),
        "largest": [
            {
                "deal_id": str(row["deal_id"]),
                "account": text(row["account"]),
                "owner": person(row["owner_id"], names),
                "stage": text(row["stage_label"]),
                "amount": number(row["amount"]),
                "no_decision": number(row["no_decision"]),
                "win_probability": number(row["win_probability"]),
                "silence_days": int(row["silence_days"]),
                "age_days": int(row["age_days"]),
            }
            for _, row in largest.iterrows()
        ],
    }


def _level(deals: pd.DataFrame, outlook: Outlook) -> tuple[str, NDArray[np.object_]]:
    """The level a manager steers by and each deal's entity on it: the team, people where nobody has one."""
    owner = deals["owner_id"].astype(object)
    users = outlook.tables.users
    team = owner.map(users.set_index("user_id")["team"].astype(object)) if len(users) else owner.map({})
    level, label = ("team", team) if team.notna().any() else ("user", owner)
    return level, label.where(label.notna(), None).to_numpy(object)


def _line(row: pd.Series) -> Fact:
    return {
        "deals": int(row["deals"]),
        "amount": float(row["amount"]),
        "unknown_amounts": int(row["unknown_amounts"]),
        **{
            name: number(row[name])
            for name in ("undecided_deals", "undecided_amount", "share_of_deals", "share_of_amount")
        },
    }
