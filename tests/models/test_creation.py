"""How many deals will be created: rates with growth and a slow August, and renewals a year after a win."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from forecast.history import History
from forecast.models import FittedModels
from forecast.models.creation import Clock, Creation, Rate, Wins, _Births, _Children, fit_creation
from forecast.models.spread import Spread
from forecast.periods import DAY_US, Period, as_of_us
from forecast.tables import Tables

FIRST_US: Final = as_of_us(pd.Timestamp("2022-01-01", tz="UTC"))
UNTIL_US: Final = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))
DAYS: Final = np.arange(FIRST_US, UNTIL_US, DAY_US)
STAGES: Final = pd.DataFrame(
    {
        "pipeline": "sales",
        "stage": ["open", "won", "lost"],
        "position": [1, 2, 3],
        "kind": ["open", "won", "lost"],
        "default_probability": [0.3, 1.0, 0.0],
    }
)


def births(per_day: np.ndarray, seed: int = 0) -> np.ndarray:
    """Moments of a Poisson process with a rate per day."""
    rng = np.random.default_rng(seed)
    days = np.repeat(DAYS, rng.poisson(per_day))
    return np.sort(days + rng.integers(0, DAY_US, len(days)))


def august() -> np.ndarray:
    return DAYS.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12 == 7


def test_growth_and_a_slow_month_are_found() -> None:
    years = (DAYS - UNTIL_US) / DAY_US / 365.25
    found = _Births(births(6.0 * np.exp(0.25 * years) * np.where(august(), 0.4, 1.0)), FIRST_US)
    rate = found.rate(UNTIL_US, plain=False)
    assert rate.slope == pytest.approx(0.25, abs=0.06)
    assert np.exp(rate.months[7] - np.delete(rate.months, 7).mean()) == pytest.approx(0.4, abs=0.1)
    ahead = Period.parse("2026Q1")
    edges = np.arange(ahead.start_us, ahead.end_us + 1, 6 * DAY_US)
    truth = 6.0 * np.exp(0.25 * 45 / 365.25) * 90
    assert rate.expected(edges[:-1], edges[1:]).sum() == pytest.approx(truth, rel=0.06)


def test_without_growth_or_season_none_is_made_up() -> None:
    ahead = Period.parse("2026Q1")
    errors = []
    for seed in range(8):
        at_us = births(np.full(len(DAYS), 4.0), seed)
        nowhere, none = np.zeros(len(at_us), np.int64), np.full(len(at_us), -1)
        creation = fit_creation(one_motion(), at_us, nowhere, none, UNTIL_US)
        edges = np.arange(ahead.start_us, ahead.end_us + 1, 6 * DAY_US)
        errors.append(creation.rates[0].expected(edges[:-1], edges[1:]).sum() / 360.0 - 1.0)
        assert creation.clocks == (None,)
    # A year of 1,460 deals is known to 2.6 %; slope and months, shrunk, cost a little more.
    assert np.std(errors) < 0.07
    assert np.mean(errors) == pytest.approx(0.0, abs=0.04)


def test_a_year_that_broke_with_the_past_takes_the_plain_mean() -> None:
    """Growth until the middle of 2023, then a flat rate: the mean of the last year is nearer than any trend."""
    years = (DAYS - FIRST_US) / DAY_US / 365.25
    at_us = births(np.where(years < 1.5, 2.0 * np.exp(1.2 * years), 5.0), 3)
    nowhere, none = np.zeros(len(at_us), np.int64), np.full(len(at_us), -1)
    rate = fit_creation(one_motion(), at_us, nowhere, none, UNTIL_US).rates[0]
    assert rate.per_week == pytest.approx(35.0, rel=0.12)


def one_motion() -> History:
    """A single deal, of motion new, which was never won."""
    return company([("d", "2022-01-01", "open")], {"d": ("a", "new")})


def company(events: list[tuple[str, str, str]], deals: dict[str, tuple[str, str]]) -> History:
    """A history from (deal, when, stage) and the account and motion of each deal; `ada` owns all."""
    ids = sorted(deals)
    return History.from_tables(
        Tables.from_frames(
            stages=STAGES,
            deals=pd.DataFrame(
                {
                    "deal_id": ids,
                    "created_at": [
                        min(pd.Timestamp(e[1], tz="UTC") for e in events if e[0] == i) for i in ids
                    ],
                    "account_id": [deals[i][0] for i in ids],
                    "motion": [deals[i][1] for i in ids],
                    "owner_id": "ada",
                }
            ),
            deal_events=pd.DataFrame(
                {
                    "deal_id": [e[0] for e in events],
                    "recorded_at": [pd.Timestamp(e[1], tz="UTC") for e in events],
                    "field": "stage",
                    "value": [e[2] for e in events],
                }
            ),
        )
    )


def renewing(customers: int = 400, share: float = 0.7, seed: int = 1) -> tuple[Wins, _Children]:
    """Accounts won over three years; a share of them opens a renewal 280 to 310 days after each win."""
    rng = np.random.default_rng(seed)
    won_us = FIRST_US + rng.integers(0, 1095, customers) * DAY_US
    account = np.arange(customers)
    renews = rng.random(customers) < share
    born_us = won_us[renews] + rng.integers(280, 310, renews.sum()) * DAY_US
    wins = Wins(account, won_us, np.zeros(customers, np.int64), 0.0)
    inside = born_us < UNTIL_US
    return wins, _Children.of(account[renews][inside], born_us[inside], wins, customers)


def test_the_clock_is_recovered_although_the_latest_wins_have_waited_too_short() -> None:
    until_us = FIRST_US + 1095 * DAY_US
    wins, children = renewing()
    clock = children.clock(wins.known_before(until_us), until_us)
    edges = np.concatenate((np.arange(0.0, 450.0, 15.0), np.arange(450.0, 1201.0, 30.0)))
    inside = (edges[:-1] >= 270) & (edges[1:] <= 315)
    per_win = clock.rate * np.diff(edges)
    assert per_win[inside].sum() == pytest.approx(0.7, abs=0.06)
    assert per_win[edges[:-1] < 270].sum() < 0.03
    assert clock.background < 0.01


def test_deals_that_follow_nothing_are_background() -> None:
    rng = np.random.default_rng(2)
    wins, _ = renewing()
    born_us = np.sort(FIRST_US + rng.integers(0, 1460, 1000) * DAY_US)
    strangers = _Children.of(rng.integers(1000, 5000, 1000), born_us, wins, 400)
    assert strangers.following == 0
    clock = strangers.clock(wins, UNTIL_US)
    assert clock.background == pytest.approx(1000 / 1460, rel=0.15)
    assert (clock.rate == 0).all()


def test_a_win_foretells_its_renewal_and_its_owner() -> None:
    events = [("d1", "2025-01-05", "open"), ("d1", "2025-03-01", "won"), ("d2", "2025-01-05", "open")]
    history = company(events, {"d1": ("a", "new"), "d2": ("b", "new")})
    edges = np.concatenate((np.arange(0.0, 450.0, 15.0), np.arange(450.0, 1201.0, 30.0)))
    rate = np.where((edges[:-1] >= 270) & (edges[1:] <= 300), 0.6 / 30, 0.0)
    creation = Creation(
        (Rate(UNTIL_US, 1.0, 0.0, np.zeros(12)),),
        (Clock(rate, 0.0),),
        Wins.remembered([], []),
        0,
        Spread(0.1, 4.0, 4.0),
    )

    def quarter(label: str, as_of: str) -> tuple[float, float]:
        period, moment = Period.parse(label), as_of_us(pd.Timestamp(as_of, tz="UTC"))
        weeks = np.append(np.arange(max(period.start_us, moment), period.end_us, 7 * DAY_US), period.end_us)
        number, inherited = creation.expected(history, moment, weeks[:-1], weeks[1:], ("bo", "ada"))
        return float(number.sum()), float(inherited.sum())

    # 270 to 300 days after 1 March 2025 is 26 November to 26 December.
    wins_per_day = Wins.before(history, as_of_us(pd.Timestamp("2025-10-01", tz="UTC"))).per_day
    assert quarter("2025Q4", "2025-10-01") == pytest.approx((0.6, 0.6), abs=1e-9)
    assert quarter("2025Q3", "2025-07-01") == pytest.approx((0.0, 0.0), abs=1e-9)
    # Before the win is recorded it foretells nothing, to the microsecond.
    assert quarter("2025Q4", "2025-03-01")[1] == 0.0
    assert wins_per_day > 0


def test_remembered_wins_and_those_of_the_history_are_the_wins_of_all(sample_history: History) -> None:
    """What a bundle remembers and what came since are all there is; nobody is counted twice."""
    at_us = as_of_us(pd.Timestamp("2025-10-01", tz="UTC"))
    owners = (*sample_history.vocabulary("owner_id").texts, "")
    rates = (Rate(at_us, 1.0, 0.0, np.zeros(12)),)
    clock = Clock(np.full(55, 1e-3), 0.0)
    weeks = at_us + np.arange(14) * 7 * DAY_US
    every = Wins.before(sample_history, at_us)
    found = []
    for until in ("2024-01-01", "2025-06-15", "2025-12-01"):
        until_us = as_of_us(pd.Timestamp(until, tz="UTC"))
        then = Wins.before(sample_history, until_us)
        creation = Creation(
            rates, (clock,), Wins.remembered(then.at_us, then.owner), until_us, Spread(0.1, 4.0, 4.0)
        )
        number, inherited = creation.expected(sample_history, at_us, weeks[:-1], weeks[1:], owners)
        found.append((number.sum(), inherited.sum(axis=1)[0]))
    assert_allclose(found, [found[0]] * 3, rtol=1e-9)
    follow = clock.per_win(every, int(weeks[0]), int(weeks[-1]))
    assert found[0][1] == pytest.approx(follow.sum(), rel=1e-9)


def test_wins_still_to_come_are_followed_too() -> None:
    edges = np.concatenate((np.arange(0.0, 450.0, 15.0), np.arange(450.0, 1201.0, 30.0)))
    clock = Clock(np.where(edges[:-1] < 30, 0.01, 0.0), 0.0)
    none = np.empty(0, np.int64)
    later = clock.others(
        Wins(none, none, none, 2.0), UNTIL_US, UNTIL_US + 60 * DAY_US, UNTIL_US + 90 * DAY_US
    )
    # Two wins a day, each followed by .3 deals within 30 days: 2 x .3 x 30 days, once the first month is over.
    assert later == pytest.approx(2 * 0.3 * 30, rel=0.01)


def test_new_business_of_the_simulator_follows_no_clock(sample_models: FittedModels) -> None:
    arrivals = sample_models.arrivals
    for motion, clock in zip(arrivals.motions, arrivals.creation.clocks, strict=True):
        if motion == "new":
            assert clock is None  # most new deals follow nothing


def test_a_bundle_keeps_rates_and_clocks(sample_models: FittedModels, sample_history: History) -> None:
    creation = sample_models.arrivals.creation
    again = Creation.from_json(creation.to_json())
    at_us = sample_models.trained_until_us
    weeks = at_us + np.arange(14) * 7 * DAY_US
    for one, other in zip(
        creation.expected(sample_history, at_us, weeks[:-1], weeks[1:], sample_models.arrivals.owners),
        again.expected(sample_history, at_us, weeks[:-1], weeks[1:], sample_models.arrivals.owners),
        strict=True,
    ):
        assert_allclose(one, other, rtol=1e-12)
