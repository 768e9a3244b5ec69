"""Track records: what an owner, an account or a source had done before a moment, beside what is usual.

Two things are counted. *Wins above the usual*: usual is the share that the whole company had won by then of
deals of the same kind of business (motion); renewals are won more often than new business, and who has many of
them is no better seller for it. *Moves above the usual*, of owners: steps to a later stage, beside those that
all owners would have made in the days these deals stood there, by stage and motion.

Few deals say little, so a record is diluted: above / (counted + dilution). How much is a matter of how far
owners (accounts, sources) differ from each other more than chance would have them, and is learnt from what had
closed (`dilution.py`). Where all are alike in truth a record says next to nothing, however long.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.history.asof import AsOfIndex
from forecast.history.dilution import dilution
from forecast.history.history import History
from forecast.history.stages import OPEN, WON

__all__ = ["PACE", "RECORDS", "USUAL_DILUTION", "DatedRecords", "FrozenRecords", "TrackRecords"]

# What has a track record -> the vocabulary its codes come from.
RECORDS: Final = {"owner": "owner_id", "account": "account_id", "source": "source"}
PACE: Final = "owner_pace"  # the record of moves
_COLUMN: Final = {**RECORDS, PACE: "owner_id"}
# How many deals closed (moves usual) a record is diluted with where nothing is known of how far groups differ.
USUAL_DILUTION: Final[Mapping[str, float]] = {"owner": 40.0, "account": 10.0, "source": 40.0, PACE: 60.0}
# A record is a column, and columns are scaled: more would only weigh who has many deals against who has few.
_MOST: Final = 100.0
_EVERYBODY: Final = {**dict.fromkeys(RECORDS, "all closings"), PACE: "all stays"}
# What is usual at first, and how many closings (seconds) it is worth: a quarter of deals is won; nothing moves.
_AT_FIRST: Final = {**dict.fromkeys(RECORDS, (0.25, 10.0)), PACE: (0.0, 86_400.0)}
# That a stay counts at most: a deal forgotten for years says no more of its owner.
_LONGEST_SECONDS: Final = 180 * 86_400


class TrackRecords(Protocol):
    """What was counted per owner, account and source, and more of it than usual."""

    @property
    def dilution(self) -> Mapping[str, float]:
        """By record: how many of the usual ones it is diluted with."""
        ...

    @property
    def dated(self) -> bool:
        """Whether a moment's own counts are told, and not always those of one day."""
        ...

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:
        """What was counted before the moment of clock rank `rank`, and how much lies above the usual.

        kind : of `RECORDS` for (closed, wins above), `PACE` for (moves to be expected, moves above)
        code : (n,) of the owner, account or source; 0 and 0 for an unknown one (-1)
        """
        ...


