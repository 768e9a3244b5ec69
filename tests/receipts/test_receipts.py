"""A published file is verified from its receipt, months later, and every single change is told in its line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exports import export_at

from forecast import receipts
from forecast.bundle import load_bundle
from forecast.cli import cli, run
from forecast.errors import DataError
from forecast.receipts import Check, Receipt, read_receipt, receipt_path, verify_bundle, verify_output
from forecast.tables import TABLES, Tables, write_folder

THEN = pd.Timestamp("2025-10-01", tz="UTC")
PERIOD = "2025Q4"
OUTPUTS = {
    "scores.csv": "scores",
    "scores.parquet": "scores",
    "questions.csv": "questions",
    "leads.csv": "lead_scores",
    "bookings.parquet": "bookings",
    "deciding.csv": "deciding",
    "report.html": "report",
    "rapporto.html": "report",
}


@pytest.fixture(scope="module")
def export(sample_tables: Tables) -> Tables:
    """The company's tables as they were exported on 1 October."""
    return export_at(sample_tables, THEN)


def publish_all(data: Path, bundle: Path, out: Path) -> Path:
    """Every kind of output, in the formats and languages there are."""
    out.mkdir()
    inputs = ["--data", str(data), "--bundle", str(bundle), "--as-of", THEN.isoformat()]
    span = ["--period", PERIOD]
    for command in (
        ["score", *inputs, *span, "--out", f"{out}/scores.csv", "--questions", f"{out}/questions.csv"],
        ["score", *inputs, "--out", f"{out}/scores.parquet", "--reasons", "2", "--locale", "it"],
        ["score", "--leads", *inputs, "--out", f"{out}/leads.csv"],
        ["roll-up", *inputs, *span, "--out", f"{out}/bookings.parquet", "--deciding", f"{out}/deciding.csv"],
        ["report", *inputs, *span, "--out", f"{out}/rapporto.html", "--locale", "it"],
        ["show", *inputs, "--report", f"{out}/report.html"],
    ):
        assert run(cli, command, "forecast") == 0
    return out


