"""The truth about leads is exact: outcomes agree with it, and it sees neither the future nor the deal."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, rankdata

from forecast.errors import UsageError
from forecast.periods import as_of_us
from forecast.simulator import Simulation, simulate
from forecast.simulator import leads as rules
from forecast.simulator.calendar import NEVER_US
from forecast.simulator.lead_truth import LeadTruth

END = pd.Timestamp("2026-01-01", tz="UTC")


@cache
def company() -> Simulation:
    return simulate(20_000, seed=11)


@cache
def small() -> Simulation:
    return simulate(3_000, seed=5)


@cache
def forecasts(horizon_days: int, hour: int) -> pd.DataFrame:
    """Truth and outcome of all open leads, at moments a horizon apart: windows that do not overlap."""
    simulation = company()
    table = simulation.tables.leads.set_index("lead_id")
    first = pd.Timestamp("2022-03-07", tz="UTC") + pd.Timedelta(hours=hour)
    met_from = simulation.tables.deals.groupby("account_id")["created_at"].min()
    parts = []
    for moment in pd.date_range(first, END - pd.Timedelta(days=horizon_days), freq=f"{horizon_days}D"):
        ids = simulation.open_leads(moment)
        leads = table.loc[ids]
        chance = simulation.lead_truth_within(ids, moment, [horizon_days])[:, 0]
        waited = leads["converted_at"] - moment
        parts.append(
            pd.DataFrame(
                {
                    "probability": chance,
                    "converted": (waited < pd.Timedelta(days=horizon_days)).to_numpy(),
                    "quarter": str(moment.to_period("Q"))
                    if moment.tz is None
                    else f"{moment:%Y}Q{moment.quarter}",
                    "source": leads["source"].to_numpy(),
                    "owner": leads["owner_id"].to_numpy(),
                    "age": np.digitize((moment - leads["created_at"]).dt.days, [30, 90, 180, 365]),
                    "known account": (leads["account_id"].map(met_from) < moment).to_numpy(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(("horizon_days", "hour"), [(30, 0), (90, 11)])
@pytest.mark.parametrize("by", ["bin", "quarter", "source", "owner", "age", "known account"])
def test_outcomes_come_as_often_as_the_truth_says(horizon_days: int, hour: int, by: str) -> None:
    rows = forecasts(horizon_days, hour)
    group = pd.qcut(rows["probability"], 10, labels=False, duplicates="drop") if by == "bin" else rows[by]
    variance = rows["probability"] * (1 - rows["probability"])
    sums = rows.assign(variance=variance).groupby(group)[["converted", "probability", "variance"]].sum()
    sums = sums[sums["variance"] > 2]
    statistic = ((sums["converted"] - sums["probability"]) ** 2 / sums["variance"]).sum()
    assert statistic < chi2.ppf(0.999, len(sums)), sums


def test_the_truth_can_be_learnt_but_is_not_plain_to_see() -> None:
    rows = forecasts(90, 11)
    came, chance = rows["converted"].to_numpy(), rows["probability"].to_numpy()
    auc = (rankdata(chance)[came].sum() - came.sum() * (came.sum() + 1) / 2) / (came.sum() * (~came).sum())
    assert 0.75 < auc < 0.92
    assert 0.10 < 1 - np.mean((chance - came) ** 2) / came.var() < 0.40


@settings(deadline=None, max_examples=15)
@given(st.integers(30, 1400), st.integers(0, 86_399), st.lists(st.integers(0, 700), min_size=2))
def test_probabilities_grow_with_the_horizon_within_bounds(
    day: int, second: int, horizons: list[int]
) -> None:
    simulation = small()
    as_of = pd.Timestamp("2022-01-01", tz="UTC") + pd.Timedelta(days=day, seconds=second)
    ids = simulation.tables.leads["lead_id"].to_numpy(object)
    chance = simulation.lead_truth_within(ids, as_of, sorted(horizons))
    is_open = np.isin(ids, simulation.open_leads(as_of))
    assert np.isnan(chance[~is_open]).all()
    assert ((chance[is_open] >= 0) & (chance[is_open] <= 1)).all()
    assert (np.diff(chance[is_open], axis=1) >= -1e-12).all()


@pytest.mark.parametrize("as_of", ["2024-03-31", "2025-06-17T11:13:00"])
def test_the_future_is_invisible(as_of: str) -> None:
    """Cutting every outcome and activity at or after as_of out of the simulation changes no probability."""
    simulation = small()
    at_us = as_of_us(pd.Timestamp(as_of, tz="UTC"))
    truth = simulation._lead_truth
    leads = truth.leads
    early = leads.activity_us < at_us
    known = {name: getattr(leads, name) for name in leads.__dataclass_fields__}
    for name in ("activity_lead", "activity_us", "activity_kind", "activity_inbound"):
        known[name] = known[name][early]
    for name in ("converted_us", "disqualified_us"):
        known[name] = np.where(known[name] < at_us, known[name], NEVER_US)
    known["quality"] = np.zeros_like(leads.quality)
    known["deal"] = np.full_like(leads.deal, -1)
    blind = LeadTruth(rules.Leads(**known), truth.clock)
    lead = np.arange(len(leads.created_us))
    when = np.full(len(lead), at_us)
    until = when[:, None] + np.array([30, 90]) * 86_400_000_000
    np.testing.assert_array_equal(blind.converted(lead, when, until), truth.converted(lead, when, until))


def test_what_a_lead_is_like_tells_nothing_about_how_its_deal_ends_beyond_the_source() -> None:
    """The promise that keeps the truth about deals exact: within a source, hot and cold leads win alike."""
    simulation = company()
    leads, table = simulation._lead_truth.leads, simulation.tables.deals
    events = simulation.tables.deal_events
    won_at = events[(events["field"] == "stage") & (events["value"] == "won")].groupby("deal_id")[
        "recorded_at"
    ]
    old = (leads.deal >= 0) & (leads.converted_us < as_of_us(pd.Timestamp("2024-06-01", tz="UTC")))
    rows = pd.DataFrame(
        {
            "won": table["deal_id"].iloc[leads.deal[old]].isin(won_at.min().index).to_numpy(),
            "source": leads.source[old],
            "quality": leads.quality[old],
        }
    )
    expected = rows.groupby("source")["won"].transform("mean")
    sums = rows.assign(e=expected, v=expected * (1 - expected)).groupby("quality")[["won", "e", "v"]].sum()
    assert ((sums["won"] - sums["e"]) ** 2 / sums["v"]).sum() < chi2.ppf(0.999, len(sums)), sums


def test_unknown_leads_and_moments_beyond_the_calendar_are_refused() -> None:
    simulation = small()
    ids = simulation.open_leads(END)
    with pytest.raises(UsageError, match="lead 'nobody'"):
        simulation.lead_truth_within(["nobody"], END, [30])
    with pytest.raises(UsageError, match="calendar"):
        simulation.lead_truth_within(ids, END, [5_000])
