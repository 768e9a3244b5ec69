"""After an erasure no byte of it is left in any store, and of others nothing is gone."""

from __future__ import annotations

import gzip
import json
import sqlite3
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest
from ledger_cases import DAY_US, DEALS, MADE_US, Deals, snapshot, sql

from forecast.access import EVERYTHING, Scope
from forecast.errors import BusyError, UsageError
from forecast.ledger import KINDS, Judgement, Ledger, Served, Subject
from forecast.ledger.erase import Kind
from forecast.ledger.files import erase_in_folder, still_holding

CANARY = 'Zoë "O\'Canary" <7731>'
FORMS = {
    CANARY.encode(),
    json.dumps(CANARY)[1:-1].encode(),
    json.dumps(CANARY, ensure_ascii=False)[1:-1].encode(),
}


def book(kind: str) -> Deals:
    """The usual deals and some of the canary's: as a deal, an account or a person."""
    held = dict(DEALS)
    match kind:
        case "deal":
            held[CANARY] = ("ana", "North", "A-9")
        case "account":
            held["D-8"] = ("ana", "North", CANARY)
        case _:
            held["D-8"] = (CANARY, "North", "A-9")
            held["D-9"] = (CANARY, "North", "A-1")
    return held


def fill(ledger: Ledger, kind: str) -> None:
    """The canary in every column that can hold it."""
    held = book(kind)
    for day in range(3):
        ledger.publish(snapshot(held, day=day, reason=CANARY), now_us=MADE_US + day * DAY_US)
    for deal in held:
        ledger.judge(EVERYTHING, deal, "k", Judgement("commit", note=f"{CANARY} will sign"), now_us=1)
        ledger.post("crm", f"{deal}/score", json.dumps({"deal": deal}), deal_id=deal, now_us=1)
    ledger.post("crm", f"note of {CANARY}", f"from {CANARY}", now_us=1)
    if kind in ("owner", "user"):
        ledger.create_key("own", "user", Scope("own", CANARY), now_us=1)
    ledger.create_key(f"boss of {CANARY}", "manager", Scope("team", "North"), now_us=1)
    ledger.idempotent("k", CANARY, "d" * 64, now_us=1)
    ledger.answered("k", CANARY, 200, json.dumps({"deal_id": CANARY}).encode())
    ledger.served(Served(1, "/v1/deals/{id}", "k", "r", 200, 1, Served.digest(CANARY.encode()), "b" * 64))
    ledger.flush()


def holding(ledger: Ledger, url: str) -> list[str]:
    """Files in which a byte search finds the canary, in any way of writing it."""
    if url.startswith("sqlite"):
        folder = Path(url.removeprefix("sqlite:///")).parent
    else:
        with ledger._database.maintain() as connection:
            connection.exec_driver_sql("CHECKPOINT")
        # The tables; the server's own log of writes is its administrator's to cut (docs/ledger.md).
        folder = Path(parse_qs(urlsplit(url).query)["host"][0]) / "base"
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path.name for path in files if any(form in path.read_bytes() for form in FORMS)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_byte_search_of_every_file_finds_nothing(ledger: Ledger, url: str, kind: Kind) -> None:
    fill(ledger, kind)
    assert holding(ledger, url)
    erased = ledger.erase(Subject(kind, CANARY), now_us=9)
    assert holding(ledger, url) == []
    assert len(erased.snapshots) == 3
    assert erased.bundles == ("b" * 64,)
    assert ledger.audit().broken is None


def test_what_others_deleted_carelessly_goes_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger.open(url) as ledger:
        fill(ledger, "deal")
    console = sqlite3.connect(tmp_path / "ledger.db")
    console.execute("PRAGMA secure_delete = OFF")
    console.executescript("DROP TABLE outbox")
    console.close()
    with Ledger.open(url) as ledger:
        sql(ledger, "CREATE TABLE outbox (number INTEGER PRIMARY KEY, name, deal_id, content)")
        ledger.erase(Subject("deal", CANARY), now_us=9)
        assert holding(ledger, url) == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_others_goes(ledger: Ledger, kind: Kind) -> None:
    fill(ledger, kind)
    others = "SELECT * FROM {} WHERE deal_id IN ('D-1', 'D-2', 'D-3', 'D-4') ORDER BY 1, 2"

    def rest() -> list[object]:
        scores = [row[:10] + row[-5:-4] for row in sql(ledger, others.format("scores"))]
        return [
            scores,
            sql(ledger, "SELECT deal_id, forecast_category FROM judgements WHERE deal_id < 'D-5'"),
        ]

    before = rest()
    ledger.erase(Subject(kind, CANARY), now_us=9)
    assert rest() == before
    assert [key.scope for key in ledger.stored_keys()][-1] == Scope("team", "North")
    assert ledger.count("served") == 1


