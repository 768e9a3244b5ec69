"""The offers of the lender's log as deals, asked about after each event: the question of process mining.

Published work on BPI Challenge 2012 asks after the first k events of a case (k = 1 to 40) whether its offer
will be accepted, of the 4,685 cases whose last offer event says accepted, declined or cancelled. It splits
80/20 by the start of the case and counts prefixes that already contain the outcome. Here none does:

- A deal starts at A_SUBMITTED and ends with the first event that tells its outcome: its last offer event, or an
  A_ event of the outcome before it. What follows is not in the tables.
- Only prefixes that end before that moment are asked about; a prefix is the case's first k COMPLETE events.
- Everybody learns from what was recorded before the first case of the last fifth starts, no more: cases of the
  first four fifths that were still open then are censored. Published work lets their later outcomes in.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from benchmarks.real import bpic2012
from benchmarks.real.source import raw_file, read_text
from forecast.arrays import Ints
from forecast.history import LOST as LOST_CAUSE
from forecast.history import OPEN, WON, History, Landmarks
from forecast.periods import DAY_US
from forecast.tables import Tables

__all__ = ["LONGEST", "adapt", "load", "prefixes", "split_us"]

LONGEST: Final = 40
_START: Final = "A_SUBMITTED"
_LAST_FIFTH: Final = 0.8
_OUTCOMES: Final = {"O_ACCEPTED": "A_APPROVED", "O_DECLINED": "A_DECLINED", "O_CANCELLED": "A_CANCELLED"}


def load() -> tuple[Tables, pd.DataFrame]:
    """Contract tables, and the log they were made of for `prefixes`."""
    log = truncated(read_text(raw_file(bpic2012.NAME, "events.csv.gz")))
    return adapt(log), log


def truncated(log: pd.DataFrame) -> pd.DataFrame:
    """The cases in question in order of time, each up to its outcome, which one event tells."""
    at = pd.to_datetime(log["timestamp"], format="ISO8601", utc=True).dt.as_unit("us")
    log = log.assign(at=at).sort_values("at", kind="stable", ignore_index=True)
    offers = log[log["activity"].str.startswith("O_")].drop_duplicates("case_id", keep="last")
    offers = offers[offers["activity"].isin(list(_OUTCOMES))].set_index("case_id")
    log = log[log["case_id"].isin(offers.index)]
    told = log[log["activity"].isin(bpic2012.OUTCOMES)].groupby("case_id")["at"].min()
    ends_at = pd.concat([told, offers["at"]], axis=1).min(axis=1)
    before = log[log["at"] < log["case_id"].map(ends_at)]
    # An offer taken back for the next one is no outcome; that it was, the next O_SENT tells.
    before = before[~before["activity"].isin(list(_OUTCOMES))]
    outcome = pd.DataFrame(
        {
            "case_id": offers.index,
            "activity": offers["activity"].map(_OUTCOMES),
            "lifecycle": "COMPLETE",
            "resource": None,
            "timestamp": ends_at.reindex(offers.index).map(lambda moment: moment.isoformat()),
            "at": ends_at.reindex(offers.index),
        }
    )
    together = pd.concat([before, outcome], ignore_index=True)
    return together.sort_values("at", kind="stable", ignore_index=True)


def adapt(log: pd.DataFrame) -> Tables:
    """Contract tables of a truncated log."""
    return bpic2012.adapt(log, start=_START)


def split_us(log: pd.DataFrame) -> int:
    """When the first case of the last fifth starts."""
    starts = np.sort(log.groupby("case_id")["at"].min().astype("int64").to_numpy())
    return int(starts[int(len(starts) * _LAST_FIFTH)])


def prefixes(log: pd.DataFrame, history: History, split: int) -> tuple[Landmarks, Ints]:
    """One row for each prefix of the cases that start at or after the split, and its length."""
    starts = log.groupby("case_id")["at"].transform("min").astype("int64")
    late = log[starts >= split]
    outcome = late.drop_duplicates("case_id", keep="last").set_index("case_id")
    rows = late[
        (late["lifecycle"] == "COMPLETE")
        & ~late.index.isin(late.drop_duplicates("case_id", keep="last").index)
    ]
    length = (rows.groupby("case_id").cumcount() + 1).to_numpy(np.int64)
    # The moment after the event: everything recorded up to it, and at the same microsecond, is known.
    at_us = rows["at"].astype("int64").to_numpy(np.int64) + 1
    ends_us = rows["case_id"].map(outcome["at"]).astype("int64").to_numpy(np.int64)
    won = (rows["case_id"].map(outcome["activity"]) == "A_APPROVED").to_numpy()
    use = (length <= LONGEST) & (at_us < ends_us)
    deal = history.index_of(rows["case_id"].to_numpy()[use])
    marks = Landmarks(
        deal,
        at_us[use],
        (ends_us - at_us)[use] / DAY_US,
        np.where(won, WON, LOST_CAUSE)[use].astype(np.int8),
        np.ones(int(use.sum())),
    )
    assert OPEN not in marks.cause  # noqa: S101  (all of these cases ended)
    return marks, length[use]
