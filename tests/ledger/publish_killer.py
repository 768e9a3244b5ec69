"""Kills a publication, or an erasure, again and again at random moments and looks at what is left.

A process of its own: it forks, which a test process with threads should not.
python publish_killer.py publish|erase URL KILLS
"""

# ruff: noqa: S608  (statements made of our own names)
from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from ledger_cases import Deals, snapshot

from forecast.ledger import Ledger, Subject

BOOK: Deals = {f"D-{at}": (f"u{at % 20}", f"T{at % 3}", f"A-{at % 50}") for at in range(1_000)}
GONE = "canary-7731"


def main(what: str, url: str, kills: int) -> None:
    rng = random.Random(7)  # noqa: S311  (moments of kills)
    with Ledger.open(url):
        pass
    attempt = {"publish": publication, "erase": erasure}[what]
    prepare(what, url, "first")
    begun = time.monotonic()
    work(what, url, "first")
    seconds = time.monotonic() - begun
    left: list[bool] = []
    for number in range(kills):
        after: float | None = rng.uniform(0, seconds)
        if number >= kills - 2:  # of both there is one, whatever else the machine had to do
            after = after if True in left else None
        if number == kills - 1:
            after = after if False in left else 0.0
        left.append(attempt(url, f"s{number}", after))
        seconds *= 0.7 if left[-1] else 1.4  # about half come to their end, however busy the machine is
    sys.stdout.write(json.dumps({"kills": kills, "whole": left.count(True), "nothing": left.count(False)}))


def prepare(what: str, url: str, name: str) -> None:
    """What must be there before an erasure."""
    if what == "erase":
        with Ledger.open(url) as ledger:
            ledger.publish(snapshot({**BOOK, GONE: ("u1", "T1", GONE)}, name=name), now_us=1)


def work(what: str, url: str, name: str) -> None:
    """What is killed."""
    with Ledger.open(url) as ledger:
        if what == "publish":
            ledger.publish(snapshot(BOOK, name=name), now_us=1)
        else:
            ledger.erase(Subject("account", GONE), now_us=2)


def publication(url: str, name: str, after: float | None) -> bool:
    """Whether a publication killed so late was there; it must be whole if it was."""
    finished = run(partial(work, "publish", url, name), after)
    wanted = snapshot(BOOK, name=name).id
    with Ledger.open(url) as ledger:
        assert ledger.audit().broken is None
        found = next((stored for stored in ledger.snapshots() if stored.id == wanted), None)
        told = {entry.details["snapshot"] for entry in ledger.entries("published")}
        assert (wanted in told) == (found is not None)
        assert found is not None or not finished
        with ledger._database.read() as connection:
            rows = {
                table: connection.exec_driver_sql(
                    f"SELECT count(*) FROM {table} t WHERE NOT EXISTS "
                    "(SELECT 1 FROM snapshots s WHERE s.number = t.snapshot)"
                ).scalar_one()
                for table in ("scores", "forecasts", "snapshot_periods")
            }
            assert set(rows.values()) == {0}, rows
            if found is not None:
                asked = f"SELECT count(*) FROM scores WHERE snapshot = {found.number}"
                assert connection.exec_driver_sql(asked).scalar_one() == len(BOOK) == found.deals
    return found is not None


def erasure(url: str, name: str, after: float | None) -> bool:
    """Whether an erasure killed so late had finished; the next one must find all that was left."""
    prepare("erase", url, name)
    finished = run(partial(work, "erase", url, name), after)
    with Ledger.open(url) as ledger:
        begun = ledger.unfinished_erasures()
        assert not (finished and begun)
        done = ledger.erase(Subject("account", GONE), now_us=3)
        assert snapshot({**BOOK, GONE: ("u1", "T1", GONE)}, name=name).id in done.snapshots
        assert ledger.unfinished_erasures() == []
        assert ledger.audit().broken is None
    if url.startswith("sqlite"):
        file = url.removeprefix("sqlite:///")
        for path in (file, f"{file}-wal"):
            assert not os.path.exists(path) or GONE.encode() not in Path(path).read_bytes(), path
    return finished


def run(task: Callable[[], None], after: float | None) -> bool:
    """Do something in a process of its own, killed after so many seconds or never.

    Whether it came to its end; any other failure is raised here.
    """
    child = os.fork()
    if child == 0:
        try:
            task()
        except BaseException:  # the parent must hear of it, and nothing of the parent's may run here
            import traceback

            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
