"""The future is invisible: features as of a moment are the same whether later rows exist, vanish or change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.features import build
from forecast.history import DatedRecords, History
from forecast.periods import DAY_US
from forecast.tables import Tables, empty_tables

START = pd.Timestamp("2025-01-01", tz="UTC")
STAGES = pd.DataFrame(
    {
        "pipeline": "sales",
        "stage": ["prospecting", "demo", "proposal", "won", "onboarding", "lost"],
        "position": [1, 2, 3, 4, 5, 6],
        "kind": ["open", "open", "open", "won", "won", "lost"],
        "default_probability": [0.1, 0.3, 0.6, 1.0, 1.0, 0.0],
    }
)
VALUES = {
    "stage": ["prospecting", "demo", "proposal", "won", "onboarding", "lost"],
    "amount": ["1000", "2500.5", "90000"],
    "expected_close_on": ["2025-01-20", "2025-02-28", "2025-05-01", ""],
    "owner_id": ["ana", "bruno", "007"],
    "forecast_category": ["commit", "pipeline", "omitted"],
    "budget": ["0", "0.5", "1", ""],
    "authority": ["1", ""],
    "need": ["0.25"],
    "timeline": ["0", "1"],
    "competitor": ["acme", "none"],
}

# Hours after the start: few distinct ones, so that events collide with each other and with the as-of moment.
hours = st.integers(0, 60 * 24).map(lambda h: h // 6 * 6)


EMPTY = empty_tables()


def light_tables(**frames: pd.DataFrame) -> Tables:
    """Tables of the contract's types, without the checks: hundreds are made here."""
    typed = {}
    for name in ("stages", "deals", "deal_events", "activities", "users", "quotas", "leads", "fx_rates"):
        empty = EMPTY[name]
        frame = frames.get(name, empty)
        missing = [column for column in empty if column not in frame]
        frame = frame.assign(**{column: pd.Series(None, frame.index, dtype=object) for column in missing})
        extra = {column: "str" for column in frame if column not in empty}
        typed[name] = frame.astype({**empty.dtypes.to_dict(), **extra})
    typed["deals"] = typed["deals"].fillna({"pipeline": "sales", "motion": "new"})
    return Tables(**typed)


@st.composite
def event_histories(draw: Any) -> Tables:
    """Small companies with edits, re-openings, entries recorded late, events at the same instant."""
    count = draw(st.integers(1, 5))
    deals, events, activities = [], [], []
    for number in range(count):
        deal_id = f"D-{number}"
        born = draw(hours)
        deals.append(
            {
                "deal_id": deal_id,
                "created_at": START + pd.Timedelta(hours=born),
                "account_id": draw(st.sampled_from(["A1", "A2", None])),
                "source": draw(st.sampled_from(["inbound", "event", None])),
                "owner_id": draw(st.sampled_from(["ana", "carla", None])),
                "amount": draw(st.sampled_from([None, 700.0])),
                "currency": draw(st.sampled_from(["EUR", "USD", None])),
                "industry": draw(st.sampled_from(["health", "retail", None])),
            }
        )
        # A deal may be entered into the books days after it was created.
        late = draw(st.integers(0, 4)) * 24
        events.append((deal_id, born + late, "stage", "prospecting"))
        for _ in range(draw(st.integers(0, 8))):
            field = draw(st.sampled_from(sorted(VALUES)))
            events.append((deal_id, draw(hours), field, draw(st.sampled_from(VALUES[field]))))
        for _ in range(draw(st.integers(0, 4))):
            activities.append((deal_id, draw(hours), draw(st.sampled_from(["call", "email", "meeting"]))))
    return light_tables(
        stages=STAGES,
        deals=pd.DataFrame(deals),
        deal_events=pd.DataFrame(
            {
                "deal_id": [e[0] for e in events],
                "recorded_at": [START + pd.Timedelta(hours=e[1]) for e in events],
                "field": [e[2] for e in events],
                "value": [e[3] or None for e in events],
            }
        ).drop_duplicates(),
        activities=pd.DataFrame(
            {
                "deal_id": pd.Series([a[0] for a in activities], dtype=object),
                "occurred_at": pd.to_datetime(
                    [START + pd.Timedelta(hours=a[1]) for a in activities], utc=True
                ),
                "kind": pd.Series([a[2] for a in activities], dtype=object),
                "direction": pd.Series(["in" for _ in activities], dtype=object),
            }
        ),
        fx_rates=pd.DataFrame(
            {"currency": ["USD"], "valid_from": [pd.Timestamp("2024-01-01")], "rate": [0.9]}
        ),
    )


