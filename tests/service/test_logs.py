"""Lines of the log: one for each request, one line each whatever is in them, with routes and no values."""

from __future__ import annotations

import io
import json
import logging

import pytest

from forecast.errors import UsageError
from forecast.service.logs import LOG, Form, configure, form_of, request_line


def written(form: Form, write: object) -> str:
    """What a fresh logger of the service writes."""
    log = logging.getLogger("forecast.service")
    before, log.handlers = log.handlers, []
    propagate = log.propagate
    out = io.StringIO()
    try:
        configure(form, out)
        write(log)  # type: ignore[operator]
    finally:
        log.handlers, log.propagate = before, propagate
    return out.getvalue()


def a_request(log: logging.Logger) -> None:
    request_line(
        log,
        method="POST",
        route="/v1/score",
        status=400,
        seconds=0.00213,
        size=1680,
        deals=0,
        key="e100fbce",
        request_id="named-1",
        bundle="537106c41fa6",
        code="not_a_number",
    )


def test_a_request_is_one_object_with_the_names_of_its_figures() -> None:
    line = json.loads(written("json", a_request))
    assert line.pop("at").endswith("Z")
    assert line.pop("process") > 0
    assert line == {
        "level": "info",
        "event": "request",
        "method": "POST",
        "route": "/v1/score",
        "status": 400,
        "ms": 2.1,
        "bytes": 1680,
        "deals": 0,
        "key": "e100fbce",
        "request": "named-1",
        "bundle": "537106c41fa6",
        "code": "not_a_number",
    }


def test_as_text_it_is_the_same_in_words() -> None:
    assert written("text", a_request).endswith(
        " INFO POST /v1/score 400 2.1ms bytes=1680 deals=0 key=e100fbce request=named-1 bundle=537106c41fa6 "
        "code=not_a_number\n"
    )


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("sign", ["\n", "\r", "\x1b[31m", "\x00", "\x85", "\u2028", "\u202e"])
def test_no_character_makes_another_line_or_commands_a_terminal(form: Form, sign: str) -> None:
    said = written(form, lambda log: log.error("it was %s here", f"a{sign}b"))
    assert len(said.splitlines()) == 1
    assert sign not in said[:-1]


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_exception_is_its_type_and_never_its_text(form: Form) -> None:
    def fail(log: logging.Logger) -> None:
        try:
            raise ValueError("Ada-Canary")
        except ValueError:
            log.exception("it failed")

    said = written(form, fail)
    assert "ValueError" in said
    assert "Canary" not in said


def test_the_form_is_text_or_json() -> None:
    assert (form_of({}), form_of({LOG: "json"})) == ("text", "json")
    with pytest.raises(UsageError, match="expected text or json"):
        form_of({LOG: "xml"})
