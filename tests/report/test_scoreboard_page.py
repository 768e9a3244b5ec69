"""The page of a back-test: whole in one file, in both languages, honest where a rule came nearer."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

import pytest
from report_cases import word_faults

import forecast.report.scoreboard
from forecast.report.scoreboard import render
from forecast.report.words import load_words

ENGLISH, ITALIAN = (load_words(locale, "scoreboard/words") for locale in ("en", "it"))


def interval(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "lower": low, "upper": high, "rows": 8}


def rule(name: str, value: float, apart: dict[str, Any] | None, verdict: str | None) -> dict[str, Any]:
    return {
        "name": name, **interval(value, value - 0.02, value + 0.02), "bias": -0.03, "mase": 0.8, "skill": 0.2,
        "log_loss": 0.3, "auc": 0.8, "difference": apart, "verdict": verdict,
    }  # fmt: skip


def facts(locale: str = "en") -> dict[str, Any]:
    """A back-test of four quarters in which one rule came nearer."""
    rules = [
        rule("ours", 0.12, None, None),
        rule("conversion", 0.11, interval(0.01, -0.03, 0.05), "behind"),
        rule("stage_weighted", 0.5, interval(-0.38, -0.5, -0.2), "better"),
    ]
    bins = [{"said": 0.1, "happened": 0.12, "lower": 0.05, "upper": 0.2, "rows": 50}]
    return {
        "locale": locale, "currency": "EUR", "until": "2025-12-31", "data": "abc", "code": "def",
        "quarters": ["2025Q1", "2025Q2", "2025Q3", "2025Q4"], "asked_quarters": True, "weeks": [0, 6],
        "looks": 8, "choose": "quarter", "interval_share": 0.9, "enough": True, "ours": rules[0],
        "rules": rules, "nearest": rules[1], "remaining": rules,
        "lines": [{"line": "total", "rules": {"ours": {"wape": 0.12, "bias": 0.01}}}],
        "levels": [
            {
                "level": "company", "ours": rules[0], "nearest": rules[1],
                "coverage_80": interval(0.75, 0.6, 0.9),
                "width_80": interval(0.4), "coverage_95": interval(1.0), "width_95": interval(0.7),
                "crps": interval(0.08), "bias": interval(0.01), "mase": interval(0.8),
            }
        ],
        "by_week": [
            {"name": one["name"], "points": [{"week": week, **interval(one["value"])} for week in (0, 6)]}
            for one in rules
        ],
        "fans": [
            {
                "period": "2025Q1", "actual": 1000.0, "quota": None,
                "points": [
                    {
                        "week": week, "expected": 900.0, "booked": 100.0, "p025": 500.0, "p10": 700.0,
                        "p50": 890.0, "p90": 1200.0, "p975": 1500.0,
                    }
                    for week in (0, 6)
                ],
            }
        ],
        "deals": [
            {
                "horizon": horizon, "rows": 400, "share_won": 0.1, "rules": rules, "log_loss": interval(0.3),
                "auc": interval(0.8), "calibration_slope": interval(1.0, 0.9, 1.1),
                "calibration_intercept": interval(0.0, -0.1, 0.1), "calibration_error": interval(0.01),
                "reliability": bins,
            }
            for horizon in ("90d", "in_period")
        ],
        "quota": {"rows": 40, "share_reached": 0.5, "rules": rules, "reliability": bins},
        "stability": [
            {"name": "ours", "quiet": interval(0.02), "unexplained": interval(0.01), "total": interval(0.05)}
        ],
        "losses": [
            {
                "part": "bookings", "metric": "wape", "level": "company", "line": "total", "week": "6",
                "horizon": None, "name": "conversion", "theirs": 0.11, "ours": 0.12,
                "difference": interval(0.01, -0.03, 0.05), "verdict": "behind",
            },
            {
                "part": "deals", "metric": "brier", "level": None, "line": None, "week": None,
                "horizon": "90d", "name": "base_rate", "theirs": 0.11, "ours": 0.12,
                "difference": interval(0.01, 0.001, 0.05), "verdict": "worse",
            },
        ],
        "recipes": [
            {
                "period": "2025Q1",
                "kinds": [{"rung": "boosted", "clock": None, "ridge": 3.0, "rounds": [25, 50]}],
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize("locale", ["en", "it"])
def test_the_page_loads_nothing_and_runs_nothing(locale: str) -> None:
    html = render(json.loads(json.dumps(facts(locale))))
    assert f'<html lang="{locale}">' in html
    assert "<script" not in html
    assert "default-src 'none'" in html
    assert not re.search(r"(?:src|href)=[\"'](?!#)", html)
    assert not re.search(r"url\(|@import|style=", html)
    assert html.count("<svg") > 8


def test_each_language_speaks_its_own() -> None:
    english, italian = render(facts()), render(facts("it"))
    assert "Our forecast was off by <strong>12.0%</strong>" in english
    assert "del <strong>12,0%</strong> del venduto" in italian
    for key in ("rules.title", "losses.title", "fan.title", "stability.title", "footer.how"):
        assert ENGLISH[key] in english
        assert ITALIAN[key] not in english
        assert ENGLISH[key] not in italian


def test_where_a_rule_came_nearer_the_page_says_so() -> None:
    html = render(facts())
    assert "One of the other rules came nearer: <strong>Conversion by stage and week</strong>" in html
    assert "In 2 comparisons another rule came nearer than ours." in html
    assert "rule nearer, may be luck" in html
    assert "rule clearly nearer" in html
    assert "4 quarters are 4 numbers" in html
    none = render(facts() | {"losses": []})
    assert "No other rule came nearer than ours" in none


def test_few_quarters_have_no_intervals_and_say_so() -> None:
    few = facts() | {"enough": False, "quarters": ["2025Q3", "2025Q4"]}
    assert "2 quarters are too few to tell one rule from another" in render(few)


def test_without_amounts_only_chances_are_shown() -> None:
    bare = facts() | {
        "ours": None, "rules": [], "nearest": None, "remaining": [], "lines": [], "levels": [], "by_week": [],
        "fans": [], "quota": None, "stability": [], "losses": [],
    }  # fmt: skip
    html = render(bare)
    assert ENGLISH["head.no_amounts"] in html
    assert 'id="rules"' not in html
    assert 'id="deals"' in html


def test_both_languages_have_the_same_words_with_the_same_values() -> None:
    def values(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    assert ENGLISH.keys() == ITALIAN.keys()
    for key, text in ENGLISH.items():
        assert values(text) == values(ITALIAN[key]), key
        assert text.count("**") == ITALIAN[key].count("**"), key


def test_every_word_is_used_and_every_word_used_exists() -> None:
    package = Path(forecast.report.scoreboard.__file__).parent
    sources = [*package.rglob("*.py"), package.parent / "templates" / "scoreboard.html"]
    unused, missing = word_faults(ENGLISH, sources)
    assert unused == set()
    assert missing == set()
