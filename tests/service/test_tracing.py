"""Spans: none unless the environment asks for them, and then a route and a status, never what was asked."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import MutableMapping
from typing import Any

import pytest

from forecast.errors import UsageError
from forecast.service.tracing import is_wanted, traced, tracer, wanted_tracer


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_SERVICE_NAME": "crm"}, False),
        ({"OTEL_TRACES_EXPORTER": "none"}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_the_usual_variables_ask_for_it(environment: dict[str, str], wanted: bool) -> None:
    assert is_wanted(environment) is wanted


def test_off_nothing_of_it_is_loaded() -> None:
    code = "import sys, forecast.service.tracing as t; assert t.wanted_tracer() is None; "
    code += "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    environment = {name: text for name, text in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)


def test_an_exporter_that_is_not_installed_is_said_before_the_service_starts() -> None:
    with pytest.raises(UsageError, match="is not installed"):
        tracer({"OTEL_TRACES_EXPORTER": "carrier-pigeon"})


def test_a_span_says_route_and_status_and_belongs_to_the_callers_trace() -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    caller = "4bf92f3577b34da6a3ce929d0e0e4736"
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/Ada-Canary",
        "query_string": b"mail=Ada-Canary",
        "headers": [(b"traceparent", f"00-{caller}-00f067aa0ba902b7-01".encode()), (b"x", b"Ada-Canary")],
    }
    asyncio.run(traced(app, provider.get_tracer("test"), lambda _: "other")(scope, receive, send))
    (span,) = kept.get_finished_spans()
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    assert span.name == "POST other"
    assert dict(span.attributes or {}) == {
        "http.request.method": "POST",
        "http.route": "other",
        "http.response.status_code": 503,
    }
    assert format(span.context.trace_id, "032x") == caller
    assert "Canary" not in span.to_json()


def test_this_process_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    assert wanted_tracer() is None
