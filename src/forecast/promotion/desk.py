"""Promote and roll back: settle what was left, decide, write the log, let pointer and aliases follow.

Where a registry has a champion, its log is the truth and the folder follows it; otherwise the folder's own log
is. Each step may be the last one of a killed process: before the entry of the log nothing has changed, after
it `settle`, which every command begins with, does the rest.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from forecast.bundle import load_bundle
from forecast.errors import BundleError, BusyError, UsageError
from forecast.promotion.log import FOLLOW, PROMOTE, REFUSE, ROLLBACK, Entry, Served, State, moment, who
from forecast.promotion.shelf import Shelf

__all__ = ["Desk", "RegistryLike"]


class RegistryLike(Protocol):
    """What is asked of `training.tracking.Registry`; this module knows no MLflow."""

    @property
    def shown(self) -> str: ...
    def state(self) -> State: ...
    def served(self, version: str) -> Served: ...
    def version_of(self, bundle_id: str) -> str | None: ...
    def download(self, version: str, into: Path) -> Path: ...
    def append(self, entry: Entry) -> bool: ...
    def settle(self) -> list[str]: ...
    def note(self, version: str, verdict: str, reasons: tuple[str, ...], at: str) -> None: ...


@dataclass(frozen=True)
class Desk:
    """Where it is decided what serves.

    shelf : the folder of bundles
    registry : None without tracking
    now : the moment written to the logs
    """

    shelf: Shelf
    registry: RegistryLike | None
    now: pd.Timestamp

    def settle(self) -> list[str]:
        """Finish what a killed command left, and bring the folder to the registry; sentences about it.

        The registry is asked first: if it does not answer, nothing has been touched.
        """
        said = [] if self.registry is None else self.registry.settle()
        of_registry = self._of_registry()
        with self.shelf.locked():
            local = self.shelf.settle(self.now)
            said += [local] if local else []
            if of_registry is not None and of_registry.champion is not None:
                said += self._follow(of_registry)
        return said

    def state(self) -> State:
        """Who serves, from the log that counts."""
        return self._of_registry() or self.shelf.state()

    def champion(self) -> tuple[Served, Path] | None:
        """Who serves and the verified folder of it; None if nothing does yet."""
        served = self.state().champion
        return None if served is None else (served, self.shelf.folder_of(served.bundle_id))

    def candidate_of_version(self, version: str) -> Served:
        """Fetch and keep the bundle of a registered version, verified."""
        if self.registry is None:
            raise UsageError(
                f"version {version} cannot be looked up without MLflow; name the folder of the bundle instead",
                code="no_registry",
            )
        served = self.registry.served(version)
        with self.shelf.locked():
            self._keep_registered(served)
        return served

    def candidate_of_folder(self, folder: Path) -> Served:
        """Keep the bundle of a folder, verified.

        Raises UsageError if the registry has a champion and does not know this bundle: two truths would follow.
        """
        with self.shelf.locked():
            bundle_id = self.shelf.keep(folder)
        if self.registry is None:
            return Served(bundle_id)
        version = self.registry.version_of(bundle_id)
        if version is None and self._of_registry() is not None:
            raise UsageError(
                f"{folder} is not registered, and MLflow at {self.registry.shown} says which bundle serves; "
                "train it with --register and promote its version, or use --no-track",
                code="not_registered",
            )
        return Served(bundle_id, version)

    def promote(
        self, candidate: Served, against: Served | None, reasons: tuple[str, ...], gate: dict[str, Any] | None
    ) -> None:
        """Put a kept candidate in the champion's place.

        Raises BusyError if the champion is not `against` any more: another promotion came first.
        """
        self._enter(PROMOTE, candidate, against, reasons, gate)
        if self.registry is not None and candidate.version is not None:
            self.registry.note(candidate.version, "promoted", reasons, moment(self.now))

    def refuse(
        self, candidate: Served, against: Served | None, reasons: tuple[str, ...], gate: dict[str, Any]
    ) -> None:
        """Write down why a candidate was not promoted."""
        with self.shelf.locked():
            self.shelf.record(self._entry(REFUSE, candidate, against, reasons, gate))
        if self.registry is not None and candidate.version is not None:
            self.registry.note(candidate.version, "refused", reasons, moment(self.now))

    def roll_back(self, reason: str) -> tuple[Served, Served]:
        """Bring back who served before; returns the new champion and the one it replaces.

        Raises UsageError if nobody served before, BundleError if that bundle is gone or damaged.
        """
        state = self.state()
        if state.champion is None or state.previous is None:
            raise UsageError(
                f"there is nothing to roll back to: {'nothing' if state.champion is None else 'nothing else'} "
                f"served in {self.shelf.root} before",
                code="no_previous",
            )
        new, old = state.previous, state.champion
        with self.shelf.locked():
            if self.registry is not None and new.version is not None:
                self._keep_registered(new)
        load_bundle(self.shelf.folder_of(new.bundle_id))  # what does not load must not serve
        self._enter(ROLLBACK, new, old, (reason,), None)
        if self.registry is not None and old.version is not None:
            self.registry.note(old.version, "rolled back", (reason,), moment(self.now))
        return new, old

    def _enter(
        self,
        action: str,
        new: Served,
        against: Served | None,
        reasons: tuple[str, ...],
        gate: dict[str, Any] | None,
    ) -> None:
        entry = self._entry(action, new, against, reasons, gate)
        if self.registry is not None and new.version is not None:
            # A champion the registry does not know was never in its log.
            known = self._of_registry()
            if known is None:
                entry = self._entry(action, new, None, reasons, gate)
            came_first = not self.registry.append(entry)
            if not came_first:
                self.registry.settle()
                with self.shelf.locked():
                    self._follow(self.registry.state(), gate)
        else:
            with self.shelf.locked():
                came_first = not self.shelf.commit(entry)
        if came_first:
            champion = self.state().champion
            raise BusyError(
                f"another command came first: {'nothing' if champion is None else champion.name} serves now, "
                f"not {'nothing' if against is None else against.name}; run again to compare with it",
                code="lost_race",
            )

    def _entry(
        self,
        action: str,
        about: Served,
        against: Served | None,
        reasons: tuple[str, ...],
        gate: dict[str, Any] | None,
    ) -> Entry:
        return Entry(
            action=action,
            bundle_id=about.bundle_id,
            version=about.version,
            replaces="" if against is None else against.bundle_id,
            replaces_version=None if against is None else against.version,
            at=moment(self.now),
            by=who(),
            reasons=reasons,
            gate=gate,
        )

    def _of_registry(self) -> State | None:
        """The registry's log; None where it names no champion, so that the folder's own log counts."""
        state = None if self.registry is None else self.registry.state()
        return None if state is None or state.champion is None else state

    def _follow(self, state: State, gate: dict[str, Any] | None = None) -> list[str]:
        """Bring the folder to the registry's champion; call it locked.

        gate : what the gate found, for the folder's log
        """
        champion = state.champion
        before = self.shelf.state().champion
        if champion is None:
            return []
        self._keep_registered(champion)
        reasons = () if state.entry is None else state.entry.reasons
        self.shelf.follow(self._entry(FOLLOW, champion, before, reasons, gate))
        if before is None or before.bundle_id == champion.bundle_id:
            return []
        return [f"{self.shelf.pointer} follows the registry: {champion.name} serves, {before.name} did"]

    def _keep_registered(self, served: Served) -> None:
        if self.registry is None or served.version is None:
            return
        if self.shelf.has(served.bundle_id):
            return
        with tempfile.TemporaryDirectory() as scratch:
            found = self.shelf.keep(self.registry.download(served.version, Path(scratch)))
        if found != served.bundle_id:
            raise BundleError(
                f"version {served.version} in MLflow at {self.registry.shown} holds bundle {found[:12]}, not "
                f"{served.bundle_id[:12]} as its tag says; register it again",
                code="other_bundle",
            )
