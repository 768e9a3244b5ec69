"""Hidden kinds of deals: told apart by their whole course, by nothing that is still to come."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm
from scipy.stats import spearmanr

from forecast.features import KIND_FEATURES, build
from forecast.features.kinds import CHANCES, KINDS, REFERENCE, Kinds, fit_kinds, likeness_of
from forecast.features.kinds.courses import BANDS_DAYS, Labels
from forecast.features.kinds.facts import fact_values
from forecast.features.leakage.scramble import look_moments, scramble_test
from forecast.history import CATEGORIES, OPEN, WON, DatedRecords, History
from forecast.periods import DAY_US, as_of_us
from forecast.simulator import Simulation, simulate
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
EVERYTHING = (
    *("activities_total", "budget", "authority", "need", "timeline", "category", "days_to_close"),
    *("motion", "source", "amount", "owner_edge", "owner_pace", "age_days"),
)
ANSWERS = ("budget", "authority", "need", "timeline")


@pytest.fixture(scope="module")
def company() -> Simulation:
    return simulate(deals=3000, seed=3)


@pytest.fixture(scope="module")
def history(company: Simulation) -> History:
    return History.from_tables(company.tables)


@pytest.fixture(scope="module")
def records(history: History) -> DatedRecords:
    return DatedRecords.of(history)


@pytest.fixture(scope="module")
def kinds(history: History, records: DatedRecords) -> Kinds:
    found = fit_kinds(history, as_of_us(AS_OF), EVERYTHING, records)
    assert found is not None
    return found


def fit_everything(history: History, until_us: int) -> Kinds | None:
    return fit_kinds(history, until_us, EVERYTHING, DatedRecords.of(history))


def odds(history: History, deal: np.ndarray, kinds: Kinds, at_us: int) -> np.ndarray:
    """(n, 3) the log odds of open deals."""
    return told(history, deal, kinds, at_us)[:, : KINDS - 1]


def told(history: History, deal: np.ndarray, kinds: Kinds, at_us: int) -> np.ndarray:
    """(n, 6) the features of open deals."""
    matrix = build(history, deal, np.full(len(deal), at_us), DatedRecords.of(history), kinds)
    return np.stack([matrix[name] for name in KIND_FEATURES], axis=1)


def rates(kinds: Kinds) -> tuple[np.ndarray, np.ndarray]:
    """(KINDS,) of all moves how many more lead to won, and to lost, than usual; geometric mean over stages."""
    labels = Labels(len(kinds.stages))
    ratio = kinds.weights[: labels.activity].reshape(labels.stages, labels.targets, KINDS)
    return ratio[:, labels.stages].mean(axis=0), ratio[:, labels.stages + 1].mean(axis=0)


def told_by_hand(
    tables: Tables, history: History, deal_id: str, kinds: Kinds, at: pd.Timestamp
) -> list[float]:
    """The same log odds, event by event, as the formula reads."""
    labels = Labels(len(kinds.stages))
    stages = tables.stages.set_index(["pipeline", "stage"])["kind"].to_dict()
    deal = tables.deals.set_index("deal_id").loc[deal_id]
    events = tables.deal_events[(tables.deal_events["deal_id"] == deal_id)]
    events = events[events["recorded_at"] < at].sort_values(["recorded_at"], kind="stable")
    place = {name.split("/", 1)[1]: number for number, name in enumerate(kinds.stages)}
    motion = kinds.motions.index(deal["motion"])
    source = kinds.sources.index(deal["source"]) if deal["source"] in kinds.sources else -1
    found = kinds.prior[motion, source].copy()

    def target(stage: str) -> int:
        kind = stages[deal["pipeline"], stage]
        return place[stage] if kind == "open" else labels.stages + (kind == "lost")

    def days(moment: pd.Timestamp) -> float:
        return max((moment - deal["created_at"]).total_seconds() / 86_400.0, 0.0)

    def stands(stage: str, since: pd.Timestamp, until: pd.Timestamp) -> np.ndarray:
        rates = kinds.leaving[motion, place[stage]] * factors_by_hand(history, deal_id, kinds, until)[:, None]
        stood = paced_by_hand(kinds, motion, days(since), days(until))
        passed = (rates * stood[:, None]).sum(axis=0)
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


def paced_by_hand(kinds: Kinds, motion: int, since_days: float, until_days: float) -> np.ndarray:
    """(3,) days between two ages by the pace of each group of moves, band by band."""
    found = np.zeros(3)
    edges = [*kinds.ages.edges_days, math.inf]
    for band, (begin, end) in enumerate(pairwise(edges)):
        inside = max(min(until_days, end) - max(since_days, begin), 0.0)
        found += kinds.ages.pace[motion, :, band] * inside
    return found


def factors_by_hand(history: History, deal_id: str, kinds: Kinds, at: pd.Timestamp) -> np.ndarray:
    """(3,) what multiplies the rates of a deal at a moment, from the features of that moment by their names."""
    deal, at_us = history.index_of([deal_id]), np.array([as_of_us(at)])
    matrix = build(history, deal, at_us, DatedRecords.of(history))
    found = np.zeros(3)
    for name, levels, factors in zip(kinds.facts.names, kinds.facts.levels, kinds.facts.factors, strict=True):
        value = matrix[name][0]
        if name in ("amount", "owner_edge", "owner_pace"):
            row = len(levels) + 1 if math.isnan(value) else sum(value >= edge for edge in levels)
        else:
            text = None if math.isnan(value) else matrix.texts(name)[int(value)]
            row = levels.index(text) if text in levels else len(levels)
        found += factors[row]
    return np.exp(found)


def test_the_odds_are_those_of_the_formula_event_by_event(
    company: Simulation, history: History, kinds: Kinds
) -> None:
    at = pd.Timestamp("2025-07-01", tz="UTC")
    deal = history.open_deals(as_of_us(at))[::9][:40]
    found = odds(history, deal, kinds, as_of_us(at))
    expected = [told_by_hand(company.tables, history, str(history.deal_ids[one]), kinds, at) for one in deal]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_kinds_come_in_order_of_their_share_won(kinds: Kinds) -> None:
    won, lost = rates(kinds)
    # The first is hardly ever won, nor lost; of the others ever more is won for what is lost.
    assert won.argmin() == 0
    assert (np.diff((won - lost)[1:]) > 0).all()
    np.testing.assert_allclose(np.exp(kinds.prior).sum(axis=-1), 1.0, atol=1e-6)
    assert np.exp(kinds.prior[-1, -1]).min() > 0.01


def test_the_deals_that_fall_asleep_are_found(kinds: Kinds) -> None:
    """The simulator has one deal in twenty-five that is never decided, and is worked on less and less."""
    sleeping = kinds.working[:, 0] / kinds.working[:, REFERENCE]
    assert (np.diff(sleeping[:4]) < 0).all()
    assert sleeping[3] < 0.4
    assert np.exp(kinds.prior[-1, -1, 0]) < 0.15


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
        return likeness_of(of, deal, at_us, kinds, DatedRecords.of(of)).features()[0]

    found = scramble_test(company.tables, history, look_moments(history, AS_OF), score=score)
    assert found.changed == {}
    assert found.looks > 100


def test_one_deal_alone_is_like_itself_among_many_to_the_last_bit(history: History, kinds: Kinds) -> None:
    at_us = as_of_us(AS_OF)
    deal = history.open_deals(at_us)
    together = likeness_of(
        history, deal, np.full(len(deal), at_us), kinds, DatedRecords.of(history)
    ).features()
    for place in range(0, len(deal), 25):
        alone = likeness_of(
            history, deal[[place]], np.array([at_us]), kinds, DatedRecords.of(history)
        ).features()
        assert alone[:, 0].tolist() == together[:, place].tolist()


def test_the_builder_and_the_look_up_agree(history: History, kinds: Kinds) -> None:
    at_us = as_of_us(AS_OF)
    deal = history.open_deals(at_us)
    assert np.array_equal(
        told(history, deal, kinds, at_us).T,
        likeness_of(history, deal, np.full(len(deal), at_us), kinds, DatedRecords.of(history)).features(),
    )


def test_a_referral_is_of_a_better_kind_before_anything_has_happened(history: History, kinds: Kinds) -> None:
    """The simulator's referrals are good twice as often as what sellers look for themselves."""
    new, both = kinds.motions.index("new"), [kinds.sources.index(name) for name in ("referral", "outbound")]
    share = np.exp(kinds.prior[new, both])
    assert share[0, 3] > 1.3 * share[1, 3]
    assert share[0, :2].sum() < share[1, :2].sum()


