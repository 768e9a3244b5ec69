"""A running worker follows what its pointer names: a sound bundle is taken over, a damaged one never."""

from __future__ import annotations

import gc
import json
import logging
import os
import shutil
import sys
import weakref
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
from bundles import another, damage, shelf_of

from forecast.bundle import load_bundle, set_current
from forecast.errors import BundleError
from forecast.promotion.desk import Desk
from forecast.promotion.shelf import Shelf
from forecast.service.admission import TIMEOUT, Admission, Verdict, _trial, offered
from forecast.service.engine import Engine
from forecast.service.metrics import Metrics
from forecast.service.openapi import example_score_request
from forecast.service.reload import Follower

NOW_US = 1_767_225_600_000_000


@dataclass
class Worker:
    """What a process has around its follower, with a clock of its own."""

    pointer: Path
    server: Path
    seconds: float = 20.0
    now: float = 0.0
    metrics: Metrics = field(default_factory=Metrics)
    engines: list[Engine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(self.server, seconds=self.seconds)
        self.server.mkdir(exist_ok=True)
        if not (self.server / "current").exists():
            self.admission.begin(self.pointer)
        self.engines.append(Engine.load(self.admission.last_good()))
        self.follower = Follower(
            self.pointer,
            self.admission,
            self.engines[0],
            self.engines.append,
            self.metrics,
            clock=lambda: self.now,
        )

    def look(self, times: int = 2, pass_seconds: float = 0.5) -> None:
        for _ in range(times):
            self.now += pass_seconds
            self.follower.look()

    @property
    def serves(self) -> str:
        return self.engines[-1].bundle.id


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child does, done here: a process for each trial takes seconds."""
    monkeypatch.setattr(os, "nice", lambda _by: 0)
    monkeypatch.setattr(Admission, "_try", lambda self, offer: _trial(self._shelf.root, offer.folder))


@pytest.fixture
def bundles(trained_bundle: Path, tmp_path: Path) -> list[Path]:
    return shelf_of(trained_bundle, tmp_path / "models")


@pytest.fixture
def worker(bundles: list[Path], tmp_path: Path) -> Worker:
    return Worker(bundles[0].parent / "current", tmp_path / "server")


def no_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on a trial would find the worst."""
    monkeypatch.setattr(Admission, "_try", lambda _self, _offer: Verdict(None, "trial_died"))


def test_a_moved_pointer_is_followed_and_answers_are_those_of_the_new_bundle(
    worker: Worker, bundles: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    pipeline, stages = worker.engines[0].example_stages()
    body = json.dumps(example_score_request(stages, pipeline)).encode()
    set_current(bundles[1])
    with caplog.at_level(logging.INFO):
        worker.look(5)
    assert len(worker.engines) == 2
    assert worker.engines[1].score(body, NOW_US) == Engine.load(bundles[1]).score(body, NOW_US)
    assert [record.getMessage() for record in caplog.records if "in place of" in record.getMessage()] != []
    text = worker.metrics.render().decode()
    assert 'forecast_reloads_total{result="accepted"} 1.0' in text
    assert f'forecast_bundle_info{{bundle="{worker.engines[1].short_id}"}} 1.0' in text


@pytest.mark.usefixtures("in_process")
def test_the_old_engine_goes_when_its_last_request_does(worker: Worker, bundles: list[Path]) -> None:
    old = weakref.ref(worker.engines[0].bundle)
    gc.collect()
    gc.freeze()
    try:
        under_way = worker.engines[0]
        set_current(bundles[1])
        worker.look()
        worker.engines.pop(0)
        assert old() is not None
        del under_way
        # Frozen objects are not looked at by the collector: they must go without it.
        assert old() is None
    finally:
        gc.unfreeze()


def test_a_damaged_bundle_is_refused_once_and_the_old_one_stays(
    worker: Worker, bundles: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    before = worker.serves
    whole = damage(bundles[1])
    set_current(bundles[1])
    worker.look(10)
    assert (worker.serves, worker.follower.refused) == (before, "hash_mismatch")
    said = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(said) == 1
    assert "outcome.json" in said[0]
    text = worker.metrics.render().decode()
    assert 'forecast_reloads_total{result="refused"} 1.0' in text
    assert "forecast_bundle_refused 1.0" in text

    (bundles[1] / "outcome.json").write_bytes(whole)  # repaired in place, as by a copy that went on
    worker.look()
    assert worker.serves == load_bundle(bundles[1]).id
    assert worker.follower.refused is None
    assert "forecast_bundle_refused 0.0" in worker.metrics.render().decode()


@pytest.mark.usefixtures("in_process")
def test_a_folder_trained_anew_under_its_old_name_is_followed(worker: Worker, bundles: list[Path]) -> None:
    wanted = another(bundles[0], bundles[0], 7)
    worker.look()
    assert worker.serves == wanted


@pytest.mark.usefixtures("in_process")
def test_nothing_is_tried_while_a_folder_is_still_being_written(
    worker: Worker, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    no_trials(monkeypatch)
    set_current(bundles[1])
    for number in range(5):
        (bundles[1] / "model.json").write_bytes(b" " * number)
        worker.look(1)
    assert worker.follower.refused is None


@pytest.mark.usefixtures("in_process")
def test_a_name_that_is_gone_for_an_instant_is_nothing_and_for_long_is_said(
    worker: Worker, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker.look()
    no_trials(monkeypatch)  # nor is anything tried again when it is back
    pointer = bundles[0].parent / "current"
    os.rename(pointer, pointer.with_name("away"))
    worker.look(3)
    assert worker.follower.refused is None
    worker.look(10)
    assert worker.follower.refused == "no_bundle"
    os.rename(pointer.with_name("away"), pointer)
    worker.look(3)
    assert worker.follower.refused is None
    assert len(worker.engines) == 1


@pytest.mark.usefixtures("in_process")
def test_two_workers_try_an_offer_once(
    worker: Worker, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Worker(worker.pointer, worker.server)
    set_current(bundles[1])
    worker.look()
    no_trials(monkeypatch)
    other.look()
    assert other.serves == worker.serves == load_bundle(bundles[1]).id
    set_current(bundles[0])  # and back: the copy of the first is still at hand
    other.look()
    worker.look()
    assert other.serves == worker.serves == load_bundle(bundles[0]).id


def test_a_trial_that_dies_is_a_refusal(
    worker: Worker, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    set_current(bundles[1])
    worker.look()
    assert worker.follower.refused == "trial_died"
    assert len(worker.engines) == 1


def test_a_trial_that_does_not_end_is_a_refusal_and_tried_again_later(
    worker: Worker, bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = tmp_path / "hanging"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    worker.admission._seconds = 0.2
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(hanging))
        set_current(bundles[1])
        worker.look()
    assert worker.follower.refused == TIMEOUT
    worker.admission._seconds = 20.0
    worker.look(10)
    assert worker.follower.refused == TIMEOUT  # not at once: the machine may be busy
    worker.look(1, pass_seconds=60)
    assert worker.serves == load_bundle(bundles[1]).id


@pytest.mark.usefixtures("in_process")
def test_a_worker_that_starts_again_begins_with_what_served(worker: Worker, bundles: list[Path]) -> None:
    set_current(bundles[1])
    worker.look()
    damage(bundles[1])
    worker.look()
    again = Worker(worker.pointer, worker.server)
    assert again.serves == worker.serves
    again.look()
    assert again.follower.refused == "hash_mismatch"


def test_a_server_does_not_begin_with_a_damaged_bundle(bundles: list[Path], tmp_path: Path) -> None:
    damage(bundles[0], "season.json")
    with pytest.raises(BundleError, match=r"season\.json"):
        Admission(tmp_path).begin(bundles[0])
    assert not (tmp_path / "current").exists()


def test_copies_do_not_pile_up(trained_bundle: Path, tmp_path: Path) -> None:
    server = tmp_path / "server"
    server.mkdir()
    admission = Admission(server)
    ids = [another(trained_bundle, tmp_path / f"b{number}", number) for number in range(6)]
    for number in range(6):
        admission.begin(tmp_path / f"b{number}")
    kept = {path.name for path in server.glob("promoted-*")}
    assert f"promoted-{ids[-1][:16]}" in kept
    assert len(kept) <= 3


def test_a_bundle_that_looks_the_same_is_the_same_offer(bundles: list[Path]) -> None:
    first = offered(bundles[0])
    assert first == offered(bundles[0])
    (bundles[0] / "golden.json").touch()
    assert first != offered(bundles[0])
    assert offered(bundles[0].parent / "missing") is None


@pytest.mark.usefixtures("in_process")
def test_the_way_back_is_tried_ahead_once_things_are_quiet(
    worker: Worker, bundles: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(Shelf(bundles[0].parent), None, pd.Timestamp("2026-01-01", tz="UTC"))
    desk.settle()
    for folder in bundles[::-1]:
        champion = desk.state().champion
        desk.promote(desk.candidate_of_folder(folder), champion, ("it is better",), None)
    again = Worker(worker.pointer, worker.server.with_name("again"))
    again.look()
    again.look(1, pass_seconds=30)
    no_trials(monkeypatch)
    desk.roll_back("it was not better")
    again.look()
    assert again.serves == load_bundle(bundles[1]).id


@pytest.mark.usefixtures("in_process")
def test_the_same_bytes_elsewhere_are_not_tried_again(
    worker: Worker, bundles: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_current(bundles[1])
    worker.look()
    no_trials(monkeypatch)
    shutil.copytree(bundles[0], bundles[0].with_name("copy"))
    set_current(bundles[0].with_name("copy"))
    worker.look()
    assert worker.serves == load_bundle(bundles[0]).id
    # One byte of it different, under the same manifest: that is something else.
    shutil.copytree(bundles[1], bundles[0].with_name("swapped"))
    damage(bundles[0].with_name("swapped"))
    set_current(bundles[0].with_name("swapped"))
    worker.look()
    assert worker.follower.refused == "trial_died"
