"""Bookings of a period at every level, against quota, as a distribution.

Scenarios are drawn once per user and summed upwards, so a parent's scenario is the sum of its children's:
means add up, and quantiles of different levels speak of the same futures. Where a quota hangs on a handful of
open deals, on any level, the same distribution is worked out exactly instead of being read from draws.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.errors import UsageError
from forecast.rollup.deciding import Stakes, decide, reaches
from forecast.rollup.exact import FEW_DEALS, exact_total
from forecast.rollup.hierarchy import LEVELS, UNASSIGNED, Hierarchy
from forecast.rollup.inputs import Lines, PeriodInputs, usable_lines
from forecast.rollup.parts import Scenarios, decide_company, decide_parts, no_parts
from forecast.rollup.quotas import PeriodQuotas
from forecast.rollup.scenarios import (
    affordable_scenarios,
    arrival_factors,
    draw_arrivals,
    draw_open,
    hazard_factors,
    win_rates,
)
from forecast.tables.money import Money

__all__ = ["BOOKINGS_COLUMNS", "Bookings", "roll_up"]


BOOKINGS_COLUMNS: Final = (
    "period",
    "as_of",
    "level",
    "entity",
    "booked",
    "open",
    "arrivals",
    "expected",
    "p10",
    "p50",
    "p90",
    "quota",
    "attainment_probability",
    "gap",
    "pipeline_open_amount",
    "coverage_needed",
)
_QUANTILES: Final = {"p025": 0.025, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p975": 0.975}
# coverage_needed: the pipeline with which the quota is reached this often.
_COVERED: Final = 0.8
# Entities of a level are summed up in blocks of this many scenario cells.
_BLOCK: Final = 2_000_000
# An exact distribution takes about ten milliseconds: no more of them than the scenarios take seconds.
_MOST_EXACT: Final = 200


@dataclass(frozen=True)
class Bookings:
    """What a period will book; money in the reporting currency.

    table         : one row per entity, columns BOOKINGS_COLUMNS; levels company, region, team, user in that
                    order. quota, attainment_probability, gap and coverage_needed are NaN without a quota.
    company_draws : (S,) total bookings of the company per scenario, increasing.
    tails         : the rows of the table again with level, entity, p025 and p975, the ends of the 95 % range.
    deciding      : the open deals by their effect on the company's quota, see `decide`.
    parts         : for every entity with a quota the deals that sway it most: period, as_of and the columns of
                    `decide_parts`; empty unless asked for.
    unconverted   : rows of deals, arrivals and quotas left out because their amount could not be converted.
    """

    table: pd.DataFrame
    company_draws: Floats
    tails: pd.DataFrame
    deciding: pd.DataFrame
    parts: pd.DataFrame
    unconverted: int


def roll_up(
    inputs: PeriodInputs,
    users: pd.DataFrame,
    quotas: pd.DataFrame,
    money: Money,
    *,
    seed: int = 0,
    scenarios: int = 4000,
    deciding: int = 0,
) -> Bookings:
    """Add up a period by user, team, region and company, and compare it with quota.

    `expected` is the sum of booked amounts, probability x amount of open deals, and number x amount of
    arrivals; p10, p50, p90 and attainment_probability come from at most `scenarios` scenarios (fewer, but at
    least 1000, for a very large pipeline), or without draws for an entity with a quota and at most `FEW_DEALS`
    open deals. The same inputs in any row order and the same seed give the same table.

    pipeline_open_amount adds today's amounts of all open deals; a deal without one adds nothing to it.
    coverage_needed is the pipeline, as a multiple of quota - booked, with which the quota would be reached
    with probability 0.8 if today's open deals were larger by a common factor: 0 when booked already reaches
    the quota, NaN without quota or pipeline, or where no factor would do.

    deciding : how many deals to name for each entity with a quota

    Raises DataError for inputs that cannot be added up (see `usable_lines`, `PeriodQuotas.read`).
    """
    if scenarios < 1000:
        raise UsageError(f"scenarios is {scenarios}; expected at least 1000", code="bad_scenarios")
    lines = usable_lines(inputs)
    stated = PeriodQuotas.read(quotas, inputs.period, inputs.as_of, money)
    owners = [lines.booked["owner_id"], lines.open["owner_id"], lines.arrivals["owner_id"]]
    hierarchy = Hierarchy.build(users, owners, stated.holders())
    quota = stated.by_level(hierarchy)
    means = _means(lines, hierarchy)
    drawn = _draws(lines, hierarchy, inputs, means["booked"], seed, scenarios)

    levels, attainment = [], {}
    for level in LEVELS:
        parents, entities = hierarchy.parents[level], hierarchy.entities[level]
        size = len(entities)
        table = pd.DataFrame({name: _grouped(parents, part, size) for name, part in means.items()})
        table.insert(0, "entity", entities)
        table.insert(0, "level", level)
        table["quota"] = quota[level]
        ranges = _ranges(table, parents, drawn.open, drawn.arrivals)
        levels.append(table.join(_exactly(ranges, table, parents, lines, hierarchy, inputs)))
        attainment[level] = levels[-1]["attainment_probability"].to_numpy(np.float64)
    table = pd.concat(levels, ignore_index=True).assign(period=inputs.period.label, as_of=inputs.as_of)
    table["expected"] = table["booked"] + table["open"] + table["arrivals"]
    table["gap"] = table["quota"] - table["expected"]
    # Managers and technical users often have no team; `unassigned` is worth a row only with something in it.
    filled = table[[*means, "quota"]].fillna(0.0).any(axis=1) | (table["entity"] != UNASSIGNED)
    table = table[filled].astype(dict.fromkeys(("period", "level", "entity"), "str")).reset_index(drop=True)

    stakes = Stakes.of(lines.open, win_rates(lines.open["won_in_period"].to_numpy(), drawn.factors))
    company_draws = np.sort(means["booked"].sum() + drawn.open.sum(axis=0) + drawn.arrivals.sum(axis=0))
    target = float(quota["company"][0])
    parts = no_parts()
    if deciding:
        parts = decide_parts(lines.open, stakes, hierarchy, quota, attainment, drawn, deciding)
    return Bookings(
        table[list(BOOKINGS_COLUMNS)],
        company_draws,
        table[["level", "entity", "p025", "p975"]],
        decide(company_draws, lines.open, target)
        if np.isnan(target)
        else decide_company(lines.open, stakes, drawn, target),
        parts.assign(period=inputs.period.label, as_of=inputs.as_of)[["period", "as_of", *parts.columns]],
        lines.unconverted + stated.unconverted,
    )


def _means(lines: Lines, hierarchy: Hierarchy) -> dict[str, Floats]:
    """(U,) analytic sums per user entity, by column of the table."""
    deals, arrivals = lines.open, lines.arrivals
    parts = {
        "booked": (lines.booked, lines.booked["amount"]),
        "open": (deals, deals["won_in_period"] * deals["amount_if_won"]),
        "arrivals": (arrivals, arrivals["deals"] * arrivals["amount_mean"]),
        "pipeline_open_amount": (deals, deals["amount"].fillna(0.0)),
    }
    size = len(hierarchy.entities["user"])
    return {
        name: _grouped(hierarchy.positions(rows["owner_id"]), amounts.to_numpy(np.float64), size)
        for name, (rows, amounts) in parts.items()
    }


def _grouped(positions: Ints, amounts: Floats, size: int) -> Floats:
    return np.bincount(positions, weights=amounts, minlength=size).astype(np.float64, copy=False)


def _draws(
    lines: Lines, hierarchy: Hierarchy, inputs: PeriodInputs, booked: Floats, seed: int, wanted: int
) -> Scenarios:
    """Scenarios of open deals and of arrivals per user entity."""
    users = len(hierarchy.entities["user"])
    probability = lines.open["won_in_period"].to_numpy()
    factors = hazard_factors(
        inputs.uncertainty, affordable_scenarios(probability, len(lines.arrivals), users, wanted)
    )
    # Two streams: what is drawn for arrivals does not depend on how many deals are open.
    for_open, for_arrivals = np.random.default_rng(seed).spawn(2)
    open_owner = hierarchy.positions(lines.open["owner_id"])
    arrival_owner = hierarchy.positions(lines.arrivals["owner_id"])
    return Scenarios(
        booked,
        draw_open(lines.open, lines.shapes, open_owner, users, factors, for_open),
        draw_arrivals(
            lines.arrivals,
            arrival_owner,
            users,
            factors * arrival_factors(inputs.uncertainty, len(factors), for_arrivals),
            for_arrivals,
        ),
        factors,
        seed,
    )


def _ranges(table: pd.DataFrame, parents: Ints, open_draws: Floats, arrival_draws: Floats) -> pd.DataFrame:
    """Quantiles, attainment_probability and coverage_needed of each entity of one level."""
    scenarios = open_draws.shape[1]
    members = np.argsort(parents, kind="stable")
    starts = np.searchsorted(parents[members], np.arange(len(table) + 1))
    found = {name: np.full(len(table), np.nan) for name in (*_QUANTILES, "attainment", "coverage")}
    step = max(1, _BLOCK // scenarios)
    for first in range(0, len(table), step):
        block = slice(first, min(first + step, len(table)))
        rows, bounds = table.iloc[block], starts[block.start : block.stop + 1]
        open_sum = _sum_members(open_draws, members, bounds)
        arrival_sum = _sum_members(arrival_draws, members, bounds)
        booked, quota = rows["booked"].to_numpy(), rows["quota"].to_numpy()
        total = booked[:, None] + open_sum + arrival_sum
        for name, quantile in zip(
            _QUANTILES, np.quantile(total, tuple(_QUANTILES.values()), axis=1), strict=True
        ):
            found[name][block] = quantile
        chance = reaches(total, quota[:, None]).mean(axis=1)
        chance = np.where(reaches(booked, quota), 1.0, chance)
        found["attainment"][block] = np.where(np.isnan(quota), np.nan, chance)
        pipeline = rows["pipeline_open_amount"].to_numpy()
        found["coverage"][block] = _coverage(booked, quota, pipeline, open_sum, arrival_sum)
    return pd.DataFrame(found).rename(
        columns={"attainment": "attainment_probability", "coverage": "coverage_needed"}
    )


def _exactly(
    ranges: pd.DataFrame,
    table: pd.DataFrame,
    parents: Ints,
    lines: Lines,
    hierarchy: Hierarchy,
    inputs: PeriodInputs,
) -> pd.DataFrame:
    """The ranges of one level, without draws for entities with a quota ahead and a handful of open deals."""
    deals = lines.open[(lines.open["won_in_period"] > 0) & (lines.open["amount_if_won"] != 0)]
    deal_entity = parents[hierarchy.positions(deals["owner_id"])]
    arrival_entity = parents[hierarchy.positions(lines.arrivals["owner_id"])]
    booked, quota = table["booked"].to_numpy(), table["quota"].to_numpy()
    few = np.bincount(deal_entity, minlength=len(table)) <= FEW_DEALS
    small = np.flatnonzero(few & (quota > booked) & ~reaches(booked, quota))
    exact = ranges.copy()
    for entity in small[:_MOST_EXACT]:
        mine = deals[deal_entity == entity]
        if (mine["amount_if_won"] < 0).any():
            continue  # a credit note: the lattice begins at 0
        coming = lines.arrivals[arrival_entity == entity]
        total = exact_total(mine, lines.shapes, coming, inputs.uncertainty)
        exact.loc[entity, list(_QUANTILES)] = booked[entity] + total.quantiles(tuple(_QUANTILES.values()))
        exact.loc[entity, "attainment_probability"] = total.at_least(quota[entity] - booked[entity])
    return exact


def _sum_members(draws: Floats, members: Ints, bounds: Ints) -> Floats:
    """(E, S) sums of the draws of `members[bounds[e]:bounds[e + 1]]`; zeros for an entity without users."""
    total = np.zeros((len(bounds) - 1, draws.shape[1]))
    filled = bounds[1:] > bounds[:-1]
    if filled.any():
        inside = draws[members[bounds[0] : bounds[-1]]]
        total[filled] = np.add.reduceat(inside, bounds[:-1][filled] - bounds[0], axis=0)
    return total


def _coverage(
    booked: Floats, quota: Floats, pipeline: Floats, open_sum: Floats, arrival_sum: Floats
) -> Floats:
    """(E,) pipeline needed as a multiple of what is missing to the quota.

    A scenario reaches the quota once its open deals are f_s = (quota - booked - arrivals) / open times as
    large, so the factor that does in 80 % of the scenarios is the 80 % quantile of f_s: no search is needed.
    """
    missing = quota - booked
    short = missing[:, None] - arrival_sum
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(open_sum > 0, short / open_sum, np.inf)
    # Arrivals alone do it; NaN (no quota) stays NaN through the comparison.
    factor = np.where(short <= 0, 0.0, factor)
    last = int(np.ceil(_COVERED * open_sum.shape[1])) - 1
    needed = np.partition(factor, last, axis=1)[:, last]
    with np.errstate(divide="ignore", invalid="ignore"):
        coverage = needed * pipeline / missing
    coverage = np.where(np.isfinite(needed) & (pipeline > 0), coverage, np.nan)
    coverage = np.where(reaches(booked, quota), 0.0, coverage)
    return np.where(np.isnan(quota), np.nan, coverage)
