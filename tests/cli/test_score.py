"""`forecast score`: scores, and beside them the questions, in the asked language."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from forecast.cli import cli, run
from forecast.scoring import QUESTION_COLUMNS


@pytest.fixture
def inputs(sample_folder: Path, trained_bundle: Path) -> list[str]:
    return ["score", "--data", str(sample_folder), "--bundle", str(trained_bundle), "--as-of", "2026-01-01"]


def test_reasons_are_in_the_asked_language(inputs: list[str], tmp_path: Path) -> None:
    english, italian = tmp_path / "scores.csv", tmp_path / "punteggi.csv"
    assert run(cli, [*inputs, "--out", str(english)], "forecast") == 0
    assert run(cli, [*inputs, "--out", str(italian), "--locale", "it"], "forecast") == 0
    one, other = pd.read_csv(english), pd.read_csv(italian)
    assert one.columns.tolist() == other.columns.tolist()
    pd.testing.assert_frame_equal(one.drop(columns="reasons"), other.drop(columns="reasons"))
    told, detto = (json.loads(found["reasons"].iloc[0])[0] for found in (one, other))
    assert told["text"] != detto["text"]
    assert told["effect"] == detto["effect"]


def test_questions_are_written_when_asked_for(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, questions = tmp_path / "scores.csv", tmp_path / "questions.csv"
    args = [*inputs, "--period", "2026Q1", "--out", str(out), "--questions", str(questions)]
    assert run(cli, args, "forecast") == 0
    table, scores = pd.read_csv(questions), pd.read_csv(out).set_index("deal_id")
    assert table.columns.tolist() == list(QUESTION_COLUMNS)
    assert table["win_probability"].tolist() == scores.loc[table["deal_id"], "win_probability"].tolist()
    assert f"{len(table):,} open questions written to" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [("--locale", "de"), ("--questions", "questions.txt")])
def test_a_wrong_argument_writes_nothing(inputs: list[str], tmp_path: Path, wrong: tuple[str, str]) -> None:
    out = tmp_path / "scores.csv"
    assert run(cli, [*inputs, "--out", str(out), *wrong], "forecast") in (2, 8)
    assert not list(tmp_path.iterdir())
