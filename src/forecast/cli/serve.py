"""`forecast serve`: start the HTTP service, safe by default."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console

from forecast.errors import UnavailableError, UsageError
from forecast.service.keys import KEYS_FILE, SINGLE_KEY, Keys, create_key_file

# As `forecast.ledger` calls them, whose libraries are not loaded for a look at the environment.
_LEDGER = "FORECAST_LEDGER"
_LEDGER_FILE = "FORECAST_LEDGER_FILE"

__all__ = ["command", "configure_keys", "server_command"]


@click.command(
    epilog="Example: forecast serve --bundle models/current --port 3000. docs/http.md has the requests."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on."
)
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    default=Path("models/current"),
    envvar="FORECAST_BUNDLE",
    show_default=True,
    help="Bundle folder to serve.",
)
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Worker processes.")
@click.option(
    "--keys",
    type=click.Path(path_type=Path),
    envvar=KEYS_FILE,
    help="File with one key, or sha256:digest, per line. On a loopback address one is made if none is given.",
)
@click.option(
    "--ledger",
    metavar="URL",
    help="Ledger with published forecasts and keys, e.g. sqlite:///forecast.db.  [default: FORECAST_LEDGER, "
    "if it is set]",
)
def command(host: str, port: int, bundle: Path, workers: int, keys: Path | None, ledger: str | None) -> None:
    """Answer a CRM over HTTP.

    Every request but the probes needs a key. On a loopback address a key file is made if there is none; on
    any other address the service does not start without one, in a file or in the ledger. While it runs it
    follows the bundle: one that is promoted is taken over within seconds.
    """
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if importlib.util.find_spec("bentoml") is None:
        raise UsageError("serving needs bentoml, which is not installed; run: pip install 'forecast[serve]'")
    address = resolve_address(host)
    environment = dict(os.environ)
    if keys is not None:
        environment[KEYS_FILE] = str(keys.absolute())
    if ledger is not None:
        from forecast.ledger import LEDGER_URL, ledger_url

        environment[LEDGER_URL] = str(ledger_url(ledger, {}))
    made = configure_keys(address, bundle, environment)
    require_free_port(address, port)
    file = environment.get(KEYS_FILE)
    if file:
        console.print(f"key: {'made in' if made else 'from'} {file}")
        console.print(
            f'try: curl -H "Authorization: Bearer $(head -n 1 {file})" {url(address, port)}/v1/model'
        )
    else:
        console.print(f"key: from {SINGLE_KEY if environment.get(SINGLE_KEY) else 'the ledger'}")
    environment["FORECAST_BUNDLE"] = str(bundle.absolute())
    environment["FORECAST_WORKERS"] = str(workers)
    environment.setdefault("BENTOML_DO_NOT_TRACK", "True")
    # BentoML empties a metrics folder below its home when it starts: one home per port, so that two servers
    # on one machine leave each other's figures alone.
    cache = Path(environment.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    environment.setdefault("BENTOML_HOME", str(cache / "forecast" / f"serve-{port}"))
    arguments = server_command(address, port)
    # The server takes the place of this process, so that signals reach it and its exit code is ours.
    os.execve(arguments[0], arguments, environment)  # noqa: S606  a fixed command, no shell


def resolve_address(host: str) -> str:
    """The IP address to bind; UsageError for a name other than localhost."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        raise UsageError(
            f"--host {host[:60]!r} is no IP address; expected e.g. 127.0.0.1, or 0.0.0.0 for all interfaces",
            code="bad_host",
        ) from None


def configure_keys(address: str, bundle: Path, environment: dict[str, str]) -> bool:
    """See to it that `environment` names keys; True if a key file was made.

    Without any, a loopback address gets a key file of its own beside the bundle (mode 0600, kept for the next
    start); any other address raises UsageError.
    """
    if _has_keys(environment):
        Keys.from_environment(environment)
        return False
    if not ipaddress.ip_address(address).is_loopback:
        if environment.get(_LEDGER) or environment.get(_LEDGER_FILE):
            return False  # it may hold keys; the service looks before it opens
        raise UsageError(
            f"--host {address} is reachable from outside and no key is set; put one key per line "
            f"into a file and name it by --keys or {KEYS_FILE}, or make keys in a ledger",
            code="no_key",
        )
    file = bundle.absolute().parent / ".serve-key"
    made = create_key_file(file)
    environment[KEYS_FILE] = str(file)
    Keys.from_environment(environment)
    return made


def server_command(address: str, port: int) -> list[str]:
    """The command line that serves: BentoML's own, on the service of this package."""
    return [
        sys.executable,
        "-m",
        "bentoml",
        "serve",
        "forecast.service.app:Forecast",
        "--host",
        address,
        "--port",
        str(port),
    ]


def require_free_port(address: str, port: int) -> None:
    """UnavailableError if somebody listens there already, before anything is loaded."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {address}:{port}: {error.strerror}; choose another --port",
                code="port_taken",
            ) from error


def url(address: str, port: int) -> str:
    """Where to ask."""
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


def _has_keys(environment: Mapping[str, str]) -> bool:
    return bool(environment.get(KEYS_FILE) or environment.get(SINGLE_KEY))
