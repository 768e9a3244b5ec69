"""What the doctor finds of each promise, kept and broken, and that it says what to do and changes nothing."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast import doctor
from forecast.bundle import load_bundle, set_current, write_bundle
from forecast.doctor import Finding
from forecast.ledger import Ledger
from forecast.promotion.desk import Desk
from forecast.promotion.shelf import Shelf

DAY_US = 86_400_000_000
NOW = pd.Timestamp("2026-01-10", tz="UTC")
NOW_US = int(NOW.timestamp() * 1e6)


def states(findings: list[Finding]) -> dict[str, str]:
    """Check -> state; and whatever is not ok says what to do."""
    assert all(one.remedy for one in findings if one.state != "ok"), findings
    return {one.check: one.state for one in findings}


@pytest.fixture
def models(trained_bundle: Path, tmp_path: Path) -> Path:
    """A folder in which one bundle was promoted in place of another."""
    root = tmp_path / "models"
    shutil.copytree(trained_bundle, root / "a")
    found = load_bundle(trained_bundle)
    write_bundle(found.models, root / "b", metrics={"other": 1}, data_fingerprint="")
    assert Shelf(root).serve_first(root / "a", NOW)
    desk = Desk(Shelf(root), None, NOW)
    desk.promote(desk.candidate_of_folder(root / "b"), desk.state().champion, ("better",), None)
    return root


def test_a_sound_bundle_and_one_that_is_damaged_or_old(models: Path) -> None:
    found, bundle = doctor.check_bundle(models / "current", NOW_US, 100)
    assert bundle is not None
    assert states(found) == {"bundle": "ok", "bundle age": "ok"}
    found, _ = doctor.check_bundle(models / "current", NOW_US + 200 * DAY_US, 100)
    assert states(found) == {"bundle": "ok", "bundle age": "warning"}
    found, _ = doctor.check_bundle(models / "current", NOW_US - 200 * DAY_US, 100)
    assert states(found) == {"bundle": "ok", "clock": "broken"}
    outcome = models / "a" / "outcome.json"
    outcome.write_bytes(outcome.read_bytes()[:-1])
    found, bundle = doctor.check_bundle(models / "a", NOW_US, 100)
    assert bundle is None
    assert states(found) == {"bundle": "broken"}
    assert "outcome.json" in found[0].text


def test_pointer_and_log_agree_or_not(models: Path) -> None:
    pointer = models / "current"
    assert states(doctor.check_promotion(pointer)) == {"promotion": "ok", "rollback": "ok"}
    before = Shelf(models).state().previous
    assert before is not None
    shutil.rmtree(Shelf(models).folder_of(before.bundle_id))
    assert states(doctor.check_promotion(pointer)) == {"promotion": "ok", "rollback": "warning"}
    set_current(models / "a")
    assert states(doctor.check_promotion(pointer)) == {"promotion": "broken"}
    assert states(doctor.check_promotion(models / "a")) == {"promotion": "warning"}
    (models / "promotions.jsonl").write_text("no entry\n")
    assert states(doctor.check_promotion(pointer)) == {"promotion": "broken"}


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    assert doctor.check_key_file(file).state == "broken"
    file.write_text("a-key\n")
    file.chmod(0o640)
    assert doctor.check_key_file(file).state == "broken"
    file.chmod(0o600)
    assert doctor.check_key_file(file).state == "ok"


def test_the_ledger_is_there_whole_and_fresh_or_not(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'forecast.db'}"
    assert states(doctor.check_ledger(url, NOW_US, 36)) == {"ledger": "broken"}
    assert list(tmp_path.iterdir()) == []  # it was looked for, not made
    with Ledger.open(url, now_us=NOW_US) as ledger:
        ledger.create_key("crm", "score", now_us=NOW_US)
    expected = {"ledger": "ok", "audit": "ok", "snapshots": "warning"}
    assert states(doctor.check_ledger(url, NOW_US, 36)) == expected
    (tmp_path / "forecast.db").chmod(0o644)
    assert states(doctor.check_ledger(url, NOW_US, 36)) == {**expected, "ledger file": "broken"}
    (tmp_path / "forecast.db").write_bytes(b"nothing of a database" * 1000)
    assert states(doctor.check_ledger(url, NOW_US, 36)) == {"ledger": "broken"}


def test_what_killed_commands_left_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    now_s = time.time()
    assert doctor.check_leftovers(tmp_path, now_s).state == "ok"
    (tmp_path / ".promoted-x1").mkdir()
    assert doctor.check_leftovers(tmp_path, now_s).state == "ok"  # a command may be at work
    found = doctor.check_leftovers(tmp_path, now_s + 7200)
    assert found.state == "warning"
    assert ".promoted-x1" in found.text
    (tmp_path / ".promoted-x1").rmdir()
    (tmp_path / "tmp" / "forecast-serve-99999999-abc").mkdir()
    assert doctor.check_leftovers(tmp_path, now_s).state == "warning"


def test_packages_are_those_of_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("numpy==0.0.1 \\\n    --hash=sha256:00\nnot-installed-here==1\n")
    (found,) = doctor.check_versions(lock, None)
    assert found.state == "warning"
    assert "numpy" in found.text
    assert "not-installed-here" not in found.text
    lock.write_text(f"numpy=={doctor.version('numpy')} ; python_version > '3'\nnumpy==0.0.1 ; else\n")
    assert states(doctor.check_versions(lock, None)) == {"packages": "ok"}
    assert doctor.check_versions(tmp_path / "missing", None) == []


def test_room_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, state in ((2e9, "ok"), (5e8, "warning"), (5e7, "broken")):
        monkeypatch.setattr("shutil.disk_usage", lambda _, free=free: shutil._ntuple_diskusage(1e10, 0, free))
        assert states(doctor.check_disk([tmp_path, tmp_path / "not" / "there"])) == {"disk": state}


# -- a running service --------------------------------------------------------------------------------------


@contextmanager
def service(ready: dict[str, Any], bundle: str, status: int = 200) -> Iterator[str]:
    """Something that answers as a service does."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers["authorization"] == "Bearer known"
            code, said = (status, ready) if self.path == "/readyz" else (200, {"model": {"bundle": bundle}})
            if self.path != "/readyz" and not known:
                code = 401
            self.send_response(code)
            self.end_headers()
            self.wfile.write(json.dumps(said).encode())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def test_a_service_is_ready_and_serves_what_was_promoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_PATIENT_SECONDS", 0.0)
    now_s = time.time()
    with service({"status": "ready"}, "a" * 64) as url:
        whole = {"service": "ok", "served bundle": "ok", "reach": "ok"}
        assert states(doctor.check_service(url, "known", "a" * 64, now_s)) == whole
        other = doctor.check_service(url, "known", "b" * 64, now_s)
        assert states(other) == {**whole, "served bundle": "broken"}
        refused = doctor.check_service(url, "unknown", "a" * 64, now_s)
        assert states(refused) == {**whole, "served bundle": "warning"}
        apart = doctor.check_service(url, None, None, now_s + 3600)
        assert states(apart) == {"service": "ok", "clock": "warning", "reach": "ok"}
    degraded = {"status": "degraded", "degraded": [{"code": "stale_bundle"}]}
    with service(degraded, "a" * 64) as url:
        found = doctor.check_service(url, None, None, now_s)
        assert states(found)["service"] == "warning"
        assert "stale_bundle" in found[0].text
    with service({"error": {}}, "", status=503) as url:
        assert states(doctor.check_service(url, None, None, now_s))["service"] == "broken"
    assert states(doctor.check_service(url, None, None, now_s)) == {"service": "broken"}  # it is gone


def test_keys_do_not_travel_without_tls() -> None:
    (found,) = doctor._openness("http://forecast.example.com")
    assert (found.check, found.state) == ("reach", "broken")
    (found,) = doctor._openness("https://forecast.example.com")
    assert found.state == "ok"
