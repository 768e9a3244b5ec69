"""Labels that were not always seen: the metrics must come out as if they all had been."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.metrics import brier_score
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from forecast.evaluation.metrics import brier, seen_win_weight, won_within
from forecast.evaluation.metrics.censoring import censoring_survival

laws = settings(deadline=None, max_examples=40)
Draw = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def draw(rows: int, seed: int, *, whole_days: bool = False) -> Draw:
    """True durations and causes, when each row was cut off, and a forecast that knows a little."""
    rng = np.random.default_rng(seed)
    strength = rng.random(rows)
    days = rng.exponential(60 + 60 * strength)
    cut_off = rng.exponential(120, rows)
    if whole_days:
        days, cut_off = np.ceil(days / 10), np.ceil(cut_off / 10)
    cause = np.where(rng.random(rows) < 0.3 + 0.4 * strength, 1, 2)
    return days, cause, cut_off, strength


def cut(days: np.ndarray, cause: np.ndarray, cut_off: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was seen: an outcome at T only if the row was cut off after T."""
    return np.minimum(days, cut_off), np.where(days < cut_off, cause, 0)


def test_the_dated_example_of_the_docstring() -> None:
    # Data end on 1 April; landmarks of 1 February, the first won on 5 February, the second still open.
    duration, cause = np.array([4.0, 59.0]), np.array([1, 0])
    assert won_within(duration, cause, 90, follow_up_days=59).weight.tolist() == [0.0, 0.0]
    assert won_within(duration, cause, 59, follow_up_days=59).weight.tolist() == [1.0, 1.0]
    assert won_within(duration, cause, 59, follow_up_days=59).outcome.tolist() == [1.0, 0.0]


def test_a_loss_within_the_horizon_is_known_to_be_no_win() -> None:
    seen = won_within(np.array([10.0, 10.0, 95.0]), np.array([2, 1, 1]), 90, follow_up_days=100)
    assert seen.outcome.tolist() == [0.0, 1.0, 0.0]
    assert seen.weight.tolist() == [1.0, 1.0, 1.0]


def test_time_is_half_open() -> None:
    seen = won_within(np.array([90.0, 89.9]), np.array([1, 1]), 90, follow_up_days=90)
    assert seen.outcome.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("seed", range(3))
def test_ipcw_recovers_the_score_of_the_uncut_data_where_dropping_does_not(seed: int) -> None:
    days, cause, cut_off, strength = draw(40_000, seed)
    truth = (days < 90) & (cause == 1)
    duration, seen_cause = cut(days, cause, cut_off)
    seen = won_within(duration, seen_cause, 90)
    assert brier(seen.outcome, strength, weight=seen.weight) == pytest.approx(
        brier(truth, strength), abs=5e-3
    )
    assert np.average(seen.outcome, weights=seen.weight) == pytest.approx(truth.mean(), abs=0.015)
    dropped = (seen.weight > 0).astype(float)
    assert abs(np.average(seen.outcome, weights=dropped) - truth.mean()) > 0.04


def test_administrative_weights_leave_out_whole_landmarks_not_only_the_unknown() -> None:
    days, cause, _, _ = draw(40_000, 5)
    follow_up = np.random.default_rng(6).uniform(0, 200, days.size)
    duration, seen_cause = cut(days, cause, follow_up)
    seen = won_within(duration, seen_cause, 90, follow_up_days=follow_up)
    assert np.average(seen.outcome, weights=seen.weight) == pytest.approx(
        ((days < 90) & (cause == 1)).mean(), abs=0.01
    )
    assert not seen.weight[(follow_up < 90) & (seen_cause == 1)].any()


def test_ipcw_brier_equals_scikit_survival_for_one_cause() -> None:
    days, _, cut_off, _ = draw(600, 8)
    duration, cause = cut(days, np.ones(days.size, dtype=int), cut_off)
    follow = Surv.from_arrays(cause == 1, duration)
    survival = np.exp(-duration.mean() / 100) * np.ones(days.size)
    _, theirs = brier_score(follow, follow, survival[:, None], [60.0])
    seen = won_within(duration, cause, 60.0)
    # Theirs divides by all rows, ours by the weights; the weights sum to about the number of rows.
    ours = brier(seen.outcome, 1.0 - survival, weight=seen.weight) * seen.weight.sum() / days.size
    assert ours == pytest.approx(theirs[0], rel=1e-9)