def test_what_was_never_learnt_has_the_figures_of_all_deals(company: Simulation, kinds: Kinds) -> None:
    """Motions and sources with other names: the course is read as that of any deal, and nothing breaks."""
    deals = company.tables.deals
    renamed = replace(company.tables, deals=deals.assign(motion="tender", source="trade fair"))
    other = History.from_tables(renamed)
    at_us = as_of_us(AS_OF)
    deal = other.open_deals(at_us)
    found = likeness_of(other, deal, np.full(len(deal), at_us), kinds, DatedRecords.of(other))
    assert (found.motion == len(kinds.motions)).all()
    assert (kinds.places(other)[1] == len(kinds.sources)).all()
    assert np.isfinite(found.features()).all()


def test_facts_that_make_deals_fast_are_found(company: Simulation, history: History, kinds: Kinds) -> None:
    """The simulator's own: large deals are won less often, good sellers more, public customers move slowly."""
    facts = dict(zip(kinds.facts.names, kinds.facts.factors, strict=True))
    assert {"amount", "owner_edge", "source"} <= set(facts)
    moved, won, lost = range(3)
    assert facts["amount"][0, won] > facts["amount"][6, won] + 0.1
    assert facts["owner_edge"][6, won] > facts["owner_edge"][0, won] + 0.2
    assert facts["owner_edge"][6, lost] < facts["owner_edge"][0, lost]
    assert all((table[-1] == 0.0).all() for table in facts.values())
    assert company.tables.deals["industry"].notna().any()
    with_industry = fit_kinds(
        history, as_of_us(AS_OF), (*EVERYTHING, "custom:industry"), DatedRecords.of(history)
    )
    assert with_industry is not None
    at = with_industry.facts.names.index("custom:industry")
    row = {
        text: with_industry.facts.factors[at][place]
        for place, text in enumerate(with_industry.facts.levels[at])
    }
    assert row["software"][moved] > row["public"][moved] + 0.15


