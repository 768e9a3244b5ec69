"""What was known before a moment is the same whether it is read then or cut out of all that came later."""

from __future__ import annotations

import dataclasses

import pandas as pd
from exports import export_at
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.simulator import simulate
from forecast.tables import TABLES, Tables, known_before

COMPANY = simulate(deals=250, seed=11).tables
FIRST, LAST = COMPANY.deal_events["recorded_at"].min(), COMPANY.deal_events["recorded_at"].max()
# Moments of events themselves among them: at one, nothing of that instant is known yet.
MOMENTS = st.one_of(
    st.datetimes(FIRST.to_pydatetime().replace(tzinfo=None), LAST.to_pydatetime().replace(tzinfo=None)).map(
        lambda moment: pd.Timestamp(moment, tz="UTC")
    ),
    st.sampled_from(sorted(COMPANY.deal_events["recorded_at"].unique())),
)
MODEST = settings(max_examples=25, deadline=None)


def fingerprints(tables: Tables) -> dict[str, str]:
    """Of all tables but quotas, which have no date: those of later years are told apart by their period."""
    return {name: found for name, found in tables.fingerprints.items() if name != "quotas"}


@MODEST
@given(MOMENTS)
def test_an_export_of_then_and_one_of_today_hold_the_same_past(moment: pd.Timestamp) -> None:
    then, today = (known_before(tables, moment) for tables in (export_at(COMPANY, moment), COMPANY))
    assert fingerprints(then) == fingerprints(today)
    assert {name: len(then[name]) for name in fingerprints(then)} == {
        name: len(today[name]) for name in fingerprints(today)
    }


@MODEST
@given(MOMENTS)
def test_nothing_of_the_moment_itself_or_later_is_left(moment: pd.Timestamp) -> None:
    known = known_before(COMPANY, moment)
    assert (known.deal_events["recorded_at"] < moment).all()
    assert (known.activities["occurred_at"] < moment).all()
    for name in ("created_at", "converted_at", "disqualified_at"):
        assert (known.leads[name].dropna() < moment).all()
    assert set(known.deal_events["deal_id"]) == set(known.deals["deal_id"])
    assert known.deals["expected_close_on"].isna().all()


@MODEST
@given(MOMENTS, st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(moment: pd.Timestamp, seed: int) -> None:
    shuffled = Tables(
        **{name: COMPANY[name].sample(frac=1.0, random_state=seed, ignore_index=True) for name in TABLES}
    )
    assert known_before(shuffled, moment).fingerprint == known_before(COMPANY, moment).fingerprint


def test_every_row_and_value_of_the_past_counts() -> None:
    """The fingerprint would notice: each of these changes one thing that was known."""
    moment = FIRST + (LAST - FIRST) / 2
    plain = known_before(COMPANY, moment)
    events = COMPANY.deal_events
    known = events.index[events["recorded_at"] < moment]
    changes = {
        "deal_events": events.drop(index=known[5]),
        "deals": COMPANY.deals.assign(source="another"),
        "activities": COMPANY.activities.drop(index=COMPANY.activities["occurred_at"].idxmin()),
        "leads": COMPANY.leads.assign(need=0.5),
        "users": COMPANY.users.assign(team="another"),
        "fx_rates": COMPANY.fx_rates.assign(rate=COMPANY.fx_rates["rate"] * 2),
    }
    for name, frame in changes.items():
        other = known_before(dataclasses.replace(COMPANY, **{name: frame.reset_index(drop=True)}), moment)
        differing = [one for one in TABLES if other.fingerprints[one] != plain.fingerprints[one]]
        assert differing == [name]
        assert other.fingerprint != plain.fingerprint


def test_what_later_events_tell_is_hidden_in_the_columns_they_overwrote() -> None:
    moment = pd.Timestamp("2025-02-01", tz="UTC")
    deals = pd.DataFrame(
        {
            "deal_id": ["silent", "before", "after"],
            "created_at": pd.Timestamp("2025-01-01", tz="UTC"),
            "amount": [1.0, 2.0, 3.0],
            "colour": ["red", "red", "blue"],
        }
    )
    events = pd.DataFrame(
        [(one, "2025-01-01T00:00:00Z", "stage", "offer") for one in deals["deal_id"]]
        + [
            ("before", "2025-01-02T00:00:00Z", "amount", "5"),
            ("after", "2025-03-01T00:00:00Z", "amount", "3"),
        ]
        + [("after", "2025-03-01T00:00:00Z", "colour", "blue")],
        columns=["deal_id", "recorded_at", "field", "value"],
    )
    stages = COMPANY.stages.iloc[:1].assign(pipeline="sales", stage="offer")
    known = known_before(Tables.from_frames(stages=stages, deals=deals, deal_events=events), moment)
    assert known.deals["amount"].fillna(0).tolist() == [1.0, 0.0, 0.0]
    assert known.deals["colour"].isna().all()


def test_a_lead_converted_later_is_open_and_names_no_deal() -> None:
    moment = pd.Timestamp("2025-02-01", tz="UTC")
    day = {name: pd.Timestamp(name, tz="UTC") for name in ("2025-01-01", "2025-01-15", "2025-03-01")}
    deals = pd.DataFrame({"deal_id": ["old", "new"], "created_at": [day["2025-01-15"], day["2025-03-01"]]})
    events = deals.rename(columns={"created_at": "recorded_at"}).assign(field="stage", value="offer")
    leads = pd.DataFrame(
        {
            "lead_id": ["dated", "undated", "undated later", "gone later", "unborn"],
            "created_at": [*[day["2025-01-01"]] * 4, day["2025-03-01"]],
            "converted_at": [day["2025-03-01"], pd.NaT, pd.NaT, pd.NaT, pd.NaT],
            "deal_id": ["new", "old", "new", None, None],
            "disqualified_at": [pd.NaT, pd.NaT, pd.NaT, day["2025-03-01"], pd.NaT],
        }
    )
    stages = COMPANY.stages.iloc[:1].assign(pipeline="sales", stage="offer")
    tables = Tables.from_frames(stages=stages, deals=deals, deal_events=events, leads=leads)
    known = known_before(tables, moment).leads
    assert known["lead_id"].tolist() == ["dated", "undated", "undated later", "gone later"]
    assert known["deal_id"].fillna("").tolist() == ["", "old", "", ""]
    assert known["converted_at"].isna().all()
    assert known["disqualified_at"].isna().all()


def test_an_empty_custom_attribute_is_no_content() -> None:
    plain = COMPANY.deals
    empty = dataclasses.replace(COMPANY, deals=plain.assign(new=pd.Series(None, plain.index, dtype="str")))
    filled = dataclasses.replace(COMPANY, deals=plain.assign(new=pd.Series("x", plain.index, dtype="str")))
    assert empty.fingerprint == COMPANY.fingerprint
    assert filled.fingerprint != COMPANY.fingerprint