@pytest.fixture(scope="module")
def published(export: Tables, lead_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("published")
    write_folder(export, place / "data")
    return publish_all(place / "data", lead_bundle, place / "out")


@pytest.fixture
def copy(published: Path, tmp_path: Path) -> Path:
    """Outputs that may be changed."""
    return Path(shutil.copytree(published, tmp_path / "copy"))


def told(checks: list[Check]) -> dict[str, bool | None]:
    return {check.name: check.agrees for check in checks}


def text(checks: list[Check], name: str) -> str:
    return next(check.text for check in checks if check.name == name)


ALL = ("receipt", "output", "code", "data", "bundle", "made again")


# -- what agrees ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OUTPUTS)
def test_every_output_is_made_again_to_the_byte_from_data_that_have_grown(
    name: str, published: Path, sample_tables: Tables, lead_bundle: Path
) -> None:
    checks = verify_output(receipt_path(published / name), sample_tables, lead_bundle)
    assert told(checks) == dict.fromkeys(ALL, True), checks
    assert read_receipt(receipt_path(published / name))[0].kind == OUTPUTS[name]


@pytest.mark.slow
def test_neither_the_order_of_rows_nor_the_format_matters(
    published: Path, export: Tables, lead_bundle: Path, tmp_path: Path
) -> None:
    shuffled = Tables(
        **{name: export[name].sample(frac=1.0, random_state=1, ignore_index=True) for name in TABLES}
    )
    write_folder(shuffled, tmp_path / "data", format="parquet")
    again = publish_all(tmp_path / "data", lead_bundle, tmp_path / "out")
    for path in sorted(published.iterdir()):
        assert (again / path.name).read_bytes() == path.read_bytes(), path.name
    assert {path.name for path in again.iterdir()} == {path.name for path in published.iterdir()}


def test_what_an_output_does_not_read_may_change(
    published: Path, sample_tables: Tables, lead_bundle: Path
) -> None:
    """Edited leads, addresses and quotas of other years are no part of a report, teams none of scores."""
    frames = {name: sample_tables[name] for name in TABLES}
    frames["leads"] = frames["leads"].assign(need=1.0)
    frames["users"] = frames["users"].assign(email="other@example.com")
    frames["quotas"] = frames["quotas"].assign(
        amount=frames["quotas"]["amount"].where(frames["quotas"]["period"].str.startswith("2025"), 1.0)
    )
    report = receipt_path(published / "report.html")
    assert set(told(verify_output(report, Tables(**frames), lead_bundle)).values()) == {True}
    # From here on the data alone are looked at.
    frames["users"] = frames["users"].assign(team="one")
    scores = receipt_path(published / "scores.csv")
    assert set(told(verify_output(scores, Tables(**frames), lead_bundle)).values()) == {True}
    assert "users" in text(verify_output(report, Tables(**frames), None), "data")


def test_rows_set_aside_since_do_not_change_the_page(
    published: Path, export: Tables, lead_bundle: Path, tmp_path: Path
) -> None:
    write_folder(export, tmp_path / "data")
    with open(tmp_path / "data" / "activities.csv", "a", encoding="utf-8") as file:
        file.write("nobody,,2025-12-01T00:00:00Z,call,in\n")
    arguments = ["verify", str(published / "report.html"), "--data", str(tmp_path / "data")]
    assert run(cli, [*arguments, "--bundle", str(lead_bundle)], "forecast") == 0


# -- what differs --------------------------------------------------------------------------------------------


def test_a_changed_byte_of_the_output(copy: Path, export: Tables, lead_bundle: Path) -> None:
    for name in ("scores.csv", "scores.parquet", "report.html"):
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
        # A page takes seconds to make again, and here nothing depends on it.
        tables = None if name.endswith(".html") else export
        checks = verify_output(receipt_path(copy / name), tables, lead_bundle)
        open_ = dict.fromkeys(("data", "made again"), None if tables is None else True)
        assert told(checks) == dict.fromkeys(ALL, True) | open_ | {"output": False}
        assert name in text(checks, "output")


def test_a_missing_output(copy: Path) -> None:
    (copy / "scores.csv").unlink()
    checks = verify_output(receipt_path(copy / "scores.csv"), None, None)
    assert told(checks)["output"] is False
    assert "not beside the receipt" in text(checks, "output")


def test_another_bundle(published: Path, export: Tables, trained_bundle: Path, lead_bundle: Path) -> None:
    checks = verify_output(receipt_path(published / "scores.csv"), export, trained_bundle)
    assert told(checks) == dict.fromkeys(ALL, True) | {"bundle": False, "made again": None}
    assert load_bundle(lead_bundle).short_id in text(checks, "bundle")


def test_a_damaged_bundle(published: Path, export: Tables, lead_bundle: Path, tmp_path: Path) -> None:
    damaged = Path(shutil.copytree(lead_bundle, tmp_path / "damaged"))
    (damaged / "outcome.json").write_text("{}")
    checks = verify_output(receipt_path(published / "scores.csv"), export, damaged)
    assert told(checks) == dict.fromkeys(ALL, True) | {"bundle": False, "made again": None}
    assert "outcome.json is damaged" in text(checks, "bundle")


def test_an_event_changed_in_the_past(published: Path, export: Tables, lead_bundle: Path) -> None:
    events = export.deal_events.copy()
    stage = events.index[events["field"] == "stage"][-1]
    events.loc[stage, "recorded_at"] -= pd.Timedelta(hours=1)
    other = Tables(**{name: events if name == "deal_events" else export[name] for name in TABLES})
    checks = verify_output(receipt_path(published / "scores.csv"), other, lead_bundle)
    assert told(checks)["data"] is False
    assert "deal_events" in text(checks, "data")
    assert "deals (" not in text(checks, "data")


def test_an_event_entered_later_that_claims_to_be_of_the_past(
    published: Path, export: Tables, lead_bundle: Path
) -> None:
    added = export.deal_events.iloc[[0]].assign(field="amount", value="1")
    events = pd.concat([export.deal_events, added], ignore_index=True)
    other = Tables(**{name: events if name == "deal_events" else export[name] for name in TABLES})
    checks = verify_output(receipt_path(published / "bookings.parquet"), other, lead_bundle)
    rows = sum(export.deal_events["deal_id"].isin(export.deals["deal_id"]))
    assert f"deal_events ({rows:,} rows then, {rows + 1:,} now)" in text(checks, "data")


def test_other_code(
    published: Path, export: Tables, lead_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = receipts.verify.output_code

    def changed(kind: str) -> dict[str, Any]:
        code = plain(kind)
        return code | {"sources": {"forecast": "0" * 64}, "packages": code["packages"] | {"numpy": "9.9"}}

    monkeypatch.setattr(receipts.verify, "output_code", changed)
    checks = verify_output(receipt_path(published / "scores.csv"), export, lead_bundle)
    # Another code, and still the same bytes: both are told.
    assert told(checks) == dict.fromkeys(ALL, True) | {"code": False}
    assert "sources of forecast" in text(checks, "code")
    assert f"numpy {np.__version__} then, 9.9 now" in text(checks, "code")


@pytest.mark.parametrize(
    "edit",
    [
        lambda parts: parts["arguments"].update(as_of="2025-10-02T00:00:00+00:00"),
        lambda parts: parts["output"].update(bytes=1),
        lambda parts: parts["bundle"].update(trained_until="2020-01-01T00:00:00+00:00"),
        lambda parts: parts["code"].update(version="9"),
    ],
)
def test_an_edited_receipt(
    copy: Path, edit: Callable[[dict[str, Any]], None], export: Tables, lead_bundle: Path
) -> None:
    path = receipt_path(copy / "scores.csv")
    parts = json.loads(path.read_text(encoding="utf-8"))
    edit(parts)
    path.write_text(json.dumps(parts), encoding="utf-8")
    checks = verify_output(path, export, lead_bundle)
    assert told(checks)["receipt"] is False
    assert "changed since it was written" in text(checks, "receipt")


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"id": 1, "format": 1}', '{"id": 1, "format": 2}', "no"]
)
def test_what_is_no_receipt_is_an_error_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "x.csv.receipt.json").write_text(content)
    with pytest.raises(DataError, match="receipt"):
        verify_output(tmp_path / "x.csv.receipt.json", None, None)


