"""A folder in a company's own words: every command reads it as the bundle does, the service too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forecast.bundle import load_bundle, write_bundle
from forecast.cli import cli, run
from forecast.models import FittedModels
from forecast.service.catalogue import Catalogue
from forecast.service.deals import parse_deal
from forecast.service.refusals import Refusal
from forecast.tables import Dialect, Tables, read_dialect, write_folder

RULES = """
[columns.deals]
"Opportunity ID" = "deal_id"
[stages.rename]
"1. Discovery" = "discovery"
[bant]
common_words = true
words = { Partly = 0.5 }
"""


def forecast(arguments: list[str]) -> int:
    return run(cli, arguments, "forecast")


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rules") / "my.toml"
    path.write_text(f"[fit]\nseed = 3\n{RULES}", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def export(sample_tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample as its CRM might have exported it."""
    folder = tmp_path_factory.mktemp("export")
    write_folder(sample_tables, folder)

    def rewrite(table: str, change: Callable[[str], str]) -> None:
        path = folder / f"{table}.csv"
        path.write_text(change(path.read_text("utf-8")), encoding="utf-8")

    rewrite("deals", lambda text: text.replace("deal_id,", "Opportunity ID,", 1))
    first = sample_tables.stages["stage"].iloc[0]
    rewrite("deal_events", lambda text: text.replace(f",stage,{first},", ",stage,1. Discovery,"))
    for field in ("budget", "authority", "need", "timeline"):
        for number, word in (("1.0", "Yes"), ("1", "Yes"), ("0.0", "No"), ("0", "No")):
            old, new = f",{field},{number},", f",{field},{word},"
            rewrite("deal_events", lambda text, old=old, new=new: text.replace(old, new))  # type: ignore[misc]
    return folder


@pytest.fixture(scope="module")
def bundle(
    sample_models: FittedModels,
    sample_tables: Tables,
    rules: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("models") / "own"
    first = sample_tables.stages["stage"].iloc[0]
    text = rules.read_text("utf-8").replace('"discovery"', f'"{first}"')
    rules.write_text(text, encoding="utf-8")
    write_bundle(
        sample_models,
        folder,
        metrics={},
        data_fingerprint=sample_tables.fingerprint,
        dialect=read_dialect(rules),
    )
    return folder


def test_check_reads_as_it_is_told(
    export: Path, rules: Path, bundle: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert forecast(["check", str(export)]) == 3
    assert "has no column 'deal_id'" in capfd.readouterr().out
    for how in (["--settings", str(rules)], ["--bundle", str(bundle)]):
        found = tmp_path / "check.json"
        assert forecast(["check", str(export), "--strict", "--json", str(found), *how]) == 0
        assert json.loads(found.read_text("utf-8"))["quarantine"] == []
        assert "words in authority, budget, need, timeline were read as numbers" in capfd.readouterr().out
    assert forecast(["check", str(export), "--settings", str(rules), "--bundle", str(bundle)]) == 2
    assert "give one" in capfd.readouterr().err


def test_the_export_is_scored_as_the_folder_in_our_words(
    export: Path, bundle: Path, sample_folder: Path, tmp_path: Path
) -> None:
    for folder, name in ((export, "theirs.csv"), (sample_folder, "ours.csv")):
        arguments = ["--data", str(folder), "--bundle", str(bundle), "--out", str(tmp_path / name)]
        assert forecast(["score", *arguments, "--as-of", "2026-01-01"]) == 0
    assert (tmp_path / "theirs.csv").read_bytes() == (tmp_path / "ours.csv").read_bytes()


def test_rules_that_are_damaged_are_told_of_the_bundle(bundle: Path) -> None:
    assert load_bundle(bundle).dialect.to_json()["bant"] == {"common_words": True, "words": {"partly": 0.5}}


def deal(**changed: Any) -> dict[str, Any]:
    return {
        "deal_id": "D1",
        "created_at": "2025-01-01T00:00:00Z",
        "events": [
            {"field": "stage", "value": "1. Discovery", "recorded_at": "2025-01-01T00:00:00Z"},
            {"field": "need", "value": "Partly", "recorded_at": "2025-01-02T00:00:00Z"},
            {"field": "need", "value": "TBD", "recorded_at": "2025-01-03T00:00:00Z"},
            {"field": "need", "value": 1, "recorded_at": "2025-01-04T00:00:00Z"},
        ],
        **changed,
    }


def test_a_request_may_use_the_words_of_the_bundle_and_no_others() -> None:
    stages = [{"pipeline": "sales", "stage": "discovery"}]
    known = Catalogue.of(
        stages,
        ["EUR"],
        Dialect.from_toml(
            {
                "stages": {"rename": {"1. Discovery": "discovery"}},
                "bant": {"common_words": True, "words": {"Partly": 0.5}},
            },
            "my.toml",
        ),
    )
    parsed = parse_deal(deal(budget=True, authority="no", need=0.25), 0, known)
    assert (parsed["budget"], parsed["authority"], parsed["need"]) == (1.0, 0.0, 0.25)
    assert [event["value"] for event in parsed["events"]] == ["discovery", 0.5, None, 1.0]
    with pytest.raises(Refusal, match="expected a number"):
        parse_deal(deal(budget="perhaps"), 0, known)

    strict = Catalogue.of(stages, ["EUR"])
    with pytest.raises(Refusal, match="is no stage of its pipeline"):
        parse_deal(deal(), 0, strict)
    for value in ("yes", True, "1"):
        with pytest.raises(Refusal, match="expected a number"):
            parse_deal(deal(events=[{**deal()["events"][0], "value": "discovery"}], need=value), 0, strict)
