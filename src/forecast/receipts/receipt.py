"""The receipt of one published file, as JSON.

    format      of this file
    kind        what was published: scores, lead_scores, questions, bookings, deciding, report
    output      file name, sha256, bytes
    arguments   as_of and whatever else of the command changes the content
    data        fingerprint of the tables as they were known before as_of, of each table, rows set aside
    bundle      id, trained_until, settings of the training
    code        version, hash of the sources, Python and the libraries
    id          sha256 of all of the above: what was written once is not put right afterwards

No path, no time of day and no data are in it: the same run gives the same receipt, byte by byte. The id is no
signature. Whoever can write both files can write a matching pair; keep the id elsewhere to be sure.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from forecast.errors import DataError, UsageError
from forecast.tables import Dialect
from forecast.tables.dialect import SECTIONS

__all__ = ["FORMAT", "Receipt", "read_receipt", "receipt_path"]

FORMAT: Final = 1
_ENDING: Final = ".receipt.json"
_MOST_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Receipt:
    """What a file was made from; see above for what each part holds."""

    kind: str
    output: dict[str, Any]
    arguments: dict[str, Any]
    data: dict[str, Any]
    bundle: dict[str, Any]
    code: dict[str, Any]
    format: int = FORMAT

    @property
    def id(self) -> str:
        """SHA-256 of the content."""
        return hashlib.sha256(_encoded(asdict(self))).hexdigest()

    @property
    def dialect(self) -> Dialect:
        """In which words the data were read. Raises DataError if the receipt was changed there."""
        try:
            settings = self.bundle["settings"]
            return Dialect.from_json({name: settings[name] for name in SECTIONS if name in settings})
        except (KeyError, TypeError, UsageError) as error:
            raise DataError(
                f"the receipt does not say how the data were read ({error}); it was changed",
                code="bad_receipt",
            ) from error

    def encode(self) -> bytes:
        """The receipt as the bytes of its file."""
        content = {**asdict(self), "id": self.id}
        return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def receipt_path(output: Path) -> Path:
    """Where the receipt of an output lies: `scores.csv.receipt.json` beside `scores.csv`."""
    return output if output.name.endswith(_ENDING) else output.with_name(output.name + _ENDING)


def read_receipt(path: Path) -> tuple[Receipt, str]:
    """A receipt and the id it claims; they agree unless somebody changed it.

    Raises DataError if the file is missing or no receipt of this format.
    """
    try:
        content = path.read_bytes()[: _MOST_BYTES + 1]
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}; name a receipt, or a file that has one beside it",
            code="no_receipt",
        ) from error
    try:
        parts = json.loads(content)
        claimed = parts.pop("id")
        if parts["format"] != FORMAT:
            raise DataError(
                f"{path} is a receipt of format {str(parts['format'])[:20]}, this version reads {FORMAT}",
                code="bad_receipt",
            )
        return Receipt(**parts), str(claimed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(
            f"{path} is no receipt; name the file that ends in {_ENDING}", code="bad_receipt"
        ) from error


def _encoded(content: dict[str, Any]) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
