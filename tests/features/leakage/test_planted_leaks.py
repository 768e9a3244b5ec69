"""Planted leaks are caught and clean lookalikes are not accused; the truth is known, for it was planted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.audit import TOUCHED, measure
from forecast.features import Finding, audit_fields, build, decide_fields
from forecast.features.policy import Decision
from forecast.history import WON, DatedRecords, History, make_landmarks
from forecast.models.amount import fit_amount
from forecast.periods import as_of_us
from forecast.simulator import LEAKS, LOOKALIKES, simulate

UNTIL_US = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))
# What each leak is found by.
CODES = {
    "competitor": "filled_by_closing",
    "loss_reason": "filled_by_closing",
    "is_closed": "flag",
    "cycle_days": "duration",
    "actual_close": "duration",
    "crm_probability": "echo",
    "weighted_amount": "echo",
    "contract_no": "written_by_closing",
    "decision_maker": "written_by_closing",
    "bant_on_win": "written_at_closing",
    "amount_on_win": "corrected_at_closing",
    "mails_on_win": "burst_at_closing",
    "account_on_closing": "filled_by_closing",
}
REPAIRED = {"bant_on_win", "amount_on_win", "mails_on_win"}


@pytest.fixture(scope="module")
def leaky() -> History:
    return History.from_tables(simulate(900, 11, leaks=(*LEAKS, *LOOKALIKES)).tables)


@pytest.fixture(scope="module")
def findings(leaky: History) -> dict[str, Finding]:
    return {one.field: one for one in audit_fields(leaky, UNTIL_US)}


@pytest.fixture(scope="module")
def decisions(leaky: History) -> dict[str, Decision]:
    return {one.feature: one for one in decide_fields(leaky, UNTIL_US)}


@pytest.mark.parametrize("leak", LEAKS)
def test_every_planted_leak_is_found_by_what_it_does(leak: str, findings: dict[str, Finding]) -> None:
    for field in TOUCHED[leak]:
        assert findings[field].code == CODES[leak], findings[field]
        assert findings[field].used == (leak in REPAIRED)


@pytest.mark.parametrize("name", LOOKALIKES)
def test_no_lookalike_is_accused(name: str, findings: dict[str, Finding]) -> None:
    assert findings[name].verdict == "ok", findings[name]


def test_figures_stand_behind_every_verdict(findings: dict[str, Finding]) -> None:
    account = findings["account_id"].figures
    assert account.filled_open < 0.45
    assert account.filled_won == account.filled_lost == 1.0
    contract = findings["contract_no"].figures
    assert contract.closing_share_won == 1.0
    assert contract.filled_won == 0.0, "before the closing nobody has one"
    step = findings["next_step"].figures
    assert step.closing_share_won < 0.05, "written every few days, so near closings, too, but seldom"
    assert step.chance_share > step.closing_share_won
    amount = findings["amount"].figures
    assert amount.strength_close > 2 * amount.strength_landmark


def test_a_verdict_on_a_field_is_one_on_every_feature_read_from_it(decisions: dict[str, Decision]) -> None:
    for feature in ("account_edge", "account_closed", "custom:is_closed"):
        assert not decisions[feature].used, feature
    assert decisions["amount_change"].used
    assert decisions["amount_change"].reason.startswith("corrected by closing in ")
    assert decisions["bant_answered"].reason.startswith("written by closing in ")
    assert decisions["activities_7d"].reason.startswith("in the 48 h before deals are won ")
    assert decisions["silence_days"].reason == "read as of the moment"


def test_what_closing_writes_with_its_date_changes_no_look_before() -> None:
    """The same company without and with dated leaks: every built-in feature of every landmark is the same."""
    dated = ("contract_no", "decision_maker", "bant_on_win", "amount_on_win")
    histories = [History.from_tables(simulate(300, 5, leaks=leaks).tables) for leaks in ((), dated)]
    values = []
    for history in histories:
        looks = make_landmarks(history, until_us=UNTIL_US)
        values.append(build(history, looks.deal, looks.at_us, DatedRecords.of(history)).values)
    built_in = len(values[0]) - len(histories[0].columns.custom)
    np.testing.assert_array_equal(values[0][:built_in], values[1][:built_in])


def test_the_amount_model_learns_what_signing_takes_off() -> None:
    history = History.from_tables(simulate(900, 5, leaks=("amount_on_win",)).tables)
    looks = make_landmarks(history, until_us=UNTIL_US)
    won = looks.take(looks.cause == WON)
    last = np.append(won.deal[1:] != won.deal[:-1], True)
    ratio = history.amount_raw(won.deal, np.int64(UNTIL_US)) / history.amount_raw(won.deal, won.at_us)
    learnt = fit_amount(history, looks, UNTIL_US).table["*"].ratio.mean()
    assert 0.7 < ratio[last].mean() < 0.83
    assert learnt == pytest.approx(ratio[last].mean(), abs=0.03)


def test_few_closed_deals_are_too_few_to_tell() -> None:
    history = History.from_tables(simulate(30, 3, leaks=(*LEAKS, *LOOKALIKES)).tables)
    early_us = as_of_us(pd.Timestamp("2023-01-01", tz="UTC"))
    verdicts = {one.field: one.verdict for one in audit_fields(history, early_us)}
    assert {verdicts[name] for name in ("contract_no", "budget", "amount", "next_step")} == {"too_few"}
    tiny = History.from_tables(simulate(20, 3, leaks=(*LEAKS, *LOOKALIKES)).tables)
    assert not [one for one in audit_fields(tiny, UNTIL_US) if one.verdict in ("leaks", "suspicious")]


@pytest.mark.slow
def test_the_rates_over_several_seeds_and_sizes() -> None:
    """A small run of the benchmark whose large one stands in docs/audit.md."""
    for deals, seeds in ((300, range(40, 43)), (1200, range(50, 51))):
        rates = measure(deals, seeds)
        assert sum(rates.caught.values()) == len(LEAKS) * len(seeds), rates.caught
        assert rates.accused == 0, rates.which
        assert rates.named <= 1, rates.which
