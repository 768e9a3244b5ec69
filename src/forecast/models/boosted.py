"""The boosted rung: the mean of two opinions, linear hazards and trees that know nothing of them.

    c_kb(x) = (1 - s) linear c_kb(x) + s (what all deals have in common + sum over trees of cause k and hat b)

Both learn from the same rows and err differently: the linear stage sees only sums, trees only steps. What is
luck in one of them counts half in the mean. So trees do not stand on the linear stage, where they would learn
from its errors; they begin from the average deal. Of each feature one cut is drawn at random and the best of
these is taken, which makes a single tree worse and many less a matter of luck. The share s is a half, or
one where later windows clearly want that: what only combinations of features tell, a mean would halve.

The likelihood separates by cause, so each cause is boosted for itself. In every round one small tree per hat
takes a step against the gradient of the exact likelihood:

    d/dc_b  = sum_j E_j B_b(j) - B_b(bin of the event),    d2/dc_b^2 = sum_j E_j B_b(j)^2,

E_j the expected events of a row in bin j by season, clock and the trees so far.

LightGBM grows the trees. Scoring does not need it: trees are kept as plain numbers (`trees.py`), so a bundle
holds nothing that a library's parser could stumble over.

Source: Friedman 2001 (boosting); Geurts, Ernst and Wehenkel 2006 (random cuts); Bates and Granger 1969 (means
of forecasts); piecewise-exponential likelihood as in `linear.py`; Ke et al. 2017 (LightGBM).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats
from forecast.features import FeatureMatrix
from forecast.models.bins import Bins
from forecast.models.hazard import Survival, baseline_of
from forecast.models.linear import LinearHazard
from forecast.models.trees import Forest, Tree

__all__ = ["SHARES", "BoostedHazard", "Boosting", "can_boost", "fit_boosted", "grow"]

SHARES: Final = (0.5, 1.0)  # of the trees in the mean, to choose from

_TREES: Final[dict[str, Any]] = {
    "extra_trees": True,
    "num_leaves": 8,
    "learning_rate": 0.08,
    "lambda_l2": 10.0,
    "min_sum_hessian_in_leaf": 5.0,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.8,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "max_bin": 127,
    # A level of a category is one tree's own affair only if a hundred rows share it.
    "min_data_per_group": 100,
    "cat_l2": 20.0,
    "boost_from_average": False,
    "deterministic": True,
    "force_row_wise": True,
    # One thread: with more the order of sums, and so the trees, would depend on the machine.
    "num_threads": 1,
    "verbosity": -1,
}
_BLOCK: Final = 32_768
# Beyond a factor of e^10 the exponent is cut: one absurd row must not decide a tree.
_MOST: Final = 10.0


@dataclass(frozen=True)
class BoostedHazard:
    """The mean of linear hazards and trees; implements `OutcomeModel`.

    linear : hazards that count by their share already, with what all deals have in common for the trees' part
    forest : counts by its share, too; groups in the order (won, hat 0), (won, hat 1), ..., (lost, last hat)
    baseline : (2, J) put right for the mean of both
    """

    linear: LinearHazard
    forest: Forest
    baseline: Floats

    name = "boosted"

    @property
    def bins(self) -> Bins:
        """The time axis."""
        return self.linear.bins

    @property
    def basis(self) -> Floats:
        """(4, J) hat weights in each bin."""
        return self.linear.basis

    @property
    def groups(self) -> tuple[str, ...]:
        """Features, as in the linear stage; the trees read the same ones."""
        return self.linear.groups

    @cached_property
    def reference(self) -> Floats:
        """(2, 4): the linear intercept and the trees' mean output."""
        return self.linear.reference + self.forest.means.reshape(2, -1)

    def coefficients(self, features: FeatureMatrix) -> Floats:
        """(n, 2, 4) coefficients of each row."""
        found = np.empty((len(features), *self.linear.intercept.shape))
        for start in range(0, len(features), _BLOCK):  # the leaves of a million rows would be a gigabyte
            rows = slice(start, start + _BLOCK)
            columns = self.linear.encoder.columns(features.take(rows))
            trees = self.forest.predict(columns)
            found[rows] = self.linear.from_columns(columns) + trees.reshape(-1, *found.shape[1:])
        return found

    def explain(self, features: FeatureMatrix) -> tuple[Floats, Floats]:
        """(n, 2, 4) coefficients and (n, G, 2, 4) contributions of linear stage and trees together."""
        columns = self.linear.encoder.columns(features)
        coefficients, contributions = self.linear.explain_columns(columns)
        trees, moved = self.forest.explain(columns)
        shape = coefficients.shape
        return coefficients + trees.reshape(shape), contributions + moved.reshape(contributions.shape)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts."""
        return {
            "rung": self.name,
            "linear": self.linear.to_json(),
            "forest": self.forest.to_json(),
            "baseline": self.baseline.tolist(),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> BoostedHazard:
        """Inverse of `to_json`; ValueError for a forest that does not fit the linear stage."""
        linear = LinearHazard.from_json(data["linear"])
        forest = Forest.from_json(data["forest"])
        if forest.features != linear.groups or len(forest.groups) != 2 * len(linear.basis):
            raise ValueError("the trees do not fit the linear stage")
        return cls(linear, forest, np.array(data["baseline"], dtype=np.float64))


def can_boost() -> bool:
    """Whether LightGBM is installed (extra `train`)."""
    try:
        import lightgbm  # noqa: F401  (only whoever fits needs it)
    except ImportError:
        return False
    return True


@dataclass(frozen=True)
class Boosting:
    """Boosters of both causes (None without trees): what the ladder looks into while it chooses how many.

    linear, average : the linear stage, and the hazards of the average deal from which trees begin
    """

    linear: LinearHazard
    average: LinearHazard
    boosters: tuple[Any, Any]

    def trees(self, features: FeatureMatrix, start: int, rounds: int) -> Floats:
        """(n, 2, 4) what `rounds` rounds from round `start` on say."""
        columns = self.linear.encoder.columns(features)
        found = np.zeros((len(columns), 2, len(self.linear.basis)))
        for k, booster in enumerate(self.boosters):
            if booster is not None:
                raw = booster.predict(columns, start_iteration=start, num_iteration=rounds)
                found[:, k] = np.asarray(raw, dtype=np.float64).reshape(found[:, k].shape)
        return found

    def mean(self, share: float) -> LinearHazard:
        """What trees of a share add to: linear hazards and those of the average deal, by their shares.

        A cause without trees keeps its linear hazards whole.
        """
        trees = np.array([0.0 if booster is None else share for booster in self.boosters])[:, None]
        return replace(
            self.linear,
            intercept=(1.0 - trees) * self.linear.intercept + trees * self.average.intercept,
            weights=(1.0 - trees) * self.linear.weights,
            baseline=(1.0 - trees) * self.linear.baseline + trees * self.average.baseline,
        )

    def forest(self, share: float) -> Forest:
        """The trees as plain numbers that count by their share."""
        hats = len(self.linear.basis)
        groups: list[tuple[Tree, ...]] = []
        for booster in self.boosters:
            if booster is None:
                groups += [()] * hats
                continue
            trees = [_tree(info["tree_structure"], share) for info in booster.dump_model()["tree_info"]]
            groups += [tuple(trees[b::hats]) for b in range(hats)]
        return Forest(self.linear.groups, tuple(groups))


def grow(
    linear: LinearHazard,
    features: FeatureMatrix,
    survival: Survival,
    *,
    rounds: tuple[int, int],
    seed: int,
) -> Boosting:
    """Boost both causes from the average deal.

    rounds : of trees, for won and for lost; a cause with 0 has none
    features, survival : the same n landmarks as features and on the time axis, season and clock already in
        the exposure
    """
    import lightgbm

    encoder, basis = linear.encoder, linear.basis.astype(np.float32)
    categories = list(range(len(encoder.numeric), len(encoder.groups)))
    settings = {**_TREES, "seed": seed}
    data = lightgbm.Dataset(
        encoder.columns(features),
        label=np.zeros(len(features), dtype=np.float32),
        feature_name=[f"f{at}" for at in range(len(encoder.groups))],
        categorical_feature=categories,
        params=settings,
    ).construct()
    average = _average(linear, survival)
    common = average.reference @ average.basis + average.baseline
    boosters: list[Any] = []
    for k in range(2):
        if not rounds[k]:
            boosters.append(None)
            continue
        objective = _Objective.of(common[k].astype(np.float32), survival, k, basis)
        ask = {**settings, "objective": objective, "num_class": len(basis)}
        boosters.append(lightgbm.train(ask, data, num_boost_round=rounds[k]))
    return Boosting(linear, average, (boosters[0], boosters[1]))


def _average(linear: LinearHazard, survival: Survival) -> LinearHazard:
    """Hazards that are the same for every deal, right in each bin."""
    intercept = np.empty_like(linear.intercept)
    for k in range(2):
        came = max(float(survival.weight[survival.cause == k + 1].sum()), 0.5)
        intercept[k] = np.log(came / float(survival.weight @ survival.exposure[k].sum(axis=1)))
    of_all = np.broadcast_to((intercept @ linear.basis)[None], (1, *linear.baseline.shape))
    baseline = baseline_of(survival, of_all)
    return replace(linear, intercept=intercept, weights=np.zeros_like(linear.weights), baseline=baseline)


def fit_boosted(
    linear: LinearHazard,
    features: FeatureMatrix,
    survival: Survival,
    *,
    rounds: tuple[int, int],
    share: float,
    seed: int,
) -> BoostedHazard:
    """The mean of a linear stage and so many rounds of trees, of the share they have in it; see `grow`."""
    grown = grow(linear, features, survival, rounds=rounds, seed=seed)
    mean = grown.mean(share)
    draft = BoostedHazard(mean, grown.forest(share), mean.baseline)
    # The mean of two log hazards expects less than either: every bin is put right once more.
    log_hazard = draft.coefficients(features) @ draft.basis + draft.baseline
    return replace(draft, baseline=draft.baseline + baseline_of(survival, log_hazard))


@dataclass(frozen=True)
class _Objective:
    """Gradient and diagonal curvature of one cause's likelihood, as LightGBM asks for them.

    expected : (n, J) events each row was to have in each bin by the hazards of the average deal
    event : (n, 4) hat weights of the event of each row, zero for a row without
    """

    expected: Any
    event: Any
    basis: Any
    squared: Any

    @classmethod
    def of(cls, log_hazard: Any, survival: Survival, k: int, basis: Any) -> _Objective:
        weight = survival.weight.astype(np.float32)
        expected = survival.exposure[k].astype(np.float32)
        expected *= np.exp(np.minimum(log_hazard, np.float32(_MOST)))
        expected *= weight[:, None]
        ended = (survival.cause == k + 1) * weight
        return cls(expected, ended[:, None] * basis[:, survival.bin].T, basis.T.copy(), (basis**2).T.copy())

    def __call__(self, score: Any, _data: Any) -> tuple[Any, Any]:
        raw = score.reshape(len(self.expected), -1).astype(np.float32)
        factor = raw @ self.basis.T
        np.clip(factor, -_MOST, _MOST, out=factor)
        np.exp(factor, out=factor)
        factor *= self.expected
        return factor @ self.basis - self.event, np.maximum(factor @ self.squared, np.float32(1e-6))


def _tree(root: dict[str, Any], share: float = 1.0) -> Tree:
    """LightGBM's nested nodes as columns, leaves by their share of the mean."""
    feature: list[int] = []
    threshold: list[float] = []
    members: list[tuple[int, ...] | None] = []
    unknown_left: list[bool] = []
    left: list[int] = []
    right: list[int] = []
    value: list[float] = []
    rows: list[float] = []

    def walk(node: dict[str, Any]) -> int:
        if "split_feature" not in node:
            value.append(share * float(node["leaf_value"]))
            rows.append(float(node.get("leaf_count", 1)))
            return -len(value)
        here = len(feature)
        is_category = node["decision_type"] == "=="
        cut = 0.0 if is_category else float(node["threshold"])
        feature.append(int(node["split_feature"]))
        threshold.append(cut)
        members.append(tuple(int(c) for c in str(node["threshold"]).split("||")) if is_category else None)
        # Where training met no unknown value, LightGBM reads one as 0; an unknown category goes right.
        as_zero = cut >= 0.0 if node["missing_type"] == "None" else bool(node["default_left"])
        unknown_left.append(as_zero and not is_category)
        left.append(0)
        right.append(0)
        left[here] = walk(node["left_child"])
        right[here] = walk(node["right_child"])
        return here

    walk(root)
    tree = Tree(
        np.array(feature, dtype=np.int64),
        np.array(threshold, dtype=np.float64),
        tuple(members),
        np.array(unknown_left, dtype=np.bool_),
        np.array(left, dtype=np.int64),
        np.array(right, dtype=np.int64),
        np.array(value, dtype=np.float64),
        np.array(rows, dtype=np.float64),
    )
    tree.check()
    return tree
