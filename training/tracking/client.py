"""The client: where MLflow is, patience with it, and its failures in one line each."""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from typing import Any, Final

from forecast.errors import ForecastError, UnavailableError
from training.settings import TrackingSettings

__all__ = ["DEFAULT_URI", "connect", "failures_explained", "quoted", "tracking_uri", "without_password"]

DEFAULT_URI: Final = "sqlite:///mlflow.db"


def tracking_uri(settings: TrackingSettings) -> str:
    """Where runs go: the settings, else MLFLOW_TRACKING_URI, else a file in the current folder."""
    return settings.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI


def connect(uri: str, settings: TrackingSettings) -> Any:
    # By default MLflow reports home, and waits four minutes for a server that is down. Both are read from the
    # environment, the first one at import. What the user has set himself stays.
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(settings.retries))
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(settings.timeout_seconds))
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    # It would also copy a project's uv files into every model, print addresses among results, and draw bars.
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    from mlflow import MlflowClient

    # Its import sets up loggers that announce each table of a new database.
    for noisy in ("alembic", "mlflow", "urllib3.connectionpool"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextlib.contextmanager
def failures_explained(uri: str, failed: str = "did not record the run") -> Iterator[None]:
    """Turn whatever goes wrong inside into UnavailableError: MLflow at `uri` `failed`, and why.

    An error that is explained already passes.
    """
    try:
        yield
    except ForecastError:
        raise
    except ImportError as error:
        raise UnavailableError(
            "MLflow is not installed; run: pip install 'forecast[train]', or train with --no-track",
            code="missing_extra",
        ) from error
    except Exception as error:
        # Whatever goes wrong in or behind the client, the training itself stands.
        message = without_password(f"MLflow at {uri} {failed}: {_reason(error)}")
        # The original holds the password, if there is one, so it is not chained.
        raise UnavailableError(message, code="tracking") from None


def _reason(error: BaseException) -> str:
    """The operating system's word where there is one ("Connection refused"), else the error's first line."""
    root = error
    while (below := root.__cause__ or root.__context__) is not None:
        root = below
    if isinstance(root, OSError) and (root.strerror or isinstance(root, TimeoutError)):
        return root.strerror or "no answer in time"
    return str(error).strip().split("\n", 1)[0][:300] or type(error).__name__


def quoted(text: object) -> str:
    """Text for a filter, which has no way to write a quote inside quotes."""
    return str(text).replace("'", "_")


def without_password(text: str) -> str:
    """Text in which no address names a user or a password."""
    return re.sub(r"//[^/@\s]+@", "//", text)
