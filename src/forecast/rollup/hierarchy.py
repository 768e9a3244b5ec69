"""Who belongs where: users, and the team, the region and the company each of them adds up to.

Team and region are both columns of a user, so a team whose users sit in two regions counts in each region
with its own users only, and both levels still add up to the company. What has no place goes to
`unassigned`: nothing is dropped on the way up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Ints
from forecast.errors import DataError

__all__ = ["COMPANY", "LEVELS", "UNASSIGNED", "Hierarchy"]

COMPANY: Final = "*"
UNASSIGNED: Final = "unassigned"
LEVELS: Final = ("company", "region", "team", "user")


@dataclass(frozen=True)
class Hierarchy:
    """The entities of every level and, for each user entity, the position of its parent on that level.

    entities : level -> (E,) names, sorted, `unassigned` last.
    parents  : level -> (U,) position in `entities[level]` of each user entity; for `user` itself 0 .. U-1.
    """

    entities: dict[str, pd.Index[str]]
    parents: dict[str, Ints]

    @classmethod
    def build(
        cls, users: pd.DataFrame, owners: Iterable[pd.Series[str]], quota_holders: dict[str, set[str]]
    ) -> Hierarchy:
        """Entities that are active, own something in the period, or hold a quota.

        users         : the users table. If it is empty, owners stand for themselves.
        owners        : owner ids of the rows that will be added up, unknown ones NaN.
        quota_holders : level -> entities with a quota; a user with a quota is known even if `users` lacks it.
        """
        ids = users["user_id"]
        if ids.duplicated().any():
            twice = ids[ids.duplicated()].iloc[0]
            raise DataError(
                f"user {twice!r} appears twice in users; expected one row each", code="duplicate_user"
            )
        seen = pd.concat([pd.Series(dtype="str"), *owners], ignore_index=True).unique()
        owning = set(seen[~pd.isna(seen)])
        holders = quota_holders.get("user", set())
        known = set(ids) | holders if len(ids) else owning | holders
        shown = set(ids[users["active"].astype(bool)]) | (known & owning) | holders
        homeless = bool(pd.isna(seen).any()) or not owning <= known
        names = _ordered(shown | ({UNASSIGNED} if homeless else set()))

        entities = {"company": pd.Index([COMPANY], dtype="str"), "user": names}
        parents = {"company": np.zeros(len(names), np.int64), "user": np.arange(len(names), dtype=np.int64)}
        placed = users.set_index("user_id").reindex(names)
        for level in ("region", "team"):
            home = placed[level].astype("str").fillna("").str.strip().replace("", UNASSIGNED)
            entities[level] = _ordered(set(home) | quota_holders.get(level, set()))
            parents[level] = entities[level].get_indexer(pd.Index(home)).astype(np.int64)
        return cls(entities, parents)

    def positions(self, owners: pd.Series[str]) -> Ints:
        """(n,) position of each owner among the user entities; owners nobody knows are `unassigned`."""
        names = self.entities["user"]
        found = names.get_indexer(pd.Index(owners))
        if (found < 0).any():
            found[found < 0] = names.get_indexer(pd.Index([UNASSIGNED]))[0]
        return found.astype(np.int64)


def _ordered(names: set[str]) -> pd.Index[str]:
    return pd.Index(sorted(names, key=lambda name: (name == UNASSIGNED, name)), dtype="str")
