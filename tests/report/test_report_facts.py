"""What the report says, before it is worded: known figures of a small company, and laws on a larger one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import company, only_deals, outlook_of, with_amounts, without

from forecast.bundle import Bundle, load_bundle
from forecast.outlook import Outlook, make_outlook
from forecast.periods import Period
from forecast.report import collect_facts, earlier_outlook
from forecast.report.facts.bookings import VERDICTS, verdict
from forecast.report.facts.pipeline import median_time
from forecast.report.facts.sellers import wilson_interval
from forecast.scoring import no_decision, open_questions, score_open_deals
from forecast.tables import Tables

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def small(bundle: Bundle) -> Facts:
    return collect_facts(outlook_of(company(), bundle))


@pytest.fixture(scope="module")
def facts(sample_outlook: Outlook) -> Facts:
    return collect_facts(sample_outlook)


def listed(facts: Facts, name: str) -> list[str]:
    return [deal["deal_id"] for deal in facts["deals"][name]["deals"]]


# -- laws -------------------------------------------------------------------------------------------------


def test_facts_are_what_json_can_carry(facts: Facts) -> None:
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_parts_add_up_to_what_is_expected(facts: Facts) -> None:
    company_line = facts["company"]
    parts = company_line["booked"] + company_line["open"] + company_line["arrivals"]
    assert company_line["expected"] == pytest.approx(parts)
    for group in facts["groups"]:
        total = sum(line["expected"] for line in group["lines"])
        assert total == pytest.approx(company_line["expected"]), group["level"]


def test_stages_add_up_to_the_pipeline(facts: Facts) -> None:
    pipeline = facts["pipeline"]
    for name in ("deals", "amount", "expected", "in_period", "unknown_amounts"):
        assert sum(line[name] for line in pipeline["stages"]) == pytest.approx(pipeline["total"][name])
    assert pipeline["total"]["in_period"] == pytest.approx(facts["company"]["open"])


def test_the_way_from_then_to_now_adds_up(facts: Facts, sample_outlook: Outlook) -> None:
    change = facts["change"]
    assert change["as_of"] == "2025-12-04"
    assert change["expected"] + sum(step["amount"] for step in change["steps"]) == pytest.approx(
        facts["company"]["expected"], abs=5.0
    )
    assert "rest" not in {step["kind"] for step in change["steps"]}
    before = earlier_outlook(sample_outlook, 28)
    assert before is not None
    assert change["expected"] == pytest.approx(before.bookings.table["expected"].iloc[0])


def test_the_future_is_invisible(sample_tables: Tables, bundle: Bundle) -> None:
    as_of, period = pd.Timestamp("2025-10-20", tz="UTC"), Period.parse("2025Q4")

    def known(name: str, column: str) -> pd.DataFrame:
        return sample_tables[name][sample_tables[name][column] < as_of]

    past = replace(
        sample_tables,
        deals=known("deals", "created_at"),
        deal_events=known("deal_events", "recorded_at"),
        activities=known("activities", "occurred_at"),
    )
    full, cut = (
        collect_facts(make_outlook(tables, bundle, as_of=as_of, period=period))
        for tables in (sample_tables, past)
    )
    for found in (full, cut):
        del found["provenance"]["data_fingerprint"]
    assert full == cut


def test_funnel_steps_multiply_to_the_win_rate(facts: Facts) -> None:
    (funnel,) = facts["funnel"]["funnels"]
    conversions = [line["conversion"] for line in funnel["stages"]]
    assert np.prod(conversions) == pytest.approx(funnel["win_rate"])
    reached = [line["reached"] for line in funnel["stages"]] + [funnel["won"]]
    assert reached == sorted(reached, reverse=True)


def test_a_deal_is_on_one_list_of_things_to_do_at_most(facts: Facts) -> None:
    every = [deal for name in ("at_risk", "follow_up", "drop") for deal in listed(facts, name)]
    assert every
    assert len(every) == len(set(every))


def test_deciding_deals_are_still_open_to_decide(facts: Facts) -> None:
    deciding = facts["deals"]["deciding"]
    assert deciding
    assert all(0.05 <= deal["won_in_period"] <= 0.95 and deal["effect"] > 0 for deal in deciding)
    assert {deal["basis"] for deal in deciding} == {"quota"}


def test_reasons_are_those_of_the_scores_in_the_reader_s_language(sample_outlook: Outlook) -> None:
    history, bundle = sample_outlook.history, sample_outlook.bundle
    scores = score_open_deals(
        history, bundle, sample_outlook.as_of, period=sample_outlook.period, reasons=5, locale="it"
    ).set_index("deal_id")
    found = collect_facts(sample_outlook, "it", compare_days=None)["deals"]
    for deal in (*found["deciding"], *found["at_risk"]["deals"], *found["drop"]["deals"]):
        assert deal["reasons"] == json.loads(scores.loc[deal["deal_id"], "reasons"])


def test_a_question_is_asked_where_a_call_is_due_and_it_is_the_one_worth_most(
    facts: Facts, sample_outlook: Outlook
) -> None:
    asked = open_questions(
        sample_outlook.history, sample_outlook.bundle, sample_outlook.as_of, period=sample_outlook.period
    ).drop_duplicates("deal_id")
    best = asked.set_index("deal_id")
    told = 0
    for name in ("deciding", "at_risk", "drop"):
        listing = facts["deals"][name]
        assert all(deal["question"] is None for deal in (listing if name == "deciding" else listing["deals"]))
    for deal in facts["deals"]["follow_up"]["deals"]:
        worth = deal["deal_id"] in best.index and best.loc[deal["deal_id"], "expected_move"] >= 0.005
        assert (deal["question"] is not None) == worth
        if worth:
            line = best.loc[deal["deal_id"]]
            assert deal["question"]["field"] == line["question"]
            assert deal["question"]["if_confirmed"] == line["if_confirmed"]
            assert deal["question"]["text"] == line["text"]
            told += 1
    assert told > 0


def test_every_quota_names_the_deals_it_hinges_on(facts: Facts, sample_outlook: Outlook) -> None:
    parts = sample_outlook.bookings.parts
    named = 0
    for group in facts["groups"]:
        for line in group["lines"]:
            mine = parts[(parts["level"] == group["level"]) & (parts["entity"] == line["entity"])]
            expected = mine.loc[mine["effect"] >= 0.01, "deal_id"].tolist()
            assert [deal["deal_id"] for deal in line["deciding"]] == expected
            named += len(expected)
    assert named > 10


def test_a_quota_out_of_reach_hinges_on_no_deal(sample_outlook: Outlook) -> None:
    deciding = sample_outlook.bookings.deciding
    hopeless = replace(sample_outlook.bookings, deciding=deciding.assign(effect=0.0001, basis="quota"))
    found = collect_facts(replace(sample_outlook, bookings=hopeless), compare_days=None)["deals"]["deciding"]
    assert {deal["basis"] for deal in found} == {"variance"}
    assert all(0 < deal["effect"] < 1 for deal in found)


def test_collecting_changes_nothing(sample_outlook: Outlook) -> None:
    scores, table = sample_outlook.scores.copy(), sample_outlook.bookings.table.copy()
    users = sample_outlook.tables.users.copy()
    collect_facts(sample_outlook, "it")
    pd.testing.assert_frame_equal(sample_outlook.scores, scores)
    pd.testing.assert_frame_equal(sample_outlook.bookings.table, table)
    pd.testing.assert_frame_equal(sample_outlook.tables.users, users)


def test_what_nobody_decides_adds_up_and_leaves_room_for_winning(
    facts: Facts, sample_outlook: Outlook
) -> None:
    found, history = facts["undecided"], sample_outlook.history
    assert found["verdict"] == "seen"
    chance = no_decision(history, sample_outlook.bundle, sample_outlook.as_of, period=sample_outlook.period)
    amount = sample_outlook.scores["amount"].to_numpy()
    assert found["total"]["undecided_deals"] == pytest.approx(chance.sum())
    assert found["total"]["undecided_amount"] == pytest.approx(np.nansum(chance * amount))
    assert found["total"]["amount"] == pytest.approx(facts["pipeline"]["total"]["amount"])
    assert found["level"] == "team"
    for name in ("deals", "amount", "undecided_deals", "undecided_amount", "unknown_amounts"):
        assert sum(line[name] for line in found["groups"]) == pytest.approx(found["total"][name])
    assert found["probably"]["deals"] == (chance >= 0.5).sum()
    amounts = [deal["amount"] for deal in found["largest"]]
    assert amounts == sorted(amounts, reverse=True)
    assert len(amounts) == 10
    assert all(deal["no_decision"] >= 0.5 for deal in found["largest"])
    assert all(deal["no_decision"] + deal["win_probability"] <= 1 + 1e-9 for deal in found["largest"])


def test_deals_to_drop_have_hardly_a_chance_and_say_if_nobody_will_decide_them(facts: Facts) -> None:
    drop = facts["deals"]["drop"]
    assert drop["deals"]
    for deal in drop["deals"]:
        old = deal["win_probability"] < 0.05 and deal["age_days"] > drop["age_days"]
        silent = [signal["days"] for signal in deal["signals"] if signal["kind"] == "silent"]
        assert old or (deal["win_probability"] < 0.10 and silent and silent[0] >= 30)
        assert deal["undecided"] == (deal["no_decision"] >= 0.5)
    assert any(deal["undecided"] for deal in drop["deals"])
    amounts = [deal["amount"] for deal in drop["deals"]]
    assert amounts == sorted(amounts, reverse=True)


def test_a_company_without_teams_sees_its_people(sample_outlook: Outlook) -> None:
    alone = replace(sample_outlook, tables=without(sample_outlook.tables, "users"))
    found = collect_facts(alone, compare_days=None)["undecided"]
    assert found["level"] == "user"
    assert len(found["groups"]) + found["more_groups"] == sample_outlook.scores["owner_id"].nunique()
    assert len(found["groups"]) <= 12


# -- figures known by heart -------------------------------------------------------------------------------


def test_close_rates_count_decided_deals_of_twelve_months(small: Facts) -> None:
    # ana: W1, W2 won, L1 lost; bruno: L2 lost, R1 is open again and so not decided.
    people = {line["owner"]["id"]: (line["won"], line["decided"]) for line in small["close_rates"]["people"]}
    assert people == {"ana": (2, 3), "bruno": (0, 1)}
    assert (small["close_rates"]["all"]["won"], small["close_rates"]["all"]["decided"]) == (2, 4)
    assert small["close_rates"]["since"] == "2025-02-01"


def test_a_skipped_stage_counts_as_passed(small: Facts) -> None:
    (funnel,) = small["funnel"]["funnels"]
    # Four decided: L1 got to prospecting, L2 to qualification, W1 and W2 (which skipped it) all the way.
    assert [line["reached"] for line in funnel["stages"]] == [4, 3, 2]
    assert [line["conversion"] for line in funnel["stages"]] == [3 / 4, 2 / 3, 1.0]
    # W1 took 106 days from creation, W2 92.
    assert funnel["cycle_days"] == pytest.approx(99.0)


def test_signals_are_the_facts_of_the_record(small: Facts) -> None:
    # R1 is silent too, since 1 December, and has hardly a chance: it is to drop.
    assert listed(small, "at_risk") == ["S1"]
    assert "R1" in listed(small, "drop")
    (deal,) = (deal for deal in small["deals"]["at_risk"]["deals"] if deal["deal_id"] == "S1")
    assert deal["owner"] == {"id": "ana", "name": "Ana Rossi"}
    assert deal["signals"] == [
        {"kind": "overdue", "days": 5},
        {"kind": "silent", "days": 34},
        {"kind": "pushed", "times": 2, "days": 41},
    ]


def test_two_months_of_data_do_not_say_that_deals_are_never_decided(small: Facts) -> None:
    found = small["undecided"]
    assert found["verdict"] == "too_few"
    assert found["followed"] == {"deals": 0, "undecided": 0, "at_least": 0.0}
    assert found["total"]["deals"] == 4
    every = [deal for name in ("at_risk", "follow_up", "drop") for deal in small["deals"][name]["deals"]]
    assert not any(deal["undecided"] for deal in (*every, *small["deals"]["deciding"]))


def test_follow_up_names_whoever_waits_for_an_answer(small: Facts) -> None:
    found = {deal["deal_id"]: deal["signals"] for deal in small["deals"]["follow_up"]["deals"]}
    assert found["F1"] == [{"kind": "unanswered", "days": 3}, {"kind": "closes", "days": 4}]
    assert "S1" not in found


def test_baselines_follow_the_sellers_dates(small: Facts) -> None:
    # Due in the quarter: R1 (20 Mar) at .15, S1 (27 Jan) and F1 (5 Feb) at .50; W1 is booked; N1 has no date.
    booked = 10_000
    assert small["baselines"] == {
        "booked": booked,
        "due_deals": 3,
        "due_amount": 56_000.0,
        "stage_weighted": pytest.approx(booked + 0.15 * 6_000 + 0.5 * 20_000 + 0.5 * 30_000),
        "commit": booked + 20_000,
        "best_case": booked + 20_000 + 30_000,
    }


def test_what_changed_is_told_by_kind(small: Facts) -> None:
    kinds = {mover["deal_id"]: mover["kind"] for mover in small["change"]["movers"]}
    assert kinds["W1"] == "won"
    assert kinds["N1"] == "created"
    won = next(mover for mover in small["change"]["movers"] if mover["deal_id"] == "W1")
    assert won["after"] == 10_000
    assert won["change"] == pytest.approx(won["after"] - won["before"])


def test_names_come_from_users_and_emails_stay_there(small: Facts) -> None:
    assert {
        line["name"] for group in small["groups"] if group["level"] == "user" for line in group["lines"]
    } >= {
        "Ana Rossi",
        "Bruno Conti",
    }
    assert "example.com" not in json.dumps(small)


def test_no_quota_is_no_attainment(bundle: Bundle) -> None:
    facts = collect_facts(outlook_of(without(company(), "quotas"), bundle))
    line = facts["company"]
    assert (line["quota"], line["probability"], line["verdict"], line["gap"]) == (None, None, None, None)
    assert line["expected"] > 0
    assert {deal["basis"] for deal in facts["deals"]["deciding"]} <= {"variance"}


def test_nothing_to_compare_with_is_no_comparison(bundle: Bundle) -> None:
    young = only_deals(company(), ["N1"])
    assert collect_facts(outlook_of(young, bundle))["change"] is None
    assert collect_facts(outlook_of(company(), bundle), compare_days=None)["change"] is None


def test_unknown_amounts_are_counted(bundle: Bundle) -> None:
    facts = collect_facts(outlook_of(with_amounts(company(), float("nan")), bundle))
    assert facts["pipeline"]["total"]["unknown_amounts"] == facts["deals"]["open"] == 4
    assert facts["pipeline"]["total"]["amount"] == 0.0


# -- small pieces -----------------------------------------------------------------------------------------


def test_every_probability_has_a_word() -> None:
    assert verdict(0.0) == "hardly"
    assert verdict(1.0) == "nearly_certain"
    assert [verdict(lowest) for lowest, _ in VERDICTS] == [word for _, word in VERDICTS]


@given(
    st.integers(0, 40).flatmap(lambda won: st.tuples(st.just(won), st.integers(max(won, 1), 40))),
)
@settings(deadline=None, max_examples=50)
def test_a_close_rate_lies_in_its_interval_and_more_deals_narrow_it(counts: tuple[int, int]) -> None:
    won, decided = counts
    low, high = wilson_interval(won, decided)
    assert 0.0 <= low <= won / decided <= high <= 1.0
    wider_low, wider_high = low, high
    low, high = wilson_interval(10 * won, 10 * decided)
    assert high - low < wider_high - wider_low


def test_wilson_interval_agrees_with_the_equation_it_solves() -> None:
    # Both ends p solve |share - p| = z sqrt(p (1 - p) / n), z the normal quantile of 0.9 (Wilson 1927).
    for won, decided in ((5, 10), (4, 6), (39, 85)):
        for p in wilson_interval(won, decided):
            assert abs(won / decided - p) == pytest.approx(1.2815515655 * np.sqrt(p * (1 - p) / decided))


@given(st.lists(st.floats(0.1, 900.0), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_stays_that_go_on_can_only_lengthen_a_median(days: list[float], random: Any) -> None:
    times = np.array(days)
    ended = np.array([random.random() < 0.7 for _ in days])
    whole, partial = median_time(times, np.ones(len(times), dtype=bool)), median_time(times, ended)
    assert whole == sorted(days)[(len(days) - 1) // 2]
    assert partial is None or partial >= whole
