"""The gate: what it lets through, what it refuses, and that it says why."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.bundle import Bundle
from forecast.errors import DataError, GateError
from forecast.features import Decision
from forecast.features.registry import BUILT_IN, custom_spec
from forecast.history import History, Landmarks
from forecast.models import FitSettings, FittedModels, LeadModels, fit_models
from forecast.models.level import Level
from forecast.tables import Tables, known_before
from training.gate import BETTER, FAILS, PASSES, Check, Outcome, judge
from training.gate.checks import (
    Looks,
    check_calibration,
    check_latency,
    check_laws,
    check_leakage,
    check_scores,
)
from training.gate.contenders import check_comparable, settings_of
from training.settings import Settings, read_settings

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
CELLS = FitSettings(seed=1, max_landmarks=6_000, windows=1, min_closed_deals=1_000_000)
GATE = read_settings().gate


def looks_of(
    deals: int, candidate_noise: float, champion_noise: float, seed: int = 0, share: float = 0.3
) -> Looks:
    """Ten looks at each deal, whose chance has a spread; forecasts are off by noise in log-odds."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(np.log(share / (1 - share)), 1.0, deals)
    won = rng.random(deals) < 1 / (1 + np.exp(-odds))
    deal = np.repeat(np.arange(deals), 10)

    def said(noise: float) -> np.ndarray:
        off = odds + noise * rng.normal(size=deals)
        return (1 / (1 + np.exp(-off)))[deal][:, None]

    rows = len(deal)
    nothing = np.zeros(rows)
    landmarks = Landmarks(deal, nothing.astype(np.int64), nothing, nothing.astype(np.int8), np.ones(rows))
    weight = np.ones((rows, 1))
    outcome = won.astype(float)[deal][:, None]
    return Looks(landmarks, (90,), said(champion_noise), said(candidate_noise), outcome, weight, deal)


def verdicts(checks: list[Check]) -> set[str]:
    return {check.verdict for check in checks}


def scored(looks: Looks) -> list[Check]:
    return check_scores(looks, GATE, np.random.default_rng(0))


def test_a_clearly_better_forecast_is_better_and_a_clearly_worse_one_fails() -> None:
    assert verdicts(scored(looks_of(800, 0.0, 1.0))) == {BETTER}
    assert verdicts(scored(looks_of(800, 1.0, 0.0))) == {FAILS}


def test_the_same_forecast_is_neither() -> None:
    looks = looks_of(300, 0.0, 0.0)
    assert verdicts(scored(looks)) == {PASSES}
    assert verdicts(check_calibration(looks, GATE, np.random.default_rng(0))) == {PASSES}


def test_what_few_deals_cannot_rule_out_fails() -> None:
    """As good in truth, but with thirty deals it might be worse by far: the champion stays."""
    few = scored(looks_of(30, 0.5, 0.5, seed=3))
    assert FAILS in verdicts(few)
    assert "is not ruled out" in few[0].sentence


def test_the_difference_is_that_of_the_scores() -> None:
    looks = looks_of(200, 0.3, 0.8)
    brier = scored(looks)[1]
    theirs, ours = (((looks.won - said) ** 2).mean() for said in (looks.champion, looks.candidate))
    assert brier.figures["champion"] == pytest.approx(theirs)
    assert brier.figures["candidate"] == pytest.approx(ours)
    assert brier.figures["difference"] == pytest.approx(ours / theirs - 1)
    assert brier.figures["deals"] == 200


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_nobody_is_better_than_a_champion_that_is_better_than_him(
    seed: int, one: float, other: float
) -> None:
    looks = looks_of(60, one, other, seed)
    turned = dataclasses.replace(looks, champion=looks.candidate, candidate=looks.champion)
    for there, back in zip(scored(looks), scored(turned), strict=True):
        assert not (there.verdict == BETTER and back.verdict != FAILS)


def test_a_forecast_far_from_the_shares_that_came_fails() -> None:
    looks = looks_of(800, 0.0, 0.0)
    off = dataclasses.replace(looks, candidate=np.clip(looks.candidate + 0.2, 0, 1))
    (check,) = check_calibration(off, GATE, np.random.default_rng(0))
    assert check.verdict == FAILS
    assert check.figures["candidate"] == pytest.approx(0.2, abs=0.03)


