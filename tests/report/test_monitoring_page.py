"""The monitor's page and sentences: in both languages, from plain facts, loading nothing."""

from __future__ import annotations

import json
import re
import string
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forecast.bundle import Bundle
from forecast.evaluation.drift import MonitorSettings, monitor_bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.report.monitoring import (
    MonitoringPhrases,
    monitoring_facts,
    monitoring_words,
    render_monitoring,
)
from forecast.report.words import load_words
from forecast.tables import Tables

ENGLISH, ITALIAN = (load_words(locale, "monitoring/words") for locale in ("en", "it"))
NUMBERS = {"came": 60.0, "expected": 90.0, "ratio": 0.667, "low": 0.5, "high": 0.9, "evidence": 30.0}
REASONS: list[dict[str, Any]] = [
    *(
        {"kind": "question", "subject": name, "remedy": "retrain", **NUMBERS}
        for name in ("wins", "losses", "spread", "created", "pace", "signed", "size")
    ),
    {"kind": "segment", "subject": "north", "remedy": "look", "by": "team", "cause": "wins", **NUMBERS},
    {
        "kind": "segment",
        "subject": "sales/demo",
        "remedy": "look",
        "by": "stage",
        "cause": "losses",
        **NUMBERS,
    },
    {"kind": "stability", "subject": "amount", "remedy": "look", "value": 0.4, "usual": 0.05},
    {"kind": "missing", "subject": "budget", "remedy": "look", "value": 0.4, "usual": 0.05},
    {"kind": "missing_new", "subject": "source", "remedy": "fix", "value": 0.4, "usual": 0.05},
    {"kind": "writes", "subject": "activity", "remedy": "fix", "value": 0.0, "usual": 70.0},
    {"kind": "new_value", "subject": "source", "remedy": "look", "value": "<b>", "deals": 4, "share": 0.1},
    {"kind": "new_stage", "subject": "stage", "remedy": "fix", "value": "a/b", "deals": 4, "share": 0.1},
    {"kind": "bookings", "subject": "2025Q3", "remedy": "look", **NUMBERS},
    {"kind": "season", "subject": "quarter", "remedy": "look", "came": 20.0, "expected": 40.0},
    {"kind": "age", "subject": "bundle", "remedy": "look", "days": 400},
]


@pytest.fixture(scope="module")
def facts(sample_tables: Tables) -> dict[str, Any]:
    until = pd.Timestamp("2025-07-01", tz="UTC")
    settings = FitSettings(
        seed=1, max_landmarks=6_000, windows=1, ridge_grid=(12.0,), min_boosted_deals=10**9
    )
    models = fit_models(History.from_tables(sample_tables), until, settings)
    found = monitor_bundle(
        sample_tables,
        Bundle("ab" * 32, {}, models, []),
        until + pd.Timedelta(weeks=15),
        MonitorSettings(),
    )
    return monitoring_facts(found, "en")


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_say_the_same_things_in_their_own_words() -> None:
    assert ENGLISH.keys() == ITALIAN.keys()
    for key, text in ENGLISH.items():
        assert placeholders(text) == placeholders(ITALIAN[key]), key
        assert text.count("**") == ITALIAN[key].count("**"), key
        assert text != ITALIAN[key] or key == "monitor_outcomes.chart", key


@pytest.mark.parametrize("locale", ["en", "it"])
@pytest.mark.parametrize("reason", REASONS, ids=lambda one: f"{one['kind']}-{one['subject']}")
def test_every_reason_is_a_sentence_with_its_numbers(reason: dict[str, Any], locale: str) -> None:
    say = MonitoringPhrases(monitoring_words({"locale": locale, "currency": "EUR"}))
    text = say.reason(reason)
    assert re.search(r"\d", text)
    assert "{" not in text
    assert "None" not in text


@pytest.mark.parametrize("locale", ["en", "it"])
@pytest.mark.parametrize("action", ["keep", "look", "fix", "retrain"])
def test_the_page_is_whole_and_loads_nothing(facts: dict[str, Any], locale: str, action: str) -> None:
    told = {
        **json.loads(json.dumps(facts, allow_nan=False)),
        "locale": locale,
        "reasons": [] if action == "keep" else REASONS,
        "verdict": {
            **facts["verdict"],
            "action": action,
            "since": "2025-08-05T00:00:00+00:00" if action == "retrain" else None,
        },
    }
    page = render_monitoring(told)
    assert page.count("<svg") > 6
    assert "<script" not in page
    assert not re.search(r"(?:src|href)=[\"']https?:", page)
    assert not re.search(r"\sstyle=", page)
    assert "<b>" not in page
    assert "nan" not in re.sub(r"<[^>]*>", "", page).split()


def test_facts_hold_what_the_sentences_need(facts: dict[str, Any]) -> None:
    assert {one["name"] for one in facts["questions"]} == {
        "wins", "losses", "spread", "created", "pace", "signed", "size",
    }  # fmt: skip
    assert len(facts["weeks"]) == 15
    assert [len(one["weeks"]) for one in facts["questions"]] == [15] * 7
    assert facts["bundle"] == "ab" * 32
    assert {one["check"] for one in facts["inputs"]} <= {"stability", "missing", "missing_new", "writes"}
    assert np.isclose(sum(row["now"] for row in facts["score_shares"]), 1.0)


def test_a_page_of_the_first_days_says_that_it_is_too_early(facts: dict[str, Any]) -> None:
    early = {
        **facts,
        "weeks": facts["weeks"][:1],
        "questions": [{**one, "enough": False, "weeks": one["weeks"][:1]} for one in facts["questions"]],
        "verdict": {**facts["verdict"], "enough": False},
        "bookings": [],
        "inputs": [],
        "score": None,
        "calibration": {**facts["calibration"], "curve": [], "wins": 0, "slope": None},
    }
    page = render_monitoring(early)
    assert "Too few deals were won or lost" in page
    assert "too few to tell" in page
