"""Track records: what an owner, an account or a source had won beyond what is usual for such business."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from forecast.history import DatedRecords, FrozenRecords, History
from forecast.history.records import RECORDS
from forecast.history.stages import WON
from forecast.periods import as_of_us
from forecast.simulator import simulate

MOMENTS = [as_of_us(pd.Timestamp(day, tz="UTC")) for day in ("2022-02-01", "2023-01-01", "2025-06-01")]


@pytest.fixture(scope="module")
def history() -> History:
    return History.from_tables(simulate(deals=1500, seed=4).tables)


def closings(history: History) -> pd.DataFrame:
    found = history.closings
    return pd.DataFrame(
        {
            "at_us": found.at_us,
            "won": (found.kind == WON).astype(float),
            "motion": history.columns.motion[found.deal],
            "owner": found.owner,
            "account": history.columns.account[found.deal],
            "source": history.columns.source[found.deal],
        }
    )


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("at_us", MOMENTS)
def test_wins_above_the_usual_counted_one_by_one(history: History, kind: str, at_us: int) -> None:
    known = closings(history).query("at_us < @at_us")
    rates = known.groupby("motion")["won"].agg(lambda won: (won.sum() + 2.5) / (len(won) + 10.0))
    codes = np.arange(len(history.vocabulary(RECORDS[kind]).texts))
    rank = np.full(len(codes), history.clock.rank(np.int64(at_us)))
    closed, above = DatedRecords.of(history).counts(kind, codes, rank)
    for code in codes[:: max(len(codes) // 40, 1)]:
        own = known[known[kind] == code]
        assert closed[code] == len(own)
        assert above[code] == pytest.approx(float((own["won"] - own["motion"].map(rates)).sum()), abs=1e-9)


def test_everybody_together_wins_what_is_usual(history: History) -> None:
    """Those above and those below cancel out, but for the little with which a share is drawn to a quarter."""
    codes = np.arange(len(history.vocabulary("owner_id").texts))
    rank = np.full(len(codes), history.clock.rank(np.int64(MOMENTS[-1])))
    closed, above = DatedRecords.of(history).counts("owner", codes, rank)
    motions = len(history.vocabulary("motion").texts)
    assert closed.sum() > 300
    assert abs(above.sum()) < 7.5 * motions
    assert np.abs(above).max() > 3.0


def test_an_unknown_code_has_no_record(history: History) -> None:
    rank = np.array([history.clock.rank(np.int64(MOMENTS[-1]))])
    closed, above = DatedRecords.of(history).counts("owner", np.array([-1]), rank)
    assert (closed[0], above[0]) == (0.0, 0.0)


def test_what_is_frozen_is_what_stood_that_day_and_survives_its_text(history: History) -> None:
    at_us = MOMENTS[-1]
    dated = DatedRecords.of(history)
    frozen = FrozenRecords.from_json(json.loads(json.dumps(dated.freeze(history, at_us).to_json())))
    bound = frozen.bind(history)
    for kind, column in RECORDS.items():
        codes = np.arange(-1, len(history.vocabulary(column).texts))
        rank = np.full(len(codes), history.clock.rank(np.int64(at_us)))
        for one, other in zip(dated.counts(kind, codes, rank), bound.counts(kind, codes, rank), strict=True):
            np.testing.assert_array_equal(one, other)
