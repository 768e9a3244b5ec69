"""docs/crm-admin.md as it stands, run by bash against a real server; and the Python client against the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast.bundle import load_bundle
from forecast.client import Client, RefusedError, UnreachableError
from forecast.ledger import Ledger
from forecast.outlook import history_of
from forecast.periods import Period
from forecast.publishing import make_snapshot, plan_snapshot
from forecast.scoring import score_open_deals
from forecast.tables import Tables, open_tables

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "service"))

from running_server import KEY, Server, environment_for, free_port, running  # noqa: E402
from test_same_scores import as_sent, compared, expected_rows, first_stage  # noqa: E402

pytestmark = pytest.mark.e2e

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
BLOCKS = re.compile(r"```bash\n(.*?)```(?:\n```text\n(.*?)```)?", re.DOTALL)


@dataclass(frozen=True)
class Place:
    """A server with a ledger in which a forecast was published."""

    server: Server
    home: Path
    ledger: str
    deal: str


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory, lead_bundle: Path, sample_folder: Path
) -> Iterator[Place]:
    home = tmp_path_factory.mktemp("admin")
    url = f"sqlite:///{home / 'forecast.db'}"
    with Ledger.open(url) as ledger:
        plan = plan_snapshot(
            open_tables(sample_folder), load_bundle(lead_bundle), AS_OF, (Period.parse("2026Q1"),)
        )
        snapshot = make_snapshot(plan)
        ledger.publish(snapshot, now_us=1_767_225_600_000_000)
        deal = str(snapshot.scores["deal_id"].iloc[0])
    port = free_port()
    arguments = ["forecast.cli", "serve", "--port", str(port), "--bundle", str(lead_bundle)]
    with running(
        arguments, port, home, environment_for(home, lead_bundle, FORECAST_LEDGER=url), home
    ) as started:
        yield Place(started, home, url, deal)


def matches(expected: str, told: str) -> bool:
    """Whether an output is the one that is shown, where `…` stands for anything within a line."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("…"))
    return re.fullmatch(pattern + (".*" if expected.strip().endswith("…") else ""), told.strip()) is not None


