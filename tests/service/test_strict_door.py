"""What stands before a request is read: the name it came by, HEAD and OPTIONS, queries, rows a minute."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asking import KEY, NOW_US, ask, opened

from forecast.access import Access
from forecast.service.api import Api
from forecast.service.engine import Engine
from forecast.service.hosts import HOSTS, Hosts
from forecast.service.keys import Keys
from forecast.service.rate import BYTES_PER_ROW
from forecast.service.refusals import Refusal
from forecast.service.routes import MAY, PROBES, place_of


@pytest.fixture(scope="module")
def engine(trained_bundle: Path) -> Engine:
    return Engine.load(trained_bundle)


# -- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:3000", "127.0.0.1:8080", "[::1]:3000", "127.0.0.1"])
def test_the_loopback_names_are_always_ours(engine: Engine, host: str) -> None:
    assert ask(opened(engine), "GET", "/v1/model", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example:80",
        "",
        "[::1",
        "localhost@evil",
        "localhost:evil",
        "0",
        "\xfc",
    ],
)
def test_a_name_that_was_made_to_point_here_is_refused(engine: Engine, host: str) -> None:
    response = ask(opened(engine), "GET", "/v1/model", headers={"host": host.encode("latin-1")})  # type: ignore[dict-item]
    assert (response.status_code, response.json()["error"]["code"]) == (421, "unknown_host")
    assert "evil" not in response.text


def test_probes_come_by_any_name(engine: Engine) -> None:
    for path in PROBES:
        assert ask(opened(engine), "GET", path, headers={"host": "10.1.2.3"}).status_code == 200


def test_more_names_are_a_setting() -> None:
    ours = Hosts.from_environment({HOSTS: " Forecast.example.com , crm "})
    for host in (b"forecast.example.com", b"CRM:443", b"localhost"):
        ours.check(host, {})
    with pytest.raises(Refusal):
        ours.check(b"other", {})
    Hosts.from_environment({HOSTS: "*"}).check(b"anything", {})


def test_the_address_a_request_came_in_on_is_ours() -> None:
    Hosts().check(b"10.1.2.3:3000", {"server": ("10.1.2.3", 3000)})
    Hosts().check(b"[fd00::1]", {"server": ("fd00:0::1", 3000)})
    for host in (b"10.1.2.4", b"name"):
        with pytest.raises(Refusal):
            Hosts().check(host, {"server": ("10.1.2.3", 3000)})


def test_one_host_header_is_needed() -> None:
    with pytest.raises(Refusal) as caught:
        Hosts().check(None, {})
    assert (caught.value.status, caught.value.code) == (400, "bad_host")


# -- methods and paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [path for path, methods in MAY.items() if "HEAD" in methods and "{" not in path]
)
def test_head_is_get_without_the_body(engine: Engine, path: str) -> None:
    query = "?period=2026Q1" if path == "/v1/forecast" else ""
    head, get = (ask(opened(engine), method, path + query) for method in ("HEAD", "GET"))
    assert head.content == b""
    assert head.status_code == get.status_code
    if path != "/metrics":
        assert head.headers["content-length"] == get.headers["content-length"]


def test_other_pages_are_not_let_in(engine: Engine) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    for method in ("OPTIONS", "GET"):
        response = ask(opened(engine), method, "/v1/score", headers=asked)
        assert response.status_code == 405
        assert not [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("raw", "deal"),
    [
        (b"/v1/deals/D-1", "D-1"),
        (b"/v1/deals/a%2Fb", "a/b"),
        (b"/v1/deals/a%252Fb", "a%2Fb"),
        (b"/v1/deals/%C3%BC", "ü"),
        (b"/v1/deals/judgements", "judgements"),
        (b"/v1/deals/D-1/judgements", "D-1"),
        (b"/v1/deals/%ff", None),
        (b"/v1/deals/", None),
        (b"/v1/deals/a/b", None),
        (b"/v1/deals/a/judgements/", None),
        (b"/v1/deals/" + b"x" * 5_000, None),
        (b"/v1/deals/../model", None),
    ],
)
def test_a_deals_id_is_decoded_once(raw: bytes, deal: str | None) -> None:
    place = place_of("whatever the server made of it", raw)
    assert (None if place is None else place.deal_id) == deal


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/model?x=1", "x"),
        ("/v1/model?a=1&a=2", "a"),
        ("/docs.json?pretty", "pretty"),
        ("/v1/model?Ada%20Canary=1", None),
        ("/v1/model?%ff=1", None),
        (f"/v1/model?x={'y' * 5_000}", None),
        ("/v1/model?" + "&".join(f"a{n}=1" for n in range(60)), None),
    ],
)
def test_a_query_that_nobody_reads_is_refused(engine: Engine, path: str, field: str | None) -> None:
    response = ask(opened(engine), "GET", path)
    assert response.status_code == 400
    assert response.json()["error"]["field"] == field
    assert "Canary" not in response.text


# -- rows a minute ------------------------------------------------------------------------------------------


class Poor:
    """A key of ten rows a minute."""

    def find(self, authorization: bytes | None) -> Access | None:
        found = Keys.of([KEY], "test").find(authorization)
        return None if found is None else replace(found, rows_per_minute=10)


def test_the_door_counts_rows_and_says_when_to_come_back(engine: Engine) -> None:
    api = Api(clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(engine, Poor())
    pipeline, stages = engine.example_stages()
    deal = {
        "created_at": "2025-11-03T09:12:00Z",
        "events": [{"field": "stage", "value": stages[0], "recorded_at": "2025-11-03T09:12:00Z"}],
    }
    body = {"deals": [{**deal, "pipeline": pipeline, "deal_id": f"D-{n}"} for n in range(12)], "reasons": 0}
    assert ask(api, "POST", "/v1/score", json=body).status_code == 200
    for method, path in (("POST", "/v1/score"), ("GET", "/v1/model"), ("POST", "/v1/score/bulk")):
        refused = ask(api, method, path)
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limited")
        # Two rows in debt and one for the next: three of ten a minute.
        assert 17 <= int(refused.headers["retry-after"]) <= 18
    assert ask(api, "GET", "/livez").status_code == 200
    assert ask(api, "GET", "/metrics").status_code == 200


def test_a_refused_body_is_paid_by_its_size(engine: Engine) -> None:
    api = Api(clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(engine, Poor())
    large = b" " * (20 * BYTES_PER_ROW)
    headers: dict[str, Any] = {"content-type": "application/json"}
    assert ask(api, "POST", "/v1/score", content=large, headers=headers).status_code == 400
    refused = ask(api, "GET", "/v1/model")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) == math.ceil((21 - 10 + 1) * 6)
