"""`POST /v1/score/bulk`: a book of any size, row by row in and row by row out, in the memory of one part.

Two forms of the same thing: NDJSON, a deal on each line, and CSV, a deal on each record in the flat columns of
`forecast.service.flat`. Rows are answered in their order; one that is wrong is answered with the error shape
and its place, and the others go on. Nothing here waits or sends: `streaming` does, and computes in a thread.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import UsageError
from forecast.history import OPEN, WON, History
from forecast.periods import Period, to_timestamp
from forecast.scoring import score_arrays, score_columns
from forecast.scoring.scores import column_of
from forecast.service.catalogue import Catalogue
from forecast.service.deals import BANT, parse_deal
from forecast.service.encoding import moment
from forecast.service.fast_json import json_rows, loads_at_once, most_keys
from forecast.service.flat import nested
from forecast.service.options import as_of_option, locale_option, period_option, query_of, reasons_option
from forecast.service.refusals import Refusal
from forecast.service.requests import as_known
from forecast.service.sheets import read_sheet
from forecast.service.strict_json import dumps, loads
from forecast.tables import table_bytes

__all__ = ["CSV", "MAX_LINE", "MAX_ROWS_STREAMED", "NDJSON", "Bulk", "Options", "Record"]

NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
MAX_LINE: Final = 1024 * 1024
MAX_ROWS_STREAMED: Final = 1_000_000
# A part is computed at once: enough deals to pay for the calls into numpy, few enough to let others by soon.
_PART_ROWS: Final = 256
_PART_BYTES: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_NUMBER: Final = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")
_NUMBERS: Final = frozenset({"amount", *BANT})
_CSV_MORE: Final = ("skipped", "error", "field", "message")


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for all rows of a stream."""

    as_of_us: int
    period: Period | None
    reasons: int
    locale: str

    @classmethod
    def of(cls, query: bytes, now_us: int) -> Options:
        """From the query string; as_of is `now_us` if none is given. Refusal 400 naming the parameter."""
        given = query_of(query, ("as_of", "period", "reasons", "locale"))
        as_of_us = as_of_option(given.get("as_of"), now_us)
        # int() reads digits of other scripts and underlines too.
        reasons = given.get("reasons")
        count = int(reasons) if reasons and reasons.isascii() and reasons.isdigit() else -1
        return cls(
            now_us if as_of_us is None else as_of_us,
            period_option(given.get("period")),
            reasons_option() if reasons is None else reasons_option(count if len(reasons) < 4 else -1),
            locale_option(given["locale"]) if "locale" in given else locale_option(),
        )


@dataclass(frozen=True, slots=True)
class Record:
    """A row as it came: its place among the rows, from 0, and its bytes; None for one over MAX_LINE."""

    row: int
    content: bytes | None


