"""A table without dates through the whole job: what is made up tells nothing, and no twin is on both sides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.peers.field import Field
from benchmarks.real import protocols, salvirt_b2b
from benchmarks.real.source import raw_file
from forecast.errors import UnavailableError
from forecast.history import LOST, WON, History, make_landmarks
from forecast.models import FitSettings
from forecast.periods import as_of_us
from forecast.tables import Tables


def made_up(rows: int) -> pd.DataFrame:
    """Deals whose budget decides nearly everything."""
    rng = np.random.default_rng(2)
    budget = rng.choice(["Yes", "No", "Unknown"], rows, p=[0.45, 0.45, 0.1])
    won = rng.random(rows) < np.where(budget == "Yes", 0.85, np.where(budget == "No", 0.15, 0.5))
    return pd.DataFrame(
        {
            "Product": rng.choice(["Product A", "Product B"], rows),
            "Seller": rng.choice(["Seller 1", "Seller 2", "Seller 3"], rows),
            "Authority": rng.choice(["Low", "Mid", "High"], rows),
            "Budgt_alloc": budget,
            "Forml_tend": rng.choice(["Yes", "No"], rows),
            "Source": rng.choice(["Referral", "Web"], rows),
            "Needs_def": rng.choice(["Yes", "No", "Poor", "Info gathering"], rows),
            "Status": np.where(won, "Won", "Lost"),
        }
    )


@pytest.fixture(scope="module")
def raw() -> pd.DataFrame:
    return made_up(240)


@pytest.fixture(scope="module")
def asked() -> np.ndarray:
    return np.arange(240) % 5 == 0


@pytest.fixture(scope="module")
def tables(raw: pd.DataFrame, asked: np.ndarray) -> Tables:
    return salvirt_b2b.tables_of(raw, asked, np.random.default_rng(1))


def test_every_known_deal_is_one_landmark_and_every_asked_one_is_open(
    raw: pd.DataFrame, asked: np.ndarray, tables: Tables
) -> None:
    history = History.from_tables(tables)
    until_us = as_of_us(salvirt_b2b.OPEN_AT)
    marks = make_landmarks(history, until_us=until_us)
    ids = tables.deals["deal_id"].to_numpy()
    np.testing.assert_array_equal(history.deal_ids[marks.deal], ids[~asked])
    won = (raw["Status"] == "Won").to_numpy()[~asked]
    np.testing.assert_array_equal(marks.cause, np.where(won, WON, LOST))
    assert set(history.deal_ids[history.open_deals(until_us)]) == set(ids[asked])


def test_no_outcome_of_an_asked_deal_is_known_and_no_date_tells_the_outcome(
    raw: pd.DataFrame, asked: np.ndarray, tables: Tables
) -> None:
    events = tables.deal_events
    outcome = events[events["value"].isin(["won", "lost"])]
    late = outcome[outcome["recorded_at"] >= salvirt_b2b.OPEN_AT]
    assert set(late["deal_id"]) == set(tables.deals["deal_id"][asked])
    # With the outcomes turned round every date stays where it was.
    turned = raw.assign(Status=raw["Status"].map({"Won": "Lost", "Lost": "Won"}))
    other = salvirt_b2b.tables_of(turned, asked, np.random.default_rng(1))
    pd.testing.assert_series_equal(other.deals["created_at"], tables.deals["created_at"])


def test_twins_are_one_group_whatever_became_of_them(raw: pd.DataFrame) -> None:
    twice = pd.concat([raw, raw.iloc[:5].assign(Status="Won"), raw.iloc[:5].assign(Status="Lost")])
    group = salvirt_b2b.groups_of(twice)
    np.testing.assert_array_equal(group[:5], group[240:245])
    np.testing.assert_array_equal(group[:5], group[245:])


def test_out_of_fold_our_models_find_what_decides(raw: pd.DataFrame) -> None:
    result = protocols.run_salvirt_b2b(raw, FitSettings(windows=1), Field(), seeds=(0,))
    auc = result.scores.query("metric == 'auc' and horizon_days == 240").set_index("forecaster")["value"]
    assert auc["ours"] > 0.75
    assert auc["base_rate"] < 0.6
    assert {"logistic", "trees", "cox", "half"} <= set(auc.index)


@pytest.mark.real
def test_the_real_table_has_the_published_numbers_of_rows() -> None:
    try:
        raw_file(salvirt_b2b.NAME, "b2b_sales.csv")
    except UnavailableError as absent:
        pytest.skip(absent.message)
    real = salvirt_b2b.load()
    assert len(real) == 448
    assert len(salvirt_b2b.distinct_rows(real)) == 365
    assert set(real["Status"]) == {"Won", "Lost"}
