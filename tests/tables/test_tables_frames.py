"""Tables made from frames: types, defaults, and a fingerprint of the content alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecast.errors import DataError
from forecast.tables import TABLES, Reading, Tables, empty_tables


def test_empty_tables_have_the_types_of_full_ones(clean: Reading) -> None:
    empty = empty_tables()
    for name in TABLES:
        assert len(empty[name]) == 0
        pd.testing.assert_series_equal(empty[name].dtypes, clean.tables[name][list(TABLES[name])].dtypes)


def test_absent_columns_are_unknown_or_their_default_and_the_input_stays_as_it_is() -> None:
    deals = pd.DataFrame(
        {"deal_id": ["b", "a"], "created_at": pd.Timestamp("2025-01-01", tz="UTC"), "size": [3, None]},
        index=[7, 5],
    )
    before = deals.copy(deep=True)
    made = Tables.from_frames(deals=deals).deals
    pd.testing.assert_frame_equal(deals, before)
    assert list(made.columns) == [*TABLES["deals"], "size"]
    assert made["deal_id"].tolist() == ["b", "a"]
    assert made.index.tolist() == [0, 1]
    assert made["pipeline"].tolist() == ["sales", "sales"]
    assert made["amount"].isna().all()
    assert made["owner_id"].dtype == "str"
    assert made["size"].tolist() == ["3.0", np.nan]


def test_the_empty_text_is_unknown(clean: Reading) -> None:
    made = Tables.from_frames(
        deals=clean.tables.deals.assign(owner_id="", motion=["", "new", "renewal"])
    ).deals
    assert made["owner_id"].isna().all()
    assert made["motion"].tolist() == ["new", "new", "renewal"]


@pytest.mark.parametrize(
    ("table", "column", "value", "code"),
    [
        ("deals", "budget", 1.5, "off_contract"),
        ("deals", "motion", "upsell", "off_contract"),
        ("deals", "deal_id", "same", "off_contract"),
        ("deals", "deal_id", None, "off_contract"),
        ("deals", "amount", "abc", "wrong_type"),
        ("deals", "created_at", pd.Timestamp("2025-01-01"), "wrong_type"),
        ("deals", "expected_close_on", pd.Timestamp("2025-01-01T10:00"), "wrong_type"),
        ("users", "shoe_size", 43, "unknown_column"),
        ("quotas", "amount", -1.0, "off_contract"),
    ],
)
def test_what_is_off_contract_is_refused(
    clean: Reading, table: str, column: str, value: object, code: str
) -> None:
    with pytest.raises(DataError, match=table) as caught:
        Tables.from_frames(**{table: clean.tables[table].assign(**{column: value})})
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_an_unknown_table_is_refused() -> None:
    with pytest.raises(DataError, match="'invoices' is not a table"):
        Tables.from_frames(invoices=pd.DataFrame())
    with pytest.raises(KeyError):
        empty_tables()["from_frames"]


def test_everything_recorded_is_known_at_the_default_as_of(clean: Reading) -> None:
    as_of = clean.tables.default_as_of
    recorded = clean.tables.deal_events["recorded_at"]
    assert (recorded < as_of).all()
    assert as_of - recorded.max() == pd.Timedelta(1, "us")


def test_the_fingerprint_sees_every_change_and_no_order(clean: Reading) -> None:
    tables = clean.tables
    frames = {name: tables[name] for name in TABLES}
    assert Tables.from_frames(**frames).fingerprint == tables.fingerprint
    turned = {name: frame.iloc[::-1, ::-1] for name, frame in frames.items()}
    assert Tables.from_frames(**turned).fingerprint == tables.fingerprint

    seen = {tables.fingerprint, empty_tables().fingerprint}
    deals = frames["deals"]
    for change in (
        deals.assign(amount=deals["amount"] + 0.01),
        deals.assign(budget=deals["authority"].mask(deals.index == 0), authority=deals["budget"]),
        deals.assign(source=deals["account_id"], account_id=deals["source"]),
        deals.iloc[:2],
        deals.rename(columns={"industry": "sector"}),
    ):
        fingerprint = Tables.from_frames(**frames | {"deals": change}).fingerprint
        assert fingerprint not in seen
        seen.add(fingerprint)
