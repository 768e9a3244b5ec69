"""Encoding: motions by stage, chances on the scale of hazards, and texts instead of codes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forecast.features import FeatureMatrix, build
from forecast.history import OPEN, DatedRecords, History, make_landmarks
from forecast.models.encoder import Encoder, fit_encoder
from forecast.periods import DAY_US

USE = ("stage", "days_in_stage", "motion", "course_won_30d")


@pytest.fixture(scope="module")
def rows(sample_history: History) -> FeatureMatrix:
    until_us = int(sample_history.at_us.max()) - 100 * DAY_US
    marks = make_landmarks(sample_history, until_us=until_us, every_days=7.0)
    found = build(sample_history, marks.deal, marks.at_us, DatedRecords.of(sample_history))
    chance = 0.5 + 0.49 * np.sin(np.arange(len(found)))
    return found.replaced({"course_won_30d": np.where(np.arange(len(found)) % 7 == 0, np.nan, chance)})


@pytest.fixture(scope="module")
def encoder(rows: FeatureMatrix) -> Encoder:
    return fit_encoder(rows, USE)


def columns_of(encoder: Encoder, rows: FeatureMatrix, name: str) -> np.ndarray:
    """(n, width) the columns of one feature."""
    starts = [*encoder.group_starts.tolist(), encoder.width]
    at = encoder.groups.index(name)
    return encoder.encode(rows)[:, starts[at] : starts[at + 1]]


def test_each_motion_has_a_level_of_its_own_in_every_stage_that_has_rows(
    encoder: Encoder, rows: FeatureMatrix
) -> None:
    stages, motions = rows.texts("stage"), rows.texts("motion")
    found = columns_of(encoder, rows, "motion")
    levels = found.shape[1] - len(encoder.pairs)
    assert levels == len(motions)
    seen = set()
    for place, pair in enumerate(encoder.pairs, start=levels):
        is_both = (rows["motion"] == motions.index(pair.motion)) & (rows["stage"] == stages.index(pair.stage))
        np.testing.assert_allclose(found[:, place], is_both - is_both.mean(), atol=1e-12)
        assert is_both.sum() >= 20
        seen.add((pair.motion, pair.stage))
    kinds = rows.history.stages.kind
    assert {stage for _, stage in seen} == {
        name for name, kind in zip(stages, kinds, strict=True) if kind == OPEN
    }
    assert ("renewal", "sales/prospecting") not in seen  # renewals do not begin there


def test_who_does_not_say_the_motion_has_no_pairs(rows: FeatureMatrix) -> None:
    unknown = rows.replaced({"motion": np.nan})
    assert fit_encoder(unknown, USE).pairs == ()
    assert fit_encoder(rows, ("stage", "days_in_stage")).pairs == ()
    assert fit_encoder(rows, ("motion", "days_in_stage")).pairs == ()


def test_a_chance_enters_as_the_log_of_its_cumulative_hazard(encoder: Encoder, rows: FeatureMatrix) -> None:
    found = columns_of(encoder, rows, "course_won_30d")
    chance = rows["course_won_30d"]
    known = ~np.isnan(chance)
    low, high = np.quantile(chance[known], [0.002, 0.998])
    moved = np.log(-np.log1p(-np.clip(chance[known], low, high)))
    expected = (moved - moved.mean()) / moved.std()
    np.testing.assert_allclose(found[known, 0], expected, atol=1e-9)
    assert (found[~known, 0] == 0).all()


@pytest.mark.parametrize("chance", [0.0, 1.0, 1e-300, 1.0 - 1e-16])
def test_chances_of_nothing_and_of_everything_are_finite(
    encoder: Encoder, rows: FeatureMatrix, chance: float
) -> None:
    assert np.isfinite(encoder.encode(rows.replaced({"course_won_30d": chance}))).all()


def test_an_encoder_survives_its_text(encoder: Encoder, rows: FeatureMatrix) -> None:
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(rows), encoder.encode(rows))
