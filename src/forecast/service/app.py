"""The service as BentoML runs it: `forecast serve`, a bento, `bentoml serve forecast.service.app:Forecast`.

BentoML brings the supervisor, the workers and the packaging. Its own routes, access log, request metrics and
time-out are not used: they log and label raw paths, answer errors in other shapes, and leave /metrics and
/schema.json open. `Front` puts our application before them, so that every HTTP request meets one door.
"""

from __future__ import annotations

import atexit
import gc
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final, NoReturn

import bentoml

from forecast.errors import ForecastError
from forecast.service.admission import Admission
from forecast.service.api import Api
from forecast.service.keys import Keys

__all__ = ["BUNDLE", "Forecast", "Front", "bundle_path"]

BUNDLE: Final = "FORECAST_BUNDLE"
WORKERS: Final = "FORECAST_WORKERS"
# Set by the supervisor for its workers: the folder of `admission`.
SERVER_FOLDER: Final = "FORECAST_SERVER_FOLDER"
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
        """Once per worker: load the verified bundle and warm up, then open the door and follow the pointer."""
        from forecast.service.engine import Engine
        from forecast.service.metrics import Metrics
        from forecast.service.reload import Follower

        _log_to_stdout()
        try:
            keys = Keys.from_environment(os.environ)
            admission = _admission()
            # What served last, not what is offered now: a worker that starts again must come up.
            engine = Engine.load(admission.last_good())
        except ForecastError as error:
            _stop(error)
        engine.warm_up()
        metrics = Metrics()
        metrics.bundle(engine.short_id, engine.trained_until_us)
        follower = Follower(bundle_path(), admission, engine, _api.swap, metrics)
        _api.open(engine, keys, metrics=metrics)
        # What is loaded now stays for good: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        follower.start()
        # A bulk request computes in a thread; hand the interpreter back to small ones within a millisecond.
        sys.setswitchinterval(0.001)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # bentoml publishes no types
    @staticmethod
    def check() -> None:
        """Once, before any worker starts: no keys or no sound bundle, no service."""
        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        try:
            Keys.from_environment(os.environ)
            os.environ.pop(SERVER_FOLDER, None)
            _admission()
        except ForecastError as error:
            _stop(error)


Forecast.add_asgi_middleware(Front, api=_api)  # type: ignore[attr-defined]  # the decorator made it a service


def _admission() -> Admission:
    """The folder that supervisor and workers share, made and filled by whoever comes first.

    Raises BundleError if there is no sound bundle to begin with.
    """
    folder = os.environ.get(SERVER_FOLDER)
    if folder is not None:
        return Admission(Path(folder))
    made = tempfile.mkdtemp(prefix="forecast-serve-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    admission = Admission(Path(made))
    admission.begin(bundle_path())
    os.environ[SERVER_FOLDER] = made
    return admission


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
