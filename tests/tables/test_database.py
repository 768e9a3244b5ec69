"""Tables of a database: the same rows, the same account of them and the same fingerprint as from files."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from small_company import COMPANY, write_company

from benchmarks.databases import fill_duckdb, fill_postgresql
from forecast.cli import cli, run
from forecast.database_url import DatabaseUrl, parse_source
from forecast.errors import BusyError, DataError, ForecastError, UnavailableError, UsageError
from forecast.tables import FolderError, Reading, database, open_tables, read_folder

psycopg = pytest.importorskip("psycopg", reason="needs the extra `database`")
duckdb = pytest.importorskip("duckdb", reason="needs the extra `database`")

# name -> (fills a schema, opens a connection that may write, the URL of a schema)
Fill = Callable[..., str]


@pytest.fixture(params=["postgresql", "duckdb"])
def fill(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fill]:
    """Puts the files of a folder into a schema of a database, runs further statements, gives the URL."""
    if request.param == "duckdb":

        def into_duckdb(folder: Path, *statements: str, **types: dict[str, str]) -> str:
            path = tmp_path / "written.duckdb"
            with duckdb.connect(str(path)) as connection:
                fill_duckdb(connection, folder, **types)
                for statement in statements:
                    connection.execute(statement)
            return f"duckdb:///{path}?schema=crm"

        yield into_duckdb
        return
    uri = request.getfixturevalue("postgresql")

    def into_postgresql(folder: Path, *statements: str, **types: dict[str, str]) -> str:
        with psycopg.connect(uri) as connection:
            fill_postgresql(connection, folder, **types)
            for statement in statements:
                connection.execute(statement)
        return f"{uri}&schema=crm"

    yield into_postgresql
    with psycopg.connect(uri) as connection:
        connection.execute("DROP SCHEMA IF EXISTS crm CASCADE")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_company(tmp_path / "company")


def counts(reading: Reading) -> dict[str, Any]:
    return {name: asdict(count) for name, count in reading.report.tables.items()}


# -- the same company ----------------------------------------------------------------------------------------


def test_a_database_has_the_fingerprint_of_the_files_it_was_filled_from(folder: Path, fill: Fill) -> None:
    files, tables = read_folder(folder), open_tables(fill(folder))
    assert tables.tables.fingerprints == files.tables.fingerprints
    assert counts(tables) == counts(files)


def test_typed_as_a_crm_has_them_or_all_text_is_the_same(folder: Path, fill: Fill) -> None:
    types = {
        "deals": dict.fromkeys(("created_at", "amount", "expected_close_on", "budget", "need"), "text"),
        "users": {"active": "text"},
        "quotas": {"amount": "text"},
    }
    assert open_tables(fill(folder, **types)).tables.fingerprint == read_folder(folder).tables.fingerprint


def test_established_or_not_as_boolean_is_one_or_zero(folder: Path, fill: Fill) -> None:
    url = fill(folder, leads=dict.fromkeys(("authority",), "boolean"))
    lead = open_tables(url).tables.leads.iloc[0]
    assert lead["authority"] == 1.0
    assert lead.isna()["budget"]


def test_empty_text_is_unknown_like_null(folder: Path, fill: Fill) -> None:
    url = fill(
        folder, "UPDATE crm.deals SET source = '' WHERE source IS NULL", "UPDATE crm.users SET email = ' '"
    )
    blank = write_company(folder.parent / "blank", users=COMPANY["users"].replace("ana@example.com", ""))
    assert open_tables(url).tables.fingerprint == read_folder(blank).tables.fingerprint


def test_text_of_any_kind_comes_through(folder: Path, fill: Fill) -> None:
    odd = "a\nb\r\n\"c\", 'd' \\N \\. é\u2028 €"
    quoted = odd.replace("'", "''")
    url = fill(folder, f"UPDATE crm.deals SET industry = '{quoted}'")  # noqa: S608  (our own text)
    assert open_tables(url).tables.deals["industry"].tolist() == [odd] * 3


def test_views_do_and_further_columns_are_custom_attributes(folder: Path, fill: Fill) -> None:
    url = fill(
        folder,
        "ALTER TABLE crm.deals RENAME TO opportunities",
        "CREATE VIEW crm.deals AS SELECT *, 3 AS seats, true AS pilot, CAST(1.50 AS numeric(4, 2)) AS factor "
        "FROM crm.opportunities",
    )
    deals = open_tables(url).tables.deals
    assert deals["seats"].tolist() == ["3"] * 3
    assert deals["pilot"].tolist() == ["true"] * 3
    assert deals["factor"].tolist() == ["1.50"] * 3


def test_whole_numbers_are_ids(folder: Path, fill: Fill) -> None:
    for table in ("deals", "deal_events", "leads", "activities"):
        path = folder / f"{table}.csv"
        path.write_text(path.read_text().replace("None,", "12,").replace("007,", "7,"))
    types = {name: {"deal_id": "bigint"} for name in ("deals", "deal_events", "leads", "activities")}
    deals = open_tables(fill(folder, **types)).tables.deals
    assert sorted(deals["deal_id"]) == ["12", "7", "9007199254740993"]


def test_optional_tables_may_be_absent(fill: Fill, tmp_path: Path) -> None:
    few = write_company(tmp_path / "few", leads=None, activities=None, quotas=None)
    reading = open_tables(fill(few))
    assert reading.tables.fingerprint == read_folder(few).tables.fingerprint
    assert reading.tables.leads.empty


@pytest.mark.slow
def test_scores_and_their_receipt_are_those_of_the_folder(
    sample_folder: Path, trained_bundle: Path, fill: Fill, tmp_path: Path
) -> None:
    for source, name in ((str(sample_folder), "folder"), (fill(sample_folder), "database")):
        (tmp_path / name).mkdir()
        arguments = [
            "--data",
            source,
            "--bundle",
            str(trained_bundle),
            "--out",
            f"{tmp_path}/{name}/scores.csv",
        ]
        assert run(cli, ["score", *arguments], "forecast") == 0
    for file in ("scores.csv", "scores.csv.receipt.json"):
        assert (tmp_path / "database" / file).read_bytes() == (tmp_path / "folder" / file).read_bytes()


# -- rows that are not as they should be -----------------------------------------------------------------------


def test_bad_rows_are_set_aside_by_key_and_the_counts_add_up(folder: Path, fill: Fill) -> None:
    url = fill(
        folder,
        "INSERT INTO crm.deals (deal_id, pipeline, created_at, budget) VALUES ('17', 'sales', '2025-01-01', 3)",
        "INSERT INTO crm.deal_events VALUES ('007', '2025-02-01', 'amount', '8.000,5', NULL)",
        "INSERT INTO crm.deal_events SELECT * FROM crm.deal_events WHERE field = 'need'",
        "INSERT INTO crm.users SELECT 'ana', 'Anna Rossi', team, region, NULL, NULL, true FROM crm.users "
        "WHERE user_id = 'ana'",
    )
    report = open_tables(url).report
    bad = report.quarantine.set_index("table")
    assert bad.loc["deals", "file"] == "table deals, row with deal_id '17'"
    assert bad.loc["deals", "reason"] == "budget '3.00' lies outside 0 to 1"
    assert bad.loc["deals", "raw"].startswith("17,sales,")
    assert bad.loc["deal_events", "file"].startswith(
        "table deal_events, row with deal_id '007', recorded_at '2025"
    )
    assert set(bad["line"]) == {0}
    assert report.tables["deal_events"].duplicates == 1
    assert report.tables["users"].superseded == 1
    for count in report.tables.values():
        assert count.read == count.loaded + count.duplicates + count.superseded + count.quarantined
    assert any("which of them holds is arbitrary" in text for text in report.warnings)


def test_which_of_two_versions_holds_does_not_depend_on_their_order(folder: Path, fill: Fill) -> None:
    texts = [
        "'ana', 'Zoe', 'north', 'italy', NULL, NULL, true",
        "'ana', 'Ana', 'south', 'italy', NULL, NULL, true",
    ]
    versions = [f"INSERT INTO crm.users VALUES ({text})" for text in texts]  # noqa: S608  (our own text)
    gone = "DELETE FROM crm.users"
    one, other = (
        open_tables(fill(folder, gone, *order)).tables.users for order in (versions, versions[::-1])
    )
    assert one["name"].tolist() == other["name"].tolist()
    assert len(one) == 1


def test_what_cannot_be_read_as_a_moment_is_set_aside(folder: Path, fill: Fill) -> None:
    url = fill(
        folder,
        "UPDATE crm.deals SET created_at = 'yesterday' WHERE deal_id = '007'",
        deals={"created_at": "text"},
    )
    bad = open_tables(url).report.quarantine
    assert bad.loc[bad["table"] == "deals", "code"].tolist() == ["bad_moment"]


def test_moments_without_zone_are_read_in_the_zone_and_told(folder: Path, fill: Fill) -> None:
    reading = open_tables(fill(folder, leads={"created_at": "timestamp"}), zone="Europe/Rome")
    assert str(reading.tables.leads["created_at"][0]) == "2025-01-02 08:00:00+00:00"
    assert "table leads: created_at: 1 moment has no zone; read in Europe/Rome" in reading.report.warnings


@pytest.mark.parametrize(
    ("types", "statement", "says"),
    [
        ({}, "DROP TABLE crm.deals", "table deals is missing in schema crm"),
        ({}, "ALTER TABLE crm.deals RENAME COLUMN created_at TO created", "has no column 'created_at'; is"),
        ({"deals": {"amount": "date"}}, "UPDATE crm.deals SET amount = NULL", "stores amount as"),
        ({"deals": {"deal_id": "double precision"}}, "", "stores deal_id as"),
        ({"deals": {"created_at": "boolean"}}, "", "stores created_at as"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_used_is_refused_in_one_line(
    fill: Fill, tmp_path: Path, types: dict[str, dict[str, str]], statement: str, says: str
) -> None:
    # Nothing but headers: what is wrong here is wrong before the first row.
    texts = {"deals": COMPANY["deals"].split("\n")[0] + "\n"} if types else {}
    url = fill(write_company(tmp_path / "odd", **texts), *([statement] if statement else []), **types)
    with pytest.raises(FolderError, match=says) as caught:
        open_tables(url)
    assert caught.value.exit_code == 3
    assert caught.value.message.startswith("table deals ")
    assert "\n" not in caught.value.message


# -- one state, no writing -----------------------------------------------------------------------------------


def test_a_writer_in_the_middle_does_not_tear_the_snapshot(
    folder: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first table was read somebody changes all others; what comes out is the state of before."""
    with psycopg.connect(postgresql) as connection:
        fill_postgresql(connection, folder, "busy")
    plain = database._pg_cells
    begun = threading.Event()

    def interrupted(connection: Any, schema: str | None, table: str, columns: Any) -> Any:
        cells = plain(connection, schema, table, columns)
        if not begun.is_set():
            begun.set()
            with psycopg.connect(postgresql) as writer:
                writer.execute("DELETE FROM busy.deal_events WHERE deal_id = '007'")
                writer.execute("UPDATE busy.deals SET amount = 1")
                writer.execute(
                    "INSERT INTO busy.users VALUES ('new', 'New', 'south', 'italy', NULL, NULL, true)"
                )
        return cells

    monkeypatch.setattr(database, "_pg_cells", interrupted)
    try:
        torn = open_tables(f"{postgresql}&schema=busy").tables
        assert begun.is_set()
        assert torn.fingerprint == read_folder(folder).tables.fingerprint
        assert open_tables(f"{postgresql}&schema=busy").tables.fingerprint != torn.fingerprint
    finally:
        with psycopg.connect(postgresql) as connection:
            connection.execute("DROP SCHEMA busy CASCADE")


