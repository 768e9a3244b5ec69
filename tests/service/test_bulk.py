"""`POST /v1/score/bulk`: a book row by row, in order, with one bad row hurting nobody else."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from asking import KEY, NOW_US, ask, opened, slices
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.service import bulk as bulk_module
from forecast.service.api import Api, Limits
from forecast.service.bulk import CSV, MAX_LINE, NDJSON, Options
from forecast.service.engine import Engine
from forecast.service.flat import flat_row
from forecast.service.hosts import Hosts
from forecast.service.keys import Keys
from forecast.service.refusals import Refusal

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def engine(trained_bundle: Path) -> Engine:
    return Engine.load(trained_bundle)


@pytest.fixture(scope="module")
def stage(engine: Engine) -> str:
    return engine.example_stages()[1][0]


@pytest.fixture
def deal(stage: str) -> Callable[..., dict[str, Any]]:
    def made(name: str = "D-1", **more: Any) -> dict[str, Any]:
        at = "2025-11-03T09:12:00Z"
        events = [{"field": "stage", "value": stage, "recorded_at": at}]
        return {"deal_id": name, "created_at": at, "amount": 1000.5, "events": events, **more}

    return made


def lines(*deals: Any) -> bytes:
    return b"".join((one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in deals)


def table(*rows: dict[str, Any]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row))
    out = io.StringIO()
    writer = csv.DictWriter(out, names)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().encode()


def post(engine: Engine, body: Any, media: str = NDJSON, query: str = "", **headers: str) -> httpx.Response:
    return ask(
        opened(engine),
        "POST",
        f"/v1/score/bulk{query}",
        content=body,
        headers={"content-type": media, **headers},
    )


def told(response: httpx.Response) -> Rows:
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.content.splitlines()]


def told_csv(response: httpx.Response) -> Rows:
    assert response.status_code == 200, response.text
    return list(csv.DictReader(io.StringIO(response.text)))


# -- answers ------------------------------------------------------------------------------------------------


def test_every_row_is_answered_in_its_order_and_a_bad_one_hurts_no_other(engine: Engine, deal: Any) -> None:
    closed = next(row["stage"] for row in engine.bundle.models.stages.to_json() if row["kind"] == "won")
    won = deal("won")["events"] + [{"field": "stage", "value": closed, "recorded_at": "2025-12-01T00:00:00Z"}]
    answer = told(
        post(
            engine,
            lines(deal("z"), deal("bad", amount="1,5"), b"{", b"", deal("won", events=won), deal("a")),
            query="?as_of=2026-01-01T00:00:00Z&reasons=2&locale=it&period=2026Q1",
        )
    )
    *rows, last = answer
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]
    assert rows[0]["score"]["deal_id"] == "z"
    assert {"won_in_period", "reasons"} <= rows[0]["score"].keys()
    assert (rows[1]["error"]["code"], rows[1]["error"]["field"], rows[1]["error"]["row"]) == (
        "not_a_number",
        "amount",
        1,
    )
    assert rows[2]["error"]["code"] == "bad_json"
    assert rows[3]["skipped"] == {"deal_id": "won", "reason": "won"}
    assert rows[4]["score"]["deal_id"] == "a"
    assert last["end"]["model"]["bundle"] == engine.bundle.id
    counts = {"rows": 5, "scored": 2, "skipped": 1, "refused": 2}
    assert {name: last["end"][name] for name in counts} == counts


def test_a_table_is_answered_by_a_table(engine: Engine, deal: Any) -> None:
    response = post(
        engine,
        table(
            flat_row(deal("D,1")),
            {**flat_row(deal("bad")), "created_at": "yesterday"},
            {"deal_id": "plain", "created_at": "2025-11-03T09:12:00Z", "stage": deal()["events"][0]["value"]},
        ),
        CSV,
    )
    assert response.headers["content-type"] == CSV
    assert response.headers["x-forecast-bundle"] == engine.bundle.id
    first, bad, plain = told_csv(response)
    assert (first["row"], first["deal_id"], first["error"]) == ("0", "D,1", "")
    assert json.loads(first["reasons"])
    assert (bad["row"], bad["error"], bad["field"], bad["win_probability"]) == (
        "1",
        "bad_moment",
        "created_at",
        "",
    )
    assert plain["stage"] == deal()["events"][0]["value"]


@pytest.mark.parametrize(("sent", "wanted"), [(NDJSON, CSV), (CSV, NDJSON)])
def test_the_form_of_the_answer_is_the_callers_choice(
    engine: Engine, deal: Any, sent: str, wanted: str
) -> None:
    body = lines(deal()) if sent == NDJSON else table(flat_row(deal()))
    response = post(engine, body, sent, accept=f"{wanted};q=0.9, */*")
    assert response.headers["content-type"] == wanted
    found = told_csv(response) if wanted == CSV else told(response)
    assert len(found) == (1 if wanted == CSV else 2)


def test_a_deal_that_comes_twice_is_answered_twice(engine: Engine, deal: Any) -> None:
    first, second, third, _ = told(post(engine, lines(deal(), deal(amount=5), deal())))
    assert first["score"]["amount"] == third["score"]["amount"] == 1000.5
    assert second["score"]["amount"] == 5
    assert {**first, "row": 2} == third


def test_formulas_in_a_table_are_not_run_by_a_spreadsheet(engine: Engine, deal: Any) -> None:
    (row,) = told_csv(post(engine, lines(deal("=1+1", owner_id="@x")), accept=CSV))
    assert (row["deal_id"], row["owner_id"]) == ("'=1+1", "'@x")


@pytest.mark.parametrize(
    ("body", "media", "count"),
    [(b"", NDJSON, 1), (b"\n \r\n", NDJSON, 1), (b"deal_id,created_at\n", CSV, 0)],
)
def test_nothing_sent_is_nothing_answered(engine: Engine, body: bytes, media: str, count: int) -> None:
    response = post(engine, body, media)
    assert response.status_code == 200
    assert len(told(response) if media == NDJSON else told_csv(response)) == count
    if media == CSV:
        assert response.text.startswith("row,deal_id,")


@settings(max_examples=25, deadline=None)
@given(sizes=st.lists(st.integers(1, 700), max_size=12), ends=st.sampled_from(["\n", "\r\n"]))
@pytest.mark.parametrize("media", [NDJSON, CSV])
def test_how_a_body_is_cut_into_pieces_does_not_matter(
    engine: Engine, stage: str, media: str, sizes: list[int], ends: str
) -> None:
    at = "2025-11-03T09:12:00Z"
    rows = [
        {"deal_id": f"D-{n}", "created_at": at, "note": 'a "b"' + ends + "c,", "stage": stage}
        for n in range(4)
    ]
    if media == CSV:
        body = table(*rows)
    else:
        events = [{"field": "stage", "value": stage, "recorded_at": at}]
        body = lines(*({**row, "events": events, "stage": None} for row in rows)).replace(
            b"\n", ends.encode()
        )
    whole = post(engine, body, media, "?reasons=0")
    pieces = post(engine, slices(body, sizes), media, "?reasons=0")
    assert whole.status_code == 200
    assert [row.get("error") or None for row in (told_csv(whole) if media == CSV else told(whole))[:4]] == [
        None
    ] * 4
    assert pieces.content == whole.content


# -- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("?as_of=2026-01-01", "no_zone", "as_of"),
        ("?as_of=2030-01-01T00:00:00Z", "out_of_range", "as_of"),
        ("?reasons=21", "out_of_range", "reasons"),
        ("?reasons=1.0", "out_of_range", "reasons"),
        ("?reasons=%D9%A3", "out_of_range", "reasons"),
        ("?reasons=", "out_of_range", "reasons"),
        ("?locale=fr", "unknown_locale", "locale"),
        ("?period=2026Q5", "bad_period", "period"),
        ("?period=2020Q1", "past_period", "period"),
        ("?period=2039", "beyond_horizon_cap", "period"),
        ("?reasons=1&reasons=1", "duplicate_key", "reasons"),
        ("?mail=x", "unknown_key", "mail"),
        ("?as_of=%ff", "bad_query", None),
    ],
)
def test_options_are_checked_before_anything_is_read(
    engine: Engine, query: str, code: str, field: str | None
) -> None:
    response = post(engine, b"{}\n", query=query)
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["field"]) == (code, field)


@pytest.mark.parametrize("media", ["application/json", "text/plain", "text/csv; charset=latin-1", ""])
def test_other_media_are_refused(engine: Engine, media: str) -> None:
    assert post(engine, b"{}", media).status_code == 415


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"deal_id;created_at\n",
        b"deal_id,created_at,deal_id\n",
        b"deal_id,created_at,\n",
        b"id,created_at\n1,2\n",
        b'deal_id,"created_at\n',
        b"\xff\xfe\n",
    ],
)
def test_a_table_without_a_header_is_refused_whole(engine: Engine, body: bytes) -> None:
    response = post(engine, body, CSV)
    assert response.status_code == 400
    assert response.json()["error"]["code"] in ("bad_header", "bad_quotes", "not_utf8")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ('x,2025-11-03T09:12:00Z,"a', "bad_quotes"),
        ("x,2025-11-03T09:12:00Z,a,b", "cell_count"),
        ("x", "cell_count"),
        ("x,2025-11-03T09:12:00Z,", "missing"),
        ("x,2025-11-03T09:12:00,a", "no_zone"),
        ("\x00,2025-11-03T09:12:00Z,a", "bad_character"),
        ("x,2025-11-03T09:12:00Z,nowhere", "unknown_stage"),
    ],
)
def test_what_is_wrong_with_a_row_of_a_table_is_named(engine: Engine, row: str, code: str) -> None:
    good = f"good,2025-11-03T09:12:00Z,{engine.example_stages()[1][0]}"
    found = told_csv(post(engine, f"deal_id,created_at,stage\n{good}\n{row}\n".encode(), CSV))
    assert [line["error"] for line in found] == ["", code]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b'{"deal_id":"a","deal_id":"b"}', "duplicate_key"),
        (b'{"deal_id":NaN}', "not_finite"),
        (b'{"amount":1e999,"deal_id":"a"}', "not_finite"),
        (b"[" * 100_000, "too_deep"),
        (b"\xff", "bad_json"),
        (b"[]", "not_an_object"),
        (b"{} {}", "bad_json"),
        (b'{"a":' + b"9" * 5_000 + b"}", "bad_number"),
    ],
)
def test_a_line_is_read_as_strictly_as_a_request(engine: Engine, deal: Any, line: bytes, code: str) -> None:
    first, second, _ = told(post(engine, lines(line, deal())))
    assert first["error"]["code"] == code
    assert second["score"]["deal_id"] == "D-1"


@pytest.mark.parametrize("media", [NDJSON, CSV])
def test_a_row_that_never_ends_is_dropped_as_it_comes(engine: Engine, deal: Any, media: str) -> None:
    long = b'{"deal_id":"' + b"x" * (MAX_LINE + 10) + b'"}\n'
    if media == NDJSON:
        body = lines(deal("a")) + long + lines(deal("b"))
    else:
        head, row = table(flat_row(deal("a"))).splitlines(keepends=True)
        body = head + row + b'"' + long.replace(b'"', b"") + row.replace(b"a,", b"b,")
    response = post(engine, slices(body, [70_000] * 40), media)
    if media == NDJSON:
        codes = [line.get("error", {"code": ""})["code"] for line in told(response)[:3]]
    else:
        codes = [line["error"] for line in told_csv(response)]
    assert codes == ["", "line_too_long", ""]


def test_a_stream_has_an_end(engine: Engine, deal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit a line says so, and none with `end` follows it; the connection is not closed in order."""
    monkeypatch.setattr(bulk_module, "MAX_ROWS_STREAMED", 300)
    sent = asyncio.run(raw(opened(engine), [lines(*(deal(f"D-{n}") for n in range(500)))]))
    assert sent[-1].get("more_body"), sent
    rows = [json.loads(line) for line in b"".join(message["body"] for message in sent[1:]).splitlines()]
    assert [row["row"] for row in rows[:-1]] == list(range(300))
    assert rows[-1]["error"]["code"] == "too_many_rows"


