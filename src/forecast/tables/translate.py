"""From the words of an export to those of the contract, a whole column at once, before anything is checked."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from forecast.errors import DataError
from forecast.tables.dialect import Dialect
from forecast.tables.models import BANT, DEFAULTS, OPEN_TABLES, TABLES, DealEvents, Deals, Stages
from forecast.tables.rows import Loaded
from forecast.tables.source import Source

__all__ = ["Translation"]

Ints = NDArray[np.int64]

_STAGE: Final = "stage"
_MOST_WORDS: Final = 6  # told in a warning


@dataclass(eq=False)
class Translation:
    """One folder's files on their way into the contract's words.

    warnings : what was read in a way somebody should know of, in the order of the files
    """

    dialect: Dialect
    warnings: list[str] = field(default_factory=list)
    _headers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _fields: set[str] = field(default_factory=set)

    def cells(self, table: str, source: Source) -> Source:
        """The file with our headers, our names of fields and numbers for words of BANT.

        Raises DataError if a header of theirs is to become one that the file has as well.
        """
        cells = self._renamed(table, source)
        read: dict[str, dict[str, float]] = {}
        speaks = bool(self.dialect.words) or self.dialect.common_words
        if table == "deal_events" and {DealEvents.field, DealEvents.value} <= set(cells.column_names):
            cells = self._event_fields(cells)
            cells = self._event_shares(cells, read) if speaks else cells
        for name in BANT if speaks and table in OPEN_TABLES else ():
            if name in cells.column_names:
                column = self._shares(name, cells[name], read)
                cells = cells.set_column(cells.column_names.index(name), name, column)
        if read:
            self.warnings.append(_words_read(source.file, read))
        return source if cells is source.cells else replace(source, cells=cells)

    def stages(self, loaded: Loaded) -> None:
        """The stages table under our names, with the rows the rules state."""
        self._rename_stages(loaded)
        stated = self.dialect.stated_stages
        if not stated:
            return
        frame = loaded.frame
        rows = pd.DataFrame(
            {
                name: [row.get(name, DEFAULTS["stages"].get(name)) for row in stated]
                for name in TABLES["stages"]
            }
        )
        replaced = _pairs(frame).isin(_pairs(rows))
        loaded.superseded += int(replaced.sum())
        loaded.keep(~replaced)
        loaded.state(pd.concat([loaded.frame, rows.astype(frame.dtypes)], ignore_index=True), len(rows))

    def stage_events(self, events: Loaded, deals: Loaded) -> None:
        """Stage events under the names of today, by the deal's pipeline and the moment they were recorded."""
        dialect = self.dialect
        if not (dialect.stage_names or dialect.redefinitions):
            return
        frame = events.frame
        moves = np.flatnonzero((frame[DealEvents.field] == _STAGE).to_numpy())
        names = frame[DealEvents.value].iloc[moves]
        place = pd.Index(deals.frame[Deals.deal_id]).get_indexer(frame[DealEvents.deal_id].iloc[moves])
        pipeline = deals.frame[Deals.pipeline].reindex(place).to_numpy(object)
        at_us = frame[DealEvents.recorded_at].iloc[moves].to_numpy("datetime64[us]").astype(np.int64)
        found = names.astype(object).copy()
        open_still = np.ones(len(moves), bool)
        # As `Dialect.stage` has it: what meant something else at the time, then the pipeline's own names.
        rules: list[tuple[str, int | None, Mapping[str, str]]] = [
            (one.pipeline, one.until_us, one.rename) for one in dialect.redefinitions
        ]
        own_first = sorted(dialect.stage_names.items(), key=lambda item: not item[0])
        rules += [(name, None, rename) for name, rename in own_first]
        for of, until_us, rename in rules:
            here = open_still & names.isin(list(rename)).to_numpy()
            if of:
                here &= pipeline == of
            if until_us is not None:
                here &= at_us < until_us
            found[here] = names[here].map(rename)
            open_still &= ~here
        if open_still.all():
            return
        value = frame[DealEvents.value].copy()
        value.iloc[moves] = found.astype(value.dtype)
        events.frame = frame.assign(**{DealEvents.value: value})
        events.settle_versions()  # two old names at one moment may have become one

    def notes(self, loaded: Mapping[str, Loaded]) -> Iterator[str]:
        """Rules that lead nowhere: headers no file has, and stages no table has."""
        for table, rules in self.dialect.columns.items():
            have = self._headers.get(table)
            if have is None:
                continue
            for name in rules:
                if name in have or (table == "deals" and name in self._fields):
                    continue
                near = difflib.get_close_matches(name, have, 1, 0.6)
                meant = f"; is '{near[0]}' meant?" if near else ""
                yield f"settings: columns.{table} renames '{name}', which no column is called{meant}"
        stages = loaded.get("stages")
        if stages is None:
            return
        known = set(stages.frame[Stages.stage])
        targets = {ours for rules in self.dialect.stage_names.values() for ours in rules.values()}
        targets |= {ours for one in self.dialect.redefinitions for ours in one.rename.values()}
        for ours in sorted(targets - known):
            near = difflib.get_close_matches(ours, known, 1, 0.6)
            meant = f"; is '{near[0]}' meant?" if near else ""
            yield f"settings: stages rename to '{ours}', which is no stage of the stages table{meant}"

    def _renamed(self, table: str, source: Source) -> pa.Table:
        cells = source.cells
        names = cells.column_names
        self._headers[table] = tuple(names)
        rules = self.dialect.columns.get(table, {})
        ours = [rules.get(name, name) for name in names]
        if ours == names:
            return cells
        for place, name in enumerate(ours):
            if name in ours[:place]:
                other = names[ours.index(name)]
                raise DataError(
                    f"would have two columns {name!r}: {other!r} and {names[place]!r}; "
                    "take one out of the file or of [columns] in the settings",
                    code="duplicate_column",
                )
        return cells.rename_columns(ours)

    def _event_fields(self, cells: pa.Table) -> pa.Table:
        """Names of fields are headers of deals."""
        rules = self.dialect.columns.get("deals", {})
        names = cells[DealEvents.field]
        if not rules or not pa.types.is_large_string(names.type):
            return cells
        self._fields.update(name for name in pc.unique(names).to_pylist() if name is not None)
        return cells.set_column(
            cells.column_names.index(DealEvents.field), DealEvents.field, _mapped(names, rules)
        )

    def _event_shares(self, cells: pa.Table, read: dict[str, dict[str, float]]) -> pa.Table:
        fields, values = cells[DealEvents.field], cells[DealEvents.value]
        if not (pa.types.is_large_string(fields.type) and pa.types.is_large_string(values.type)):
            return cells
        changed = values.combine_chunks()
        for name in BANT:
            here = pc.fill_null(pc.equal(fields, name), False).combine_chunks()
            some = self._shares(name, values.filter(here), read)
            if some.num_chunks:
                changed = pc.replace_with_mask(changed, here, some.combine_chunks())
        if changed.equals(values.combine_chunks()):
            return cells
        return cells.set_column(cells.column_names.index(DealEvents.value), DealEvents.value, changed)

    def _shares(
        self, name: str, cells: pa.ChunkedArray, read: dict[str, dict[str, float]]
    ) -> pa.ChunkedArray:
        """A BANT column with numbers for the words that are known; the others stay, and fail as such."""
        dialect = self.dialect
        if pa.types.is_boolean(cells.type):
            cells = pc.if_else(cells, "true", "false").cast(pa.large_string())
        elif pa.types.is_integer(cells.type) and dialect.words:
            cells = cells.cast(pa.large_string())  # 0, 1, 2 may be words, too
        if not pa.types.is_large_string(cells.type):
            return cells
        found: dict[str, str | None] = {}
        for word in pc.unique(cells).to_pylist():
            share = None if word is None or not word.strip() else dialect.share(name, word)
            if share is not None:
                found[word] = None if np.isnan(share) else f"{share:.17g}"
                if dialect.stated_share(name, word) is None:
                    read.setdefault(name, {})[word.strip()] = share
        return _mapped(cells, found) if found else cells

    def _rename_stages(self, loaded: Loaded) -> None:
        rules = self.dialect.stage_names
        if not rules or not len(loaded.frame):
            return
        frame = loaded.frame
        theirs = frame[Stages.stage]
        every = rules.get("", {})
        ours = [
            rules.get(pipeline, {}).get(name, every.get(name, name))
            for pipeline, name in zip(frame[Stages.pipeline], theirs, strict=True)
        ]
        loaded.frame = frame.assign(**{Stages.stage: pd.Series(ours, index=frame.index, dtype=theirs.dtype)})
        pairs = _pairs(loaded.frame)
        native = (loaded.frame[Stages.stage] == theirs).to_numpy()
        # A stage that bears the name already stays as it is; of several renamed ones, the first.
        order = np.lexsort((np.arange(len(pairs)), ~native))
        first = np.zeros(len(pairs), bool)
        first[order] = ~pairs[order].duplicated()
        loaded.superseded += int((~first).sum())
        loaded.keep(first)


def _pairs(frame: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(frame[[Stages.pipeline, Stages.stage]].astype(object))


def _mapped(cells: pa.ChunkedArray, found: Mapping[str, Any]) -> pa.ChunkedArray:
    """Texts with those in `found` replaced; as many lookups as there are different texts."""
    texts = pc.dictionary_encode(cells).combine_chunks()
    ours = pa.array([found.get(text, text) for text in texts.dictionary.to_pylist()], pa.large_string())
    return pa.chunked_array([ours.take(texts.indices)])


def _words_read(file: str, read: Mapping[str, Mapping[str, float]]) -> str:
    words: dict[str, str] = {}
    for shares in read.values():
        for word, share in shares.items():
            words.setdefault(word, "unknown" if np.isnan(share) else f"{share:g}")
    some = ", ".join(f"{word} = {share}" for word, share in list(words.items())[:_MOST_WORDS])
    more = ", …" if len(words) > _MOST_WORDS else ""
    return f"{file}: words in {', '.join(sorted(read))} were read as numbers ({some}{more})"
