"""Which quarters are tested, and from when."""

from __future__ import annotations

import pandas as pd
import pytest

from forecast.errors import DataError
from forecast.history import History
from training.backtest.plan import make_plan


def moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def test_each_quarter_is_looked_at_from_its_weeks(sample_history: History) -> None:
    plan = make_plan(sample_history, moment("2026-01-01"), quarters=2, weeks=(12, 0), min_history_days=60)
    assert [origin.name for origin in plan.origins] == [
        "2025Q3 week 0", "2025Q3 week 12", "2025Q4 week 0", "2025Q4 week 12",
    ]  # fmt: skip
    first, last = plan.origins[0], plan.origins[-1]
    assert (first.as_of, first.before, first.after) == (moment("2025-07-01"), None, moment("2025-09-23"))
    assert (last.before, last.after) == (moment("2025-10-01"), moment("2026-01-01"))
    assert plan.notes == ()


@pytest.mark.parametrize(
    ("until", "newest"),
    [("2025-12-31T18:30", "2025Q4"), ("2025-12-30T12:00", "2025Q3"), ("2026-01-01", "2025Q4")],
)
def test_a_quarter_counts_once_it_is_over(sample_history: History, until: str, newest: str) -> None:
    plan = make_plan(sample_history, moment(until), quarters=1, weeks=(0,), min_history_days=60)
    assert [period.label for period in plan.quarters] == [newest]


def test_more_quarters_than_the_history_allows_are_said_so(sample_history: History) -> None:
    plan = make_plan(sample_history, moment("2023-01-01"), quarters=8, weeks=(0,), min_history_days=60)
    # The company begins in January 2022: what came before its second quarter is enough to learn from.
    assert [period.label for period in plan.quarters] == ["2022Q2", "2022Q3", "2022Q4"]
    assert "only 3 quarters can be tested" in plan.notes[0]


def test_too_little_history_is_refused_with_what_there_is(sample_history: History) -> None:
    with pytest.raises(DataError, match=r"runs from 2022-01-\d\d to 2022-06-30.*min_history_days"):
        make_plan(sample_history, moment("2022-06-30"), quarters=1, weeks=(0,), min_history_days=100)
