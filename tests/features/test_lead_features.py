"""Features of leads: the future is invisible, and each is what its name says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from forecast.features import BUILT_IN, LEADS, DatedCustomers, FrozenCustomers, build_leads, spec_of
from forecast.history import DatedRecords, History, Leads, leads_from_request
from forecast.history.asof import Clock
from forecast.periods import as_of_us
from forecast.tables import Tables, empty_tables

START = pd.Timestamp("2025-01-01", tz="UTC")
STAGES = pd.DataFrame(
    {
        "pipeline": "sales",
        "stage": ["demo", "won", "lost"],
        "position": [1, 2, 3],
        "kind": ["open", "won", "lost"],
    }
)
EMPTY = empty_tables()
# Few distinct hours, so that what happens collides with itself and with the as-of moment.
hours = st.integers(0, 60 * 4).map(lambda h: h * 6)


def light_tables(**frames: pd.DataFrame) -> Tables:
    """Tables of the contract's types, without the checks: hundreds are made here."""
    typed = {}
    for name in ("stages", "deals", "deal_events", "activities", "users", "quotas", "leads", "fx_rates"):
        empty, frame = EMPTY[name], frames.get(name, EMPTY[name])
        missing = [column for column in empty if column not in frame]
        frame = frame.assign(**{column: pd.Series(None, frame.index, dtype=object) for column in missing})
        extra = {column: "str" for column in frame if column not in empty}
        typed[name] = frame.astype({**empty.dtypes.to_dict(), **extra}).reset_index(drop=True)
    typed["deals"] = typed["deals"].fillna({"pipeline": "sales", "motion": "new"})
    return Tables(**typed)


def at_hours(hour: Any) -> pd.DatetimeIndex:
    """Moments of hours after the start; None is unknown."""
    offsets = pd.to_timedelta(pd.array(hour, dtype="Float64").to_numpy(np.float64, na_value=np.nan), unit="h")
    return (START + offsets).as_unit("us")


@st.composite
def books(draw: Any) -> Tables:
    """Leads with every mix of outcomes, activities, and deals of their accounts."""
    deals = [
        {"deal_id": f"D-{i}", "account_id": draw(st.sampled_from(["A1", "A2", None])), "born": draw(hours)}
        for i in range(draw(st.integers(0, 4)))
    ]
    events = [(d["deal_id"], d["born"], "demo") for d in deals]
    events += [
        (d["deal_id"], d["born"] + draw(hours), draw(st.sampled_from(["won", "lost", "demo"]))) for d in deals
    ]
    leads, done = [], []
    for i in range(draw(st.integers(1, 6))):
        born = draw(hours)
        leads.append(
            {
                "lead_id": f"L-{i}",
                "born": born,
                "source": draw(st.sampled_from(["web", "fair", None])),
                "owner_id": draw(st.sampled_from(["ana", "bruno", None])),
                "account_id": draw(st.sampled_from(["A1", "A2", "A3", None])),
                "need": draw(st.sampled_from([0.0, 1.0, None])),
                "plan": draw(st.sampled_from(["gold", None])),
                "converted": draw(st.one_of(st.none(), hours)),
                "disqualified": draw(st.one_of(st.none(), hours)),
            }
        )
        kinds = st.sampled_from(["call", "email"])
        done += [(f"L-{i}", draw(hours), draw(kinds), draw(st.sampled_from(["in", "out"]))) for _ in range(3)]
    lead_frame = pd.DataFrame(leads).astype({"converted": object, "disqualified": object})
    frames = {
        "stages": STAGES,
        "leads": lead_frame.drop(columns=["born", "converted", "disqualified"]).assign(
            created_at=at_hours(lead_frame["born"]),
            converted_at=at_hours(lead_frame["converted"]),
            disqualified_at=at_hours(lead_frame["disqualified"]),
        ),
        "activities": pd.DataFrame(done, columns=["lead_id", "hour", "kind", "direction"]),
    }
    frames["activities"] = frames["activities"].assign(occurred_at=at_hours(frames["activities"].pop("hour")))
    if deals:
        frames["deals"] = pd.DataFrame(deals).assign(created_at=at_hours([d["born"] for d in deals]))
        frames["deals"] = frames["deals"].drop(columns="born")
        frames["deal_events"] = pd.DataFrame(
            {
                "deal_id": [e[0] for e in events],
                "recorded_at": at_hours([e[1] for e in events]),
                "field": "stage",
                "value": [e[2] for e in events],
            }
        )
    return light_tables(**frames)


