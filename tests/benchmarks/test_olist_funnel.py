"""The leads of Olist: what the adapter makes of raw rows, and what the protocol reaches on the real ones."""

from __future__ import annotations

import pandas as pd
import pytest

from benchmarks.real import olist_funnel
from benchmarks.real.source import raw_folder
from forecast.features import decide_lead_fields
from forecast.history import CONVERTED, OPEN, History, Leads
from forecast.models import FitSettings

HERE = (raw_folder() / "olist_funnel").is_dir()
QUALIFIED = pd.DataFrame(
    {
        "mql_id": ["b", "a", "c"],
        "first_contact_date": ["01-02-2018", "20-10-2017", "08-03-2018"],
        "landing_page_id": ["p1", "p2", "p1"],
        "origin": ["social", None, "unknown"],
    }
)
CLOSED = pd.DataFrame(
    {
        "mql_id": ["a", "c"],
        "sr_id": ["s1", "s2"],
        "won_date": ["2018-02-26 19:58:54", "2018-03-06 19:38:55"],
        "business_segment": ["pet", "toys"],
        "lead_type": ["industry", None],
        "lead_behaviour_profile": ["cat", None],
        "declared_monthly_revenue": ["0.0", "0.0"],
    }
)


def test_days_come_first_in_dates_and_a_win_before_the_first_contact_counts_from_it() -> None:
    tables = olist_funnel.adapt(QUALIFIED, CLOSED)
    leads = tables.leads.set_index("lead_id")
    assert leads.loc["b", "created_at"] == pd.Timestamp("2018-02-01", tz="UTC")
    assert leads.loc["a", "converted_at"] == pd.Timestamp("2018-02-26 19:58:54", tz="UTC")
    assert pd.isna(leads.loc["b", "converted_at"])
    assert leads["disqualified_at"].isna().all()
    assert "declared_monthly_revenue" not in leads
    history = Leads.from_tables(tables, History.from_tables(tables)).history
    end = pd.Timestamp("2019-01-01", tz="UTC").value // 1000
    stage = history.stage(history.index_of(["a", "b", "c"]), end)
    assert history.stages.kind[stage].tolist() == [CONVERTED, OPEN, CONVERTED]
    assert len(history.open_deals(pd.Timestamp("2018-03-08", tz="UTC").value // 1000)) == 1


@pytest.mark.real
@pytest.mark.skipif(not HERE, reason="olist_funnel is not in FORECAST_REAL_DATA")
def test_what_exists_for_won_leads_only_is_refused() -> None:
    tables = olist_funnel.load()
    assert len(tables.leads) == 8_000
    assert tables.leads["converted_at"].notna().sum() == 842
    history = Leads.from_tables(tables, History.from_tables(tables)).history
    used = {d.feature: d.used for d in decide_lead_fields(history)}
    assert [name for name, is_used in used.items() if not is_used] == [
        "owner_conversion_edge",
        "custom:business_segment",
        "custom:lead_behaviour_profile",
        "custom:lead_type",
    ]
    assert used["source"]
    assert used["custom:landing_page"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.skipif(not HERE, reason="olist_funnel is not in FORECAST_REAL_DATA")
def test_leads_are_told_apart_on_later_mondays() -> None:
    result = olist_funnel.run_olist_funnel(olist_funnel.load(), FitSettings())
    value = result.scores.set_index(["forecaster", "horizon_days", "metric"])["value"]
    assert value["forecast", 30, "auc"] > 0.74
    assert value["forecast", 90, "auc"] > 0.68
    for horizon in olist_funnel.HORIZONS_DAYS:
        assert value["forecast", horizon, "skill"] > 0.005
    assert value["forecast", 30, "log_loss"] < value["base_rate", 30, "log_loss"]
    # Nine Mondays of leads nobody ever rules out: most never come to anything.
    assert value["actual", 90, "share_won"] < 0.03
    text = olist_funnel.as_markdown(result)
    assert text.startswith("|  | constant | share by origin | logistic regression | Forecast |")
    assert "custom:lead_type, filled in 0% of open but 99% of converted leads" in text
