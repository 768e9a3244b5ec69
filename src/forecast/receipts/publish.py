"""Writing an output together with its receipt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pandas as pd

from forecast.bundle import Bundle
from forecast.code_version import code_of
from forecast.periods import Period
from forecast.receipts.reads import KINDS
from forecast.receipts.receipt import Receipt, receipt_path
from forecast.tables import Reading, write_bytes

__all__ = ["output_code", "publish"]


def publish(
    path: Path,
    content: bytes,
    kind: str,
    *,
    reading: Reading,
    bundle: Bundle,
    as_of: pd.Timestamp,
    period: Period | None = None,
    **arguments: str | int,
) -> Receipt:
    """Write an output and its receipt, each whole or not at all, and return the receipt.

    reading : its tables are those of `read_as_of` for this kind; its report that of the whole data
    arguments : what else of the command changes the content

    The output first: stopped in between, an older receipt is left whose hash does not agree with the new
    output, so nothing verifies that should not. Raises OutputError.
    """
    receipt = Receipt(
        kind=kind,
        output={"file": path.name, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)},
        arguments={
            "as_of": as_of.isoformat(),
            "period": None if period is None else period.label,
            **arguments,
        },
        data={
            "fingerprint": reading.tables.fingerprint,
            "tables": {
                name: {"rows": len(reading.tables[name]), "sha256": reading.tables.fingerprints[name]}
                for name in KINDS[kind].tables
            },
            "set_aside": {
                name: count.quarantined for name, count in reading.report.tables.items() if count.quarantined
            },
        },
        bundle={
            "id": bundle.id,
            "trained_until": bundle.trained_until.isoformat(),
            "settings": bundle.manifest.get("settings", {"fit": bundle.models.settings}),
        },
        code=output_code(kind),
    )
    write_bytes(path, content)
    write_bytes(receipt_path(path), receipt.encode())
    return receipt


def output_code(kind: str) -> dict[str, Any]:
    """The code that makes an output of that kind, as it is now."""
    return code_of(packages=KINDS[kind].packages)
