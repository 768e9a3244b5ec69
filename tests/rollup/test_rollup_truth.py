"""Draws against what can be worked out exactly: enumeration of a few deals, closed forms for many."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from rollup_cases import CALM, arrivals, booked, deals, euros, inputs, quotas, row, users
from scipy import stats

from forecast.rollup import Uncertainty, decide, roll_up
from forecast.rollup.scenarios import affordable_scenarios, draw_open, hazard_factors, win_rates

ADA = users(("ada", "north", "IT", True))
FIVE = deals(
    ("a", "ada", 100.0, 0.5),
    ("b", "ada", 70.0, 0.2),
    ("c", "ada", 45.0, 0.9),
    ("d", "ada", 31.0, 0.01),
    ("e", "ada", 12.0, 0.6),
)
SHAKEN = Uncertainty(shock_sd=0.4, shock_df=6.0)


def outcomes(pipeline: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(wins, total, probability) of every combination of won and not won."""
    wins = np.array(list(product((0, 1), repeat=len(pipeline))))
    p = pipeline["won_in_period"].to_numpy()
    return wins, wins @ pipeline["amount_if_won"].to_numpy(), np.where(wins, p, 1 - p).prod(axis=1)


def quota_of(amount: float) -> pd.DataFrame:
    return quotas(("company", "*", "2026Q1", amount, "EUR"))


@pytest.mark.parametrize("quota", [20.0, 57.0, 100.0, 145.0, 214.0, 258.0])
def test_attainment_of_a_few_deals_is_that_of_the_enumeration(quota: float) -> None:
    _, total, weight = outcomes(FIVE)
    truth = weight[total >= quota].sum()
    bookings = roll_up(inputs(pipeline=FIVE), ADA, quota_of(quota), euros(), scenarios=20_000)
    found = row(bookings.table, "company")["attainment_probability"]
    assert abs(found - truth) <= 4 * np.sqrt(truth * (1 - truth) / 20_000) + 1e-12


def test_quantiles_of_a_few_deals_are_those_of_the_enumeration() -> None:
    _, total, weight = outcomes(FIVE)
    order = np.argsort(total)
    below = np.cumsum(weight[order])
    table = roll_up(inputs(pipeline=FIVE), ADA, quotas(), euros(), scenarios=20_000).table
    # Between neighbouring totals a drawn share may fall on either side: within four standard errors of it.
    for column, share in (("p10", 0.1), ("p50", 0.5), ("p90", 0.9)):
        slack = 4 * np.sqrt(share * (1 - share) / 20_000)
        low, high = total[order][np.searchsorted(below, [share - slack, share + slack])]
        assert low <= row(table, "company")[column] <= high


def moments(pipeline: pd.DataFrame, uncertainty: Uncertainty, log_sd: float) -> tuple[float, float]:
    """Mean and variance of the open bookings by quadrature over the shock: E[var | u] + var(E | u).

    Each deal's rate is found here by bisection on the same integral, independently of the interpolation.
    """
    share = (np.arange(20_000) + 0.5) / 20_000
    shock = stats.t.ppf(share, uncertainty.shock_df)
    shock *= uncertainty.shock_sd / stats.t.std(uncertainty.shock_df)
    hazard = np.exp(np.clip(shock, -np.log(10), np.log(10)))
    mean_given, variance_given = np.zeros(len(share)), np.zeros(len(share))
    for p, part in pipeline.groupby("won_in_period"):
        low, high = 1e-9, 100.0
        for _ in range(80):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if (1 - np.exp(-middle * hazard)).mean() < p else (low, middle)
        chance, amount = 1 - np.exp(-low * hazard), part["amount_if_won"].to_numpy()
        mean_given += chance * amount.sum()
        second = chance * np.exp(log_sd**2) * (amount**2).sum()
        variance_given += second - chance**2 * (amount**2).sum()
    return mean_given.mean(), variance_given.mean() + mean_given.var()


@pytest.mark.parametrize(("uncertainty", "log_sd"), [(CALM, 0.0), (CALM, 0.6), (SHAKEN, 0.0), (SHAKEN, 0.6)])
def test_open_draws_have_the_mean_and_variance_of_the_model(uncertainty: Uncertainty, log_sd: float) -> None:
    # Likely, unlikely and very unlikely deals: the last are drawn together.
    amounts = np.random.default_rng(1).lognormal(3, 0.8, 600)
    chances = np.repeat([0.6, 0.1, 0.012], 200)
    pipeline = deals(
        *((f"d{i}", "ada", a, p) for i, (a, p) in enumerate(zip(amounts, chances, strict=True))),
        log_sd=log_sd,
    )
    mean, variance = moments(pipeline, uncertainty, log_sd)
    bookings = roll_up(
        inputs(pipeline=pipeline, uncertainty=uncertainty), ADA, quotas(), euros(), scenarios=20_000
    )
    draws = bookings.company_draws
    assert row(bookings.table, "company")["expected"] == pytest.approx(mean, rel=1e-6)
    assert draws.mean() == pytest.approx(mean, abs=4 * np.sqrt(variance / len(draws)))
    assert draws.var() == pytest.approx(variance, rel=0.05)


