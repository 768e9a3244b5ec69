"""A table of deals in flat columns: the scores of the tables to the last bit, one clear word on a bad row."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forecast.bundle import Bundle, load_bundle
from forecast.errors import DataError
from forecast.outlook import history_of
from forecast.periods import Period
from forecast.scoring import SCORE_COLUMNS, score_open_deals
from forecast.service.flat import flat_deals, score_table
from forecast.tables import Dialect, Tables

AS_OF = pd.Timestamp("2026-01-01", tz="UTC")
MIDYEAR = pd.Timestamp("2025-06-17 13:45:10.25", tz="UTC")


@pytest.fixture(scope="module")
def bundle(trained_bundle: Path) -> Bundle:
    return load_bundle(trained_bundle)


@pytest.fixture(scope="module")
def table(sample_tables: Tables) -> pd.DataFrame:
    return flat_deals(sample_tables, AS_OF)


@pytest.fixture(scope="module")
def few(bundle: Bundle, table: pd.DataFrame) -> pd.DataFrame:
    """Three open deals."""
    scored = score_table(bundle, table, as_of="2026-01-01", reasons=0)
    return table[scored["win_probability"].notna()].head(3).reset_index(drop=True)


def as_text(scores: pd.DataFrame) -> pd.DataFrame:
    """Scores of the command line with days and moments as a flat table has them."""
    days = {name: scores[name].dt.strftime("%Y-%m-%d") for name in scores if name.startswith("close_on")}
    moment = [at.isoformat().replace("+00:00", "Z") for at in scores["as_of"]]
    return scores.assign(as_of=moment, **days)


@pytest.mark.parametrize("as_of", [AS_OF, MIDYEAR], ids=["now", "midyear"])
def test_a_flat_table_scores_as_the_folder_does(
    bundle: Bundle, sample_tables: Tables, as_of: pd.Timestamp
) -> None:
    """Whole, in parts, and backwards; at midyear with the half-year that was still to come in the lists."""
    sent = flat_deals(sample_tables, as_of).sample(frac=1.0, random_state=3)
    asked = {"as_of": as_of.isoformat(), "period": "2026Q1", "locale": "it"}
    whole = score_table(bundle, sent, **asked)
    pd.testing.assert_index_equal(whole.index, sent.index)
    assert whole["deal_id"].tolist() == sent["deal_id"].tolist()
    expected = score_open_deals(
        history_of(sample_tables, bundle), bundle, as_of, period=Period.parse("2026Q1"), locale="it"
    )
    found = whole[whole["win_probability"].notna()].sort_values("deal_id").reset_index(drop=True)
    assert len(found) > 50
    pd.testing.assert_frame_equal(
        found.astype({"score": "int64"}), as_text(expected), check_exact=True, check_dtype=False
    )
    parts = [score_table(bundle, sent.iloc[at : at + 100], **asked) for at in range(0, len(sent), 100)]
    pd.testing.assert_frame_equal(pd.concat(parts), whole, check_exact=True)


def test_a_closed_deal_keeps_its_row_and_has_no_chances(bundle: Bundle, table: pd.DataFrame) -> None:
    scored = score_table(bundle, table, as_of="2026-01-01")
    assert list(scored.columns) == list(SCORE_COLUMNS)
    closed = scored[scored["win_probability"].isna()]
    assert 0 < len(closed) < len(scored)
    assert closed["stage"].isin(["won", "lost", "onboarding"]).all()
    assert closed[["won_90d", "score", "amount_if_won"]].isna().all(axis=None)
    assert set(closed["close_on_p50"]) == {""}
    assert set(closed["reasons"]) == {"[]"}


def test_without_a_moment_everything_in_the_table_is_known(bundle: Bundle, few: pd.DataFrame) -> None:
    asked = score_table(bundle, few)["as_of"].unique()
    assert len(asked) == 1
    assert asked[0].endswith("1Z")  # the microsecond after the newest entry
    assert score_table(bundle, few.head(0)).shape == (0, len(SCORE_COLUMNS))


def test_a_row_without_events_stands_in_its_stage_since_it_was_created(
    bundle: Bundle, few: pd.DataFrame
) -> None:
    bare = few.drop(columns=["events", "activities"])
    told = bare.assign(
        events=[
            f'[{{"field": "stage", "value": "proposal", "recorded_at": "{at}"}}]' for at in bare["created_at"]
        ]
    )
    as_of = {"as_of": "2026-01-01"}
    pd.testing.assert_frame_equal(
        score_table(bundle, bare.assign(stage="proposal"), **as_of), score_table(bundle, told, **as_of)
    )
    with pytest.raises(DataError, match=r"^row 0 \(deal .*\), column events: is required"):
        score_table(bundle, bare, **as_of)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("amount", "12k", "column amount: expected a number, without quotes"),
        ("created_at", "2025-01-01T00:00:00", "column created_at: has no time zone"),
        ("created_at", pd.Timestamp("2025-01-01"), "column created_at: has no time zone"),
        ("created_at", "2027-01-01T00:00:00Z", "column created_at: lies after as_of"),
        ("pipeline", "other", "column pipeline: is no pipeline of this bundle$"),
        ("budget", 7, "column budget: expected a number from 0"),
        ("events", "[{", "column events: the text is not JSON"),
        ("events", 5, "column events: expected a list as JSON text"),
        ("events", '[{"field": "stage", "value": "x"}]', r"column events\[0\].recorded_at: is required"),
        ("activities", "{}", "column activities: expected a list"),
    ],
)
def test_a_bad_cell_is_named_by_row_deal_and_column(
    bundle: Bundle, few: pd.DataFrame, column: str, value: Any, said: str
) -> None:
    cells = few[column].astype(object).tolist()
    cells[1] = value
    name = few["deal_id"][1]
    with pytest.raises(DataError, match=rf"^row 1 \(deal '{name}'\), {said}"):
        score_table(bundle, few.assign(**{column: pd.Series(cells, dtype=object)}), as_of="2026-01-01")


def test_an_id_is_text_and_comes_once(bundle: Bundle, few: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"^row 0, column deal_id: expected text"):
        score_table(bundle, few.assign(deal_id=[1, 2, 3]), as_of="2026-01-01")
    with pytest.raises(DataError, match=r"row 1 .* column deal_id: comes twice in this table"):
        score_table(bundle, few.assign(deal_id="D-1"), as_of="2026-01-01")


def test_scoring_a_table_loads_no_server() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "import sys, forecast.service.flat; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert "forecast.service.flat" in told
    assert not {"bentoml", "starlette", "mlflow", "training"} & set(told)


def test_words_of_the_export_the_bundle_learnt_from_are_understood(bundle: Bundle, few: pd.DataFrame) -> None:
    """`[stages]` and `[bant]` of the settings: a table may say them as the service may be told them."""
    said = {"stages": {"rename": {"Angebot": "proposal"}}, "bant": {"words": {"Ja": 1}}}
    dialect = Dialect.from_toml(said, "my.toml").to_json()
    spoken = dataclasses.replace(bundle, manifest={**bundle.manifest, "dialect": dialect})
    bare = few.drop(columns=["events", "activities"])
    as_of = {"as_of": "2026-01-01"}
    pd.testing.assert_frame_equal(
        score_table(spoken, bare.assign(stage="Angebot", budget="Ja"), **as_of),
        score_table(bundle, bare.assign(stage="proposal", budget=1.0), **as_of),
    )
