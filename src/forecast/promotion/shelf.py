"""A folder of bundles and what serves of it: `models/current`, and the log behind it.

    models/
        NAME/                   a training's own folder, replaced by the next training of that name
        promoted-<16 digits>/   the bundle of that id, never changed: what serves is always one of these
        current                 names the one that serves; swapped by rename
        promotions.jsonl        the log: who served when, why, and what the gate refused

A promotion keeps a verified copy of the bundle, appends a line to the log (from then on it counts), and swaps
the pointer. Killed before the line, nothing happened; after it, the next command swaps the pointer. Readers of
`current` find one whole bundle, the old or the new.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pandas as pd

from forecast.bundle import MANIFEST, load_bundle, resolve_bundle, set_current
from forecast.errors import BundleError, OutputError
from forecast.lock import exclusive
from forecast.promotion.log import FIRST, REFUSE, Entry, Served, State, fold, moment, who
from forecast.tables import write_bytes

__all__ = ["Shelf", "holds", "is_kept_name"]

Step = Callable[[str], None]

_KEPT: Final = "promoted-"
_DIGITS: Final = 16
_LOG: Final = "promotions.jsonl"
_PATIENCE_SECONDS: Final = 10.0  # a promotion holds the lock for as long as copying a bundle takes


def is_kept_name(name: str) -> bool:
    """Whether a folder of this name holds a promoted bundle, which no training may replace."""
    return name.startswith(_KEPT)


@dataclass(frozen=True)
class Shelf:
    """A folder of bundles. Methods that write are called while holding `locked`.

    step : told the name of each step before the next begins; a test stops the process there
    """

    root: Path
    step: Step = lambda _name: None

    @property
    def pointer(self) -> Path:
        return self.root / "current"

    @property
    def log(self) -> Path:
        return self.root / _LOG

    def folder_of(self, bundle_id: str) -> Path:
        """Where the bundle of this id is kept once it was promoted."""
        return self.root / f"{_KEPT}{bundle_id[:_DIGITS]}"

    def has(self, bundle_id: str) -> bool:
        """Whether the bundle of this id is kept, every byte of it."""
        return holds(self.folder_of(bundle_id), bundle_id)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to change what serves; BusyError if another process does so for long."""
        with exclusive(
            self.pointer, holder_is="another command is changing", patience_seconds=_PATIENCE_SECONDS
        ):
            yield

    def entries(self) -> list[Entry]:
        """The log; BundleError if a line of it was damaged by hand."""
        try:
            lines = self.log.read_text("utf-8").splitlines()
        except FileNotFoundError:
            return []
        except (OSError, UnicodeDecodeError) as error:
            raise BundleError(f"{self.log} cannot be read: {error}", code="bad_log") from error
        found = []
        for number, line in enumerate(lines, start=1):
            try:
                found.append(Entry.from_json(json.loads(line)))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise BundleError(
                    f"{self.log}, line {number} is no entry of a promotion log; restore the file from a backup",
                    code="bad_log",
                ) from error
        return found

    def state(self) -> State:
        """What the log says; nothing serves by it before the first bundle was adopted."""
        return fold(self.entries())

    def keep(self, source: Path) -> str:
        """Keep a verified copy of a bundle under the name of its id, and return the id.

        Raises BundleError if the bundle is damaged, OutputError if the copy cannot be written.
        """
        bundle = load_bundle(source)
        place = self.folder_of(bundle.id)
        if self.has(bundle.id):
            return bundle.id
        self.root.mkdir(parents=True, exist_ok=True)
        stage = Path(tempfile.mkdtemp(prefix=f".{_KEPT}", dir=self.root))
        try:
            folder = resolve_bundle(source)
            for name in (*bundle.manifest["files"], MANIFEST):
                write_bytes(stage / name, (folder / name).read_bytes())
            self.step("copied")
            # What will serve is the copy: a training may have replaced the source meanwhile.
            if not holds(stage, bundle.id):
                raise BundleError(
                    f"{source} changed while it was copied; run again", code="changed_meanwhile"
                )
            stage.chmod(0o755)
            if place.exists():  # damaged on disk: the good copy takes its place
                os.rename(place, stage.with_name(f"{stage.name}.damaged"))
            os.rename(stage, place)
            self.step("kept")
        except OSError as error:
            raise OutputError(f"cannot keep a copy of {source}: {error.strerror}", code="not_kept") from error
        finally:
            self._sweep()
        return bundle.id

    def record(self, entry: Entry) -> bool:
        """Append an entry to the log; whether it counts. One that came second is not written."""
        entries = self.entries()
        counts = entry.token in fold([*entries, entry]).counted
        if counts or entry.action == REFUSE:
            lines = [
                json.dumps(one.to_json(), ensure_ascii=False, sort_keys=True) for one in (*entries, entry)
            ]
            # Written anew as a whole: no reader and no crash meets half a line.
            write_bytes(self.log, "".join(f"{line}\n" for line in lines).encode())
            self.step("logged")
        return counts

    def settle(self, now: pd.Timestamp) -> str:
        """Finish what a killed command left: `current` names what the log says. Returns a sentence, or "".

        Where `current` names a bundle and there is no log yet, that bundle is kept and begins the log.
        """
        self._sweep()
        champion = self.state().champion
        named = self._named()
        if champion is None:
            if named is None or not named.is_dir():
                return ""
            bundle_id = self.keep(named)
            reason = f"{named.name} was served before there was a log"
            self.record(_first(bundle_id, "", now, reason))
            self._point_at(bundle_id)
            return (
                f"{self.pointer} named {named}, which is kept as {self.folder_of(bundle_id).name} from now on"
            )
        place = self.folder_of(champion.bundle_id)
        if named == place or not place.is_dir():
            return ""
        self._point_at(champion.bundle_id)
        return f"{self.pointer} named {named} and now names {place.name}, as {self.log} says"

    def follow(self, entry: Entry) -> None:
        """Come to what the registry says: log it and swap the pointer; its bundle is kept already.

        entry : what the registry's log holds of its champion, with action `follow`
        """
        if self.state().champion != Served(entry.bundle_id, entry.version):
            self.record(entry)
        self._point_at(entry.bundle_id)

    def commit(self, entry: Entry) -> bool:
        """Put a kept bundle in place of the champion the entry names, unless another came first."""
        if not self.record(entry):
            return False
        self._point_at(entry.bundle_id)
        return True

    def serve_first(self, folder: Path, now: pd.Timestamp) -> bool:
        """Make a newly trained bundle the champion if there is none that can serve; whether it did."""
        with self.locked():
            with contextlib.suppress(BundleError):  # a pointer to what does not load is no champion
                self.settle(now)
            champion = self.state().champion
            if champion is not None and _loads(self.folder_of(champion.bundle_id)):
                return False
            reason = (
                "the first bundle: something must serve"
                if champion is None
                else f"{champion.name}, the champion, could not be loaded any more"
            )
            bundle_id = self.keep(folder)
            return self.commit(_first(bundle_id, "" if champion is None else champion.bundle_id, now, reason))

    def champion_folder(self) -> Path | None:
        """Where the bundle that serves is, by the log."""
        champion = self.state().champion
        return None if champion is None else self.folder_of(champion.bundle_id)

    def _named(self) -> Path | None:
        """The folder the pointer names; None without a usable pointer."""
        try:
            named = resolve_bundle(self.pointer)
        except BundleError:
            return None
        return None if named == self.pointer else named

    def _point_at(self, bundle_id: str) -> None:
        place = self.folder_of(bundle_id)
        if self._named() != place:
            set_current(place)
        self.step("pointed")

    def _sweep(self) -> None:
        """Remove what killed commands left under temporary names."""
        for pattern in (f".{_KEPT}*", ".current.*.tmp", f".{_LOG}.*.tmp"):
            for path in self.root.glob(pattern):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _first(bundle_id: str, replaces: str, now: pd.Timestamp, reason: str) -> Entry:
    return Entry(
        action=FIRST, bundle_id=bundle_id, replaces=replaces, at=moment(now), by=who(), reasons=(reason,)
    )


def holds(folder: Path, bundle_id: str) -> bool:
    """Whether a folder holds the bundle of this id, every byte of it."""
    try:
        manifest = (folder / MANIFEST).read_bytes()
        if hashlib.sha256(manifest).hexdigest() != bundle_id:
            return False
        return all(
            hashlib.sha256((folder / name).read_bytes()).hexdigest() == listed["sha256"]
            for name, listed in json.loads(manifest)["files"].items()
        )
    except OSError:
        return False


def _loads(folder: Path) -> bool:
    try:
        load_bundle(folder)
    except BundleError:
        return False
    return True