def test_renewals_wait_for_the_end_of_the_contract_whatever_their_kind(kinds: Kinds) -> None:
    """The simulator's own: won at .35 times the usual rate until day 45, at 2.4 times from day 75 to 120."""
    begin = kinds.ages.edges_days
    won = dict(zip(kinds.motions, kinds.ages.pace[:, 1], strict=False))
    waiting, ending = begin < 40.0, (begin >= 75.0) & (begin < 112.0)
    assert waiting.any()
    assert ending.any()
    assert won["renewal"][ending].mean() > 3.0 * won["renewal"][waiting].mean()
    assert np.abs(np.log(won["new"])).max() < 0.2


def test_facts_are_read_in_the_past_as_the_builder_reads_them_then(history: History) -> None:
    names = ("source", "amount", "owner_edge", "owner_pace", "custom:industry")
    at_us = as_of_us(pd.Timestamp("2025-05-01", tz="UTC"))
    deal = history.open_deals(at_us)
    when = np.full(len(deal), at_us)
    found = fact_values(history, DatedRecords.of(history), (*names, "custom:nobody"), deal, when)
    matrix = build(history, deal, when, DatedRecords.of(history))
    for name in names:
        np.testing.assert_array_equal(found[name], matrix[name])
    assert np.isnan(found["custom:nobody"]).all()


def test_motions_and_sources_too_rare_or_kept_out_have_no_figures_of_their_own(
    company: Simulation, history: History
) -> None:
    deals = company.tables.deals
    rare = deals["deal_id"].isin(deals.loc[deals["source"] == "partner", "deal_id"].iloc[:29])
    changed = replace(company.tables, deals=deals.assign(source=deals["source"].mask(rare, "rare one")))
    found = fit_everything(History.from_tables(changed), as_of_us(AS_OF))
    assert found is not None
    assert "rare one" not in found.sources
    without = fit_kinds(history, as_of_us(AS_OF), EVERYTHING[:-6], DatedRecords.of(history))
    assert without is not None
    assert (without.motions, without.sources) == ((), ())
    assert without.prior.shape == (1, 1, KINDS)


def test_what_the_policy_keeps_out_is_not_read(history: History) -> None:
    found = fit_kinds(history, as_of_us(AS_OF), ("need", "category"), DatedRecords.of(history))
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
    found = likeness_of(other, deal, np.full(len(deal), at_us), kinds, DatedRecords.of(other)).features()
    offered = np.char.endswith(np.array(other.stages.names)[other.stage(deal, np.int64(at_us))], "/offer")
    assert 0 < offered.sum() < len(deal)
    assert np.isfinite(found[:3]).all()
    assert np.isfinite(found[3:, ~offered]).all()
    assert np.isnan(found[3:, offered]).all()  # where it leads from there nobody knows


