"""Maven's raw files as contract tables: on a made-up handful of rows, and on the real ones where they are."""

from __future__ import annotations

import dataclasses
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.real import maven_crm
from benchmarks.real.source import raw_file
from forecast.errors import DataError, UnavailableError
from forecast.features import audit_fields, decide_fields
from forecast.history import History
from forecast.periods import as_of_us
from forecast.tables import Tables, read_folder, write_folder

# The odd ones first: no dates at all; a product the price list writes otherwise.
PIPELINE = """\
opportunity_id,sales_agent,product,account,deal_stage,engage_date,close_date,close_value
P0000001,Ada Byron,GTX Basic,,Prospecting,,,
00000007,Ada Byron,GTXPro,,Engaging,2017-03-02,,
W0000001,Ada Byron,GTXPro,Isdom,Won,2017-03-01,2017-03-31,4514
L0000001,Blaise P,MG Special,Isdom,Lost,2017-03-01,2017-03-02,0
"""
PRODUCTS = "product,series,sales_price\nGTX Basic,GTX,550\nGTX Pro,GTX,4821\nMG Special,MG,55\n"
TEAMS = "sales_agent,manager,regional_office\nAda Byron,Mia M,West\nBlaise P,Mia M,West\n"


def table(text: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(text), dtype="str", keep_default_na=False, na_values=[""])


@pytest.fixture
def tables() -> Tables:
    return maven_crm.adapt(table(PIPELINE), table(PRODUCTS), table(TEAMS))


def events_of(tables: Tables, deal_id: str) -> list[tuple[str, str, str]]:
    events = tables.deal_events[tables.deal_events["deal_id"] == deal_id]
    return [
        (f"{at:%Y-%m-%d %H}", str(field), str(value))
        for at, field, value in zip(events["recorded_at"], events["field"], events["value"], strict=True)
    ]


def test_a_deal_without_a_date_is_left_out_and_ids_stay_as_written(tables: Tables) -> None:
    assert sorted(tables.deals["deal_id"]) == ["00000007", "L0000001", "W0000001"]


def test_an_open_deal_has_the_list_price_and_no_more(tables: Tables) -> None:
    assert events_of(tables, "00000007") == [
        ("2017-03-02 12", "stage", "engaging"),
        ("2017-03-02 12", "amount", "4821"),
    ]


def test_what_a_won_deal_brought_is_known_from_its_closing_on(tables: Tables) -> None:
    assert events_of(tables, "W0000001") == [
        ("2017-03-01 12", "stage", "engaging"),
        ("2017-03-01 12", "amount", "4821"),
        ("2017-03-31 12", "amount", "4514"),
        ("2017-03-31 12", "stage", "won"),
    ]


def test_the_zero_of_a_lost_deal_is_no_amount(tables: Tables) -> None:
    assert events_of(tables, "L0000001")[1:] == [
        ("2017-03-01 12", "amount", "55"),
        ("2017-03-02 12", "stage", "lost"),
    ]
    assert tables.deals.set_index("deal_id").loc["L0000001", "amount"] == 55.0


def test_a_deal_older_than_the_closings_is_first_seen_when_they_begin_at_its_true_age() -> None:
    old = PIPELINE.replace("Engaging,2017-03-02", "Engaging,2016-11-20")
    tables = maven_crm.adapt(table(old), table(PRODUCTS), table(TEAMS))
    assert events_of(tables, "00000007")[0] == ("2017-03-01 00", "stage", "engaging")
    created = tables.deals.set_index("deal_id").loc["00000007", "created_at"]
    assert created == pd.Timestamp("2016-11-20T12:00Z")


def test_before_its_closing_a_won_deal_shows_the_list_price(tables: Tables) -> None:
    history = History.from_tables(tables)
    won = history.index_of(["W0000001"])
    before = as_of_us(pd.Timestamp("2017-03-31", tz="UTC"))
    after = as_of_us(pd.Timestamp("2017-04-01", tz="UTC"))
    assert history.amount(won, np.array([before])) == 4821.0
    assert history.amount(won, np.array([after])) == 4514.0
    assert won[0] in history.open_deals(before)
    assert won[0] not in history.open_deals(after)


