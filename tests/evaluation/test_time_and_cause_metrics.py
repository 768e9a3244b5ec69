"""Metrics of curves that were cut off: against hazardous and scikit-survival, loops, and the uncut truth.

Recipe of the references: durations without ties, the censoring of the same rows, horizons that fall on no
duration, so that "within" means the same here (before) and there (up to).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hazardous.metrics import (
    aj_calibration_per_event,
    brier_score_incidence,
    brier_score_survival,
    concordance_index_incidence,
    integrated_brier_score_incidence,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from sksurv.metrics import concordance_index_ipcw, integrated_brier_score
from sksurv.util import Surv

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=40)
HORIZONS = (10.5, 20.5, 40.5, 60.5)
Draw = tuple[np.ndarray, np.ndarray, np.ndarray]


def curves(strength: np.ndarray, horizons: tuple[float, ...] = HORIZONS) -> np.ndarray:
    """(n, H, 3) true P(open), P(won), P(lost): hazards of 0.01 + 0.02 strength and 0.01."""
    win, loss = 0.01 + 0.02 * strength[:, None], 0.01
    gone = 1.0 - np.exp(-(win + loss) * np.asarray(horizons))
    return np.stack([1.0 - gone, gone * win / (win + loss), gone * loss / (win + loss)], axis=-1)


def draw(rows: int, seed: int, *, whole_days: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True durations, causes and strength of deals with the hazards of `curves`."""
    rng = np.random.default_rng(seed)
    strength = rng.integers(0, 8, rows) / 7.0 if whole_days else rng.random(rows)
    win, loss = 0.01 + 0.02 * strength, 0.01
    days = rng.exponential(1.0 / (win + loss))
    cause = np.where(rng.random(rows) < win / (win + loss), 1, 2)
    return (np.ceil(days / 10) if whole_days else days), cause, strength


def cut(days: np.ndarray, cause: np.ndarray, seed: int, *, whole_days: bool = False) -> Draw:
    """What was seen of them: duration, cause, and when each was cut off."""
    cut_off = np.random.default_rng([seed, 1]).exponential(90.0, days.size)
    if whole_days:
        cut_off = np.ceil(cut_off / 10)
    return np.minimum(days, cut_off), np.where(days < cut_off, cause, 0), cut_off


@pytest.fixture(scope="module")
def seen() -> Draw:
    """800 deals seen in part: duration, cause, strength."""
    days, cause, strength = draw(800, 11)
    duration, seen_cause, _ = cut(days, cause, 11)
    return duration, seen_cause, strength


def frame(duration: np.ndarray, cause: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"event": cause, "duration": duration})


def imperfect(strength: np.ndarray) -> np.ndarray:
    """(n, H, 3) a forecast that is wrong in level and knows half of the differences."""
    return curves(0.7 * strength[::-1] * 0.5 + 0.5 * strength)


# -- against independent libraries --------------------------------------------------------------------------


@pytest.mark.parametrize("of_cause", [1, 2])
def test_brier_and_integrated_brier_equal_hazardous(seen: Draw, of_cause: int) -> None:
    duration, cause, strength = seen
    said = imperfect(strength)[:, :, of_cause]
    y = frame(duration, cause)
    theirs = brier_score_incidence(y, y, said, np.array(HORIZONS), event_of_interest=of_cause)
    ours = [
        metrics.ipcw_brier(duration, cause, said[:, place], horizon, of_cause=of_cause)
        for place, horizon in enumerate(HORIZONS)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert metrics.integrated_brier(duration, cause, said, HORIZONS, of_cause=of_cause) == pytest.approx(
        integrated_brier_score_incidence(y, y, said, np.array(HORIZONS), event_of_interest=of_cause), rel=1e-9
    )


def test_three_states_add_the_scores_of_open_won_and_lost(seen: Draw) -> None:
    duration, cause, strength = seen
    said = imperfect(strength)
    y = frame(duration, cause)
    theirs = brier_score_survival(y, y, said[:, :, 0], np.array(HORIZONS)) + sum(
        brier_score_incidence(y, y, said[:, :, one], np.array(HORIZONS), event_of_interest=one)
        for one in (1, 2)
    )
    ours = [
        metrics.ipcw_brier(duration, cause, said[:, place], horizon) for place, horizon in enumerate(HORIZONS)
    ]
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)
    assert metrics.integrated_brier(duration, cause, said, HORIZONS) == pytest.approx(
        np.trapezoid(theirs, HORIZONS) / (HORIZONS[-1] - HORIZONS[0]), rel=1e-9
    )