def test_chances_are_those_of_a_chain_taken_in_small_steps(kinds: Kinds, history: History) -> None:
    """Against steps of an hour with the rates of each kind in each motion, won and lost being the end."""
    labels = Labels(len(kinds.stages))
    ratio = np.exp(kinds.weights[: labels.activity]).reshape(labels.stages, labels.targets, KINDS)
    assert set(kinds.motions) == {"new", "renewal", "expansion"}
    for row, motion in enumerate((*kinds.motions, None)):
        usual = usual_moves(history, kinds, motion)
        for kind in range(KINDS):
            rates = ratio[:, :, kind] * usual
            won = labels.stages
            by_group = rates[:, :won].sum(axis=1), rates[:, won], rates[:, won + 1]
            np.testing.assert_allclose(kinds.leaving[row, :, :, kind], np.stack(by_group, axis=1))
            step = np.eye(labels.targets)
            step[: labels.stages] += rates / 24.0
            step[np.arange(labels.stages), np.arange(labels.stages)] -= rates.sum(axis=1) / 24.0
            for place, (cause, days) in enumerate(CHANCES):
                end = labels.stages + (cause == "lost")
                by_steps = np.linalg.matrix_power(step, 24 * days)[: labels.stages, end]
                np.testing.assert_allclose(kinds.chances[place, row, :, kind], by_steps, rtol=0.01, atol=1e-5)


def usual_moves(history: History, kinds: Kinds, motion: str | None = None) -> np.ndarray:
    """(S, S + 2) moves a day until first decided, counted one by one; of one motion, drawn to that of all."""
    place = {name: at for at, name in enumerate(kinds.stages)}
    number, days = np.zeros((len(place), len(place) + 2)), np.zeros(len(place))
    deal, at_us, stage = history.stage_entries
    known = at_us < as_of_us(AS_OF)
    if motion is not None:
        known &= history.columns.motion[deal] == history.vocabulary("motion").places[motion]
    rows = list(zip(deal[known].tolist(), at_us[known].tolist(), stage[known].tolist(), strict=True))
    decided: set[int] = set()
    for (one, since_us, code), (other, moment_us, after) in pairwise([*rows, (-1, 0, 0)]):
        here = place.get(history.stages.names[code])
        if one in decided or here is None:
            continue
        if other != one:
            days[here] += (as_of_us(AS_OF) - max(since_us, created_us(history, one))) / DAY_US
            continue
        days[here] += max(moment_us - max(since_us, created_us(history, one)), 0) / DAY_US
        kind = history.stages.kind[after]
        if kind != OPEN:
            decided.add(one)
        target = place.get(history.stages.names[after]) if kind == OPEN else len(place) + (kind != WON)
        number[here, target] += 1
    if motion is None:
        return (number + 0.01) / (days[:, None] + 10.0)
    return (number + 20.0) / (days[:, None] + 20.0 / usual_moves(history, kinds))


def created_us(history: History, deal: int) -> int:
    return int(history.columns.created_at_us[deal])


def test_chances_of_a_deal_are_the_mean_of_its_kinds(history: History, kinds: Kinds) -> None:
    """Each kind's chance from its stage, bent as the deal's facts ask; odds are cut, chances are not."""
    at = pd.Timestamp("2025-07-01", tz="UTC")
    deal = history.open_deals(as_of_us(at))
    found = told(history, deal, kinds, as_of_us(at))
    share = np.exp(np.insert(found[:, : KINDS - 1], REFERENCE, 0.0, axis=1))
    share /= share.sum(axis=1, keepdims=True)
    texts = history.vocabulary("motion").texts
    for row in range(0, len(deal), 7):
        one = deal[row]
        slot = kinds.stages.index(history.stages.names[history.stage(deal[[row]], np.int64(as_of_us(at)))[0]])
        motion = kinds.motions.index(texts[history.columns.motion[one]])
        factors = np.log(factors_by_hand(history, str(history.deal_ids[one]), kinds, at))
        age_days = (as_of_us(at) - created_us(history, int(one))) / DAY_US
        ahead = [paced_by_hand(kinds, motion, age_days, age_days + days) / days for _, days in CHANCES]
        log_pace = factors[:, None] + np.log(ahead).T
        bent = np.exp(np.einsum("gc,gck->ck", log_pace, kinds.bends[:, :, motion, slot]))
        chances = 1.0 - (1.0 - kinds.chances[:, motion, slot]) ** bent
        np.testing.assert_allclose(found[row, KINDS - 1 :], chances @ share[row], atol=1e-4)


