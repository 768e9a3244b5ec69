"""The service as BentoML runs it: `forecast serve`, a bento, `bentoml serve forecast.service.app:Forecast`.

BentoML brings the supervisor, the workers and the packaging. Its own routes, access log, request metrics and
time-out are not used: they log and label raw paths, answer errors in other shapes, and leave /metrics and
/schema.json open. `Front` puts our application before them, so that every HTTP request meets one door.
"""

from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import bentoml

from forecast.bundle import load_bundle
from forecast.errors import ForecastError
from forecast.service.api import Api
from forecast.service.keys import KEYS_FILE, SINGLE_KEY, Finder, Keys

if TYPE_CHECKING:
    from forecast.ledger import Ledger

__all__ = ["BUNDLE", "Forecast", "Front", "bundle_path"]

BUNDLE: Final = "FORECAST_BUNDLE"
WORKERS: Final = "FORECAST_WORKERS"
_DEFAULT_BUNDLE: Final = Path("models/current")

# One application per process; a worker opens it once its bundle is loaded.
_api = Api()


def bundle_path() -> Path:
    """The bundle to serve: FORECAST_BUNDLE, else the one packed beside this code in a bento, else the
    working directory's models/current.
    """
    named = os.environ.get(BUNDLE)
    if named:
        return Path(named).absolute()
    packed = Path(__file__).parents[2] / _DEFAULT_BUNDLE
    return packed if packed.exists() else _DEFAULT_BUNDLE.absolute()


class Front:
    """ASGI middleware that answers every HTTP request and leaves the server's life cycle to BentoML."""

    def __init__(self, app: Callable[..., Awaitable[None]], api: Api) -> None:
        self._app = app
        self._api = api

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        if scope["type"] == "http":
            await self._api(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self._app(scope, receive, send)


@bentoml.service(
    name="forecast-service",
    workers=int(os.environ.get(WORKERS) or 1),
    http={"host": "127.0.0.1", "port": 3000},
    # The framework's own limit cannot be switched off; ours end a request before it (see Limits).
    traffic={"timeout": 60},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    tracing={"excluded_urls": ".*"},
    # Small arrays and many processes: threads inside numpy only fight each other.
    envs=[
        {"name": "OMP_NUM_THREADS", "value": "1"},
        {"name": "OPENBLAS_NUM_THREADS", "value": "1"},
        {"name": "MKL_NUM_THREADS", "value": "1"},
    ],
)
class Forecast:
    """Scores open deals and adds them up to a bookings forecast."""

    def __init__(self) -> None:
        """Once per worker: load the verified bundle and warm up, then open the door."""
        from forecast.service.engine import Engine
        from forecast.service.metrics import Metrics

        _log_to_stdout()
        try:
            ledger = _ledger()
            keys = _keys(ledger)
            engine = Engine.load(bundle_path())
        except ForecastError as error:
            _stop(error)
        engine.warm_up()
        metrics = Metrics()
        metrics.bundle(engine.short_id, engine.trained_until_us)
        if ledger is None:
            _api.open(engine, *keys, metrics=metrics)
        else:
            from forecast.service.reads import Reads

            _api.open(engine, *keys, metrics=metrics, stored=Reads(ledger), book=ledger)
        # What is loaded now stays for good: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        # A bulk request computes in a thread; hand the interpreter back to small ones within a millisecond.
        sys.setswitchinterval(0.001)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # bentoml publishes no types
    @staticmethod
    def check() -> None:
        """Once, before any worker starts: no keys or no sound bundle, no service."""
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        try:
            ledger = _ledger()
            if ledger is None or not ledger.keys():
                Keys.from_environment(os.environ)
            load_bundle(bundle_path())
        except ForecastError as error:
            _stop(error)


Forecast.add_asgi_middleware(Front, api=_api)  # type: ignore[attr-defined]  # the decorator made it a service


def _ledger() -> Ledger | None:
    """The ledger of the environment, opened; None if none is named."""
    from forecast.ledger import Ledger, ledger_url

    url = ledger_url(None, os.environ, None)
    return None if url is None else Ledger.open(url)


def _keys(ledger: Ledger | None) -> list[Finder]:
    """Keys of the ledger and of the environment; only one of them must have some."""
    if ledger is None:
        return [Keys.from_environment(os.environ)]
    from forecast.ledger import LedgerKeys

    found: list[Finder] = [LedgerKeys(ledger.keys)]
    if not ledger.keys() or os.environ.get(KEYS_FILE) or os.environ.get(SINGLE_KEY):
        found.append(Keys.from_environment(os.environ))
    return found


def _stop(error: ForecastError) -> NoReturn:
    """End the process with one line and the exit code of the error."""
    sys.stderr.write(f"error: {error.message}\n")
    sys.stderr.flush()
    raise SystemExit(error.exit_code) from None


def _log_to_stdout() -> None:
    log = logging.getLogger("forecast.service")
    if not log.handlers:
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(
            logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S%z")
        )
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
