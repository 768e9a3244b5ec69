"""The one primitive: what was known before a moment."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.history.asof import AsOfIndex, Clock


def naive_count(groups: list[int], times: list[int], group: int, at: int) -> int:
    return sum(1 for g, t in zip(groups, times, strict=True) if g == group and t < at)


entries = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 20)), max_size=30)
questions = st.lists(st.tuples(st.integers(0, 4), st.integers(-2, 22)), min_size=1, max_size=20)


@settings(max_examples=60, deadline=None)
@given(entries, questions)
def test_counts_equal_a_loop_over_all_entries(
    found: list[tuple[int, int]], asked: list[tuple[int, int]]
) -> None:
    found = sorted(found)
    groups, times = np.array([g for g, _ in found], np.int64), np.array([t for _, t in found], np.int64)
    clock = Clock.of(times, np.array([3, 9]))
    index = AsOfIndex.of(groups, times, 5, clock)
    group, at = np.array([g for g, _ in asked]), np.array([t for _, t in asked])
    counts = index.end(group, clock.rank(at)) - index.starts[group]
    assert counts.tolist() == [naive_count(groups.tolist(), times.tolist(), g, t) for g, t in asked]


def test_an_entry_at_the_asked_moment_is_not_yet_known() -> None:
    times = np.array([900, 1000, 1200])
    clock = Clock.of(times)
    index = AsOfIndex.of(np.zeros(3, np.int64), times, 1, clock)
    zero = np.zeros(2, np.int64)
    assert index.end(zero, clock.rank(np.array([1000, 1001]))).tolist() == [1, 2]


def test_one_question_and_a_million_are_the_same_question() -> None:
    rng = np.random.default_rng(3)
    groups = np.sort(rng.integers(0, 50, 400))
    times = np.concatenate([np.sort(rng.integers(0, 10**15, (groups == g).sum())) for g in range(50)])
    clock = Clock.of(times)
    index = AsOfIndex.of(groups, times, 50, clock)
    group, at = rng.integers(0, 50, 1000), rng.integers(0, 10**15, 1000)
    bulk = index.end(group, clock.rank(at))
    single = [int(index.end(group[i : i + 1], clock.rank(at[i : i + 1]))[0]) for i in range(1000)]
    assert bulk.tolist() == single
