"""The tutorial is run as it stands: every shell and Python block of the page, in order, in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "tutorial.md"


def blocks() -> list[tuple[int, str, str]]:
    """Line, language and text of each block that is run."""
    page = PAGE.read_text(encoding="utf-8")
    return [
        (page[: found.start()].count("\n") + 1, found[1], found[2])
        for found in re.finditer(r"^```(sh|python)\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    ]


def test_every_step_of_the_tutorial_works(tmp_path: Path) -> None:
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    env.pop("MLFLOW_TRACKING_URI", None)
    for line, language, text in blocks():
        command = ["bash", "-euo", "pipefail"] if language == "sh" else [sys.executable]
        done = subprocess.run(
            [*command, "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (
            f"docs/tutorial.md, line {line}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        )
        if "training audit" in text:
            assert re.search(r"contract_no.*leaks|leaks.*contract_no", done.stdout), done.stdout
    assert (tmp_path / "backtest" / "scoreboard.html").is_file()
    assert (tmp_path / "models" / "promotions.jsonl").is_file()
    assert (tmp_path / "scores.csv.receipt.json").is_file()
    assert "contract_no" not in (tmp_path / "scores.csv").read_text(encoding="utf-8")
