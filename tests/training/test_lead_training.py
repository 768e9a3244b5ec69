"""Training with leads: they are in the bundle and measured on the held-out period; without them it says so."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import load_bundle
from forecast.history import History, Leads
from forecast.tables import Tables
from training.holdout import Holdout, choose_holdout
from training.lead_holdout import measure_leads
from training.settings import Settings, read_settings
from training.train import train

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")


@pytest.fixture(scope="module")
def quick() -> Settings:
    settings = read_settings()
    fit = dataclasses.replace(
        settings.fit, max_landmarks=5_000, windows=1, ridge_grid=(12.0,), rounds_grid=(20,)
    )
    return dataclasses.replace(settings, fit=fit)


@pytest.fixture(scope="module")
def holdout(sample_history: History, quick: Settings) -> Holdout:
    found, _ = choose_holdout(sample_history, AS_OF, quick.holdout)
    assert found is not None
    return found


def test_the_held_out_period_is_foretold_better_than_by_the_base_rate(
    sample_leads: Leads, sample_history: History, holdout: Holdout, quick: Settings
) -> None:
    measured = measure_leads(sample_leads, sample_history, holdout, quick.fit)
    assert measured is not None
    metrics = measured.metrics()
    assert metrics["leads_auc_90d"] > 0.75
    assert metrics["leads_skill_90d"] > 0.05
    assert metrics["leads_brier_90d"] < metrics["leads_brier_90d_base_rate"]
    assert "AUC 0." in measured.sentence()


def test_a_bundle_holds_models_of_leads_if_there_are_any(
    sample_tables: Tables, quick: Settings, tmp_path: Path
) -> None:
    with_leads = train(sample_tables, tmp_path / "with", quick, as_of=AS_OF)
    manifest = json.loads((tmp_path / "with" / "manifest.json").read_text())
    assert manifest["leads"]["counts"]["leads"] == len(sample_tables.leads)
    assert manifest["metrics"]["leads"]["values"]["leads_auc_30d"] > 0.5
    assert load_bundle(tmp_path / "with").leads is not None
    assert with_leads.leads is not None

    none = {
        name: sample_tables[name]
        for name in ("stages", "deals", "deal_events", "users", "quotas", "fx_rates")
    }
    without = train(Tables.from_frames(**none), tmp_path / "without", quick, as_of=AS_OF)
    manifest = json.loads((tmp_path / "without" / "manifest.json").read_text())
    assert manifest["leads"] is None
    assert "leads" not in manifest["metrics"]
    assert without.leads is None
    assert without.measured_leads is None
    assert load_bundle(tmp_path / "without").leads is None


def test_deals_are_scored_alike_with_and_without_leads(lead_bundle: Path, trained_bundle: Path) -> None:
    ours, other = load_bundle(lead_bundle).models, load_bundle(trained_bundle).models
    np.testing.assert_array_equal(ours.outcome.reference, other.outcome.reference)
    assert ours.to_json() == other.to_json()