# -- streaming ----------------------------------------------------------------------------------------------


async def raw(
    api: Api,
    pieces: list[bytes],
    *,
    ends: bool = True,
    every_s: float = 0.0,
    send: Any = None,
    headers: Any = (),
) -> list[dict[str, Any]]:
    """What the application sends, message by message; without `ends` the caller is gone after the pieces.

    every_s : how long each piece takes to come
    """
    sent: list[dict[str, Any]] = []
    waiting = [
        *({"type": "http.request", "body": piece, "more_body": True} for piece in pieces),
        *([{"type": "http.request", "body": b""}] if ends else []),
    ]

    async def receive() -> dict[str, Any]:
        if waiting:
            await asyncio.sleep(every_s)
            return waiting.pop(0)
        if ends:
            await asyncio.sleep(60)
        return {"type": "http.disconnect"}

    async def keep(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/score/bulk",
        "query_string": b"reasons=0",
        "headers": [
            (b"host", b"localhost"),
            (b"authorization", f"Bearer {KEY}".encode()),
            (b"content-type", NDJSON.encode()),
            *headers,
        ],
    }
    await api(scope, receive, send or keep)
    return sent


def test_the_first_rows_are_answered_before_the_last_are_sent(engine: Engine, deal: Any) -> None:
    answered = asyncio.Event()

    async def run() -> list[dict[str, Any]]:
        async def body() -> Any:
            yield lines(deal("early"))
            await asyncio.wait_for(answered.wait(), 20)
            yield lines(deal("late"))

        found: list[dict[str, Any]] = []
        pieces = body()
        last = False

        async def receive() -> dict[str, Any]:
            nonlocal last
            if last:
                await asyncio.sleep(60)
            try:
                return {"type": "http.request", "body": await anext(pieces), "more_body": True}
            except StopAsyncIteration:
                last = True
                return {"type": "http.request", "body": b""}

        async def send(message: Any) -> None:
            if message.get("body"):
                answered.set()
                found.extend(json.loads(line) for line in message["body"].splitlines())

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/score/bulk",
            "headers": [
                (b"host", b"localhost"),
                (b"authorization", f"Bearer {KEY}".encode()),
                (b"content-type", NDJSON.encode()),
            ],
        }
        await opened(engine)(scope, receive, send)
        return found

    early, late, _ = asyncio.run(run())
    assert (early["score"]["deal_id"], late["score"]["deal_id"]) == ("early", "late")


