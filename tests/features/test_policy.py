"""Which fields may teach: what closing filled in, and what repeats the outcome, is left out with its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast.errors import UsageError
from forecast.features import Decision, decide_fields
from forecast.history import OPEN, WON, History
from forecast.periods import as_of_us
from forecast.tables import Tables

UNTIL_US = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))


@pytest.fixture(scope="module")
def company(sample_tables: Tables, sample_history: History) -> Tables:
    """The sample with three attributes nobody kept a history of."""
    every = np.arange(len(sample_history))
    kind = sample_history.stages.kind[sample_history.stage(every, np.int64(UNTIL_US))]
    by_id = pd.Series(kind, index=sample_history.deal_ids)
    kinds = by_id.reindex(sample_tables.deals["deal_id"]).to_numpy()
    deals = sample_tables.deals.assign(
        contract_no=pd.array(np.where(kinds == OPEN, None, "C-1"), dtype="str"),
        mood=pd.array(np.where(kinds == WON, "glad", "sad"), dtype="str"),
        colour=pd.array(np.where(np.arange(len(kinds)) % 2 == 0, "red", "blue"), dtype="str"),
    )
    return replace(sample_tables, deals=deals)


def decisions(tables: Tables, **named: tuple[str, ...]) -> dict[str, Decision]:
    return {d.feature: d for d in decide_fields(History.from_tables(tables), UNTIL_US, **named)}


def test_what_closing_fills_in_is_left_out(company: Tables) -> None:
    found = decisions(company)["custom:contract_no"]
    assert not found.used
    assert found.reason == "filled in 0% of open but 100% of closed deals: it is filled in by closing"


def test_what_repeats_the_outcome_is_left_out(company: Tables) -> None:
    found = decisions(company)["custom:mood"]
    assert not found.used
    assert "an echo" in found.reason


def test_a_harmless_attribute_stays(company: Tables) -> None:
    assert decisions(company)["custom:colour"].used
    assert decisions(company)["custom:industry"].used


def test_built_in_fields_without_any_event_are_left_out(company: Tables) -> None:
    events = company.deal_events
    found = decisions(replace(company, deal_events=events[events["field"] != "budget"]))
    assert not found["budget"].used
    assert found["authority"].used


def test_the_settings_have_the_last_word(company: Tables) -> None:
    found = decisions(company, exclude=("amount", "industry"), trust=("mood",))
    assert not found["amount"].used
    assert not found["amount_change"].used
    assert not found["custom:industry"].used
    assert found["custom:mood"].used


@pytest.mark.parametrize("setting", ["exclude", "trust"])
def test_a_name_that_means_nothing_is_refused_with_the_nearest(company: Tables, setting: str) -> None:
    with pytest.raises(UsageError, match=r"names 'industri'.*is 'industry' meant"):
        decisions(company, **{setting: ("industri",)})
