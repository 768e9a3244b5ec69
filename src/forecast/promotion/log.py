"""The log of promotions: what was decided, in order. Who serves is what the log says, read from its beginning.

An entry says which bundle it puts in place of which. It counts only if that one was still the champion when
the entry got its place in the log: of two promotions written at once the first counts and the second, which
names a champion that is no more, does not. Every reader of the same log comes to the same answer, so appending
an entry is the whole compare-and-set, and pointer and aliases are copies of what the log says.

E.g. champion a; entries 1: b for a, 2: c for a, 3: d for b, 4: back to b. Entry 2 came second and is void;
after 3 the champion is d and `previous` b, after 4 the champion is b and `previous` a.
"""

from __future__ import annotations

import getpass
import secrets
import socket
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple

import pandas as pd

__all__ = [
    "FIRST",
    "FOLLOW",
    "PROMOTE",
    "REFUSE",
    "ROLLBACK",
    "Entry",
    "Served",
    "State",
    "fold",
    "moment",
    "who",
]

FIRST: Final = "first"  # nothing served before
PROMOTE: Final = "promote"
ROLLBACK: Final = "rollback"
FOLLOW: Final = "follow"  # of a folder of bundles: it came to what the registry says
REFUSE: Final = "refuse"  # the gate said no; changes nothing


class Served(NamedTuple):
    """A bundle that serves or served, and its version in the registry, if it has one."""

    bundle_id: str
    version: str | None = None

    @property
    def name(self) -> str:
        """For people."""
        short = f"bundle {self.bundle_id[:12]}"
        return short if self.version is None else f"version {self.version} ({short})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of the log.

    action: one of the names above
    bundle_id, version: what it is about
    replaces, replaces_version: the champion it was decided against; "" and None if there was none
    at, by: when (ISO 8601) and who
    reasons: sentences; gate: figures of the gate, as JSON
    token: tells this entry from any other, however often it was sent
    """

    action: str
    bundle_id: str
    replaces: str
    at: str
    by: str
    version: str | None = None
    replaces_version: str | None = None
    reasons: tuple[str, ...] = ()
    gate: dict[str, Any] | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(8))

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "reasons": list(self.reasons)}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Entry:
        """Inverse of `to_json`; KeyError or TypeError on content that does not fit."""
        return cls(**{**content, "reasons": tuple(content["reasons"])})


@dataclass(frozen=True, slots=True)
class State:
    """What a log says.

    stack: who served, oldest first; the last one serves now, the one before it is what a rollback brings
    counted: tokens of the entries that count
    entry: the entry that made the champion; None if it served before the log began
    """

    stack: tuple[Served, ...] = ()
    counted: frozenset[str] = frozenset()
    entry: Entry | None = None

    @property
    def champion(self) -> Served | None:
        return self.stack[-1] if self.stack else None

    @property
    def previous(self) -> Served | None:
        return self.stack[-2] if len(self.stack) > 1 else None


def fold(entries: Iterable[Entry]) -> State:
    """Read a log from its beginning."""
    state = State()
    for entry in entries:
        state = _after(state, entry)
    return state


def _after(state: State, entry: Entry) -> State:
    if entry.action == REFUSE or entry.token in state.counted:
        return state
    stack = state.stack
    if not stack and entry.replaces:
        stack = (Served(entry.replaces, entry.replaces_version),)  # it served before the log began
    if entry.action != FOLLOW and (stack[-1].bundle_id if stack else "") != entry.replaces:
        return state  # it came second
    new = Served(entry.bundle_id, entry.version)
    if entry.action in (ROLLBACK, FOLLOW):
        # Back to one that served: what came after it is undone.
        places = [at for at, one in enumerate(stack) if one.bundle_id == new.bundle_id]
        stack = stack[: places[-1]] if places else stack
    return State((*stack, new), state.counted | {entry.token}, entry)


def who() -> str:
    """Who runs this, for the log: user and machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def moment(now: pd.Timestamp) -> str:
    """A moment as the log writes it."""
    return now.tz_convert("UTC").isoformat(timespec="seconds")
