"""Clocks: what has elapsed can be turned back into a moment, and seasons only share time out."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.periods import DAY_US
from forecast.simulator.calendar import NEVER_US, Calendar, Clock, make_calendar

DAYS = pd.date_range("2022-01-01", "2025-12-31", freq="D")
FLAT = np.ones(len(DAYS))
START_US = int(DAYS.as_unit("us").asi8[0])


def calendar(drift: float = 0.0) -> Calendar:
    return make_calendar(DAYS, drift_per_year=drift, win_shock=FLAT, lose_shock=FLAT)


def on(clock: Clock, day: str) -> float:
    return float(clock.weight[(pd.Timestamp(day) - DAYS[0]).days])


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(0.0, 1460.0), min_size=1, max_size=20))
def test_a_moment_shows_the_time_it_was_found_by(elapsed: list[float]) -> None:
    clock = calendar().touch
    asked = np.array(elapsed)
    found = clock.moment(asked)
    reached = found != NEVER_US
    # Moments are whole seconds: a second of a busy hour is a small part of a day.
    np.testing.assert_allclose(clock.elapsed(found[reached]), asked[reached], atol=1e-4)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-DAY_US, 1500 * DAY_US), min_size=2, max_size=20))
def test_time_never_runs_backwards(offsets: list[int]) -> None:
    moments = START_US + np.sort(np.array(offsets))
    for name in ("progress", "win", "lose", "clean", "touch"):
        assert (np.diff(getattr(calendar(), name).elapsed(moments)) >= 0).all()


def test_never_is_said_when_a_clock_does_not_get_there() -> None:
    clock = Clock.of(0, np.array([1.0, 0.0, 1.0]))
    assert clock.moment(np.array([5.0, np.inf])).tolist() == [NEVER_US, NEVER_US]
    # Nothing happens on a day without weight: the first moment after 1.0 is in the morning of day 2.
    assert clock.moment(np.array([1.0]))[0] == 2 * DAY_US + 8 * 3_600_000_000


def test_every_clock_runs_at_one_a_day_on_average() -> None:
    for name in ("progress", "win", "lose", "touch"):
        assert getattr(calendar(), name).weight.mean() == pytest.approx(1.0, abs=1e-3), name


def test_quarters_end_in_a_hurry_and_months_end_with_a_clean_up() -> None:
    clocks = calendar()
    assert on(clocks.win, "2025-09-30") > 3 * on(clocks.win, "2025-09-09")  # both Tuesdays
    assert on(clocks.lose, "2025-09-30") == pytest.approx(on(clocks.lose, "2025-09-09"))
    assert on(clocks.win, "2025-09-06") < 0.1 * on(clocks.win, "2025-09-09")  # a Saturday
    assert clocks.clean.weight.sum() == 48  # months in four years
    assert on(clocks.clean, "2024-02-29") == 1.0


def test_drift_multiplies_the_win_clock_alone() -> None:
    plain, drifting = calendar(), calendar(drift=0.25)
    ratio = drifting.win.weight / plain.win.weight
    assert ratio[365] == pytest.approx(np.exp(0.25), rel=1e-2)
    np.testing.assert_array_equal(drifting.lose.weight, plain.lose.weight)
