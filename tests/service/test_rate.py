"""How much a key may have computed: one bucket for each key, whichever worker of a server is asked."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecast.access import Access
from forecast.errors import OutputError
from forecast.service.rate import Rate
from forecast.service.refusals import Refusal


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def limited(rows: int | None, key: str = "k") -> Access:
    return Access(key, "score", rows_per_minute=rows)


def test_a_bucket_holds_a_minute_and_fills_evenly() -> None:
    clock, access = Clock(), limited(60)
    rate = Rate(clock=clock)
    rate.admit(access)
    rate.charge(access, 60)
    with pytest.raises(Refusal) as caught:
        rate.admit(access)
    assert (caught.value.status, caught.value.code, caught.value.headers) == (
        429,
        "rate_limited",
        {"retry-after": "1"},
    )
    clock.now = 1.0
    rate.admit(access)
    clock.now = 3_600.0
    rate.charge(access, 60)
    assert rate.wait_seconds(access) == pytest.approx(1.0)


def test_a_large_request_leaves_a_debt_that_later_ones_wait_for() -> None:
    clock, access = Clock(), limited(600)
    rate = Rate(clock=clock)
    rate.charge(access, 1_600)
    assert rate.wait_seconds(access) == pytest.approx(100.1)
    clock.now = 100.1 + 1e-6
    rate.admit(access)


def test_keys_do_not_pay_for_each_other_and_may_be_free() -> None:
    rate = Rate(clock=Clock())
    rate.charge(limited(10, "a"), 1_000)
    rate.admit(limited(10, "b"))
    rate.charge(limited(None, "c"), 10**9)
    rate.admit(limited(None, "c"))


@given(
    limit=st.integers(1, 10**6),
    steps=st.lists(st.tuples(st.floats(0.0, 200.0), st.integers(0, 10**6)), max_size=20),
)
def test_the_moment_a_bucket_is_full_tells_what_is_in_it(limit: int, steps: list[tuple[float, int]]) -> None:
    """Beside a bucket that is filled and emptied row by row, as a reader would write it down."""
    clock, access = Clock(), limited(limit)
    rate, rows = Rate(clock=clock), float(limit)
    for pause_s, taken in steps:
        clock.now += pause_s
        rows = min(float(limit), rows + pause_s * limit / 60.0)
        missing = max(0.0, 1.0 - rows)
        assert math.isclose(rate.wait_seconds(access), missing * 60.0 / limit, rel_tol=1e-6, abs_tol=1e-6)
        rate.charge(access, taken)
        rows -= taken


def test_workers_of_a_server_count_together(tmp_path: Path) -> None:
    clock = Clock()
    one, other = (Rate(tmp_path / "rates", clock) for _ in range(2))
    one.charge(limited(60), 60)
    with pytest.raises(Refusal, match="60 rows"):
        other.admit(limited(60))
    other.admit(limited(60, "somebody else"))
    assert Rate(tmp_path / "rates", clock).wait_seconds(limited(60)) == pytest.approx(1.0)


def _charge(path: Path, times: int) -> None:
    rate = Rate(path, lambda: 0.0)
    for _ in range(times):
        rate.charge(limited(60), 1)


def test_nothing_is_lost_when_workers_charge_at_once(tmp_path: Path) -> None:
    workers = [
        multiprocessing.get_context("spawn").Process(target=_charge, args=(tmp_path / "rates", 2_000))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    owed = Rate(tmp_path / "rates", lambda: 0.0).wait_seconds(limited(60))
    assert owed == pytest.approx(6_000 - 59)


def _hold(path: Path) -> None:
    rate = Rate(path)
    with rate._alone():
        os.kill(os.getpid(), signal.SIGSTOP)


@pytest.mark.skipif(os.name != "posix", reason="stops a process")
@pytest.mark.parametrize("ended", [False, True])
def test_a_worker_stopped_or_killed_in_the_middle_stops_nobody(tmp_path: Path, ended: bool) -> None:
    path, access = tmp_path / "rates", limited(60)
    holder = multiprocessing.get_context("spawn").Process(target=_hold, args=(path,))
    holder.start()
    assert holder.pid is not None
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED | os.WNOWAIT)
    if ended:
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
    rate = Rate(path, lambda: 0.0)
    rate.charge(access, 60)  # or it would wait for ever
    assert rate.wait_seconds(access) == pytest.approx(1.0)
    if not ended:
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()


def test_more_keys_than_slots_forget_whoever_owes_least(tmp_path: Path) -> None:
    clock = Clock()
    rate = Rate(tmp_path / "rates", clock)
    rate.charge(limited(60, "in debt"), 1_000)
    for number in range(10_000):
        rate.charge(limited(60, f"key {number}"), 1)
    assert rate.wait_seconds(limited(60, "in debt")) > 900.0
    assert Rate(tmp_path / "rates", clock).wait_seconds(limited(60, "in debt")) > 900.0


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        Rate(tmp_path / "nowhere" / "rates")