def test_a_receipt_names_a_file_beside_it_and_no_other(copy: Path) -> None:
    path = receipt_path(copy / "scores.csv")
    parts = json.loads(path.read_text(encoding="utf-8"))
    parts["output"]["file"] = "../secret.csv"
    path.write_text(json.dumps(parts), encoding="utf-8")
    with pytest.raises(DataError, match="no file beside it"):
        verify_output(path, None, None)


# -- the receipt itself --------------------------------------------------------------------------------------


def test_a_receipt_holds_no_path_and_no_time_of_day(published: Path, lead_bundle: Path) -> None:
    for name in OUTPUTS:
        content = receipt_path(published / name).read_text(encoding="utf-8")
        assert str(published.parent) not in content
        assert str(lead_bundle.parent) not in content
        assert f"{pd.Timestamp.now():%Y-%m-%d}" not in content


def test_the_page_shows_what_its_receipt_says(published: Path) -> None:
    for name in ("report.html", "rapporto.html"):
        receipt, _ = read_receipt(receipt_path(published / name))
        page = (published / name).read_text(encoding="utf-8")
        for said in (
            receipt.data["fingerprint"],
            receipt.bundle["id"],
            receipt.code["sources"]["forecast"][:12],
        ):
            assert said in page


def test_killed_between_output_and_receipt_nothing_verifies_that_should_not(
    copy: Path, published: Path, lead_bundle: Path, export: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy / "scores.csv"
    plain = receipts.publish.__globals__["write_bytes"]

    def killed(target: Path, content: bytes) -> None:
        if target.name.endswith(".receipt.json"):
            raise KeyboardInterrupt
        plain(target, content)

    monkeypatch.setitem(receipts.publish.__globals__, "write_bytes", killed)
    data = published.parent / "data"
    inputs = ["--data", str(data), "--bundle", str(lead_bundle), "--as-of", "2025-09-01"]
    assert run(cli, ["score", *inputs, "--out", str(path)], "forecast") == 130
    assert path.read_bytes() != (published / "scores.csv").read_bytes()
    checks = verify_output(receipt_path(path), export, lead_bundle)
    assert told(checks)["output"] is False
    assert not list(copy.glob(".*"))


def test_the_id_is_that_of_the_content() -> None:
    parts: dict[str, Any] = {name: {} for name in ("output", "arguments", "data", "bundle", "code")}
    assert Receipt("scores", **parts).id == Receipt("scores", **parts).id
    assert Receipt("scores", **parts).id != Receipt("report", **parts).id


# -- bundles -------------------------------------------------------------------------------------------------


def test_a_bundle_is_checked_by_its_manifest(lead_bundle: Path, tmp_path: Path) -> None:
    assert told(verify_bundle(lead_bundle, None)) == {"bundle": True, "code": True, "data": None}
    damaged = Path(shutil.copytree(lead_bundle, tmp_path / "damaged"))
    (damaged / "amount.json").write_text("{}")
    (check,) = verify_bundle(damaged, None)
    assert check.agrees is False
    assert "amount.json is damaged" in check.text
