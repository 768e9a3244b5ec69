"""Reasons add up to what they explain, in probability, in the period and in money, and are told in words."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import Bundle, load_bundle
from forecast.history import History
from forecast.periods import DAY_US, Period, as_of_us
from forecast.scoring import score_open_deals
from forecast.scoring.reasons import Chances, Explainer

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
QUARTER = Period.parse("2026Q1")
KEYS = ["feature", "label", "effect", "value", "text", "bookings_effect", "period_effect"]
EVERYTHING = 100  # more reasons than there are features

Reasons = list[dict[str, Any]]


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def scores(sample_history: History, bundle: Bundle) -> pd.DataFrame:
    return score_open_deals(sample_history, bundle, AS_OF, period=QUARTER, reasons=EVERYTHING)


@pytest.fixture(scope="module")
def reasons(scores: pd.DataFrame) -> list[Reasons]:
    return [json.loads(text) for text in scores["reasons"]]


def summed(reasons: list[Reasons], key: str) -> np.ndarray:
    return np.array([sum(reason[key] for reason in found) for found in reasons])


@pytest.mark.parametrize(
    ("key", "column"), [("effect", "win_probability"), ("period_effect", "won_in_period")]
)
def test_effects_of_all_features_add_up_to_the_distance_from_the_average_deal(
    scores: pd.DataFrame, reasons: list[Reasons], key: str, column: str
) -> None:
    reference = scores[column] - summed(reasons, key)
    # Effects are written with six digits, so a sum of forty may be off by twenty millionths.
    assert np.ptp(reference) < 1e-4
    assert 0 < reference.mean() < 1


def test_effects_in_money_add_up_to_the_distance_in_expected_bookings(
    scores: pd.DataFrame, reasons: list[Reasons]
) -> None:
    reference = (scores["win_probability"] - summed(reasons, "effect")).mean()
    expected = scores["expected_bookings"] - reference * scores["amount_if_won"]
    # Written in cents, and the reference is known to a hundred-thousandth of the amount.
    np.testing.assert_allclose(summed(reasons, "bookings_effect"), expected, rtol=1e-4, atol=1.0)


def test_the_reference_is_the_average_deal_scored(sample_history: History, bundle: Bundle) -> None:
    """Unrounded: the explainer's own numbers, to the rounding of a float."""
    models, at_us = bundle.models, as_of_us(AS_OF)
    deal = sample_history.open_deals(at_us)
    features = models.features(sample_history, deal, np.full(len(deal), at_us))
    cells = models.cells(at_us, np.array([31.0, 90.0, 730.0]))
    coefficients, contributions = models.outcome.explain(features)
    pace = models.log_pace(features)
    curves = cells.curves(models.on_bins(coefficients) + pace)
    won, in_period = curves.won[:, -1], curves.won_between(31.0, 90.0)
    explainer = Explainer(models, cells, span_days=(31.0, 90.0))
    ever, period = explainer.effects(
        coefficients, contributions, pace, Chances(won, in_period, np.ones(len(features)))
    )
    assert period is not None
    np.testing.assert_allclose(ever.sum(axis=1), won - explainer.reference_won, atol=1e-12)
    np.testing.assert_allclose(period.sum(axis=1), in_period - explainer.reference_in_period, atol=1e-12)