def test_every_example_of_the_page_runs_as_it_stands(place: Place) -> None:
    blocks = BLOCKS.findall((ROOT / "docs" / "crm-admin.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 12
    # One shell for all of them, as somebody would type them; a mark between their outputs.
    script = ["set -eu -o pipefail"]
    for code, _ in blocks:
        # A service looks for new keys every two seconds.
        script += [code, "sleep 4" if "keys create" in code else "", "echo; echo '=== end of block'"]
    work = place.home / "admin"
    work.mkdir()
    commands = place.home / "bin"
    commands.mkdir()
    (commands / "forecast").write_text(f'#!/bin/sh\nexec {sys.executable} -m forecast.cli "$@"\n')
    (commands / "forecast").chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "FORECAST": place.server.url,
        "FORECAST_LEDGER": place.ledger,
        "DEAL": place.deal,
        "no_proxy": "*",
    }
    done = subprocess.run(
        ["bash", "-c", "\n".join(script)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    outputs = done.stdout.split("=== end of block")
    for (code, expected), told in zip(blocks, outputs, strict=False):
        if expected:
            assert matches(expected, told), f"{code}\nshown: {expected}\ntold: {told[:3000]}"
    log = place.server.log.read_text()
    assert all(key.read_text().strip() not in log for key in work.glob("*.key"))


def test_every_code_the_page_names_is_one_of_ours() -> None:
    page = (ROOT / "docs" / "crm-admin.md").read_text(encoding="utf-8")
    source = "".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "src" / "forecast" / "service").glob("*.py")
    )
    table = page.split("| Status |")[1].split("\n\n")[0]
    codes = re.findall(r"`([a-z_]+)`", "".join(line.split("|")[2] for line in table.splitlines()[2:]))
    assert len(codes) > 15
    assert [code for code in codes if f'"{code}"' not in source] == []


# -- the Python client --------------------------------------------------------------------------------------


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    with Client(place.server.url, KEY) as opened:
        yield opened


@pytest.fixture(scope="module")
def deals(sample_tables: Tables) -> list[dict[str, Any]]:
    return [deal for deal in as_sent(sample_tables) if first_stage(deal) < AS_OF]


def test_the_client_scores_as_the_library_does(
    client: Client, deals: list[dict[str, Any]], sample_tables: Tables, lead_bundle: Path
) -> None:
    """In one list and row by row; both over one connection each, and the connection serves again."""
    bundle = load_bundle(lead_bundle)
    expected = expected_rows(score_open_deals(history_of(sample_tables, bundle), bundle, AS_OF, reasons=5))
    moment = AS_OF.isoformat().replace("+00:00", "Z")
    found: list[Any] = []
    for at in range(0, len(deals), 400):
        answer = client.score(deals[at : at + 400], as_of=moment, reasons=5)
        assert answer["model"]["bundle"] == bundle.id
        found += answer["scores"]
    compared(found, expected)
    rows = list(client.bulk(iter(deals), as_of=moment, reasons=5))
    assert [row.row for row in rows] == list(range(len(deals)))
    compared([dict(row.score) for row in rows if row.score is not None], expected)
    assert sum(row.skipped is not None for row in rows) == len(deals) - len(expected)


def test_a_book_larger_than_every_buffer_flows_through(client: Client, deals: list[dict[str, Any]]) -> None:
    """Both sides hold a few hundred kilobytes; who did not read while sending would stand still here."""
    book = ({**deals[n % 50], "deal_id": f"B-{n}"} for n in range(8_000))
    count = sum(
        row.row == at for at, row in enumerate(client.bulk(book, as_of="2026-01-01T00:00:00Z", reasons=0))
    )
    assert count == 8_000


def test_a_bad_row_comes_back_with_its_place(client: Client, deals: list[dict[str, Any]]) -> None:
    good, bad = deals[0], {**deals[1], "amount": "1,5"}
    first, second = client.bulk([good, bad], as_of="2026-01-01T00:00:00Z")
    assert first.error is None
    assert second.error is not None
    assert (second.error.code, second.error.field, second.error.row) == ("not_a_number", "amount", 1)


def test_a_table_goes_through_as_a_file(client: Client) -> None:
    body = b"deal_id,created_at,stage\nD-1,2025-12-02T10:00:00Z,qualification\nD-2,yesterday,demo\n"
    head, *rows = b"".join(client.bulk_csv([body[:20], body[20:]], reasons=0)).decode().splitlines()
    assert head.startswith("row,deal_id,as_of,")
    assert rows[0].startswith("0,D-1,")
    assert ",bad_moment,created_at," in rows[1]


def test_what_is_stored_is_read_and_judged(client: Client, place: Place) -> None:
    assert client.forecast("2026Q1", level="company")["forecasts"][0]["entity"] == "*"
    said = client.judge(place.deal, forecast_category="commit", note="sure", idempotency_key="client-1")
    assert said == client.judge(
        place.deal, forecast_category="commit", note="sure", idempotency_key="client-1"
    )
    read = client.deal(place.deal, locale="it")
    assert [one["number"] for one in read["judgements"]].count(said["number"]) == 1
    assert client.model()["model"]["bundle"]


def test_a_refusal_is_an_exception_with_its_place(client: Client, place: Place) -> None:
    with pytest.raises(RefusedError) as caught:
        client.score([{"deal_id": "x", "created_at": "2025-01-01"}])
    refused = caught.value
    assert (refused.status, refused.code, refused.field, refused.row) == (400, "no_zone", "created_at", 0)
    assert refused.request_id
    with pytest.raises(RefusedError, match="not_found"):
        client.deal("no/such deal")
    with pytest.raises(RefusedError, match="unknown_key"):
        list(client.bulk([], as_of="2026-01-01T00:00:00Z", locale="xx")) if False else client._get(
            "/v1/model?x=1"
        )
    with Client(place.server.url, "another") as stranger, pytest.raises(RefusedError) as caught:
        list(stranger.bulk([{"deal_id": "x"}] * 10))
    assert caught.value.status == 401


def test_a_fault_of_the_caller_ends_a_stream_as_their_own(
    client: Client, deals: list[dict[str, Any]]
) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield deals[0]
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(client.bulk(broken()))
    assert client.model()


def test_nobody_there_is_said_so() -> None:
    with pytest.raises(UnreachableError, match="cannot be reached"):
        Client(f"http://127.0.0.1:{free_port()}", KEY).model()


def test_threads_are_gone_when_a_stream_is_left(client: Client, deals: list[dict[str, Any]]) -> None:
    before = threading.active_count()
    stream = client.bulk(({**deals[n % 50], "deal_id": f"B-{n}"} for n in range(3_000)), reasons=0)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert threading.active_count() <= before
