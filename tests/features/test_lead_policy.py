"""Which columns of leads may teach: what leaving fills in, and what repeats the outcome, is left out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast.errors import UsageError
from forecast.features import Decision, decide_lead_fields
from forecast.history import History, Leads
from forecast.tables import Tables


def decisions(tables: Tables, **named: tuple[str, ...]) -> dict[str, Decision]:
    leads = Leads.from_tables(tables, History.from_tables(tables))
    return {d.feature: d for d in decide_lead_fields(leads.history, **named)}


def with_columns(tables: Tables, **columns: object) -> Tables:
    typed = {name: pd.array(values, dtype="str") for name, values in columns.items()}
    return replace(tables, leads=tables.leads.assign(**typed))


def test_the_sample_s_columns_are_used_but_the_reason_for_ruling_out(sample_tables: Tables) -> None:
    found = decisions(sample_tables)
    refused = [name for name, decision in found.items() if not decision.used]
    assert refused == ["custom:disqualified_reason"]
    assert found[refused[0]].reason.startswith("filled in 0% of open but 100% of disqualified leads")
    assert found["silence_days"].reason == "read as of the moment"


def test_what_conversion_fills_in_is_left_out_even_where_conversions_are_rare(sample_tables: Tables) -> None:
    """One lead in thirty is converted: among all that left, hardly one more is filled than among the open."""
    leads = sample_tables.leads
    rare = leads["converted_at"].isna() | (np.arange(len(leads)) % 10 == 0)
    tables = replace(sample_tables, leads=leads[rare].reset_index(drop=True))
    converted = tables.leads["converted_at"].notna()
    assert converted.mean() < 0.06
    filled = np.where(converted, "C-9", None)
    found = decisions(with_columns(tables, contract=filled))["custom:contract"]
    assert not found.used
    assert found.reason == (
        "filled in 0% of open but 100% of converted leads: "
        "when it is filled depends on what became of the lead"
    )


@pytest.mark.parametrize(
    ("column", "features"),
    [
        ("owner_id", ["owner_conversion_edge"]),
        ("account_id", ["account_edge", "account_closed"]),
        ("source", ["source", "source_conversion_edge"]),
        ("budget", ["budget"]),
    ],
)
def test_columns_of_the_contract_are_judged_alike(
    sample_tables: Tables, column: str, features: list[str]
) -> None:
    """Emptied in open leads: known only since they left."""
    leads = sample_tables.leads
    has_left = leads["converted_at"].notna() | leads["disqualified_at"].notna()
    blank = leads[column].where(has_left)
    found = decisions(replace(sample_tables, leads=leads.assign(**{column: blank})))
    assert [found[name].used for name in features] == [False] * len(features)
    assert all("% of open but" in found[name].reason for name in features)


def test_what_repeats_the_outcome_is_left_out(sample_tables: Tables) -> None:
    mood = np.where(sample_tables.leads["converted_at"].notna(), "glad", "sad")
    found = decisions(with_columns(sample_tables, mood=mood))["custom:mood"]
    assert not found.used
    assert "an echo" in found.reason


def test_without_an_open_lead_nobody_can_tell(sample_tables: Tables) -> None:
    leads = sample_tables.leads
    gone = leads[leads["converted_at"].notna() | leads["disqualified_at"].notna()].reset_index(drop=True)
    found = decisions(replace(sample_tables, leads=gone))
    assert not found["need"].used
    assert found["need"].reason.startswith("no lead is open")
    assert found["silence_days"].used


def test_a_leak_is_found_in_a_back_test_too(sample_tables: Tables) -> None:
    """The snapshot is judged as it stands: an earlier moment does not turn leads that left into open ones."""
    filled = np.where(sample_tables.leads["converted_at"].notna(), "C-9", None)
    tables = with_columns(sample_tables, contract=filled)
    assert not decisions(tables)["custom:contract"].used


def test_settings_exclude_and_trust(sample_tables: Tables) -> None:
    found = decisions(sample_tables, exclude=("budget",), trust=("disqualified_reason",))
    assert found["budget"] == Decision("budget", False, "left out by the settings")
    assert found["custom:disqualified_reason"].used
    with pytest.raises(UsageError, match=r"trust_lead_fields names 'bugdet'.*'budget'"):
        decisions(sample_tables, trust=("bugdet",))
