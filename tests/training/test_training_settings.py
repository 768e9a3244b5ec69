"""Settings: every key documented, every mistake named."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

import training
from forecast.errors import UsageError
from forecast.models import FitSettings
from training.settings import (
    AuditSettings,
    GateSettings,
    HoldoutSettings,
    SegmentSettings,
    TrackingSettings,
    read_settings,
)

PACKAGED = Path(training.__file__).parent / "settings.toml"


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_packaged_file_holds_every_setting_and_the_defaults_of_the_fit() -> None:
    packaged = tomllib.loads(PACKAGED.read_text("utf-8"))
    for section, cls in (
        ("fit", FitSettings),
        ("holdout", HoldoutSettings),
        ("segments", SegmentSettings),
        ("tracking", TrackingSettings),
        ("gate", GateSettings),
    ):
        # The rules of the audit are part of a fit, and written in [audit].
        assert list(packaged[section]) == [one.name for one in fields(cls) if one.name != "leak_rules"]
    assert list(packaged["audit"]) == [one.name for one in fields(AuditSettings)]
    assert read_settings().fit == FitSettings()


def test_every_setting_has_a_comment_above_it() -> None:
    lines = PACKAGED.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        if "=" in line and not line.startswith("#"):
            block = lines[:number]
            while block and "=" in block[-1] and not block[-1].startswith("#"):
                block.pop()  # keys that belong together share one comment
            assert block[-1].startswith("#"), line


def test_keys_that_are_left_out_keep_their_default(tmp_path: Path) -> None:
    own = read_settings(
        written(tmp_path, "[fit]\nseed = 7\nwindow_days = 60\n[holdout]\nhorizons_days = [14]\n")
    )
    assert own.fit == FitSettings(seed=7, window_days=60.0)
    assert own.holdout == HoldoutSettings(days=180, horizons_days=(14,))
    assert own.tracking == read_settings().tracking


def test_an_empty_currency_means_find_it_out(tmp_path: Path) -> None:
    assert read_settings().fit.reporting_currency is None
    own = read_settings(written(tmp_path, '[fit]\nreporting_currency = "USD"\n'))
    assert own.fit.reporting_currency == "USD"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[fit]\nsed = 1\n", r"my\.toml: fit\.sed does not exist; did you mean seed\?"),
        ("[fit]\nqqq = 1\n", r"fit\.qqq does not exist; known are seed, landmark_every_days"),
        ("[holdouts]\ndays = 1\n", r"\[holdouts\] does not exist; did you mean holdout\?"),
        ("zzz = 1\n", r"\[zzz\] does not exist; known are fit, holdout, .*audit"),
        ("fit = 3\n", r"\[fit\] does not exist|fit"),
        ('[fit]\nseed = "1"\n', r"fit\.seed is '1'; expected a whole number"),
        ("[fit]\nseed = 1.5\n", r"fit\.seed is 1\.5; expected a whole number"),
        ("[fit]\nseed = true\n", r"fit\.seed is True; expected a whole number"),
        ("[fit]\nseed = -1\n", r"fit\.seed is -1; expected 0 or more"),
        ("[fit]\nuse_season = 1\n", r"fit\.use_season is 1; expected true or false"),
        ("[fit]\nridge_grid = 3\n", r"fit\.ridge_grid is 3; expected a list, each item a number"),
        ("[fit]\nridge_grid = []\n", r"fit\.ridge_grid is \[\]; expected one or more numbers above 0"),
        ('[fit]\nexclude_fields = [1]\n', r"exclude_fields is \[1\]; expected a list, each item text"),
        ("[fit]\nreporting_currency = 3\n", r"reporting_currency is 3; expected text in quotes or empty"),
        ("[fit]\nlandmark_every_days = nan\n", r"landmark_every_days is nan; expected a number above 0"),
        ("[holdout]\nhorizons_days = [0]\n", r"horizons_days is \[0\]; expected one or more numbers above 0"),
        ('[tracking]\nmodel = "a/b"\n', r"tracking\.model is 'a/b'; expected a name without /"),
        ("[fit\n", r"my\.toml is not TOML: "),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_was_expected(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_settings(written(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"gone\.toml cannot be read: No such file"):
        read_settings(tmp_path / "gone.toml")
    path = tmp_path / "latin.toml"
    path.write_bytes('[fit]\nreporting_currency = "é"\n'.encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        read_settings(path)


def test_flat_holds_what_can_change_a_result_and_nothing_else() -> None:
    flat = read_settings().flat()
    assert flat["fit.seed"] == "0"
    assert flat["fit.ridge_grid"] == "3.0, 12.0, 50.0, 200.0, 800.0"
    assert flat["fit.reporting_currency"] == ""
    assert flat["holdout.horizons_days"] == "30, 90"
    assert not any(name.startswith("tracking.") for name in flat)