def test_effects_are_those_of_a_path_followed_in_small_steps(sample_history: History, bundle: Bundle) -> None:
    """The definition itself, by sixty finite differences on the exact time axis, feature by feature."""
    models, at_us = bundle.models, as_of_us(AS_OF)
    deal = sample_history.open_deals(at_us)[:40]
    features = models.features(sample_history, deal, np.full(len(deal), at_us))
    cells = models.cells(at_us, np.array([730.0]))
    coefficients, contributions = models.outcome.explain(features)
    reference, steps = models.outcome.reference, 60
    # A clock of the deals' own, whether or not this bundle has one: it counts as part of the age.
    pace = np.random.default_rng(1).normal(0.0, 0.2, (len(deal), 2, len(models.outcome.bins)))
    age = models.outcome.groups.index("age_days")
    models = replace(models, clock=replace(models.clock, feature="age_days"))

    def chance(at: np.ndarray, paced: np.ndarray) -> np.ndarray:
        return cells.curves(models.on_bins(at) + paced).won[:, -1]

    truth = np.zeros(contributions.shape[:2])
    for step in range(steps):
        share = (step + 0.5) / steps
        middle, paced = reference + share * (coefficients - reference), share * pace
        for group in range(truth.shape[1]):
            moved = contributions[:, group] / (2 * steps)
            faster = pace / (2 * steps) * (group == age)
            truth[:, group] += chance(middle + moved, paced + faster) - chance(middle - moved, paced - faster)
    explainer = Explainer(models, cells)
    found, _ = explainer.effects(
        coefficients,
        contributions,
        pace,
        Chances(chance(coefficients, pace), np.zeros(len(deal)), np.ones(len(deal))),
    )
    assert np.abs(found - truth).max() < 0.01
    assert np.abs(found - truth).mean() < 0.0005


def test_a_deal_like_the_average_one_has_no_effects(bundle: Bundle) -> None:
    models = bundle.models
    cells = models.cells(20_454 * DAY_US, np.array([730.0]))
    explainer = Explainer(models, cells)
    coefficients = models.outcome.reference[None]
    nothing = np.zeros((1, len(models.outcome.groups), *models.outcome.reference.shape))
    chances = Chances(np.array([explainer.reference_won]), np.zeros(1), np.ones(1))
    pace = np.zeros((1, 2, len(models.outcome.bins)))
    ever, period = explainer.effects(coefficients, nothing, pace, chances)
    assert (ever == 0).all()
    assert period is None


def test_reasons_are_sorted_and_have_the_contract_s_keys(reasons: list[Reasons]) -> None:
    for found in reasons[:20]:
        sizes = [abs(reason["effect"]) for reason in found]
        assert sizes == sorted(sizes, reverse=True)
        assert all(list(reason) == KEYS for reason in found)


def test_without_a_period_nothing_is_said_of_one(sample_history: History, bundle: Bundle) -> None:
    plain = score_open_deals(sample_history, bundle, AS_OF, reasons=2)
    for text in plain["reasons"]:
        assert all(list(reason) == KEYS[:-1] for reason in json.loads(text))


def test_an_unknown_amount_has_no_effect_in_money(sample_tables: Any, bundle: Bundle) -> None:
    from dataclasses import replace

    foreign = replace(sample_tables, deals=sample_tables.deals.assign(currency="XXX"))
    unconverted = score_open_deals(
        History.from_tables(foreign, bundle.models.money), bundle, AS_OF, reasons=1
    )
    assert unconverted["amount_if_won"].isna().all()
    assert all(json.loads(text)[0]["bookings_effect"] is None for text in unconverted["reasons"])


def test_words_are_those_of_the_asked_language_and_numbers_are_not_touched_by_it(
    sample_history: History, bundle: Bundle, reasons: list[Reasons]
) -> None:
    italian = score_open_deals(sample_history, bundle, AS_OF, period=QUARTER, reasons=EVERYTHING, locale="it")
    said = [json.loads(text) for text in italian["reasons"]]
    for english, other in zip(reasons, said, strict=True):
        for one, two in zip(english, other, strict=True):
            assert {**one, "label": "", "text": ""} == {**two, "label": "", "text": ""}
    texts = {reason["feature"]: reason["text"] for found in said for reason in found}
    labels = {reason["feature"]: reason["label"] for found in said for reason in found}
    assert labels["silence_days"] == "giorni di silenzio"
    assert texts["silence_days"].startswith(("in silenzio da", "novità oggi"))


def test_the_time_in_a_stage_names_the_stage(
    scores: pd.DataFrame, reasons: list[Reasons], sample_history: History
) -> None:
    stages = sample_history.stages
    label = dict(zip(stages.stage, stages.label, strict=True))
    told = 0
    for stage, found in zip(scores["stage"], reasons, strict=True):
        for reason in found:
            if reason["feature"] == "days_in_stage":
                assert reason["text"].startswith(f"in {label[stage]} ")
                told += 1
    assert told == len(scores)