def test_who_goes_away_stops_the_work(engine: Engine, deal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    compute = bulk_module.Bulk.compute

    def counted(self: bulk_module.Bulk, part: Any) -> bytes:
        computed.append(len(part))
        return compute(self, part)

    monkeypatch.setattr(bulk_module.Bulk, "compute", counted)
    api = opened(engine)
    piece = lines(*(deal(f"D-{n}") for n in range(300)))
    sent = asyncio.run(raw(api, [piece] * 3, ends=False))
    # What was complete before they left is answered, what came with it and was no part is not computed.
    assert sum(computed) <= 900 - 1
    assert all(message.get("more_body", True) for message in sent[1:])
    assert told(ask(api, "POST", "/v1/score/bulk", content=b"", headers={"content-type": NDJSON}))


def test_a_reader_that_stops_taking_is_given_up(engine: Engine, deal: Any) -> None:
    api = Api(limits=Limits(body_seconds=0.2), clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(engine, Keys.of([KEY], "test"))

    async def stuck(message: Any) -> None:
        if message.get("body"):
            await asyncio.sleep(60)

    async def run() -> None:
        await asyncio.wait_for(raw(api, [lines(deal())], send=stuck), 20)

    asyncio.run(run())


def test_a_sender_that_stops_is_given_up(engine: Engine, deal: Any) -> None:
    api = Api(limits=Limits(body_seconds=0.2), clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(engine, Keys.of([KEY], "test"))

    async def body(*pieces: bytes) -> Any:
        for piece in pieces:
            yield piece
        await asyncio.sleep(60)

    response = ask(
        api, "POST", "/v1/score/bulk", content=body(b'{"deal_id":'), headers={"content-type": NDJSON}
    )
    assert (response.status_code, response.json()["error"]["code"]) == (408, "body_timeout")


def test_a_sender_who_dribbles_does_not_hold_a_place_for_ever(engine: Engine, deal: Any) -> None:
    """Each row comes in time, but all of them together too slowly."""
    api = Api(limits=Limits(body_seconds=0.5), clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(engine, Keys.of([KEY], "test"))
    pieces = [lines(deal(f"D-{number}")) for number in range(100)]
    sent = asyncio.run(raw(api, pieces, every_s=0.25))
    rows = [json.loads(line) for line in b"".join(message["body"] for message in sent[1:]).splitlines()]
    assert rows[-1]["error"]["code"] == "body_timeout"
    assert 2 <= len(rows) < 20
    assert all("score" in row for row in rows[:-1])


def test_a_sender_with_pauses_is_waited_for(engine: Engine, deal: Any) -> None:
    """As a CRM that is read page by page: many rows, then a while nothing."""
    api = Api(limits=Limits(body_seconds=0.5), clock=lambda: NOW_US / 1e6, hosts=Hosts())
    api.open(engine, Keys.of([KEY], "test"))

    async def body() -> Any:
        for page in range(4):
            yield lines(*(deal(f"D-{page}-{number}") for number in range(10)))
            await asyncio.sleep(0.4)

    response = ask(api, "POST", "/v1/score/bulk", content=body(), headers={"content-type": NDJSON})
    assert json.loads(response.content.splitlines()[-1])["end"]["rows"] == 40


def test_only_so_many_streams_at_once(engine: Engine) -> None:
    api = opened(engine)

    async def run() -> httpx.Response:
        gate = asyncio.Event()

        async def body() -> Any:
            await gate.wait()
            yield b""

        transport = httpx.ASGITransport(app=api)
        headers = {"authorization": f"Bearer {KEY}", "content-type": NDJSON}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://localhost", headers=headers
        ) as http:
            waiting = [asyncio.create_task(http.post("/v1/score/bulk", content=body())) for _ in range(2)]
            await asyncio.sleep(0.1)
            third = await http.post("/v1/score/bulk", content=b"")
            gate.set()
            assert [(await one).status_code for one in waiting] == [200, 200]
            assert (await http.post("/v1/score/bulk", content=b"")).status_code == 200
            return third

    third = asyncio.run(run())
    assert third.status_code == 429
    assert int(third.headers["retry-after"]) >= 1


def test_memory_does_not_grow_with_the_book(engine: Engine, deal: Any) -> None:
    """Ten times the rows, the same peak: nothing of a part stays behind."""

    def peak(parts: int) -> int:
        piece = lines(*(deal(f"D-{n}", note="x" * 200) for n in range(256)))

        async def receive() -> dict[str, Any]:
            nonlocal parts
            parts -= 1
            return {"type": "http.request", "body": piece, "more_body": parts > 0}

        async def never() -> dict[str, Any]:
            return await receive() if parts else await asyncio.sleep(60, {"type": "http.disconnect"})

        async def drop(_: Any) -> None:
            return None

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/score/bulk",
            "query_string": b"reasons=0",
            "headers": [
                (b"host", b"localhost"),
                (b"authorization", f"Bearer {KEY}".encode()),
                (b"content-type", NDJSON.encode()),
            ],
        }
        api = opened(engine)
        tracemalloc.start()
        asyncio.run(api(scope, never, drop))  # type: ignore[arg-type]
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(1)
    assert peak(20) < 1.5 * peak(2)


def test_options_default_to_the_moment_of_the_request() -> None:
    assert Options.of(b"", NOW_US).as_of_us == NOW_US
    with pytest.raises(Refusal):
        Options.of(b"as_of=", NOW_US)
