"""The door of the service: keys, media types, sizes, methods, turns, and one shape for every refusal."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from forecast.service.api import PROBES, ROUTES, Api, Limits
from forecast.service.intake import MAX_BODY
from forecast.service.keys import Keys
from forecast.service.metrics import Metrics
from forecast.service.refusals import CODES, Refusal
from forecast.service.turns import SMALL_BODY

KEY = "k-7731-canary"
ASKING = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
CLOSED = [path for path in ROUTES if path not in PROBES]


class Fake:
    """Answers everything at once, or as a test tells it to."""

    def __init__(self, on_score: Callable[[bytes], bytes] | None = None) -> None:
        self.on_score = on_score or (lambda _: b'{"scores":[]}')

    def score(self, body: bytes, now_us: int) -> tuple[bytes, int]:
        assert now_us == 1_767_225_600_000_000
        return self.on_score(body), 3

    bundle_id = "b1"

    def score_leads(self, body: bytes, now_us: int) -> tuple[bytes, int]:  # noqa: ARG002
        return b'{"scores":[]}', 2

    def bulk(self, query: bytes, media: str, answer: str, request_id: str, now_us: int) -> Any:  # noqa: ARG002
        raise Refusal(400, "not_here", "no streams here")

    def forecast(self, body: bytes, now_us: int) -> tuple[bytes, int]:  # noqa: ARG002
        return b'{"bookings":[]}', 0

    def model(self) -> bytes:
        return b'{"model":{}}'

    def openapi(self) -> bytes:
        return b'{"openapi":"3.1.0"}'


def opened(fake: Fake | None = None, **limits: Any) -> Api:
    api = Api(limits=Limits(**limits), clock=lambda: 1_767_225_600.0)
    api.open(fake or Fake(), Keys.of([KEY], "test"), metrics=Metrics())
    return api


def ask(api: Api, method: str, path: str, **more: Any) -> httpx.Response:
    """One request through the application, without a network."""

    async def once() -> httpx.Response:
        async with client(api) as http:
            return await http.request(method, path, **more)

    return asyncio.run(once())


def client(api: Api) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=api), base_url="http://localhost")


def error_of(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of an answer, after checking that it has the one shape and nothing more."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"code", "message", "field", "row", "request_id"}
    assert body["error"]["request_id"] == response.headers["x-request-id"]
    error: dict[str, Any] = body["error"]
    return error


# -- keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [*CLOSED, "/", "/schema.json", "/nowhere", "/livez/", "/docs.json/", "//livez"]
)
def test_everything_but_the_probes_needs_a_key(path: str) -> None:
    response = ask(opened(), "GET", path)
    assert error_of(response, 401)["code"] == "unauthorized"
    assert response.headers["www-authenticate"] == 'Bearer realm="forecast"'


@pytest.mark.parametrize(
    "header",
    [
        KEY,
        f"Basic {KEY}",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}x",
        f"Bearer {KEY[:-1]}",
        f"Bearer {KEY.upper()}",
        f"Bearer {hashlib.sha256(KEY.encode()).hexdigest()}",
        f"Bearer x, Bearer {KEY}",
        "Bearer \xfc\xff",
        "Bearer " + "x" * 10_000,
    ],
)
def test_a_wrong_key_is_refused(header: str) -> None:
    response = ask(opened(), "GET", "/v1/model", headers={"authorization": header.encode("latin-1")})
    error_of(response, 401)
    assert 'error="invalid_token"' in response.headers["www-authenticate"]


def test_two_authorization_headers_are_refused() -> None:
    both = [("authorization", "Bearer x"), ("authorization", f"Bearer {KEY}")]
    error_of(ask(opened(), "GET", "/v1/model", headers=both), 401)


def test_no_work_is_done_for_a_stranger() -> None:
    def never(_: bytes) -> bytes:
        raise AssertionError("asked without a key")

    response = ask(opened(Fake(never)), "POST", "/v1/score", content=b"{}")
    error_of(response, 401)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_known_key_is_let_in(scheme: str) -> None:
    headers = {**ASKING, "authorization": f"{scheme} {KEY}"}
    response = ask(opened(), "POST", "/v1/score", content=b"{}", headers=headers)
    assert response.status_code == 200
    assert response.json() == {"scores": []}


@pytest.mark.parametrize("path", PROBES)
def test_probes_are_open_and_tell_nothing(path: str) -> None:
    response = ask(opened(), "GET", path)
    assert response.status_code == 200
    assert response.json()["status"] in ("alive", "ready")


def test_before_it_is_opened_only_livez_answers() -> None:
    api = Api()
    assert ask(api, "GET", "/livez").status_code == 200
    response = ask(api, "GET", "/readyz")
    assert error_of(response, 503)["code"] == "not_ready"
    assert response.headers["retry-after"] == "5"
    error_of(ask(api, "GET", "/v1/model", headers=ASKING), 401)


# -- routes -------------------------------------------------------------------------------------------------


def test_unknown_paths_are_not_found() -> None:
    for path in ("/", "/v1", "/v1/score/", "/schema.json", "/V1/SCORE", "/static_content/x", "/v1/score%00"):
        assert error_of(ask(opened(), "GET", path, headers=ASKING), 404)["code"] == "not_found"


@pytest.mark.parametrize(("path", "methods"), list(ROUTES.items()))
def test_other_methods_are_refused_with_those_that_work(path: str, methods: tuple[str, ...]) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NONSENSE"):
        if method not in methods:
            response = ask(opened(), method, path, headers=ASKING)
            assert error_of(response, 405)["code"] == "bad_method"
            assert response.headers["allow"] == ", ".join(methods)


def test_answers_are_not_to_be_kept_or_guessed_at() -> None:
    response = ask(opened(), "GET", "/v1/model", headers=ASKING)
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "server" not in response.headers


# -- request ids --------------------------------------------------------------------------------------------


def test_a_well_formed_request_id_comes_back() -> None:
    response = ask(opened(), "GET", "/nowhere", headers={**ASKING, "x-request-id": "crm-2026.01_7"})
    assert error_of(response, 404)["request_id"] == "crm-2026.01_7"


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ü".encode(), 'a"b', "a;b"])
def test_another_request_id_is_replaced(given: Any) -> None:
    response = ask(opened(), "GET", "/livez", headers={"x-request-id": given})
    assert len(response.headers["x-request-id"]) == 32


# -- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "media",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonx",
        "application/json-patch+json",
        "application/vnd.bentoml+pickle",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
    ],
)
def test_only_json_in_utf8_is_read(media: str | None) -> None:
    headers = {key: value for key, value in {**ASKING, "content-type": media}.items() if value is not None}
    assert error_of(ask(opened(), "POST", "/v1/score", content=b"{}", headers=headers), 415)


@pytest.mark.parametrize(
    "media", ["application/json", "Application/JSON", 'application/json; charset="UTF-8"']
)
def test_json_has_more_than_one_spelling(media: str) -> None:
    headers = {**ASKING, "content-type": media}
    assert ask(opened(), "POST", "/v1/score", content=b"{}", headers=headers).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "identity, gzip"])
def test_packed_bodies_are_refused(encoding: str) -> None:
    headers = {**ASKING, "content-encoding": encoding}
    response = ask(opened(), "POST", "/v1/score", content=b"{}", headers=headers)
    assert error_of(response, 415)["code"] == "encoded_body"


def test_a_body_that_says_it_is_too_large_is_refused_unread() -> None:
    response = ask(opened(), "POST", "/v1/score", content=b" " * (MAX_BODY + 1), headers=ASKING)
    assert error_of(response, 413)["code"] == "body_too_large"


def test_a_body_that_turns_out_too_large_is_refused() -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(6):
            yield b" " * (MAX_BODY // 5)

    response = ask(opened(), "POST", "/v1/score", content=parts(), headers=ASKING)
    assert error_of(response, 413)["code"] == "body_too_large"


def test_a_body_of_the_limit_is_read() -> None:
    seen: list[int] = []

    def count(body: bytes) -> bytes:
        seen.append(len(body))
        return b"{}"

    response = ask(opened(Fake(count)), "POST", "/v1/score", content=b" " * MAX_BODY, headers=ASKING)
    assert response.status_code == 200
    assert seen == [MAX_BODY]


def test_a_body_that_never_ends_is_given_up() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    response = ask(opened(body_seconds=0.05), "POST", "/v1/score", content=parts(), headers=ASKING)
    assert error_of(response, 408)["code"] == "body_timeout"
    assert response.headers["connection"] == "close"


# -- turns --------------------------------------------------------------------------------------------------


def test_slow_senders_hold_up_nobody() -> None:
    async def stalled() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    async def run() -> int:
        async with client(opened(body_seconds=0.5, small_waiting=2)) as http:
            slow = [
                asyncio.create_task(http.post("/v1/score", content=stalled(), headers=ASKING))
                for _ in range(20)
            ]
            await asyncio.sleep(0.05)
            answer = await http.post("/v1/score", content=b"{}", headers=ASKING)
            for response in await asyncio.gather(*slow):
                error_of(response, 408)
            return answer.status_code

    assert asyncio.run(run()) == 200


def test_too_many_at_once_are_sent_away_with_a_time_to_come_back() -> None:
    responses = burst(opened(small_waiting=4), 30, b"{}")
    refused = [response for response in responses if response.status_code != 200]
    assert 1 <= len(refused) < 30
    for response in refused:
        assert error_of(response, 429)["code"] == "too_many_requests"
        assert int(response.headers["retry-after"]) >= 1


def test_after_a_burst_the_turns_are_free_again() -> None:
    async def run() -> list[int]:
        async with client(opened(small_waiting=3)) as http:
            found = []
            for _ in range(3):
                await asyncio.gather(
                    *(http.post("/v1/score", content=b"{}", headers=ASKING) for _ in range(20))
                )
                found.append((await http.post("/v1/score", content=b"{}", headers=ASKING)).status_code)
            return found

    assert asyncio.run(run()) == [200, 200, 200]


def test_a_large_request_lets_small_ones_by() -> None:
    small_answered = threading.Event()
    large = b"{" + b" " * SMALL_BODY + b"}"

    def work(body: bytes) -> bytes:
        # The large one ends only after a small one was answered: it would wait for ever on the same lane.
        if len(body) > SMALL_BODY:
            assert small_answered.wait(20)
        return b"{}"

    async def run() -> list[int]:
        async with client(opened(Fake(work), large_waiting=1)) as http:
            first = asyncio.create_task(http.post("/v1/score", content=large, headers=ASKING))
            await asyncio.sleep(0.05)
            second = await http.post("/v1/score", content=large, headers=ASKING)
            probe = await http.get("/readyz")
            small = await http.post("/v1/score", content=b"{}", headers=ASKING)
            small_answered.set()
            return [(await first).status_code, second.status_code, probe.status_code, small.status_code]

    assert asyncio.run(run()) == [200, 429, 200, 200]


def test_a_large_request_waits_only_so_long() -> None:
    done = threading.Event()
    large = b"{" + b" " * SMALL_BODY + b"}"

    def work(_: bytes) -> bytes:
        assert done.wait(20)
        return b"{}"

    async def run() -> tuple[int, httpx.Response]:
        async with client(opened(Fake(work), patience_seconds=0.05)) as http:
            first = asyncio.create_task(http.post("/v1/score", content=large, headers=ASKING))
            await asyncio.sleep(0.02)
            second = await http.post("/v1/score", content=large, headers=ASKING)
            done.set()
            return (await first).status_code, second

    first, second = asyncio.run(run())
    assert first == 200
    assert error_of(second, 503)["code"] == "busy"
    assert int(second.headers["retry-after"]) >= 1


def test_a_caller_who_goes_away_ends_the_request() -> None:
    """Whatever stands around the application learns that the request is over: something is always sent."""
    sent: list[str] = []
    messages = iter([{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return dict(next(messages))

    async def send(message: Any) -> None:
        sent.append(message["type"])

    headers = [(name.encode(), value.encode()) for name, value in ASKING.items()]
    scope = {"type": "http", "method": "POST", "path": "/v1/score", "headers": headers}
    asyncio.run(opened()(scope, receive, send))
    assert sent == ["http.response.start", "http.response.body"]


def burst(api: Api, size: int, body: bytes) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        async with client(api) as http:
            posts: list[Awaitable[httpx.Response]] = [
                http.post("/v1/score", content=body, headers=ASKING) for _ in range(size)
            ]
            return list(await asyncio.gather(*posts))

    return asyncio.run(run())


# -- what others may see ------------------------------------------------------------------------------------


def test_a_fault_of_ours_tells_nothing_but_its_place(caplog: pytest.LogCaptureFixture) -> None:
    def fails(body: bytes) -> bytes:
        raise KeyError(body.decode())

    with caplog.at_level(logging.INFO, logger="forecast.service"):
        response = ask(opened(Fake(fails)), "POST", "/v1/score", content=b"Ada-Canary-7731", headers=ASKING)
    error = error_of(response, 500)
    assert error["code"] == "internal"
    assert "Canary" not in response.text + caplog.text
    assert "KeyError" in caplog.text
    assert error["request_id"] in caplog.text


def test_the_access_log_knows_routes_not_paths_or_keys(caplog: pytest.LogCaptureFixture) -> None:
    def refuses(_: bytes) -> bytes:
        raise Refusal(400, "blank", "is blank", field="deal_id", row=1)

    with caplog.at_level(logging.INFO, logger="forecast.service"):
        ask(opened(), "GET", "/Ada-Canary%0d%0aforged", headers=ASKING)
        ask(opened(), "GET", "/v1/model?ada-canary@x.com=ada-canary", headers=ASKING)
        ask(opened(Fake(refuses)), "POST", "/v1/score", content=b'"Ada-Canary"', headers=ASKING)
        ask(opened(), "GET", "/livez")
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("GET other 404 ")
    assert lines[1].startswith("GET /v1/model 400 ")
    assert lines[2].startswith("POST /v1/score 400 ")
    assert lines[2].endswith(" code=blank")
    assert "anary" not in caplog.text
    assert f"key={hashlib.sha256(KEY.encode()).hexdigest()[:8]} " in lines[0]


def test_metrics_count_by_route_and_never_by_path() -> None:
    api = opened()
    for number in range(5):
        ask(api, "GET", f"/random-{number}", headers=ASKING)
    ask(api, "POST", "/v1/score", content=b"{}", headers=ASKING)
    ask(api, "POST", "/v1/score", content=b"{}", headers={**ASKING, "content-type": "text/plain"})
    response = ask(api, "GET", "/metrics", headers=ASKING)
    assert response.headers["content-type"].startswith("text/plain")
    text = response.text
    assert 'forecast_http_requests_total{route="other",status="404"} 5.0' in text
    assert 'forecast_http_requests_total{route="/v1/score",status="200"} 1.0' in text
    assert 'forecast_http_refused_total{code="not_json"} 1.0' in text
    assert 'forecast_scored_deals_total{route="/v1/score"} 3.0' in text
    assert "random" not in text


def test_every_status_has_its_line_in_the_documentation() -> None:
    assert set(CODES) == {400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 429, 500, 503}
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text(encoding="utf-8")
    told = "".join(line.split("|")[1] for line in page.splitlines() if line.startswith("| ") and "|" in line)
    assert [status for status in CODES if str(status) not in told] == []


def test_the_error_shape_holds_without_a_server() -> None:
    body = Refusal(400, "blank", "is blank", field="deal_id", row=2).body("r1")
    expected = {"code": "blank", "message": "is blank", "field": "deal_id", "row": 2, "request_id": "r1"}
    assert json.loads(json.dumps(body)) == {"error": expected}


def test_now_and_then_an_answer_ends_its_connection_so_that_callers_spread_over_the_workers() -> None:
    api = opened(answers_a_connection=3)
    ends = [ask(api, "GET", "/v1/model", headers=ASKING).headers.get("connection") for _ in range(7)]
    assert ends == [None, None, "close", None, None, "close", None]
    # A refusal is an answer, too.
    assert [ask(api, "GET", "/v1/model").headers.get("connection") for _ in range(2)] == [None, "close"]