def test_the_account_is_not_offered_as_an_account(tables: Tables) -> None:
    assert tables.deals["account_id"].isna().all()
    assert tables.deals.set_index("deal_id").loc["W0000001", "account"] == "Isdom"


def test_a_team_is_a_manager_and_a_region_an_office(tables: Tables) -> None:
    ada = tables.users.set_index("user_id").loc["Ada Byron"]
    assert (ada["team"], ada["region"], ada["manager_id"]) == ("Mia M", "West", "Mia M")
    assert "Mia M" in set(tables.users["user_id"])


def test_nothing_is_made_up(tables: Tables) -> None:
    assert tables.quotas.empty
    assert tables.activities.empty


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("Engaging", "Nurturing", "unknown stage 'Nurturing'"), ("GTXPro", "GTX 9", "unknown product 'GTX 9'")],
)
def test_an_unknown_word_is_refused_and_not_guessed(old: str, new: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        maven_crm.adapt(table(PIPELINE.replace(old, new)), table(PRODUCTS), table(TEAMS))


def test_the_raw_frames_are_not_changed() -> None:
    raw = [table(text) for text in (PIPELINE, PRODUCTS, TEAMS)]
    before = [frame.copy(deep=True) for frame in raw]
    maven_crm.adapt(*raw)
    for frame, copy in zip(raw, before, strict=True):
        pd.testing.assert_frame_equal(frame, copy)


def test_an_absent_file_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="set FORECAST_REAL_DATA"):
        maven_crm.load(tmp_path)


@pytest.fixture(scope="module")
def real() -> Tables:
    try:
        raw_file(maven_crm.NAME, "sales_pipeline.csv")
    except UnavailableError as absent:
        pytest.skip(absent.message)
    return maven_crm.load()


@pytest.mark.real
def test_the_real_deals_are_all_there(real: Tables) -> None:
    last = real.deal_events[real.deal_events["field"] == "stage"].groupby("deal_id")["value"].last()
    assert last.value_counts().to_dict() == {"won": 4238, "lost": 2473, "engaging": 1589}
    assert len(real.deals) == 4238 + 2473 + 1589


@pytest.mark.real
def test_the_real_tables_pass_their_own_reader(real: Tables, tmp_path: Path) -> None:
    write_folder(real, tmp_path)
    reading = read_folder(tmp_path)
    assert reading.report.quarantine.empty
    assert reading.tables.fingerprint == real.fingerprint


@pytest.mark.real
def test_the_field_policy_finds_the_account_leak_and_trusts_the_product(real: Tables) -> None:
    history = History.from_tables(real)
    for month in ("2017-07-01", "2017-10-01", "2018-01-01"):
        decisions = decide_fields(history, as_of_us(pd.Timestamp(month, tz="UTC")))
        used = {decision.feature: decision.used for decision in decisions}
        assert not used["custom:account"], month
        assert used["custom:product"], month
        assert used["custom:series"], month


@pytest.mark.real
def test_the_audit_names_the_account_with_its_figures(real: Tables) -> None:
    """68.5 % of the open deals have none, every closed one has: docs/audit.md."""
    found = {one.field: one for one in audit_fields(History.from_tables(real), as_of_us(real.default_as_of))}
    account = found["account"]
    assert (account.verdict, account.code) == ("leaks", "filled_by_closing")
    assert account.figures.filled_open == pytest.approx(0.315, abs=0.001)
    assert account.figures.filled_won == account.figures.filled_lost == 1.0
    assert account.reason == "filled in 32% of open but 100% of closed deals: it is filled in by closing"
    amount = found["amount"]
    assert (amount.verdict, amount.code) == ("suspicious", "corrected_at_closing")
    assert {found[name].verdict for name in ("product", "series", "owner_id")} == {"ok"}


@pytest.mark.real
def test_the_account_leaks_as_well_where_it_is_an_account_id(real: Tables) -> None:
    deals = real.deals.assign(account_id=real.deals["account"]).drop(columns="account")
    history = History.from_tables(dataclasses.replace(real, deals=deals))
    used = {one.feature: one.used for one in decide_fields(history, as_of_us(real.default_as_of))}
    assert not used["account_edge"]
    assert not used["account_closed"]
