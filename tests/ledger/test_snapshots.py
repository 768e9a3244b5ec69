"""Published snapshots: once, whole, and found again by period, moment or id."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from ledger_cases import DAY_US, DEALS, FIGURES, MADE_US, snapshot, sql

from forecast.access import EVERYTHING
from forecast.errors import BusyError, DataError
from forecast.ledger import Ledger
from forecast.ledger.schema import SCORE_NUMBERS


def test_published_twice_it_is_the_same_snapshot(ledger: Ledger) -> None:
    first = ledger.publish(snapshot(), now_us=1)
    again = ledger.publish(snapshot(), now_us=2)
    assert (first.already, again.already) == (False, True)
    assert again.published_at_us == 1
    assert ledger.count("snapshots") == 1
    assert ledger.published(first.id) == again
    assert [entry.event for entry in ledger.entries("published")] == ["published"]


def test_every_number_comes_back_as_it_was(ledger: Ledger) -> None:
    sent = snapshot()
    ledger.publish(sent, now_us=1)
    found = ledger.forecast(EVERYTHING, "2026Q1", "user")
    assert found is not None
    assert [row.entity for row in found[1]] == ["ana", "ben", "cleo", "unassigned"]
    assert all(row.quota is None for row in found[1])
    assert all(getattr(row, name) == 1.5 for row in found[1] for name in FIGURES if name != "quota")
    record = ledger.deal(EVERYTHING, "D-3")
    assert record is not None
    for name in (*SCORE_NUMBERS, "score", "close_on_p50", "reasons_it", "curve", "team"):
        assert getattr(record.newest, name) == sent.scores.set_index("deal_id").loc["D-3", name]


def test_an_empty_pipeline_can_be_published(ledger: Ledger) -> None:
    empty = snapshot()
    ledger.publish(
        type(empty)(**{**empty.__dict__, "scores": empty.scores.iloc[:0], "id": "e" * 64}), now_us=1
    )
    assert [found.deals for found in ledger.snapshots()] == [0]


def test_two_writers_of_one_snapshot_store_it_once(url: str) -> None:
    def publish(at: int) -> bool:
        with Ledger.open(url) as ledger:
            return ledger.publish(snapshot(), now_us=at).already

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(publish, range(4))) == [False, True, True, True]
    with Ledger.open(url) as ledger:
        assert ledger.count("snapshots") == 1
        assert ledger.audit().broken is None


def test_writers_of_different_snapshots_wait_for_each_other(url: str) -> None:
    def publish(day: int) -> bool:
        with Ledger.open(url) as ledger:
            return ledger.publish(snapshot(day=day), now_us=day).already

    with ThreadPoolExecutor(6) as threads:
        assert not any(threads.map(publish, range(6)))
    with Ledger.open(url) as ledger:
        assert len(ledger.snapshots()) == 6
        assert ledger.audit() == ledger.audit()
        assert ledger.audit().broken is None


def test_a_reader_sees_nothing_of_a_snapshot_being_written(url: str) -> None:
    with Ledger.open(url) as writer, Ledger.open(url) as reader:
        with writer._database.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO judgements (deal_id, made_at_us, key) VALUES ('D-1', 1, 'k')"
            )
            assert reader.count("judgements") == 0
        assert reader.count("judgements") == 1


def test_a_writer_that_waits_too_long_says_busy(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast.ledger.database._BUSY_MS", 100)
    with Ledger.open(url) as first, Ledger.open(url) as second, first._database.write() as connection:
        first._database.lock_audit(connection)
        with pytest.raises(BusyError, match="locked"):
            second.publish(snapshot(), now_us=1)


def test_a_bad_row_leaves_nothing_of_the_snapshot(ledger: Ledger) -> None:
    wrong = snapshot()
    twice = pd.concat([wrong.scores, wrong.scores.iloc[:1]], ignore_index=True)
    with pytest.raises(DataError) as refused:
        ledger.publish(type(wrong)(**{**wrong.__dict__, "scores": twice}), now_us=1)
    assert "D-1" not in refused.value.message
    assert ledger.snapshots() == []
    assert ledger.entries("published") == []
    assert sql(ledger, "SELECT * FROM scores") == []


@pytest.fixture
def year(ledger: Ledger) -> Ledger:
    """Four snapshots, published out of order."""
    for day, periods in ((20, ("2026Q1", "2026")), (0, ("2026Q1",)), (10, ("2026Q1",)), (30, ("2026Q2",))):
        ledger.publish(snapshot(day=day, periods=periods), now_us=MADE_US + day)
    return ledger


def as_of_days(ledger: Ledger, period: str, **asked: object) -> int | None:
    found = ledger.forecast(EVERYTHING, period, "company", **asked)  # type: ignore[arg-type]
    return None if found is None else (found[0].as_of_us - MADE_US) // DAY_US


def test_the_latest_with_the_period_is_found(year: Ledger) -> None:
    assert as_of_days(year, "2026Q1") == 20
    assert as_of_days(year, "2026") == 20
    assert as_of_days(year, "2026Q2") == 30
    assert as_of_days(year, "2025Q1") is None


@pytest.mark.parametrize(("day", "expected"), [(30, 20), (20, 20), (19, 10), (0, 0), (-1, None)])
def test_as_of_finds_the_latest_of_then(year: Ledger, day: int, expected: int | None) -> None:
    assert as_of_days(year, "2026Q1", as_of_us=MADE_US + day * DAY_US) == expected


def test_a_snapshot_is_found_by_the_start_of_its_id(year: Ledger) -> None:
    wanted = snapshot(day=10).id
    assert as_of_days(year, "2026Q1", snapshot=wanted) == 10
    assert as_of_days(year, "2026Q1", snapshot=wanted[:12]) == 10
    assert as_of_days(year, "2026Q2", snapshot=wanted) is None
    assert as_of_days(year, "2026Q1", snapshot="0" * 12) is None


def test_a_deal_has_its_past_and_says_whether_it_is_still_open(year: Ledger) -> None:
    record = year.deal(EVERYTHING, "D-1")
    assert record is not None
    assert record.current
    assert record.period == "2026Q2"
    assert [(row.as_of_us - MADE_US) // DAY_US for row in record.history] == [30, 20, 10, 0]
    year.publish(snapshot({name: DEALS[name] for name in ("D-2", "D-3")}, day=40), now_us=1)
    record = year.deal(EVERYTHING, "D-1")
    assert record is not None
    assert not record.current
    assert len(record.history) == 4
