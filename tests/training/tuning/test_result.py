"""The verdict of a search: what is said of a gain, of luck, and of a gain the held-out period does not know."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from oracles import HOLDOUT
from rich.console import Console

from training.settings import read_settings
from training.tuning.folds import Fold
from training.tuning.result import show
from training.tuning.study import Found, Gain

SETTINGS = read_settings()
MORE = replace(SETTINGS.fit, windows=5)


def folds(step_days: int) -> tuple[Fold, ...]:
    ends = [HOLDOUT.start - pd.Timedelta(days=step_days * number) for number in range(2)]
    return tuple(Fold(end - pd.Timedelta(days=180), end, (30, 90)) for end in ends)


def said(found: Found, confirmed: Gain, out: Path) -> str:
    page = io.StringIO()
    show(
        Console(file=page, width=110), SETTINGS, found, (0.8, 0.8 - confirmed.value, confirmed), HOLDOUT, out
    )
    return " ".join(page.getvalue().split())


CLEAR = Found(folds(90), 9, 4, 0.8, 0.7, MORE, Gain(0.1, 0.02))


def test_a_clear_gain_that_is_found_again_is_written(tmp_path: Path) -> None:
    text = said(CLEAR, Gain(0.05, 0.02), tmp_path / "a.toml")
    assert "20.00% │ 30.00% │ +10.00 ± 2.00" in text
    assert "20.00% │ 25.00% │ +5.00 ± 2.00" in text
    assert "fit.windows: 3 -> 5" in text
    assert "Better by more than two standard errors: written to" in text
    assert "does not bear it out" not in text
    assert "nearly one" not in text


@pytest.mark.parametrize("confirmed", [Gain(0.03, 0.02), Gain(-0.05, 0.01), Gain(0.0, 0.0)])
def test_a_gain_that_is_not_found_again_is_doubted(tmp_path: Path, confirmed: Gain) -> None:
    assert "does not bear it out" in said(CLEAR, confirmed, tmp_path / "a.toml")


def test_less_than_two_standard_errors_is_luck(tmp_path: Path) -> None:
    out = tmp_path / "a.toml"
    luck = replace(CLEAR, gain=Gain(0.1, 0.06))
    text = said(luck, Gain(0.05, 0.01), out)
    assert "The defaults stand: the best of the trials is not better by two standard errors" in text
    assert "written to" not in text
    out.write_text("", encoding="utf-8")
    assert "is from an earlier run and was left as it is" in said(luck, Gain(0.05, 0.01), out)


def test_where_nothing_is_better_nothing_is_listed(tmp_path: Path) -> None:
    none = replace(CLEAR, settings=SETTINGS.fit, best_loss=0.8, gain=Gain(0.0, 0.0))
    text = said(none, Gain(0.0, 0.0), tmp_path / "a.toml")
    assert "The defaults stand: nothing tried was better." in text
    assert "->" not in text


def test_folds_that_are_nearly_one_are_said_to_be(tmp_path: Path) -> None:
    text = said(replace(CLEAR, folds=folds(16)), Gain(0.05, 0.01), tmp_path / "a.toml")
    assert "share most of their days and are nearly one" in text
