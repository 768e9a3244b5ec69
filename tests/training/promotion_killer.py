"""Kills promotions, again and again, and looks at what they leave. Run by `test_promotion_kills.py`.

    python promotion_killer.py FOLDER KILLS [MLFLOW_URI]

FOLDER holds `shelf` (bundles `a` and `b`, one of which serves already). Every round a process of its own
promotes the other one or rolls back, and is killed by SIGKILL: at one of the named steps in turn, or at a
random moment. Then readers must find one whole bundle, the old or the new; no line of the log may be half; and
after the next command (`settle`) pointer, log and aliases must agree and nothing temporary may be left.

Processes are forked from one that has imported everything, so a kill costs milliseconds. Nobody touches the
database before a fork, and every process opens it for itself.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from forecast.bundle import MANIFEST, load_bundle, resolve_bundle
from forecast.promotion.desk import Desk
from forecast.promotion.log import Entry, State
from forecast.promotion.shelf import Shelf
from training.settings import TrackingSettings
from training.tracking import CHAMPION, PREVIOUS, Registry

NOW = pd.Timestamp("2026-01-01", tz="UTC")


def main(folder: Path, kills: int, uri: str | None) -> None:
    root = folder / "shelf"
    warm_up(folder)
    rng = random.Random(1)  # noqa: S311  (moments of a test, no secret)
    steps = steps_of(root, uri)
    longest = min(timed(lambda: promote(root, uri, lambda _name: None)) for _ in range(3))
    done: Counter[str] = Counter()
    found: Counter[str] = Counter()
    number = 0
    while done.total() < kills:
        number += 1
        old = id_of(resolve_bundle(root / "current"))
        log = len(entries(root))
        if number % 3 == 0:
            forget_unused(root, old)  # so that the copy has to be made again
        if number % 2:
            step = steps[number // 2 % len(steps)]
            killed = run(lambda step=step: promote(root, uri, stop_at(step)))
            how = "at a step"
        else:
            killed = run(
                lambda: promote(root, uri, lambda _name: None), after=rng.uniform(0.2, 1.2) * longest
            )
            how = "at random"
        done[how] += killed
        new = whole(resolve_bundle(root / "current"))
        assert len(entries(root)) in (log, log + 1)
        found["new" if new != old else "old"] += killed
        assert not run(lambda: settled(root, uri)), "settling was killed"
    load_bundle(root / "current")  # and its content and golden scores
    told = {"kills": done.total(), **done, "left": found, "steps": steps, "longest_s": longest}
    sys.stdout.write(json.dumps(told) + "\n")


def warm_up(folder: Path) -> None:
    """A promotion in a copy, so that what is imported late is imported before the forks."""
    copy = folder.with_name(f"{folder.name}-copy")
    shutil.copytree(folder, copy)
    database = copy / "mlflow.db"
    for _ in range(2):
        promote(copy / "shelf", f"sqlite:///{database}" if database.exists() else None, lambda _name: None)


def desk(root: Path, uri: str | None, step: Callable[[str], None]) -> Desk:
    registry = None
    if uri is not None:
        settings = TrackingSettings(
            enabled=True, uri=uri, experiment="forecast", model="forecast", timeout_seconds=3, retries=1
        )
        registry = Registry.open(settings, step)
        assert registry is not None
    return Desk(Shelf(root, step), registry, NOW)


def promote(root: Path, uri: str | None, step: Callable[[str], None]) -> None:
    """The whole command but its gate: settle, keep the candidate, decide, log, point."""
    here = desk(root, uri, step)
    here.settle()
    serves = here.champion()
    assert serves is not None
    state = here.state()
    other = next(name for name in "ab" if id_of(root / name) != serves[0].bundle_id)
    # A folder alone can only go back to what it still has.
    back = None if state.previous is None else here.shelf.folder_of(state.previous.bundle_id)
    if len(state.stack) > 3 and back is not None and back.is_dir():
        here.roll_back("enough")
    else:
        here.promote(here.candidate_of_folder(root / other), serves[0], ("it is better",), {"checks": []})


def settled(root: Path, uri: str | None) -> None:
    """The next command, and what must hold after it."""
    here = desk(root, uri, lambda _name: None)
    here.settle()
    state = here.state()
    assert state.champion is not None
    assert resolve_bundle(root / "current") == here.shelf.folder_of(state.champion.bundle_id)
    assert id_of(resolve_bundle(root / "current")) == state.champion.bundle_id
    assert here.shelf.state().champion == state.champion, "the folder's log agrees"
    left = [
        path.name for path in root.iterdir() if path.name.startswith(".") and not path.name.endswith(".lock")
    ]
    assert left == [], left
    if isinstance(here.registry, Registry):
        check_aliases(here.registry, state)


def check_aliases(registry: Registry, state: State) -> None:
    aliases = {name: str(n) for name, n in registry.client.get_registered_model("forecast").aliases.items()}
    assert state.champion is not None
    assert aliases[CHAMPION] == state.champion.version
    assert aliases.get(PREVIOUS) == (None if state.previous is None else state.previous.version)


def entries(root: Path) -> list[Entry]:
    """The log as a reader finds it: whole lines only."""
    text = (root / "promotions.jsonl").read_text("utf-8")
    assert text.endswith("}\n")
    return [Entry.from_json(json.loads(line)) for line in text.splitlines()]


def id_of(folder: Path) -> str:
    return hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()


def whole(folder: Path) -> str:
    """The id of a bundle, every byte of which is verified."""
    listed = json.loads((folder / MANIFEST).read_bytes())["files"]
    for name, file in listed.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == file["sha256"], name
    return id_of(folder)


def forget_unused(root: Path, serving: str) -> None:
    for place in root.glob("promoted-*"):
        if place != Shelf(root).folder_of(serving):
            shutil.rmtree(place)


def stop_at(name: str) -> Callable[[str], None]:
    def stop(step: str) -> None:
        if step == name:
            os.kill(os.getpid(), signal.SIGKILL)

    return stop


def steps_of(root: Path, uri: str | None) -> list[str]:
    """Names of all steps of a promotion that has everything to do."""
    seen = root.parent / "steps"

    def told() -> None:
        with seen.open("a", encoding="utf-8") as file:
            promote(root, uri, lambda name: print(name, file=file, flush=True))

    forget_unused(root, id_of(resolve_bundle(root / "current")))
    assert not run(told)
    assert not run(told)
    return sorted(set(seen.read_text("utf-8").splitlines()))


def run(work: Callable[[], None], after: float | None = None) -> bool:
    """Do the work in a process of its own; whether it was killed. Any other failure ends the test."""
    child = os.fork()
    if child == 0:
        try:
            work()
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
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def timed(work: Callable[[], None]) -> float:
    begun = time.monotonic()
    assert not run(work)
    return time.monotonic() - begun


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None)
