"""Start the real server on a free port of the loopback address, ask it, and end it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

__all__ = ["KEY", "Server", "environment_for", "free_port", "running"]

KEY: Final = "canary-key-7731-not-for-logs"
_READY_SECONDS: Final = 90.0


@dataclass(frozen=True)
class Server:
    """A running server, and where its output goes."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {KEY}", **more.pop("headers", {})}
        return httpx.request(method, self.url + path, headers=headers, timeout=30, trust_env=False, **more)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def environment_for(home: Path, bundle: Path, **more: str) -> dict[str, str]:
    """The environment of a server of our own: nothing of the caller's settings, a BentoML home of its own."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("FORECAST_", "BENTOML_"))}
    return {
        **kept,
        "BENTOML_HOME": str(home / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
        "FORECAST_BUNDLE": str(bundle),
        "FORECAST_API_KEY": KEY,
        **more,
    }


@contextlib.contextmanager
def running(
    arguments: list[str], port: int, home: Path, environment: dict[str, str], cwd: Path
) -> Iterator[Server]:
    """A server that is ready; ended, with its workers, on the way out."""
    log = home / f"server-{port}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        _await_ready(process, port, log)
        yield Server(process, port, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            # The session is ours alone, so the group holds nobody but this server and its workers.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


def _await_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=2, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the server did not become ready:\n{log.read_text()[-4000:]}")
