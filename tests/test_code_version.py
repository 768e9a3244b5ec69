"""The hash of the sources sees every change that can change a result, and no other."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from forecast.code_version import _NO_RESULT, _hash, code_of
from training import train

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def package(tmp_path: Path) -> Path:
    for name, content in {"a.py": "1", "sub/b.toml": "2", "cli/c.py": "3"}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def hashed(folder: Path) -> str:
    return _hash.__wrapped__(folder, frozenset({"cli"}))  # without what it remembers


def test_a_changed_added_moved_or_removed_file_is_seen(package: Path) -> None:
    seen = {hashed(package)}
    for change in (
        lambda: (package / "a.py").write_text("11"),
        lambda: (package / "sub" / "new.py").write_text(""),
        lambda: (package / "a.py").rename(package / "b.py"),
        lambda: (package / "sub" / "b.toml").unlink(),
    ):
        change()
        seen.add(hashed(package))
    assert len(seen) == 5


def test_caches_and_what_makes_no_result_are_not(package: Path) -> None:
    before = hashed(package)
    (package / "cli" / "c.py").write_text("another option")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
    (package / ".a.py.swp").write_bytes(b"x")
    assert hashed(package) == before


def test_libraries_are_named_with_their_versions_and_absent_ones_are_left_out() -> None:
    code = code_of(packages=("numpy", "no-such-library"))
    assert code["packages"] == {"numpy": np.__version__}
    assert set(code["sources"]) == {"forecast"}
    assert code_of(packages=(), without=("report",))["sources"] != code["sources"]


@pytest.mark.parametrize(
    ("start", "package", "without"),
    [
        ("forecast.receipts, forecast.report.page", "forecast", _NO_RESULT),
        # Of these a training asks whether its settings make sense; they say no, or nothing.
        ("training.train", "training", train._NO_RESULT - {"intervals.py", "segments.py", "sense.py"}),
    ],
)
def test_what_is_left_out_takes_no_part(start: str, package: str, without: frozenset[str]) -> None:
    """A module that makes results and imports one that is left out would change with it, unseen."""
    named = f"[name for name in sys.modules if name.startswith('{package}.')]"
    code = f"import {start}, json, sys; print(json.dumps({named}))"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
    )  # fmt: skip
    loaded = {name.split(".")[1] for name in json.loads(ran.stdout)}
    assert len(loaded) > 5
    assert loaded & {name.removesuffix(".py") for name in without} == set()
