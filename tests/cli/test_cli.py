"""The command line as scripts and people meet it: fixed exit codes, one-line errors, help for everything."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import click
import pytest

from forecast.cli import cli, run
from forecast.errors import (
    BundleError,
    BusyError,
    DataError,
    ForecastError,
    GateError,
    OutputError,
    UnavailableError,
    UsageError,
)

# A promise to scripts (docs/cli.md); spelt out here so that changing one is a decision.
EXIT_CODES: Final[dict[type[ForecastError], int]] = {
    ForecastError: 1,
    UsageError: 2,
    DataError: 3,
    UnavailableError: 5,
    BusyError: 6,
    BundleError: 7,
    OutputError: 8,
    GateError: 9,
}
COMMANDS: Final = (
    "check",
    "sample",
    "score",
    "roll-up",
    "report",
    "show",
    "verify",
    "publish",
    "keys",
    "erase",
    "serve",
    "rollback",
    "doctor",
)


@pytest.fixture(autouse=True)
def _without_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_DEBUG", "0")


def command_that(action: Callable[[], object]) -> click.Command:
    @click.command()
    def made() -> object:
        return action()

    return made


def raising(error: BaseException) -> click.Command:
    def fail() -> None:
        raise error

    return command_that(fail)


def every_kind(root: type[ForecastError] = ForecastError) -> list[type[ForecastError]]:
    return [root, *(kind for child in root.__subclasses__() for kind in every_kind(child))]


def test_the_list_of_exit_codes_is_complete() -> None:
    ours = [kind for kind in every_kind() if kind.__module__ == "forecast.errors"]
    assert {kind: kind.exit_code for kind in ours} == EXIT_CODES


@pytest.mark.parametrize(("kind", "expected"), EXIT_CODES.items())
def test_an_error_is_its_exit_code_and_one_line(
    kind: type[ForecastError], expected: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(raising(kind("deals.csv: no column 'amount'; add it")), [], "forecast") == expected
    shown = capsys.readouterr()
    assert shown.err == "error: deals.csv: no column 'amount'; add it\n"
    assert shown.out == ""


def test_an_error_of_a_kind_not_known_here_keeps_its_own_code() -> None:
    class RefusedError(DataError):
        pass

    assert run(raising(RefusedError("no")), [], "forecast") == 3


@pytest.mark.parametrize(
    "text",
    [
        "column [red]amount[/red] of [bold] is text",  # markup of the console, which must not act
        "a folder named [/] or [/nothing-open]",
        r"C:\data\[2026]",
        "very long: " + "x" * 500,
    ],
)
def test_a_message_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(raising(DataError(text)), [], "forecast") == 3
    assert capsys.readouterr().err == f"error: {text}\n"


def test_a_message_of_several_lines_becomes_one(capsys: pytest.CaptureFixture[str]) -> None:
    run(raising(DataError("first\nsecond\r\nthird")), [], "forecast")
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_full_disk_is_an_output_error(capsys: pytest.CaptureFixture[str]) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "out/scores.csv")
    assert run(raising(error), [], "forecast") == 8
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert "out/scores.csv" in shown
    assert len(shown.splitlines()) == 1


def test_an_unexpected_error_is_one_line_that_tells_how_to_see_more(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(raising(ZeroDivisionError("division by zero")), [], "forecast") == 1
    shown = capsys.readouterr().err
    assert len(shown.splitlines()) == 1
    assert "ZeroDivisionError" in shown
    assert "--debug" in shown
    assert "Traceback" not in shown


def test_an_interrupt_is_130() -> None:
    assert run(raising(KeyboardInterrupt()), [], "forecast") == 130
    assert run(raising(click.exceptions.Abort()), [], "forecast") == 130


@pytest.mark.parametrize(
    "error", [DataError("bad"), ZeroDivisionError("bad"), OSError(errno.EACCES, "denied")]
)
def test_debug_lets_the_error_through(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_DEBUG", "1")
    with pytest.raises(type(error)):
        run(raising(error), [], "forecast")


@pytest.mark.parametrize(("returned", "expected"), [(None, 0), (0, 0), (4, 4)])
def test_a_command_may_choose_its_exit_code(returned: int | None, expected: int) -> None:
    assert run(command_that(lambda: returned), [], "forecast") == expected


def test_the_commands_are_the_promised_ones() -> None:
    assert tuple(cli.list_commands(click.Context(cli))) == COMMANDS


def test_the_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    from forecast import __version__

    assert run(cli, ["--version"], "forecast") == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_prints_its_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, [name, "--help"], "forecast") == 0
    assert f"forecast {name}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["chekc"],
        ["--no-such-option"],
        *([name, "--no-such-option"] for name in COMMANDS),
        ["check"],
        ["sample"],
        ["score"],
        ["roll-up"],
        ["report"],
        ["show"],
        ["sample", "out", "--deals", "many"],
        ["sample", "out", "--deals", "-1"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_2_and_says_so_without_a_traceback(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, arguments, "forecast") == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    assert "Error: " in shown.err or "error: " in shown.err


def forecast(*arguments: str, folder: os.PathLike[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "forecast.cli", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["score", "--data", "nowhere", "--bundle", "nobundle", "--out", "scores.csv"], {2, 3, 7}),
        (["roll-up", "--data", ".", "--bundle", ".", "--period", "2026Q5", "--out", "b.csv"], {2}),
        (["score", "--data", ".", "--bundle", ".", "--as-of", "tomorrow", "--out", "s.csv"], {2}),
        (["report", "--data", ".", "--bundle", ".", "--period", "soon", "--out", "r.html"], {2}),
        (["show", "--data", ".", "--bundle", ".", "--period", "2026Q13"], {2}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
@pytest.mark.e2e
def test_a_hopeless_call_fails_in_one_line_and_leaves_nothing(
    arguments: list[str], expected: set[int], tmp_path: os.PathLike[str]
) -> None:
    ran = forecast(*arguments, folder=tmp_path)
    assert ran.returncode in expected, ran.stderr
    last = ran.stderr.strip().splitlines()[-1]
    assert last.lower().startswith("error: ")
    assert "Traceback" not in ran.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.e2e
def test_check_of_a_folder_that_is_not_there_says_so(tmp_path: os.PathLike[str]) -> None:
    ran = forecast("check", "nowhere", folder=tmp_path)
    assert ran.returncode == 3
    assert "nowhere does not exist" in ran.stdout
    assert ran.stderr == ""
