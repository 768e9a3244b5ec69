"""Who may ask, and for what: bearer keys, kept only as SHA-256 digests and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from forecast.access import ROLES, Access, Scope
from forecast.errors import OutputError, UsageError

__all__ = ["KEYS_FILE", "ROWS_PER_MINUTE", "SINGLE_KEY", "Finder", "Keys", "create_key_file"]

KEYS_FILE: Final = "FORECAST_API_KEYS_FILE"
SINGLE_KEY: Final = "FORECAST_API_KEY"
ROWS_PER_MINUTE: Final = "FORECAST_ROWS_PER_MINUTE"

# More than one worker computes in a minute: a default that stops nobody who works, only who runs away.
_DEFAULT_ROWS: Final = 600_000

# What RFC 6750 lets a bearer token consist of.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_MAX_TOKEN: Final = 512


class Finder(Protocol):
    """Whatever knows keys: a file, the environment, the ledger."""

    def find(self, authorization: bytes | None) -> Access | None:
        """What the key behind an Authorization header may do; None for one that is not known."""
        ...


@dataclass(frozen=True, slots=True)
class Keys:
    """The digests of all keys that are let in, and what each may do. The text of a key is never kept."""

    entries: tuple[tuple[bytes, Access], ...]

    @classmethod
    def of(cls, lines: Iterable[str], where: str) -> Keys:
        """Read one key, or `sha256:` and the 64 hex digits of its digest, per line.

        A role and a scope (`all`, `own:USER_ID`, `team:NAME`) may follow it; left out, it may do everything.
        Blank lines and lines that start with `#` are skipped. Raises UsageError naming `where` and the line,
        never the key.
        """
        entries: dict[bytes, Access] = {}
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            try:
                digest, access = _entry(text)
            except UsageError as error:
                raise UsageError(f"{where}, line {number}: {error.message}", code=error.code) from None
            if entries.setdefault(digest, access) != access:
                raise UsageError(f"{where}, line {number}: the same key with another role", code="bad_key")
        if not entries:
            raise UsageError(f"{where}: holds no key; write one key per line", code="no_key")
        return cls(tuple(entries.items()))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Keys:
        """Keys of the file in FORECAST_API_KEYS_FILE and the key in FORECAST_API_KEY, both if both are set.

        FORECAST_ROWS_PER_MINUTE says how many rows each may have computed; 0 for no limit.
        Raises UsageError if neither is set or what is set cannot be read: the service never runs open.
        """
        entries: dict[bytes, Access] = {}
        file = environment.get(KEYS_FILE)
        if file:
            try:
                lines = Path(file).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8 text"
                raise UsageError(f"{KEYS_FILE}={file}: {reason}", code="bad_key_file") from error
            entries |= dict(cls.of(lines, file).entries)
        single = environment.get(SINGLE_KEY)
        if single:
            entries |= dict(cls.of([single], SINGLE_KEY).entries)
        if not entries:
            raise UsageError(
                f"no key is set and the service never runs without: name a file of keys by {KEYS_FILE}",
                code="no_key",
            )
        rows = _rows_per_minute(environment)
        return cls(
            tuple((digest, replace(access, rows_per_minute=rows)) for digest, access in entries.items())
        )

    def find(self, authorization: bytes | None) -> Access | None:
        """What the key behind an Authorization header may do, under 8 hex digits of its digest; else None.

        Every known digest is compared, whichever matches, so the time tells nothing about the keys.
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        presented = hashlib.sha256(token.strip()[: _MAX_TOKEN + 1]).digest()
        found: Access | None = None
        for digest, access in self.entries:
            if hmac.compare_digest(digest, presented):
                found = access
        return found if scheme.lower() == b"bearer" else None


def _entry(text: str) -> tuple[bytes, Access]:
    """A line of a key file: digest and access; UsageError without the key."""
    key, *rest = text.split(None, 2)
    hashed = _DIGEST.fullmatch(key)
    if hashed:
        digest = bytes.fromhex(hashed[1])
    elif _TOKEN.fullmatch(key) and len(key) <= _MAX_TOKEN:
        digest = hashlib.sha256(key.encode()).digest()
    else:
        raise UsageError(
            "not a key; expected letters, digits and -._~+/ only, or sha256: with 64 hex digits",
            code="bad_key",
        )
    role = next((role for role in ROLES if role == (rest[0] if rest else "admin")), None)
    if role is None:
        raise UsageError(f"a key is followed by its role, one of {', '.join(ROLES)}", code="bad_key")
    try:
        scope = Scope.parse(rest[1] if len(rest) > 1 else "all")
    except UsageError:
        raise UsageError(
            "a role is followed by its scope: all, own:USER_ID or team:NAME", code="bad_key"
        ) from None
    return digest, Access(digest.hex()[:8], role, scope, _DEFAULT_ROWS)


def _rows_per_minute(environment: Mapping[str, str]) -> int | None:
    text = environment.get(ROWS_PER_MINUTE) or str(_DEFAULT_ROWS)
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise UsageError(f"{ROWS_PER_MINUTE}: expected a whole number, 0 for no limit", code="bad_rate")
    return int(text) or None


def create_key_file(path: Path) -> bool:
    """Make a file with a new random key that only its owner can read; False if it is there already.

    Raises UsageError for an existing file that others can read, OutputError if none can be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if path.stat().st_mode & 0o077:
            raise UsageError(
                f"{path}: others can read this key file; run chmod 600 on it, or delete it for a new key",
                code="open_key_file",
            ) from None
        return False
    except OSError as error:
        raise OutputError(
            f"{path}: {error.strerror}; name a key file of your own with {KEYS_FILE}", code="no_key_file"
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"{secrets.token_urlsafe(32)}\n")
    return True
