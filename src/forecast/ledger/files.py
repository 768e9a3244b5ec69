"""Erasing from files outside the ledger: outputs, quarantine reports and tables in folders a user names.

Rows of CSV and Parquet, lines of JSON Lines and entries of lists in JSON that hold the id go, all others stay
as they are to the byte (Parquet: to the value). A page goes whole. What cannot be taken apart, a bundle or a
file of another kind, is named so that somebody does it; nothing is passed over in silence.
"""

from __future__ import annotations

import csv
import html
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from forecast.errors import OutputError, UsageError
from forecast.ledger.erase import Subject
from forecast.tables import table_bytes, write_bytes

__all__ = ["FolderErased", "erase_in_folder", "still_holding"]

# What stands between two tags.
_SHOWN: Final = re.compile(rb">([^<>]{1,600})<")
_PAGES: Final = (".html", ".htm", ".svg")
_ID_COLUMNS: Final = ("entity", "value", "actor", "raw")
# zip (and with it .xlsx, .docx), gzip, bzip2, xz, zstd, 7z, pdf (whose text is compressed)
_PACKED: Final = (
    b"PK\x03\x04",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
    b"\x28\xb5\x2f\xfd",
    b"7z\xbc\xaf",
    b"%PDF",
)
_SQLITE: Final = b"SQLite format 3\0"


@dataclass(frozen=True)
class FolderErased:
    """Files that changed with the number of rows that went, files that went whole, and packed ones.

    packed : compressed files and archives, into which nobody has looked
    """

    changed: dict[Path, int] = field(default_factory=dict)
    removed: tuple[Path, ...] = ()
    packed: tuple[Path, ...] = ()


class _Trace:
    """How a subject, and the deals that go with it, show in a file."""

    def __init__(self, subject: Subject, deals: Collection[str]) -> None:
        self.id = subject.id
        self.deals = frozenset(deals)
        # A bare number stands for many things: it is an id only where an id belongs.
        self.plain_number = subject.id.isdigit()
        self._word = subject.word
        escaped = {json.dumps(subject.id)[1:-1], json.dumps(subject.id, ensure_ascii=False)[1:-1]}
        forms = {subject.id, html.escape(subject.id), subject.id.replace('"', '""'), *escaped}
        self.needles = tuple(sorted(form.encode() for form in forms))

    def in_text(self, text: str) -> bool:
        """Whether a text names the subject."""
        return text == self.id or (not self.plain_number and self._word.search(text) is not None)

    def in_cell(self, column: str, cell: str) -> bool:
        """Whether a cell of a table names the subject or one of the deals."""
        # A guard against formulas puts an apostrophe in front.
        bare = cell.removeprefix("'")
        if column == "deal_id" and bare in self.deals:
            return True
        if self.plain_number:
            return bare == self.id and (column.endswith("_id") or column in _ID_COLUMNS)
        return self.in_text(bare)

    def in_bytes(self, content: bytes) -> bool:
        """Whether the bytes of the id are there in any way of writing it."""
        return any(needle in content for needle in self.needles)

    def in_page(self, content: bytes) -> bool:
        """Whether a page shows the subject or one of the deals: as a word, or, of bare numbers, where a text
        between two tags begins with it and is about nothing else, as in `7` or `7 (Ana, 12k)`.
        """
        if not self.plain_number and self.in_bytes(content):
            return True
        shown = [html.unescape(text.decode(errors="replace")).strip() for text in _SHOWN.findall(content)]
        ids = {self.id, *self.deals}
        if not ids.isdisjoint(text.partition(" (")[0] for text in shown):
            return True
        words = [re.escape(one) for one in self.deals if not one.isdigit()]
        return (
            bool(words)
            and re.search(rf"(?<![\w-])(?:{'|'.join(words)})(?![\w-])", "\n".join(shown)) is not None
        )


def erase_in_folder(
    folder: Path, subject: Subject, deals: Collection[str] = (), *, rehearse: bool = False
) -> FolderErased:
    """Erase a subject from every file below a folder; links are not followed. May be run again.

    deals : ids of the deals that go with the subject
    rehearse : find what would go, and leave it
    Raises UsageError if there is no such folder, OutputError for a file that cannot be read or written.
    """
    trace = _Trace(subject, deals)
    changed: dict[Path, int] = {}
    removed: list[Path] = []
    packed: list[Path] = []
    for path, content in _files(folder):
        if content.startswith(_PACKED):
            packed.append(path)
        if _of_bundle(path):
            continue
        suffix = path.suffix.lower()
        left: bytes | None = None
        gone = 0
        if suffix == ".csv":
            left, gone = _without_records(content, trace)
        elif suffix == ".parquet":
            left, gone = _without_rows(path, trace)
        elif suffix in (".jsonl", ".ndjson"):
            left, gone = _without_lines(content, trace)
        elif suffix == ".json":
            left, gone = _without_entries(content, trace)
        elif suffix in _PAGES and trace.in_page(content):
            left, gone = None, 1
        if not gone:
            continue
        if left is None:
            removed.append(path)
            if not rehearse:
                _remove(path)
        else:
            changed[path] = gone
            if not rehearse:
                write_bytes(path, left)
    return FolderErased(changed, tuple(removed), tuple(packed))