def before(tables: Tables, at: pd.Timestamp) -> Tables:
    """The books as they stood before `at`."""
    leads = tables.leads[tables.leads["created_at"] < at]
    leads = leads.assign(
        converted_at=leads["converted_at"].where(leads["converted_at"] < at),
        disqualified_at=leads["disqualified_at"].where(leads["disqualified_at"] < at),
    )
    events = tables.deal_events[tables.deal_events["recorded_at"] < at]
    return light_tables(
        stages=tables.stages,
        deals=tables.deals[tables.deals["deal_id"].isin(events["deal_id"])],
        deal_events=events,
        leads=leads,
        activities=tables.activities[tables.activities["occurred_at"] < at],
    )


def features_as_of(tables: Tables, at: pd.Timestamp) -> pd.DataFrame:
    """Features of every lead known before `at`, by id; unknown texts and columns of later leads aside."""
    deals = History.from_tables(tables)
    leads = Leads.from_tables(tables, deals).history
    at_us = as_of_us(at)
    lead = np.flatnonzero(leads.known_from_us() < at_us)
    when = np.full(len(lead), at_us)
    frame = build_leads(leads, lead, when, DatedRecords.of(leads), DatedCustomers.of(deals, leads)).to_frame()
    return frame.set_index(pd.Index(leads.deal_ids[lead], name="lead_id"))


@settings(deadline=None, max_examples=60)
@given(books(), hours, st.randoms(use_true_random=False))
def test_the_future_is_invisible(tables: Tables, hour: int, random: Any) -> None:
    at = START + pd.Timedelta(hours=hour)
    full = features_as_of(tables, at)
    assert_frame_equal(features_as_of(before(tables, at), at), full)
    # Nor does it matter what the future holds: outcomes to come swap sides and move.
    leads = tables.leads
    later = {
        name: leads[name].where(leads[name] < at, leads[name] + pd.Timedelta(hours=random.randrange(99)))
        for name in ("converted_at", "disqualified_at")
    }
    assert_frame_equal(features_as_of(replace_leads(tables, leads.assign(**later)), at), full)


def replace_leads(tables: Tables, leads: pd.DataFrame) -> Tables:
    return light_tables(
        **{name: tables[name] for name in ("stages", "deals", "deal_events", "activities")}, leads=leads
    )