def features_as_of(tables: Tables, at: pd.Timestamp, deal_ids: list[str] | None = None) -> pd.DataFrame:
    """Features of every deal known before `at`, by id."""
    history = History.from_tables(tables)
    at_us = int(at.value) // 1000
    deal = np.flatnonzero(history.known_from_us() < at_us)
    if deal_ids is not None:
        deal = history.index_of(deal_ids)
    frame = build(history, deal, np.full(len(deal), at_us), DatedRecords.of(history)).to_frame()
    return frame.set_index(pd.Index(history.deal_ids[deal], name="deal_id"))


def before(tables: Tables, at: pd.Timestamp) -> Tables:
    """The books as they stood before `at`: later rows are missing, and so is what they wrote into `deals`."""
    events = tables.deal_events
    later = events[events["recorded_at"] >= at]
    owned_later = tables.deals["deal_id"].isin(later.loc[later["field"] == "owner_id", "deal_id"])
    return Tables(
        **{
            **{name: tables[name] for name in ("stages", "users", "quotas", "leads", "fx_rates")},
            "deals": tables.deals.assign(owner_id=tables.deals["owner_id"].mask(owned_later)),
            "deal_events": events[events["recorded_at"] < at],
            "activities": tables.activities[tables.activities["occurred_at"] < at],
        }
    )


def scrambled(tables: Tables, at: pd.Timestamp) -> Tables:
    """Every row from `at` on tells something else, and the mutable columns of deals tell the end."""
    events = tables.deal_events.copy()
    later = events["recorded_at"] >= at
    events.loc[later & (events["field"] == "stage"), "value"] = "lost"
    events.loc[later & (events["field"] == "amount"), "value"] = "1"
    events.loc[later & (events["field"] == "budget"), "value"] = "1"
    events.loc[later, "recorded_at"] += pd.Timedelta(days=3)
    return Tables(
        **{
            **{
                name: tables[name]
                for name in ("stages", "users", "quotas", "leads", "fx_rates", "activities")
            },
            "deals": tables.deals.assign(budget=1.0, expected_close_on=pd.Timestamp("2030-01-01")),
            "deal_events": events,
        }
    )


@settings(max_examples=40, deadline=None)
@given(event_histories(), hours)
def test_rows_recorded_at_or_after_the_moment_change_nothing(tables: Tables, hour: int) -> None:
    at = START + pd.Timedelta(hours=hour)
    seen = features_as_of(tables, at)
    known = features_as_of(before(tables, at), at)
    # An attribute first written later has no column yet in the books of that day.
    assert seen.drop(columns=known.columns).isna().all(axis=None)
    pd.testing.assert_frame_equal(seen[known.columns], known)
    pd.testing.assert_frame_equal(seen, features_as_of(scrambled(tables, at), at))