def test_of_a_user_the_deals_stay_and_are_nobodys(ledger: Ledger) -> None:
    fill(ledger, "user")
    ledger.erase(Subject("user", CANARY), now_us=9)
    record = ledger.deal(EVERYTHING, "D-8")
    assert record is not None
    assert [row.owner_id for row in record.history] == [None] * 3
    assert record.newest.won_90d == 4.25
    assert len(record.judgements) == 1


def test_of_an_owner_and_an_account_the_deals_go(ledger: Ledger) -> None:
    fill(ledger, "owner")
    ledger.erase(Subject("owner", CANARY), now_us=9)
    assert ledger.deal(EVERYTHING, "D-8") is None
    assert ledger.deal(EVERYTHING, "D-1") is not None
    ledger.erase(Subject("account", "A-1"), now_us=10)
    assert ledger.deal(EVERYTHING, "D-1") is None
    assert ledger.deal(EVERYTHING, "D-2") is not None


def test_what_would_go_is_counted_before(ledger: Ledger) -> None:
    fill(ledger, "owner")
    assert ledger.holds(Subject("owner", CANARY)) == {"scores": 6, "forecasts": 3, "judgements": 2, "keys": 1}
    assert ledger.holds(Subject("owner", "nobody")) == dict.fromkeys(
        ("scores", "forecasts", "judgements", "keys"), 0
    )
    assert ledger.deals_of(Subject("owner", CANARY)) == {"D-8", "D-9"}


def test_the_note_of_it_names_nobody_and_says_the_same_name_twice(ledger: Ledger) -> None:
    fill(ledger, "deal")
    first = ledger.erase(Subject("deal", CANARY), now_us=9)
    again = ledger.erase(Subject("deal", CANARY), now_us=10)
    assert first.hash == again.hash
    assert first.snapshots == again.snapshots, "a second run still tells of the first"
    assert ledger.erase(Subject("account", CANARY), now_us=11).hash != first.hash
    assert CANARY not in str([entry.details for entry in ledger.entries()])


def test_a_reader_of_the_old_state_is_told_of_and_the_same_command_finishes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecast.ledger.database._BUSY_MS", 100)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    with Ledger.open(url) as ledger, Ledger.open(url) as other:
        fill(ledger, "deal")
        with other._database.read() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM scores").all()
            with pytest.raises(BusyError, match=r"run the same command again|try again"):
                ledger.erase(Subject("deal", CANARY), now_us=9)
            assert [entry.details["kind"] for entry in ledger.unfinished_erasures()] == ["deal"]
        ledger.erase(Subject("deal", CANARY), now_us=10)
        assert ledger.unfinished_erasures() == []
        assert holding(ledger, url) == []


@pytest.mark.parametrize("bare", ["", " "])
def test_a_blank_id_is_refused(bare: str) -> None:
    with pytest.raises(UsageError):
        Subject("owner", bare)


