"""The stability index beside its own chance: no limit of .1 for sixty deals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.evaluation.drift.stability import (
    category_bins,
    chance_psi,
    counts_by_week,
    number_bins,
    psi,
    stability,
)

counts = st.lists(st.integers(0, 500), min_size=2, max_size=12).filter(lambda found: sum(found) > 0)


@given(counts, st.integers(1, 20))
def test_equal_shares_have_no_index(then: list[int], times: int) -> None:
    assert psi(then, np.array(then) * times) == pytest.approx(0.0, abs=1e-12)


@given(st.data(), counts)
def test_the_index_is_never_negative_and_the_order_of_bins_does_not_matter(
    data: st.DataObject, then: list[int]
) -> None:
    size = len(then)
    now = data.draw(st.lists(st.integers(0, 500), min_size=size, max_size=size).filter(lambda x: sum(x) > 0))
    order = data.draw(st.permutations(range(size)))
    assert psi(then, now) >= 0.0
    again = psi([then[place] for place in order], [now[place] for place in order])
    assert again == pytest.approx(psi(then, now))


def test_nothing_in_a_sample_is_unknown() -> None:
    assert np.isnan(psi([0, 0], [3, 4]))


def test_chance_alone_makes_an_index_as_large_as_foretold() -> None:
    """Yurdakul: (B - 1) (1 / n + 1 / m) on average. For 60 deals in ten bins that is .15."""
    rng = np.random.default_rng(0)
    share = np.full(10, 0.1)
    seen = [psi(rng.multinomial(5_000, share), rng.multinomial(60, share)) for _ in range(400)]
    foretold, dof = chance_psi(5_000 * share, 60 * share)
    assert dof == 9
    assert foretold == pytest.approx(0.152, abs=0.001)
    assert np.mean(seen) == pytest.approx(foretold, rel=0.12)


def weekly(rng: np.random.Generator, wander: float, *, moved: bool = False) -> np.ndarray:
    """105 weeks of 100 deals in eight bins whose shares wander; the last week may have moved."""
    base = np.full(8, 1 / 8)
    log_share = np.log(base) + wander * rng.normal(size=(105, 8))
    share = np.exp(log_share) / np.exp(log_share).sum(axis=1, keepdims=True)
    if moved:
        share[-1] = [0.4, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05, 0.05]
    return np.stack([rng.multinomial(100, one) for one in share]).astype(float)


@pytest.mark.parametrize("wander", [0.0, 0.2])
def test_p_values_of_unchanged_inputs_are_honest(wander: float) -> None:
    """Also where weeks differ by more than chance: the usual wandering is seen in former weeks."""
    rng = np.random.default_rng(1)
    found = np.array([stability(weekly(rng, wander), -104, 52)[0].p_value for _ in range(150)])
    assert (found <= 0.05).mean() <= 0.08
    assert (found <= 0.01).mean() <= 0.03
    assert 0.3 < found.mean() < 0.8  # and not by never saying anything: largest of three references


def test_an_input_that_moved_is_found() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        (one,) = stability(weekly(rng, 0.1, moved=True), -104, 52)
        assert one.p_value < 1e-3
        assert one.excess > 0.1


def test_what_happens_every_year_is_no_drift() -> None:
    """August: the same two weeks of each year look different."""
    rng = np.random.default_rng(3)
    share = np.full((107, 6), 1 / 6)
    summer = [0.5, 0.1, 0.1, 0.1, 0.1, 0.1]
    share[[1, 2, 53, 54, 105, 106]] = summer
    table = np.stack([rng.multinomial(150, one) for one in share]).astype(float)
    found = stability(table, -104, 52)
    assert found[1].psi > 0.3
    assert found[1].p_value > 0.01


def test_bins_are_fixed_on_the_reference_and_unknown_values_have_their_own() -> None:
    bins = number_bins(np.arange(100.0))
    assert bins.size == 11
    assert bins.of(np.array([-5.0, 0.0, 99.0, 1e9, np.nan])).tolist() == [0, 0, 9, 9, 10]
    zeros = number_bins(np.zeros(50))
    assert zeros.of(np.array([0.0, 3.0, np.nan])).tolist() == [0, 0, 1]


def test_rare_and_new_categories_share_a_bin() -> None:
    values = np.array([0.0] * 60 + [1.0] * 39 + [2.0])
    bins = category_bins(values, ("a", "b", "c", "d"))
    assert bins.of(np.array([0.0, 1.0, 2.0, 3.0, np.nan])).tolist() == [0, 1, 2, 2, 3]
    nothing = category_bins(np.full(3, np.nan), ())
    assert counts_by_week(nothing, np.full(3, np.nan), np.zeros(3, np.int64), 1).sum() == 3
