"""Scores of leads: the contract's columns, reasons that add up, one lead as in the list."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import load_bundle
from forecast.errors import BundleError, UsageError
from forecast.features import Phrasebook, label
from forecast.history import History, Leads, leads_from_request
from forecast.models import DealClock, FitSettings, fit_leads
from forecast.periods import as_of_us
from forecast.scoring import LEAD_SCORE_COLUMNS, score_lead_arrays, score_leads, score_open_leads
from forecast.tables import Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
CONTRACT = [
    *("lead_id", "as_of", "owner_id", "source", "converted_30d", "converted_90d", "disqualified_90d"),
    *("becomes_won", "score", "grade", "reasons"),
]


@pytest.fixture(scope="module")
def scores(sample_leads: Leads, lead_bundle: Path) -> pd.DataFrame:
    return score_open_leads(sample_leads.history, load_bundle(lead_bundle), AS_OF, reasons=100)


def test_columns_are_the_contract_to_the_letter(scores: pd.DataFrame) -> None:
    assert list(scores.columns) == CONTRACT == list(LEAD_SCORE_COLUMNS)


def test_one_row_per_open_lead_in_order_of_id(scores: pd.DataFrame, sample_tables: Tables) -> None:
    leads = sample_tables.leads
    is_open = leads["converted_at"].isna() & leads["disqualified_at"].isna()
    assert scores["lead_id"].tolist() == sorted(leads.loc[is_open, "lead_id"])
    known = leads.set_index("lead_id").loc[scores["lead_id"]]
    assert scores["source"].tolist() == known["source"].tolist()
    assert scores["owner_id"].tolist() == known["owner_id"].tolist()


def test_chances_keep_the_laws(scores: pd.DataFrame) -> None:
    assert (scores["converted_30d"] <= scores["converted_90d"]).all()
    assert (scores["converted_90d"] + scores["disqualified_90d"] <= 1 + 1e-12).all()
    assert (scores[["converted_30d", "disqualified_90d", "becomes_won"]] >= 0).all().all()
    assert (scores["becomes_won"] < 1).all()


def test_scores_rank_as_chances_do(scores: pd.DataFrame) -> None:
    ordered = scores.sort_values("converted_90d")
    assert ordered["score"].is_monotonic_increasing
    assert scores["score"].between(1, 100).all()
    assert scores["score"].nunique() > 50, "the open leads of the training spread over the whole scale"
    assert set(scores["grade"]) == {"A", "B", "C", "D"}


def test_reasons_add_up_to_the_distance_from_the_average_lead(scores: pd.DataFrame) -> None:
    effects = scores["reasons"].map(lambda text: sum(r["effect"] for r in json.loads(text)))
    # Effects are written with six digits.
    assert np.ptp(scores["converted_90d"] - effects) < 1e-4
    first = json.loads(scores["reasons"].iloc[0])
    assert [list(reason) for reason in first] == [["feature", "label", "effect", "value", "text"]] * len(
        first
    )
    named = {reason["feature"] for text in scores["reasons"] for reason in json.loads(text)}
    assert {"silence_days", "lead_age_days", "source"} <= named
    assert not named & {"custom:disqualified_reason", "stage", "converted_at", "deal_id"}


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_reasons_add_up_with_a_clock_of_the_leads_own(
    sample_leads: Leads, lead_bundle: Path, share: float
) -> None:
    """Leads older than a month run faster or slower; that is a matter of their age."""
    bundle = load_bundle(lead_bundle)
    assert bundle.leads is not None
    pace = np.ones((2, 2, 2))
    pace[0, :, 1] = share
    clock = DealClock("lead_age_days", np.array([0.0, 30.0, 400.0]), ("web",), pace)
    paced = replace(bundle, leads=replace(bundle.leads, clock=clock))
    plain = score_open_leads(sample_leads.history, bundle, AS_OF, reasons=100)
    found = score_open_leads(sample_leads.history, paced, AS_OF, reasons=100)
    assert ((found["converted_90d"] > plain["converted_90d"]) == (share > 1)).all()
    of_age = [
        {r["feature"]: r["effect"] for r in json.loads(text)}["lead_age_days"] for text in found["reasons"]
    ]
    before = [
        {r["feature"]: r["effect"] for r in json.loads(text)}["lead_age_days"] for text in plain["reasons"]
    ]
    assert (np.sign(np.subtract(of_age, before)) == np.sign(share - 1)).mean() > 0.95
    effects = found["reasons"].map(lambda text: sum(r["effect"] for r in json.loads(text)))
    assert np.ptp(found["converted_90d"] - effects) < 1e-4


def test_reasons_speak_the_language_asked_for(
    sample_leads: Leads, lead_bundle: Path, scores: pd.DataFrame
) -> None:
    bundle = load_bundle(lead_bundle)
    italian = score_open_leads(sample_leads.history, bundle, AS_OF, reasons=100, locale="it")
    unsaid = [name for name in CONTRACT if name != "reasons"]
    pd.testing.assert_frame_equal(italian[unsaid], scores[unsaid], check_exact=True)
    books = {"en": Phrasebook("en"), "it": Phrasebook("it")}
    for locale, found in {"en": scores, "it": italian}.items():
        for reason in json.loads(found["reasons"].iloc[0]):
            assert reason["label"] == label(reason["feature"], locale)
            if reason["feature"] == "lead_age_days":
                assert reason["text"] == books[locale].phrase("lead_age_days", reason["value"])
    with pytest.raises(UsageError, match="locale 'de'"):
        score_open_leads(sample_leads.history, bundle, AS_OF, locale="de")


def test_one_lead_scores_as_it_does_in_the_list(sample_leads: Leads, lead_bundle: Path) -> None:
    bundle, history = load_bundle(lead_bundle), sample_leads.history
    lead = history.open_deals(as_of_us(AS_OF))
    together = score_leads(history, bundle, lead, AS_OF)
    for place in (0, 7, len(lead) - 1):
        alone = score_leads(history, bundle, lead[place : place + 1], AS_OF)
        pd.testing.assert_frame_equal(
            alone, together.iloc[place : place + 1].reset_index(drop=True), check_exact=True
        )


def test_a_lead_as_json_scores_as_it_does_from_tables(
    sample_tables: Tables, scores: pd.DataFrame, lead_bundle: Path
) -> None:
    bundle = load_bundle(lead_bundle)
    leads, done = sample_tables.leads.set_index("lead_id"), sample_tables.activities
    for at in (0, 11):
        lead_id = scores["lead_id"].iloc[at]
        row = leads.loc[lead_id].dropna().to_dict()
        mine = done[done["lead_id"] == lead_id].drop(columns=["deal_id", "lead_id"])
        sent = {"lead_id": lead_id, **row, "activities": mine.to_dict("records")}
        history = leads_from_request([sent], bundle.models.money)
        found = score_lead_arrays(history, bundle, np.zeros(1, np.int64), AS_OF, reasons=100)
        for name in CONTRACT:
            if name != "as_of":
                assert found[name][0] == scores[name].iloc[at], name


def test_the_order_of_rows_does_not_matter(
    sample_tables: Tables, sample_history: History, scores: pd.DataFrame, lead_bundle: Path
) -> None:
    mixed = {
        name: getattr(sample_tables, name).sample(frac=1.0, random_state=3).reset_index(drop=True)
        for name in ("leads", "activities")
    }
    history = Leads.from_tables(replace(sample_tables, **mixed), sample_history).history
    found = score_open_leads(history, load_bundle(lead_bundle), AS_OF, reasons=100)
    pd.testing.assert_frame_equal(found, scores, check_exact=True)


def test_the_future_is_invisible(
    sample_tables: Tables, sample_history: History, sample_leads: Leads, lead_bundle: Path
) -> None:
    """As of last June: outcomes, activities and leads of later days may be there or not."""
    bundle, moment = load_bundle(lead_bundle), pd.Timestamp("2025-06-17T11:13", tz="UTC")
    leads, done = sample_tables.leads, sample_tables.activities
    known = leads[leads["created_at"] < moment]
    gone = {name: known[name].where(known[name] < moment) for name in ("converted_at", "disqualified_at")}
    known = known.assign(**gone, deal_id=known["deal_id"].where(gone["converted_at"].notna()))
    then = replace(
        sample_tables,
        leads=known.reset_index(drop=True),
        activities=done[done["occurred_at"] < moment].reset_index(drop=True),
    )
    full = score_open_leads(sample_leads.history, bundle, moment)
    found = score_open_leads(Leads.from_tables(then, sample_history).history, bundle, moment)
    assert len(full) > 50
    pd.testing.assert_frame_equal(found, full, check_exact=True)


def test_nothing_open_is_an_empty_table_with_all_columns(sample_leads: Leads, lead_bundle: Path) -> None:
    nobody = np.empty(0, np.int64)
    found = score_leads(sample_leads.history, load_bundle(lead_bundle), nobody, AS_OF)
    assert list(found.columns) == CONTRACT
    assert found.empty


def test_where_all_leads_are_alike_there_is_no_reason_to_name(
    sample_tables: Tables, sample_history: History, sample_leads: Leads, lead_bundle: Path
) -> None:
    few = Leads.from_tables(replace(sample_tables, leads=sample_tables.leads.head(20)), sample_history)
    models = fit_leads(few, sample_history, AS_OF, FitSettings())
    bundle = replace(load_bundle(lead_bundle), leads=models)
    found = score_open_leads(sample_leads.history, bundle, AS_OF)
    assert set(found["reasons"]) == {"[]"}
    assert np.ptp(found["converted_90d"]) == 0
    assert set(found["score"]) == {50}


def test_a_bundle_without_leads_never_scores_them(sample_leads: Leads, trained_bundle: Path) -> None:
    bundle = load_bundle(trained_bundle)
    assert bundle.leads is None
    assert json.loads((trained_bundle / "leads.json").read_text()) == {"model": None}
    with pytest.raises(BundleError, match="the data it was trained on held none before 2026-01-01"):
        score_open_leads(sample_leads.history, bundle, AS_OF)


def test_edited_models_of_leads_fail_the_golden_scores(lead_bundle: Path, tmp_path: Path) -> None:
    """Somebody edits a weight and mends the hashes."""
    import hashlib
    import shutil

    folder = Path(shutil.copytree(lead_bundle, tmp_path / "copy"))
    leads = json.loads((folder / "leads.json").read_text())
    leads["model"]["fresh"]["rates"] = (1.01 * np.array(leads["model"]["fresh"]["rates"])).tolist()
    content = json.dumps(leads).encode()
    (folder / "leads.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"leads\.json is damaged or swapped"):
        load_bundle(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["leads.json"] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="does not reproduce the stored scores"):
        load_bundle(folder)
