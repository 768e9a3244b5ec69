"""Columns without dates: laws that hold for any column, on the fates of a whole company."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.features.leakage import LeakRules, cramers_v
from forecast.features.leakage.association import Values, auc, custom_values, rank_correlation
from forecast.features.leakage.fates import Fates
from forecast.features.leakage.undated import Judgement, Words, judge_undated
from forecast.history import History
from forecast.history.history import NEVER_US
from forecast.periods import DAY_US
from forecast.tables import Tables

WORDS = Words("deals", "won", "lost")
laws = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10**6)


@pytest.fixture(scope="module")
def fates(sample_history: History) -> Fates:
    return Fates.of(sample_history, NEVER_US)


def judged(codes: np.ndarray, fates: Fates) -> Judgement:
    return judge_undated(Values(codes.astype(np.float64)), fates, WORDS, LeakRules())


@laws
@given(seeds, st.floats(0.05, 1.0), st.integers(1, 30))
def test_a_column_of_chance_is_never_accused(fates: Fates, seed: int, filled: float, words: int) -> None:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, words, len(fates.kind)).astype(float)
    codes[rng.random(len(codes)) > filled] = np.nan
    assert judged(codes, fates).verdict == "ok"


@laws
@given(seeds, st.floats(0.4, 1.0), st.sampled_from(["closed", "won", "lost"]))
def test_what_closing_fills_in_is_always_caught(fates: Fates, seed: int, share: float, when: str) -> None:
    rng = np.random.default_rng(seed)
    mine = {"closed": fates.is_closed, "won": fates.won, "lost": fates.is_closed & ~fates.won}[when]
    codes = np.where(mine & (rng.random(len(mine)) < share), rng.integers(0, 4, len(mine)), np.nan)
    found = judged(codes, fates)
    assert found.verdict == "leaks", found
    assert found.code in ("filled_by_closing", "echo")


@laws
@given(seeds)
def test_names_of_the_values_do_not_matter(fates: Fates, seed: int) -> None:
    rng = np.random.default_rng(seed)
    codes = np.where(
        fates.is_closed, rng.integers(0, 3, len(fates.kind)), rng.integers(2, 5, len(fates.kind))
    )
    one, other = judged(codes, fates), judged(rng.permutation(5)[codes], fates)
    assert (one.verdict, one.code, one.reason) == (other.verdict, other.code, other.reason)


def test_a_field_introduced_lately_is_no_leak(fates: Fates) -> None:
    """Filled in three of four open deals and one of five closed ones, but for both since the same day."""
    since_us = np.quantile(fates.created_us, 0.8)
    codes = np.where(fates.created_us > since_us, 1.0, np.nan)
    found = judged(codes, fates)
    assert found.figures.filled_open > found.figures.filled_won + 0.3
    assert found.verdict == "ok"
    assert found.reason.endswith("created at the same time")


def test_few_open_deals_neither_clear_nor_convict(fates: Fates) -> None:
    """What closing fills in is named, and used; what looks alike is not known to be alike."""
    still = np.flatnonzero(fates.is_open)
    few = dataclasses.replace(
        fates, kind=np.where(np.isin(np.arange(len(fates.kind)), still[5:]), -1, fates.kind)
    )
    filled_by_closing = np.where(few.is_closed, 1.0, np.nan)
    found = judged(filled_by_closing, few)
    assert (found.verdict, found.code) == ("suspicious", "filled_by_closing")
    found = judged(np.arange(len(few.kind)) % 3, few)
    assert (found.verdict, found.reason) == ("too_few", "too few to tell: only 5 open deals to compare with")


@pytest.mark.parametrize("unit", [1.0, 1 / 24, 7.0])
def test_a_duration_is_known_in_any_unit(fates: Fates, unit: float) -> None:
    until_us = np.where(fates.is_closed, fates.closed_us, fates.until_us)
    took = np.floor((until_us - fates.created_us) / DAY_US / unit)
    found = judge_undated(Values(took, numbers=took), fates, WORDS, LeakRules())
    assert (found.verdict, found.code) == ("leaks", "duration")


def test_a_duration_copied_now_and_then_is_known_by_its_hits(fates: Fates) -> None:
    rng = np.random.default_rng(1)
    took = np.where(fates.is_closed, (fates.closed_us - fates.created_us) / DAY_US, 0.0)
    number = np.where(rng.random(len(took)) < 0.5, took, rng.uniform(0, 300, len(took)))
    found = judge_undated(Values(number, numbers=number), fates, WORDS, LeakRules())
    assert found.code == "duration"
    assert "is how long the deal took in " in found.reason


def test_numbers_that_say_nought_for_lost_deals_are_an_echo(fates: Fates) -> None:
    rng = np.random.default_rng(2)
    amount = rng.lognormal(9, 1, len(fates.kind)) * np.where(fates.is_closed & ~fates.won, 0.0, 1.0)
    found = judge_undated(Values(amount, numbers=amount), fates, WORDS, LeakRules())
    assert found.code == "echo"


def test_an_unusual_strength_is_named_and_used(fates: Fates) -> None:
    rng = np.random.default_rng(3)
    guess = np.where(rng.random(len(fates.kind)) < 0.9, fates.won, ~fates.won)
    guess = np.where(fates.is_closed, guess, rng.random(len(guess)) < 0.3)
    found = judged(guess, fates)
    assert (found.verdict, found.code) == ("suspicious", "strong")


def test_words_numbers_and_dates_are_told_apart(sample_tables: Tables) -> None:
    count = len(sample_tables.deals)
    columns = {
        "number": [f"{place / 7:.3f}" for place in range(count)],
        "date": [f"2025-{1 + place % 12:02d}-{1 + place % 28:02d}" for place in range(count)],
        "word": ["red", "2025-01", "7"] * (count // 3) + ["red"] * (count % 3),
    }
    typed = {name: pd.array(values, dtype="str") for name, values in columns.items()}
    deals = sample_tables.deals.assign(**typed)
    frames = {name: sample_tables[name] for name in ("stages", "deal_events", "activities", "users")}
    history = History.from_tables(Tables.from_frames(deals=deals, **frames))
    every = np.arange(len(history))

    def read(name: str) -> Values:
        field = history.fields.index(name)
        return custom_values(history, name, history.last(every, field, np.int64(NEVER_US)))

    assert read("number").numbers is not None
    assert read("date").days is not None
    assert read("date").days[0] == 20_089.0  # 1 January 2025
    assert read("word").numbers is None
    assert read("word").days is None


def test_association_by_reference() -> None:
    """AUC against counting pairs, Spearman and V against scipy's own."""
    from scipy.stats import spearmanr

    rng = np.random.default_rng(4)
    value, won = rng.integers(0, 9, 60).astype(float), rng.random(60) < 0.4
    pairs = value[won][:, None] - value[~won][None, :]
    counted = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
    assert auc(value, won) == pytest.approx(max(counted, 1 - counted))
    other = value + rng.normal(0, 3, 60)
    assert rank_correlation(value, other) == pytest.approx(spearmanr(value, other).statistic)
    assert cramers_v(won.astype(float), won) == pytest.approx(1.0)
    assert cramers_v(np.arange(60.0), won) == 0.0, "sixty values of sixty deals tell nothing"
