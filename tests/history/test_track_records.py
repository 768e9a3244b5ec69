"""Track records: what an owner, an account or a source had won beyond what is usual for such business."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from forecast.history import DatedRecords, FrozenRecords, History, StageMap
from forecast.history.records import PACE, RECORDS, USUAL_DILUTION
from forecast.history.stages import OPEN, WON
from forecast.periods import DAY_US, as_of_us
from forecast.simulator import simulate
from forecast.tables import Money, empty_tables

MOMENTS = [as_of_us(pd.Timestamp(day, tz="UTC")) for day in ("2022-02-01", "2023-01-01", "2025-06-01")]

STAGES = StageMap.from_frame(
    pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": ["first", "second", "won", "lost"],
            "label": None,
            "position": [1, 2, 3, 4],
            "kind": ["open", "open", "won", "lost"],
            "default_probability": np.nan,
        }
    )
)
MONEY = Money.from_tables(empty_tables(), "EUR")


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


@pytest.mark.parametrize("at_us", MOMENTS)
def test_moves_above_the_usual_counted_one_by_one(history: History, at_us: int) -> None:
    """Stays that ended before, of whoever owned the deal then; half a year at most counts of each."""
    deal, moment_us, stage = history.stage_entries
    kind, step = history.stages.kind, history.stages.step
    rows = []
    for here in range(len(deal) - 1):
        ends = deal[here + 1] == deal[here] and kind[stage[here]] == OPEN and moment_us[here + 1] < at_us
        if ends:
            seconds = min(int(moment_us[here + 1] - moment_us[here]) // 1_000_000, 180 * 86_400)
            forward = kind[stage[here + 1]] == OPEN and step[stage[here + 1]] > step[stage[here]]
            owner = history.owner(deal[[here]], moment_us[[here + 1]])[0]
            rows.append((owner, history.columns.motion[deal[here]], stage[here], seconds, float(forward)))
    stays = pd.DataFrame(rows, columns=["owner", "motion", "stage", "seconds", "forward"])
    every = stays.groupby(["motion", "stage"])[["seconds", "forward"]].sum()
    rate = every["forward"] / (every["seconds"] + 86_400)
    stays["expected"] = rate.loc[list(zip(stays["motion"], stays["stage"], strict=True))].to_numpy()
    stays["expected"] *= stays["seconds"]
    codes = np.arange(len(history.vocabulary("owner_id").texts))
    rank = np.full(len(codes), history.clock.rank(np.int64(at_us)))
    expected, above = DatedRecords.of(history).counts(PACE, codes, rank)
    for code in codes:
        own = stays[stays["owner"] == code]
        assert expected[code] == pytest.approx(own["expected"].sum())
        assert above[code] == pytest.approx(own["forward"].sum() - own["expected"].sum(), abs=1e-9)


def test_an_unknown_code_has_no_record(history: History) -> None:
    rank = np.array([history.clock.rank(np.int64(MOMENTS[-1]))])
    closed, above = DatedRecords.of(history).counts("owner", np.array([-1]), rank)
    assert (closed[0], above[0]) == (0.0, 0.0)


def test_what_is_frozen_is_what_stood_that_day_and_survives_its_text(history: History) -> None:
    at_us = MOMENTS[-1]
    dated = DatedRecords.of(history).diluted(history, at_us)
    frozen = FrozenRecords.from_json(json.loads(json.dumps(dated.freeze(history, at_us).to_json())))
    assert len(frozen.tables[PACE]) > 3
    bound = frozen.bind(history)
    assert bound.dilution == dated.dilution
    for kind, column in {**RECORDS, PACE: "owner_id"}.items():
        codes = np.arange(-1, len(history.vocabulary(column).texts))
        rank = np.full(len(codes), history.clock.rank(np.int64(at_us)))
        for one, other in zip(dated.counts(kind, codes, rank), bound.counts(kind, codes, rank), strict=True):
            np.testing.assert_array_equal(one, other)


def sellers(spread: float, *, owners: int = 60, deals: int = 150) -> History:
    """Owners who differ: by `spread` of what is usual in the share they win, and in the pace of their deals."""
    rng = np.random.default_rng(0)
    own = 1.0 + spread * rng.standard_normal(owners).clip(-2.0, 2.0)
    owner = np.repeat(np.arange(owners), deals)
    won = rng.random(len(owner)) < 0.3 * own[owner]
    begun_us = as_of_us(pd.Timestamp("2024-01-01", tz="UTC")) + rng.integers(0, 300 * DAY_US, len(owner))
    moved_us = begun_us + (rng.exponential(20.0, len(owner)) / own[owner] * DAY_US).astype(int)
    stages = (begun_us, "first"), (moved_us, "second"), (moved_us + 10 * DAY_US, np.where(won, "won", "lost"))
    told = [
        {
            "deal_id": f"D-{place}",
            "created_at": int(begun_us[place]),
            "owner_id": f"U-{one}",
            "events": [
                {"field": "stage", "value": str(value), "recorded_at": int(at_us[place])}
                for at_us, names in stages
                for value in np.broadcast_to(names, len(owner))[[place]]
            ],
        }
        for place, one in enumerate(owner)
    ]
    return History.from_request(told, stages=STAGES, money=MONEY)


@pytest.mark.parametrize("spread", [0.2, 0.3, 0.45])
def test_a_dilution_is_what_the_spread_of_sellers_asks_for(spread: float) -> None:
    """In theory the variance of one deal (move) over that of the sellers: here .3 x .7 over (.3 x spread)^2."""
    history = sellers(spread)
    found = DatedRecords.of(history).diluted(history, MOMENTS[-1]).dilution
    cut = 0.774  # variance of a normal number cut at two standard deviations
    assert found["owner"] == pytest.approx(0.21 / (0.09 * spread**2 * cut), rel=0.35)
    assert found[PACE] == pytest.approx(1.0 / (spread**2 * cut), rel=0.35)


def test_where_all_sell_alike_records_are_hardly_believed() -> None:
    history = sellers(0.0)
    found = DatedRecords.of(history).diluted(history, MOMENTS[-1]).dilution
    assert (found["owner"], found[PACE]) == (100.0, 100.0)


def test_a_handful_of_sellers_is_not_believed_alone_and_nobody_not_at_all() -> None:
    """Five count as much as what is usual; before anything has closed that alone counts."""
    few, many = sellers(0.45, owners=3), sellers(0.45)
    some = DatedRecords.of(few).diluted(few, MOMENTS[-1]).dilution
    enough = DatedRecords.of(many).diluted(many, MOMENTS[-1]).dilution
    assert abs(np.log(some["owner"] / USUAL_DILUTION["owner"])) < abs(
        np.log(enough["owner"] / USUAL_DILUTION["owner"])
    )
    assert DatedRecords.of(few).diluted(few, MOMENTS[0]).dilution == dict(USUAL_DILUTION)


def test_a_dilution_learns_only_from_what_came_before(history: History) -> None:
    until = pd.Timestamp("2024-06-01", tz="UTC")
    tables = simulate(deals=1500, seed=4).tables
    events = tables.deal_events
    cut = History.from_tables(replace(tables, deal_events=events[events["recorded_at"] < until]))
    found = [DatedRecords.of(one).diluted(one, as_of_us(until)).dilution for one in (history, cut)]
    assert found[0] == pytest.approx(found[1], rel=1e-12)
