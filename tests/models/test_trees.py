"""Trees by bit masks: the same numbers as LightGBM, explained exactly, row by row."""

from __future__ import annotations

import json
from typing import Any

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.models.boosted import _tree
from forecast.models.trees import Forest, Tree

FEATURES = ("amount", "age", "stage", "silence")


def grown(seed: int, rows: int = 900, rounds: int = 25) -> tuple[lightgbm.Booster, Forest, np.ndarray]:
    """A booster on two numbers with gaps, one without, and a category; the same as our forest; its rows."""
    rng = np.random.default_rng(seed)
    x = np.column_stack(
        [rng.normal(size=rows), rng.exponential(30, rows), rng.integers(0, 7, rows), rng.normal(size=rows)]
    ).astype(float)
    y = np.sin(2 * x[:, 0]) + (x[:, 2] % 3) * (x[:, 1] > 20) + 0.3 * rng.normal(size=rows)
    x[rng.random(rows) < 0.2, 0] = np.nan
    x[rng.random(rows) < 0.1, 2] = np.nan
    asked: dict[str, Any] = {
        "num_leaves": 8, "learning_rate": 0.3, "min_data_in_leaf": 10, "min_data_per_group": 10, "cat_l2": 1.0,
        "verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True,
        "boost_from_average": False,
    }  # fmt: skip
    data = lightgbm.Dataset(x, y, categorical_feature=[2], params=asked)
    booster = lightgbm.train(asked, data, rounds)
    trees = tuple(_tree(info["tree_structure"]) for info in booster.dump_model()["tree_info"])
    return booster, Forest(FEATURES, (trees[::2], trees[1::2])), x


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_outputs_equal_lightgbm_s_also_for_values_it_never_met(seed: int) -> None:
    booster, forest, x = grown(seed)
    rng = np.random.default_rng(seed)
    strange = rng.normal(size=(400, 4)) * 100
    strange[:, 2] = rng.integers(-1, 12, 400)
    strange[rng.random(strange.shape) < 0.3] = np.nan
    strange[::17, 1] = np.inf
    for rows in (x, strange):
        np.testing.assert_allclose(forest.predict(rows).sum(axis=1), booster.predict(rows), atol=1e-12)


def test_a_value_on_a_threshold_goes_left_as_in_lightgbm() -> None:
    booster, forest, x = grown(4)
    thresholds = np.unique([t for tree in forest.groups[0] for t in tree.threshold])
    rows = np.tile(np.nan_to_num(x[:1]), (len(thresholds), 1))
    rows[:, 1] = thresholds
    np.testing.assert_allclose(forest.predict(rows).sum(axis=1), booster.predict(rows), atol=1e-12)


@given(seed=st.integers(0, 2**16), rows=st.integers(1, 600))
@settings(max_examples=25, deadline=None)
def test_contributions_add_up_and_rows_do_not_disturb_rows(seed: int, rows: int) -> None:
    forest, x = FOREST, np.random.default_rng(seed).normal(size=(rows, 4)) * 20
    outputs, moved = forest.explain(x)
    np.testing.assert_allclose(moved.sum(axis=1), outputs - forest.means, atol=1e-12)
    one = seed % rows
    np.testing.assert_array_equal(forest.predict(x[one : one + 1])[0], outputs[one])
    np.testing.assert_array_equal(forest.explain(x[one : one + 1])[1][0], moved[one])


def test_the_mean_contribution_over_the_training_rows_is_nothing() -> None:
    """Leaves are weighted by training rows, so the reference is the average training row."""
    booster, forest, x = grown(5)
    np.testing.assert_allclose(booster.predict(x).mean(), forest.means.sum(), atol=1e-9)


def test_a_forest_survives_its_text() -> None:
    _, forest, x = grown(6)
    again = Forest.from_json(json.loads(json.dumps(forest.to_json())))
    np.testing.assert_array_equal(again.predict(x), forest.predict(x))


def test_a_group_without_trees_adds_nothing() -> None:
    _, forest, x = grown(7)
    mixed = Forest(FEATURES, ((), forest.groups[0], ()))
    found = mixed.predict(x)
    assert (found[:, [0, 2]] == 0).all()
    np.testing.assert_array_equal(found[:, 1], forest.predict(x)[:, 0])


def test_a_tree_of_one_leaf_is_a_constant() -> None:
    nothing, nowhere, never = np.empty(0), np.empty(0, int), np.empty(0, bool)
    leaf = Tree(nowhere, nothing, (), never, nowhere, nowhere, np.array([0.7]), np.array([10.0]))
    forest = Forest(FEATURES, ((leaf,),))
    np.testing.assert_array_equal(forest.predict(np.zeros((3, 4))), np.full((3, 1), 0.7))
    assert forest.means.tolist() == [0.7]


@pytest.mark.parametrize(
    ("field", "value"),
    [("left", [1, 1]), ("left", [-1, -1]), ("right", [0, -3]), ("value", [1.0]), ("threshold", [0.0])],
)
def test_links_that_make_no_tree_are_refused(field: str, value: list[float]) -> None:
    good = {
        "feature": [0, 1], "threshold": [0.0, 1.0], "members": [None, None], "unknown_left": [True, False],
        "left": [1, -1], "right": [-3, -2], "value": [1.0, 2.0, 3.0], "rows": [5.0, 5.0, 5.0],
    }  # fmt: skip
    Tree.from_json(good)
    with pytest.raises(ValueError, match="tree"):
        Tree.from_json(good | {field: value})


def test_a_tree_may_only_ask_about_features_that_are_listed() -> None:
    content = FOREST.to_json() | {"features": ["amount"]}
    with pytest.raises(ValueError, match="not listed"):
        Forest.from_json(content)


FOREST = grown(0)[1]
