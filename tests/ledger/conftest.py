"""A ledger of each kind, empty, gone after the test."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from ledger_cases import MADE_US

from forecast.ledger import Ledger


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a ledger may be made, in either database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.db'}"
        return
    psycopg = pytest.importorskip("psycopg", reason="needs the extra `database`")
    uri = request.getfixturevalue("postgresql")
    schema = f"ledger_{secrets.token_hex(4)}"
    yield f"{uri}&schema={schema}"
    with psycopg.connect(uri) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An open ledger without anything in it."""
    with Ledger.open(url, now_us=MADE_US) as opened:
        yield opened


@pytest.fixture
def file_ledger(tmp_path: Path) -> Iterator[Ledger]:
    """The same as a file, for what does not depend on the database."""
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", now_us=MADE_US) as opened:
        yield opened
