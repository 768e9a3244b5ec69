"""Exact totals of a handful of deals: against enumeration, against scenarios, and what more deals may do."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from rollup_cases import CALM, arrivals, deals, euros, inputs, quotas, row, users

from forecast.rollup import Uncertainty, roll_up
from forecast.rollup.exact import FEW_DEALS, Total, exact_total
from forecast.rollup.inputs import Lines, log_normal_shapes, usable_lines
from forecast.rollup.scenarios import arrival_factors, draw_arrivals, draw_open, hazard_factors, win_rates

ADA = users(("ada", "north", "IT", True))
SHAKEN = Uncertainty(shock_sd=0.4, shock_df=6.0, arrivals_sd=0.3)
DRAWS = 20_000


def total_of(lines: Lines, uncertainty: Uncertainty) -> Total:
    return exact_total(lines.open, lines.shapes, lines.arrivals, uncertainty)


def lines_of(pipeline: pd.DataFrame, coming: pd.DataFrame | None = None) -> Lines:
    return usable_lines(inputs(pipeline=pipeline, coming=coming))


@st.composite
def handfuls(draw: st.DrawFn) -> tuple[Lines, Uncertainty]:
    """Up to twelve open deals, sure and hopeless ones among them, and some arrivals."""
    number = draw(st.integers(0, FEW_DEALS))
    amount, chance = st.integers(1, 200).map(float), st.sampled_from([0.001, 0.05, 0.3, 0.6, 0.97, 1.0])
    pipeline = deals(
        *((f"d{i:02}", "ada", draw(amount), draw(chance)) for i in range(number)),
        log_sd=draw(st.sampled_from([0.0, 0.3])),
    )
    coming = arrivals(
        *(
            ("ada", draw(st.sampled_from([0.2, 2.0])), draw(amount), draw(st.sampled_from([0.0, 0.6, 1.3])))
            for _ in range(draw(st.integers(0, 2)))
        )
    )
    return lines_of(pipeline, coming), draw(st.sampled_from([CALM, SHAKEN, Uncertainty(0.15, np.inf, 0.1)]))


@pytest.mark.parametrize("uncertainty", [CALM, SHAKEN])
def test_twelve_deals_agree_with_all_their_outcomes(uncertainty: Uncertainty) -> None:
    rng = np.random.default_rng(4)
    amounts, chances = 5.0 * rng.integers(2, 18, FEW_DEALS), rng.uniform(0.05, 0.9, FEW_DEALS)
    lines = lines_of(
        deals(*((f"d{i:02}", "ada", a, p) for i, (a, p) in enumerate(zip(amounts, chances, strict=True))))
    )
    wins = np.array(list(product((0, 1), repeat=FEW_DEALS)))
    factors = hazard_factors(uncertainty, 32)
    weight = np.zeros(len(wins))
    for factor in factors:
        chance = 1.0 - np.exp(-win_rates(chances, factors) * factor)
        weight += np.where(wins, chance, 1.0 - chance).prod(axis=1) / len(factors)
    sums = wins @ amounts
    total = total_of(lines, uncertainty)
    # Totals are multiples of five and the slack is less than half of that: on them and between them the answer
    # is exact.
    assert total.slack < 2.5
    for quota in (2.5, 100.0, 257.5, 300.0, 445.0, float(sums.max())):
        assert total.at_least(quota) == pytest.approx(weight[sums >= quota].sum(), abs=1e-9)
    assert total.at_least(sums.max() + 2 * total.slack + 1) == pytest.approx(0.0, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(handfuls(), st.floats(0.05, 1.2))
def test_exact_and_drawn_agree_within_the_error_of_the_draws(
    handful: tuple[Lines, Uncertainty], share: float
) -> None:
    lines, uncertainty = handful
    total = total_of(lines, uncertainty)
    rng, factors = np.random.default_rng(11), hazard_factors(uncertainty, DRAWS)
    nobody = np.zeros(len(lines.open), np.int64)
    drawn = draw_open(lines.open, lines.shapes, nobody, 1, factors, rng)[0]
    more = factors * arrival_factors(uncertainty, DRAWS, rng)
    drawn = drawn + draw_arrivals(lines.arrivals, np.zeros(len(lines.arrivals), np.int64), 1, more, rng)[0]
    quota = share * float(drawn.max())
    # Totals within the slack of the lattice may fall on either side.
    blur = 2 * total.slack + total.step
    least, most = (drawn >= quota + blur).mean(), (drawn >= quota - blur).mean()
    error = 4.5 * np.sqrt(max(most * (1 - least), 1e-4) / DRAWS) + 0.003  # and 32 shocks instead of 20,000
    assert least - error <= total.at_least(quota) <= most + error


@settings(deadline=None, max_examples=50)
@given(handfuls(), st.floats(1.0, 200.0), st.sampled_from([0.05, 0.5, 1.0]), st.floats(0.0, 900.0))
def test_another_open_deal_never_lowers_the_chance(
    handful: tuple[Lines, Uncertainty], amount: float, chance: float, quota: float
) -> None:
    lines, uncertainty = handful
    new = lines.open.iloc[:1] if len(lines.open) else lines_of(deals(("n", "ada", 1.0, 0.5))).open
    shapes = lines.shapes if len(lines.open) else np.ones((1, 1))
    richer = pd.concat([lines.open, new.assign(amount_if_won=amount, won_in_period=chance)])
    before = exact_total(lines.open, shapes, lines.arrivals, uncertainty)
    after = exact_total(richer, shapes, lines.arrivals, uncertainty)
    asked = quota + 2 * (before.slack + after.slack) + before.step + after.step
    assert after.at_least(quota) >= before.at_least(asked) - 1e-6  # what lies beyond the lattice


@settings(deadline=None, max_examples=30)
@given(handfuls())
def test_it_is_a_distribution_with_the_mean_of_the_table(handful: tuple[Lines, Uncertainty]) -> None:
    lines, uncertainty = handful
    total = total_of(lines, uncertainty)
    assert (total.mass >= 0).all()
    assert total.mass.sum() == pytest.approx(1.0)
    low, middle, high = total.quantiles((0.1, 0.5, 0.9))
    assert 0 <= low <= middle <= high
    chances = [total.at_least(level) for level in np.linspace(0, 500, 40)]
    assert chances[0] == 1.0
    assert (np.diff(chances) <= 1e-12).all()
    expected = lines.open["won_in_period"] @ lines.open["amount_if_won"]
    expected += lines.arrivals["deals"] @ lines.arrivals["amount_mean"]
    assert np.arange(len(total.mass)) * total.step @ total.mass == pytest.approx(
        expected, abs=0.002 * expected + total.slack + total.step
    )


def test_a_rare_large_arrival_beside_frequent_small_ones_keeps_the_mean() -> None:
    """One in five quarters brings an arrival of about nine, widely spread; two of exactly one always come."""
    coming = pd.DataFrame({"deals": [0.2, 2.0], "amount_mean": [9.0, 1.0], "amount_cv": [1.3, 0.0]})
    none = pd.DataFrame({"won_in_period": [], "amount_if_won": [], "amount_shape": np.array([], dtype=int)})
    total = exact_total(none, np.ones((1, 1)), coming, Uncertainty(0.0, 8.0))
    assert np.arange(len(total.mass)) * total.step @ total.mass == pytest.approx(3.8, rel=1e-3)


def test_every_level_of_one_seller_says_the_same_exact_thing() -> None:
    pipeline = deals(("a", "ada", 100.0, 0.5), ("b", "ada", 70.0, 0.2))
    targets = quotas(
        *(
            (level, who, "2026Q1", 150.0, None)
            for level, who in (("user", "ada"), ("team", "north"), ("region", "IT"), ("company", "*"))
        )
    )
    one, other = (
        roll_up(inputs(pipeline=pipeline), ADA, targets, euros(), seed=seed).table for seed in (1, 2)
    )
    assert_allclose(one["attainment_probability"], 0.1, atol=1e-9)
    assert_allclose(one["attainment_probability"], other["attainment_probability"], atol=0)


def test_a_thirteenth_deal_is_drawn() -> None:
    many = deals(*((f"d{i:02}", "ada", 100.0, 0.5) for i in range(FEW_DEALS + 1)))
    chances = {
        row(
            roll_up(
                inputs(pipeline=many), ADA, quotas(("company", "*", "2026Q1", 650.0, None)), euros(), seed=s
            ).table,
            "company",
        )["attainment_probability"]
        for s in (1, 2)
    }
    assert len(chances) == 2
    assert_allclose(list(chances), 0.5, atol=0.04)  # 7 or more of 13


def test_shapes_of_amounts_are_what_is_drawn() -> None:
    """Half of the wins at the full amount, half at 80 %: a quota just below the amount is reached by half."""
    pipeline = deals(("a", "ada", 90.0, 1.0)).assign(amount_shape=0)
    shapes = np.array([[0.8, 1.0]]) / 0.9
    made = inputs(pipeline=pipeline)
    for quota, truth in ((79.0, 1.0), (81.0, 0.5), (99.9, 0.5), (101.0, 0.0)):
        given_shapes = type(made)(
            made.period, made.as_of, made.booked, pipeline, made.arrivals, CALM, amount_shapes=shapes
        )
        table = roll_up(given_shapes, ADA, quotas(("company", "*", "2026Q1", quota, None)), euros()).table
        assert row(table, "company")["attainment_probability"] == pytest.approx(truth, abs=1e-9)


@given(st.lists(st.floats(0.0, 1.5), min_size=1, max_size=5))
def test_log_normal_slices_have_mean_one(spreads: list[float]) -> None:
    shapes = log_normal_shapes(np.array(spreads))
    assert_allclose(shapes.mean(axis=1), 1.0, rtol=1e-9)
    assert (np.diff(shapes, axis=1) >= -1e-12).all()


def test_the_number_of_arrivals_scatters_as_stated() -> None:
    rng = np.random.default_rng(0)
    factors = arrival_factors(Uncertainty(0.0, 8.0, 0.35), 4000, rng)
    assert factors.mean() == pytest.approx(1.0)
    assert factors.std() == pytest.approx(0.35, rel=0.02)
    assert (arrival_factors(CALM, 10, rng) == 1.0).all()
    coming = arrivals(("ada", 40.0, 100.0, 0.0))
    wide, narrow = (
        row(
            roll_up(
                inputs(coming=coming, uncertainty=Uncertainty(0.0, 8.0, sd)), ADA, quotas(), euros()
            ).table,
            "company",
        )
        for sd in (0.35, 0.0)
    )
    assert wide["expected"] == narrow["expected"]
    assert wide["p90"] - wide["p10"] > 2 * (narrow["p90"] - narrow["p10"])
