"""What becomes of deals born from leads: laws, a known process recovered, and answers from nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.history import History
from forecast.models import FreshDeals, fit_fresh
from forecast.periods import as_of_us
from forecast.tables import Tables

START = pd.Timestamp("2022-01-01", tz="UTC")
UNTIL_US = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))
STAGES = pd.DataFrame(
    {
        "pipeline": "sales",
        "stage": ["demo", "won", "lost"],
        "position": [1, 2, 3],
        "kind": ["open", "won", "lost"],
    }
)


def company(rng: np.random.Generator, win: dict[str, float], lose: float, back: float, each: int) -> Tables:
    """Deals that wait, win, lose and come back at constant rates per day, by source."""
    rows: list[tuple[str, str, float, str]] = []
    deals: list[tuple[str, str, float]] = []
    for source, rate in win.items():
        for number in range(each):
            deal_id = f"{source}-{number:05d}"
            created = rng.uniform(0, 900)
            deals.append((deal_id, source, created))
            at, stage = created, "demo"
            while at < 1461 and stage != "won":
                rows.append((deal_id, source, at, stage))
                leaving = rate + lose if stage == "demo" else back
                at += rng.exponential(1.0 / leaving)
                wins = rng.random() < rate / leaving
                stage = ("won" if wins else "lost") if stage == "demo" else "demo"
            if at < 1461:
                rows.append((deal_id, source, at, stage))
    days = pd.to_timedelta([row[2] for row in rows], unit="D")
    return Tables.from_frames(
        stages=STAGES,
        deals=pd.DataFrame(
            {
                "deal_id": [d[0] for d in deals],
                "source": [d[1] for d in deals],
                "created_at": (START + pd.to_timedelta([d[2] for d in deals], unit="D")).floor("s"),
            }
        ),
        deal_events=pd.DataFrame(
            {
                "deal_id": [row[0] for row in rows],
                "recorded_at": (START + days).floor("s"),
                "field": "stage",
                "value": [row[3] for row in rows],
            }
        ).drop_duplicates(),
    )


def exact(win: float, lose: float, back: float, days: int) -> float:
    """P(won within days) of the three-state chain, by matrix exponential."""
    from scipy.linalg import expm

    rates = np.array([[-(win + lose), lose, win], [back, -back, 0.0], [0.0, 0.0, 0.0]])
    return float(expm(rates * days)[0, 2])


def test_the_process_is_recovered_by_source_with_those_that_come_back() -> None:
    win, lose, back = {"web": 0.004, "fair": 0.001}, 0.010, 0.003
    tables = company(np.random.default_rng(3), win, lose, back, 1500)
    deals = History.from_tables(tables)
    fitted = fit_fresh(deals, np.ones(len(deals), dtype=bool), UNTIL_US)
    assert fitted.sources == ("fair", "web")
    for source, rate in win.items():
        row = fitted.won_by_day[fitted.sources.index(source)]
        for days in (30, 180, 600):
            assert row[days] == pytest.approx(exact(rate, lose, back, days), abs=0.025), (source, days)
    # Without its returns the chance would be a different one, so they were not just left out.
    assert exact(0.004, lose, back, 600) - exact(0.004, lose, 1e-9, 600) > 0.08


def test_deals_from_leads_may_end_unlike_others_of_their_source() -> None:
    rng = np.random.default_rng(4)
    tables = company(rng, {"web": 0.002}, 0.010, 1e-6, 2500)
    deals = History.from_tables(tables)
    ever_won = np.zeros(len(deals), dtype=bool)
    ever_won[deals.closings.deal[deals.closings.kind == 1]] = True
    # Winners come from leads three times as often.
    born = rng.random(len(deals)) < np.where(ever_won, 0.6, 0.2)
    fitted = fit_fresh(deals, born, UNTIL_US)
    share = ever_won[born].mean()
    assert fitted.won_by_day[0, 730] == pytest.approx(share, abs=0.04)
    assert fitted.won_by_day[0, 730] > ever_won.mean() + 0.1


def test_one_lucky_deal_does_not_make_a_source() -> None:
    tables = company(np.random.default_rng(5), {"web": 0.002, "rare": 1.0}, 0.010, 1e-6, 1)
    many = company(np.random.default_rng(6), {"web": 0.002}, 0.010, 1e-6, 800)
    rare = tables.deals["source"] == "rare"
    ids = tables.deals.loc[rare, "deal_id"]
    joined = Tables.from_frames(
        stages=STAGES,
        deals=pd.concat([many.deals, tables.deals[rare]]),
        deal_events=pd.concat(
            [many.deal_events, tables.deal_events[tables.deal_events["deal_id"].isin(ids)]]
        ),
    )
    deals = History.from_tables(joined)
    fitted = fit_fresh(deals, np.ones(len(deals), dtype=bool), UNTIL_US)
    web, lucky = (fitted.won_by_day[fitted.sources.index(name), 365] for name in ("web", "rare"))
    assert web < lucky < 1.5 * web


def test_chances_never_fall_and_every_other_source_is_served() -> None:
    deals = History.from_tables(company(np.random.default_rng(7), {"web": 0.003}, 0.01, 0.001, 300))
    fitted = fit_fresh(deals, np.ones(len(deals), dtype=bool), UNTIL_US)
    assert (np.diff(fitted.won_by_day, axis=1) >= 0).all()
    assert (fitted.won_by_day[:, 0] == 0).all()
    assert (fitted.won_by_day[:, -1] < 1).all()
    assert fitted.place(("nowhere", "web")).tolist() == [1, 0, 1]
    np.testing.assert_allclose(
        fitted.won_within(np.array([0.0, 10.0, 10.5, 730.0]))[0, 1], fitted.won_by_day[0, 10]
    )
    halfway = fitted.won_within(np.array([10.5]))[0, 0]
    assert fitted.won_by_day[0, 10] <= halfway <= fitted.won_by_day[0, 11]


@pytest.mark.parametrize("deals_known", [0, 1])
def test_without_closings_common_experience_answers(deals_known: int) -> None:
    frames = {
        "deals": pd.DataFrame({"deal_id": ["D"], "created_at": [START]}),
        "deal_events": pd.DataFrame(
            {"deal_id": ["D"], "recorded_at": [START], "field": ["stage"], "value": ["demo"]}
        ),
    }
    tables = Tables.from_frames(stages=STAGES, **(frames if deals_known else {}))
    deals = History.from_tables(tables)
    fitted = fit_fresh(deals, np.zeros(len(deals), dtype=bool), UNTIL_US)
    assert fitted.sources == ()
    # A quarter won, half of all decided within 90 days.
    assert fitted.won_by_day[0, 90] == pytest.approx(0.125, abs=0.01)
    assert fitted.won_by_day[0, 730] == pytest.approx(0.25, abs=0.04)


def test_the_future_is_not_read() -> None:
    tables = company(np.random.default_rng(8), {"web": 0.003}, 0.01, 0.001, 200)
    middle = pd.Timestamp("2023-06-01", tz="UTC")
    events = tables.deal_events[tables.deal_events["recorded_at"] < middle]
    known = Tables.from_frames(
        stages=STAGES,
        deals=tables.deals[tables.deals["deal_id"].isin(events["deal_id"])],
        deal_events=events,
    )
    found = []
    for given in (tables, known):
        deals = History.from_tables(given)
        born = deals.columns.created_at_us < as_of_us(middle)
        found.append(fit_fresh(deals, born, as_of_us(middle)))
    np.testing.assert_array_equal(found[0].won_by_day, found[1].won_by_day)


def test_it_comes_back_from_json_as_it_was() -> None:
    deals = History.from_tables(company(np.random.default_rng(9), {"web": 0.003}, 0.01, 0.001, 50))
    fitted = fit_fresh(deals, np.ones(len(deals), dtype=bool), UNTIL_US)
    np.testing.assert_array_equal(FreshDeals.from_json(fitted.to_json()).won_by_day, fitted.won_by_day)