def still_holding(folder: Path, subject: Subject) -> list[Path]:
    """Files below a folder in which the bytes of the id still are.

    A bare number such as 7 is in nearly every file: of those only bundles are looked at, for it as a text.
    """
    trace = _Trace(subject, ())
    if trace.plain_number:
        quoted = json.dumps(subject.id).encode()
        return [path for path, content in _files(folder) if _of_bundle(path) and quoted in content]
    return [path for path, content in _files(folder) if trace.in_bytes(content)]


def _files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    if not folder.is_dir():
        raise UsageError(f"--folder {folder} is no folder", code="no_folder")
    for place, _, names in os.walk(folder, followlinks=False):
        for name in sorted(names):
            path = Path(place) / name
            if path.is_symlink() or not path.is_file():
                continue
            try:
                content = path.read_bytes()
            except OSError as error:
                raise OutputError(
                    f"{path} cannot be read: {error.strerror}; nothing can be said of what it holds",
                    code="cannot_read",
                ) from error
            yield path, content


def _of_bundle(path: Path) -> bool:
    """Part of a bundle, whose hashes hold it together, or a database: not ours to take apart."""
    if (path.parent / "manifest.json").is_file() and path.suffix.lower() in (".json", ".txt"):
        return True
    with path.open("rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _without_records(content: bytes, trace: _Trace) -> tuple[bytes | None, int]:
    """A CSV file without the records that name the subject; the others to the byte."""
    taken: list[str] = []

    def lines(text: str) -> Iterator[str]:
        for line in re.findall(r"[^\n]*\n|[^\n]+", text):
            taken.append(line)
            yield line

    kept: list[str] = []
    header: Sequence[str] | None = None
    gone = 0
    csv.field_size_limit(1 << 30)
    try:
        for record in csv.reader(lines(content.decode())):
            raw = "".join(taken)
            taken.clear()
            if header is None:
                header = [name.removeprefix("\ufeff") for name in record]
            elif any(
                trace.in_cell(column, cell)
                for column, cell in zip([*header, *[""] * len(record)], record, strict=False)
            ):
                gone += 1
                continue
            kept.append(raw)
    except (UnicodeDecodeError, csv.Error):
        return content, 0  # no table; if the id is in there, it is told of afterwards
    return "".join(kept).encode(), gone


def _without_rows(path: Path, trace: _Trace) -> tuple[bytes | None, int]:
    frame = pd.read_parquet(path)
    hit = pd.Series(False, index=frame.index)
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            continue
        named = {text: trace.in_cell(str(name), str(text)) for text in column.dropna().unique()}
        hit |= column.map(named).fillna(False).astype(bool)
    if not hit.any():
        return None, 0
    return table_bytes(frame[~hit].reset_index(drop=True), path), int(hit.sum())


def _without_lines(content: bytes, trace: _Trace) -> tuple[bytes | None, int]:
    kept, gone = [], 0
    for line in content.splitlines(keepends=True):
        try:
            hit = _names(json.loads(line), trace)
        except ValueError:
            hit = trace.in_bytes(line)
        gone += hit
        if not hit:
            kept.append(line)
    return b"".join(kept), gone


def _without_entries(content: bytes, trace: _Trace) -> tuple[bytes | None, int]:
    """A JSON file without the list entries that name the subject; None if it is named outside of lists."""
    try:
        found = json.loads(content)
    except ValueError:
        return content, 0
    if not _names(found, trace):
        return None, 0
    left, gone = _pruned(found, trace)
    if not gone or _names(left, trace):
        return None, 1
    return (json.dumps(left, indent=2, ensure_ascii=False) + "\n").encode(), gone


def _names(found: Any, trace: _Trace) -> bool:
    if isinstance(found, str):
        return trace.in_text(found)
    if isinstance(found, dict):
        return any(
            trace.in_text(key) or _names(value, trace) or (key == "deal_id" and value in trace.deals)
            for key, value in found.items()
        )
    return isinstance(found, list) and any(_names(value, trace) for value in found)


def _pruned(found: Any, trace: _Trace) -> tuple[Any, int]:
    if isinstance(found, list):
        kept = [value for value in found if not _names(value, trace)]
        return kept, len(found) - len(kept)
    if isinstance(found, dict):
        parts = {key: _pruned(value, trace) for key, value in found.items()}
        return {key: value for key, (value, _) in parts.items()}, sum(gone for _, gone in parts.values())
    return found, 0


def _remove(path: Path) -> None:
    try:
        path.unlink()
    except OSError as error:
        raise OutputError(f"{path} cannot be removed: {error.strerror}", code="cannot_write") from error
