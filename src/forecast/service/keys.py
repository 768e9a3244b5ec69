"""Who may ask: bearer keys, kept only as SHA-256 digests and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from forecast.errors import OutputError, UsageError

__all__ = ["KEYS_FILE", "SINGLE_KEY", "Keys", "create_key_file"]

KEYS_FILE: Final = "FORECAST_API_KEYS_FILE"
SINGLE_KEY: Final = "FORECAST_API_KEY"

# What RFC 6750 lets a bearer token consist of.
_TOKEN: Final = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_DIGEST: Final = re.compile(r"sha256:([0-9a-fA-F]{64})")
_MAX_TOKEN: Final = 512


@dataclass(frozen=True, slots=True)
class Keys:
    """The digests of all keys that are let in. The text of a key is never kept."""

    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, lines: Iterable[str], where: str) -> Keys:
        """Read one key, or `sha256:` and the 64 hex digits of its digest, per line.

        Blank lines and lines that start with `#` are skipped. Raises UsageError naming `where` and the line,
        never the key.
        """
        digests: list[bytes] = []
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            hashed = _DIGEST.fullmatch(text)
            if hashed:
                digests.append(bytes.fromhex(hashed[1]))
            elif _TOKEN.fullmatch(text) and len(text) <= _MAX_TOKEN:
                digests.append(hashlib.sha256(text.encode()).digest())
            else:
                raise UsageError(
                    f"{where}, line {number}: not a key; expected letters, digits and -._~+/ only, "
                    "or sha256: with 64 hex digits",
                    code="bad_key",
                )
        if not digests:
            raise UsageError(f"{where}: holds no key; write one key per line", code="no_key")
        return cls(tuple(dict.fromkeys(digests)))

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Keys:
        """Keys of the file in FORECAST_API_KEYS_FILE and the key in FORECAST_API_KEY, both if both are set.

        Raises UsageError if neither is set or what is set cannot be read: the service never runs open.
        """
        digests: tuple[bytes, ...] = ()
        file = environment.get(KEYS_FILE)
        if file:
            try:
                lines = Path(file).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or "not UTF-8 text"
                raise UsageError(f"{KEYS_FILE}={file}: {reason}", code="bad_key_file") from error
            digests += cls.of(lines, file).digests
        single = environment.get(SINGLE_KEY)
        if single:
            digests += cls.of([single], SINGLE_KEY).digests
        if not digests:
            raise UsageError(
                f"no key is set and the service never runs without: name a file of keys by {KEYS_FILE}",
                code="no_key",
            )
        return cls(digests)

    def find(self, authorization: bytes | None) -> str | None:
        """The key behind an Authorization header as a name for logs (8 hex digits of its digest), else None.

        Every known digest is compared, whichever matches, so the time tells nothing about the keys.
        """
        scheme, _, token = (authorization or b"").partition(b" ")
        presented = hashlib.sha256(token.strip()[: _MAX_TOKEN + 1]).digest()
        found: bytes | None = None
        for digest in self.digests:
            if hmac.compare_digest(digest, presented):
                found = digest
        if scheme.lower() != b"bearer" or found is None:
            return None
        return found.hex()[:8]


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
