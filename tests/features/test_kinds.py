"""Hidden kinds of deals: told apart by their whole course, by nothing that is still to come."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from forecast.features import LIKENESSES, build
from forecast.features.kinds import KINDS, REFERENCE, Kinds, fit_kinds, likeness_of
from forecast.features.kinds.courses import BANDS_DAYS, Labels
from forecast.features.leakage.scramble import look_moments, scramble_test
from forecast.history import CATEGORIES, OPEN, WON, DatedRecords, History
from forecast.periods import DAY_US, as_of_us
from forecast.simulator import Simulation, simulate
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
EVERYTHING = ("activities_total", "budget", "authority", "need", "timeline", "category", "days_to_close")
ANSWERS = ("budget", "authority", "need", "timeline")


@pytest.fixture(scope="module")
def company() -> Simulation:
    return simulate(deals=3000, seed=3)


@pytest.fixture(scope="module")
def history(company: Simulation) -> History:
    return History.from_tables(company.tables)


@pytest.fixture(scope="module")
def kinds(history: History) -> Kinds:
    found = fit_kinds(history, as_of_us(AS_OF), EVERYTHING)
    assert found is not None
    return found


def odds(history: History, deal: np.ndarray, kinds: Kinds, at_us: int) -> np.ndarray:
    """(n, 3) the features of open deals."""
    matrix = build(history, deal, np.full(len(deal), at_us), DatedRecords.of(history), kinds)
    return np.stack([matrix[name] for name in LIKENESSES], axis=1)


def rates(kinds: Kinds) -> tuple[np.ndarray, np.ndarray]:
    """(KINDS,) of all moves how many more lead to won, and to lost, than usual; geometric mean over stages."""
    labels = Labels(len(kinds.stages))
    ratio = kinds.weights[: labels.activity].reshape(labels.stages, labels.targets, KINDS)
    return ratio[:, labels.stages].mean(axis=0), ratio[:, labels.stages + 1].mean(axis=0)


def told_by_hand(tables: Tables, deal_id: str, kinds: Kinds, at: pd.Timestamp) -> list[float]:
    """The same log odds, event by event, as the formula reads."""
    labels = Labels(len(kinds.stages))
    stages = tables.stages.set_index(["pipeline", "stage"])["kind"].to_dict()
    deal = tables.deals.set_index("deal_id").loc[deal_id]
    events = tables.deal_events[(tables.deal_events["deal_id"] == deal_id)]
    events = events[events["recorded_at"] < at].sort_values(["recorded_at"], kind="stable")
    place = {name.split("/", 1)[1]: number for number, name in enumerate(kinds.stages)}
    found = kinds.prior.copy()

    def target(stage: str) -> int:
        kind = stages[deal["pipeline"], stage]
        return place[stage] if kind == "open" else labels.stages + (kind == "lost")

    def days(moment: pd.Timestamp) -> float:
        return max((moment - deal["created_at"]).total_seconds() / 86_400.0, 0.0)

    def stands(stage: str, since: pd.Timestamp, until: pd.Timestamp) -> np.ndarray:
        passed = kinds.leaving[place[stage]] * (days(until) - days(since))
        for band, begin in enumerate(BANDS_DAYS):
            end = BANDS_DAYS[band + 1] if band + 1 < len(BANDS_DAYS) else math.inf
            inside = max(min(days(until), end) - max(days(since), begin), 0.0)
            passed = passed + kinds.pace[place[stage]] * kinds.working[band] * inside
        return passed

    moves = [(row.recorded_at, row.value) for row in events[events["field"] == "stage"].itertuples()]
    said = [
        (row.recorded_at, row.value) for row in events[events["field"] == "forecast_category"].itertuples()
    ]
    for (since, before), (moment, after) in pairwise(moves):
        if before not in place:
            continue
        found = found + kinds.weights[place[before] * labels.targets + target(after)]
        category = [value for told, value in said if told < moment]
        if category:
            found = (
                found
                + kinds.weights[
                    labels.category + place[before] * len(CATEGORIES) + CATEGORIES.index(category[-1])
                ]
            )
        found = found - stands(before, since, moment)
    since, stage = moves[-1]
    found = found - stands(stage, since, at)
    if said:
        found = (
            found
            + kinds.weights[labels.category + place[stage] * len(CATEGORIES) + CATEGORIES.index(said[-1][1])]
        )
    for question, name in enumerate(ANSWERS):
        last = None
        for row in events[events["field"] == name].itertuples():
            if row.value != last:
                found = found + kinds.weights[labels.answer + 3 * question + round(2 * float(row.value))]
            last = row.value
    last = None
    for row in events[events["field"] == "expected_close_on"].itertuples():
        if row.value != last:
            stage_then = [value for told, value in moves if told <= row.recorded_at][-1]
            ahead = (pd.Timestamp(row.value, tz="UTC") - row.recorded_at).total_seconds() / 86_400.0
            further = math.log(max(ahead, 1.0)) - kinds.ahead_log_days[place[stage_then]]
            shift = kinds.ahead_shift
            found = found + (further * shift - shift**2 / 2.0) / kinds.ahead_variance
        last = row.value
    activities = tables.activities[tables.activities["deal_id"] == deal_id]
    for row in activities[activities["occurred_at"] < at].itertuples():
        band = int(np.searchsorted(BANDS_DAYS, days(row.occurred_at), side="right")) - 1
        found = found + kinds.weights[labels.activity + band]
        if row.direction == "in":
            found = found + kinds.weights[labels.inbound]
    share = np.exp(found - found.max())
    log = np.maximum(np.log(share / share.sum()), -12.0)
    return [float(log[kind] - log[REFERENCE]) for kind in range(KINDS) if kind != REFERENCE]


def test_the_odds_are_those_of_the_formula_event_by_event(
    company: Simulation, history: History, kinds: Kinds
) -> None:
    at = pd.Timestamp("2025-07-01", tz="UTC")
    deal = history.open_deals(as_of_us(at))[::9][:40]
    found = odds(history, deal, kinds, as_of_us(at))
    expected = [told_by_hand(company.tables, str(history.deal_ids[one]), kinds, at) for one in deal]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_kinds_come_in_order_of_their_share_won(kinds: Kinds) -> None:
    won, lost = rates(kinds)
    # The first is hardly ever won, nor lost; of the others ever more is won for what is lost.
    assert won.argmin() == 0
    assert (np.diff((won - lost)[1:]) > 0).all()
    assert np.exp(kinds.prior).sum() == pytest.approx(1.0, abs=1e-6)
    assert np.exp(kinds.prior).min() > 0.01


def test_the_deals_that_fall_asleep_are_found(kinds: Kinds) -> None:
    """The simulator has one deal in twenty-five that is never decided, and is worked on less and less."""
    sleeping = kinds.working[:, 0] / kinds.working[:, REFERENCE]
    assert (np.diff(sleeping[:4]) < 0).all()
    assert sleeping[3] < 0.4
    assert np.exp(kinds.prior)[0] < 0.15


def test_likeness_says_what_the_truth_says(company: Simulation, history: History, kinds: Kinds) -> None:
    """Among deals of one stage, those like never-won ones are won less in truth, others the more."""
    at = pd.Timestamp("2025-10-01", tz="UTC")
    deal = history.open_deals(as_of_us(at))
    found = odds(history, deal, kinds, as_of_us(at))
    truth = company.truth(history.deal_ids[deal], at, at + pd.Timedelta(days=365))
    stage = history.stage(deal, np.int64(as_of_us(at)))
    names = [history.stages.names[code] for code in stage]
    here = np.array([name.endswith("proposal") for name in names])
    assert here.sum() > 20
    assert spearmanr(found[here, 0], truth[here]).statistic < -0.6
    awake = here & (found[:, 0] < 0)
    assert spearmanr(found[awake, 2], truth[awake]).statistic > 0.4


def test_nothing_of_the_future_is_read(company: Simulation, history: History, kinds: Kinds) -> None:
    def score(of: History, deal: np.ndarray, at_us: np.ndarray) -> np.ndarray:
        return likeness_of(of, deal, at_us, kinds).log_odds()[0]

    found = scramble_test(company.tables, history, look_moments(history, AS_OF), score=score)
    assert found.changed == {}
    assert found.looks > 100


def test_one_deal_alone_is_like_itself_among_many_to_the_last_bit(history: History, kinds: Kinds) -> None:
    at_us = as_of_us(AS_OF)
    deal = history.open_deals(at_us)
    together = likeness_of(history, deal, np.full(len(deal), at_us), kinds).log_odds()
    for place in range(0, len(deal), 25):
        alone = likeness_of(history, deal[[place]], np.array([at_us]), kinds).log_odds()
        assert alone[:, 0].tolist() == together[:, place].tolist()


def test_the_builder_and_the_look_up_agree(history: History, kinds: Kinds) -> None:
    at_us = as_of_us(AS_OF)
    deal = history.open_deals(at_us)
    assert np.array_equal(
        odds(history, deal, kinds, at_us).T,
        likeness_of(history, deal, np.full(len(deal), at_us), kinds).log_odds(),
    )


def test_what_the_policy_keeps_out_is_not_read(history: History) -> None:
    found = fit_kinds(history, as_of_us(AS_OF), ("need", "category"))
    assert found is not None
    labels = Labels(len(found.stages))
    assert np.ptp(found.weights[labels.answer : labels.answer + 6], axis=1).max() < 1e-12  # budget, authority
    assert np.ptp(found.weights[labels.answer + 6 : labels.answer + 9], axis=1).max() > 0.05  # need
    assert np.ptp(found.working, axis=1).max() < 1e-12
    assert found.ahead_shift.tolist() == [0.0] * KINDS


def test_a_history_with_other_stages_is_read_as_far_as_it_goes(company: Simulation, kinds: Kinds) -> None:
    """A stage the kinds never saw says nothing, and breaks nothing."""
    tables = company.tables
    renamed = {
        name: frame.assign(stage=frame["stage"].replace("proposal", "offer"))
        if name == "stages"
        else frame.assign(
            value=frame["value"].where(frame["field"] != "stage", frame["value"].replace("proposal", "offer"))
        )
        for name, frame in (("stages", tables.stages), ("deal_events", tables.deal_events))
    }
    other = History.from_tables(replace(tables, **renamed))
    at_us = as_of_us(AS_OF)
    deal = other.open_deals(at_us)
    found = likeness_of(other, deal, np.full(len(deal), at_us), kinds).log_odds()
    assert np.isfinite(found).all()


def test_few_closings_tell_no_kinds(history: History) -> None:
    early = np.sort(history.closings.at_us)[150]
    assert fit_kinds(history, int(early), EVERYTHING) is None
    assert fit_kinds(history, int(history.at_us.min()), EVERYTHING) is None
    matrix = build(history, np.array([0]), np.array([as_of_us(AS_OF)]), DatedRecords.of(history))
    assert np.isnan([matrix[name] for name in LIKENESSES]).all()


def test_numbers_come_back_from_json(kinds: Kinds) -> None:
    again = Kinds.from_json(kinds.to_json())
    assert again.to_json() == kinds.to_json()
    with pytest.raises(ValueError, match="reshape"):
        Kinds.from_json({**kinds.to_json(), "stages": ["sales/demo"]})


def test_learning_reads_only_what_was_recorded_before(company: Simulation, history: History) -> None:
    """The same kinds, to the last bit, from data that end at the moment."""
    until = pd.Timestamp("2025-03-01", tz="UTC")
    tables = company.tables
    cut = replace(
        tables,
        deal_events=tables.deal_events[tables.deal_events["recorded_at"] < until].reset_index(drop=True),
        activities=tables.activities[tables.activities["occurred_at"] < until].reset_index(drop=True),
    )
    one = fit_kinds(history, as_of_us(until), EVERYTHING)
    other = fit_kinds(History.from_tables(cut), as_of_us(until), EVERYTHING)
    assert one is not None
    assert other is not None
    assert one.to_json() == other.to_json()


def test_deals_that_were_decided_are_told_by_how(history: History, kinds: Kinds) -> None:
    """Just before the end, deals about to be won look more like often-won ones than others do."""
    closings = history.closings
    at_us = closings.at_us
    was_open = history.stages.kind[history.stage(closings.deal, at_us)] == OPEN
    late = was_open & (at_us > as_of_us(AS_OF) - 400 * DAY_US)
    found = likeness_of(history, closings.deal[late], at_us[late], kinds).log_odds()[2]
    won = closings.kind[late] == WON
    assert found[won].mean() > found[~won].mean() + 1.0
