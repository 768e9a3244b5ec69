"""A recipe: what the ladder chose, fitted again without choosing."""

from __future__ import annotations

import json
from dataclasses import replace

import pandas as pd
import pytest

from forecast.history import History
from forecast.models import FitSettings, FittedModels, Recipe, fit_models

AS_OF = pd.Timestamp("2025-07-01", tz="UTC")
QUICK = FitSettings(
    max_landmarks=4_000, windows=1, ridge_grid=(3.0, 50.0), rounds_grid=(5,), min_boosted_deals=1
)


def without_judgement(models: FittedModels) -> str:
    """Everything a bundle holds but how the rungs were judged."""
    files = models.to_json()
    model = files["model"]
    assert isinstance(model, dict)
    return json.dumps(files | {"model": {**model, "ladder": None}}, sort_keys=True)


@pytest.mark.slow
def test_a_refit_by_its_own_recipe_is_the_same_model(sample_history: History) -> None:
    chosen = fit_models(sample_history, AS_OF, QUICK)
    again = fit_models(sample_history, AS_OF, QUICK, recipe=chosen.recipe)
    assert without_judgement(again) == without_judgement(chosen)
    assert [rung.name for rung in again.ladder if rung.chosen] == [chosen.outcome.name]


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["aalen-johansen", "linear", "boosted"])
def test_the_recipe_decides_what_is_fitted(sample_history: History, rung: str) -> None:
    recipe = Recipe(rung, 12.0, "age_days" if rung == "linear" else "", (5, 5))
    models = fit_models(sample_history, AS_OF, QUICK, recipe=recipe)
    assert models.outcome.name == rung
    assert models.clock.feature == recipe.clock
    assert models.recipe == recipe


def test_too_few_closed_deals_are_cells_whatever_the_recipe(sample_history: History) -> None:
    few = replace(QUICK, min_closed_deals=10**6)
    models = fit_models(sample_history, AS_OF, few, recipe=Recipe("boosted", 12.0, "", (5, 5)))
    assert models.outcome.name == models.recipe.rung == "aalen-johansen"


def test_a_recipe_survives_json() -> None:
    recipe = Recipe("boosted", 12.0, "age_days", (25, 50))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
