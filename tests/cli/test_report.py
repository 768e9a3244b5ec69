"""`forecast report` and `forecast show`: the report as a file, the answer on one screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from forecast.cli import cli, run
from forecast.cli.show import screen
from forecast.outlook import Outlook
from forecast.report import collect_facts


def shown(facts: dict[str, Any], report: Path | None = None) -> list[str]:
    """The screen as plain lines."""
    console = Console(width=100, color_system=None, highlight=False)
    with console.capture() as captured:
        console.print(screen(facts, report))
    return captured.get().splitlines()


@pytest.fixture(scope="module")
def facts(sample_outlook: Outlook) -> dict[str, Any]:
    return collect_facts(sample_outlook, compare_days=None)


@pytest.fixture
def inputs(sample_folder: Path, trained_bundle: Path) -> list[str]:
    return ["--data", str(sample_folder), "--bundle", str(trained_bundle), "--as-of", "2026-01-01"]


def test_the_report_is_one_file_in_the_asked_language(inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    args = ["report", *inputs, "--period", "2026Q1", "--out", str(out), "--locale", "it"]
    assert run(cli, args, "forecast") == 0
    page = out.read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert '<html lang="it">' in page
    assert "nessuna riga in quarantena" in page
    assert sorted(tmp_path.iterdir()) == [out, tmp_path / "report.html.receipt.json"]


def test_the_answer_fits_on_one_screen_and_names_the_report(inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    result = CliRunner().invoke(cli, ["show", *inputs, "--report", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert "Q1 2026" in lines[0]  # the coming quarter, though nobody named it
    assert "expected" in lines[1]
    for team in ("milano", "roma", "münchen", "atlantic"):
        assert any(line.startswith(team) for line in lines)
    assert "report.html" in result.stdout.replace("\n", "")
    assert '<html lang="en">' in out.read_text(encoding="utf-8")


def test_the_screen_is_italian_when_asked(sample_outlook: Outlook) -> None:
    lines = shown(collect_facts(sample_outlook, "it", compare_days=None))
    assert "1º trimestre 2026" in lines[0]
    assert "attesi" in lines[1]
    assert not any("Quota" in line or "Chance" in line for line in lines)


def test_one_line_tells_what_nobody_will_decide_where_the_past_shows_such_deals(
    facts: dict[str, Any],
) -> None:
    (line,) = (line for line in shown(facts) if "will probably never be decided" in line)
    assert line.startswith("Of €")
    unseen = facts | {"undecided": facts["undecided"] | {"verdict": "not_seen"}}
    assert not any("never be decided" in line for line in shown(unseen))


def test_many_teams_and_long_names_still_fit(facts: dict[str, Any]) -> None:
    teams = next(group for group in facts["groups"] if group["level"] == "team")
    line = teams["lines"][0]
    many = [line | {"entity": f"{'very ' * 30}long name {place}", "name": None} for place in range(30)]
    deals = [deal | {"deal_id": "D" * 200} for deal in facts["deals"]["deciding"]]
    lines = shown(
        facts | {"groups": [teams | {"lines": many}], "deals": facts["deals"] | {"deciding": deals}},
        Path("a" * 30) / "report.html",
    )
    assert len(lines) <= 40
    assert max(map(len, lines)) <= 100
    assert any("and 22 more" in line for line in lines)


def test_names_cannot_steer_the_terminal(facts: dict[str, Any]) -> None:
    hostile = "\x1b[2J\x07[red]x[/red]"
    deals = [deal | {"deal_id": hostile} for deal in facts["deals"]["deciding"]]
    text = "\n".join(shown(facts | {"deals": facts["deals"] | {"deciding": deals}}))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]x" in text  # shown as it is, not taken for a colour


def test_a_company_without_quotas_or_deals_still_gets_an_answer(facts: dict[str, Any]) -> None:
    nothing = dict.fromkeys(("quota", "probability", "verdict", "attainment", "gap", "coverage_needed"))
    lines = shown(
        facts
        | {
            "company": facts["company"]
            | nothing
            | {"booked": 0.0, "open": 0.0, "arrivals": 0.0, "expected": 0.0},
            "groups": [],
            "deals": facts["deals"] | {"deciding": [], "open": 0},
        }
    )
    assert "€0 expected" in lines[1]
    assert "no company quota" in " ".join(lines)


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["--period", "2026Q5"], 2, "period '2026Q5' is not a period"),
        (["--period", "2026Q1", "--locale", "de"], 2, "'de' is not one of 'en', 'it'"),
        (["--period", "2019Q1"], 2, "2019Q1"),
        (["--period", "2026Q1", "--as-of", "2001-01-01"], 2, "nothing was recorded before"),
    ],
)
def test_wrong_arguments_are_one_line_and_leave_no_file(
    args: list[str],
    code: int,
    message: str,
    inputs: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "report.html"
    assert run(cli, ["report", *inputs, "--out", str(out), *args], "forecast") == code
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said(
    inputs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "missing" / "report.html"
    assert run(cli, ["report", *inputs, "--period", "2026Q1", "--out", str(out)], "forecast") == 8
    assert "report.html" in capsys.readouterr().err.replace("\n", "")
