"""`python -m training monitor`, whole: verdicts as exit codes, files, and examples that are true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
import yaml

from forecast.bundle import write_bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.tables import Tables, write_folder
from training.__main__ import cli, main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ROOT = Path(__file__).resolve().parents[2]
TRAINED_UNTIL = pd.Timestamp("2025-07-01", tz="UTC")


@pytest.fixture(scope="module")
def july(sample_tables: Tables, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that has learnt until July 2025."""
    settings = FitSettings(
        seed=1, max_landmarks=6_000, windows=1, ridge_grid=(12.0,), min_boosted_deals=10**9
    )
    models = fit_models(History.from_tables(sample_tables), TRAINED_UNTIL, settings)
    folder = tmp_path_factory.mktemp("models") / "july"
    write_bundle(models, folder, metrics={}, data_fingerprint=sample_tables.fingerprint)
    return folder


def monitor(data: Path, bundle: Path, *more: str) -> int:
    return main(["monitor", "--data", str(data), "--bundle", str(bundle), *more])


@pytest.mark.e2e
def test_a_folder_keeps_every_run_and_the_newest_page(
    sample_folder: Path, july: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "monitoring"
    for day in ("2025-09-01", "2025-09-08"):
        code = monitor(sample_folder, july, "--out", str(out), "--as-of", day, "--locale", "it")
        assert code in (0, 12)
        said = capsys.readouterr().out
        assert said.startswith("Keep the bundle")
        assert "Deals won" in said
    pages, facts, tables = (sorted(out.glob(pattern)) for pattern in ("*.html", "*.json", "*.parquet"))
    assert [path.name for path in pages] == ["monitoring.html"]
    assert len(facts) == len(tables) == 2
    assert '<html lang="it">' in pages[0].read_text(encoding="utf-8")
    history = pd.concat(map(pd.read_parquet, tables))
    assert history["as_of"].nunique() == 2
    assert json.loads(facts[-1].read_text(encoding="utf-8"))["as_of"].startswith("2025-09-08")


@pytest.mark.e2e
def test_half_as_many_deals_exit_with_eleven_and_a_broken_field_with_thirteen(
    sample_tables: Tables, july: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late = sample_tables.deals.loc[sample_tables.deals["created_at"] >= TRAINED_UNTIL, "deal_id"]
    gone = set(late.iloc[::2]) | set(late.iloc[1::4])
    frames = {name: getattr(sample_tables, name) for name in Tables.__dataclass_fields__}
    for name in ("deals", "deal_events", "activities", "leads"):
        frames[name] = frames[name][~frames[name]["deal_id"].isin(gone)]
    write_folder(Tables.from_frames(**frames), tmp_path / "fewer")
    facts_file = tmp_path / "verdict.json"
    assert monitor(tmp_path / "fewer", july, "--json", str(facts_file)) == 11
    assert capsys.readouterr().out.startswith("Train again: ")
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    assert facts["verdict"]["action"] == "retrain"
    assert facts["reasons"][0]["subject"] == "created"

    events = sample_tables.deal_events
    kept = (events["field"] != "expected_close_on") | (events["recorded_at"] < TRAINED_UNTIL)
    frames = {name: getattr(sample_tables, name) for name in Tables.__dataclass_fields__}
    write_folder(Tables.from_frames(**{**frames, "deal_events": events[kept]}), tmp_path / "broken")
    assert monitor(tmp_path / "broken", july) == 13
    assert "Put the data right first" in capsys.readouterr().out


@pytest.mark.e2e
def test_a_run_is_recorded_with_mlflow_when_asked(
    sample_folder: Path, july: Path, tmp_path: Path, tracking_db: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_db)
    assert monitor(sample_folder, july, "--as-of", "2025-08-01", "--track") in (0, 12)
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=tracking_db)
    experiment = client.get_experiment_by_name("forecast-monitoring")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["verdict"] in ("keep", "look")
    assert run.data.metrics["evidence_wins"] > 0
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert names == {"monitoring.html", "monitoring.json"}


@pytest.mark.e2e
def test_a_server_that_does_not_answer_costs_the_record_and_not_the_verdict(
    sample_folder: Path, july: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "down.toml"
    settings.write_text(
        '[tracking]\nuri = "http://127.0.0.1:9"\ntimeout_seconds = 1\nretries = 0\n', encoding="utf-8"
    )
    more = ("--as-of", "2025-08-01", "--track", "--settings", str(settings))
    assert monitor(sample_folder, july, *more) in (0, 12)
    assert "the verdict stands" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--as-of", "2025-06-01"), 2, "nothing to compare"),
        (("--as-of", "someday"), 2, "is not a date"),
        (("--out", "page.pdf"), 8, "no ending that names a format"),
        (("--out", "no/such/page.html"), 8, "no folder"),
        (("--weeks", "0"), 2, "--weeks"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    more: tuple[str, ...],
    code: int,
    said: str,
    sample_folder: Path,
    july: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert monitor(sample_folder, july, *more) == code
    told = capsys.readouterr().err
    assert said in told
    assert len(told.strip().splitlines()) == 1


def test_no_bundle_is_told_before_anything_is_read(tmp_path: Path) -> None:
    assert monitor(tmp_path / "nothing", tmp_path / "no-bundle") == 7


def page() -> str:
    return (ROOT / "docs" / "monitoring.md").read_text(encoding="utf-8")


def test_the_workflow_of_the_documentation_is_a_workflow_and_asks_for_what_exists() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", page(), flags=re.DOTALL)
    workflow = yaml.safe_load(text)
    # YAML 1.1 reads the key `on` as true.
    assert workflow[True]["schedule"][0]["cron"].count(" ") == 4
    (job,) = workflow["jobs"].values()
    runs = "\n".join(step.get("run", "") for step in job["steps"])
    called = re.findall(r"python -m training (\w+)((?: +(?:\\\n)? *--?[\w-]+(?: [^-\s]\S*)?)*)", runs)
    assert "monitor" in {name for name, _ in called}
    for name, _ in called:
        assert name in cli.list_commands(None)  # type: ignore[arg-type]
    assert "curl" not in runs


def test_the_cron_line_of_the_documentation_has_five_times_and_the_command() -> None:
    (text,) = re.findall(r"```cron\n(.*?)```", page(), flags=re.DOTALL)
    line = next(
        one for one in text.splitlines() if one and not one.startswith("#") and "=" not in one.split()[0]
    )
    assert re.match(r"(?:[\d*/,-]+ ){5}", line)
    assert "python -m training monitor" in line


def test_the_exit_codes_are_documented() -> None:
    table = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for code in (11, 12, 13):
        assert re.search(rf"^\| {code} \| .*monitor", table, flags=re.MULTILINE), code
