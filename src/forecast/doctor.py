"""Checking what a running installation promises: one finding for each promise, with what to do about it.

Nothing is changed, and nothing outside is asked but the ledger and the service that are named.
"""

from __future__ import annotations

import email.utils
import json
import os
import re
import shutil
import sqlite3
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from forecast.bundle import Bundle, load_bundle, resolve_bundle
from forecast.errors import ForecastError
from forecast.promotion.shelf import Shelf

__all__ = [
    "SERVER_FOLDER_PREFIX",
    "Finding",
    "State",
    "check_bundle",
    "check_disk",
    "check_key_file",
    "check_ledger",
    "check_leftovers",
    "check_promotion",
    "check_service",
    "check_versions",
    "is_alive",
    "server_of",
]

State = Literal["ok", "warning", "broken"]

SERVER_FOLDER_PREFIX: Final = "forecast-serve-"
"""Start of the names of folders that servers make below the temporary folder; then come process and chance."""

_DAY_US: Final = 86_400e6
_LITTLE_BYTES: Final = 1_000_000_000
_NO_BYTES: Final = 100_000_000
_LARGE_WAL_BYTES: Final = 64_000_000
_QUICK_CHECK_BYTES: Final = 500_000_000
_CLOCK_SECONDS: Final = 60.0
_ASKS: Final = 8  # enough to meet every worker of a small service
_PATIENT_ROUNDS: Final = 5
_PATIENT_SECONDS: Final = 2.0
_LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one promise; `remedy` says what to do where it is not kept."""

    check: str
    state: State
    text: str
    remedy: str = ""

    def to_json(self) -> dict[str, str]:
        """Plain values."""
        return asdict(self)


def check_bundle(path: Path, now_us: float, stale_days: float) -> tuple[list[Finding], Bundle | None]:
    """Is the bundle whole, are its golden scores reproduced, is it fresh, and does the clock agree with it?"""
    try:
        bundle = load_bundle(path)
    except ForecastError as error:
        remedy = "forecast rollback, or train again" if path.is_file() else "train it again"
        return [Finding("bundle", "broken", error.message, remedy)], None
    found = [Finding("bundle", "ok", f"{bundle.short_id} is whole, its golden scores are reproduced")]
    age_days = (now_us - bundle.models.trained_until_us) / _DAY_US
    until = f"{bundle.trained_until:%Y-%m-%d}"
    if age_days < -1:
        found.append(
            Finding(
                "clock", "broken", f"this machine's clock is before {until}, when it was trained", "set it"
            )
        )
    elif age_days > stale_days:
        found.append(
            Finding(
                "bundle age",
                "warning",
                f"it learnt from records until {until}, {age_days:.0f} days ago",
                "train on newer data and promote the result (docs/promotion.md)",
            )
        )
    else:
        found.append(Finding("bundle age", "ok", f"it learnt from records until {until}"))
    return found, bundle


def check_promotion(path: Path) -> list[Finding]:
    """Do pointer and log agree, and is there something to go back to?"""
    if not path.is_file():
        return [
            Finding(
                "promotion",
                "warning",
                f"{path} is one bundle, not a pointer: promotions are not followed",
                f"serve {path.parent / 'current'} instead",
            )
        ]
    shelf = Shelf(path.parent)
    settle = "python -m training promote --settle"
    try:
        state = shelf.state()
        named = resolve_bundle(path)
    except ForecastError as error:
        return [Finding("promotion", "broken", error.message, settle)]
    if state.champion is None:
        return [Finding("promotion", "warning", f"{shelf.log} names nothing that serves", settle)]
    wanted = shelf.folder_of(state.champion.bundle_id)
    if named != wanted:
        return [
            Finding("promotion", "broken", f"{path} names {named.name}, the log says {wanted.name}", settle)
        ]
    found = [Finding("promotion", "ok", f"{path} and the log agree: {state.champion.name}")]
    if state.previous is None:
        found.append(Finding("rollback", "ok", "nothing served before: there is nothing to go back to"))
    elif shelf.has(state.previous.bundle_id):
        found.append(Finding("rollback", "ok", f"forecast rollback brings back {state.previous.name}"))
    else:
        found.append(
            Finding(
                "rollback",
                "warning",
                f"{state.previous.name} served before and is gone or damaged",
                "restore its folder from a backup; with a registry: python -m training rollback",
            )
        )
    return found


def check_key_file(file: Path) -> Finding:
    """May only its owner read the file of keys?"""
    try:
        mode = file.stat().st_mode & 0o777
    except OSError as error:
        return Finding("keys", "broken", f"{file}: {error.strerror}", "name another file by --keys")
    if mode & 0o077:
        return Finding("keys", "broken", f"others can read {file} (mode {mode:o})", f"chmod 600 {file}")
    return Finding("keys", "ok", f"{file} can be read by its owner alone")


def check_ledger(url: str, now_us: float, stale_hours: float) -> list[Finding]:
    """Is the ledger there, at this program's schema, whole, and is what it holds fresh?"""
    from forecast.ledger import Ledger, parse_place
    from forecast.ledger.database import schema_version
    from forecast.ledger.migrate import newest

    try:
        place = parse_place(url)
        file = place.file
        if file is not None and not file.exists():
            return [Finding("ledger", "broken", f"{place} is not there", "forecast publish makes it")]
        known = schema_version(place)
        if known != newest():
            return [
                Finding(
                    "ledger",
                    "warning" if known is None or known < newest() else "broken",
                    f"{place} has schema {known or 'none'}, this program works with {newest()}",
                    "the service brings it up when it starts; back it up first (docs/operations.md)",
                )
            ]
        found = [Finding("ledger", "ok", f"{place} answers, schema {known}")]
        found += [] if file is None else list(_of_file(file))
        with Ledger.open(url) as ledger:
            chain = ledger.audit()
            snapshots = ledger.snapshots()
    except ForecastError as error:
        return [Finding("ledger", "broken", error.message, "see docs/operations.md, alarms")]
    if chain.broken is None:
        found.append(Finding("audit", "ok", f"its chain of {chain.entries} entries holds"))
    else:
        found.append(
            Finding(
                "audit",
                "broken",
                f"entry {chain.broken} does not follow from the one before: it was changed by hand",
                "keep the file, restore the last backup, find out who",
            )
        )
    if not snapshots:
        found.append(Finding("snapshots", "warning", "none was published yet", "forecast publish --data DIR"))
        return found
    published_us = max(row.published_at_us for row in snapshots)
    hours = (now_us - published_us) / 3600e6
    if hours < -0.1:
        found.append(
            Finding(
                "clock", "broken", f"a snapshot was published {-hours:.1f} hours from now", "set the clock"
            )
        )
    elif hours > stale_hours:
        found.append(
            Finding(
                "snapshots",
                "warning",
                f"the newest is {hours:.0f} hours old",
                "look why `forecast publish` did not run: systemctl status forecast-publish",
            )
        )
    else:
        found.append(Finding("snapshots", "ok", f"{len(snapshots)}, the newest {hours:.0f} hours old"))
    return found