def test_a_shock_keeps_every_deals_own_probability() -> None:
    p = np.array([0.0, 1e-9, 1e-4, 0.01, 0.2, 0.5, 0.93, 0.9999, 1.0])
    for uncertainty in (CALM, SHAKEN, Uncertainty(1.5, 2.5), Uncertainty(0.15, np.inf)):
        factors = hazard_factors(uncertainty, 1000)
        mean = (1 - np.exp(-np.outer(win_rates(p, factors), factors))).mean(axis=1)
        assert_allclose(mean, p, rtol=1e-4, atol=1e-12)


def test_deals_drawn_together_are_won_as_often_as_deals_drawn_one_by_one() -> None:
    # 0.0195 lies just below the border of the two ways, 0.0205 just above.
    factors = hazard_factors(SHAKEN, 4000)
    for p in (0.0195, 0.0205):
        pipeline = deals(*((f"d{i}", "ada", 1.0, p) for i in range(500)))
        owner = np.arange(500)
        won = draw_open(pipeline, owner, 500, factors, np.random.default_rng(7))
        assert set(np.unique(won)) == {0.0, 1.0}
        by_half = won.reshape(500, 2, 2000).mean(axis=(0, 2))
        rate = win_rates(np.array([p]), factors)[0]
        truth = (1 - np.exp(-rate * factors)).reshape(2, 2000).mean(axis=1)
        assert_allclose(by_half, truth, atol=4 * np.sqrt(p / 1e6))


@pytest.mark.parametrize("cv", [0.0, 0.5, 1.7])
def test_arrivals_are_a_compound_poisson_sum(cv: float) -> None:
    coming = arrivals(("ada", 3.0, 50.0, cv), ("ada", 0.4, 900.0, cv))
    draws = roll_up(inputs(coming=coming), ADA, quotas(), euros(), scenarios=20_000).company_draws
    variance = (3.0 * 50.0**2 + 0.4 * 900.0**2) * (1 + cv**2)
    assert draws.mean() == pytest.approx(3.0 * 50.0 + 0.4 * 900.0, abs=4 * np.sqrt(variance / 20_000))
    assert draws.var() == pytest.approx(variance, rel=0.15)


def test_arrivals_share_the_shock_of_open_deals() -> None:
    coming = arrivals(*((f"u{i}", 2.0, 100.0, 0.0) for i in range(300)))
    draws = roll_up(
        inputs(coming=coming, uncertainty=SHAKEN), ADA, quotas(), euros(), scenarios=4000
    ).company_draws
    factors = hazard_factors(SHAKEN, 4000)
    truth = 300 * 2.0 * 100.0**2 + 60_000.0**2 * factors.var()
    assert draws.var() == pytest.approx(truth, rel=0.05)


def test_a_shared_shock_widens_the_range_and_moves_no_mean() -> None:
    pipeline = deals(*((f"d{i}", "ada", 100.0, 0.3) for i in range(400)))
    rows = [
        row(roll_up(inputs(pipeline=pipeline, uncertainty=shock), ADA, quotas(), euros()).table, "company")
        for shock in (CALM, Uncertainty(0.15, 8.0), Uncertainty(0.5, 8.0))
    ]
    widths = [each["p90"] - each["p10"] for each in rows]
    assert widths[0] * 1.5 < widths[1] < widths[2] / 1.5
    assert len({each["expected"] for each in rows}) == 1


def test_with_nothing_but_a_guess_the_range_spans_it() -> None:
    coming = arrivals(("ada", 2.0, 1000.0, 1.0))
    company = row(roll_up(inputs(coming=coming, uncertainty=SHAKEN), ADA, quotas(), euros()).table, "company")
    assert company["p10"] < 0.1 * company["expected"]
    assert company["p90"] > 1.8 * company["expected"]


def test_the_seed_decides_the_draws() -> None:
    one, same, other = (
        roll_up(inputs(pipeline=FIVE, uncertainty=SHAKEN), ADA, quotas(), euros(), seed=seed).company_draws
        for seed in (1, 1, 2)
    )
    assert (one == same).all()
    assert (one != other).any()


def test_the_needed_pipeline_reaches_the_quota_four_times_in_five() -> None:
    pipeline = deals(*((f"d{i}", "ada", 10.0 + i, 0.25) for i in range(60)))
    won, coming = booked(("w", "ada", 200.0)), arrivals(("ada", 2.0, 50.0, 0.5))
    targets = quota_of(1500.0)
    company = row(
        roll_up(inputs(won=won, pipeline=pipeline, coming=coming), ADA, targets, euros()).table, "company"
    )
    factor = company["coverage_needed"] * (1500.0 - 200.0) / company["pipeline_open_amount"]
    assert factor > 1
    larger = pipeline.assign(
        amount=pipeline["amount"] * factor, amount_if_won=pipeline["amount_if_won"] * factor
    )
    after = row(
        roll_up(inputs(won=won, pipeline=larger, coming=coming), ADA, targets, euros()).table, "company"
    )
    assert after["attainment_probability"] == pytest.approx(0.8, abs=1 / 4000)