def test_ranking_that_is_too_good_is_a_leak() -> None:
    looks = looks_of(300, 0.0, 0.0)
    knows = dataclasses.replace(looks, candidate=0.1 + 0.8 * looks.won)
    bundle = Bundle("", {}, _nothing_decided(), [])
    assert check_leakage(knows, bundle).verdict == FAILS
    assert check_leakage(looks, bundle).verdict == PASSES


def _nothing_decided() -> FittedModels:
    return _deciding()


def _deciding(*decisions: Decision) -> FittedModels:
    class Deciding:
        pass

    models = Deciding()
    models.decisions = decisions  # type: ignore[attr-defined]
    return models  # type: ignore[return-value]  # nothing else is asked of it


def test_a_field_that_leaks_and_is_trusted_does_not_serve_unless_it_is_allowed() -> None:
    reason = "trusted by the settings, although 90% of closed deals got it by closing"
    models = _deciding(Decision(custom_spec("contract").name, True, reason))
    bundle = Bundle("", {}, models, [])
    found = check_leakage(None, bundle)
    assert found.verdict == FAILS
    assert "90% of closed deals got it by closing" in found.sentence
    assert check_leakage(None, bundle, ("contract",)).verdict == PASSES


# On the sample company


@pytest.fixture(scope="module")
def quick() -> Settings:
    packaged = read_settings()
    return dataclasses.replace(packaged, fit=CELLS)


@pytest.fixture(scope="module")
def newer(sample_history: History, sample_tables: Tables) -> Bundle:
    """Stages alone, learnt until 2026."""
    models = fit_models(sample_history, AS_OF, CELLS)
    return Bundle("newer", {"data_fingerprint": known_before(sample_tables, AS_OF).fingerprint}, models, [])


@pytest.fixture(scope="module")
def older(sample_history: History) -> Bundle:
    """The same settings, learnt until the last quarter."""
    models = fit_models(sample_history, pd.Timestamp("2025-12-01", tz="UTC"), CELLS)
    return Bundle("older", {}, models, [])


@pytest.fixture(scope="module")
def full(sample_models: FittedModels) -> Bundle:
    return Bundle("full", {}, sample_models, [])


def by_code(outcome: Outcome) -> dict[str, Check]:
    return {check.code: check for check in outcome.checks}


def test_the_same_settings_with_a_month_more_pass_for_being_fresher(
    sample_tables: Tables, older: Bundle, newer: Bundle, quick: Settings
) -> None:
    outcome = judge(sample_tables, older, newer, quick, as_of=AS_OF)
    assert outcome.passed
    assert outcome.reasons == ("It learnt until 2026-01-01, 31 days more than the champion.",)
    assert "its settings fitted again, which are the same" in outcome.compared
    assert by_code(outcome)["reproduced"].verdict == PASSES
    assert by_code(outcome)["bookings"].figures["quarters"] == 1
    json.dumps(outcome.to_json(), allow_nan=False)


def test_a_month_less_is_nowhere_better(
    sample_tables: Tables, older: Bundle, newer: Bundle, quick: Settings
) -> None:
    outcome = judge(sample_tables, newer, older, quick, as_of=AS_OF)
    assert not outcome.passed
    assert outcome.reasons == ("It is not worse, and nowhere better.",)


def test_how_much_fresher_is_a_setting(
    sample_tables: Tables, older: Bundle, newer: Bundle, quick: Settings
) -> None:
    gate = dataclasses.replace(quick.gate, fresher_days=60.0, reproduce=False)
    outcome = judge(sample_tables, older, newer, dataclasses.replace(quick, gate=gate), as_of=AS_OF)
    assert not outcome.passed
    assert "reproduced" not in by_code(outcome)


@pytest.mark.slow
def test_stages_alone_do_not_replace_the_linear_model_and_it_replaces_them(
    sample_tables: Tables, older: Bundle, newer: Bundle, full: Bundle, quick: Settings
) -> None:
    worse = judge(sample_tables, full, newer, quick, as_of=AS_OF)
    assert not worse.passed
    assert {"log_score", "brier"} <= set(worse.failed)
    better = judge(sample_tables, older, full, quick, as_of=AS_OF)
    assert better.passed
    assert by_code(better)["log_score"].verdict == BETTER


