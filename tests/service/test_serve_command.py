"""`forecast serve` before it starts anything: keys, addresses, ports."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from forecast.cli.serve import configure_keys, require_free_port, resolve_address, server_command, url
from forecast.errors import UnavailableError, UsageError
from forecast.service.keys import KEYS_FILE, SINGLE_KEY


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "::1"])
def test_on_loopback_a_key_is_made_beside_the_bundle_and_kept(address: str, tmp_path: Path) -> None:
    first: dict[str, str] = {}
    assert configure_keys(address, tmp_path / "current", first)
    file = tmp_path / ".serve-key"
    assert first == {KEYS_FILE: str(file)}
    assert file.stat().st_mode & 0o777 == 0o600
    assert not configure_keys(address, tmp_path / "current", {})


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.0.0.5", "192.168.1.2"])  # noqa: S104  the case itself
def test_elsewhere_there_is_no_service_without_a_key(address: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no key is set") as caught:
        configure_keys(address, tmp_path / "current", {})
    assert caught.value.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_own_keys_are_taken_as_they_are(tmp_path: Path) -> None:
    environment = {SINGLE_KEY: "own-key"}
    assert not configure_keys("0.0.0.0", tmp_path / "current", environment)  # noqa: S104
    assert environment == {SINGLE_KEY: "own-key"}
    assert list(tmp_path.iterdir()) == []


def test_own_keys_that_cannot_be_used_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=KEYS_FILE):
        configure_keys("127.0.0.1", tmp_path / "current", {KEYS_FILE: str(tmp_path / "missing")})


def test_a_host_is_an_address_or_localhost() -> None:
    assert resolve_address("localhost") == "127.0.0.1"
    assert resolve_address("::1") == "::1"
    with pytest.raises(UsageError, match="no IP address"):
        resolve_address("example.com")


def test_a_taken_port_is_said_before_anything_is_loaded() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(UnavailableError, match="choose another --port"):
            require_free_port("127.0.0.1", taken.getsockname()[1])


def test_the_server_is_bentoml_on_our_service() -> None:
    expected = [sys.executable, "-m", "bentoml", "serve", "forecast.service.app:Forecast"]
    assert server_command("127.0.0.1", 3001) == [*expected, "--host", "127.0.0.1", "--port", "3001"]
    assert url("::1", 3001) == "http://[::1]:3001"


@pytest.mark.e2e
def test_a_public_address_without_a_key_is_refused_in_one_line(tmp_path: Path) -> None:
    environment = {name: text for name, text in os.environ.items() if not name.startswith("FORECAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "forecast.cli", "serve", "--host", "0.0.0.0", "--bundle", str(tmp_path / "b")],  # noqa: S104
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: --host 0.0.0.0 is reachable from outside and no key is set")
