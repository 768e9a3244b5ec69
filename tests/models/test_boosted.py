"""The mean of linear hazards and trees: a mean it is, bin by bin right, and of each cause by itself."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.features import build, feature_names
from forecast.history import DatedRecords, History, make_landmarks
from forecast.models import FitSettings
from forecast.models.boosted import BoostedHazard, fit_boosted
from forecast.models.clock import DealClock
from forecast.models.hazard import Survival
from forecast.models.linear import LinearHazard
from forecast.models.rows import Rows
from forecast.models.season import Season
from forecast.models.windows import Base, paced_survival
from forecast.periods import as_of_us

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")


@pytest.fixture(scope="module")
def base(sample_history: History) -> Base:
    marks = make_landmarks(sample_history, until_us=as_of_us(AS_OF), every_days=14.0)
    features = build(sample_history, marks.deal, marks.at_us, DatedRecords.of(sample_history))
    use = tuple(name for name in feature_names(sample_history) if not name.startswith("custom:"))
    flat = Season.flat()
    return Base.of(Rows(marks, features).sample(6_000, FitSettings().seed), use, (flat, flat))


@pytest.fixture(scope="module")
def linear(base: Base) -> LinearHazard:
    return base.linear(12.0, DealClock.flat())


@pytest.fixture(scope="module")
def survival(base: Base) -> Survival:
    return paced_survival(base.rows, base.seasons, DealClock.flat(), base.bins)


def fitted(
    base: Base, linear: LinearHazard, survival: Survival, share: float, won: int = 20
) -> BoostedHazard:
    return fit_boosted(linear, base.rows.features, survival, rounds=(won, 20), share=share, seed=1)


def test_half_a_share_is_half_of_each(base: Base, linear: LinearHazard, survival: Survival) -> None:
    features = base.rows.features
    half, alone = (fitted(base, linear, survival, share).coefficients(features) for share in (0.5, 1.0))
    np.testing.assert_allclose(half, (linear.coefficients(features) + alone) / 2.0, atol=1e-9)
    assert np.ptp(alone[:, 0, 0]) > 0.1


def test_every_bin_expects_what_came(base: Base, linear: LinearHazard, survival: Survival) -> None:
    model = fitted(base, linear, survival, 0.5)
    hazard = np.exp(model.coefficients(base.rows.features) @ model.basis + model.baseline)
    for k in range(2):
        ended = survival.cause == k + 1
        came = np.bincount(survival.bin[ended], survival.weight[ended], minlength=len(base.bins))
        expected = np.einsum("n,nj,nj->j", survival.weight, survival.exposure[k], hazard[:, k])
        many = came > 100
        assert many.sum() > 3
        np.testing.assert_allclose(expected[many], came[many], rtol=0.08)


def test_a_cause_without_trees_keeps_its_linear_hazards(
    base: Base, linear: LinearHazard, survival: Survival
) -> None:
    features = base.rows.features
    model = fitted(base, linear, survival, 0.5, won=0)
    found, plain = model.coefficients(features), linear.coefficients(features)
    np.testing.assert_allclose(found[:, 0], plain[:, 0], atol=1e-12)
    assert np.abs(found[:, 1] - plain[:, 1]).mean() > 0.01


def test_reasons_add_up_to_the_difference_from_the_average_deal(
    base: Base, linear: LinearHazard, survival: Survival
) -> None:
    model = fitted(base, linear, survival, 0.5)
    some = base.rows.features.take(slice(0, 200))
    coefficients, contributions = model.explain(some)
    np.testing.assert_allclose(contributions.sum(axis=1) + model.reference, coefficients, atol=1e-9)
    np.testing.assert_allclose(coefficients, model.coefficients(some), atol=1e-12)
