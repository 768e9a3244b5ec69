"""Track records: how many deals an owner, an account or a source had closed before a moment, and how many more
of them were won than usual.

Usual is the share that the whole company had won by then of deals of the same kind of business (motion):
renewals are won more often than new business, and who has many of them is no better seller for it.
"""

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

# What has a track record -> the vocabulary its codes come from.
RECORDS: Final = {"owner": "owner_id", "account": "account_id", "source": "source"}
# The share won so far is drawn to a quarter with the weight of ten.
_USUAL_WON: Final = 2.5
_USUAL_CLOSED: Final = 10.0
_EVERYBODY: Final = "all"


class TrackRecords(Protocol):
    """Closed deals, and wins above the usual, per owner, account and source."""

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:
        """(closed, wins above the usual) before the moment of clock rank `rank`; 0 for an unknown code (-1)."""
        ...


@dataclass(frozen=True)
class DatedRecords:
    """Track records as they stood at any moment of a history: what training reads.

    The deal itself is open at its landmark, so its own outcome is never among the counts.

    indices : closings by code and motion, one motion after the other for each code; `_EVERYBODY` has one code
    wins : running number of wins in the order of each index
    motions : how many motions there are, and one for deals of an unknown one
    """

    indices: dict[str, AsOfIndex]
    wins: dict[str, Ints]
    motions: int

    @classmethod
    def of(cls, history: History) -> DatedRecords:
        """Index all closings of a history by owner, account and source."""
        closings = history.closings
        codes = {
            "owner": closings.owner,
            "account": history.columns.account[closings.deal],
            "source": history.columns.source[closings.deal],
            _EVERYBODY: np.zeros(len(closings.deal), dtype=np.int64),
        }
        motions = len(history.vocabulary("motion").texts) + 1
        motion = history.columns.motion[closings.deal] % motions  # the unknown one, -1, is the last
        won = (closings.kind == WON).astype(np.int64)
        indices, wins = {}, {}
        for kind, code in codes.items():
            groups = len(history.vocabulary(RECORDS[kind]).texts) if kind in RECORDS else 1
            known = code >= 0
            cell = (code * motions + motion)[known]
            order = np.lexsort((closings.at_us[known], cell))
            indices[kind] = AsOfIndex.of(
                cell[order], closings.at_us[known][order], groups * motions, history.clock
            )
            wins[kind] = np.concatenate(([0], np.cumsum(won[known][order])))
        return cls(indices, wins, motions)

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:
        closed, won = self._by_motion(kind, code, rank)
        everybody_closed, everybody_won = self._by_motion(_EVERYBODY, np.zeros_like(code), rank)
        usual = (everybody_won + _USUAL_WON) / (everybody_closed + _USUAL_CLOSED)
        return closed.sum(axis=0).astype(np.float64), (won - closed * usual).sum(axis=0)

    def _by_motion(self, kind: str, code: Ints, rank: Ints) -> tuple[Ints, Ints]:
        """(motions, n) closed and won."""
        index, wins = self.indices[kind], self.wins[kind]
        if len(index.starts) == 1:
            nothing = np.zeros((self.motions, len(code)), dtype=np.int64)
            return nothing, nothing
        cell = np.maximum(code, 0) * self.motions + np.arange(self.motions)[:, None]
        end, start = index.end(cell, np.broadcast_to(rank, cell.shape)), index.starts[cell]
        known = code >= 0
        return np.where(known, end - start, 0), np.where(known, wins[end] - wins[start], 0)

    def freeze(self, history: History, at_us: int) -> FrozenRecords:
        """The counts as they stood before `at_us`, by name."""
        rank = history.clock.rank(np.int64(at_us))
        tables: dict[str, dict[str, tuple[float, float]]] = {}
        for kind, column in RECORDS.items():
            texts = history.vocabulary(column).texts
            closed, above = self.counts(kind, np.arange(len(texts)), np.full(len(texts), rank))
            tables[kind] = {
                text: (float(c), float(a)) for text, c, a in zip(texts, closed, above, strict=True) if c > 0
            }
        return FrozenRecords(tables)


@dataclass(frozen=True)
class FrozenRecords:
    """Track records as of the training date: what scoring reads, from the command line and over HTTP alike."""

    tables: dict[str, dict[str, tuple[float, float]]]

    def bind(self, history: History) -> BoundRecords:
        """Line the names up with the codes of a history."""
        bound: dict[str, NDArray[np.float64]] = {}
        for kind, column in RECORDS.items():
            table = self.tables[kind]
            rows = [table.get(text, (0.0, 0.0)) for text in history.vocabulary(column).texts]
            bound[kind] = np.array([*rows, (0.0, 0.0)])  # the last row serves code -1
        return BoundRecords(bound)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, names sorted."""
        tables = {
            kind: {name: [int(closed), above] for name, (closed, above) in sorted(table.items())}
            for kind, table in self.tables.items()
        }
        return {"tables": tables}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrozenRecords:
        """Inverse of `to_json`."""
        tables = {
            kind: {
                name: (float(closed), float(above)) for name, (closed, above) in data["tables"][kind].items()
            }
            for kind in RECORDS
        }
        return cls(tables)


@dataclass(frozen=True)
class BoundRecords:
    """Frozen track records in the codes of one history."""

    rows: dict[str, NDArray[np.float64]]

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:  # noqa: ARG002  (frozen)
        found = self.rows[kind][code]
        return found[..., 0], found[..., 1]
