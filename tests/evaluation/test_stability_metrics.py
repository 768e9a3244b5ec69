"""Stability: what a forecast already implied for today is no change, news is no instability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.evaluation import metrics

laws = settings(deadline=None, max_examples=40)


@laws
@given(st.floats(0.001, 0.1), st.floats(0.0, 0.1), st.floats(1.0, 30.0), st.floats(0.0, 100.0))
def test_a_forecast_that_follows_its_own_curve_has_no_unexplained_change(
    win: float, loss: float, passed: float, left: float
) -> None:
    """Constant hazards forget: said again today, P(won within what is left) follows from the curve of then."""

    def won(days: float) -> float:
        return win / (win + loss) * (1 - np.exp(-(win + loss) * days))

    earlier = metrics.carried_forward([won(passed + left)], [won(passed)], [np.exp(-(win + loss) * passed)])
    assert metrics.unexplained_change(earlier, [won(left)], news=[False]) == pytest.approx(0.0, abs=1e-9)


def test_the_example_of_the_docstring_and_no_chance_of_being_open() -> None:
    found = metrics.carried_forward([0.30, 0.5], [0.10, 0.5], [0.75, 0.0])
    assert found[0] == pytest.approx(0.20 / 0.75)
    assert np.isnan(found[1])


def test_only_rows_without_news_count() -> None:
    change = metrics.unexplained_change(
        [0.2, 0.5, np.nan, 0.4], [0.3, 0.1, 0.2, 0.2], news=[False, True, True, False], weight=[3, 1, 1, 1]
    )
    assert change == pytest.approx((3 * 0.1 + 0.2) / 4)
    assert np.isnan(metrics.unexplained_change([0.1], [0.2], news=[True]))
    with pytest.raises(ValueError, match="holds NaN"):
        metrics.unexplained_change([np.nan], [0.2], news=[False])


def test_a_jump_says_how_far_and_whether_to_one_side() -> None:
    found = metrics.jump([0.2, 0.5, 0.4], [0.3, 0.1, 0.4], weight=[1.0, 1.0, 2.0])
    assert found == pytest.approx((0.5 / 4, 0.4, -0.3 / 4))
    assert metrics.jump([0.2, 0.7], [0.2, 0.7]) == (0.0, 0.0, 0.0)
    assert np.isnan(metrics.jump([], [])).all()
