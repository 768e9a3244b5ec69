"""The truth is exact: outcomes agree with it, a plain reference does too, and it never sees the future."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, rankdata

from forecast.errors import UsageError
from forecast.periods import DAY_US, Period, as_of_us
from forecast.simulator import Simulation, process, simulate
from forecast.simulator.evidence import Exposures, Points
from forecast.simulator.paths import Paths
from forecast.simulator.truth import Truth

END = pd.Timestamp("2026-01-01", tz="UTC")
# Beyond every as-of of these tests; stands for "not over yet".
LATER_US = np.int64(as_of_us(pd.Timestamp("2026-06-01", tz="UTC")))


@cache
def company() -> Simulation:
    return simulate(20_000, seed=11)


@cache
def forecasts(horizon_days: int, hour: int) -> pd.DataFrame:
    """Truth and outcome of all open deals, at moments a horizon apart: windows that do not overlap."""
    simulation = company()
    first = pd.Timestamp("2023-01-02", tz="UTC") + pd.Timedelta(hours=hour)
    moments = pd.date_range(first, END - pd.Timedelta(days=horizon_days), freq=f"{horizon_days}D")
    ids = [simulation.open_deals(moment) for moment in moments]
    as_of = pd.DatetimeIndex(np.repeat(moments, [len(each) for each in ids]))
    deal = np.concatenate(ids)
    events = simulation.tables.deal_events
    won = events[(events["field"] == "stage") & (events["value"] == "won")].set_index("deal_id")[
        "recorded_at"
    ]
    won = won[~won.index.duplicated()]
    waited = pd.DatetimeIndex(won.reindex(deal)) - as_of
    deals = simulation.tables.deals.set_index("deal_id").loc[deal]
    return pd.DataFrame(
        {
            "probability": simulation.truth_within(deal, as_of, [horizon_days], shocks="realised")[:, 0],
            "won": waited < pd.Timedelta(days=horizon_days),
            "quarter": as_of.year.astype(str) + "Q" + as_of.quarter.astype(str),
            "motion": deals["motion"].to_numpy(),
            "source": deals["source"].to_numpy(),
        }
    )


@pytest.mark.parametrize(("horizon_days", "hour"), [(30, 0), (90, 11), (180, 14)])
@pytest.mark.parametrize("by", ["bin", "quarter", "motion", "source"])
def test_outcomes_come_as_often_as_the_truth_says(horizon_days: int, hour: int, by: str) -> None:
    rows = forecasts(horizon_days, hour)
    group = pd.qcut(rows["probability"], 10, labels=False, duplicates="drop") if by == "bin" else rows[by]
    variance = rows["probability"] * (1 - rows["probability"])
    sums = rows.assign(variance=variance).groupby(group)[["won", "probability", "variance"]].sum()
    sums = sums[sums["variance"] > 2]
    statistic = ((sums["won"] - sums["probability"]) ** 2 / sums["variance"]).sum()
    assert statistic < chi2.ppf(0.999, len(sums)), sums


def test_the_truth_can_be_learnt_but_is_not_plain_to_see() -> None:
    rows = forecasts(90, 11)
    won, chance = rows["won"].to_numpy(), rows["probability"].to_numpy()
    auc = (rankdata(chance)[won].sum() - won.sum() * (won.sum() + 1) / 2) / (won.sum() * (~won).sum())
    skill = 1 - np.mean((chance - won) ** 2) / won.var()
    assert 0.78 < auc < 0.90
    assert 0.20 < skill < 0.45


def test_what_was_recorded_is_evidence_beyond_the_stage() -> None:
    """Within one stage and quarter the truth still tells deals apart."""
    simulation = company()
    moment = pd.Timestamp("2025-05-05", tz="UTC")
    ids = simulation.open_deals(moment)
    chance = simulation.truth(ids, moment, moment + pd.Timedelta(days=90))
    stage, _ = simulation._truth.stage_at(simulation._deals(ids), np.full(len(ids), as_of_us(moment)))
    in_proposal = chance[stage == process.STAGES.index("proposal")]
    assert np.quantile(in_proposal, 0.9) > 4 * np.quantile(in_proposal, 0.25)


@settings(deadline=None, max_examples=15)
@given(
    st.integers(0, 4000),
    st.integers(400, 1400),
    st.integers(0, 86_399),
    st.lists(st.integers(0, 700), min_size=2),
)
def test_probabilities_grow_with_the_horizon_within_bounds(
    first: int, day: int, second: int, horizons: list[int]
) -> None:
    simulation = small()
    as_of = pd.Timestamp("2022-01-01", tz="UTC") + pd.Timedelta(days=day, seconds=second)
    ids = simulation.tables.deals["deal_id"].to_numpy()[first : first + 50]
    chance = simulation.truth_within(ids, as_of, sorted(horizons))
    is_open = np.isin(ids, simulation.open_deals(as_of))
    assert np.isnan(chance[~is_open]).all()
    assert ((chance[is_open] >= 0) & (chance[is_open] <= 1)).all()
    assert (np.diff(chance[is_open], axis=1) >= -1e-12).all()
    posterior = simulation._truth.quality(simulation._deals(ids), np.full(len(ids), as_of_us(as_of)))
    np.testing.assert_allclose(posterior.sum(axis=1), 1.0)


@cache
def small() -> Simulation:
    return simulate(4000, seed=5)


@pytest.mark.parametrize("as_of", ["2024-03-31", "2024-03-31T18:30:30", "2025-06-17T11:13:00"])
def test_the_future_is_invisible(as_of: str) -> None:
    """Cutting everything that comes at or after as_of out of the simulation changes no probability."""
    simulation = small()
    moment = pd.Timestamp(as_of, tz="UTC")
    ids = simulation.open_deals(moment)
    whole = simulation.truth_within(ids, moment, [30, 90, 365])
    known = replace(simulation, _truth=_cut(simulation._truth, np.int64(as_of_us(moment))))
    np.testing.assert_allclose(known.truth_within(ids, moment, [30, 90, 365]), whole, atol=1e-9)


def _cut(truth: Truth, as_of_us: np.int64) -> Truth:
    """The truth of a world that ends at as_of: nothing later has happened, and what runs is not over."""

    def open_ended(until_us: np.ndarray) -> np.ndarray:
        return np.where(until_us < as_of_us, until_us, LATER_US)

    paths, points = truth.paths, truth.points
    spell, move = paths.spell_from_us < as_of_us, paths.move_us < as_of_us
    exposures = []
    for each in truth.exposures:
        begun = each.from_us < as_of_us
        exposures.append(
            Exposures(
                each.clock,
                each.deal[begun],
                each.from_us[begun],
                open_ended(each.until_us[begun]),
                each.rate[begun],
            )
        )
    seen = points.moment_us < as_of_us
    return replace(
        truth,
        paths=Paths(
            spell_deal=paths.spell_deal[spell],
            spell_stage=paths.spell_stage[spell],
            spell_band=paths.spell_band[spell],
            spell_from_us=paths.spell_from_us[spell],
            spell_until_us=open_ended(paths.spell_until_us[spell]),
            move_deal=paths.move_deal[move],
            move_us=paths.move_us[move],
            move_from=paths.move_from[move],
            move_to=paths.move_to[move],
            move_cleaned=paths.move_cleaned[move],
        ),
        points=Points(points.deal[seen], points.moment_us[seen], points.log_likelihood[seen]),
        exposures=exposures,
    )


def test_forward_steps_agree_with_a_plain_chain() -> None:
    """One deal at a time, one matrix a day, written without looking at the fast one."""
    simulation = small()
    truth = simulation._truth
    moment = pd.Timestamp("2025-03-11", tz="UTC")
    ids = simulation.open_deals(moment)[::23]
    horizons = [20, 60]
    fast = simulation.truth_within(ids, moment, horizons)
    deals = simulation._deals(ids)
    moments_us = np.full(len(deals), as_of_us(moment))
    stages, _ = truth.stage_at(deals, moments_us)
    posterior = truth.quality(deals, moments_us)
    first_day = as_of_us(moment) // DAY_US
    for row, deal in enumerate(deals):
        slow = np.zeros(len(horizons))
        for quality in range(4):
            state = np.zeros(8)  # five open stages, won, warm, gone
            state[stages[row]] = 1.0
            for ahead in range(max(horizons)):
                state = state @ _one_day(truth, int(deal), quality, first_day + ahead)
                if ahead + 1 in horizons:
                    slow[horizons.index(ahead + 1)] += posterior[row, quality] * state[5]
        np.testing.assert_allclose(fast[row], slow, atol=1e-10)


def _one_day(truth: Truth, deal: int, quality: int, day: int) -> np.ndarray:
    """Transition matrix of one whole day from its rates, by the rules in `paths.py`."""
    at = day - truth.expected.win.first_day
    age = day - int(truth.cohort.created_us[deal] // DAY_US)
    band = int(np.searchsorted(process.AGE_BREAKS_DAYS, age, side="right"))
    clock = {name: getattr(truth.expected, name).weight[at] for name in ("progress", "win", "lose", "clean")}
    matrix = np.eye(8)
    for stage in range(5):
        to_open = (
            process.PROGRESS_RATE[quality, stage] * np.exp(truth.effect.progress[deal]) * clock["progress"]
        )
        win = process.WIN_RATE[quality, stage] * np.exp(truth.effect.win[deal]) * clock["win"]
        win *= process.WIN_BY_AGE[truth.cohort.motion[deal], band]
        lose = process.LOSE_RATE[quality, stage] * np.exp(truth.effect.lose[deal]) * clock["lose"]
        sweep = process.CLEAN_RATE[quality, stage] * np.exp(truth.effect.lose[deal]) * clock["clean"]
        rates = np.array([*to_open, win, lose])
        leaves = 1 - np.exp(-rates.sum())
        shares = rates / rates.sum() if rates.sum() else rates
        swept = (1 - leaves) * (1 - np.exp(-sweep))
        matrix[stage, :6] = leaves * shares[:6]
        lost = leaves * shares[6] + swept
        matrix[stage, 6], matrix[stage, 7] = lost * process.WARM_SHARE, lost * (1 - process.WARM_SHARE)
        matrix[stage, stage] = (1 - leaves) * np.exp(-sweep)
    thaw = 1 - np.exp(-(process.REOPEN_RATE + process.COOL_RATE) * clock["progress"])
    back = process.REOPEN_RATE / (process.REOPEN_RATE + process.COOL_RATE)
    matrix[6] = 0.0
    matrix[6, process.QUALIFICATION], matrix[6, 7], matrix[6, 6] = thaw * back, thaw * (1 - back), 1 - thaw
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    return matrix


def test_parts_of_a_day_add_up_to_the_day() -> None:
    """Nothing can be recorded before office hours, so dawn knows what midnight knew."""
    simulation = small()
    morning = pd.Timestamp("2025-07-08T06:00", tz="UTC")  # before office hours: no time passes until then
    midnight = morning.normalize()
    ids = simulation.open_deals(midnight)
    end = midnight + pd.Timedelta(days=45)
    np.testing.assert_allclose(
        simulation.truth(ids, midnight, end), simulation.truth(ids, morning, end), atol=1e-12
    )
    # ... and the day's own chance grows with its hours, to the whole at its end.
    ends = [midnight + pd.Timedelta(hours=hour) for hour in (8, 10, 13, 18, 24)]
    chance = simulation.truth(ids, midnight, ends)
    assert (chance[:, 0] == 0).all()
    np.testing.assert_allclose(chance[:, 3], chance[:, 4])
    assert (chance[:, 1] <= chance[:, 2]).all()
    assert chance[:, 2].sum() == pytest.approx(0.5 * chance[:, 3].sum(), rel=0.02)


def test_an_as_of_at_midnight_knows_the_whole_day_before_and_nothing_of_its_own() -> None:
    simulation = small()
    events = simulation.tables.deal_events
    row = events[(events["field"] == "stage") & (events["value"] == "won")].iloc[100]
    deal, moment = [row["deal_id"]], row["recorded_at"]
    horizon = moment + pd.Timedelta(days=30)
    assert simulation.truth(deal, moment, horizon)[0] > 0, "recorded at as_of is not known at as_of"
    assert np.isnan(simulation.truth(deal, moment + pd.Timedelta(1, "us"), horizon)[0])
    assert np.isnan(simulation.truth(deal, moment.normalize() + pd.Timedelta(days=1), horizon)[0])


def test_zombies_never_win_and_are_found_out() -> None:
    simulation = small()
    zombie = simulation._truth.cohort.quality == process.QUALITIES.index("zombie")
    ids = simulation.open_deals(END)
    mine = zombie[simulation._deals(ids)]
    chance = simulation.truth_within(ids, END, [365])[:, 0]
    assert np.median(chance[mine]) < 0.03
    assert np.median(chance[~mine]) > 0.15


def test_shapes_follow_what_is_asked() -> None:
    simulation = small()
    moment = pd.Timestamp("2025-04-01", tz="UTC")
    ids = simulation.open_deals(moment)[:3]
    ends = [moment + pd.Timedelta(days=days) for days in (0, 30, 60)]
    assert simulation.truth(ids, moment, ends[1]).shape == (3,)
    table = simulation.truth(ids, [moment] * 3, ends)
    assert table.shape == (3, 3)
    assert (table[:, 0] == 0).all()
    np.testing.assert_array_equal(table[:, 1], simulation.truth(ids, moment, ends[1]))
    long = simulation.truth_at(moment, [30, 60])
    assert list(long.columns) == ["deal_id", "as_of", "horizon_days", "probability"]
    assert len(long) == 2 * len(simulation.open_deals(moment))
    np.testing.assert_allclose(long["probability"].to_numpy()[:2], table[0, 1:])


def test_expected_bookings_meet_what_was_booked() -> None:
    simulation = company()
    tables = simulation.tables
    events = tables.deal_events
    won = events[(events["field"] == "stage") & (events["value"] == "won")].set_index("deal_id")[
        "recorded_at"
    ]
    amount = tables.deals.set_index("deal_id")["amount"]
    rate = tables.fx_rates.set_index("valid_from")["rate"]
    dollars = tables.deals.set_index("deal_id")["currency"] == "USD"
    expected, booked = [], []
    for label in ("2024Q1", "2024Q3", "2025Q1", "2025Q3"):
        period = Period.parse(label)
        ids = simulation.expected_bookings(period.start, period).set_index("deal_id")
        expected.append(ids["expected"].sum())
        inside = won.reindex(ids.index).between(period.start, period.end, inclusive="left")
        deals = ids.index[inside]
        at = rate[period.start.tz_localize(None)]
        booked.append((amount[deals] * np.where(dollars[deals], at, 1.0)).sum())
    assert sum(booked) == pytest.approx(sum(expected), rel=0.10)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda s: s.truth(["nobody"], END, END), "unknown_deal"),
        (lambda s: s.truth(["D-00001"], END + pd.Timedelta(days=1), END + pd.Timedelta(days=9)), "bad_as_of"),
        (lambda s: s.truth(["D-00001"], END, END + pd.Timedelta(days=2000)), "bad_until"),
        (lambda s: s.truth(["D-00001"], END, END, shocks="mine"), "bad_shocks"),
    ],
)
def test_what_cannot_be_answered_is_refused(call: object, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        call(small())  # type: ignore[operator]
    assert caught.value.code == code


def test_undecided_agrees_with_a_plain_chain_without_return() -> None:
    """The same matrices as above, without the way back from a loss; what is left in the open stages counts."""
    simulation = small()
    truth = simulation._truth
    moment = pd.Timestamp("2025-03-11", tz="UTC")
    ids = simulation.open_deals(moment)[::61]
    fast = simulation.undecided_within(ids, moment, [20, 60])
    deals = simulation._deals(ids)
    moments_us = np.full(len(deals), as_of_us(moment))
    stages, _ = truth.stage_at(deals, moments_us)
    posterior = truth.quality(deals, moments_us)
    first_day = as_of_us(moment) // DAY_US
    for row, deal in enumerate(deals):
        slow = np.zeros(2)
        for quality in range(4):
            state = np.zeros(8)
            state[stages[row]] = 1.0
            for ahead in range(60):
                state = state @ _one_day(truth, int(deal), quality, first_day + ahead)
                state[6] = 0.0
                if ahead + 1 in (20, 60):
                    slow[(20, 60).index(ahead + 1)] += posterior[row, quality] * state[:5].sum()
        np.testing.assert_allclose(fast[row], slow, atol=1e-10)


def test_what_nobody_decides_fades_to_the_zombies_and_comes_as_often_as_said() -> None:
    simulation = company()
    moment = pd.Timestamp("2023-07-03", tz="UTC")
    ids = simulation.open_deals(moment)
    horizons = [0, 60, 365, 730]
    chance = simulation.undecided_within(ids, moment, horizons, shocks="realised")
    never = simulation.never_closes(ids, moment)
    np.testing.assert_allclose(chance[:, 0], 1.0)
    assert (np.diff(chance, axis=1) <= 1e-12).all()
    assert (chance >= never[:, None] - 1e-12).all()
    assert (chance[:, -1] - never).mean() < 0.01
    events = simulation.tables.deal_events
    closed = events[(events["field"] == "stage") & events["value"].isin(["won", "lost"])]
    closed = closed[closed["recorded_at"] >= moment].groupby("deal_id")["recorded_at"].min()
    waited = pd.DatetimeIndex(closed.reindex(ids)) - moment
    for column, days in enumerate(horizons[1:], start=1):
        left = ~(waited < pd.Timedelta(days=days))
        spread = np.sqrt((chance[:, column] * (1 - chance[:, column])).sum())
        assert abs(left.sum() - chance[:, column].sum()) <= 3.3 * spread
