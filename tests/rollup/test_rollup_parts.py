"""Which deals decide each quota, against what can be worked out by enumeration."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from pandas.testing import assert_frame_equal
from rollup_cases import arrivals, booked, deals, euros, inputs, quotas, row, users

from forecast.rollup import Bookings, roll_up, sway_of

PEOPLE = users(("ada", "north", "IT", True), ("bo", "north", "DE", True), ("cy", "south", "IT", True))
PIPELINE = deals(
    ("a1", "ada", 100.0, 0.5),
    ("a2", "ada", 70.0, 0.2),
    ("b1", "bo", 45.0, 0.9),
    ("b2", "bo", 31.0, 0.4),
    ("c1", "cy", 60.0, 0.3),
    ("c0", "cy", 10.0, 0.0),
)
WON = booked(("w", "ada", 20.0))
TARGETS = quotas(
    ("company", "*", "2026Q1", 150.0, "EUR"),
    ("region", "IT", "2026Q1", 90.0, "EUR"),
    ("region", "DE", "2026Q1", 40.0, "EUR"),
    ("team", "north", "2026Q1", 120.0, "EUR"),
    ("user", "ada", "2026Q1", 100.0, "EUR"),
    ("user", "bo", "2026Q1", 40.0, "EUR"),
)
OWNERS = {
    ("company", "*"): ("ada", "bo", "cy"),
    ("region", "IT"): ("ada", "cy"),
    ("region", "DE"): ("bo",),
    ("team", "north"): ("ada", "bo"),
    ("user", "ada"): ("ada",),
    ("user", "bo"): ("bo",),
}
SCENARIOS = 20_000


def rolled(
    pipeline: pd.DataFrame = PIPELINE, targets: pd.DataFrame = TARGETS, deciding: int = 99
) -> Bookings:
    return roll_up(
        inputs(won=WON, pipeline=pipeline), PEOPLE, targets, euros(), scenarios=SCENARIOS, deciding=deciding
    )


def chance_of(level: str, entity: str, quota: float, sure: dict[str, int]) -> float:
    """P(quota reached) by enumeration, where some deals are known to be won (1) or not (0)."""
    owners = OWNERS[level, entity]
    mine = PIPELINE[PIPELINE["owner_id"].isin(owners)]
    start = WON.loc[WON["owner_id"].isin(owners), "amount"].sum()
    reached = 0.0
    for wins in product((0, 1), repeat=len(mine)):
        p = [
            (sure[deal] == win if deal in sure else chance if win else 1 - chance)
            for deal, chance, win in zip(mine["deal_id"], mine["won_in_period"], wins, strict=True)
        ]
        total = start + np.dot(wins, mine["amount_if_won"])
        reached += float(np.prod(p)) * (total >= quota)
    return reached


@pytest.fixture(scope="module")
def parts() -> pd.DataFrame:
    return rolled().parts


def test_the_effect_of_every_deal_on_every_quota_is_that_of_the_enumeration(parts: pd.DataFrame) -> None:
    assert set(zip(parts["level"], parts["entity"], strict=True)) == set(OWNERS)
    for level, entity, _, quota, _ in TARGETS[["level", "entity", "period", "amount", "currency"]].itertuples(
        index=False
    ):
        mine = parts[(parts["level"] == level) & (parts["entity"] == entity)].set_index("deal_id")
        for deal, found in mine["effect"].items():
            truth = chance_of(level, entity, quota, {str(deal): 1}) - chance_of(
                level, entity, quota, {str(deal): 0}
            )
            # Four standard errors of a share of the scenarios.
            assert found == pytest.approx(truth, abs=4 * 0.5 / np.sqrt(SCENARIOS)), (level, entity, deal)


def test_removing_a_deal_takes_its_chance_times_its_effect(parts: pd.DataFrame) -> None:
    """P(quota) = p P(quota | won) + (1 - p) P(quota | not won), so without the deal it falls by p x effect."""
    for deal in ("a1", "b1", "c1"):
        without = rolled(PIPELINE[PIPELINE["deal_id"] != deal]).table
        for line in parts[parts["deal_id"] == deal].itertuples():
            stated = line.attainment_probability - line.won_in_period * line.effect
            found = row(without, line.level, line.entity)["attainment_probability"]
            assert found == pytest.approx(stated, abs=0.02), (deal, line.level, line.entity)


def test_a_deal_decides_only_quotas_it_belongs_to(parts: pd.DataFrame) -> None:
    for line in parts.itertuples():
        assert line.owner_id in OWNERS[line.level, line.entity]


def test_what_sways_most_stands_first_and_what_sways_nothing_nowhere(parts: pd.DataFrame) -> None:
    assert_allclose(parts["sway"], sway_of(parts["effect"], parts["won_in_period"]))
    for _, mine in parts.groupby(["level", "entity"]):
        assert mine["sway"].is_monotonic_decreasing
    assert (parts["sway"] > 0).all()
    assert "c0" not in set(parts["deal_id"])  # no chance at all
    # Bo's quota of 40 is reached with b1 alone and without it never: b2 decides nothing.
    assert parts.loc[parts["entity"] == "bo", "deal_id"].tolist() == ["b1"]
    assert parts.loc[parts["entity"] == "bo", "effect"].tolist() == [1.0]


def test_so_many_are_named_and_no_more(parts: pd.DataFrame) -> None:
    two = rolled(deciding=2).parts
    assert_frame_equal(two, parts.groupby(["level", "entity"], sort=False).head(2).reset_index(drop=True))
    none = rolled(deciding=0).parts
    assert none.empty
    assert none.columns.tolist() == two.columns.tolist()


def test_a_quota_booked_already_is_decided_by_no_deal() -> None:
    assert rolled(targets=quotas(("user", "ada", "2026Q1", 15.0, "EUR"))).parts.empty


def test_without_any_quota_no_deal_decides_one() -> None:
    assert rolled(targets=quotas()).parts.empty
    assert roll_up(inputs(), PEOPLE, TARGETS, euros(), deciding=5).parts.empty


def test_the_company_s_deals_are_the_same_in_both_tables(parts: pd.DataFrame) -> None:
    company = parts[parts["level"] == "company"].set_index("deal_id")["effect"]
    whole = rolled().deciding.set_index("deal_id")["effect"]
    assert_allclose(company, whole[company.index])


def test_one_entity_s_deals_do_not_depend_on_who_else_has_a_quota(parts: pd.DataFrame) -> None:
    alone = rolled(targets=TARGETS[TARGETS["entity"] == "north"]).parts
    same = parts[parts["level"] == "team"].reset_index(drop=True)
    assert_frame_equal(alone[alone["level"] == "team"].reset_index(drop=True), same)


def test_many_deals_are_read_from_moments_and_agree_with_one_by_one() -> None:
    """61 deals and 60 deals: the two ways meet where one takes over from the other."""
    rng = np.random.default_rng(3)
    rows = [
        (f"d{i:02}", "ada", float(a), p)
        for i, (a, p) in enumerate(zip(rng.integers(5, 40, 61), rng.uniform(0.1, 0.7, 61), strict=True))
    ]
    target = quotas(("user", "ada", "2026Q1", 560.0, "EUR"))

    def effects(some: list[tuple[str, str, float, float]]) -> pd.Series:
        found = roll_up(
            inputs(pipeline=deals(*some), coming=arrivals(("ada", 3.0, 20.0, 0.5))),
            PEOPLE,
            target,
            euros(),
            scenarios=SCENARIOS,
            deciding=100,
        ).parts
        return found[found["level"] == "user"].set_index("deal_id")["effect"].sort_index()

    many, few = effects(rows), effects([*rows[:60]])
    common = few.index.intersection(many.index)
    assert len(common) > 55
    assert_allclose(many[common], few[common], atol=0.05)
