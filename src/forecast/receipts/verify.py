"""Does a published file, or a bundle, still come from what its receipt says? One check for each claim."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forecast.bundle import Bundle, bundle_code, load_bundle
from forecast.errors import BundleError, DataError, ForecastError
from forecast.receipts.publish import output_code
from forecast.receipts.reads import KINDS, read_as_of
from forecast.receipts.receipt import Receipt, read_receipt
from forecast.receipts.recompute import moment_of, period_of, recompute
from forecast.tables import TABLES, Tables, known_before

__all__ = ["Check", "code_check", "data_check", "verify_bundle", "verify_output"]


@dataclass(frozen=True, slots=True)
class Check:
    """One claim: its name, whether it holds (None: it could not be checked), and a sentence."""

    name: str
    agrees: bool | None
    text: str


def verify_output(path: Path, tables: Tables | None, bundle: Path | None) -> list[Check]:
    """Check a receipt at `path` against the output beside it, the data, the bundle and this installation.

    tables : as read now, grown or not; None leaves the data unchecked
    bundle : a bundle folder or a pointer to one; None leaves it unchecked. With both, the output is made
        again and compared to the byte.
    Raises DataError if there is no receipt to check.
    """
    receipt, claimed = read_receipt(path)
    checks = [_receipt_check(receipt, claimed)]
    try:
        content = _content(path, receipt)
        checks.append(_output_check(content, receipt))
        checks.append(code_check(receipt.code, output_code(receipt.kind)))
        known, found = None, None
        if tables is not None:
            known = read_as_of(tables, receipt.kind, moment_of(receipt), period_of(receipt))
            then = {name: table["sha256"] for name, table in receipt.data["tables"].items()}
            rows = {name: table["rows"] for name, table in receipt.data["tables"].items()}
            checks.append(
                data_check(known, receipt.data["fingerprint"], then, rows, receipt.arguments["as_of"])
            )
        else:
            checks.append(Check("data", None, "not checked; name the tables with --data"))
        if bundle is not None:
            found, check = _bundle_check(bundle, receipt)
            checks.append(check)
        else:
            checks.append(Check("bundle", None, "not checked; name the bundle with --bundle"))
        checks.append(_recomputed(receipt, content, known, found))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Only a receipt that somebody changed lacks a part; the first check has said so.
        raise DataError(
            f"{path} lacks what a receipt of {receipt.kind} says ({type(error).__name__}: {error})",
            code="bad_receipt",
        ) from error
    return checks


def verify_bundle(path: Path, tables: Tables | None) -> list[Check]:
    """Check a bundle: hashes and golden scores, the code it was made with, the data it learnt from.

    Raises BundleError if there is none.
    """
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        if error.code == "no_bundle":
            raise
        return [Check("bundle", False, error.message)]
    manifest = bundle.manifest
    files = f"{len(manifest['files'])} files with the hashes of the manifest, golden scores reproduced"
    checks = [Check("bundle", True, f"{bundle.short_id}: {files}")]
    recorded = manifest.get("code")
    if recorded is None:
        checks.append(Check("code", None, "not recorded in this bundle; it is older than receipts"))
    else:
        training = {k: v for k, v in recorded["sources"].items() if k != "forecast"}
        # What else took part is for `python -m training verify` to check: it is not installed everywhere.
        checks.append(code_check(recorded, bundle_code(**training)))
    if tables is None:
        checks.append(Check("data", None, "not checked; name the tables with --data"))
    else:
        known = known_before(tables, bundle.trained_until)
        then = manifest.get("data_tables") or {}
        checks.append(
            data_check(known, manifest["data_fingerprint"], then, {}, bundle.trained_until.isoformat())
        )
    return checks


def code_check(then: dict[str, Any], now: dict[str, Any]) -> Check:
    """Whether this installation is the one that made a result."""
    different = list(_differences(then, now))
    if different:
        return Check("code", False, "; ".join(different))
    return Check(
        "code", True, f"version {now['version']}, sources {now['sources']['forecast'][:12]}, same libraries"
    )


def _differences(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    if then["version"] != now["version"]:
        yield f"version {then['version']} then, {now['version']} now"
    for name, digest in then["sources"].items():
        found = now["sources"].get(name, "none")
        if digest != found:
            yield f"sources of {name} {digest[:12]} then, {found[:12]} now"
    if then["python"] != now["python"]:
        yield f"Python {then['python']} then, {now['python']} now"
    for name in sorted(then["packages"].keys() | now["packages"].keys()):
        was, has = then["packages"].get(name, "not installed"), now["packages"].get(name, "not installed")
        if was != has:
            yield f"{name} {was} then, {has} now"


def data_check(
    known: Tables, fingerprint: str, tables: dict[str, str], rows: dict[str, int], as_of: str
) -> Check:
    """Whether the tables, as known before the moment, are those of then; names the ones that are not.

    tables, rows : hash and number of rows of each table then, as far as they were written down
    """
    if known.fingerprint == fingerprint:
        return Check("data", True, f"fingerprint {fingerprint[:12]} of what was recorded before {as_of}")
    others = [name for name in TABLES if name in tables and known.fingerprints[name] != tables[name]]
    told = ", ".join(
        f"{name} ({rows[name]:,} rows then, {len(known[name]):,} now)" if name in rows else name
        for name in others
    )
    return Check(
        "data",
        False,
        f"other rows before {as_of}: {told or 'in which table was not written down'}",
    )


def _receipt_check(receipt: Receipt, claimed: str) -> Check:
    if receipt.kind not in KINDS:
        raise DataError(
            f"the receipt is of {receipt.kind[:40]!r}, which this version cannot make", code="bad_receipt"
        )
    if receipt.id != claimed:
        return Check(
            "receipt",
            False,
            f"changed since it was written: its content has id {receipt.id[:12]}, it says {claimed[:12]}",
        )
    return Check("receipt", True, f"{receipt.id[:12]}, of {receipt.kind.replace('_', ' ')}")


def _content(path: Path, receipt: Receipt) -> bytes | None:
    """The output beside its receipt; None if it is not there."""
    name = receipt.output["file"]
    # A name and no path: a receipt may come from anywhere.
    if Path(name).name != name:
        raise DataError(f"{path} names {name[:60]!r}, which is no file beside it", code="bad_receipt")
    try:
        content: bytes = (path.parent / name).read_bytes()
    except OSError:
        return None
    return content


def _output_check(content: bytes | None, receipt: Receipt) -> Check:
    name, said = receipt.output["file"], receipt.output["sha256"]
    if content is None:
        return Check("output", False, f"{name} is not beside the receipt")
    found = hashlib.sha256(content).hexdigest()
    if found != said:
        return Check("output", False, f"{name} is another: sha256 {found[:12]}, the receipt says {said[:12]}")
    return Check("output", True, f"{name}, sha256 {said[:12]}, {len(content):,} bytes")


def _bundle_check(path: Path, receipt: Receipt) -> tuple[Bundle | None, Check]:
    said = receipt.bundle["id"]
    try:
        bundle = load_bundle(path)
    except BundleError as error:
        if error.code == "no_bundle":
            raise
        return None, Check("bundle", False, error.message)
    if bundle.id != said:
        return None, Check("bundle", False, f"another one: {bundle.short_id}, the receipt says {said[:12]}")
    return bundle, Check(
        "bundle", True, f"{bundle.short_id}, trained until {bundle.trained_until.isoformat()}"
    )


def _recomputed(
    receipt: Receipt, content: bytes | None, known: Tables | None, bundle: Bundle | None
) -> Check:
    if known is None or bundle is None:
        return Check("made again", None, "not made again; that needs the data and the receipt's bundle")
    try:
        again = recompute(receipt, known, bundle)
    except ForecastError as error:
        return Check("made again", False, f"cannot be made from this data: {error.message}")
    # Against the receipt, not the file: a file that was changed has been told of already.
    found, said = hashlib.sha256(again).hexdigest(), receipt.output["sha256"]
    if found == said:
        return Check("made again", True, f"the same {len(again):,} bytes")
    where = ""
    if content is not None and hashlib.sha256(content).hexdigest() == said:
        where = f", first at byte {_first_difference(content, again):,}"
    return Check(
        "made again", False, f"comes out otherwise: sha256 {found[:12]} instead of {said[:12]}{where}"
    )


def _first_difference(one: bytes, other: bytes) -> int:
    shorter = min(len(one), len(other))
    return next((place for place in range(shorter) if one[place] != other[place]), shorter)