def test_bends_are_what_faster_rates_make_of_chances(kinds: Kinds, history: History) -> None:
    """Moves, wins and losses at other rates from every stage: a bent chance is near to that of the chain."""
    labels = Labels(len(kinds.stages))
    new = kinds.motions.index("new")
    usual = usual_moves(history, kinds, "new")
    ratio = np.exp(kinds.weights[: labels.activity]).reshape(labels.stages, labels.targets, KINDS)
    factors = np.log([1.15, 1.3, 0.9])  # moves, wins and losses
    for kind in range(1, KINDS):
        rates = ratio[:, :, kind] * usual
        rates[:, : labels.stages] *= 1.15
        rates[:, labels.stages] *= 1.3
        rates[:, labels.stages + 1] *= 0.9
        chain = np.zeros((labels.targets, labels.targets))
        chain[: labels.stages] = rates
        chain[np.arange(labels.stages), np.arange(labels.stages)] -= rates.sum(axis=1)
        for place, (cause, days) in enumerate(CHANCES):
            exact = expm(chain * days)[: labels.stages, labels.stages + (cause == "lost")]
            bent = np.exp(np.einsum("g,gs->s", factors, kinds.bends[:, place, new, :, kind]))
            found = 1.0 - (1.0 - kinds.chances[place, new, :, kind]) ** bent
            np.testing.assert_allclose(found, exact, rtol=0.03, atol=1e-4)


def test_chances_are_probabilities_and_grow_with_time(history: History, kinds: Kinds) -> None:
    at_us = as_of_us(AS_OF)
    soon, later, lost = told(history, history.open_deals(at_us), kinds, at_us)[:, KINDS - 1 :].T
    assert (soon >= 0).all()
    assert (later >= soon).all()
    assert (later + lost <= 1.0).all()


def test_chances_come_near_the_truth(company: Simulation, history: History, kinds: Kinds) -> None:
    """By the course alone, without season, seller, industry or amount: right in the sum, and in order."""
    at = pd.Timestamp("2025-08-15", tz="UTC")
    deal = history.open_deals(as_of_us(at))
    found = told(history, deal, kinds, as_of_us(at))[:, KINDS : KINDS + 1].ravel()
    truth = company.truth_within(history.deal_ids[deal], at, [90])[:, 0]
    assert found.sum() == pytest.approx(truth.sum(), rel=0.25)
    assert spearmanr(found, truth).statistic > 0.85


def test_few_closings_tell_no_kinds(history: History) -> None:
    early = np.sort(history.closings.at_us)[150]
    assert fit_everything(history, int(early)) is None
    assert fit_everything(history, int(history.at_us.min())) is None
    matrix = build(history, np.array([0]), np.array([as_of_us(AS_OF)]), DatedRecords.of(history))
    assert np.isnan([matrix[name] for name in KIND_FEATURES]).all()


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
    one = fit_everything(history, as_of_us(until))
    other = fit_everything(History.from_tables(cut), as_of_us(until))
    assert one is not None
    assert other is not None
    assert one.to_json() == other.to_json()


def test_deals_that_were_decided_are_told_by_how(history: History, kinds: Kinds) -> None:
    """Just before the end, deals about to be won look more like often-won ones than others do."""
    closings = history.closings
    at_us = closings.at_us
    was_open = history.stages.kind[history.stage(closings.deal, at_us)] == OPEN
    late = was_open & (at_us > as_of_us(AS_OF) - 400 * DAY_US)
    found = likeness_of(
        history, closings.deal[late], at_us[late], kinds, DatedRecords.of(history)
    ).features()[2]
    won = closings.kind[late] == WON
    assert found[won].mean() > found[~won].mean() + 1.0


def test_a_company_with_one_motion_has_no_ages(company: Simulation) -> None:
    """Rates that fall with age, and kinds of which the quick ones leave first, look the same there."""
    new = company.tables.deals[company.tables.deals["motion"] == "new"]
    kept = {
        name: getattr(company.tables, name)[getattr(company.tables, name)["deal_id"].isin(new["deal_id"])]
        for name in ("deal_events", "activities")
    }
    found = fit_everything(
        History.from_tables(replace(company.tables, deals=new.reset_index(drop=True), **kept)),
        as_of_us(AS_OF),
    )
    assert found is not None
    assert found.motions == ("new",)
    assert found.ages.is_flat
    assert not fit_is_flat(found)


def fit_is_flat(kinds: Kinds) -> bool:
    """Whether all kinds are alike."""
    return bool(np.ptp(kinds.weights, axis=1).max() < 1e-3)
