"""Two trainings of one bundle at once: one works, the other is told so at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forecast.errors import BusyError
from forecast.lock import exclusive

HOLD = """
import sys, time
from pathlib import Path
from forecast.lock import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_who_holds_it_and_a_killed_holder_holds_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    with holder(folder) as first:
        busy = rf"another training is writing .*mine \(process {first.pid}\)"
        with pytest.raises(BusyError, match=busy), exclusive(folder):
            pytest.fail("two at once")
        with exclusive(tmp_path / "another"):
            pass
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
    with exclusive(folder):
        pass