def test_nothing_can_be_written(folder: Path, fill: Fill) -> None:
    url = parse_source(fill(folder))
    assert isinstance(url, DatabaseUrl)
    inside = database._postgresql if url.kind == "postgresql" else database._duckdb
    with pytest.raises((ForecastError, duckdb.Error), match="read-only"), inside(url) as (columns_of, _):
        columns_of.args[0].execute("DELETE FROM crm.users")
    assert len(open_tables(url).tables.users) == 2


def test_a_role_that_may_not_read_is_told_which_table(folder: Path, postgresql: str) -> None:
    with psycopg.connect(postgresql) as connection:
        fill_postgresql(connection, folder, "closed")
        connection.execute("CREATE ROLE reader LOGIN")
        connection.execute("GRANT USAGE ON SCHEMA closed TO reader")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA closed TO reader")
        connection.execute("REVOKE SELECT ON closed.deals, closed.users FROM reader")
    try:
        with pytest.raises(
            FolderError, match=r"table deals cannot be read: permission denied.*GRANT SELECT"
        ) as caught:
            open_tables(f"{postgresql.replace('postgres:@', 'reader@')}&schema=closed")
        assert [refusal.file for refusal in caught.value.report.refused] == ["table deals", "table users"]
    finally:
        with psycopg.connect(postgresql) as connection:
            connection.execute("DROP SCHEMA closed CASCADE")
            connection.execute("DROP ROLE reader")


