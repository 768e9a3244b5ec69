"""The ladder: what later windows choose, how it falls back, and a rung of one's own."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import load_bundle, write_bundle
from forecast.history import DatedRecords, History, Landmarks, make_landmarks
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.models import ladder as ladder_module
from forecast.models.fitted import RUNGS
from forecast.models.ladder import fit_outcome
from forecast.models.rows import Rows, looks_per_closing
from forecast.models.season import Season
from forecast.periods import DAY_US, as_of_us

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
FLAT = (Season.flat(), Season.flat())
QUICK = FitSettings(max_landmarks=6_000, windows=2, rounds_grid=(10,), use_clock=False)


@pytest.fixture(scope="module")
def rows(sample_history: History) -> Rows:
    from forecast.features import build

    marks = make_landmarks(sample_history, until_us=as_of_us(AS_OF)).thin(6_000, np.random.default_rng(1))
    records = DatedRecords.of(sample_history)
    return Rows(marks, build(sample_history, marks.deal, marks.at_us, records))


def climb(
    rows: Rows, history: History, settings: FitSettings, use: tuple[str, ...] = ("stage", "age_days")
) -> Any:
    return fit_outcome(rows.landmarks, rows.features, use, FLAT, history.stages, as_of_us(AS_OF), settings)


def test_with_few_closed_deals_the_cells_stand_alone_and_say_why(rows: Rows, sample_history: History) -> None:
    found = climb(rows, sample_history, replace(QUICK, min_closed_deals=10**6))
    assert found.model.name == "aalen-johansen"
    assert [rung.chosen for rung in found.ladder] == [True, False]
    assert "needs 1000000" in found.ladder[0].reason


def test_a_window_between_two_looks_is_left_out(rows: Rows, sample_history: History) -> None:
    """Looks lie a week apart: most windows of a day hold none."""
    found = climb(rows, sample_history, replace(QUICK, window_days=1.0, windows=4))
    assert found.model.name
    assert any(rung.chosen for rung in found.ladder)


def test_without_a_single_win_the_cells_stand_alone(rows: Rows, sample_history: History) -> None:
    marks = rows.landmarks
    never = replace(marks, cause=np.where(marks.cause == 1, 0, marks.cause).astype(np.int8))
    found = climb(Rows(never, rows.features), sample_history, QUICK)
    assert found.model.name == "aalen-johansen"


def test_without_lightgbm_the_linear_rung_is_the_last(
    rows: Rows, sample_history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder_module, "can_boost", lambda: False)
    found = climb(rows, sample_history, QUICK)
    assert found.model.name == "linear"
    assert found.ladder[-1].name == "boosted"
    assert "not installed" in found.ladder[-1].reason


def test_features_without_meaning_do_not_climb(rows: Rows, sample_history: History) -> None:
    """A model fed with one constant feature cannot beat the stages."""
    features = rows.features.replaced({"amount": 1.0})
    found = climb(Rows(rows.landmarks, features), sample_history, QUICK, use=("amount", "stage"))
    assert found.ladder[0].log_score is not None
    assert found.ladder[1].log_score < found.ladder[0].log_score + 0.05


def test_trees_see_what_a_sum_cannot(sample_history: History, rows: Rows) -> None:
    """Deals are lost fast if exactly one of two signs is there: no sum of both tells them apart."""
    rng = np.random.default_rng(3)
    size = 8_000
    a, b = rng.integers(0, 2, size), rng.integers(0, 2, size)
    lost = rng.exponential(1 / np.where(a != b, 0.05, 0.004))
    won = rng.exponential(1 / 0.01, size)
    day = rng.integers(0, 700, size)
    at_us = as_of_us(AS_OF) - (day + 1) * DAY_US
    ends = np.minimum(np.minimum(won, lost), day + 1.0)
    cause = np.where(ends == day + 1.0, 0, np.where(won < lost, 1, 2)).astype(np.int8)
    marks = Landmarks(np.arange(size), at_us, ends, cause, np.ones(size))
    values = rows.features.take(np.zeros(size, int)).replaced(
        {"budget": a.astype(float), "need": b.astype(float)}
    )
    found = climb(
        Rows(marks, values),
        sample_history,
        replace(QUICK, rounds_grid=(40,)),
        use=("budget", "need", "stage"),
    )
    assert found.model.name == "boosted"
    assert found.recipe.share == 1.0  # a mean with the sum would halve it
    one = found.model.coefficients(values) @ found.model.basis + found.model.baseline
    rate = np.exp(one[:, 1, 5])
    assert rate[a != b].mean() / rate[a == b].mean() == pytest.approx(12.5, rel=0.3)


def test_one_closing_seen_from_several_landmarks_counts_once(rows: Rows) -> None:
    closed = rows.landmarks.cause > 0
    deals = len(np.unique(rows.landmarks.deal[closed]))
    assert looks_per_closing(rows.landmarks) == pytest.approx(rows.landmarks.weight[closed].sum() / deals)


def test_the_model_of_the_documentation_joins_the_ladder(
    sample_history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's own code, run as it stands; then with rungs below it that know nothing."""
    page = Path(__file__).resolve().parents[2] / "docs" / "own-model.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.S)
    monkeypatch.setattr("builtins.print", lambda *_: None)
    before = dict(RUNGS)
    try:
        scope: dict[str, Any] = {"history": sample_history, "until": AS_OF, "settings": QUICK}
        for block in blocks:
            exec(compile(block, str(page), "exec"), scope)  # noqa: S102  (our own page)
        models: FittedModels = scope["models"]
        assert models.ladder[-1].name == "by-source"
        assert not models.ladder[-1].chosen

        blind = replace(QUICK, ridge_grid=(1e12,), min_boosted_deals=10**9)
        chosen = fit_models(sample_history, AS_OF, blind, own=(scope["BySource"](),))
        forced = replace(chosen, outcome=scope["BySource"]().fit(*_training(chosen, sample_history)))
        write_bundle(forced, tmp_path / "own", metrics={}, data_fingerprint="x")
        again = load_bundle(tmp_path / "own")
        deal = sample_history.open_deals(as_of_us(AS_OF))
        curves = again.models.incidence(sample_history, deal, as_of_us(AS_OF), [30.0, 90.0])
        np.testing.assert_allclose(curves.sum(axis=1), 1.0)
        assert (np.diff(curves[:, 1], axis=1) >= 0).all()
    finally:
        RUNGS.clear()
        RUNGS.update(before)


def _training(models: FittedModels, history: History) -> tuple[Any, Any, Any]:
    from forecast.models import Survival

    marks = make_landmarks(history, until_us=as_of_us(AS_OF)).thin(4_000, np.random.default_rng(2))
    features = models.features(history, marks.deal, marks.at_us)
    bins = models.outcome.bins
    return Rows(marks, features), Survival.of(marks, bins, models.seasons), bins
