"""The document against the service: requests made up from `GET /docs.json` by schemathesis, with and without a
key.

Every check of schemathesis holds for every operation. One needs a list: what JSON schema cannot say (that a
stage is one of the bundle, an id no second time in the list) makes the service refuse requests that fit the
schema, with one of BEYOND_SCHEMA and nothing else. The other way round there is no list: what breaks the schema
is refused.

    FORECAST_CONTRACT_EXAMPLES=1000 .venv/bin/python -m pytest -s tests/service/test_contract.py
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import Status, events, from_schema

from forecast.bundle import load_bundle
from forecast.ledger import Ledger
from forecast.periods import Period
from forecast.publishing import make_snapshot, plan_snapshot
from forecast.service.api import Api
from forecast.service.engine import Engine
from forecast.service.hosts import Hosts
from forecast.service.keys import Keys
from forecast.service.reads import Reads
from forecast.tables import open_tables

pytestmark = pytest.mark.slow

KEY: Final = "a-key-of-this-test"
EXAMPLES: Final = int(os.environ.get("FORECAST_CONTRACT_EXAMPLES", "5"))

# Refusals of requests that fit the schema: each is a rule between values, or of the bundle.
BEYOND_SCHEMA: Final = frozenset(
    {
        "after_as_of",
        "bad_character",
        "bad_date",
        "bad_header",
        "bad_moment",
        "bad_name",
        "bad_quotes",
        "bad_period",
        "bad_query",
        "beyond_horizon_cap",
        "body_too_large",
        "blank",
        "duplicate",
        "duplicate_deal",
        "duplicate_lead",
        "missing",
        "no_stage_event",
        "not_a_number",
        "not_text",
        "out_of_range",
        "outside_period",
        "past_period",
        "too_long",
        "too_many_attributes",
        "unknown_currency",
        "unknown_entity",
        "unknown_pipeline",
        "unknown_stage",
        "unknown_value",
    }
)


@pytest.fixture(scope="module")
def application(
    tmp_path_factory: pytest.TempPathFactory, sample_folder: Path, lead_bundle: Path
) -> Iterator[Api]:
    bundle = load_bundle(lead_bundle)
    with Ledger.open(f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'l.db'}") as ledger:
        reading = open_tables(sample_folder)
        plan = plan_snapshot(reading, bundle, reading.tables.default_as_of, (Period.parse("2026Q1"),))
        ledger.publish(make_snapshot(plan), now_us=1_767_225_600_000_000)
        api = Api(hosts=Hosts(frozenset({"testserver"})))
        api.open(Engine.of(bundle), Keys.of([f"{KEY} admin"], "test"), stored=Reads(ledger), book=ledger)
        yield api


@schemathesis.serializer("application/x-ndjson", "text/csv")
def as_text(_: Any, value: Any) -> bytes:
    """A stream is a text; what a mutation made of it is sent as it reads."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "surrogatepass")


def run(application: Api, key: str, examples: int) -> tuple[Counter[str], list[str]]:
    """How many requests each operation got, and what a check had to say against an answer."""
    config = SchemathesisConfig.from_dict(
        {"generation": {"max-examples": examples, "database": "none"}, "seed": 7, "workers": 1}
    )
    schema = schemathesis.openapi.from_asgi(
        "/docs.json", application, headers={"Authorization": f"Bearer {KEY}"}, config=config
    )
    schema.config.update(headers={"Authorization": f"Bearer {key}"})
    asked: Counter[str] = Counter()
    against: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            against.append(repr(event))
        if not isinstance(event, events.ScenarioFinished):
            continue
        recorder = event.recorder
        for case_id, node in recorder.cases.items():
            asked[node.value.operation.label] += 1
            for check in recorder.checks.get(case_id, []):
                if check.status is not Status.FAILURE:
                    continue
                response = recorder.interactions[case_id].response
                body = b"" if response is None else response.content
                # What HEAD leaves out is looked at where GET says it.
                if check.name == "positive_data_acceptance" and recorder.label.startswith("HEAD"):
                    continue
                if not beyond_schema(check.name, body):
                    said = f"{recorder.label}: {check.name}: {check.failure_info.failure.message}"
                    against.append(f"{said} | {check.failure_info.code_sample[:1500]} | {body[:300]!r}")
    return asked, against


def beyond_schema(check: str, body: bytes) -> bool:
    """Whether a request that fits the schema was refused by a rule no schema can say."""
    if check != "positive_data_acceptance":
        return False
    try:
        return json.loads(body)["error"]["code"] in BEYOND_SCHEMA
    except ValueError:
        return False


def test_the_service_keeps_to_its_document(application: Api) -> None:
    asked, against = run(application, KEY, EXAMPLES)
    assert not against, "\n".join(against)
    assert set(asked) >= {"POST /v1/score", "POST /v1/score/bulk", "GET /v1/forecast", "HEAD /livez"}
    print(f"{asked.total()} requests to {len(asked)} operations, nothing against any answer")  # noqa: T201


def test_without_a_key_the_service_keeps_to_its_document(application: Api) -> None:
    asked, against = run(application, "nobody", 3)
    assert [said for said in against if "positive_data_acceptance" not in said] == []
    assert asked.total() > 100
