"""Whether an offered bundle may serve: tried in a child process, kept in a folder that belongs to one server.

A bundle that is damaged on purpose or by accident may fail in ways no `except` catches: it may take all memory,
run for ever, or end the process. So the workers, which answer requests, never read an offered folder. A child
process copies it, checks every hash, loads it, computes the golden scores and answers a request, all within a
time limit; the workers then load the copy, which nobody changes any more.

    SERVER FOLDER/
        promoted-<16 digits>/   copies that passed, as `forecast.promotion.Shelf` keeps them
        current                 names the one that serves: a worker that starts again begins with it
        verdict-<16 digits>.json  what was found of an offer, so that several workers try it once
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from forecast.bundle import MANIFEST, Bundle, load_bundle, resolve_bundle, set_current
from forecast.errors import BundleError, BusyError, ForecastError
from forecast.lock import exclusive
from forecast.promotion.shelf import Shelf, holds
from forecast.tables import write_bytes

__all__ = ["TIMEOUT", "Admission", "Offer", "Verdict", "offered"]

TIMEOUT: Final = "verification_timeout"
_SECONDS: Final = 20.0
_COPIES_KEPT: Final = 3
_MOST_FILES: Final = 64
_MOST_MANIFEST_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Offer:
    """A folder that is to serve, and what it looked like from outside.

    signature : changes whenever a file of the folder is replaced or written to
    """

    folder: Path
    signature: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of an offer.

    bundle_id : of the copy that may serve; None if it may not
    code, message : why not; the message names files and is for the log, not for callers
    """

    bundle_id: str | None
    code: str = ""
    message: str = ""


def offered(path: Path) -> Offer | None:
    """What a folder, or a pointer such as `models/current`, offers now; None if there is nothing.

    Reads names, sizes and times only, so that it can be asked every second.
    """
    try:
        folder = resolve_bundle(path)
        seen = []
        with os.scandir(folder) as entries:
            for entry in entries:
                is_ = entry.stat(follow_symlinks=False)
                seen.append((entry.name, is_.st_ino, is_.st_size, is_.st_mtime_ns, is_.st_ctime_ns))
                if len(seen) > _MOST_FILES:
                    break
    except (OSError, ForecastError):
        return None
    text = json.dumps([str(folder), sorted(seen)])
    return Offer(folder, hashlib.sha256(text.encode()).hexdigest())


