"""Knobs: by default nothing moves; at any position the settings are ones a training takes."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from forecast.models import FitSettings
from training.settings import read_settings
from training.settings_text import as_toml
from training.tuning.space import KNOBS, default_positions, knobs_for, turned

positions = st.fixed_dictionaries({knob.name: st.sampled_from(knob.positions) for knob in KNOBS})


def test_at_their_defaults_knobs_change_nothing() -> None:
    own = FitSettings(ridge_grid=(7.0,), windows=1, use_clock=False)
    for settings in (FitSettings(), own):
        assert turned(settings, default_positions(settings)) == settings
        assert turned(settings, {}) == settings
    for knob in KNOBS:
        assert knob.default in knob.positions


@given(positions)
def test_any_position_is_a_setting_a_training_takes(tmp_path_factory: Any, chosen: dict[str, Any]) -> None:
    found = turned(FitSettings(), chosen)
    path: Path = tmp_path_factory.mktemp("space") / "tuned.toml"
    sections = replace(read_settings(), fit=found).to_toml()
    path.write_text(as_toml({"fit": sections["fit"]}), encoding="utf-8")
    assert read_settings(path).fit == found


def test_each_knob_moves_something_of_its_own() -> None:
    moved: set[str] = set()
    for knob in KNOBS:
        other = next(position for position in knob.positions if position != knob.default)
        found = turned(FitSettings(), {knob.name: other})
        changed = {
            one.name
            for one in fields(FitSettings)
            if getattr(found, one.name) != getattr(FitSettings(), one.name)
        }
        assert len(changed) == 1
        assert not changed & moved
        moved |= changed


def test_what_the_settings_leave_out_is_not_put_in() -> None:
    settings = replace(FitSettings(), use_season=False)
    assert "use_season" not in {knob.name for knob in knobs_for(settings)}
    assert not turned(settings, {"use_season": True}).use_season