def _of_file(file: Path) -> Iterator[Finding]:
    """Of a ledger in SQLite: rights, its log, its pages."""
    mode = file.stat().st_mode & 0o777
    if mode & 0o077:
        yield Finding("ledger file", "broken", f"others can read it (mode {mode:o})", f"chmod 600 {file}*")
    wal = file.with_name(f"{file.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    if size > _LARGE_WAL_BYTES:
        yield Finding(
            "ledger log",
            "warning",
            f"{wal.name} has {size / 1e6:.0f} MB: some reader never ends",
            "restart the service; never delete that file",
        )
    if file.stat().st_size < _QUICK_CHECK_BYTES:
        try:
            with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
                said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        except sqlite3.Error as error:
            said = type(error).__name__
        if said != "ok":
            yield Finding("ledger file", "broken", "its pages are damaged", "restore the last backup")


def check_disk(folders: list[Path]) -> list[Finding]:
    """Is there room to write where something is written?"""
    found = []
    for folder in dict.fromkeys(folders):
        place = next((at for at in (folder, *folder.absolute().parents) if at.is_dir()), Path("/"))
        free = shutil.disk_usage(place).free
        text = f"{free / 1e9:.1f} GB free for {folder}"
        if free < _LITTLE_BYTES:
            state: State = "broken" if free < _NO_BYTES else "warning"
            found.append(Finding("disk", state, text, "make room: old bundles, logs, backups"))
        else:
            found.append(Finding("disk", "ok", text))
    return found


def server_of(folder: Path) -> int:
    """The process that made a server's folder; ValueError for another folder."""
    return int(folder.name.removeprefix(SERVER_FOLDER_PREFIX).partition("-")[0])


def is_alive(process: int) -> bool:
    """Whether a process of this machine still runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def check_leftovers(models: Path, now_s: float) -> Finding:
    """Did a killed command or server leave something behind?"""
    left = [
        path
        for pattern in (".promoted-*", ".*.tmp", ".*.old.*")
        for path in models.glob(pattern)
        if now_s - path.lstat().st_mtime > 3600
    ]
    for path in Path(tempfile.gettempdir()).glob(f"{SERVER_FOLDER_PREFIX}*"):
        with suppress(ValueError):
            if not is_alive(server_of(path)):
                left.append(path)
    if not left:
        return Finding("leftovers", "ok", "no temporary files of killed commands")
    named = ", ".join(str(path) for path in left[:5])
    return Finding(
        "leftovers", "warning", f"{len(left)} of killed commands: {named}", f"rm -r {left[0]} and the like"
    )


def check_versions(lock: Path, bundle: Bundle | None) -> list[Finding]:
    """Are the installed packages those of the lock, and those the bundle was made with?"""
    found = []
    if lock.is_file():
        locked: dict[str, set[str]] = {}
        for name, wanted in _LOCKED.findall(lock.read_text(encoding="utf-8")):
            locked.setdefault(name, set()).add(wanted)
        differing = [
            f"{name} {here} (locked {' or '.join(sorted(wanted))})"
            for name, wanted in locked.items()
            if (here := _installed(name)) is not None and here not in wanted
        ]
        if differing:
            text = f"{len(differing)} differ from {lock}: {', '.join(differing[:4])}"
            found.append(Finding("packages", "warning", text, f"pip install --require-hashes -r {lock}"))
        else:
            found.append(Finding("packages", "ok", f"all that are installed are those of {lock}"))
    if bundle is not None:
        made_with: dict[str, str] = bundle.manifest.get("code", {}).get("packages", {})
        other = [
            f"{name} {here} (bundle {then})"
            for name, then in made_with.items()
            if (here := _installed(name)) is not None and here != then
        ]
        if other:
            text = f"the bundle was made with others: {', '.join(other)}; its golden scores decide"
            found.append(Finding("bundle packages", "warning", text, "train again after an upgrade"))
    return found


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def check_service(url: str, key: str | None, promoted: str | None, now_s: float) -> list[Finding]:
    """Is the service that runs there ready, does it serve what was promoted, and is it safe to reach?

    key : to ask which bundle serves; promoted : the id of the bundle that ought to
    """
    start = "forecast serve, or look into its log: journalctl -u forecast"
    try:
        status, headers, body = _ask(f"{url}/readyz", None)
        said = json.loads(body)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        return [Finding("service", "broken", f"{url} does not answer: {reason}", start)]
    found = []
    if status != 200:
        found.append(Finding("service", "broken", f"{url} is not ready ({status})", start))
    elif said.get("status") == "degraded":
        codes = ", ".join(str(reason.get("code")) for reason in said.get("degraded", []))
        found.append(
            Finding("service", "warning", f"{url} is degraded: {codes}", "see docs/operations.md, alarms")
        )
    else:
        found.append(Finding("service", "ok", f"{url} is ready"))
    found += _clock_of(headers.get("date"), now_s)
    if key is not None and status == 200:
        found.append(_bundles_of(url, key, promoted))
    found += _openness(url)
    return found


def _clock_of(date: str | None, now_s: float) -> list[Finding]:
    if date is None:
        return []
    apart = abs(email.utils.parsedate_to_datetime(date).timestamp() - now_s)
    if apart <= _CLOCK_SECONDS:
        return []
    return [
        Finding("clock", "warning", f"its clock and ours are {apart:.0f} seconds apart", "synchronise them")
    ]


def _bundles_of(url: str, key: str, promoted: str | None) -> Finding:
    """Which bundles its workers serve; asked again for some seconds, since a reload takes that long."""
    for _ in range(_PATIENT_ROUNDS):
        serving: set[str] = set()
        for _ in range(_ASKS):
            try:
                status, _, body = _ask(f"{url}/v1/model", key)
                if status != 200:
                    text = f"{url}/v1/model answers {status} to the key at hand"
                    return Finding("served bundle", "warning", text, "name the file of its keys by --keys")
                serving.add(str(json.loads(body)["model"]["bundle"]))
            except (OSError, ValueError, KeyError, TypeError) as error:
                text = f"{url}/v1/model cannot be read: {type(error).__name__}"
                return Finding("served bundle", "broken", text, "look into its log")
        named = ", ".join(sorted(one[:12] for one in serving))
        if promoted is None or serving == {promoted}:
            return Finding("served bundle", "ok", f"it serves {named}")
        time.sleep(_PATIENT_SECONDS)
    text = f"it serves {named}, promoted is {(promoted or '')[:12]}"
    remedy = "/readyz and the log say why; a service of another folder of bundles follows that one"
    return Finding("served bundle", "broken", text, remedy)


def _openness(url: str) -> list[Finding]:
    """Is the door open to others without TLS?"""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return [Finding("reach", "ok", "reached over TLS")]
    host = parts.hostname or ""
    port = parts.port or 80
    remedy = "bind 127.0.0.1 and put a proxy with TLS in front (deploy/nginx.conf)"
    if not (host == "localhost" or _is_loopback(host)):
        return [Finding("reach", "broken", f"keys travel to {host} without TLS", remedy)]
    if any(not address.is_loopback for address in _listening(port)):
        text = f"port {port} is open to other machines, without TLS"
        return [Finding("reach", "warning", text, remedy)]
    return [Finding("reach", "ok", f"port {port} is reached from this machine alone")]


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listening(port: int) -> Iterator[Any]:
    """Addresses that are listened on at a port, as Linux tells; nothing elsewhere."""
    for file, size in (("/proc/net/tcp", 4), ("/proc/net/tcp6", 16)):
        try:
            lines = Path(file).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state = line.split()[:4]
            address, _, at = local.partition(":")
            if state == "0A" and int(at, 16) == port:
                # Words of four bytes, each with its last byte first.
                raw = bytes.fromhex(address)
                words = [raw[start : start + 4][::-1] for start in range(0, size, 4)]
                yield ip_address(b"".join(words))


def _ask(url: str, key: str | None) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of a GET, without any proxy and on a connection of its own."""
    headers = {"connection": "close", **({"authorization": f"Bearer {key}"} if key else {})}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  the command takes http and https only
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=5) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read(1_000_000)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read(1_000_000)
