"""Ask the Forecast service from Python, with nothing but the standard library.

    from forecast.client import Client

    with Client("http://127.0.0.1:3000", key) as client:
        answer = client.score([deal])
        for row in client.bulk(deals, reasons=0):
            ...

What the service refuses is raised as `RefusedError` with its code, field and row; see docs/http.md.
"""

from forecast.client.answers import (
    BulkRow,
    DealAnswer,
    ForecastAnswer,
    LeadAnswer,
    PublishedForecast,
    Score,
    ScoreAnswer,
)
from forecast.client.client import Client
from forecast.client.errors import BrokenStreamError, RefusedError, UnreachableError

__all__ = [
    "BrokenStreamError",
    "BulkRow",
    "Client",
    "DealAnswer",
    "ForecastAnswer",
    "LeadAnswer",
    "PublishedForecast",
    "RefusedError",
    "Score",
    "ScoreAnswer",
    "UnreachableError",
]
