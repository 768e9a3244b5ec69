"""What the speed benchmarks measure on is what they say it is."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.features import drawn_landmarks, made_up_columns
from benchmarks.scoring import book_of
from forecast.history import History
from forecast.periods import as_of_us
from forecast.simulator import simulate


def test_every_made_up_deal_has_eight_entries_and_rows_are_as_many_as_asked() -> None:
    rng = np.random.default_rng(5)
    columns = made_up_columns(300, rng)
    assert (np.bincount(columns.entry_deal) == 8).all()
    history = History.from_columns(columns)
    assert len(history.at_us) == 8 * 300
    assert len(drawn_landmarks(history, 1_000, rng)) == 1_000


@pytest.mark.parametrize("size", [1, 50])
def test_a_book_has_exactly_as_many_open_deals_as_asked_and_keeps_the_closed_ones(size: int) -> None:
    company = simulate(200, seed=3).tables
    as_of = as_of_us(company.default_as_of)
    before, after = History.from_tables(company), History.from_tables(book_of(company, size))
    assert len(after.open_deals(as_of)) == size
    assert len(after) - size == len(before) - len(before.open_deals(as_of))


def test_a_copied_deal_keeps_its_whole_history() -> None:
    company = simulate(200, seed=3).tables
    book = book_of(company, 50)
    original = company.deal_events["deal_id"].value_counts()
    copied = book.deal_events["deal_id"].value_counts()
    copies = copied[copied.index.str.contains("~")]
    assert len(copies) == 50
    assert (copies == original[copies.index.str.split("~").str[0]].to_numpy()).all()
