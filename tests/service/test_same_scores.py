"""One deal, one score: from tables, alone, in a list, or over the application, the same to the last bit."""

from __future__ import annotations

import asyncio
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from forecast.bundle import Bundle, load_bundle
from forecast.cli import cli
from forecast.outlook import history_of, make_outlook
from forecast.periods import Period
from forecast.scoring import score_open_deals
from forecast.service.api import Api
from forecast.service.bulk import CSV, NDJSON
from forecast.service.encoding import moment
from forecast.service.engine import Engine
from forecast.service.flat import flat_deals, flat_row
from forecast.service.keys import Keys
from forecast.tables import Tables, open_tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
MIDYEAR = pd.Timestamp("2025-07-15 13:45:00.250", tz="UTC")
NOW_US = 1_767_225_600_000_000
KEY = "a-key-of-this-test"
NUMBERS = ("amount", "budget", "authority", "need", "timeline")
UNSAID = {"pipeline": "sales", "motion": "new"}  # what a sender may leave out

Rows = list[dict[str, Any]]


def plain(value: Any) -> Any:
    """A cell as JSON has it."""
    if isinstance(value, pd.Timestamp):
        midnight = value.tzinfo is None
        return value.strftime("%Y-%m-%d") if midnight else moment(value.value // 1000)
    return None if pd.isna(value) else value


def records(frame: pd.DataFrame) -> Rows:
    """Rows by name of the column."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def as_sent(tables: Tables) -> Rows:
    """Every deal of the tables with all its columns, events and activities, as a CRM would send it."""
    events: dict[str, Rows] = {}
    for row in records(tables.deal_events):
        value = plain(row["value"])
        if value is not None and row["field"] in NUMBERS:
            value = float(value)
        event = {"field": row["field"], "value": value, "recorded_at": plain(row["recorded_at"])}
        events.setdefault(row["deal_id"], []).append(event)
    activities: dict[str, Rows] = {}
    for row in records(tables.activities):
        activity = {name: plain(row[name]) for name in ("occurred_at", "kind", "direction")}
        activities.setdefault(row["deal_id"], []).append(activity)
    return [
        {
            **{name: plain(value) for name, value in deal.items() if UNSAID.get(name) != value},
            "events": events.get(deal["deal_id"], []),
            "activities": activities.get(deal["deal_id"], []),
        }
        for deal in records(tables.deals)
    ]


def as_records(frame: pd.DataFrame) -> Rows:
    return [{name: plain(value) for name, value in row.items()} for row in records(frame)]


def expected_rows(scores: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The rows an answer must hold, by deal."""
    found = {}
    for row in records(scores):
        told = {name: plain(value) for name, value in row.items() if name != "reasons"}
        found[row["deal_id"]] = {**told, "reasons": json.loads(row["reasons"])}
    return found


def thinned(tables: Tables) -> Tables:
    """The same company as a CRM that keeps little history, with the gaps real ones have.

    Some fields of some deals were never recorded, some columns are blank, amounts have many digits, one
    attribute has events for some deals only, another has none.
    """
    deals, events = tables.deals.copy(), tables.deal_events
    number = deals["deal_id"].str.extract(r"(\d+)$")[0].astype(int)
    place = dict(zip(deals["deal_id"], number, strict=True))
    of_event = events["deal_id"].map(place)
    dropped = pd.Series(False, index=events.index)
    fields = ("amount", "expected_close_on", "owner_id", "forecast_category", *NUMBERS[1:])
    for turn, field in enumerate(fields, start=2):
        dropped |= (events["field"] == field) & (of_event % turn == 0)
        deals[field] = deals[field].mask(number % turn == 0)
    district = (number % 3 == 0).map({True: "Österreich", False: "日本"}).astype("str")
    deals["district"] = district.mask(number % 4 == 0)
    told = deals.loc[number % 5 == 1, ["deal_id", "created_at"]].rename(columns={"created_at": "recorded_at"})
    told = told.assign(field="region", value="Italia", actor=None)
    precise = (events["field"] == "amount") & (of_event % 3 == 0)
    digits = (events["value"].where(precise, "0").astype("float64") / 7.0).map(repr)
    events = events.assign(value=events["value"].mask(precise, digits.astype("str")))
    deals["currency"] = deals["currency"].mask(number % 7 == 0)
    deals["owner_id"] = deals["owner_id"].mask(number % 11 == 0)
    deals["source"] = deals["source"].mask(number % 13 == 0, "never heard of")
    return Tables.from_frames(
        stages=tables.stages,
        deals=deals,
        deal_events=pd.concat([events[~dropped], told.astype(events.dtypes)], ignore_index=True),
        activities=tables.activities,
        users=tables.users,
        quotas=tables.quotas,
        fx_rates=tables.fx_rates,
    )


def first_stage(deal: dict[str, Any]) -> pd.Timestamp:
    """When the deal is known, to itself and to us."""
    seen = [event["recorded_at"] for event in deal["events"] if event["field"] == "stage"]
    return pd.Timestamp(max(min(seen), deal["created_at"]))


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine.of(bundle)


@pytest.fixture(scope="module", params=["whole", "thin"])
def company(request: pytest.FixtureRequest, sample_tables: Tables) -> Tables:
    return sample_tables if request.param == "whole" else thinned(sample_tables)


def body(as_of: pd.Timestamp, deals: Rows, **more: Any) -> bytes:
    return json.dumps({"as_of": as_of.isoformat(), "deals": deals, **more}).encode()


def compared(answered: Rows, expected: dict[str, dict[str, Any]], *, some: bool = False) -> None:
    """Equal in every column of all deals, or of some; a failure names the columns that are not."""
    compared_by("deal_id", answered, expected, some=some)


def compared_by(key: str, answered: Rows, expected: dict[str, dict[str, Any]], *, some: bool = False) -> None:
    ids = {row[key] for row in answered}
    assert ids and ids <= expected.keys() if some else ids == expected.keys()
    for row in answered:
        other = expected[row[key]]
        assert list(row) == list(other)
        unlike = {name: (row[name], other[name]) for name in row if row[name] != other[name]}
        assert not unlike, (row[key], unlike)


@pytest.mark.parametrize("as_of", [AS_OF, MIDYEAR], ids=["now", "midyear"])
def test_a_request_scores_as_the_tables_do(
    engine: Engine, bundle: Bundle, company: Tables, as_of: pd.Timestamp
) -> None:
    """In one list, one by one, and through the application."""
    period = Period.parse("2026Q1")
    scores = score_open_deals(history_of(company, bundle), bundle, as_of, period=period, reasons=5)
    expected = expected_rows(scores)
    assert len(expected) > 50
    # With their whole past and future: what was recorded from as_of on must not matter.
    deals = [deal for deal in as_sent(company) if first_stage(deal) < as_of]

    def ask(some: Rows) -> Rows:
        answer = json.loads(engine.score(body(as_of, some, period="2026Q1"), NOW_US)[0])
        assert len(answer["scores"]) + len(answer["skipped"]) == len(some)
        scored: Rows = answer["scores"]
        return scored

    compared(ask(deals), expected)
    compared(ask(deals[::-1]), expected)
    compared([row for deal in deals[::3] for row in ask([deal])], expected, some=True)
    compared([row for at in range(0, len(deals), 37) for row in ask(deals[at : at + 37])], expected)


@pytest.mark.parametrize("as_of", [AS_OF, MIDYEAR], ids=["now", "midyear"])
def test_a_stream_scores_as_the_tables_do(
    engine: Engine, bundle: Bundle, company: Tables, as_of: pd.Timestamp
) -> None:
    """Lines of JSON and a table, read in pieces of any size, with bad rows between the good ones or without."""
    period = Period.parse("2026Q1")
    expected = expected_rows(score_open_deals(history_of(company, bundle), bundle, as_of, period=period))
    deals = [deal for deal in as_sent(company) if first_stage(deal) < as_of]
    plain_lines = [json.dumps(deal).encode() for deal in deals]
    spoilt = [line for at, one in enumerate(plain_lines) for line in ([b"{", one] if at % 5 == 0 else [one])]
    flat = pd.DataFrame([flat_row(deal) for deal in deals]).to_csv(index=False).encode()
    for media, sent in ((NDJSON, plain_lines), (NDJSON, spoilt), (CSV, [flat])):
        told = streamed(engine, b"\n".join(sent), media, as_of)
        compared([row["score"] for row in told if "score" in row], expected)
        assert {row["row"] for row in told if "row" in row} == set(range(len(told) - 1))


def streamed(engine: Engine, content: bytes, media: str, as_of: pd.Timestamp) -> Rows:
    """The lines that answer a stream."""
    query = f"period=2026Q1&as_of={as_of.isoformat().replace('+00:00', 'Z')}".encode()
    bulk = engine.bulk(query, media, NDJSON, "r", NOW_US)
    out = b""
    for at in range(0, len(content), 40_000):
        bulk.feed(content[at : at + 40_000], last=at + 40_000 >= len(content))
        while bulk.full:
            out += bulk.compute(bulk.take())
    while bulk.pending:
        out += bulk.compute(bulk.take())
    return [json.loads(line) for line in (out + bulk.finish()).splitlines()]


def test_the_command_line_a_table_and_a_library_call_give_the_same_bits(
    engine: Engine, bundle: Bundle, trained_bundle: Path, sample_folder: Path, tmp_path: Path
) -> None:
    """The file of `forecast score`, a CSV stream answered in CSV, and the library: the same in every cell."""
    out = tmp_path / "scores.csv"
    arguments = ["score", "--data", str(sample_folder), "--bundle", str(trained_bundle), "--out", str(out)]
    done = CliRunner().invoke(cli, [*arguments, "--as-of", "2026-01-01T00:00:00Z", "--period", "2026Q1"])
    assert done.exit_code == 0, done.output
    written = pd.read_csv(out, dtype=str, keep_default_na=False).set_index("deal_id")
    tables = open_tables(sample_folder).tables
    flat = flat_deals(tables, AS_OF).to_csv(index=False).encode()
    bulk = engine.bulk(b"period=2026Q1&as_of=2026-01-01T00:00:00Z", CSV, CSV, "r", NOW_US)
    bulk.feed(flat, last=True)
    parts = []
    while bulk.pending:
        parts.append(bulk.compute(bulk.take()))
    told = pd.read_csv(BytesIO(b"".join(parts)), dtype=str, keep_default_na=False)
    assert set(told["error"]) == {""}
    told = told[told["skipped"] == ""].set_index("deal_id")
    assert len(written) > 50
    pd.testing.assert_frame_equal(told[written.columns].sort_index(), written.sort_index())
    period = Period.parse("2026Q1")
    scores = score_open_deals(history_of(tables, bundle), bundle, AS_OF, period=period).set_index("deal_id")
    for name in ("win_probability", "won_90d", "won_in_period", "expected_bookings"):
        assert [float(text) if text else None for text in written[name]] == [
            None if pd.isna(value) else value for value in scores.loc[written.index, name]
        ]


def test_deals_of_one_request_do_not_touch_each_other(engine: Engine, sample_tables: Tables) -> None:
    """Neither by the order of words nor by words that look like nothing."""
    first, second, *_ = (deal for deal in as_sent(sample_tables) if first_stage(deal) < AS_OF)
    strange = {"deal_id": "0", "source": "None", "account_id": "nan", "owner_id": "None", "industry": "Ω"}
    blank = dict.fromkeys(("source", "account_id", "industry"))
    early = first_stage(second) + pd.Timedelta("1us")

    def ask(*deals: dict[str, Any]) -> Rows:
        rows: Rows = json.loads(engine.score(body(early, list(deals)), NOW_US)[0])["scores"]
        return rows

    assert ask({**first, **strange}, {**second, **blank})[1:] == ask({**second, **blank})


def test_the_stage_is_what_its_events_say(engine: Engine, sample_tables: Tables) -> None:
    """A CRM that sends its stage as a column too changes nothing by it."""
    deal = next(deal for deal in as_sent(sample_tables) if first_stage(deal) < AS_OF)
    as_of = first_stage(deal) + pd.Timedelta("1us")
    plainly, besides = (
        json.loads(engine.score(body(as_of, [sent]), NOW_US)[0]) for sent in (deal, {**deal, "stage": "x"})
    )
    assert len(plainly["scores"]) == 1
    assert besides == plainly


def test_the_application_scores_as_the_tables_do(
    engine: Engine, bundle: Bundle, sample_tables: Tables
) -> None:
    """Small requests are computed on the event loop, large ones in a thread."""
    expected = expected_rows(score_open_deals(history_of(sample_tables, bundle), bundle, AS_OF))
    deals = [deal for deal in as_sent(sample_tables) if deal["deal_id"] in expected]
    bodies = [body(AS_OF, deals), *(body(AS_OF, [deal]) for deal in deals[::5])]
    compared(posted(engine, "/v1/score", bodies[:1])[0]["scores"], expected)
    alone = [answer["scores"][0] for answer in posted(engine, "/v1/score", bodies[1:])]
    compared(alone, expected, some=True)


def test_a_forecast_adds_up_as_the_roll_up_of_the_tables_does(
    engine: Engine, bundle: Bundle, company: Tables
) -> None:
    """With open deals sent as they are, and won ones either with their events or as booked amounts."""
    as_of, period = pd.Timestamp("2025-12-01 09:30", tz="UTC"), Period.parse("2025Q4")
    outlook = make_outlook(company, bundle, as_of=as_of, period=period, reasons=0)
    expected = outlook.bookings.table.set_index(["level", "entity"])
    assert expected["booked"].iloc[0] > 0
    every = [deal for deal in as_sent(company) if first_stage(deal) < as_of]
    still_open = set(outlook.scores["deal_id"])
    sides = {"users": as_records(company.users), "quotas": as_records(company.quotas)}
    booked = as_records(outlook.inputs.booked)
    for asked in (
        {"deals": every},
        {"deals": [deal for deal in every if deal["deal_id"] in still_open], "booked": booked},
    ):
        sent = body(as_of, period="2025Q4", **asked, **sides)
        (answer,) = posted(engine, "/v1/forecast", [sent])
        got = pd.DataFrame(answer["bookings"]).set_index(["level", "entity"])
        assert list(got.index) == list(expected.index)
        for name in got.columns.drop(["period", "as_of"]):
            np.testing.assert_array_equal(got[name].to_numpy(float), expected[name].to_numpy(float), name)


def posted(engine: Engine, path: str, bodies: list[bytes]) -> Rows:
    """Answers of the application to requests sent one after the other."""
    api = Api(clock=lambda: NOW_US / 1e6)
    api.open(engine, Keys.of([KEY], "test"))
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}

    async def all_of_them() -> Rows:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://localhost") as http:
            answers = [await http.post(path, content=content, headers=headers) for content in bodies]
        for answer in answers:
            assert answer.status_code == 200, answer.text
        return [answer.json() for answer in answers]

    return asyncio.run(all_of_them())