@dataclass(slots=True)
class _Batch:
    """Rows that are computed together: no deal among them comes twice."""

    deals: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    refused: dict[int, Refusal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Answered:
    """A batch with its scores: arrays by column, in the order of `scored`; deals that are closed already."""

    scores: Mapping[str, Any]
    scored: list[int]
    skipped: dict[int, tuple[str, str]]
    refused: dict[int, Refusal]


class _Form(Protocol):
    """NDJSON or CSV: how rows are told apart and read."""

    def split(self, *, last: bool) -> Iterator[bytes | None]:
        """Complete records of what was fed so far; None for one over MAX_LINE. `last`: nothing more comes."""
        ...

    def feed(self, data: bytes) -> None:
        """Take in more of the body."""
        ...

    def deal(self, record: Record) -> Any:
        """The deal of a record as JSON has it, unchecked; Refusal for what cannot be read."""
        ...


class Bulk:
    """One stream: fed with bytes, asked for parts, which are computed one after the other.

    media : the media type of the request, NDJSON or CSV
    answer : that of the answer
    Raises Refusal 400 for options that are wrong or do not fit each other.
    """

    def __init__(
        self,
        bundle: Bundle,
        known: Catalogue,
        options: Options,
        *,
        media: str,
        answer: str,
        request_id: str,
        model: Mapping[str, str],
    ) -> None:
        self._bundle, self._known, self._options = bundle, known, options
        self._form: _Form = _CsvRows() if media == CSV else _Lines()
        self._at_once = media == NDJSON
        self._request_id, self._model = request_id, model
        self._pending: list[Record] = []
        self._pending_bytes = 0
        self._told_header = False
        self.answer = answer
        self.rows = self.scored = self.skipped = self.refused = 0
        # A period that is over or too far away is wrong for every row alike.
        self._answered(_Batch())

    @property
    def as_of_us(self) -> int:
        """What was recorded before this moment is known."""
        return self._options.as_of_us

    @property
    def pending(self) -> int:
        """Rows that came and were not taken yet."""
        return len(self._pending)

    @property
    def full(self) -> bool:
        """Whether the rows that came are enough for a part."""
        return len(self._pending) >= _PART_ROWS or self._pending_bytes >= _PART_BYTES

    def feed(self, data: bytes, *, last: bool = False) -> None:
        """Take in more of the body; `last` closes it.

        Raises Refusal 400 for a CSV header that is none, 413 `too_many_rows` over MAX_ROWS_STREAMED.
        """
        self._form.feed(data)
        for content in self._form.split(last=last):
            if self.rows >= MAX_ROWS_STREAMED:
                raise Refusal(
                    413, "too_many_rows", f"at most {MAX_ROWS_STREAMED} rows in one stream", row=self.rows
                )
            self._pending.append(Record(self.rows, content))
            self._pending_bytes += len(content or b"")
            self.rows += 1

    def take(self) -> list[Record]:
        """The next part: at most as many rows as are computed at once."""
        part, self._pending = self._pending[:_PART_ROWS], self._pending[_PART_ROWS:]
        self._pending_bytes = sum(len(record.content or b"") for record in self._pending)
        return part

    def compute(self, part: list[Record]) -> bytes:
        """The answers to a part, in its order; called for one part at a time."""
        if self._at_once and (answered := self._read_at_once(part)) is not None:
            return self._told(answered)
        told: list[bytes] = []
        batch = _Batch()
        for record in part:
            try:
                deal = self._read(record)
            except Refusal as refusal:
                batch.refused[record.row] = refusal
                continue
            if deal["deal_id"] in batch.deals:
                # The same deal twice, maybe of two moments: each is answered for itself.
                told.append(self._told(self._answered(batch)))
                batch = _Batch()
            batch.deals[deal["deal_id"]] = (record.row, deal)
        told.append(self._told(self._answered(batch)))
        return b"".join(told)

    def finish(self) -> bytes:
        """The end of a stream that was answered whole: what it held, so that a broken one is seen."""
        if self.answer == CSV:
            return b"" if self._told_header else self._csv_header()
        counts = {
            "rows": self.rows,
            "scored": self.scored,
            "skipped": self.skipped,
            "refused": self.refused,
        }
        return _line({"end": {"model": self._model, "as_of": moment(self.as_of_us), **counts}})

    def broken(self, refusal: Refusal) -> bytes:
        """The last line of a stream that ends before its time; none with `end` follows it."""
        if self.answer == CSV:
            cells = {"error": refusal.code, "field": refusal.field, "message": refusal.message}
            return self._csv(pd.DataFrame([cells]))
        return _line(refusal.body(self._request_id))

    # -- a part -------------------------------------------------------------------------------------------

    def _read(self, record: Record) -> dict[str, Any]:
        """A row as a checked deal without its future."""
        if record.content is None:
            raise Refusal(413, "line_too_long", f"the row is over {MAX_LINE} bytes", row=record.row)
        try:
            raw = self._form.deal(record)
        except Refusal as refusal:
            reason = refusal.message.replace("the body", "the row")
            raise Refusal(refusal.status, refusal.code, reason, field=refusal.field, row=record.row) from None
        return as_known(parse_deal(raw, record.row, self._known), record.row, self._options.as_of_us)

    def _read_at_once(self, part: list[Record]) -> _Answered | None:
        """A part of plain rows, column by column; None where anything looks odd, see `reading`."""
        lines = [record.content for record in part if record.content is not None]
        try:
            raw = [loads_at_once(line) for line in lines]
            sheet, keys = read_sheet(raw, self._known)
        except ValueError:
            return None
        if (
            len(lines) < len(part)
            or keys != sum(map(most_keys, lines))
            or not sheet.is_known(self._options.as_of_us)
        ):
            return None
        models = self._bundle.models
        history = History.from_sheet(sheet, self._options.as_of_us, stages=models.stages, money=models.money)
        place = {name: record.row for name, record in zip(sheet.deal_ids, part, strict=True)}
        return self._scored(history, place, {})

    def _answered(self, batch: _Batch) -> _Answered:
        models = self._bundle.models
        deals = [deal for _, deal in batch.deals.values()]
        history = History.from_request(deals, stages=models.stages, money=models.money)
        return self._scored(history, {name: row for name, (row, _) in batch.deals.items()}, batch.refused)

    def _scored(self, history: History, place: Mapping[str, int], refused: dict[int, Refusal]) -> _Answered:
        """place : deal id -> its place among the rows"""
        scores = self._scores(history)
        skipped: dict[int, tuple[str, str]] = {}
        if len(scores["deal_id"]) < len(history):
            every = np.arange(len(history))
            kind = history.stages.kind[history.stage(every, np.full(len(every), self.as_of_us))]
            for at in np.flatnonzero(kind != OPEN):
                name = str(history.deal_ids[at])
                skipped[place[name]] = (name, "won" if kind[at] == WON else "lost")
        return _Answered(scores, [place[str(name)] for name in scores["deal_id"]], skipped, refused)

    def _scores(self, history: History) -> dict[str, Any]:
        options = self._options
        try:
            return score_arrays(
                history,
                self._bundle,
                history.open_deals(options.as_of_us),
                to_timestamp(options.as_of_us),
                period=options.period,
                reasons=options.reasons,
                locale=options.locale,
            )
        except UsageError as error:
            if error.code not in _PERIODS:
                raise
            raise Refusal(400, error.code, _PERIODS[error.code], field="period") from None

    # -- how it is told -----------------------------------------------------------------------------------

    def _told(self, answered: _Answered) -> bytes:
        self.scored += len(answered.scored)
        self.skipped += len(answered.skipped)
        self.refused += len(answered.refused)
        return self._as_csv(answered) if self.answer == CSV else self._as_lines(answered)

    def _as_lines(self, answered: _Answered) -> bytes:
        found = json_rows(answered.scores, moments=("as_of",), json_texts=("reasons",))
        lines = {
            row: b'{"row":%d,"score":%s}\n' % (row, score)
            for row, score in zip(answered.scored, found, strict=True)
        }
        for row, (deal_id, reason) in answered.skipped.items():
            lines[row] = _line({"row": row, "skipped": {"deal_id": deal_id, "reason": reason}})
        for row, refusal in answered.refused.items():
            lines[row] = _line({"row": row, **refusal.body(self._request_id)})
        return b"".join(lines[row] for row in sorted(lines))

    def _as_csv(self, answered: _Answered) -> bytes:
        scores = pd.DataFrame({name: column_of(name, values) for name, values in answered.scores.items()})
        told = pd.DataFrame(
            [
                *(
                    {"row": row, "deal_id": name, "skipped": why}
                    for row, (name, why) in answered.skipped.items()
                ),
                *(
                    {"row": row, "error": refusal.code, "field": refusal.field, "message": refusal.message}
                    for row, refusal in answered.refused.items()
                ),
            ],
            columns=["row", "deal_id", *_CSV_MORE],
            dtype=object,
        )
        scores.index, told.index = (
            pd.Index(answered.scored, dtype="int64"),
            pd.Index(told["row"], dtype="int64"),
        )
        whole = scores.reindex(scores.index.union(told.index))
        told_apart = {name: told[name] for name in _CSV_MORE}
        names = whole["deal_id"].fillna(told["deal_id"])
        return self._csv(whole.assign(row=whole.index, deal_id=names, **told_apart))

    def _csv_columns(self) -> list[str]:
        return ["row", *score_columns(self._options.period is not None), *_CSV_MORE]

    def _csv_header(self) -> bytes:
        self._told_header = True
        return (",".join(self._csv_columns()) + "\n").encode()

    def _csv(self, frame: pd.DataFrame) -> bytes:
        """Records as `forecast score` writes them; before the first the header."""
        header = b"" if self._told_header else self._csv_header()
        columns = frame.reindex(columns=self._csv_columns()).reset_index(drop=True).astype({"score": "Int64"})
        content = table_bytes(columns, Path("bulk.csv"), guard_formulas=True)
        return header + content.partition(b"\n")[2]


_PERIODS: Final = {
    "past_period": "ended before as_of; ask for a later one",
    "beyond_horizon_cap": "lies more than two years ahead; ask for a nearer one",
}


def _line(value: Mapping[str, Any]) -> bytes:
    return dumps(value) + b"\n"


# -- rows of a body -----------------------------------------------------------------------------------------


class _Splitter:
    """Cuts a stream at its line ends; what is longer than MAX_LINE is dropped as it comes and told as None.

    quoted : whether a line end between quotes belongs to the record, as in CSV. After a record that is too long
        the next line end counts, whatever stands before it.
    """

    def __init__(self, *, quoted: bool) -> None:
        self._quoted = quoted
        self._rest = bytearray()
        self._seen = 0  # how far the rest was looked through
        self._quotes = 0  # those up to there
        self._dropping = False

    def feed(self, data: bytes) -> None:
        self._rest += data

    def split(self, *, last: bool) -> Iterator[bytes | None]:
        start = 0
        if last and self._rest:
            self._rest += b"\n"
        while (end := self._rest.find(b"\n", self._seen)) >= 0:
            if self._quoted:
                self._quotes += self._rest.count(b'"', self._seen, end)
            self._seen = end + 1
            closing = last and self._seen == len(self._rest)
            too_long = self._dropping or end - start > MAX_LINE
            if self._quotes % 2 and not too_long and not closing:
                continue
            content = None if too_long else bytes(self._rest[start:end]).removesuffix(b"\r")
            start, self._quotes, self._dropping = self._seen, 0, False
            if content is None or content.strip():
                yield content
        del self._rest[:start]
        self._seen -= start
        if len(self._rest) > MAX_LINE:
            self._dropping, self._seen = True, 0
            self._rest.clear()
        if last and self._dropping:
            self._dropping = False
            yield None


class _Lines(_Splitter):
    """NDJSON: one deal of a request on each line, blank lines skipped."""

    def __init__(self) -> None:
        super().__init__(quoted=False)

    def deal(self, record: Record) -> Any:
        return loads(record.content or b"")


class _CsvRows(_Splitter):
    """CSV with a header: the columns of `forecast.service.flat`; empty means unknown."""

    def __init__(self) -> None:
        super().__init__(quoted=True)
        self._names: list[str] = []

    def split(self, *, last: bool) -> Iterator[bytes | None]:
        for content in super().split(last=last):
            if self._names:
                yield content
            else:
                self._names = _header(content)
        if last and not self._names:
            raise Refusal(400, "bad_header", "the body is empty; expected a header line")

    def deal(self, record: Record) -> Any:
        cells = _cells(record.content or b"", record.row)
        if len(cells) != len(self._names):
            expected = len(self._names)
            raise Refusal(
                400, "cell_count", f"{len(cells)} cells where the header has {expected}", row=record.row
            )
        given: dict[str, Any] = {name: cell for name, cell in zip(self._names, cells, strict=True) if cell}
        for name in _NUMBERS & given.keys():
            # Other text stays what it is: the bundle may know the word, and else it is refused as no number.
            if _NUMBER.fullmatch(given[name]):
                given[name] = float(given[name])
        return nested(given, record.row)


def _header(content: bytes | None) -> list[str]:
    if content is None:
        raise Refusal(413, "line_too_long", f"the header is over {MAX_LINE} bytes")
    names = [name.strip() for name in _cells(content.removeprefix(_BOM), None)]
    if "deal_id" not in names or "created_at" not in names:
        raise Refusal(
            400,
            "bad_header",
            "expected a header line of comma-separated names, deal_id and created_at among them",
        )
    if len(set(names)) < len(names) or "" in names:
        raise Refusal(400, "bad_header", "a name in the header comes twice or is blank")
    return names


def _cells(content: bytes, row: int | None) -> list[str]:
    try:
        text = content.decode()
        # A record is one line to the reader; its own line ends lie between quotes.
        return next(csv.reader([text] if "\n" not in text else text.splitlines(keepends=True), strict=True))
    except UnicodeDecodeError:
        raise Refusal(400, "not_utf8", "is not UTF-8", row=row) from None
    except (csv.Error, StopIteration):
        raise Refusal(
            400, "bad_quotes", "has a quote inside a cell, or one that is never closed", row=row
        ) from None