def test_a_duckdb_file_may_be_called_like_its_schema(folder: Path, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as connection:
        fill_duckdb(connection, folder)
    (tmp_path / "other.duckdb").rename(tmp_path / "crm.duckdb")
    assert len(open_tables(f"duckdb:///{tmp_path}/crm.duckdb?schema=crm").tables.deals) == 3


def test_a_duckdb_file_in_use_is_told_at_once(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "busy.duckdb"
    with duckdb.connect(str(path)) as connection:
        fill_duckdb(connection, folder)
    script = (
        f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout
        assert writer.stdout.readline() == b"open\n"
        with pytest.raises(BusyError, match=f"open in another process.*PID {writer.pid}.*Parquet") as caught:
            open_tables(f"duckdb:///{path}?schema=crm")
        writer.communicate()
    assert caught.value.exit_code == 6
    assert len(open_tables(f"duckdb:///{path}?schema=crm").tables.deals) == 3


# -- URLs and passwords --------------------------------------------------------------------------------------


def test_a_path_is_a_folder_and_a_url_a_database() -> None:
    assert parse_source("data/x") == Path("data/x")
    assert parse_source("duckdb:///crm.duckdb").target == "crm.duckdb"
    assert parse_source("duckdb:////srv/crm.duckdb").target == "/srv/crm.duckdb"
    url = parse_source("postgresql+psycopg://ana:p%40ss@db:5433/crm?schema=sales&sslmode=require")
    assert isinstance(url, DatabaseUrl)
    assert (url.schema, url.password) == ("sales", "p@ss")
    assert url.target == "postgresql://ana:p%40ss@db:5433/crm?sslmode=require"


@pytest.mark.parametrize(
    "text", ["mysql://u:hunter2@h/d", "duckdb://hunter2/x", "duckdb:///x?hunter=2", "postgresql://u:hunter2@[::1/d"]
)  # fmt: skip
def test_other_urls_are_refused_without_repeating_a_password(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert "hunter2" not in caught.value.message


@pytest.mark.parametrize("password", ["hunter2", "p@ss word/%"])
def test_a_password_is_in_no_text(password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = quote(password, safe="")
    for text in (
        f"postgresql://ana:{written}@127.0.0.1:1/crm?schema=x",
        f"postgresql://ana@127.0.0.1:1/crm?password={written}",
        f"postgresql://ana:{written}@127.0.0.1:nine/crm",
        f"postgresql://ana:{written}@127.0.0.1:1/crm?bogus={written}",
    ):
        url = parse_source(text)
        with pytest.raises((UnavailableError, UsageError)) as caught:
            open_tables(url)
        for shown in (str(url), repr(url), caught.value.message):
            assert password not in shown
            assert written not in shown
    monkeypatch.setenv(database.PASSWORD_VARIABLE, password)
    with pytest.raises(UnavailableError, match="check host, user and password") as caught:
        open_tables("postgresql://ana@127.0.0.1:1/crm")
    assert password not in caught.value.message


def test_the_password_comes_from_the_environment(
    folder: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {}

    def connect(target: str, **more: Any) -> Any:
        given.update(more)
        raise psycopg.OperationalError("no")

    monkeypatch.setattr(psycopg, "connect", connect)
    monkeypatch.setenv(database.PASSWORD_VARIABLE, "from-outside")
    for text, password in (("postgresql://ana@h/d", "from-outside"), ("postgresql://ana:own@h/d", None)):
        given.clear()
        with pytest.raises(UnavailableError):
            open_tables(text)
        assert given.get("password") == password
        assert given["connect_timeout"] <= 5


@pytest.mark.parametrize("url", ["postgresql://h/d", "duckdb:///x.duckdb"])
def test_without_the_driver_the_extra_is_named(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match=r"pip install 'forecast\[database\]'"):
        open_tables(url)


def test_a_file_that_is_no_duckdb_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.duckdb").write_bytes(b"no database" * 1000)
    with pytest.raises(DataError, match=r"x\.duckdb cannot be opened"):
        open_tables(f"duckdb:///{tmp_path}/x.duckdb")
    with pytest.raises(DataError, match="four slashes"):
        open_tables("duckdb:///absent.duckdb")


# -- the guide -----------------------------------------------------------------------------------------------

# What the page's example starts from: a CRM with its own names, one deal won and one never touched.
CRM = """
CREATE SCHEMA crm;
CREATE TABLE crm.opportunity_stage (name text, sort_order int, probability int, is_won bool, is_closed bool);
INSERT INTO crm.opportunity_stage VALUES
    ('Qualify', 1, 10, false, false), ('Won', 2, 100, true, true), ('Lost', 3, 0, false, true);
CREATE TABLE crm.opportunity (id bigint, created_at timestamptz, account_id bigint, lead_source text, owner_id bigint,
    amount numeric, currency text, close_date date, budget_confirmed bool, industry text, stage_name text, is_deleted bool);
INSERT INTO crm.opportunity VALUES
    (1, '2025-01-01', 7, 'web', 3, 1000, 'EUR', '2025-03-01', true, 'toys', 'Won', false),
    (2, '2025-02-01', 7, 'web', 3, 2000, 'EUR', '2025-05-01', NULL, 'toys', 'Qualify', false);
CREATE TABLE crm.opportunity_history (opportunity_id bigint, changed_at timestamptz, field text, old_value text, new_value text);
INSERT INTO crm.opportunity_history VALUES (1, '2025-02-15', 'StageName', 'Qualify', 'Won'), (1, '2025-02-01', 'Phone', 'a', 'b');
"""  # noqa: E501


def test_the_views_and_the_role_of_the_guide_work(postgresql: str) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "data-sources.md").read_text(encoding="utf-8")
    views, role, _ = re.findall(r"```sql\n(.*?)```", page, flags=re.DOTALL)
    with psycopg.connect(postgresql) as connection:
        connection.execute(CRM)
        connection.execute(views)
        connection.execute(role)
    try:
        url = postgresql.replace("postgres:@", "forecast_reader@")
        reading = open_tables(f"{url}&schema=forecast")
        assert len(reading.report.quarantine) == 0
        assert reading.tables.deals[["deal_id", "budget", "industry"]].fillna(-1).to_numpy().tolist() == [
            ["1", 1.0, "toys"],
            ["2", -1, "toys"],
        ]
        events = reading.tables.deal_events.sort_values(["deal_id", "recorded_at"])
        assert events[["deal_id", "value"]].to_numpy().tolist() == [
            ["1", "Qualify"],
            ["1", "Won"],
            ["2", "Qualify"],
        ]
        with pytest.raises(DataError, match="permission denied for schema crm"):
            open_tables(f"{url}&schema=crm")
    finally:
        with psycopg.connect(postgresql) as connection:
            connection.execute(
                "DROP SCHEMA forecast CASCADE; DROP SCHEMA crm CASCADE; DROP ROLE forecast_reader"
            )