def test_integrated_brier_of_staying_open_equals_scikit_survival(seen: Draw) -> None:
    duration, cause, strength = seen
    still_open = imperfect(strength)[:, :, 0]
    y = Surv.from_arrays(cause > 0, duration)
    assert metrics.integrated_brier(duration, cause, still_open, HORIZONS, of_cause=0) == pytest.approx(
        integrated_brier_score(y, y, still_open, HORIZONS), rel=1e-9
    )


@pytest.mark.parametrize("of_cause", [1, 2])
@pytest.mark.parametrize("horizon", [20.5, 60.5])
def test_concordance_index_equals_hazardous(seen: Draw, of_cause: int, horizon: float) -> None:
    duration, cause, strength = seen
    said = np.round(imperfect(strength)[:, -1, of_cause], 2)  # rounded, so that there are ties
    y = frame(duration, cause)
    theirs = concordance_index_incidence(
        y,
        np.column_stack([said, said]),
        y_train=y,
        time_grid=np.array([0.0, 200.0]),
        taus=[horizon],
        event_of_interest=of_cause,
    )
    ours = metrics.concordance_index(duration, cause, said, horizon_days=horizon, of_cause=of_cause)
    assert ours == pytest.approx(theirs[0], rel=1e-9)


def test_concordance_index_equals_scikit_survival_for_one_cause(seen: Draw) -> None:
    duration, cause, strength = seen
    won = np.where(cause == 1, 1, 0)
    y = Surv.from_arrays(won == 1, duration)
    theirs = concordance_index_ipcw(y, y, strength, tau=60.5)[0]
    ours = metrics.concordance_index(duration, won, strength, horizon_days=60.5)
    assert ours == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("power", [1, 2])
def test_aalen_johansen_calibration_equals_hazardous(seen: Draw, power: int) -> None:
    duration, cause, strength = seen
    horizons = (*HORIZONS, 1000.5)  # where nobody is at risk: left out by both
    said = curves(0.6 * strength, horizons)
    theirs = aj_calibration_per_event(
        frame(duration, cause), np.array(horizons), np.moveaxis(said, 2, 1), alpha=power
    )
    for of_cause in (1, 2):
        ours = metrics.aalen_johansen_calibration(
            duration, cause, said[:, :, of_cause], horizons, of_cause=of_cause, power=power
        )
        assert ours == pytest.approx(theirs[of_cause], rel=1e-6)
        assert ours > 0.0


def test_calibration_of_staying_open_equals_hazardous(seen: Draw) -> None:
    duration, cause, strength = seen
    said = curves(0.6 * strength)
    theirs = aj_calibration_per_event(frame(duration, cause), np.array(HORIZONS), np.moveaxis(said, 2, 1))
    ours = metrics.aalen_johansen_calibration(duration, cause, said[:, :, 0], HORIZONS, of_cause=0)
    assert ours == pytest.approx(theirs[0], rel=1e-9)


# -- against the truth and against loops --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
def test_scores_come_out_as_if_nobody_had_been_cut_off(seed: int) -> None:
    days, cause, strength = draw(20_000, seed)
    said = imperfect(strength)
    duration, seen_cause, _ = cut(days, cause, seed)
    for metric, tolerance in (
        (lambda t, k: metrics.integrated_brier(t, k, said[:, :, 1], HORIZONS), 0.004),
        (lambda t, k: metrics.integrated_brier(t, k, said, HORIZONS), 0.008),
        (lambda t, k: metrics.concordance_index(t, k, said[:, -1, 1], horizon_days=60.0), 0.012),
        (lambda t, k: metrics.aalen_johansen_calibration(t, k, said[:, :, 1], HORIZONS, power=1), 0.005),
    ):
        assert metric(duration, seen_cause) == pytest.approx(metric(days, cause), abs=tolerance)
    # Taking those cut off for deals that stayed open is what these weights are there against.
    naive = metrics.ipcw_brier(np.where(seen_cause == 0, 99.0, duration), seen_cause, said[:, -1], 60.5)
    assert abs(naive - metrics.ipcw_brier(days, cause, said[:, -1], 60.5)) > 0.05


