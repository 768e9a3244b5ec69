"""From a checked request to an answer: what the command line calls too, over one verified bundle."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.bundle import Bundle, load_bundle
from forecast.errors import UsageError
from forecast.history import OPEN, WON, History
from forecast.outlook import period_inputs
from forecast.periods import as_of_us, to_timestamp
from forecast.rollup import roll_up
from forecast.scoring import score_arrays, score_deals
from forecast.service.bulk import CSV, NDJSON, Bulk, Options
from forecast.service.catalogue import Catalogue
from forecast.service.encoding import columns_of, moment, rows
from forecast.service.fast_json import json_rows
from forecast.service.intake import MAX_BODY
from forecast.service.lead_requests import lead_answer, parse_lead_request
from forecast.service.openapi import (
    Examples,
    example_bulk_request,
    example_forecast_request,
    example_lead_request,
    example_score_request,
    specification,
)
from forecast.service.reading import read_forecast_request, read_score_request
from forecast.service.refusals import Refusal
from forecast.service.requests import (
    MAX_DEALS,
    ForecastRequest,
    ScoreRequest,
)
from forecast.service.strict_json import dumps
from forecast.service.values import moment_us

__all__ = ["Engine"]

_TEXT_COLUMNS: Final = {
    "users": ("user_id", "name", "team", "region", "manager_id", "email"),
    "quotas": ("level", "entity", "period", "currency"),
}


@dataclass(frozen=True)
class Engine:
    """One bundle, ready to answer. It keeps nothing of a request, so several threads may ask at once."""

    bundle: Bundle
    known: Catalogue

    @classmethod
    def load(cls, path: Path) -> Engine:
        """Verify and load a bundle; BundleError if it is missing or damaged."""
        return cls.of(load_bundle(path))

    @classmethod
    def of(cls, bundle: Bundle) -> Engine:
        """An engine over a loaded bundle."""
        models = bundle.models
        return cls(bundle, Catalogue.of(models.stages.to_json(), models.money.currencies, bundle.dialect))

    @property
    def short_id(self) -> str:
        """First digits of the bundle's id."""
        return self.bundle.short_id

    @property
    def bundle_id(self) -> str:
        """The bundle's id, as answers name it."""
        return self.bundle.id

    @property
    def trained_until_us(self) -> int:
        """The models saw only what was recorded before this moment."""
        return as_of_us(self.bundle.trained_until)

    # -- answers to requests ------------------------------------------------------------------------------

    def score(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/score` and the number of deals in it."""
        request = read_score_request(body, self.known, now_us)
        return self.score_answer(request), len(request.sent)

    def score_leads(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/leads/score` and the number of leads in it."""
        request = parse_lead_request(body, self.known, now_us)
        answer = lead_answer(self.bundle, request, self._ref())
        return dumps(answer), len(request.leads) + len(request.skipped)

    def bulk(self, query: bytes, media: str, answer: str, request_id: str, now_us: int) -> Bulk:
        """A stream of `POST /v1/score/bulk`; Refusal 400 for a query that is wrong."""
        return Bulk(
            self.bundle,
            self.known,
            Options.of(query, now_us),
            media=media,
            answer=answer,
            request_id=request_id,
            model=self._ref(),
        )

    def forecast(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        """Answer of `POST /v1/forecast` and the number of deals in it."""
        request = read_forecast_request(body, self.known, now_us)
        return dumps(self.forecast_answer(request)), len(request.sent)

    def model(self) -> bytes:
        """Answer of `GET /v1/model`."""
        models, manifest = self.bundle.models, self.bundle.manifest
        return dumps(
            {
                "model": self._ref(),
                "rung": manifest["rung"],
                "stages": models.stages.to_json(),
                "reporting_currency": models.money.reporting,
                "currencies": sorted(models.money.currencies),
                "metrics": manifest["metrics"],
                "counts": manifest["counts"],
                "data_fingerprint": manifest["data_fingerprint"],
                "limits": {"deals": MAX_DEALS, "body_bytes": MAX_BODY},
            }
        )

    def openapi(self) -> bytes:
        """Answer of `GET /docs.json`: its examples are real, asked of this bundle."""
        pipeline, stages = self.example_stages()
        score, forecast = example_score_request(stages, pipeline), example_forecast_request(stages, pipeline)
        lines, table = example_bulk_request(stages, pipeline)
        now_us = moment_us(score["as_of"])

        def answer(compute: Callable[[bytes, int], tuple[bytes, int]], request: Any) -> Any:
            return json.loads(compute(dumps(request), now_us)[0])

        def stream(body: str, media: str) -> str:
            bulk = self.bulk(b"reasons=1", media, media, "5f0c6d2e9b7a4c1d8e3f2a1b0c9d8e7f", now_us)
            bulk.feed(body.encode(), last=True)
            return (bulk.compute(bulk.take()) + bulk.finish()).decode()

        leads = example_lead_request()
        return dumps(
            specification(
                Examples(
                    score=score,
                    scored=answer(self.score, score),
                    leads=leads,
                    leads_scored=None if self.bundle.leads is None else answer(self.score_leads, leads),
                    forecast=forecast,
                    forecasted=answer(self.forecast, forecast),
                    bulk=lines,
                    bulk_scored=stream(lines, NDJSON),
                    table=table,
                    table_scored=stream(table, CSV),
                    model=json.loads(self.model()),
                )
            )
        )

    def warm_up(self) -> None:
        """Answer a few requests: the first calls of pandas cost a hundred times the later ones."""
        pipeline, stages = self.example_stages()
        example = example_forecast_request(stages, pipeline)
        now_us = moment_us(example["as_of"])
        for _ in range(3):
            self.score(dumps(example_score_request(stages, pipeline)), now_us)
        self.forecast(dumps(example), now_us)

    # -- pure parts ---------------------------------------------------------------------------------------

    def score_answer(self, request: ScoreRequest) -> bytes:
        """Scores in the order of the request; closed deals are named, not scored."""
        history = self._history(request)
        deal = history.open_deals(request.as_of_us)
        as_of = to_timestamp(request.as_of_us)
        with _period_refused():
            scores = score_arrays(
                history,
                self.bundle,
                deal,
                as_of,
                period=request.period,
                reasons=request.reasons,
                locale=request.locale,
            )
        told = json_rows(scores, moments=("as_of",), json_texts=("reasons",))
        by_id = dict(zip(scores["deal_id"].tolist(), told, strict=True))
        listed = b",".join([by_id[name] for name in request.sent.ids if name in by_id])
        at = moment(request.as_of_us).encode()
        skipped = dumps(_closed(history, request)) if len(told) < len(history) else b"[]"
        return b'{"model":%s,"as_of":"%s","scores":[%s],"skipped":%s}' % (self._told_ref, at, listed, skipped)

    def forecast_answer(self, request: ForecastRequest) -> dict[str, Any]:
        """Bookings of the period by company, region, team and user.

        A deal won in the period counts as booked whether it comes in `booked` or, with its events, in
        `deals`; one that comes in both counts once, as `booked` has it.
        """
        history = self._history(request)
        deal = history.open_deals(request.as_of_us)
        as_of = to_timestamp(request.as_of_us)
        with _period_refused():
            scores = score_deals(history, self.bundle, deal, as_of, period=request.period, reasons=0)
        inputs = period_inputs(history, self.bundle, as_of, request.period, scores)
        stated = self._booked(request)
        found = inputs.booked[~inputs.booked["deal_id"].isin(stated["deal_id"])]
        inputs = replace(inputs, booked=pd.concat([stated, found], ignore_index=True))
        users = _frame("users", request.users).assign(
            active=[row["active"] is not False for row in request.users]
        )
        quotas = _frame("quotas", request.quotas).assign(
            amount=np.array([row["amount"] for row in request.quotas], dtype=np.float64)
        )
        bookings = roll_up(inputs, users, quotas, self.bundle.models.money)
        return {
            "model": self._ref(),
            "as_of": moment(request.as_of_us),
            "period": request.period.label,
            "bookings": rows(columns_of(bookings.table), moments=("as_of",)),
            "unconverted": bookings.unconverted,
            "skipped": _closed(history, request),
        }

    def _history(self, request: ScoreRequest | ForecastRequest) -> History:
        models = self.bundle.models
        return request.sent.history(models.stages, models.money)

    def _booked(self, request: ForecastRequest) -> pd.DataFrame:
        """The booked deals of the request in the reporting currency, at the rate of the day of winning."""
        money, booked = self.bundle.models.money, request.booked
        at_us = np.array([row["closed_at"] or request.as_of_us for row in booked], dtype=np.int64)
        amount = np.array([row["amount"] for row in booked], dtype=np.float64)
        rate = money.rate(money.codes([row["currency"] for row in booked]), at_us)
        return pd.DataFrame(
            {
                "deal_id": pd.array([row["deal_id"] for row in booked], dtype="str"),
                "owner_id": pd.array([row["owner_id"] for row in booked], dtype="str"),
                "amount": amount * rate,
            }
        )

    @cached_property
    def _told_ref(self) -> bytes:
        return dumps(self._ref())

    def _ref(self) -> dict[str, str]:
        return {"bundle": self.bundle.id, "trained_until": moment(self.trained_until_us)}

    def example_stages(self) -> tuple[str, tuple[str, str]]:
        """A pipeline and its first two open stages (the same one twice where it has only one)."""
        stages = self.bundle.models.stages
        first = next(code for code in range(len(stages)) if stages.kind[code] == OPEN)
        pipeline = stages.pipeline[first]
        names = [
            stages.stage[code]
            for code in range(len(stages))
            if stages.pipeline[code] == pipeline and stages.kind[code] == OPEN
        ]
        return pipeline, (names[0], names[min(1, len(names) - 1)])


def _closed(history: History, request: ScoreRequest | ForecastRequest) -> list[dict[str, str]]:
    """Deals of the request that are won or lost already, in order of their id."""
    every = np.arange(len(history))
    kind = history.stages.kind[history.stage(every, np.full(len(every), request.as_of_us))]
    return [
        {"deal_id": str(history.deal_ids[at]), "reason": "won" if kind[at] == WON else "lost"}
        for at in np.flatnonzero(kind != OPEN)
    ]


def _frame(table: str, found: list[dict[str, Any]]) -> pd.DataFrame:
    """The text columns of a small list, as the tables of a data folder have them."""
    columns = _TEXT_COLUMNS[table]
    return pd.DataFrame({name: pd.array([row[name] for row in found], dtype="str") for name in columns})


@contextmanager
def _period_refused() -> Iterator[None]:
    """Turn the two things that can be wrong with a well-formed period, seen from as_of, into a Refusal."""
    reasons = {
        "past_period": "ended before as_of; ask for a later one",
        "beyond_horizon_cap": "lies more than two years ahead; ask for a nearer one",
    }
    try:
        yield
    except UsageError as error:
        if error.code not in reasons:
            raise
        raise Refusal(400, error.code, reasons[error.code], field="period") from None