def test_what_is_too_old_goes_and_its_bytes_too(ledger: Ledger, url: str) -> None:
    ledger.publish(snapshot(book("deal"), day=0), now_us=MADE_US)
    ledger.publish(snapshot(day=9), now_us=MADE_US + 9 * DAY_US)
    for at in (MADE_US, MADE_US + 9 * DAY_US):
        ledger.judge(EVERYTHING, "D-1", "k", Judgement("commit"), now_us=at)
        ledger.served(Served(at, "/v1/score", "k", "r", 200, 1, "a" * 64, "b" * 64))
    ledger.flush()
    gone = ledger.erase_before(MADE_US + DAY_US, now_us=MADE_US + 10 * DAY_US)
    assert gone.rows == {
        "scores": 5, "forecasts": 9, "judgements": 1, "served": 1, "outbox": 0, "snapshots": 1,
    }  # fmt: skip
    assert [(found.as_of_us - MADE_US) // DAY_US for found in ledger.snapshots()] == [9]
    assert holding(ledger, url) == []
    assert ledger.entries()[-1].event == "expired"


# -- files a user names --------------------------------------------------------------------------------------


def test_rows_and_entries_go_and_the_rest_stays_to_the_byte(tmp_path: Path) -> None:
    quoted = CANARY.replace('"', '""')
    (tmp_path / "scores.csv").write_text(
        'deal_id,owner_id,note\r\nD-1,ana,"two\nlines"\r\n'
        f'D-2,"{quoted}",x\r\nD-8,ben,"by {quoted}"\r\nD-3,ana,y\r\n',
        newline="",
    )
    frame = pd.DataFrame(
        {"deal_id": ["D-1", "D-2", "D-3"], "owner_id": ["ana", CANARY, None], "won": [0.1, 0.2, 0.3]}
    )
    frame.to_parquet(tmp_path / "scores.parquet")
    found = {"tables": {"deals": {"read": 2}}, "quarantine": [{"raw": f"D-2,{CANARY},x"}, {"raw": "D-4,?"}]}
    (tmp_path / "check.json").write_text(json.dumps(found))
    (tmp_path / "bulk.ndjson").write_text(json.dumps({"owner_id": CANARY}) + '\n{"owner_id":  "ana"}\n')
    (tmp_path / "report.html").write_text("<td>Zoë &quot;O&#x27;Canary&quot; &lt;7731&gt;</td>")
    (tmp_path / "deal.html").write_text("<td>D-1</td><li>D-21, D-2 (Ana, 3k)</li>")
    (tmp_path / "other.html").write_text("<td>ana</td><td>D-21</td>")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "questions.csv").write_text("deal_id,question\nD-2,need\nD-1,need\n")

    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    rehearsed = erase_in_folder(tmp_path, Subject("owner", CANARY), {"D-2"}, rehearse=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before

    done = erase_in_folder(tmp_path, Subject("owner", CANARY), {"D-2"})

    assert done == rehearsed
    assert {path.name: rows for path, rows in done.changed.items()} == {
        "scores.csv": 2, "scores.parquet": 1, "check.json": 1, "bulk.ndjson": 1, "questions.csv": 1,
    }  # fmt: skip
    assert [path.name for path in done.removed] == ["deal.html", "report.html"]
    assert (
        tmp_path / "scores.csv"
    ).read_bytes() == b'deal_id,owner_id,note\r\nD-1,ana,"two\nlines"\r\nD-3,ana,y\r\n'
    assert pd.read_parquet(tmp_path / "scores.parquet")["won"].tolist() == [0.1, 0.3]
    assert json.loads((tmp_path / "check.json").read_text()) == {
        "tables": {"deals": {"read": 2}}, "quarantine": [{"raw": "D-4,?"}],
    }  # fmt: skip
    assert (tmp_path / "bulk.ndjson").read_text() == '{"owner_id":  "ana"}\n'
    assert (tmp_path / "other.html").exists()
    assert still_holding(tmp_path, Subject("owner", CANARY)) == []
    again = erase_in_folder(tmp_path, Subject("owner", CANARY), {"D-2"})
    assert (again.changed, again.removed) == ({}, ())


def test_an_id_inside_another_is_another(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("deal_id,owner_id\nD-1,U-3\nD-2,U-30\nD-3,XU-3\n")
    erase_in_folder(tmp_path, Subject("owner", "U-3"))
    assert (tmp_path / "a.csv").read_text() == "deal_id,owner_id\nD-2,U-30\nD-3,XU-3\n"


def test_a_bare_number_is_an_id_only_where_ids_are(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("deal_id,amount,note\n7,100,x\n8,7,7\n")
    (tmp_path / "a.json").write_text(json.dumps([{"deal_id": "7"}, {"deal_id": "8", "amount": 7}]))
    (tmp_path / "a.html").write_text("<p>7 deals</p>")
    (tmp_path / "b.html").write_text("<td> 7 </td>")
    erase_in_folder(tmp_path, Subject("deal", "7"))
    assert (tmp_path / "a.csv").read_text() == "deal_id,amount,note\n8,7,7\n"
    assert json.loads((tmp_path / "a.json").read_text()) == [{"deal_id": "8", "amount": 7}]
    assert (tmp_path / "a.html").exists()
    assert not (tmp_path / "b.html").exists()


def test_what_cannot_be_taken_apart_is_named_and_left(tmp_path: Path, trained_bundle: Path) -> None:
    copy = tmp_path / "bundle"
    copy.mkdir()
    for path in trained_bundle.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    account = next(iter(json.loads((copy / "records.json").read_text())["tables"]["account"]))
    (tmp_path / "notes.txt").write_text(f"call {account}")
    (tmp_path / "torn.csv").write_bytes(b"deal_id\n\xff" + account.encode())
    (tmp_path / "old.csv.gz").write_bytes(gzip.compress(account.encode()))
    (tmp_path / "link.csv").symlink_to(tmp_path / "notes.txt")
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    done = erase_in_folder(tmp_path, Subject("account", account))
    assert (done.changed, done.removed) == ({}, ())
    assert [path.name for path in done.packed] == ["old.csv.gz"]
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before
    assert {"notes.txt", "torn.csv", "records.json"} <= {
        path.name for path in still_holding(tmp_path, Subject("account", account))
    }
