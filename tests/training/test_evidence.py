"""Evidence of a training and its model card: intervals, parity, curves, and what the text says of them."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.errors import UsageError
from forecast.evaluation import metrics
from forecast.history import History, Landmarks
from forecast.tables import Tables
from training.card import MINIMA, card_facts, card_path, card_text
from training.evidence import Evidence, collect_evidence
from training.holdout import OURS
from training.intervals import intervals, seen_at
from training.recording import artifacts, record_of
from training.segments import check_segments
from training.settings import SegmentSettings, Settings, read_settings
from training.tracking import data_facts
from training.train import Training, train

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
DAY_US = 86_400_000_000


@pytest.fixture(scope="module")
def quick() -> Settings:
    own = read_settings()
    fit = dataclasses.replace(own.fit, max_landmarks=6_000, windows=2, ridge_grid=(12.0,))
    return dataclasses.replace(own, fit=fit)


@pytest.fixture(scope="module")
def trained(sample_tables: Tables, quick: Settings, tmp_path_factory: pytest.TempPathFactory) -> Training:
    return train(sample_tables, tmp_path_factory.mktemp("models") / "mine", quick, as_of=AS_OF)


@pytest.fixture(scope="module")
def evidence(trained: Training, sample_history: History, quick: Settings) -> Evidence:
    return collect_evidence(trained.models, sample_history, trained.measured, quick)


@pytest.fixture(scope="module")
def card(trained: Training, sample_tables: Tables, evidence: Evidence, quick: Settings) -> str:
    return card_text(card_facts(trained, sample_tables, evidence, quick))


def test_intervals_hold_the_figures_of_the_table(trained: Training, evidence: Evidence) -> None:
    assert trained.measured is not None
    table = trained.measured.table.set_index(["forecaster", "horizon_days", "metric"])["value"]
    for row in evidence.intervals.itertuples():
        if row.metric in ("brier", "skill", "auc"):
            assert row.value == pytest.approx(table[OURS, row.horizon_days, row.metric])
        assert row.lower <= row.value <= row.upper, row
        assert row.deals == table["actual", row.horizon_days, "deals"]
    gains = evidence.intervals.query("metric == 'brier_gain_stage_rate' and horizon_days == 90")
    expected = table["stage_rate", 90, "brier"] - table[OURS, 90, "brier"]
    assert gains["value"].item() == pytest.approx(expected)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 12))
def test_a_mean_of_sums_by_deal_is_the_mean_over_looks(seed: int, deals: int) -> None:
    rng = np.random.default_rng(seed)
    rows = 4 * deals
    looks = Landmarks(
        deal=np.sort(rng.integers(deals, size=rows)),
        at_us=rng.integers(0, 100, size=rows) * DAY_US,
        duration_days=rng.uniform(0.5, 120.0, size=rows),
        cause=rng.integers(0, 3, size=rows).astype(np.int8),
        weight=rng.uniform(0.5, 2.0, size=rows),
    )
    said = {OURS: rng.uniform(size=(rows, 1)), "base_rate": np.full((rows, 1), 0.4)}
    found = intervals(
        looks, said, [30], until_us=160 * DAY_US, ours=OURS, rng=np.random.default_rng(0)
    ).set_index("metric")
    seen = seen_at(looks, 30, until_us=160 * DAY_US)
    p = said[OURS][seen.rows, 0]
    brier = metrics.brier(seen.outcome, p, weight=seen.weight)
    assert found.loc["brier", "value"] == pytest.approx(brier)
    assert found.loc["bias", "value"] == pytest.approx(np.average(p - seen.outcome, weights=seen.weight))
    theirs = metrics.brier(seen.outcome, np.full(len(p), 0.4), weight=seen.weight)
    assert found.loc["brier_gain_base_rate", "value"] == pytest.approx(theirs - brier)


def test_segments_are_a_partition_of_the_looks(trained: Training, evidence: Evidence) -> None:
    assert trained.measured is not None
    table = trained.measured.table.set_index(["forecaster", "horizon_days", "metric"])["value"]
    assert set(evidence.segments["column"]) == {"motion", "source"}
    for (_, horizon), part in evidence.segments.groupby(["column", "horizon_days"]):
        assert part["deals"].sum() == table["actual", horizon, "deals"]  # neither changes in a deal's life
        smaller = part["segment"].str.contains("smaller")
        assert (part.loc[~smaller, "deals"] >= 30).all()
        assert not smaller.iloc[:-1].any()
    assert evidence.segments["share_won"].between(0, 1).all()
    assert (evidence.segments["bias_lower"] <= evidence.segments["bias_upper"]).all()


def test_a_segment_that_does_not_exist_is_refused_with_the_nearest(sample_history: History) -> None:
    check_segments(sample_history, SegmentSettings(columns=("industry", "owner_id"), least_deals=30))
    with pytest.raises(UsageError, match=r"segments\.columns names 'industri'.*did you mean industry\?"):
        check_segments(sample_history, SegmentSettings(columns=("industri",), least_deals=30))


def test_curves_begin_at_nothing_never_fall_and_come_near_what_came(evidence: Evidence) -> None:
    for _, curve in evidence.curves.groupby("outcome"):
        assert curve["said"].iloc[0] == curve["came"].iloc[0] == 0.0
        assert (np.diff(curve["said"]) >= 0).all()
        assert (np.diff(curve["came"]) >= 0).all()
        assert (curve["said"] - curve["came"]).abs().max() < 0.15
    total = evidence.curves.groupby("days")[["said", "came"]].sum()
    assert (total <= 1.0).all(axis=None)


def test_importances_are_the_mean_of_what_reasons_say(
    trained: Training, sample_history: History, evidence: Evidence
) -> None:
    from forecast.bundle import load_bundle
    from forecast.scoring import score_open_deals

    scores = score_open_deals(sample_history, load_bundle(trained.folder), AS_OF, reasons=50)
    told = pd.DataFrame(
        [(one["feature"], abs(one["effect"])) for row in scores["reasons"] for one in json.loads(row)],
        columns=["feature", "effect"],
    )
    mean = told.groupby("feature")["effect"].sum() / len(scores)
    shown = evidence.importances.set_index("feature")["effect"].head(5)
    np.testing.assert_allclose(shown, mean[shown.index], atol=1e-3)  # reasons are rounded


def test_the_card_says_data_minimum_metrics_parity_fields_and_limits(card: str, trained: Training) -> None:
    headings = re.findall(r"^## (.*)$", card, re.MULTILINE)
    assert headings == [
        "Intended use",
        "Data",
        "How good it was",
        "Does it hold for each kind of deal?",
        "What moves its scores",
        "Fields left out",
        "Known limits",
    ]
    counts = trained.models.counts
    assert f"({counts['won']:,} won, {counts['lost']:,} lost)" in card
    for name, won, lost, _ in MINIMA:
        assert re.search(rf"\| {name} \| {won} won, {lost} lost.*\| (yes|no) \|", card)
    assert re.search(r"\| Brier score, 90 d \| 0\.\d{4} \| 0\.\d{4} to 0\.\d{4} \| \d+ \|", card)
    assert trained.fingerprint in card
    assert "nan" not in card.lower().replace("finance", "")


def test_the_same_training_has_the_same_card_beside_its_bundle(
    card: str,
    trained: Training,
    sample_tables: Tables,
    sample_history: History,
    quick: Settings,
) -> None:
    again = collect_evidence(trained.models, sample_history, trained.measured, quick)
    assert card_text(card_facts(trained, sample_tables, again, quick)) == card
    assert str(trained.folder.parent) not in card
    assert card_path(Path("models/mine")) == Path("models/mine.card.md")


def test_without_a_holdout_the_card_says_so(
    trained: Training, sample_tables: Tables, sample_history: History, quick: Settings
) -> None:
    alone = dataclasses.replace(trained, measured=None)
    bare = collect_evidence(alone.models, sample_history, None, quick)
    assert set(bare.tables()) == {"importances"}
    text = card_text(card_facts(alone, sample_tables, bare, quick))
    assert "Nothing was held out to measure on." in text


def test_a_strange_name_breaks_no_table(
    trained: Training, evidence: Evidence, quick: Settings, sample_tables: Tables, sample_history: History
) -> None:
    facts = card_facts(trained, sample_tables, evidence, quick)
    facts["segments"][0]["segment"] = "a|b\n<script>"
    assert "motion: a\\|b &lt;script>" in card_text(facts)


def test_what_is_recorded_has_a_part_for_each_rung_and_for_the_origin(
    trained: Training, evidence: Evidence, quick: Settings, sample_tables: Tables, sample_history: History
) -> None:
    facts = card_facts(trained, sample_tables, evidence, quick)
    run = record_of(trained, evidence, facts, data_facts(sample_tables, "export"), quick, started=0.0)
    rungs = [child for child in run.children if child.kind == "rung"]
    assert [child.params["rung"] for child in rungs] == [rung.name for rung in trained.models.ladder]
    assert [child.params["chosen"] for child in rungs].count("true") == 1
    linear = next(child for child in rungs if child.params["rung"] == "linear")
    assert len(linear.series["log_score_by_window"]) == 2
    (origin,) = [child for child in run.children if child.kind == "origin"]
    assert origin.metrics["brier_90d_lower"] < origin.metrics["brier_90d"] < origin.metrics["brier_90d_upper"]
    assert run.metrics["brier_90d"] == origin.metrics["brier_90d"]


def test_every_table_and_chart_becomes_a_file(
    trained: Training, evidence: Evidence, quick: Settings, sample_tables: Tables, sample_history: History
) -> None:
    facts = card_facts(trained, sample_tables, evidence, quick)
    files = artifacts(trained, evidence, facts, quick)
    charts = {name for name in files if name.startswith("charts/")}
    assert charts == {f"charts/{one}.svg" for one in ("curves", "calibration", "importances", "bookings")}
    for name in charts:
        assert files[name].startswith(b"<svg"), name
        assert b"aria-label" in files[name]
    tables = {
        name.removeprefix("tables/").removesuffix(".csv") for name in files if name.startswith("tables/")
    }
    assert tables == {
        *("intervals", "segments", "curves", "calibration", "importances", "metrics", "bookings", "fields")
    }
    assert json.loads(files["card.json"])["bundle_id"] == trained.bundle_id
