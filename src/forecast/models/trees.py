"""Small decision trees, many at once, without a loop over trees or rows.

A tree of at most eight leaves is a byte, one bit per leaf. A value of a feature rules leaves out: whoever goes
left at a node cannot end in the leaves on its right. Per feature, all its thresholds in all trees are sorted
into one list; the place of a value in that list says at once, for every tree, which leaves remain. The AND over
the features leaves exactly one bit per tree. So a row costs one binary search and one AND per feature, however
many trees there are.

Source: Lucchese et al. 2015, QuickScorer; here both sides of a node rule out leaves, so that one bit remains.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from forecast.arrays import Floats, Ints

__all__ = ["MOST_LEAVES", "Forest", "Tree"]

MOST_LEAVES: Final = 8
_BITS: Final[Any] = np.uint8
_BLOCK: Final = 256  # rows whose bits fit into the processor's cache
_FEW: Final = 8  # rows whose table rows may be laid out
# Position of the only bit set: 1 -> 0, 2 -> 1, 4 -> 2, ...
_PLACE: Final = np.zeros(1 << MOST_LEAVES, dtype=np.uint8)
_PLACE[1 << np.arange(MOST_LEAVES)] = np.arange(MOST_LEAVES)


@dataclass(frozen=True)
class Tree:
    """One tree; node 0 is the root.

    feature, threshold : (M,) inner nodes: a value goes left if it is at most the threshold
    members : per inner node the codes of a category that go left, or None for a threshold
    unknown_left : (M,) whether an unknown value goes left
    left, right : (M,) the next node, or -1 - leaf
    value, rows : (L,) output and number of training rows of each leaf
    """

    feature: Ints
    threshold: Floats
    members: tuple[tuple[int, ...] | None, ...]
    unknown_left: NDArray[np.bool_]
    left: Ints
    right: Ints
    value: Floats
    rows: Floats

    @cached_property
    def bits_below(self) -> list[int]:
        """(M + L,) the leaves below each node, a bit each; a leaf is at its link, -1 - leaf."""
        bits = [0] * len(self.feature) + [1 << leaf for leaf in reversed(range(len(self.value)))]
        for node, left, right in self._upwards():
            bits[node] = bits[left] | bits[right]
        return bits

    @cached_property
    def mean_below(self) -> list[float]:
        """(M + L,) mean output of the training rows that pass each node; a leaf is at its link, -1 - leaf."""
        nodes = [0.0] * len(self.feature)
        rows = [*nodes, *self.rows[::-1].tolist()]
        total = [*nodes, *(self.rows * self.value)[::-1].tolist()]
        for node, left, right in self._upwards():
            rows[node] = rows[left] + rows[right]
            total[node] = total[left] + total[right]
        inner = [total[node] / rows[node] for node in range(len(nodes))]
        return [*inner, *self.value[::-1].tolist()]

    def _upwards(self) -> list[tuple[int, int, int]]:
        """Each inner node and its children, after those below it."""
        links = zip(range(len(self.feature)), self.left.tolist(), self.right.tolist(), strict=True)
        return list(links)[::-1]

    def contributions(self, features: int) -> Floats:
        """(L, F) how the features on the way to each leaf move the mean from the root's to the leaf's value."""
        nodes, mean = len(self.feature), self.mean_below
        moved = np.zeros((nodes + len(self.value), features))
        for node, left, right in reversed(self._upwards()):
            for child in (left, right):
                moved[child] = moved[node]
                moved[child, self.feature[node]] += mean[child] - mean[node]
        return moved[nodes:][::-1]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "feature": self.feature.tolist(),
            "threshold": self.threshold.tolist(),
            "members": [None if m is None else list(m) for m in self.members],
            "unknown_left": self.unknown_left.tolist(),
            "left": self.left.tolist(),
            "right": self.right.tolist(),
            "value": self.value.tolist(),
            "rows": self.rows.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Tree:
        """Inverse of `to_json`; ValueError for links that make no tree."""
        members = tuple(None if m is None else tuple(int(c) for c in m) for m in data["members"])
        tree = cls(
            np.array(data["feature"], dtype=np.int64),
            np.array(data["threshold"], dtype=np.float64),
            members,
            np.array(data["unknown_left"], dtype=np.bool_),
            np.array(data["left"], dtype=np.int64),
            np.array(data["right"], dtype=np.int64),
            np.array(data["value"], dtype=np.float64),
            np.array(data["rows"], dtype=np.float64),
        )
        tree.check()
        return tree

    def check(self) -> None:
        """Raise ValueError unless the links make one tree: children come later, every leaf is reached once."""
        nodes, leaves = len(self.feature), len(self.value)
        columns = (self.threshold, self.members, self.unknown_left, self.left, self.right)
        if any(len(column) != nodes for column in columns) or len(self.rows) != leaves:
            raise ValueError("columns of a tree differ in length")
        if not (leaves == nodes + 1 and leaves <= MOST_LEAVES):
            raise ValueError(f"a tree has {leaves} leaves and {nodes} nodes")
        links = np.concatenate((self.left, self.right))
        if nodes and (
            sorted(links.tolist()) != [*range(-leaves, 0), *range(1, nodes)]
            or (np.minimum(np.where(self.left < 0, nodes, self.left), nodes) <= np.arange(nodes)).any()
            or (np.minimum(np.where(self.right < 0, nodes, self.right), nodes) <= np.arange(nodes)).any()
        ):
            raise ValueError("links of a tree do not make a tree")


@dataclass(frozen=True)
class _Questions:
    """All that one feature is asked in all trees.

    values : (m,) thresholds, or codes of a category, in order
    is_category : whether a value must equal one of them to be known
    remain : (rows, T) bits that remain in each tree for a value at each place of the list, all of them in a
        tree that does not ask; the last row is for the unknown
    """

    values: Floats
    is_category: bool
    remain: NDArray[Any]

    def places(self, column: Floats) -> Ints:
        """Row of `remain` for each value."""
        at = np.searchsorted(self.values, column, side="left")
        unknown = np.isnan(column)
        if self.is_category:
            # A code that no node names goes where every node sends "none of these": to its right.
            inside = np.minimum(at, len(self.values) - 1)
            at = np.where(self.values[inside] == column, inside, len(self.values))
        at[unknown] = len(self.remain) - 1
        return at


@dataclass(frozen=True)
class _Asked:
    """The questions of all features side by side.

    features : (F,) that have thresholds; begins, first, unknown : (F,) where their thresholds begin, and the
        rows of `remain` for a value below all of them, and for an unknown one
    feature, threshold : (m,) all thresholds and what they are asked of
    categories : (K,) features asked for equality
    codes_begin, most_codes, row_of_code : where the codes of each begin in `row_of_code`, which has the row of
        `remain` for an unknown one, then for codes 0, 1, ..., then for any code from `most_codes` - 1 on
    remain : (rows, T) as in `_Questions`, one feature after the other
    """

    features: Ints
    begins: Ints
    first: Ints
    unknown: Ints
    feature: Ints
    threshold: Floats
    categories: Ints
    codes_begin: Ints
    most_codes: Ints
    row_of_code: Ints
    remain: NDArray[Any]

    @classmethod
    def of(cls, questions: dict[int, _Questions]) -> _Asked:
        ends = np.cumsum([len(question.remain) for question in questions.values()])
        rows = {
            feature: (int(end) - len(question.remain), int(end) - 1)
            for (feature, question), end in zip(questions.items(), ends, strict=True)
        }
        numeric = [(feature, question) for feature, question in questions.items() if not question.is_category]
        others = [(feature, question) for feature, question in questions.items() if question.is_category]
        features = np.array([feature for feature, _ in numeric], dtype=np.int64)
        sizes = np.array([len(question.values) for _, question in numeric], dtype=np.int64)
        most = np.array(
            [2 + int(question.values.max(initial=-1.0)) for _, question in others], dtype=np.int64
        )
        of_codes = [
            rows[feature][0] + question.places(np.array([np.nan, *range(last)], dtype=np.float64))
            for (feature, question), last in zip(others, most.tolist(), strict=True)
        ]
        nothing: Ints = np.empty(0, dtype=np.int64)
        return cls(
            features,
            np.cumsum(sizes) - sizes,
            np.array([rows[feature][0] for feature, _ in numeric], dtype=np.int64),
            np.array([rows[feature][1] for feature, _ in numeric], dtype=np.int64),
            np.repeat(features, sizes),
            np.concatenate([np.empty(0), *(question.values for _, question in numeric)]),
            np.array([feature for feature, _ in others], dtype=np.int64),
            np.cumsum(most + 1) - (most + 1),
            most,
            np.concatenate([nothing, *of_codes]),
            np.concatenate([question.remain for question in questions.values()])
            if questions
            else np.empty((0, 0)),
        )


@dataclass(frozen=True)
class Forest:
    """Trees in groups; a group's output is the sum of its trees.

    features : names of the inputs
    groups : trees; a group may have none
    """

    features: tuple[str, ...]
    groups: tuple[tuple[Tree, ...], ...]

    @cached_property
    def _trees(self) -> tuple[Tree, ...]:
        return tuple(tree for group in self.groups for tree in group)

    @cached_property
    def _questions(self) -> dict[int, _Questions]:
        """Per feature that is asked about, what its values rule out."""
        nodes: dict[int, list[tuple[int, int]]] = {}
        for t, tree in enumerate(self._trees):
            for node, feature in enumerate(tree.feature.tolist()):
                nodes.setdefault(feature, []).append((t, node))
        return {feature: self._ask(asked) for feature, asked in sorted(nodes.items())}

    def _ask(self, nodes: list[tuple[int, int]]) -> _Questions:
        trees = self._trees
        is_category = trees[nodes[0][0]].members[nodes[0][1]] is not None
        if is_category:
            codes = {code for t, node in nodes for code in trees[t].members[node] or ()}
            values = np.array(sorted(codes), dtype=np.float64)
        else:
            values = np.unique([trees[t].threshold[node] for t, node in nodes])
        # One row per known value (for thresholds: per gap between them), then one for the unknown.
        remain = np.full((len(values) + 2, len(trees)), np.iinfo(_BITS).max, dtype=_BITS)
        for t, node in nodes:
            tree = trees[t]
            on_left, on_right = (_BITS(tree.bits_below[int(side[node])]) for side in (tree.left, tree.right))
            goes_left = np.zeros(len(remain), dtype=np.bool_)
            members = tree.members[node]
            if members is None:
                # Place r means: above r thresholds. It is at most threshold i if r <= i.
                goes_left[:-1] = np.arange(len(values) + 1) <= np.searchsorted(values, tree.threshold[node])
            else:
                goes_left[:-2] = np.isin(values, members)
            goes_left[-1] = tree.unknown_left[node]
            remain[:, t] &= np.where(goes_left, ~on_right, ~on_left).astype(_BITS)
        return _Questions(values, is_category, remain)

    def leaves(self, columns: Floats) -> NDArray[np.uint8]:
        """(n, T) leaf of each row in each tree.

        columns : (n, F) values in the order of `features`; NaN is unknown
        """
        if len(columns) <= _FEW:
            return self._leaves_of_few(columns)
        found = np.empty((len(columns), len(self._trees)), dtype=np.uint8)
        places = {feature: asked.places(columns[:, feature]) for feature, asked in self._questions.items()}
        # A tree of one leaf asks nothing: its only bit is there from the start.
        bits = np.tile(self._all_leaves, (min(_BLOCK, len(columns)), 1))
        remain = np.empty_like(bits)
        for start in range(0, len(columns), _BLOCK):
            size = min(_BLOCK, len(columns) - start)
            now, here = bits[:size], remain[:size]
            now[:] = self._all_leaves
            for feature, question in self._questions.items():
                np.take(question.remain, places[feature][start : start + size], axis=0, out=here, mode="clip")
                now &= here
            np.take(_PLACE, now, out=found[start : start + size], mode="clip")
        return found

    def _leaves_of_few(self, columns: Floats) -> NDArray[np.uint8]:
        """The same for a few rows: all thresholds of all features are compared at once."""
        asked = self._asked
        parts = []
        if len(asked.features):
            above = columns[:, asked.feature] > asked.threshold
            place = asked.first + np.add.reduceat(above, asked.begins, axis=1, dtype=np.int64)
            parts.append(np.where(np.isnan(columns[:, asked.features]), asked.unknown, place))
        if len(asked.categories):
            code = columns[:, asked.categories]
            is_code = (code >= 0.0) & (np.floor(code) == code)
            place = np.minimum(np.where(is_code, code + 1.0, np.inf), asked.most_codes).astype(np.int64)
            place[np.isnan(code)] = 0
            parts.append(asked.row_of_code[asked.codes_begin + place])
        if not parts:
            return np.zeros((len(columns), len(self._trees)), dtype=np.uint8)  # trees of one leaf
        remain = np.bitwise_and.reduce(asked.remain[np.concatenate(parts, axis=1)], axis=1)
        found: NDArray[np.uint8] = _PLACE[remain & self._all_leaves]
        return found

    @cached_property
    def _asked(self) -> _Asked:
        return _Asked.of(self._questions)

    @cached_property
    def _all_leaves(self) -> NDArray[Any]:
        return np.array([tree.bits_below[0] for tree in self._trees], dtype=_BITS)

    @cached_property
    def _tables(self) -> list[tuple[Floats, Floats]]:
        """Per group: (trees x MOST_LEAVES, 1) outputs, and (trees x MOST_LEAVES, F) contributions."""
        tables = []
        for group in self.groups:
            value = np.zeros((len(group), MOST_LEAVES, 1))
            moved = np.zeros((len(group), MOST_LEAVES, len(self.features)))
            for at, tree in enumerate(group):
                value[at, : len(tree.value), 0] = tree.value
                moved[at, : len(tree.value)] = tree.contributions(len(self.features))
            tables.append((value.reshape(-1, 1), moved.reshape(-1, len(self.features))))
        return tables

    @cached_property
    def means(self) -> Floats:
        """(groups,) output of the average training row."""
        return np.array([sum(tree.mean_below[0] for tree in group) for group in self.groups])

    def predict(self, columns: Floats) -> Floats:
        """(n, groups) sums of the trees' outputs; a row's result does not depend on the rows beside it."""
        return self._summed(self.leaves(columns), explained=False)[0]

    def explain(self, columns: Floats) -> tuple[Floats, Floats]:
        """(n, groups) outputs and (n, F, groups) contributions, which sum to outputs minus `means`.

        Each node on a row's way hands the change of the mean output to the feature it asks about.
        Source: Saabas 2014; exact sums, and unlike Shapley values of trees cheap enough for every deal.
        """
        return self._summed(self.leaves(columns), explained=True)

    def _summed(self, leaves: NDArray[np.uint8], *, explained: bool) -> tuple[Floats, Floats]:
        if len(leaves) <= _FEW:
            return self._few_summed(leaves, explained=explained)
        rows, first = len(leaves), 0
        output = np.zeros((rows, len(self.groups)))
        moved = np.zeros((rows, len(self.features) if explained else 0, len(self.groups)))
        for g, (value, contributions) in enumerate(self._tables):
            each = len(self.groups[g])
            if not each:
                continue
            at = leaves[:, first : first + each] + np.arange(each) * MOST_LEAVES
            first += each
            output[:, g] = _rows_summed(value, at)[:, 0]
            if explained:
                moved[:, :, g] = _rows_summed(contributions, at)
        return output, moved

    def _few_summed(self, leaves: NDArray[np.uint8], *, explained: bool) -> tuple[Floats, Floats]:
        """The same sums, in the same order, for a few rows: only features on the way to a leaf are added."""
        rows, groups, features = len(leaves), len(self.groups), len(self.features)
        paths = self._paths
        at = leaves + paths.begins
        of_row = np.arange(rows)[:, None]
        output = _added(paths.group + groups * of_row, paths.value[at], rows * groups).reshape(rows, groups)
        if not explained:
            return output, np.zeros((rows, 0, groups))
        cell = paths.cell[at]
        if rows > 1:
            cell += features * groups * of_row[..., None]
        moved = _added(cell, paths.moved[at], rows * features * groups)
        return output, moved.reshape(rows, features, groups)

    @cached_property
    def _paths(self) -> _Paths:
        return _Paths.of(self)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and names."""
        return {
            "features": list(self.features),
            "groups": [[tree.to_json() for tree in group] for group in self.groups],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Forest:
        """Inverse of `to_json`; ValueError for trees that ask about features that do not exist."""
        features = tuple(str(name) for name in data["features"])
        groups = tuple(tuple(Tree.from_json(tree) for tree in group) for group in data["groups"])
        for group in groups:
            for tree in group:
                if len(tree.feature) and not 0 <= tree.feature.min() <= tree.feature.max() < len(features):
                    raise ValueError("a tree asks about a feature that is not listed")
        return cls(features, groups)


@dataclass(frozen=True)
class _Paths:
    """What each leaf of each tree says, without the features that are not asked on the way to it.

    begins, group : (T,) first leaf of each tree, and its group
    value : (T x MOST_LEAVES,) output of each leaf
    cell, moved : (T x MOST_LEAVES, W) features on the way, as feature x groups + group, and what they
        contribute; zeros fill up
    """

    begins: Ints
    group: Ints
    value: Floats
    cell: Ints
    moved: Floats

    @classmethod
    def of(cls, forest: Forest) -> _Paths:
        tables = forest._tables
        value = np.concatenate([np.empty((0, 1)), *(value for value, _ in tables)])[:, 0]
        moved = np.concatenate([np.empty((0, len(forest.features))), *(moved for _, moved in tables)])
        most = int((moved != 0.0).sum(axis=1).max(initial=0))
        # Those that contribute come first, in their order.
        feature = np.argsort(moved == 0.0, axis=1, kind="stable")[:, :most]
        sizes = [len(group) for group in forest.groups]
        group = np.repeat(np.arange(len(sizes)), sizes)
        return cls(
            np.arange(sum(sizes)) * MOST_LEAVES,
            group,
            value,
            feature * len(sizes) + np.repeat(group, MOST_LEAVES)[:, None],
            np.take_along_axis(moved, feature, axis=1),
        )


def _added(cell: Ints, values: Floats, cells: int) -> Floats:
    """(cells,) sums of the values in each cell, one by one in their order."""
    found: Floats = np.bincount(cell.ravel(), values.ravel(), cells).astype(np.float64, copy=False)
    return found


def _rows_summed(table: Floats, at: Ints) -> Floats:
    """(n, F) sums of the table's rows at (n, T): one by one in the order of the trees, however many rows n."""
    # A sparse matrix of ones adds them up without laying them out.
    shape = (len(at), len(table))
    taken = csr_array((np.ones(at.size), at.ravel(), np.arange(len(at) + 1) * at.shape[1]), shape=shape)
    product: Floats = taken @ table
    return product
