"""`forecast keys`, `publish` and `erase`, as an administrator types them."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from forecast.access import EVERYTHING, Access, Scope
from forecast.cli import cli, run
from forecast.ledger import Ledger, LedgerKeys


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a ledger not yet made; the environment names it."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    monkeypatch.setenv("FORECAST_LEDGER", url)
    monkeypatch.setenv("COLUMNS", "200")
    return url


def call(*arguments: str) -> int:
    return run(cli, list(arguments), "forecast")


def recognised(url: str, token: str) -> Access | None:
    with Ledger.open(url) as ledger:
        keys = LedgerKeys(ledger)
        found = keys.find(f"Bearer {token}".encode())
        keys.close()
    return found


# -- keys ----------------------------------------------------------------------------------------------------


def test_a_key_is_made_listed_and_revoked(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    made = call("keys", "create", "--name", "Manager North", "--role", "manager", "--scope", "team:North")
    assert made == 0
    token = capsys.readouterr().out.strip()
    key = re.fullmatch(r"fc_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", token)
    assert key, "the key alone is on standard output"
    assert recognised(url, token) == Access(key[1], "manager", Scope("team", "North"))

    assert call("keys", "list") == 0
    shown = capsys.readouterr().out
    assert key[1] in shown
    assert "team:North" in shown
    assert "in use" in shown
    assert token not in shown

    assert call("keys", "revoke", key[1]) == 0
    assert recognised(url, token) is None
    call("keys", "list")
    assert "revoked 20" in capsys.readouterr().out


def test_limits_of_a_key_are_kept(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("--rows-per-minute", "600", "--expires-on", "2999-12-31")
    assert call("keys", "create", "--name", "CRM", "--role", "score", *arguments) == 2  # beyond 2200
    arguments = ("--rows-per-minute", "600", "--expires-on", "2199-12-31")
    assert call("keys", "create", "--name", "CRM", "--role", "score", *arguments) == 0
    access = recognised(url, capsys.readouterr().out.strip())
    assert access is not None
    assert access.rows_per_minute == 600


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "--name", "x", "--role", "king"),
        ("create", "--name", "x", "--role", "user", "--scope", "everything"),
        ("create", "--name", "x", "--role", "score", "--scope", "own:ana"),
        ("create", "--name", "x", "--role", "user", "--expires-on", "2020-01-01"),
        ("create", "--name", "x", "--role", "user", "--rows-per-minute", "0"),
        ("create", "--role", "user"),
        ("revoke", "000000000000"),
        ("revoke",),
        ("list", "--ledger", "mysql://h/d"),
        ("list", "--ledger", "postgresql://me:word@h/d"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_2_in_one_line(
    url: str, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("keys", *arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert len(shown.err.splitlines()) == 1
    assert "word@" not in shown.err


# -- publish and erase ---------------------------------------------------------------------------------------


def publish(folder: Path, bundle: Path, *more: str) -> int:
    inputs = ("--data", str(folder), "--bundle", str(bundle), "--as-of", "2026-01-01")
    return call("publish", *inputs, "--period", "2026Q1", *more)


@pytest.mark.slow
def test_publish_then_erase(
    url: str, sample_folder: Path, trained_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publish(sample_folder, trained_bundle) == 0
    first = capsys.readouterr().err
    with Ledger.open(url) as ledger:
        (snapshot,) = ledger.snapshots()
        found = ledger.forecast(EVERYTHING, "2026Q1", "company")
        assert found is not None
        owner = ledger.forecast(EVERYTHING, "2026Q1", "user")[1][0].entity  # type: ignore[index]
    assert f"snapshot {snapshot.id[:12]} of 2026-01-01" in first
    assert f"2026Q1 {found[1][0].expected:,.0f} EUR expected" in first
    assert stat.S_IMODE((tmp_path / "ledger.db").stat().st_mode) == 0o600

    assert publish(sample_folder, trained_bundle) == 0
    assert "nothing was added" in capsys.readouterr().err
    with Ledger.open(url) as ledger:
        assert ledger.snapshots() == [snapshot]

    out = tmp_path / "out"
    out.mkdir()
    (out / "scores.csv").write_text(f"deal_id,owner_id\nD-1,{owner}\nD-2,somebody\n")
    (out / "check.json").write_text(json.dumps({"quarantine": [{"raw": f"x,{owner}"}]}))
    assert call("erase", "--owner", owner, "--folder", str(out)) == 0
    told = capsys.readouterr().out
    assert "say --yes" in told
    for name in ("scores.csv", "check.json"):  # as many as go then
        assert f"{out / name}: 1 row would go" in told
    assert owner in (out / "scores.csv").read_text()

    assert call("erase", "--owner", owner, "--folder", str(out), "--yes") == 0
    told = capsys.readouterr().out
    assert snapshot.id[:12] in told
    assert snapshot.bundle[:12] in told
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert owner.encode() not in everything
    assert b"somebody" in everything

    (out / "notes.txt").write_text(f"ask {owner}")
    assert call("erase", "--owner", owner, "--folder", str(out)) == 0
    assert "notes.txt: holds the id and cannot be taken apart" in capsys.readouterr().out
    assert call("erase", "--owner", owner, "--folder", str(out), "--yes") == 3
    assert "notes.txt" in capsys.readouterr().err

    assert call("erase", "--older-than-days", "1", "--yes") == 0
    with Ledger.open(url) as ledger:
        assert len(ledger.snapshots()) == 1


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--deal", "D-1", "--owner", "ana"),
        ("--deal", " "),
        ("--older-than-days", "0"),
        ("--older-than-days", "7", "--folder", "."),
        ("--deal", "D-1", "--folder", "nowhere"),
    ],
    ids=" ".join,
)
def test_an_erasure_that_cannot_be_meant_is_2(url: str, arguments: tuple[str, ...]) -> None:
    assert call("erase", *arguments) == 2


@pytest.mark.parametrize("period", ["2026Q5", "soon"])
def test_a_period_that_is_none_leaves_no_ledger(
    url: str, tmp_path: Path, trained_bundle: Path, period: str
) -> None:
    inputs = ("--data", str(tmp_path), "--bundle", str(trained_bundle))
    assert call("publish", *inputs, "--period", period) == 2
    assert list(tmp_path.iterdir()) == []