def test_a_bundle_that_was_changed_on_its_way_is_found_out(
    sample_tables: Tables, older: Bundle, newer: Bundle, quick: Settings
) -> None:
    won, lost = newer.models.level.shift
    faster = dataclasses.replace(newer.models, level=Level((won + 0.26, lost), "tampered with"))
    outcome = judge(sample_tables, older, dataclasses.replace(newer, models=faster), quick, as_of=AS_OF)
    assert not outcome.passed
    assert "reproduced" in outcome.failed


def test_no_later_period_compares_only_the_same_settings(
    sample_tables: Tables, older: Bundle, newer: Bundle, full: Bundle, quick: Settings
) -> None:
    unmeasured = dataclasses.replace(
        quick,
        holdout=dataclasses.replace(quick.holdout, days=0),
        gate=dataclasses.replace(quick.gate, reproduce=False),
    )
    assert judge(sample_tables, older, newer, unmeasured, as_of=AS_OF).passed
    other = judge(sample_tables, older, full, unmeasured, as_of=AS_OF)
    assert not other.passed
    assert other.reasons == ("There is no later period to compare other settings on.",)


def test_a_candidate_without_leads_does_not_replace_a_champion_with_them(
    sample_tables: Tables, sample_history: History, full: Bundle, sample_lead_models: LeadModels
) -> None:
    champion = dataclasses.replace(full, leads=sample_lead_models)
    check = check_laws(sample_tables, sample_history, full, champion, AS_OF)
    assert check.verdict == FAILS
    assert "cannot score leads" in check.sentence
    assert check_laws(sample_tables, sample_history, champion, full, AS_OF).verdict == PASSES


def test_probabilities_that_break_a_law_are_named(
    sample_tables: Tables, sample_history: History, full: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.gate import checks

    real = checks.score_deals

    def broken(*args: object, **options: object) -> pd.DataFrame:
        scores = real(*args, **options)  # type: ignore[arg-type]  # passed on
        return scores.assign(won_90d=scores["won_14d"] - 0.1, lost_365d=np.nan)

    monkeypatch.setattr(checks, "score_deals", broken)
    check = check_laws(sample_tables, sample_history, full, full, AS_OF)
    assert check.verdict == FAILS
    for words in ("no number", "below 0", "falls as the horizon grows"):
        assert words in check.sentence


def test_a_candidate_as_fast_as_the_champion_is_fast_enough(sample_history: History, full: Bundle) -> None:
    assert check_latency(sample_history, full, full, AS_OF, GATE).verdict == PASSES


def test_other_stages_cannot_be_compared_and_are_named(full: Bundle) -> None:
    stages = full.models.stages
    renamed = dataclasses.replace(stages, stage=("renamed", *stages.stage[1:]))
    other = dataclasses.replace(full, models=dataclasses.replace(full.models, stages=renamed))
    with pytest.raises(
        GateError, match=r"know different stages \(.*/renamed.*\), so they cannot be compared"
    ):
        check_comparable(other, full)


def test_the_data_of_another_company_are_refused(
    sample_tables: Tables, full: Bundle, quick: Settings
) -> None:
    renamed = sample_tables.stages.assign(stage=sample_tables.stages["stage"] + " x")
    events = sample_tables.deal_events
    stage = events["field"] == "stage"
    foreign = dataclasses.replace(
        sample_tables,
        stages=renamed,
        deal_events=events.assign(value=events["value"].where(~stage, events["value"] + " x")),
    )
    with pytest.raises(DataError, match="give the data it was trained on"):
        judge(foreign, full, full, quick, as_of=AS_OF)


def test_settings_of_a_bundle_come_back_and_unknown_ones_are_left_out(full: Bundle) -> None:
    names = tuple(spec.name for spec in BUILT_IN)[:2]
    own = FitSettings(seed=4, ridge_grid=(1.0, 2.0), exclude_fields=names)
    stored = {**json.loads(json.dumps(own.to_json())), "from_a_later_version": 3}
    models = dataclasses.replace(full.models, settings=stored)
    assert settings_of(dataclasses.replace(full, models=models)) == own