def test_censoring_survival_equals_scikit_survival() -> None:
    days, _, cut_off, _ = draw(300, 9)
    duration, cause = cut(days, np.ones(days.size, dtype=int), cut_off)
    times, survival = censoring_survival(duration, cause == 0, np.ones(days.size))
    theirs = CensoringDistributionEstimator().fit(Surv.from_arrays(cause == 1, duration))
    asked = np.linspace(1, duration.max() * 0.9, 40)
    np.testing.assert_allclose(
        survival[np.searchsorted(times, asked, side="right")], theirs.predict_proba(asked), rtol=1e-9
    )


@laws
@given(st.integers(0, 2**32 - 1), st.sampled_from([3.0, 5.0, 8.0]))
def test_ipcw_with_ties_equals_a_loop_over_its_definition(seed: int, horizon: float) -> None:
    days, cause, cut_off, _ = draw(40, seed, whole_days=True)
    duration, seen_cause = cut(days, cause, cut_off)
    own = np.random.default_rng(seed).integers(1, 3, 40).astype(float)

    def not_cut_off(until: float, *, including: bool) -> float:
        chance = 1.0
        for moment in sorted(set(duration)):
            if moment < until or (including and moment == until):
                gone = sum(own[i] for i in range(40) if duration[i] == moment and seen_cause[i] == 0)
                chance *= 1.0 - gone / sum(own[i] for i in range(40) if duration[i] >= moment)
        return chance

    wanted = np.zeros(40)
    to_horizon = not_cut_off(horizon, including=False)
    for i in range(40):
        if seen_cause[i] and duration[i] < horizon:
            wanted[i] = own[i] / not_cut_off(duration[i], including=True)
        elif duration[i] >= horizon:
            wanted[i] = own[i] / to_horizon
    if to_horizon < 0.05:
        wanted[:] = 0.0
    np.testing.assert_allclose(won_within(duration, seen_cause, horizon, weight=own).weight, wanted)


def test_nothing_is_said_beyond_where_almost_nobody_was_followed() -> None:
    duration, cause = np.array([5.0, 10.0, 20.0]), np.array([1, 0, 0])
    assert not won_within(duration, cause, 90).weight.any()


@pytest.mark.parametrize("seed", range(2))
def test_seen_wins_weighted_are_as_slow_as_all_wins(seed: int) -> None:
    days, cause, cut_off, _ = draw(40_000, seed)
    days = np.minimum(days, 250.0 + days / 1000)  # wins end where rows are still followed
    duration, seen_cause = cut(days, cause, cut_off)
    weight = seen_win_weight(duration, seen_cause)
    won = cause == 1
    assert np.average(duration, weights=weight) == pytest.approx(days[won].mean(), rel=0.03)
    seen_won = seen_cause == 1
    assert duration[seen_won].mean() < 0.8 * days[won].mean()
    assert not weight[~seen_won].any()


def test_wins_that_stand_for_nobody_weigh_nothing() -> None:
    # 30 cut off before, one won after them: nothing says that it stands for 30.
    duration, cause = np.append(np.full(30, 5.0), [2.0, 9.0]), np.append(np.zeros(30), [1, 1])
    assert seen_win_weight(duration, cause)[-2:].tolist() == [1.0, 0.0]
    assert seen_win_weight([], []).size == 0


def test_a_win_at_the_moment_another_row_is_cut_off_stands_for_that_row_too() -> None:
    assert seen_win_weight([5.0, 5.0, 9.0], [0, 1, 1]) == pytest.approx([0.0, 1.5, 1.5])
    assert seen_win_weight([5.0, 5.0, 9.0], [0, 1, 1], weight=[2.0, 1.0, 1.0]) == pytest.approx(
        [0.0, 2.0, 2.0]
    )
