"""The service as BentoML runs it: `forecast serve`, a bento, `bentoml serve forecast.service.app:Forecast`.

BentoML brings the supervisor, the workers and the packaging. Its own routes, access log, request metrics and
time-out are not used: they log and label raw paths, answer errors in other shapes, and leave /metrics and
/schema.json open. `Front` stands before all of them, so that every HTTP request meets one door, and none pays
for a task and a timer of its own that nobody waits for.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import bentoml
from bentoml import Service

from forecast.doctor import SERVER_FOLDER_PREFIX, is_alive, server_of
from forecast.errors import BusyError, ForecastError, UnavailableError
from forecast.service import logs
from forecast.service.admission import Admission
from forecast.service.api import Api
from forecast.service.keys import KEYS_FILE, SINGLE_KEY, Finder, Keys
from forecast.service.rate import Rate
from forecast.service.routes import place_of
from forecast.service.tracing import is_wanted, traced, tracer, wanted_tracer

if TYPE_CHECKING:
    from forecast.ledger import Ledger
    from forecast.service.engine import Engine
    from forecast.service.metrics import Metrics
    from forecast.service.readiness import Readiness

__all__ = ["BUNDLE", "Forecast", "Front", "bundle_path"]

BUNDLE: Final = "FORECAST_BUNDLE"
WORKERS: Final = "FORECAST_WORKERS"
# Set by the supervisor for its workers: the folder of `admission`, and of what keys had computed.
SERVER_FOLDER: Final = "FORECAST_SERVER_FOLDER"
_RATES: Final = "rates"
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
    """The ASGI application of a worker: answers every HTTP request, leaves the life cycle to BentoML's."""

    def __init__(self, app: Callable[..., Awaitable[None]], api: Api) -> None:
        self._app = app
        spans = wanted_tracer()
        self._api = api if spans is None else traced(api, spans, _route_of)

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


class _Direct(Service[Any]):  # type: ignore[misc]  # bentoml publishes no types
    """A service whose requests do not pass through the framework's own application."""

    def to_asgi(self, is_main: bool = True) -> Front:
        """What a worker serves."""
        return Front(super().to_asgi(is_main), _api)