@dataclass(frozen=True)
class DatedRecords:
    """Track records as they stood at any moment of a history: what training reads.

    The deal itself is open at its landmark, so its own outcome is never among the counts.

    indices : closings by code and motion, one motion after the other for each code; stays by owner, motion and
        stage; `_EVERYBODY` says the same of all codes together
    sums : (2, N + 1) running totals in the order of each index: of wins and closings; moves and seconds stood.
        They are whole numbers, so that what comes later in an index cannot move the last bit of a difference
    cells : how many each code has: motions, and one for an unknown one; for stays these times the stages
    """

    indices: dict[str, AsOfIndex]
    sums: dict[str, Ints]
    cells: dict[str, int]
    dilution: Mapping[str, float]

    dated = True

    @classmethod
    def of(cls, history: History, dilution: Mapping[str, float] | None = None) -> DatedRecords:
        """Index all closings and stays of a history.

        dilution : as it was learnt; the usual one if not given
        """
        indices, sums, cells = {}, {}, {}
        motions = len(history.vocabulary("motion").texts) + 1
        closings, stays = history.closings, _stays(history)

        def index(kind: str, code: Ints, cell: Ints, width: int, at_us: Ints, told: Ints) -> None:
            for name, codes, groups in (
                (kind, code, len(history.vocabulary(_COLUMN[kind]).texts)),
                (_EVERYBODY[kind], np.zeros_like(code), 1),
            ):
                if name in indices:
                    continue
                known = codes >= 0
                group = (codes * width + cell)[known]
                order = np.lexsort((at_us[known], group))
                indices[name] = AsOfIndex.of(group[order], at_us[known][order], groups * width, history.clock)
                sums[name] = np.zeros((2, len(order) + 1), dtype=np.int64)
                np.cumsum(told[:, known][:, order], axis=1, out=sums[name][:, 1:])
                cells[name] = width

        # The unknown motion, -1, is the last.
        closed = np.stack((closings.kind == WON, np.ones(len(closings.deal)))).astype(np.int64)
        for kind, code in (
            ("owner", closings.owner),
            ("account", history.columns.account[closings.deal]),
            ("source", history.columns.source[closings.deal]),
        ):
            motion = history.columns.motion[closings.deal] % motions
            index(kind, code, motion, motions, closings.at_us, closed)
        width = motions * len(history.stages)
        cell = history.columns.motion[stays.deal] % motions * len(history.stages) + stays.stage
        moved = np.stack((stays.forward, np.minimum(stays.seconds, _LONGEST_SECONDS)))
        index(PACE, history.owner(stays.deal, stays.at_us), cell, width, stays.at_us, moved)
        return cls(indices, sums, cells, USUAL_DILUTION if dilution is None else dilution)

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:
        done, of, usual = self._cells(kind, code, rank)
        expected = (of * usual).sum(axis=0)
        return expected if kind == PACE else of.sum(axis=0), done.sum(axis=0) - expected

    def _cells(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats, Floats]:
        """(cells, n) wins (moves), out of how many closings (seconds), and what share (rate) is usual."""
        done, of = self._summed(kind, code, rank)
        all_done, all_of = self._summed(_EVERYBODY[kind], np.zeros_like(code), rank)
        usual, weight = _AT_FIRST[kind]
        return done, of, (all_done + usual * weight) / (all_of + weight)

    def _summed(self, kind: str, code: Ints, rank: Ints) -> Floats:
        """(2, cells, n) both running totals of each cell as they stood."""
        index, sums, cells = self.indices[kind], self.sums[kind], self.cells[kind]
        if len(index.starts) == 1:
            return np.zeros((2, cells, len(code)))
        cell = np.maximum(code, 0) * cells + np.arange(cells)[:, None]
        end, start = index.end(cell, np.broadcast_to(rank, cell.shape)), index.starts[cell]
        return np.where(code >= 0, sums[:, end] - sums[:, start], 0).astype(np.float64)

    def freeze(self, history: History, at_us: int) -> FrozenRecords:
        """The counts as they stood before `at_us`, by name."""
        tables: dict[str, dict[str, tuple[float, float]]] = {}
        for kind, column in _COLUMN.items():
            texts = history.vocabulary(column).texts
            rank = np.full(len(texts), history.clock.rank(np.int64(at_us)))
            counted, above = self.counts(kind, np.arange(len(texts)), rank)
            tables[kind] = {
                text: (float(c), float(a)) for text, c, a in zip(texts, counted, above, strict=True) if c > 0
            }
        return FrozenRecords(tables, dict(self.dilution))

    def diluted(self, history: History, until_us: int) -> DatedRecords:
        """The same records, diluted as what came before `until_us` shows."""
        return replace(self, dilution={kind: self._learnt(kind, history, until_us) for kind in _COLUMN})

    def _learnt(self, kind: str, history: History, until_us: int) -> float:
        codes = np.arange(len(history.vocabulary(_COLUMN[kind]).texts))
        rank = np.full(len(codes), history.clock.rank(np.int64(until_us)))
        done, of, usual = self._cells(kind, codes, rank)
        expected = (of * usual).sum(axis=0)
        counted = expected if kind == PACE else of.sum(axis=0)
        # Of moves there may be any number (Poisson), of a closing one win or none.
        chance = expected if kind == PACE else (of * usual * (1.0 - usual)).sum(axis=0)
        above = done.sum(axis=0) - expected
        return dilution(above, counted, chance, USUAL_DILUTION[kind], _MOST)


@dataclass(frozen=True)
class _Stays:
    """Stays in open stages that have ended: whose, where, when, after how long, and whether forward."""

    deal: Ints
    stage: Ints
    at_us: Ints
    seconds: Ints
    forward: NDArray[np.bool_]


def _stays(history: History) -> _Stays:
    deal, at_us, stage = history.stage_entries
    kind, step = history.stages.kind, history.stages.step
    ended = np.flatnonzero((deal[1:] == deal[:-1]) & (kind[stage[:-1]] == OPEN))
    before, after = stage[ended], stage[ended + 1]
    forward = (kind[after] == OPEN) & (step[after] > step[before])
    seconds = (at_us[ended + 1] - at_us[ended]) // 1_000_000
    return _Stays(deal[ended], before, at_us[ended + 1], seconds, forward)


@dataclass(frozen=True)
class FrozenRecords:
    """Track records as of the training date: what scoring reads, from the command line and over HTTP alike."""

    tables: dict[str, dict[str, tuple[float, float]]]
    dilution: dict[str, float]

    def bind(self, history: History) -> BoundRecords:
        """Line the names up with the codes of a history."""
        bound: dict[str, NDArray[np.float64]] = {}
        for kind, column in _COLUMN.items():
            table = self.tables[kind]
            rows = [table.get(text, (0.0, 0.0)) for text in history.vocabulary(column).texts]
            bound[kind] = np.array([*rows, (0.0, 0.0)])  # the last row serves code -1
        return BoundRecords(bound, self.dilution)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, names sorted."""
        tables = {
            kind: {name: list(counted) for name, counted in sorted(table.items())}
            for kind, table in self.tables.items()
        }
        return {"tables": tables, "dilution": self.dilution}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FrozenRecords:
        """Inverse of `to_json`."""
        tables = {
            kind: {
                name: (float(counted), float(above))
                for name, (counted, above) in data["tables"][kind].items()
            }
            for kind in _COLUMN
        }
        return cls(tables, {kind: float(data["dilution"][kind]) for kind in _COLUMN})


@dataclass(frozen=True)
class BoundRecords:
    """Frozen track records in the codes of one history."""

    rows: dict[str, NDArray[np.float64]]
    dilution: Mapping[str, float]

    dated = False

    def counts(self, kind: str, code: Ints, rank: Ints) -> tuple[Floats, Floats]:  # noqa: ARG002  (frozen)
        found = self.rows[kind][code]
        return found[..., 0], found[..., 1]