def test_needed_pipeline_is_nothing_when_reached_and_unknown_when_out_of_reach() -> None:
    long_shot = deals(("d", "ada", 100.0, 0.3))

    def coverage(**given: object) -> float:
        made = inputs(**given)  # type: ignore[arg-type]
        return float(row(roll_up(made, ADA, quota_of(150.0), euros()).table, "company")["coverage_needed"])

    assert coverage(won=booked(("w", "ada", 150.0)), pipeline=long_shot) == 0.0
    assert coverage(pipeline=long_shot, coming=arrivals(("ada", 50.0, 100.0, 0.0))) == 0.0
    assert np.isnan(coverage(pipeline=long_shot))
    assert np.isnan(coverage())
    no_quota = roll_up(inputs(pipeline=FIVE), ADA, quotas(), euros()).table
    assert no_quota["coverage_needed"].isna().all()


def test_the_effect_of_a_deal_is_that_of_the_enumeration() -> None:
    quota = 130.0
    wins, total, weight = outcomes(FIVE)
    reached = total >= quota
    truth = {
        deal: weight[reached & (wins[:, i] == 1)].sum() / weight[wins[:, i] == 1].sum()
        - weight[reached & (wins[:, i] == 0)].sum() / weight[wins[:, i] == 0].sum()
        for i, deal in enumerate(FIVE["deal_id"])
    }
    deciding = roll_up(inputs(pipeline=FIVE), ADA, quota_of(quota), euros(), scenarios=20_000).deciding
    assert (deciding["basis"] == "quota").all()
    assert deciding["deal_id"].iloc[0] == max(truth, key=truth.__getitem__)
    found = deciding.set_index("deal_id")["effect"]
    # Four standard errors of a share of the scenarios.
    assert_allclose(found[list(truth)], list(truth.values()), atol=4 * 0.5 / np.sqrt(20_000))


def test_the_effect_among_many_deals_is_that_of_an_exact_convolution() -> None:
    rng = np.random.default_rng(5)
    sizes, chances = rng.integers(1, 40, 60), rng.uniform(0.05, 0.8, 60)
    sizes[0], chances[0] = 150, 0.5
    pipeline = deals(
        *((f"d{i:02}", "ada", float(a), p) for i, (a, p) in enumerate(zip(sizes, chances, strict=True)))
    )

    def distribution(skipped: int) -> np.ndarray:
        total = np.zeros(sizes.sum() + 1)
        total[0] = 1.0
        for i, (a, p) in enumerate(zip(sizes, chances, strict=True)):
            if i != skipped:
                total = (1 - p) * total + p * np.roll(total, a)
        return total

    quota = int(sizes @ chances) + 60
    truth = []
    for i, a in enumerate(sizes):
        without = distribution(i)
        truth.append(without[quota - a :].sum() - without[quota:].sum())
    bookings = roll_up(inputs(pipeline=pipeline), ADA, quota_of(quota), euros(), scenarios=20_000)
    found = bookings.deciding.set_index("deal_id").sort_index()["effect"]
    assert_allclose(found, truth, atol=0.03)
    assert bookings.deciding["deal_id"].iloc[0] == "d00"


def test_the_only_deal_decides_alone() -> None:
    only = deals(("a", "ada", 100.0, 0.3))
    for quota, effect in ((80.0, 1.0), (120.0, 0.0)):
        deciding = roll_up(inputs(pipeline=only), ADA, quota_of(quota), euros()).deciding
        assert deciding["effect"].tolist() == [effect]


def test_without_a_quota_the_effect_is_a_share_of_the_variance() -> None:
    deciding = roll_up(inputs(pipeline=FIVE), ADA, quotas(), euros(), scenarios=20_000).deciding
    own = (FIVE["won_in_period"] * (1 - FIVE["won_in_period"]) * FIVE["amount_if_won"] ** 2).to_numpy()
    assert (deciding["basis"] == "variance").all()
    assert_allclose(deciding.set_index("deal_id")["effect"][FIVE["deal_id"]], own / own.sum(), atol=0.02)


def test_the_same_function_serves_a_team() -> None:
    draws = np.array([100.0, 0.0, 0.0, 100.0])
    found = decide(draws, deals(("a", "ada", 100.0, 0.5), ("b", "ada", np.nan, 0.5)), 50.0)
    assert found["deal_id"].tolist() == ["a"]
    assert found["effect"].tolist() == [1.0]


def test_scenarios_become_fewer_before_a_large_pipeline_becomes_slow() -> None:
    assert affordable_scenarios(np.full(2_000, 0.3), 100, 50, 4000) == 4000
    assert affordable_scenarios(np.full(100_000, 0.3), 500, 500, 4000) == 1000
    assert 1000 < affordable_scenarios(np.full(100_000, 0.005), 500, 500, 4000) <= 4000
    assert affordable_scenarios(np.full(10, 0.3), 0, 5_000, 4000) == 1200
