"""`python -m training audit`, what `train` says of it, and what may not be registered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

from forecast.errors import GateError
from forecast.history import History, Leads
from forecast.simulator import simulate
from forecast.tables import Tables, write_folder
from training.__main__ import main
from training.audit import Audit, audit_history, check_registrable, told_later
from training.audit_tables import audit_lines
from training.settings import Settings, read_settings
from training.train import train
from training.verify import verify_training

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")


@pytest.fixture(scope="module")
def leaky() -> Tables:
    return simulate(400, 8, leaks=("is_closed", "competitor", "fit")).tables


@pytest.fixture(scope="module")
def leaky_folder(leaky: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaky")
    write_folder(leaky, folder)
    return folder


def settings(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "my.toml"
    path.write_text(text, encoding="utf-8")
    return path


def audited(tables: Tables, own: Settings) -> Audit:
    history = History.from_tables(tables)
    return audit_history(history, Leads.from_tables(tables, history), AS_OF, own)


def trusting(*names: str, allow: tuple[str, ...] = ()) -> Settings:
    own = read_settings()
    return dataclasses.replace(
        own,
        fit=dataclasses.replace(own.fit, trust_fields=names),
        audit=dataclasses.replace(own.audit, allow=allow),
    )


def test_it_lists_what_leaks_with_its_reason_and_how_to_overrule(
    leaky_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tmp_path / "audit.json"
    assert main(["audit", "--data", str(leaky_folder), "--json", str(found)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "leaks, left out" in said
    assert 'trust_fields = ["FIELD"]' in said
    assert "under [fit] in the settings" in said
    assert "The future is invisible" in said
    told = json.loads(found.read_text("utf-8"))
    assert [one["field"] for one in told["deals"][:2]] == ["competitor", "is_closed"], "worst first"
    assert told["deals"][0]["figures"]["filled_open"] == 0.0
    assert told["deals"][0]["figures"]["strength_landmark"] is None
    assert [one["field"] for one in told["leads"] if not one["used"]] == ["disqualified_reason"]
    assert told["scramble"]["changed"] == {}


def test_strict_a_trusted_leak_and_an_allowed_one_have_their_exit_codes(
    leaky_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["audit", "--data", str(leaky_folder)]
    assert main([*data, "--strict"]) == 9
    trusts = settings(tmp_path, '[fit]\ntrust_fields = ["is_closed"]\n')
    assert main([*data, "--settings", str(trusts)]) == 9
    assert "leaks, trusted" in capsys.readouterr().out
    allows = settings(tmp_path, '[fit]\ntrust_fields = ["is_closed"]\n[audit]\nallow = ["is_closed"]\n')
    assert main([*data, "--settings", str(allows)]) == 0


def test_a_clean_company_is_clean_even_strictly(tmp_path: Path) -> None:
    tables = simulate(200, 1).tables
    write_folder(dataclasses.replace(tables, leads=tables.leads.iloc[:0]), tmp_path)
    assert main(["audit", "--data", str(tmp_path), "--strict"]) == 0


def test_an_earlier_moment_is_judged_by_what_was_known(
    leaky_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--data", str(leaky_folder), "--as-of", "2022-02-01"]) == 0
    assert "too few to tell" in capsys.readouterr().out
    assert main(["audit", "--data", str(leaky_folder), "--as-of", "2000-01-01"]) == 3
    assert "no deal was recorded before 2000-01-01" in capsys.readouterr().err


def test_the_scores_of_a_bundle_are_scrambled_too(
    sample_folder: Path, trained_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--data", str(sample_folder), "--bundle", str(trained_bundle)]) == 0
    assert "features and scores of" in " ".join(capsys.readouterr().out.split())


def test_a_typing_error_in_the_settings_is_refused(leaky_folder: Path, tmp_path: Path) -> None:
    wrong = settings(tmp_path, '[fit]\ntrust_fields = ["is_closd"]\n')
    assert main(["audit", "--data", str(leaky_folder), "--settings", str(wrong)]) == 2


def test_thresholds_of_the_settings_reach_audit_and_fit(leaky: Tables, tmp_path: Path) -> None:
    own = read_settings(settings(tmp_path, "[audit]\nmin_closed = 5000\n"))
    assert own.fit.leak_rules.min_closed == 5000
    found = audited(leaky, own)
    assert not found.of("leaks")
    assert "fields looked at, none leaks, " in audit_lines(found)[0]


def test_training_says_in_short_what_is_left_out(leaky: Tables) -> None:
    counted, *lines = audit_lines(audited(leaky, read_settings()))
    assert counted.startswith("Leakage audit: 26 fields looked at, 3 left out, 2 suspicious")
    assert [line.split(":")[0].strip() for line in lines] == [
        "competitor",
        "is_closed",
        "leads.disqualified_reason",
        "amount",
        "expected_close_on",
    ]


def test_a_trusted_leak_is_not_registered_unless_it_is_allowed_by_name(leaky: Tables) -> None:
    with pytest.raises(GateError, match=r"trusted field 'is_closed' leaks: one value stands in .*allow"):
        check_registrable(audited(leaky, trusting("is_closed")), ())
    check_registrable(audited(leaky, trusting("is_closed")), ("is_closed",))
    check_registrable(audited(leaky, trusting("fit")), ())
    check_registrable(audited(leaky, read_settings()), ())


def test_a_refused_registration_writes_nothing(leaky: Tables, tmp_path: Path) -> None:
    with pytest.raises(GateError):
        train(leaky, tmp_path / "one", trusting("is_closed"), as_of=AS_OF, registering=True)
    assert not (tmp_path / "one").exists()


def test_what_later_data_show_to_leak_is_left_out_of_a_training_of_the_past(
    leaky: Tables, tmp_path: Path
) -> None:
    half = dataclasses.replace(read_settings().fit, max_landmarks=2000, windows=1, min_boosted_deals=10**6)
    own = dataclasses.replace(read_settings(), fit=half)
    then = pd.Timestamp("2025-04-01", tz="UTC")
    of_deals, of_leads = told_later(leaky, then, own)
    assert {one.field for one in of_deals} == {"competitor", "is_closed"}
    assert {one.field for one in of_leads} == {"disqualified_reason"}
    assert told_later(leaky, leaky.default_as_of, own) == ((), ()), "of now, the audit itself says it"
    trusted = dataclasses.replace(
        own, fit=dataclasses.replace(half, trust_fields=("competitor", "is_closed"))
    )
    assert told_later(leaky, then, trusted)[0] == ()
    done = train(leaky, tmp_path / "then", own, as_of=then)
    left_out = {one.feature for one in done.models.decisions if not one.used}
    assert {"custom:competitor", "custom:is_closed"} <= left_out
    assert done.leads is not None
    said = {note.split(" is left out: ")[0] for note in done.notes}
    assert {"competitor", "is_closed", "leads.disqualified_reason"} <= said
    assert all(one.agrees for one in verify_training(done.folder, leaky))
