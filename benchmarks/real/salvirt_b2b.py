"""Salvirt / Bohanec B2B sales (448 deals, 22 qualification attributes) as contract tables.

Real deals of a software company, judged by its sellers on BANT-like attributes. The table knows how each deal
ended and nothing of when: no dates, amounts or stages. To run the whole job on it, dates are given out:

- Deals are created week by week, 35 at a time, in an order drawn at random, and each is decided exactly a week
  later, so that no date tells anything. On a weekly grid each deal has one landmark, a day after its creation,
  as in the raw table.
- Deals to be foretold are created last and are all open at the end, a day old like all others.
- Budget, authority, need and timeline are what the contract calls them (`Budgt_alloc`, `Authority`,
  `Needs_def`, `Forml_tend`, a formal tender having one); Source is the deal's source, and all other attributes,
  Seller among them, stay custom. All are entries of the first moment.

83 of the 448 rows repeat another row in full. Identical rows stay on one side of every split.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from benchmarks.real.source import raw_file
from forecast.arrays import Bools, Ints
from forecast.tables import Tables

__all__ = ["OPEN_AT", "TARGET", "distinct_rows", "groups_of", "load", "tables_of"]

NAME: Final = "salvirt_b2b"
TARGET: Final = "Status"
OPEN_AT: Final = pd.Timestamp("2024-01-01", tz="UTC")  # an arbitrary end of what is known
_A_WEEK: Final = 35
_LIFE: Final = pd.Timedelta(days=7)
_AGE: Final = pd.Timedelta(days=1)  # of every deal when it is looked at
_BANT: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "Budgt_alloc": ("budget", {"Yes": "1", "No": "0"}),
    "Authority": ("authority", {"Low": "0", "Mid": "0.5", "High": "1"}),
    "Needs_def": ("need", {"No": "0", "Poor": "0.25", "Info gathering": "0.5", "Yes": "1"}),
    "Forml_tend": ("timeline", {"Yes": "1", "No": "0"}),
}
_COLUMNS: Final = {"Source": "source"}
_STAGES: Final = pd.DataFrame(
    [
        ("sales", "qualified", 1, "open", "Qualified"),
        ("sales", "won", 2, "won", "Won"),
        ("sales", "lost", 3, "lost", "Lost"),
    ],
    columns=["pipeline", "stage", "position", "kind", "label"],
)


def load(folder: Path | None = None) -> pd.DataFrame:
    """The raw table, all cells text."""
    return pd.read_csv(
        raw_file(NAME, "b2b_sales.csv", folder=folder), sep=";", dtype="str", keep_default_na=False
    )


def distinct_rows(raw: pd.DataFrame) -> pd.DataFrame:
    """Each row once."""
    return raw.drop_duplicates(ignore_index=True)


def groups_of(raw: pd.DataFrame) -> Ints:
    """(n,) the same number for rows that are identical but for their outcome."""
    return np.asarray(raw.groupby(list(raw.columns.drop(TARGET)), sort=False).ngroup(), dtype=np.int64)


def tables_of(raw: pd.DataFrame, asked: Bools, rng: np.random.Generator) -> Tables:
    """Contract tables in which the rows asked about are open at `OPEN_AT`, and all others decided before.

    asked : (n,) rows to be foretold; their outcome is recorded after `OPEN_AT`
    """
    place = np.zeros(len(raw))
    place[~asked] = rng.permutation(np.count_nonzero(~asked))
    weeks = pd.to_timedelta(7 * (1 + place // _A_WEEK), unit="D")
    created = pd.Series(OPEN_AT - _AGE - weeks).where(~asked, OPEN_AT - _AGE).dt.as_unit("us")
    ids = pd.Series([f"row {number:03d}" for number in range(len(raw))], dtype="str")
    columns = raw.drop(columns=TARGET).rename(columns=_COLUMNS)
    for name, (field, values) in _BANT.items():
        columns[field] = columns.pop(name).map(values)
    deals = columns.assign(deal_id=ids, pipeline="sales", motion="new", created_at=created)
    outcome = raw[TARGET].str.lower()
    known = columns.melt(ignore_index=False, var_name="field", value_name="value").dropna(subset="value")
    known = known[known["field"] != "source"]
    events = pd.concat(
        [
            pd.DataFrame({"deal_id": ids, "recorded_at": created, "field": "stage", "value": "qualified"}),
            pd.DataFrame(
                {"deal_id": ids, "recorded_at": created + _LIFE, "field": "stage", "value": outcome}
            ),
            known.assign(deal_id=ids[known.index], recorded_at=created[known.index]),
        ],
        ignore_index=True,
    )
    for field, _ in _BANT.values():
        deals[field] = deals[field].astype("float64")
    return Tables.from_frames(
        stages=_STAGES,
        deals=deals,
        deal_events=events.sort_values("recorded_at", kind="stable", ignore_index=True),
    )
