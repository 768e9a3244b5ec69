"""Track records: how many deals an owner, an account or a source had closed, and won, before a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.history.asof import AsOfIndex
from forecast.history.history import History
from forecast.history.stages import WON

__all__ = ["RECORDS", "DatedRecords", "FrozenRecords", "TrackRecords"]

# What has a track record -> the vocabulary its codes come from. "all" is everybody together.
RECORDS: Final = {"owner": "owner_id", "account": "account_id", "source": "source"}


class TrackRecords(Protocol):
    """Counts of closed and won deals per owner, account, source and for all together."""

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:
        """(closed, won) before the moment with clock rank `rank`; 0 for an unknown code (-1)."""
        ...


@dataclass(frozen=True)
class DatedRecords:
    """Track records as they stood at any moment of a history: what training reads.

    The deal itself is open at its landmark, so its own outcome is never among the counts.
    """

    indices: dict[str, AsOfIndex]
    wins: dict[str, Floats]

    @classmethod
    def of(cls, history: History) -> DatedRecords:
        """Index all closings of a history by owner, account and source."""
        closings = history.closings
        codes = {
            "owner": closings.owner,
            "account": history.columns.account[closings.deal],
            "source": history.columns.source[closings.deal],
            "all": np.zeros(len(closings.deal), dtype=np.int64),
        }
        indices, wins = {}, {}
        for kind, code in codes.items():
            groups = len(history.vocabulary(RECORDS[kind]).texts) if kind in RECORDS else 1
            known = code >= 0
            order = np.lexsort((closings.at_us[known], code[known]))
            indices[kind] = AsOfIndex.of(
                code[known][order], closings.at_us[known][order], groups, history.clock
            )
            won = (closings.kind[known][order] == WON).astype(np.float64)
            wins[kind] = np.concatenate(([0.0], np.cumsum(won)))
        return cls(indices, wins)

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:
        index, wins = self.indices[kind], self.wins[kind]
        safe = np.maximum(code, 0)
        if len(index.starts) == 1:
            nothing = np.zeros(np.broadcast(code, rank).shape)
            return nothing, nothing
        end, start = index.end(safe, rank), index.starts[safe]
        known = code >= 0
        return np.where(known, end - start, 0).astype(np.float64), np.where(
            known, wins[end] - wins[start], 0.0
        )

    def freeze(self, history: History, at_us: int) -> FrozenRecords:
        """The counts as they stood before `at_us`, by name."""
        rank = history.clock.rank(np.int64(at_us))
        tables: dict[str, dict[str, tuple[float, float]]] = {}
        for kind, column in RECORDS.items():
            texts = history.vocabulary(column).texts
            closed, won = self.counts(kind, np.arange(len(texts)), np.full(len(texts), rank))
            tables[kind] = {t: (c, w) for t, c, w in zip(texts, closed, won, strict=True) if c > 0}
        closed, won = self.counts("all", np.zeros(1, np.int64), np.array([rank]))
        return FrozenRecords(tables, (float(closed[0]), float(won[0])))


@dataclass(frozen=True)
class FrozenRecords:
    """Track records as of the training date: what scoring reads, from the command line and over HTTP alike."""

    tables: dict[str, dict[str, tuple[float, float]]]
    total: tuple[float, float]

    def bind(self, history: History) -> BoundRecords:
        """Line the names up with the codes of a history."""
        bound: dict[str, NDArray[np.float64]] = {}
        for kind, column in RECORDS.items():
            table = self.tables[kind]
            rows = [table.get(text, (0.0, 0.0)) for text in history.vocabulary(column).texts]
            bound[kind] = np.array([*rows, (0.0, 0.0)])  # the last row serves code -1
        bound["all"] = np.array([self.total, (0.0, 0.0)])
        return BoundRecords(bound)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, names sorted."""
        tables = {
            kind: {name: [int(c), int(w)] for name, (c, w) in sorted(table.items())}
            for kind, table in self.tables.items()
        }
        return {"tables": tables, "total": [int(n) for n in self.total]}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrozenRecords:
        """Inverse of `to_json`."""
        tables = {
            kind: {name: (float(c), float(w)) for name, (c, w) in data["tables"][kind].items()}
            for kind in RECORDS
        }
        return cls(tables, (float(data["total"][0]), float(data["total"][1])))


@dataclass(frozen=True)
class BoundRecords:
    """Frozen track records in the codes of one history."""

    rows: dict[str, NDArray[np.float64]]

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:  # noqa: ARG002  (frozen)
        found = self.rows[kind][code]
        return found[..., 0], found[..., 1]