def test_the_true_curves_score_better_than_others_and_are_calibrated() -> None:
    days, cause, strength = draw(20_000, 5)
    duration, seen_cause, _ = cut(days, cause, 5)
    true, other = curves(strength), imperfect(strength)
    assert metrics.integrated_brier(duration, seen_cause, true, HORIZONS) < metrics.integrated_brier(
        duration, seen_cause, other, HORIZONS
    )
    assert metrics.concordance_index(duration, seen_cause, true[:, 0, 1]) > metrics.concordance_index(
        duration, seen_cause, other[:, 0, 1]
    )
    far = metrics.aalen_johansen_calibration(duration, seen_cause, other[:, :, 1], HORIZONS, power=1)
    assert (
        metrics.aalen_johansen_calibration(duration, seen_cause, true[:, :, 1], HORIZONS, power=1) < 0.3 * far
    )


@laws
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, 3.0, 6.0]), st.sampled_from([1, 2]))
def test_concordance_index_equals_a_loop_over_pairs(seed: int, horizon: float | None, of_cause: int) -> None:
    days, cause, said = draw(40, seed, whole_days=True)
    duration, causes, _ = cut(days, cause, seed, whole_days=True)
    own = np.random.default_rng(seed).integers(1, 3, 40).astype(float)

    def not_cut_off(until: float) -> float:
        chance = 1.0
        for moment in sorted(set(duration)):
            if moment <= until:
                gone = sum(own[i] for i in range(40) if duration[i] == moment and causes[i] == 0)
                chance *= 1.0 - gone / sum(own[i] for i in range(40) if duration[i] >= moment)
        return chance

    right = pairs = 0.0
    for i in range(40):
        seen = not_cut_off(duration[i])
        if causes[i] != of_cause or (horizon is not None and duration[i] >= horizon) or seen < 0.05:
            continue
        for j in range(40):
            if duration[j] > duration[i] or (duration[j] == duration[i] and causes[j] == 0):
                pair = own[i] * own[j] / seen**2
            elif duration[j] <= duration[i] and causes[j] not in (0, of_cause):
                pair = own[i] * own[j] / (seen * not_cut_off(duration[j]))
            else:
                continue
            pairs += pair
            right += pair * (1.0 if said[i] > said[j] else 0.5 if said[i] == said[j] else 0.0)
    wanted = right / pairs if pairs else np.nan
    ours = metrics.concordance_index(
        duration, causes, said, horizon_days=horizon, of_cause=of_cause, weight=own
    )
    assert ours == pytest.approx(wanted, rel=1e-9, nan_ok=True)


EVERY: tuple[Callable[..., float], ...] = (
    lambda t, k, p, **weight: metrics.ipcw_brier(t, k, p[:, 1, 1], 20.5, **weight),
    lambda t, k, p, **weight: metrics.ipcw_brier(t, k, p[:, 1], 20.5, **weight),
    lambda t, k, p, **weight: metrics.integrated_brier(t, k, p[:, :, 1], HORIZONS, **weight),
    lambda t, k, p, **weight: metrics.concordance_index(t, k, p[:, 1, 1], **weight),
    lambda t, k, p, **weight: metrics.aalen_johansen_calibration(t, k, p[:, :, 1], HORIZONS, **weight),
)


@laws
@given(st.integers(0, 2**32 - 1))
def test_a_whole_number_weight_means_that_many_equal_rows_and_order_means_nothing(seed: int) -> None:
    days, cause, strength = draw(60, seed)
    duration, causes, _ = cut(days, cause, seed)
    said = imperfect(strength)
    rng = np.random.default_rng(seed)
    weight = rng.integers(0, 4, 60)
    repeated = rng.permutation(np.repeat(np.arange(60), weight))
    unknown = np.where((weight == 0)[:, None, None], np.nan, said)
    for metric in EVERY:
        assert metric(duration, causes, unknown, weight=weight.astype(float)) == pytest.approx(
            metric(duration[repeated], causes[repeated], said[repeated]), rel=1e-9, nan_ok=True
        )


