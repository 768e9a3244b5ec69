"""A ledger is made, brought to the newest schema by one process while others wait, or refused with a reason."""

# ruff: noqa: S608  (statements made of our own names)
from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from ledger_cases import snapshot, sql

from forecast.cli import cli, run
from forecast.errors import DataError, ForecastError, OutputError, UnavailableError, UsageError
from forecast.ledger import LEDGER_FILE, LEDGER_URL, Ledger, ledger_url, parse_place
from forecast.ledger.database import Database, _postgresql, _sqlite
from forecast.ledger.migrate import VERSION_TABLE, configuration, newest, upgrade, versions
from forecast.ledger.schema import METADATA

ROOT = Path(__file__).resolve().parents[2]


def bare(url: str) -> Database:
    """The database of a URL without anything done to it but an empty schema where one is named."""
    place = parse_place(url)
    if place.server is None:
        return Database(place, _sqlite(place))
    database = Database(place, _postgresql(place))
    with database.write() as connection:
        connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {place.server.schema}")
    database.close()
    return Database(place, _postgresql(place))


def differences(ledger: Ledger) -> list[object]:
    """Between the schema of a database and the one the code works with."""
    with ledger._database.read() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        return list(compare_metadata(context, METADATA))


def test_an_empty_database_gets_the_schema_of_the_code(ledger: Ledger) -> None:
    assert differences(ledger) == []
    assert [entry.event for entry in ledger.entries()] == ["ledger_made"]


def test_opened_again_it_is_the_same_ledger(url: str) -> None:
    with Ledger.open(url) as first:
        first.publish(snapshot(), now_us=1)
        made = first.entries()
    with Ledger.open(url) as second:
        assert second.entries() == made
        assert len(second.snapshots()) == 1


@pytest.mark.parametrize("version", versions())
def test_every_older_version_is_brought_to_the_newest(url: str, version: str) -> None:
    database = bare(url)
    with database.write() as connection:
        command.upgrade(configuration(connection), version)
    database.close()
    with Ledger.open(url) as ledger:
        assert differences(ledger) == []
        assert sql(ledger, f"SELECT version_num FROM {VERSION_TABLE}") == [(newest(),)]
        with pytest.raises(DataError, match="append-only"):
            sql(ledger, "UPDATE audit SET event = 'x'")


def test_an_upgrade_that_breaks_leaves_nothing(url: str) -> None:
    database = bare(url)

    def break_off() -> None:
        with database.write() as connection:
            upgrade(connection, "here")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    database.close()
    with Ledger.open(url) as ledger:
        assert differences(ledger) == []


def test_a_newer_ledger_is_refused_and_left_as_it_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Ledger.open(url) as ledger:
        sql(ledger, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(DataError, match="newer than this program") as refused:
        Ledger.open(url)
    assert refused.value.code == "newer_ledger"
    assert run(cli, ["keys", "list", "--ledger", url], "forecast") == 3
    assert "9999" in capsys.readouterr().err


def test_a_database_of_something_else_is_refused(url: str) -> None:
    database = bare(url)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE customers (id INTEGER)")
    database.close()
    with pytest.raises(DataError, match="no ledger"):
        Ledger.open(url)


def test_eight_at_once_find_one_ledger(url: str) -> None:
    def begin(_: int) -> str:
        with Ledger.open(url) as ledger:
            return str(ledger.entries("ledger_made")[0].details["ledger"])

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(begin, range(8)))) == 1


def test_only_its_owner_can_read_the_file_and_its_log(tmp_path: Path) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}"):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes) >= {"ledger.db", "ledger.db-wal"}
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("pragma", ["journal_mode=wal", "synchronous=2", "foreign_keys=1", "secure_delete=1"])
def test_a_file_is_kept_safely(file_ledger: Ledger, pragma: str) -> None:
    name, _, wanted = pragma.partition("=")
    assert [str(value) for (value,) in sql(file_ledger, f"PRAGMA {name}")] == [wanted]


@pytest.mark.parametrize(
    ("damage", "expected"),
    [(b"no database at all" * 100, DataError), (b"SQLite format 3\0" + bytes(4000), ForecastError)],
)
def test_a_damaged_file_is_told_of_in_one_line(
    tmp_path: Path, damage: bytes, expected: type[ForecastError]
) -> None:
    (tmp_path / "ledger.db").write_bytes(damage)
    with pytest.raises(expected):
        Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}")


def test_any_name_of_a_file_will_do(tmp_path: Path) -> None:
    odd = tmp_path / "a b%20c#d@e" / "ledger 100%.db"
    odd.parent.mkdir()
    Ledger.open(f"sqlite:///{odd}").close()
    assert [path.name for path in odd.parent.iterdir()] == [odd.name]


def test_a_backup_taken_while_it_runs_is_the_ledger_again(tmp_path: Path) -> None:
    """The way docs/ledger.md names: SQLite's own copy of a file that others write."""
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        ledger.publish(snapshot(), now_us=1)
        with (
            closing(sqlite3.connect(tmp_path / "ledger.db")) as source,
            closing(sqlite3.connect(tmp_path / "backup.db")) as target,
        ):
            source.backup(target)
        kept, chain = ledger.snapshots(), ledger.audit()
        ledger.publish(snapshot(day=1), now_us=2)
    with Ledger.open(f"sqlite:///{tmp_path / 'backup.db'}") as restored:
        assert (restored.snapshots(), restored.audit()) == (kept, chain)


def test_a_folder_that_is_not_there_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be opened"):
        Ledger.open(f"sqlite:///{tmp_path / 'nowhere' / 'ledger.db'}")


def test_a_server_that_does_not_answer_is_unavailable_and_its_password_stays_secret() -> None:
    pytest.importorskip("psycopg", reason="needs the extra `database`")
    with pytest.raises(UnavailableError) as failed:
        Ledger.open("postgresql://writer:s3cret-word@127.0.0.1:1/forecast")
    assert "s3cret-word" not in failed.value.message
    assert failed.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///a?mode=ro", "mysql://h/d", "duckdb:///a", "folder"]
)
def test_another_url_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        parse_place(url)


def test_the_url_comes_from_the_option_then_the_environment_then_the_file(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://writer:word@db/forecast\n")
    environment = {LEDGER_FILE: str(file)}
    assert ledger_url(None, {}) == "sqlite:///forecast.db"
    assert ledger_url(None, environment) == "postgresql://writer:word@db/forecast"
    environment[LEDGER_URL] = "sqlite:///b.db"
    assert ledger_url(None, environment) == "sqlite:///b.db"
    assert ledger_url("sqlite:///a.db", environment) == "sqlite:///a.db"


@pytest.mark.parametrize("where", ["option", "environment"])
def test_a_password_others_can_see_is_refused(where: str) -> None:
    url = "postgresql://writer:word@db/forecast"
    with pytest.raises(UsageError, match=LEDGER_FILE) as refused:
        ledger_url(*((url, {}) if where == "option" else (None, {LEDGER_URL: url})))
    assert "word@" not in refused.value.message


@pytest.mark.slow
def test_an_installed_wheel_brings_its_migrations(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    script = "import forecast.ledger as l; print(l.__file__); l.Ledger.open('sqlite:///made.db').close()"
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(tmp_path) in ran.stdout  # it was the wheel's code that ran
    assert (tmp_path / "made.db").stat().st_size > 0
