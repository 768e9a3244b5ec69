"""Spans for OpenTelemetry, if its own environment variables ask for them; otherwise nothing of it is loaded.

A span says method, route and status, and belongs to the caller's trace where one is sent (`traceparent`). It
never says what was asked: no path as it was typed, no query, no header, no address.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Final

from forecast.errors import UsageError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["is_wanted", "traced", "tracer", "wanted_tracer"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_DEFAULT_NAME: Final = "forecast"


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether an exporter of spans, or where to send them, is named."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    named = environment.get(_EXPORTER)
    if named:
        return named != "none"
    return any(environment.get(name) for name in _ENDPOINTS)


def tracer(environment: Mapping[str, str]) -> Tracer:
    """The tracer the environment describes; UsageError for an exporter that is not installed."""
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # The SDK reads sampler, limits and resource attributes from the environment by itself.
    name = environment.get("OTEL_SERVICE_NAME") or _DEFAULT_NAME
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    for exporter in (environment.get(_EXPORTER) or "otlp").split(","):
        found = list(entry_points(group="opentelemetry_traces_exporter", name=exporter.strip()))
        if not found:
            raise UsageError(
                f"{_EXPORTER}={exporter.strip()[:40]!r} is not installed; add its package (otlp: "
                "opentelemetry-exporter-otlp-proto-http), or set it to none",
                code="no_exporter",
            )
        provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    return provider.get_tracer("forecast.service")


def traced(app: Application, spans: Tracer, route_of: Callable[[str], str]) -> Application:
    """The application with a span around every request.

    route_of : the route of a path, one of a few names
    """
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind, StatusCode

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        sent = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        route = route_of(scope["path"])
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD") else "_OTHER"
        attributes = {"http.request.method": method, "http.route": route}
        with spans.start_as_current_span(
            f"{method} {route}",
            context=extract({name: sent[name] for name in ("traceparent", "tracestate") if name in sent}),
            kind=SpanKind.SERVER,
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as span:

            async def watch(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    span.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        span.set_status(StatusCode.ERROR)
                await send(message)

            await app(scope, receive, watch)

    return answer


def wanted_tracer() -> Tracer | None:
    """The tracer of this process's environment; None, and nothing loaded, if it asks for none."""
    return tracer(os.environ) if is_wanted(os.environ) else None