@laws
@given(st.integers(0, 2**32 - 1))
def test_scores_stay_within_their_bounds_and_ranks_alone_decide_concordance(seed: int) -> None:
    days, cause, strength = draw(50, seed)
    duration, causes, _ = cut(days, cause, seed)
    said = imperfect(strength)
    assert 0.0 <= metrics.ipcw_brier(duration, causes, said[:, 0, 1], 10.5) <= 1.0
    assert 0.0 <= metrics.ipcw_brier(duration, causes, said[:, 0], 10.5) <= 2.0
    index = metrics.concordance_index(duration, causes, strength)
    assert metrics.concordance_index(duration, causes, np.exp(5 * strength)) == pytest.approx(index)
    assert metrics.concordance_index(duration, causes, -strength) == pytest.approx(1.0 - index)
    assert metrics.concordance_index(duration, causes, np.full(50, 0.3)) == pytest.approx(0.5)


def test_administrative_follow_up_leaves_out_whole_rows(seen: Draw) -> None:
    duration, cause, strength = seen
    said = imperfect(strength)[:, 0, 1]
    followed = np.where(np.arange(duration.size) % 2 == 0, 30.0, 5.0)
    kept = followed >= 10.5
    won = (duration < 10.5) & (cause == 1)
    assert metrics.ipcw_brier(duration, cause, said, 10.5, follow_up_days=followed) == pytest.approx(
        metrics.brier(won[kept], said[kept])
    )


# -- where nothing can be said ------------------------------------------------------------------------------


def test_nothing_to_measure_is_nan() -> None:
    nothing, no_curve = np.empty(0), np.empty((0, 4, 3))
    for metric in EVERY:
        assert np.isnan(metric(nothing, nothing, no_curve))
    days, half = np.array([5.0, 10.0, 30.0]), np.full(3, 0.5)
    assert np.isnan(metrics.concordance_index(days, [2, 0, 0], half)), "nobody was won"
    assert np.isnan(metrics.concordance_index(days, [0, 0, 1], half)), "nobody was left to compare with"
    assert np.isnan(metrics.ipcw_brier(days, [1, 0, 0], half, 90.0)), "nobody was followed that long"
    assert np.isnan(metrics.integrated_brier(days, [1, 0, 0], np.full((3, 2), 0.5), (7.0, 90.0)))
    assert np.isnan(metrics.aalen_johansen_calibration(days, [1, 0, 0], np.full((3, 2), 0.5), (7.0, 90.0)))


def test_a_win_after_almost_all_were_cut_off_decides_nothing() -> None:
    # Two are followed beyond day 5, of 60: the win on day 9 would weigh as much as 400 pairs of day 3.
    duration = np.concatenate([np.full(58, 5.0), [3.0, 9.0, 12.0]])
    cause = np.concatenate([np.zeros(58), [1, 1, 0]])
    said = np.concatenate([np.full(58, 0.5), [0.9, 0.1, 0.2]])
    whole = metrics.concordance_index(duration, cause, said)
    assert whole == metrics.concordance_index(duration, cause, said, horizon_days=8.0) == 1.0


def test_what_cannot_be_meant_is_refused() -> None:
    days, cause, said = np.array([5.0, 10.0]), np.array([1, 0]), np.full((2, 2), 0.5)
    with pytest.raises(ValueError, match="do not span time"):
        metrics.integrated_brier(days, cause, said, (90.0, 30.0))
    with pytest.raises(ValueError, match="do not span time"):
        metrics.integrated_brier(days, cause, said[:, :1], (30.0,))
    with pytest.raises(ValueError, match="for 2 horizons"):
        metrics.integrated_brier(days, cause, said[:, :1], (30.0, 90.0))
    with pytest.raises(ValueError, match="for 2 horizons"):
        metrics.aalen_johansen_calibration(days, cause, said[:, 0], (30.0, 90.0))
    with pytest.raises(ValueError, match=r"expected \(n,\) or \(n, 3\)"):
        metrics.ipcw_brier(days, cause, said, 30.0)
    with pytest.raises(ValueError, match="one number a row"):
        metrics.concordance_index(days, cause, said)
    with pytest.raises(ValueError, match="same number of rows"):
        metrics.ipcw_brier(days, cause, [0.5], 30.0)
    with pytest.raises(ValueError, match="holds NaN"):
        metrics.ipcw_brier(days, cause, [0.5, np.nan], 30.0)
    with pytest.raises(ValueError, match="one weight a row"):
        metrics.ipcw_brier(days, cause, [0.5, 0.5], 30.0, weight=[1.0])
    with pytest.raises(ValueError, match="negative or NaN"):
        metrics.ipcw_brier(days, cause, [0.5, 0.5], 30.0, weight=[1.0, -1.0])
