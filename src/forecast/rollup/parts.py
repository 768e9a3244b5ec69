"""Which deals decide each quota: of the company, of every region, team and user that has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.rollup.deciding import Stakes, deciding_table, sway_of
from forecast.rollup.hierarchy import LEVELS, Hierarchy

__all__ = ["PARTS_COLUMNS", "Scenarios", "decide_company", "decide_parts", "no_parts"]

PARTS_COLUMNS: Final = (
    "level", "entity", "attainment_probability", "deal_id", "owner_id", "amount_if_won", "won_in_period",
    "effect", "sway",
)  # fmt: skip
_TEXTS: Final = ("level", "entity", "deal_id", "owner_id")
_LEAST: Final = 1e-9  # a smaller sway is the rounding of a difference


@dataclass(frozen=True)
class Scenarios:
    """Draws of a period per user entity.

    booked : (U,) certain
    open, arrivals : (U, S)
    factors : (S,) shared shock of each scenario on the hazard of winning
    seed : of whatever is drawn beside them
    """

    booked: Floats
    open: Floats
    arrivals: Floats
    factors: Floats
    seed: int

    def total(self, users: Ints) -> tuple[Floats, Floats]:
        """(S,) booked and arrivals, and (S,) open deals, of some users together."""
        return self.booked[users].sum() + self.arrivals[users].sum(axis=0), self.open[users].sum(axis=0)


def decide_company(deals: pd.DataFrame, stakes: Stakes, scenarios: Scenarios, quota: float) -> pd.DataFrame:
    """Every open deal by its effect on the company's quota, which must be known; columns of `decide`."""
    rest, drawn = scenarios.total(np.arange(len(scenarios.booked)))
    effect = stakes.effects(rest, drawn, quota, scenarios.factors, _stream(scenarios.seed, 0, 0))
    return deciding_table(deals, effect, "quota")


def decide_parts(
    deals: pd.DataFrame,
    stakes: Stakes,
    hierarchy: Hierarchy,
    quota: dict[str, Floats],
    attainment: dict[str, Floats],
    scenarios: Scenarios,
    most: int,
) -> pd.DataFrame:
    """For every entity with a quota the `most` deals that sway its probability of reaching it.

    deals, stakes : the open deals, in the same order
    quota, attainment : level -> (E,), NaN where there is none

    Returns PARTS_COLUMNS, entities in the order of the roll-up, the deal that sways most first. `effect` is
    P(reached | won in the period) - P(reached | not won), `sway` see `sway_of`. Deals that sway nothing are
    left out: a quota out of reach, or booked already, is decided by none.
    """
    owner = hierarchy.positions(deals["owner_id"])
    found: list[tuple[str, str, float, Ints, Floats, Floats]] = []
    for number, level in enumerate(LEVELS):
        parents, names = hierarchy.parents[level], hierarchy.entities[level]
        users, user_bounds = _grouped(parents, len(names))
        rows, row_bounds = _grouped(parents[owner], len(names))
        for entity in np.flatnonzero(~np.isnan(quota[level])).tolist():
            mine = rows[row_bounds[entity] : row_bounds[entity + 1]]
            if not len(mine):
                continue
            rest, drawn = scenarios.total(users[user_bounds[entity] : user_bounds[entity + 1]])
            stream = _stream(scenarios.seed, number, entity)
            part = stakes.take(mine)
            effect = part.effects(rest, drawn, float(quota[level][entity]), scenarios.factors, stream)
            sway = sway_of(effect, part.chance)
            top = np.argsort(-sway, kind="stable")[:most]
            top = top[sway[top] > _LEAST]
            chance = float(attainment[level][entity])
            found.append((level, str(names[entity]), chance, mine[top], effect[top], sway[top]))
    if not found:
        return no_parts()
    levels, entities, chances, chosen, effects, sways = zip(*found, strict=True)
    size = [len(part) for part in chosen]
    table = deals.iloc[np.concatenate(chosen)].assign(
        level=np.repeat(levels, size),
        entity=np.repeat(entities, size),
        attainment_probability=np.repeat(chances, size),
        effect=np.concatenate(effects),
        sway=np.concatenate(sways),
    )
    return table[list(PARTS_COLUMNS)].astype(dict.fromkeys(_TEXTS, "str")).reset_index(drop=True)


def no_parts() -> pd.DataFrame:
    """The table of `decide_parts` without a row."""
    dtypes = dict.fromkeys(PARTS_COLUMNS, "float64") | dict.fromkeys(_TEXTS, "str")
    return pd.DataFrame(columns=list(PARTS_COLUMNS)).astype(dtypes)


def _grouped(group: Ints, size: int) -> tuple[Ints, Ints]:
    """Positions in order of their group, and the (size + 1,) bounds of each group among them."""
    order = np.argsort(group, kind="stable")
    return order, np.searchsorted(group[order], np.arange(size + 1))


def _stream(seed: int, level: int, entity: int) -> np.random.Generator:
    """Draws of one entity, the same whichever others are asked about."""
    return np.random.default_rng((seed, level, entity))