@bentoml.service(
    name="forecast-service",
    service_class=_Direct,
    workers=int(os.environ.get(WORKERS) or 1),
    http={"host": "127.0.0.1", "port": 3000},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
    # Small arrays and many processes: threads inside numpy only fight each other.
    envs=[
        # Every thread would keep what its largest book once needed: 60 MB a worker.
        {"name": "MALLOC_ARENA_MAX", "value": "1"},
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
        from forecast.service.readiness import LedgerWatch, Readiness, Thresholds
        from forecast.service.reload import Follower

        try:
            logs.configure(logs.form_of(os.environ))
            thresholds = Thresholds.from_environment(os.environ)
            books = _Books.of_environment()
            keys = _keys(books)
            admission = _admission()
            rate = Rate(Path(os.environ[SERVER_FOLDER]) / _RATES)
            # What served last, not what is offered now: a worker that starts again must come up.
            engine = Engine.load(admission.last_good())
        except ForecastError as error:
            _stop(error)
        engine.warm_up()
        metrics = Metrics()
        metrics.bundle(engine.short_id, engine.trained_until_us)
        follower = Follower(bundle_path(), admission, engine, _api.swap, metrics)
        readiness = Readiness(
            thresholds,
            lambda: follower.engine.trained_until_us,
            lambda: follower.refused,
            None if books is None else LedgerWatch(books.newest_us, metrics.published),
        )

        def open_door() -> None:
            _open(follower.engine, keys, metrics, readiness, rate, books)

        open_door()
        if books is not None and readiness.ledger is not None:
            books.when_opened = open_door
            readiness.ledger.start()
        _follow_figures(_api, metrics, readiness)
        # What is loaded now stays for good: the collector need not look at it again and again.
        gc.collect()
        gc.freeze()
        follower.start()
        _end_with_supervisor()
        # A bulk request computes in a thread; hand the interpreter back to small ones within a millisecond.
        sys.setswitchinterval(0.001)

    @bentoml.on_deployment  # type: ignore[untyped-decorator]  # bentoml publishes no types
    @staticmethod
    def check() -> None:
        """Once, before any worker starts: no keys or no sound bundle, no service."""
        from forecast.service.readiness import Thresholds

        os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")
        try:
            logs.form_of(os.environ)
            Thresholds.from_environment(os.environ)
            if is_wanted(os.environ):
                tracer(os.environ)
            books = _Books.of_environment()
            _keys(books)
            if books is not None and books.ledger is not None:
                books.ledger.close()  # each worker has connections of its own
            os.environ.pop(SERVER_FOLDER, None)
            _admission()
        except ForecastError as error:
            _stop(error)


def _admission() -> Admission:
    """The folder that supervisor and workers share, made and filled by whoever comes first.

    Raises BundleError if there is no sound bundle to begin with.
    """
    folder = os.environ.get(SERVER_FOLDER)
    if folder is not None:
        return Admission(Path(folder))
    made = tempfile.mkdtemp(prefix=f"{SERVER_FOLDER_PREFIX}{os.getpid()}-")
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    admission = Admission(Path(made))
    admission.begin(bundle_path())
    os.environ[SERVER_FOLDER] = made
    return admission


class _Books:
    """The ledger of this process, which may be away when the service starts.

    when_opened : called once it is there after all
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.ledger: Ledger | None = None
        self.away: ForecastError | None = None
        self.when_opened: Callable[[], None] = lambda: None

    @classmethod
    def of_environment(cls) -> _Books | None:
        """That of the environment, opened if it answers; None if none is named.

        Raises ForecastError for one that waiting does not mend: a wrong URL, a newer schema, damage.
        """
        from forecast.ledger import ledger_url

        url = ledger_url(None, os.environ, None)
        if url is None:
            return None
        books = cls(url)
        try:
            books.open()
        except (UnavailableError, BusyError) as error:
            books.away = error
        return books

    def open(self) -> Ledger:
        """The ledger, opened now if it was not; ForecastError if it does not answer."""
        from forecast.ledger import Ledger

        if self.ledger is None:
            self.ledger = Ledger.open(self._url)
            self.away = None
        return self.ledger

    def newest_us(self) -> int | None:
        """When the newest snapshot was published; None without any. ForecastError if it does not answer."""
        missed = self.ledger is None
        ledger = self.open()
        if missed:
            self.when_opened()
        return max((row.published_at_us for row in ledger.snapshots()), default=None)


def _keys(books: _Books | None) -> Keys | None:
    """Keys of the environment; None where there are none and the ledger has some.

    Raises UsageError if neither has any, and what the ledger said if only it could have.
    """
    named = bool(os.environ.get(KEYS_FILE) or os.environ.get(SINGLE_KEY))
    if not named and books is not None:
        if books.away is not None:
            raise books.away
        if books.ledger is not None and books.ledger.stored_keys():
            return None
    return Keys.from_environment(os.environ)


def _open(
    engine: Engine,
    keys: Keys | None,
    metrics: Metrics,
    readiness: Readiness,
    rate: Rate,
    books: _Books | None,
) -> None:
    """Begin to answer; again when the ledger is there after all."""
    finders: list[Finder] = []
    if books is None or books.ledger is None:
        if keys is not None:
            finders.append(keys)
        awaited = books is not None
        _api.open(engine, *finders, metrics=metrics, awaited=awaited, readiness=readiness, rate=rate)
        return
    from forecast.ledger import LedgerKeys
    from forecast.service.reads import Reads

    ledger = books.ledger
    finders.append(LedgerKeys(ledger))
    if keys is not None:
        finders.append(keys)
    stored = Reads(ledger)
    _api.open(engine, *finders, metrics=metrics, stored=stored, book=ledger, readiness=readiness, rate=rate)


def _stop(error: ForecastError) -> NoReturn:
    """End the process with one line and the exit code of the error."""
    sys.stderr.write(f"error: {error.message}\n")
    sys.stderr.flush()
    raise SystemExit(error.exit_code) from None


def _route_of(path: str) -> str:
    place = place_of(path, None)
    return "other" if place is None else place.path


def _end_with_supervisor() -> None:
    """End this worker, in good order, once its supervisor is gone.

    Killed with -9 it can tell nobody; workers that went on alone would hold the port, follow no signal and
    never be started again.
    """
    supervisor = server_of(Path(os.environ[SERVER_FOLDER]))
    if supervisor == os.getpid() or os.name != "posix":
        return  # one process for all, as in development

    def watch() -> None:
        is_parent = os.getppid() == supervisor
        while os.getppid() == supervisor if is_parent else is_alive(supervisor):
            time.sleep(1.0)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="supervisor", daemon=True).start()


def _follow_figures(api: Api, metrics: Metrics, readiness: Readiness) -> None:
    """Keep the figures that are sampled, not counted: once a second, in a thread that ends with the process."""

    def sample() -> None:
        while True:
            metrics.waiting(api.waiting)
            metrics.degraded([reason["code"] for reason in readiness.reasons()])
            time.sleep(1.0)

    threading.Thread(target=sample, name="figures", daemon=True).start()