@settings(deadline=None, max_examples=40)
@given(books(), hours, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(tables: Tables, hour: int, random: Any) -> None:
    at = START + pd.Timedelta(hours=hour)
    mixed = {
        name: tables[name].sample(frac=1.0, random_state=random.randrange(2**31)).reset_index(drop=True)
        for name in ("deals", "deal_events", "activities", "leads")
    }
    other = light_tables(stages=tables.stages, **mixed)
    assert_frame_equal(features_as_of(other, at), features_as_of(tables, at))


def example() -> Tables:
    """One lead of 1 January; calls on day 2 and, at that very midnight, on day 5; all else before or after."""
    return light_tables(
        stages=STAGES,
        deals=pd.DataFrame({"deal_id": ["D-1", "D-2"], "account_id": "A1", "created_at": at_hours([0, 0])}),
        deal_events=pd.DataFrame(
            {
                "deal_id": ["D-1", "D-1", "D-2", "D-2"],
                "recorded_at": at_hours([0, 24 * 3, 0, 24 * 9]),
                "field": "stage",
                "value": ["demo", "won", "demo", "lost"],
            }
        ),
        leads=pd.DataFrame(
            {
                "lead_id": ["L-1", "L-2", "L-3", "L-4"],
                "created_at": at_hours([0, 0, 0, 0]),
                "owner_id": ["ana", "ana", "ana", "bruno"],
                "source": "web",
                "account_id": ["A1", None, None, None],
                "need": [1.0, None, None, None],
                "plan": ["gold", None, None, None],
                "converted_at": at_hours([None, 24 * 2, None, 24 * 5]),
                "disqualified_at": at_hours([None, None, 24 * 4, None]),
            }
        ),
        activities=pd.DataFrame(
            {
                "lead_id": ["L-1", "L-1", "L-1"],
                "occurred_at": at_hours([24 * 2, 24 * 5, 24 * 6]),
                "kind": ["call", "call", "email"],
                "direction": ["in", "in", "out"],
            }
        ),
    )


def test_each_feature_is_what_its_name_says() -> None:
    row = features_as_of(example(), START + pd.Timedelta(days=5)).loc["L-1"]
    base = (1 + 2.5) / (2 + 10)  # L-2 converted, L-3 ruled out; L-4 is converted at this very moment
    expected = {
        "lead_age_days": 5.0, "activities_7d": 1.0, "activities_90d": 1.0, "inbound_30d": 1.0,
        "inbound_all": 1.0, "meetings_90d": 1.0, "silence_days": 3.0, "need": 1.0,
        "owner_conversion_edge": (1 - 2 * base) / (2 + 40),
        "source_conversion_edge": (1 - 2 * base) / (2 + 40),
        "account_closed": 1.0, "account_edge": (1 - 3.5 / 11) / (1 + 10),
    }  # fmt: skip
    for name, value in expected.items():
        assert row[name] == pytest.approx(value), name
    assert row["custom:plan"] == "gold"
    assert row["source"] == "web"
    assert np.isnan(row["budget"])


def test_the_test_of_the_future_fails_when_the_rule_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """With `<=` in place of `<` the call of that very midnight is seen, and the comparison tells."""
    at = START + pd.Timedelta(days=5)
    tables = example()
    assert_frame_equal(features_as_of(before(tables, at), at), features_as_of(tables, at))
    monkeypatch.setattr(
        Clock, "rank", lambda self, at_us: np.searchsorted(self.moments_us, at_us, side="right")
    )
    with pytest.raises(AssertionError):
        assert_frame_equal(features_as_of(before(tables, at), at), features_as_of(tables, at))


def test_frozen_records_of_accounts_are_the_dated_ones_of_that_day() -> None:
    tables = example()
    deals = History.from_tables(tables)
    leads = Leads.from_tables(tables, deals).history
    at_us = as_of_us(START + pd.Timedelta(days=10))
    dated = DatedCustomers.of(deals, leads)
    frozen = FrozenCustomers.of(DatedRecords.of(deals).freeze(deals, at_us), leads)
    account, when = np.array([0, -1]), np.full(2, at_us)
    for one, other in zip(dated.counts(account, when), frozen.counts(account, when), strict=True):
        np.testing.assert_array_equal(one, other)
    assert frozen.counts(account, when)[0].tolist() == [2.0, 0.0]


def test_a_lead_of_a_request_may_know_nothing_but_its_creation() -> None:
    tables = example()
    deals = History.from_tables(tables)
    alone = leads_from_request([{"lead_id": "x", "created_at": START}], deals.money)
    at_us = np.array([as_of_us(START + pd.Timedelta(days=2))])
    records = DatedRecords.of(alone).freeze(alone, int(at_us[0])).bind(alone)
    customers = FrozenCustomers.of(DatedRecords.of(deals).freeze(deals, int(at_us[0])), alone)
    found = build_leads(alone, np.zeros(1, np.int64), at_us, records, customers)
    assert found["lead_age_days"][0] == 2.0
    assert found["silence_days"][0] == 2.0
    assert np.isnan(found["source"][0])


def test_names_shared_with_deals_mean_the_same() -> None:
    """Labels, kinds and units are looked up by name alone."""
    of_deals = {spec.name: spec for spec in BUILT_IN}
    for spec in LEADS:
        assert spec_of(spec.name).label_en == spec.label_en
        other = of_deals.get(spec.name, spec)
        for key in ("kind", "label_en", "label_it", "unit", "spline"):
            assert getattr(spec, key) == getattr(other, key), (spec.name, key)
    assert not {"converted_at", "disqualified_at", "deal_id"} & {spec.field for spec in LEADS}
