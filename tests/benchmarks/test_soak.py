"""Three minutes of requests at random moments while bundles change, one is damaged and a worker is killed.

The ten minutes and their times are for `python -m benchmarks.soak`; no time is judged here.
"""

from __future__ import annotations

import pytest

pytest.importorskip("bentoml", reason="needs the extra serve")

from benchmarks.soak import Soaked, prepared, soak
from forecast.bundle import load_bundle

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def names() -> list[str]:
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> Soaked:
    scratch = tmp_path_factory.mktemp("soak")
    bundles = prepared(scratch / "models")
    names += [load_bundle(path).id for path in (bundles.first, bundles.second)]
    return soak(bundles, scratch, minutes=3, seed=1)


def test_all_of_it_happened(run: Soaked) -> None:
    assert len(run.happened) == 4
    assert len(run.of("one")) > 8_000
    assert len(run.of("wrong")) > 50
    assert len(run.of("book")) > 10
    assert len(run.of("stream")) > 10


def test_every_well_formed_request_is_answered(run: Soaked) -> None:
    """At their second try those under way in the worker that was killed, and those told to come back."""
    assert [(one.kind, one.at_s, one.status) for one in run.unanswered()] == []
    assert sum(one.retried for one in run.answers) < 100


def test_wrong_requests_are_the_callers_fault(run: Soaked) -> None:
    assert [(one.at_s, one.status) for one in run.faults()] == []


def test_both_sound_bundles_answered_and_no_other(run: Soaked, names: list[str]) -> None:
    assert run.bundles() == names


def test_a_stream_is_answered_to_its_end(run: Soaked) -> None:
    broken = [one for one in run.of("stream") if b'"end"' not in one.body]
    assert [(one.at_s, one.seconds, one.retried, one.body[-300:]) for one in broken] == []


def test_nothing_piles_up(run: Soaked) -> None:
    """In processes that were there all the time: files, threads, and memory once all paths were taken."""
    pids = {look.pid for look in run.looks if look.at_s < 10}
    for pid in pids & run.growth().keys():
        looks = [look for look in run.looks if look.pid == pid]
        last = looks[-1]
        assert last.files <= max(look.files for look in looks[: len(looks) // 3]) + 8
        assert last.threads <= max(look.threads for look in looks[: len(looks) // 3]) + 3
        assert run.growth()[pid] < 15.0
