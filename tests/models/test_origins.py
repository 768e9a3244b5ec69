"""Models of former moments: they know what was known then, and nothing else."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from forecast.features import build, decide_fields
from forecast.history import LOST, OPEN, WON, DatedRecords, History, Landmarks, make_landmarks
from forecast.models import FitSettings, FittedModels, Season
from forecast.models.origins import Refit, censored_at, cheap_refits
from forecast.models.shock import estimate_shock, past_quarters
from forecast.periods import DAY_US, as_of_us

FLAT = (Season.flat(), Season.flat())
END_US = as_of_us(pd.Timestamp("2026-01-01", tz="UTC"))
ORIGIN_US = as_of_us(pd.Timestamp("2025-04-01", tz="UTC"))


def test_what_ended_later_was_open_at_the_origin() -> None:
    days = np.array([0, 12, 28, 60])
    marks = Landmarks(
        np.arange(4),
        days * DAY_US,
        np.array([10.0, 30.0, 2.0, 5.0]),
        np.array([1, 1, 2, 1], np.int8),
        np.ones(4),
    )
    seen = censored_at(marks, 30 * DAY_US)
    assert seen.deal.tolist() == [0, 1, 2]  # the last one had not been laid
    assert seen.duration_days.tolist() == [10.0, 18.0, 2.0]
    # An outcome recorded at the origin itself is not yet known there.
    assert seen.cause.tolist() == [WON, OPEN, OPEN]


def test_landmarks_of_the_origin_are_those_laid_at_the_origin(sample_history: History) -> None:
    grid_us = END_US - 7 * DAY_US * 40
    late = censored_at(make_landmarks(sample_history, until_us=END_US), grid_us)
    then = make_landmarks(sample_history, until_us=grid_us)
    for name in ("deal", "at_us", "cause"):
        assert_array_equal(getattr(late, name), getattr(then, name))
    np.testing.assert_allclose(late.duration_days, then.duration_days)


def refits(history: History, landmarks: Landmarks, *, linear: bool, least: int = 60) -> Refit:
    use = tuple(d.feature for d in decide_fields(history, END_US) if d.used)
    features = build(history, landmarks.deal, landmarks.at_us, DatedRecords.of(history))
    return cheap_refits(
        landmarks, features, use, FLAT, history.stages, linear=linear, min_closed_deals=least, seed=0
    )


@pytest.mark.parametrize("linear", [True, False])
def test_the_future_does_not_reach_a_refit(sample_history: History, linear: bool) -> None:
    marks = make_landmarks(sample_history, until_us=END_US).thin(2_500, np.random.default_rng(0))
    early = refits(sample_history, marks, linear=linear)(ORIGIN_US)
    # After the origin everything is lost on the spot, and rows laid after it are gone.
    ends_us = marks.at_us + (marks.duration_days * DAY_US).astype(np.int64)
    late = ends_us >= ORIGIN_US
    changed = Landmarks(
        marks.deal,
        marks.at_us,
        np.where(late, np.maximum(ORIGIN_US - marks.at_us, 0) / DAY_US, marks.duration_days),
        np.where(late, LOST, marks.cause).astype(np.int8),
        marks.weight,
    ).take(marks.at_us < ORIGIN_US)
    again = refits(sample_history, changed, linear=linear)(ORIGIN_US)
    assert early is not None
    assert again is not None
    assert early.to_json() == again.to_json()


def test_too_little_to_learn_from_gives_no_model(sample_history: History) -> None:
    marks = make_landmarks(sample_history, until_us=END_US)
    assert refits(sample_history, marks, linear=True, least=100_000)(ORIGIN_US) is None
    assert refits(sample_history, marks, linear=True)(as_of_us(pd.Timestamp("2022-01-10", tz="UTC"))) is None


def test_past_quarters_are_complete_and_inside_the_data() -> None:
    first, until = (as_of_us(pd.Timestamp(day, tz="UTC")) for day in ("2025-01-01", "2025-11-15"))
    assert [q.label for q in past_quarters(first, until)] == ["2025Q3", "2025Q2"]
    assert [q.label for q in past_quarters(first, END_US)] == ["2025Q4", "2025Q3", "2025Q2"]
    assert len(past_quarters(0, END_US, most=3)) == 3


def test_a_company_that_swings_shows_a_larger_shock(
    sample_history: History, sample_models: FittedModels
) -> None:
    """Quarters that came as foretold shrink the prior, quarters that came otherwise enlarge it."""
    records = DatedRecords.of(sample_history)
    marks = make_landmarks(sample_history, until_us=END_US).thin(6_000, np.random.default_rng(0))
    honest = refits(sample_history, marks, linear=False, least=FitSettings().min_closed_deals)

    def doubled(origin_us: int):  # type: ignore[no-untyped-def]
        model = honest(origin_us)
        return None if model is None else _Louder(model)

    calm = estimate_shock(sample_models, sample_history, records, END_US, honest)
    wrong = estimate_shock(sample_models, sample_history, records, END_US, doubled)
    none = estimate_shock(sample_models, sample_history, records, END_US, lambda _origin: None)
    assert 0.03 < calm.sd < 0.25
    assert calm.quarters == 8
    assert 4.0 < calm.df <= 12.0
    assert wrong.sd > calm.sd + 0.1
    assert none.quarters == 0
    assert none.sd == pytest.approx(np.sqrt(0.15**2 + 1 / (sample_models.counts["won"] + 1)))


class _Louder:
    """A model that foretells twice the hazard of winning."""

    def __init__(self, model) -> None:  # type: ignore[no-untyped-def]
        self.model = model
        self.bins, self.basis, self.baseline = model.bins, model.basis, model.baseline

    def coefficients(self, features) -> np.ndarray:  # type: ignore[no-untyped-def]
        found = self.model.coefficients(features).copy()
        found[:, 0] += np.log(2.0)
        return found
