"""The contract: its columns to the letter, and the YAML that tells of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.errors import UsageError
from forecast.periods import Period
from forecast.tables.models import KEYS, TABLES, Deals, required_columns, schema_of
from forecast.tables.schemas import read_schema, schema_texts, write_schemas

FOLDER = Path(__file__).resolve().parents[2] / "data" / "schemas"

# A star marks what a file must have.
CONTRACT = {
    "stages": "pipeline* stage* position* kind* default_probability label",
    "deals": "deal_id* pipeline motion created_at* account_id source owner_id amount currency "
    "expected_close_on forecast_category budget authority need timeline",
    "deal_events": "deal_id* recorded_at* field* value* actor",
    "activities": "deal_id lead_id occurred_at* kind* direction",
    "users": "user_id* name team region manager_id email active",
    "quotas": "level* entity* period* amount* currency",
    "leads": "lead_id* created_at* source owner_id account_id budget authority need timeline converted_at "
    "deal_id disqualified_at",
    "fx_rates": "currency* valid_from* rate*",
}  # fmt: skip


def test_the_tables_are_those_of_the_contract_in_its_order() -> None:
    assert {name: " ".join(columns) for name, columns in TABLES.items()} == {
        name: text.replace("*", "") for name, text in CONTRACT.items()
    }


@pytest.mark.parametrize("table", CONTRACT)
def test_starred_columns_are_required(table: str) -> None:
    assert set(required_columns(table)) == {
        name[:-1] for name in CONTRACT[table].split() if name.endswith("*")
    }


def test_a_column_of_a_model_is_its_name() -> None:
    assert Deals.expected_close_on == "expected_close_on"


@pytest.mark.parametrize("table", CONTRACT)
def test_every_column_is_described(table: str) -> None:
    assert all(column.description for column in schema_of(table).columns.values())
    assert set(KEYS[table]) <= set(TABLES[table])


@pytest.mark.parametrize("table", CONTRACT)
def test_the_yaml_of_each_table_is_current_and_says_the_same(table: str) -> None:
    text = (FOLDER / f"{table}.yaml").read_text(encoding="utf-8")
    assert text == schema_texts()[table], "run: python -m forecast.tables.schemas"
    assert read_schema(text) == schema_of(table)


def test_there_is_no_other_yaml(tmp_path: Path) -> None:
    write_schemas(tmp_path / "new")
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{name}.yaml" for name in TABLES)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        f"{name}.yaml" for name in TABLES
    )


@settings(max_examples=100, deadline=None)
@given(st.from_regex(r"\A(19|20|21|22)\d{2}(Q\d|-\d{2})?\n?\Z") | st.text(max_size=8))
def test_the_period_of_a_quota_is_what_periods_can_parse(text: str) -> None:
    (check,) = schema_of("quotas").columns["period"].checks
    passes = bool(check(pd.Series([text], dtype="str")).check_output.all())
    try:
        assert passes == (Period.parse(text).label == text)
    except UsageError:
        assert not passes
