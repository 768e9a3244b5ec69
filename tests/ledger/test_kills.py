"""Killed at any moment, a publication is whole or absent, and an erasure is finished by the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked"),
]
KILLER = Path(__file__).with_name("publish_killer.py")
ROOT = KILLER.parents[2]


@pytest.mark.parametrize(("what", "kills"), [("publish", 25), ("erase", 10)])
def test_kills(what: str, kills: int, url: str) -> None:
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), str(KILLER.parent)])
    ran = subprocess.run(
        [sys.executable, str(KILLER), what, url, str(kills)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["kills"] == kills
    assert found["whole"] > 0, "some came to their end"
    assert found["nothing"] > 0, "and some were killed before"
