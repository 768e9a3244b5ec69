"""Idempotency keys, the journal of what was served, the outbox."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from ledger_cases import sql

from forecast.errors import BusyError
from forecast.ledger import Ledger, Repeat, Served
from forecast.ledger.idempotency import KEPT_US
from forecast.ledger.journal import Journal

HOUR_US = 3_600_000_000
ONE, OTHER = "1" * 64, "2" * 64


# -- idempotency ---------------------------------------------------------------------------------------------


def test_the_first_is_done_and_the_next_gets_its_answer(ledger: Ledger) -> None:
    assert ledger.idempotent("k", "order-7", ONE, now_us=0) is None
    ledger.answered("k", "order-7", 201, b"\x00made\xff")
    assert ledger.idempotent("k", "order-7", ONE, now_us=1) == Repeat("answered", 201, b"\x00made\xff")


def test_another_body_is_another_matter(ledger: Ledger) -> None:
    ledger.idempotent("k", "order-7", ONE, now_us=0)
    assert ledger.idempotent("k", "order-7", OTHER, now_us=1) == Repeat("other_body")
    ledger.answered("k", "order-7", 201, b"made")
    assert ledger.idempotent("k", "order-7", OTHER, now_us=1) == Repeat("other_body")


def test_keys_of_different_callers_are_different(ledger: Ledger) -> None:
    assert ledger.idempotent("k", "order-7", ONE, now_us=0) is None
    assert ledger.idempotent("other", "order-7", OTHER, now_us=0) is None


def test_while_the_first_runs_the_second_is_told_so(ledger: Ledger) -> None:
    ledger.idempotent("k", "order-7", ONE, now_us=0)
    assert ledger.idempotent("k", "order-7", ONE, now_us=1) == Repeat("running")


def test_one_that_was_killed_may_be_tried_again_later(ledger: Ledger) -> None:
    ledger.idempotent("k", "order-7", ONE, now_us=0)
    assert ledger.idempotent("k", "order-7", ONE, now_us=HOUR_US) is None


def test_one_that_failed_on_our_side_may_be_tried_again_at_once(ledger: Ledger) -> None:
    ledger.idempotent("k", "order-7", ONE, now_us=0)
    ledger.released("k", "order-7")
    assert ledger.idempotent("k", "order-7", ONE, now_us=1) is None


def test_an_answer_is_kept_a_day_and_then_forgotten(ledger: Ledger) -> None:
    ledger.idempotent("k", "order-7", ONE, now_us=0)
    ledger.answered("k", "order-7", 201, b"made")
    assert ledger.idempotent("k", "order-7", ONE, now_us=KEPT_US - 1) is not None
    assert ledger.idempotent("k", "order-7", OTHER, now_us=KEPT_US) is None


def test_of_the_callers_key_only_a_hash_is_kept(ledger: Ledger) -> None:
    ledger.idempotent("k", "order-of-ana", ONE, now_us=0)
    assert "order-of-ana" not in str(sql(ledger, "SELECT * FROM idempotency"))


def test_of_eight_at_once_one_is_done(url: str) -> None:
    with Ledger.open(url) as ledger, ThreadPoolExecutor(8) as threads:
        claims = list(threads.map(lambda _: ledger.idempotent("k", "order-7", ONE, now_us=0), range(8)))
    assert claims.count(None) == 1
    assert {claim.kind for claim in claims if claim is not None} == {"running"}


# -- what was served -----------------------------------------------------------------------------------------


def entry(number: int) -> Served:
    digest = Served.digest(b"body")
    return Served(number, "/v1/score", "k", f"r{number}", 200, 1, digest, digest, "b" * 64, 5)


def test_what_was_served_is_written_by_itself(ledger: Ledger) -> None:
    for number in range(25):
        ledger.served(entry(number))
    waited = time.monotonic() + 10
    while ledger.count("served") < 25:
        assert time.monotonic() < waited
        time.sleep(0.02)
    assert sql(ledger, "SELECT request_id FROM served WHERE served_at_us = 7") == [("r7",)]


def test_closing_writes_what_waits(url: str) -> None:
    with Ledger.open(url) as ledger:
        ledger.served(entry(1))
    with Ledger.open(url) as ledger:
        assert ledger.count("served") == 1


def test_a_ledger_that_fails_for_a_while_loses_nothing() -> None:
    failing, written = True, []

    def write(batch: list[dict[str, object]]) -> None:
        if failing:
            raise BusyError("locked")
        written.extend(batch)

    journal = Journal(write)
    for number in range(3):
        journal.add(entry(number))
    with pytest.raises(BusyError):
        journal.flush()
    failing = False
    journal.close()
    assert [row["request_id"] for row in written] == ["r0", "r1", "r2"]
    assert journal.dropped == 0


def test_a_ledger_that_fails_for_long_costs_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecast.ledger.journal._MOST_WAITING", 10)

    def write(_: list[dict[str, object]]) -> None:
        raise BusyError("locked")

    journal = Journal(write)
    for number in range(15):
        journal.add(entry(number))
    assert journal.dropped == 5
    journal.close()
    assert journal.dropped == 15


# -- outbox --------------------------------------------------------------------------------------------------


def test_an_entry_goes_out_once(ledger: Ledger) -> None:
    assert ledger.post("crm", "D-1/score", "{}", deal_id="D-1", now_us=0)
    assert not ledger.post("crm", "D-1/score", "{}", deal_id="D-1", now_us=1)
    (parcel,) = ledger.claim("crm", most=10, seconds=60, now_us=2)
    assert (parcel.name, parcel.attempts) == ("D-1/score", 1)
    assert ledger.claim("crm", most=10, seconds=60, now_us=3) == []
    ledger.settle(parcel.number, "sent", now_us=4)
    assert ledger.claim("crm", most=10, seconds=60, now_us=HOUR_US) == []


def test_a_sender_that_died_leaves_it_to_the_next(ledger: Ledger) -> None:
    ledger.post("crm", "a", "{}", now_us=0)
    ledger.claim("crm", most=1, seconds=60, now_us=0)
    (parcel,) = ledger.claim("crm", most=1, seconds=60, now_us=60_000_000)
    assert parcel.attempts == 2


def test_given_back_it_waits_and_failed_it_does_not(ledger: Ledger) -> None:
    for name in "ab":
        ledger.post("crm", name, "{}", now_us=0)
    first, second = ledger.claim("crm", most=2, seconds=60, now_us=1)
    ledger.settle(first.number, "pending", now_us=2)
    ledger.settle(second.number, "failed", now_us=2)
    assert [parcel.name for parcel in ledger.claim("crm", most=2, seconds=60, now_us=3)] == ["a"]


def test_senders_at_once_get_different_entries_in_order(url: str) -> None:
    with Ledger.open(url) as ledger, ThreadPoolExecutor(4) as threads:
        for number in range(12):
            ledger.post("crm", f"e{number}", "{}", now_us=number)
        ledger.post("other", "e0", "{}", now_us=99)
        taken = list(threads.map(lambda _: ledger.claim("crm", most=3, seconds=60, now_us=100), range(4)))
    numbers = [parcel.number for parcels in taken for parcel in parcels]
    assert len(numbers) == len(set(numbers)) == 12
    assert all([p.number for p in parcels] == sorted(p.number for p in parcels) for parcels in taken)
