"""Settings shown, written, noted and documented: from the same file, and never another."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.tables import PLAIN, Dialect
from training.__main__ import main
from training.sense import notes
from training.settings import Settings, packaged_text, read_settings
from training.settings_page import all_settings, page
from training.settings_text import as_toml

ROOT = Path(__file__).resolve().parents[2]

values = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=6), st.dictionaries(st.text(max_size=6), values, min_size=1))
)
def test_what_is_written_is_read_back(sections: dict[str, dict[str, Any]]) -> None:
    named = {f"s{number}": keys for number, keys in enumerate(sections.values())}
    assert tomllib.loads(as_toml(named)) == named


def test_settings_written_as_a_file_are_the_same_settings(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(as_toml(read_settings().to_toml()), encoding="utf-8")
    assert read_settings(path) == read_settings()


def test_the_packaged_rules_of_reading_are_none() -> None:
    assert Dialect.from_toml(tomllib.loads(packaged_text()), "settings.toml") == PLAIN
    assert read_settings().dialect == PLAIN


def test_rules_of_reading_are_part_of_the_settings(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text('[stages.rename]\na = "b"\n[fit]\nseed = 2\n', encoding="utf-8")
    settings = read_settings(path)
    assert settings.fit.seed == 2
    assert settings.dialect.stage("sales", "a", 0) == "b"
    # They can change a result, so a run is recorded with them.
    assert settings.flat()["stages"] == '{"rename": {"a": "b"}}'


def test_the_page_is_that_of_the_code() -> None:
    found = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert found == page(), "run python -m training.settings_page"


def test_every_setting_is_on_the_page_with_a_meaning() -> None:
    packaged = tomllib.loads(packaged_text())
    assert [(one.section, one.key) for one in all_settings()] == [
        (section, key) for section, keys in packaged.items() for key in keys
    ]
    assert all(one.meaning.endswith((".", '"')) and len(one.meaning) > 10 for one in all_settings())
    # A comment belongs to the keys below it and to no others.
    meanings = {f"{one.section}.{one.key}": one.meaning for one in all_settings()}
    assert meanings["fit.windows"] == meanings["fit.window_days"]
    assert meanings["fit.window_days"] != meanings["fit.use_season"]
    assert meanings["stages.rename_in"] == "The same for one pipeline only; it goes before `rename`."


def test_the_command_shows_what_holds_and_what_is_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["settings"]) == 0
    shown = capfd.readouterr().out
    assert all(f"{one.section}.{one.key}" in shown for one in all_settings())
    path = tmp_path / "my.toml"
    path.write_text("[fit]\nwindows = 5\n[bant]\nwords = { Perhaps = 0.5 }\n", encoding="utf-8")
    assert main(["settings", str(path), "--changed"]) == 0
    shown = capfd.readouterr().out
    assert "fit.windows" in shown
    assert '{"perhaps": 0.5}' in shown
    assert "fit.window_days" not in shown
    path.write_text("[fit]\nwindow = 5\n", encoding="utf-8")
    assert main(["settings", str(path)]) == 2
    assert "fit.window does not exist; did you mean windows?" in capfd.readouterr().err
    path.write_text("", encoding="utf-8")
    assert main(["settings", str(path), "--changed"]) == 0
    assert "the defaults hold" in capfd.readouterr().out


def test_the_command_measures_settings_against_a_history(
    sample_folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[fit]\nwindows = 9\nwindow_days = 365\n", encoding="utf-8")
    assert main(["settings", str(path), "--changed", "--data", str(sample_folder)]) == 0
    shown = " ".join(capfd.readouterr().out.split())
    assert "note: 9 windows of 365 days" in shown
    assert "ask for a history of 6,935 days; this one has 1,4" in shown


def changed(**keys: Any) -> Settings:
    settings = read_settings()
    return replace(settings, fit=replace(settings.fit, **keys))


@pytest.mark.parametrize(
    ("settings", "span", "says"),
    [
        (changed(exclude_fields=("x", "y"), trust_fields=("y",)), None, "y stands in fit.exclude_fields and"),
        (
            changed(min_boosted_deals=10),
            None,
            "fit.min_boosted_deals (10) is below fit.min_closed_deals (60)",
        ),
        (changed(ridge_grid=(3.0, 3.0)), None, "fit.ridge_grid names a value twice"),
        (changed(landmark_every_days=40.0), None, "holdout.horizons_days 30 end before the next look"),
        (
            changed(windows=4),
            500.0,
            "4 windows of 90 days (fit.windows, fit.window_days) ask for a history of 810 days",
        ),
        (
            replace(
                read_settings(), holdout=replace(read_settings().holdout, days=60, horizons_days=(30, 60, 90))
            ),
            None,
            "holdout.horizons_days 60, 90 reach beyond the 60 days",
        ),
    ],
)
def test_what_makes_no_sense_together_is_noted(settings: Settings, span: float | None, says: str) -> None:
    (only,) = notes(settings, span)
    assert says in only


def test_the_defaults_make_sense_for_any_history() -> None:
    assert notes(read_settings(), 1_461.0) == notes(read_settings(), 30.0) == []
