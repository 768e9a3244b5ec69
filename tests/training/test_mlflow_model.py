"""The registered model as others load it: `mlflow.pyfunc`, and Spark where there is one."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast.bundle import load_bundle
from forecast.outlook import history_of
from forecast.periods import Period
from forecast.scoring import SCORE_COLUMNS, score_open_deals
from forecast.service.flat import flat_deals
from forecast.tables import Tables
from training.settings import read_settings
from training.tracking import Record, record

# What MLflow's own use of its libraries warns of is not ours to mend.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning"),
]
AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
ASKED = {"as_of": "2026-01-01", "period": "2026Q1"}


@pytest.fixture(scope="module")
def registered(trained_bundle: Path, tracking_db: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of a registered model with a champion."""
    folder = tmp_path_factory.mktemp("models") / "loaded"
    shutil.copytree(trained_bundle, folder)
    settings = dataclasses.replace(read_settings().tracking, uri=tracking_db, model="loaded")
    run = Record(folder, load_bundle(folder).id, {}, {}, {}, started=time.time())
    assert record(run, settings, register=True).alias == "champion"
    return "loaded"


@pytest.fixture
def champion(registered: str, tracking_db: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_db)
    return mlflow.pyfunc.load_model(f"models:/{registered}@champion")


@pytest.fixture(scope="module")
def table(sample_tables: Tables) -> pd.DataFrame:
    return flat_deals(sample_tables, AS_OF)


def test_the_champion_scores_a_table_as_the_command_line_does(
    champion: Any, table: pd.DataFrame, sample_tables: Tables, trained_bundle: Path
) -> None:
    scores = champion.predict(table, params=ASKED)
    assert list(scores.columns) == list(SCORE_COLUMNS)
    bundle = load_bundle(trained_bundle)
    expected = score_open_deals(
        history_of(sample_tables, bundle), bundle, AS_OF, period=Period.parse("2026Q1")
    )
    found = scores[scores["win_probability"].notna()].sort_values("deal_id").reset_index(drop=True)
    assert found["deal_id"].tolist() == expected["deal_id"].tolist()
    for name in [*expected.columns.drop(["as_of", "deal_id"])]:
        if not name.startswith("close_on"):
            assert found[name].tolist() == expected[name].tolist(), name


def test_its_signature_names_every_column_of_deals_and_of_scores(champion: Any, table: pd.DataFrame) -> None:
    signature = champion.metadata.signature
    assert set(table.columns) <= set(signature.inputs.input_names())  # attributes of this company too
    assert signature.inputs.required_input_names() == ["deal_id", "created_at"]
    assert signature.outputs.input_names() == list(SCORE_COLUMNS)
    assert [one.name for one in signature.params] == ["as_of", "period", "reasons", "locale"]


def test_the_input_example_is_scored(champion: Any, tmp_path: Path) -> None:
    import mlflow

    folder = mlflow.artifacts.download_artifacts("models:/loaded@champion", dst_path=str(tmp_path))
    example = champion.metadata.load_input_example(folder)
    params = champion.metadata.load_input_example_params(folder)
    assert params == {"as_of": "2026-01-01T00:00:00Z"}
    scores = champion.predict(example, params=params)
    assert scores["win_probability"].between(0.0, 1.0).all()


def test_a_bad_row_is_named(champion: Any, table: pd.DataFrame) -> None:
    amounts = table["amount"].astype(object).tolist()
    amounts[7] = "a lot"
    with pytest.raises(Exception, match=r"row 7 \(deal 'D-\d+'\), column amount: expected a number"):
        champion.predict(table.assign(amount=pd.Series(amounts, dtype=object)), params=ASKED)


def test_a_damaged_bundle_is_not_loaded(champion: Any, tmp_path: Path) -> None:
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts("models:/loaded@champion", dst_path=str(tmp_path)))
    part = folder / "artifacts" / "bundle" / "outcome.json"
    part.write_bytes(part.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(Exception, match=r"outcome\.json is damaged or swapped"):
        mlflow.pyfunc.load_model(str(folder))


def test_nothing_in_it_is_pickled_and_forecast_itself_is_asked_of_no_index(
    champion: Any, tmp_path: Path
) -> None:
    import mlflow

    folder = Path(mlflow.artifacts.download_artifacts("models:/loaded@champion", dst_path=str(tmp_path)))
    kinds = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert kinds == {"", ".json", ".py", ".txt", ".yaml"}  # "" is MLmodel
    asked = (folder / "requirements.txt").read_text("utf-8").splitlines()
    assert any(line.startswith("numpy==") for line in asked)
    assert not any(line.startswith("forecast") for line in asked)


# In a process of its own, for Spark leaves threads and a gateway behind.
SPARK = """
import sys
import mlflow, pandas as pd
from pyspark.sql import SparkSession, functions as F

uri, model, path, out = sys.argv[1:]
mlflow.set_tracking_uri(uri)
spark = (
    SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    .config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
    .config("spark.sql.session.timeZone", "America/New_York").getOrCreate()
)
table = spark.read.parquet(path).repartition(3)
params = {"as_of": "2026-01-01", "period": "2026Q1"}
score = mlflow.pyfunc.spark_udf(spark, f"models:/{model}@champion", env_manager="local", params=params)
scored = table.withColumn("scores", score(F.struct(*table.columns))).select("scores.*")
pd.DataFrame([row.asDict() for row in scored.collect()], columns=scored.columns).to_parquet(out)
spark.stop()
"""


@pytest.mark.slow
@pytest.mark.e2e
def test_spark_scores_a_table_to_the_same_bit(
    champion: Any, registered: str, tracking_db: str, table: pd.DataFrame, tmp_path: Path
) -> None:
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed; docs/mlflow.md says how to try it")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java, and there is none")
    table.to_parquet(tmp_path / "deals.parquet")
    subprocess.run(
        [
            sys.executable,
            "-c",
            SPARK,
            tracking_db,
            registered,
            str(tmp_path / "deals.parquet"),
            str(tmp_path / "out"),
        ],
        env={**os.environ, "PYSPARK_PYTHON": sys.executable},
        check=True,
        timeout=900,
    )
    found = pd.read_parquet(tmp_path / "out").sort_values("deal_id").reset_index(drop=True)
    expected = champion.predict(table, params=ASKED).sort_values("deal_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(
        found, expected.astype({"score": "float64"}), check_exact=True, check_dtype=False
    )