class Admission:
    """The gate of one server, shared by its workers through a folder of theirs.

    seconds : how long a trial may take
    """

    def __init__(self, folder: Path, *, seconds: float = _SECONDS) -> None:
        self._shelf = Shelf(folder)
        self._seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None
        self._closed = threading.Event()

    def begin(self, path: Path) -> Bundle:
        """Take the first bundle, before there is anything to protect; BundleError if it is damaged."""
        offer = offered(path)
        bundle = load_bundle(path)
        with self._shelf.locked():
            if self._shelf.keep(path) != bundle.id:
                raise BundleError(f"{path} changed while it was read; start again", code="changed_meanwhile")
        self.serves(bundle.id)
        if offer is not None and offered(path) == offer:
            self._write(offer, Verdict(bundle.id))
        return bundle

    def last_good(self) -> Path:
        """The copy that served last."""
        return resolve_bundle(self._shelf.pointer)

    def copy_of(self, bundle_id: str) -> Path:
        """Where the copy of an admitted bundle is."""
        return self._shelf.folder_of(bundle_id)

    def serves(self, bundle_id: str) -> None:
        """A bundle serves now: a worker that starts again begins with it, and old copies may go."""
        place = self._shelf.folder_of(bundle_id)
        if not self._shelf.pointer.exists() or self.last_good() != place:
            set_current(place)
            os.utime(place)
        copies = sorted(self._shelf.root.glob("promoted-*"), key=_touched)
        for old in copies[:-_COPIES_KEPT]:
            if old != place:
                shutil.rmtree(old, ignore_errors=True)

    def ask(self, offer: Offer) -> Verdict:
        """Whether the offer may serve; tried by one worker at a time, and once."""
        try:
            with exclusive(
                self._shelf.root / "trial",
                holder_is="another worker is trying what is offered in",
                patience_seconds=2 * self._seconds,
            ):
                known = self._read(offer)
                if known is not None:
                    return known
                verdict = self._same_bytes(offer) or self._try(offer)
                if verdict.code != TIMEOUT and not self._closed.is_set():
                    self._write(offer, verdict)
                return verdict
        except BusyError as error:
            return Verdict(None, TIMEOUT, error.message)

    def close(self) -> None:
        """Wait for nothing any more."""
        self._closed.set()
        child = self._child
        if child is not None:
            with contextlib.suppress(OSError):
                child.kill()

    def _same_bytes(self, offer: Offer) -> Verdict | None:
        """Admitted, if the folder holds, byte for byte, a bundle that was; nothing of it is parsed before."""
        try:
            if (offer.folder / MANIFEST).stat().st_size > _MOST_MANIFEST_BYTES:
                return None
            bundle_id = hashlib.sha256((offer.folder / MANIFEST).read_bytes()).hexdigest()
        except OSError:
            return None
        known = self._shelf.has(bundle_id) and bundle_id in self._admitted()
        return Verdict(bundle_id) if known and holds(offer.folder, bundle_id) else None

    def _admitted(self) -> set[str]:
        """Ids of all bundles that passed."""
        found = set()
        for file in self._shelf.root.glob("verdict-*.json"):
            found.add(json.loads(file.read_bytes())["bundle_id"])
        return found

    def _try(self, offer: Offer) -> Verdict:
        here = str(Path(__file__).parents[2])
        paths = [here, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        self._child = subprocess.Popen(  # noqa: S603  this module itself, no shell
            # -P: a file in the working directory must not stand in for a library.
            [sys.executable, "-P", "-m", __name__, str(self._shelf.root), str(offer.folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a broken reader may print pieces of memory
            env={**os.environ, "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
        )
        try:
            said, _ = self._child.communicate(timeout=self._seconds)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.communicate()
            return Verdict(
                None, TIMEOUT, f"{offer.folder}: the trial did not end within {self._seconds:g} seconds"
            )
        ended = self._child.returncode
        try:
            return Verdict(**json.loads(said.splitlines()[-1]))
        except (ValueError, TypeError, IndexError):
            return Verdict(None, "trial_died", f"{offer.folder}: the trial of it died (exit code {ended})")

    def _place(self, offer: Offer) -> Path:
        return self._shelf.root / f"verdict-{offer.signature[:16]}.json"

    def _read(self, offer: Offer) -> Verdict | None:
        try:
            verdict = Verdict(**json.loads(self._place(offer).read_bytes()))
        except FileNotFoundError:
            return None
        # Its copy may have been cleared away since.
        return verdict if verdict.bundle_id is None or self._shelf.has(verdict.bundle_id) else None

    def _write(self, offer: Offer, verdict: Verdict) -> None:
        write_bytes(self._place(offer), (json.dumps(asdict(verdict)) + "\n").encode())


def _touched(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _trial(root: Path, folder: Path) -> Verdict:
    """In the child: copy, verify, load and ask the bundle of a folder."""
    from forecast.service.engine import Engine

    os.nice(5)  # those who answer requests go first
    shelf = Shelf(root)
    try:
        with shelf.locked():
            bundle_id = shelf.keep(folder)
        Engine.load(shelf.folder_of(bundle_id)).warm_up()
    except ForecastError as error:
        return Verdict(None, error.code, error.message)
    except Exception as error:
        return Verdict(None, "no_answer", f"{folder}: loads, but answers no request ({type(error).__name__})")
    return Verdict(bundle_id)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_trial(Path(sys.argv[1]), Path(sys.argv[2])))) + "\n")
