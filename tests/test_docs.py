"""The documentation cannot go stale: commands, options, links, targets and versions come from the code."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import click
import pytest

from forecast import __version__
from forecast.cli import cli
from training.__main__ import cli as training_cli

ROOT: Final = Path(__file__).resolve().parents[1]
DOCUMENTS: Final = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), ROOT / "models" / "README.md"],
)
CLI_PAGE: Final = ROOT / "docs" / "cli.md"


TRAINING: Final = "python -m training"
COMMANDS: Final = (
    *(f"forecast {name}" for name in cli.list_commands(click.Context(cli))),
    *(f"{TRAINING} {name}" for name in training_cli.list_commands(click.Context(training_cli))),
)


@cache
def command_of(typed: str) -> click.Command:
    """The command behind what a user types, `forecast score` or `python -m training train`."""
    group = training_cli if typed.startswith(TRAINING) else cli
    command = group.get_command(click.Context(group), typed.split()[-1])
    assert command is not None
    return command


def headings(text: str) -> list[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    without_code = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    titles = re.findall(r"^#{1,6} +(.+?) *$", without_code, flags=re.MULTILINE)
    return [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]


def section(page: str, title: str) -> str:
    """The text of the part whose heading is `title`."""
    found = re.search(rf"^## `?{re.escape(title)}`?$\n(.*?)(?=^## |\Z)", page, flags=re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no part '## `{title}`'"
    return found[1]


def code_lines(text: str) -> Iterator[str]:
    """Lines of the shell examples, continued lines joined."""
    for block in re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def options_of(command: click.Command) -> set[str]:
    """Long options of a command; of a group those of its commands."""
    if isinstance(command, click.Group) and command.commands:
        return set().union(*map(options_of, command.commands.values()))
    return {
        name
        for param in command.params
        if isinstance(param, click.Option)
        for name in param.opts
        if name[:2] == "--"
    }


def tracked_files() -> list[Path]:
    """What is, or is about to be, in the repository."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip("not a git working copy")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_all_its_options(name: str) -> None:
    page = CLI_PAGE.read_text(encoding="utf-8")
    text = section(page, name)
    missing = {option for option in options_of(command_of(name)) if not re.search(rf"`{option}\b", text)}
    assert missing == set()
    assert any(line.startswith(name) for line in code_lines(text)), "no example"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    command = command_of(name)
    context = click.Context(command, info_name=name)
    shown = command.get_help(context)
    assert re.search(r"Examples?:", shown)
    assert name in shown.split("Example", 1)[1]
    undocumented = [
        param.name
        for param in command.params
        if isinstance(param, click.Option) and not param.help and not param.hidden
    ]
    assert undocumented == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_example_uses_commands_options_and_targets_that_exist(page: Path) -> None:
    for line in code_lines(page.read_text(encoding="utf-8")):
        line = line.split(" #")[0].strip()
        if line.startswith(("forecast ", TRAINING + " ")):
            typed = next((name for name in COMMANDS if line.startswith(name + " ")), None)
            assert typed is not None, line
            used = set(re.findall(r"(?<=\s)--[a-z][a-z-]*", line))
            assert used <= options_of(command_of(typed)) | {"--help"}, line
        if line.startswith("make "):
            asked = [word for word in line.split()[1:] if "=" not in word and not word.startswith("-")]
            assert set(asked) <= makefile_targets(), line


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    links = [*re.findall(r"\]\(([^)\s]+)\)", text), *re.findall(r"(?:src|href)=\"([^\"]+)\"", text)]
    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in headings(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("folder", ["src", "training", "benchmarks", "tests"])
def test_every_page_named_in_the_code_exists(folder: str) -> None:
    missing = [
        f"{path.relative_to(ROOT)} names {page}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for page in re.findall(r"docs/[\w/-]+\.md", path.read_text(encoding="utf-8"))
        if not (ROOT / page).is_file()
    ]
    assert missing == []


def test_every_page_is_linked_from_another() -> None:
    everything = {page: page.read_text(encoding="utf-8") for page in DOCUMENTS}
    for page in DOCUMENTS:
        if page.parent == ROOT:
            continue
        others = "".join(text for other, text in everything.items() if other != page)
        assert f"{page.name})" in others or f"{page.name}#" in others, (
            f"nothing leads to {page.relative_to(ROOT)}"
        )


@cache
def makefile_targets() -> set[str]:
    """Targets a person may ask for: every rule whose name is a plain word."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z][a-z-]*):(?!=)", text, flags=re.MULTILINE))


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    named = set(re.findall(r"^ *make ([a-z-]+) +\S", shown.stdout, flags=re.MULTILINE))
    assert named == makefile_targets()
    assert {"forecast", "test", "check", "train", "serve", "report", "bench", "help"} <= named


def test_every_target_is_phony() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    declared = re.search(r"^\.PHONY:(.*)$", text, flags=re.MULTILINE)
    assert declared
    assert set(declared[1].split()) == makefile_targets()


def test_the_changelog_starts_with_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(
        r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.M
    )
    assert versions[0] == project["version"] == __version__


def test_no_package_address_and_no_machine_path_is_in_the_repository() -> None:
    """Packages are named by version and hash; where they come from is up to whoever installs them."""
    # Put together here, so that this file does not find itself.
    hosts = ["pypi" + ".org", "python" + "hosted", "files." + "pyth", "conda" + ".anaconda"]
    places = ["/ho" + "me/", "/Us" + "ers/", "/ro" + "ot/", "/op" + "t/pypi", "/wo" + "rk/", "C:" + "\\Users"]
    found = []
    for path in tracked_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture
        found += [f"{path.relative_to(ROOT)}: {word}" for word in [*hosts, *places] if word in text]
    assert found == []


def test_the_checks_find_what_is_wrong() -> None:
    """The helpers above, on texts with known faults."""
    assert headings("# A `b` c-d\n```sh\n# no heading\n```\n## Two  \n") == ["a-b-c-d", "two"]
    assert list(code_lines("```sh\nforecast x \\\n  --y\n```\n```json\n{}\n```")) == ["forecast x    --y"]
    with pytest.raises(AssertionError, match="has no part"):
        section("## `forecast a`\ntext\n", "forecast b")
    assert section("## `forecast a`\ntext\n## `forecast b`\n", "forecast a") == "text\n"
