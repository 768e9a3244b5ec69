"""What was said stays said: the database itself refuses to change it, and the audit shows a change."""

# ruff: noqa: S608  (statements made of our own names)
from __future__ import annotations

import pytest
from ledger_cases import snapshot, sql

from forecast.access import Scope
from forecast.errors import DataError
from forecast.ledger import Judgement, Ledger, Served
from forecast.ledger.schema import APPEND_ONLY


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """A ledger with something in every table."""
    made = ledger.create_key("a", "manager", Scope("team", "North"), now_us=1)
    ledger.revoke_key(made.id, now_us=2)
    ledger.publish(snapshot(), now_us=3)
    ledger.judge(Scope("all"), "D-1", "k", Judgement("commit"), now_us=4)
    ledger.served(Served(5, "/v1/score", "k", "r", 200, 1, "a" * 64, "b" * 64))
    ledger.flush()
    return ledger


@pytest.mark.parametrize("table", APPEND_ONLY)
def test_rows_are_neither_changed_nor_deleted(filled: Ledger, table: str) -> None:
    before = sql(filled, f"SELECT * FROM {table}")
    assert before
    column = sql(filled, f"SELECT * FROM {table}")[0]._fields[-1]
    for statement in (f"UPDATE {table} SET {column} = {column}", f"DELETE FROM {table}"):
        with pytest.raises(DataError, match="append-only"):
            sql(filled, statement)
    if not filled._database.is_sqlite:
        with pytest.raises(DataError, match=r"append-only|cannot truncate"):
            sql(filled, f"TRUNCATE {table}")
    assert sql(filled, f"SELECT * FROM {table}") == before


@pytest.mark.parametrize("table", ["audit", "ledger"])
def test_not_even_an_erasure_touches_the_audit(filled: Ledger, table: str) -> None:
    with pytest.raises(DataError, match="append-only"):
        sql(filled, "INSERT INTO unlocked VALUES ('erase')", f"DELETE FROM {table}")
    assert filled.audit().broken is None


def test_nobody_else_passes_while_somebody_erases(filled: Ledger) -> None:
    if filled._database.is_sqlite:
        pytest.skip("a file has one writer at a time")
    with filled._database.write() as eraser:
        eraser.exec_driver_sql("INSERT INTO unlocked VALUES ('erase')")
        with pytest.raises(DataError, match="append-only"):
            sql(filled, "DELETE FROM served")


@pytest.mark.parametrize(
    ("tampering", "broken"),
    [
        ("UPDATE audit SET details = '{}' WHERE number = 2", 2),
        ("UPDATE audit SET at_us = 0 WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("UPDATE audit SET previous = hash WHERE number = 3", 3),
        ("UPDATE audit SET event = 'x', hash = previous WHERE number = 4", 4),
    ],
)
def test_the_chain_names_the_first_entry_that_was_tampered_with(
    filled: Ledger, tampering: str, broken: int
) -> None:
    assert filled.audit().broken is None
    off = (
        "DROP TRIGGER audit_keeps_update; DROP TRIGGER audit_keeps_delete"
        if filled._database.is_sqlite
        else "DROP TRIGGER audit_keeps ON audit"
    )
    sql(filled, *off.split(";"), tampering)
    assert filled.audit().broken == broken


def test_the_audit_tells_what_was_done_and_of_nobody(filled: Ledger) -> None:
    entries = filled.entries()
    assert [entry.event for entry in entries] == ["ledger_made", "key_made", "key_revoked", "published"]
    told = str([entry.details for entry in entries])
    for name in ("North", "cleo", "D-1", "A-1"):
        assert name not in told