@settings(max_examples=15, deadline=None)
@given(event_histories(), hours, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(tables: Tables, hour: int, random: Any) -> None:
    at = START + pd.Timedelta(hours=hour)
    seed = random.randint(0, 10**6)
    mixed = Tables(
        **{
            name: tables[name].sample(frac=1.0, random_state=seed).reset_index(drop=True)
            for name in (
                "stages", "deals", "deal_events", "activities", "users", "quotas", "leads", "fx_rates",
            )
        }
    )  # fmt: skip
    pd.testing.assert_frame_equal(features_as_of(tables, at), features_as_of(mixed, at))


@settings(max_examples=20, deadline=None)
@given(event_histories(), hours)
def test_building_in_bulk_equals_building_one_by_one(tables: Tables, hour: int) -> None:
    at = START + pd.Timedelta(hours=hour)
    bulk = features_as_of(tables, at)
    for deal_id in bulk.index:
        alone = features_as_of(tables, at, [deal_id])
        pd.testing.assert_frame_equal(bulk.loc[[deal_id]], alone, check_dtype=False, check_exact=True)


@settings(max_examples=10, deadline=None)
@given(event_histories(), hours)
def test_inputs_are_never_changed(tables: Tables, hour: int) -> None:
    copies = {name: tables[name].copy() for name in ("deals", "deal_events", "activities", "stages")}
    features_as_of(tables, START + pd.Timedelta(hours=hour))
    for name, copy in copies.items():
        pd.testing.assert_frame_equal(tables[name], copy)


def test_the_rule_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Break half-open time on purpose: an event at the as-of moment is let through, and the law sees it."""
    from forecast.history import asof

    at = START + pd.Timedelta(hours=48)
    tables = Tables.from_frames(
        stages=STAGES,
        deals=pd.DataFrame({"deal_id": ["D-1"], "created_at": [START]}),
        deal_events=pd.DataFrame(
            {
                "deal_id": "D-1",
                "recorded_at": [START, at],
                "field": "stage",
                "value": ["prospecting", "proposal"],
            }
        ),
    )
    assert features_as_of(tables, at).loc["D-1", "stage"] == "sales/prospecting"
    monkeypatch.setattr(
        asof.Clock, "rank", lambda self, at_us: np.searchsorted(self.moments_us, at_us, side="right")
    )
    with pytest.raises(AssertionError):
        pd.testing.assert_frame_equal(features_as_of(tables, at), features_as_of(before(tables, at), at))


def test_values_of_one_deal_by_hand() -> None:
    """A demo on day 10, a push by 30 days, budget confirmed, silent since day 14; asked on day 24."""
    day = pd.Timedelta(days=1)
    rows = [
        (0, "stage", "prospecting"), (0, "amount", "1000"), (0, "expected_close_on", "2025-02-01"),
        (10, "stage", "proposal"), (12, "expected_close_on", "2025-03-03"), (12, "amount", "1500"),
        (13, "budget", "1"), (30, "stage", "won"),
    ]  # fmt: skip
    tables = Tables.from_frames(
        stages=STAGES,
        deals=pd.DataFrame({"deal_id": ["D-1"], "created_at": [START - 5 * day], "currency": ["USD"]}),
        deal_events=pd.DataFrame(
            {
                "deal_id": "D-1",
                "recorded_at": [START + r[0] * day for r in rows],
                "field": [r[1] for r in rows],
                "value": [r[2] for r in rows],
            }
        ),
        activities=pd.DataFrame(
            {
                "deal_id": ["D-1", "D-1"],
                "occurred_at": [START + 14 * day, START + 2 * day],
                "kind": ["call", "email"],
                "direction": ["in", "out"],
            }
        ),
        fx_rates=pd.DataFrame(
            {"currency": ["USD"], "valid_from": [pd.Timestamp("2024-01-01")], "rate": [0.5]}
        ),
        quotas=pd.DataFrame(
            {
                "level": ["company"],
                "entity": ["*"],
                "period": ["2025Q1"],
                "amount": [1.0],
                "currency": ["EUR"],
            }
        ),
    )
    row = features_as_of(tables, START + 24 * day).iloc[0]
    expected = {
        "days_in_stage": 14.0, "age_days": 29.0, "moves_forward": 1.0, "stages_skipped": 1.0, "amount": 750.0,
        "amount_change": np.log(1.5), "amount_changes": 1.0, "days_to_close": 37.0, "overdue": 0.0,
        "times_pushed": 1.0, "days_pushed": 30.0, "budget": 1.0, "days_since_bant": 11.0,
        "activities_7d": 0.0, "activities_14d": 1.0, "activities_30d": 2.0, "inbound_30d": 1.0,
        "meetings_90d": 1.0, "silence_days": 10.0,
    }  # fmt: skip
    for name, value in expected.items():
        assert row[name] == pytest.approx(value), name
    assert row["stage"] == "sales/proposal"
    assert np.isnan(row["authority"])
    assert DAY_US == 86_400_000_000
