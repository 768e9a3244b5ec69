"""Offers asked about after each event: no prefix contains its outcome, and none is told by what follows."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pandas as pd
import pytest

from benchmarks.real import bpic2012, prefixes
from benchmarks.real.source import raw_file
from forecast.errors import UnavailableError
from forecast.history import LOST, WON, History

# The odd ones first: a case whose offer was never answered, and one that ends with an A_ event while its offer
# is taken back a day later. Case 3 gets a second offer and accepts it; the approval follows.
LOG = """\
case_id,reg_date,amount_req,activity,lifecycle,resource,timestamp
1,,5000,A_SUBMITTED,COMPLETE,112,2011-10-01T10:00:00.000+02:00
1,,5000,A_PREACCEPTED,COMPLETE,112,2011-10-01T10:01:00.000+02:00
1,,5000,O_SENT,COMPLETE,10862,2011-10-02T10:00:00.000+02:00
2,,700,A_SUBMITTED,COMPLETE,112,2011-10-03T10:00:00.000+02:00
2,,700,A_PREACCEPTED,COMPLETE,112,2011-10-03T10:01:00.000+02:00
2,,700,O_SENT,COMPLETE,10862,2011-10-04T10:00:00.000+02:00
2,,700,A_CANCELLED,COMPLETE,10862,2011-10-05T10:00:00.000+02:00
2,,700,O_CANCELLED,COMPLETE,10862,2011-10-06T10:00:00.000+02:00
3,,9000,A_SUBMITTED,COMPLETE,112,2011-10-05T10:00:00.000+02:00
3,,9000,A_PREACCEPTED,COMPLETE,112,2011-10-05T10:01:00.000+02:00
3,,9000,O_SENT,COMPLETE,10862,2011-10-06T10:00:00.000+02:00
3,,9000,W_Nabellen offertes,START,10862,2011-10-07T10:00:00.000+02:00
3,,9000,W_Nabellen offertes,COMPLETE,10862,2011-10-07T10:05:00.000+02:00
3,,9000,O_CANCELLED,COMPLETE,10862,2011-10-08T10:00:00.000+02:00
3,,9000,O_SENT,COMPLETE,10862,2011-10-08T10:00:01.000+02:00
3,,9000,O_ACCEPTED,COMPLETE,10862,2011-10-09T10:00:00.000+02:00
3,,9000,A_APPROVED,COMPLETE,10862,2011-10-09T10:00:01.000+02:00
"""


@pytest.fixture
def log() -> pd.DataFrame:
    return pd.read_csv(StringIO(LOG), dtype="str", keep_default_na=False, na_values=[""])


def test_a_case_ends_with_the_first_event_that_tells_its_outcome(log: pd.DataFrame) -> None:
    short = prefixes.truncated(log)
    assert sorted(short["case_id"].unique()) == ["2", "3"]
    last = short.drop_duplicates("case_id", keep="last").set_index("case_id")
    assert last.loc["2", "at"] == pd.Timestamp("2011-10-05T08:00Z")
    assert last.loc["3", "at"] == pd.Timestamp("2011-10-09T08:00Z")
    assert last["activity"].to_dict() == {"2": "A_CANCELLED", "3": "A_APPROVED"}
    assert not short["activity"].isin(["O_ACCEPTED", "O_CANCELLED", "O_DECLINED"]).any()


def test_a_prefix_is_asked_about_just_after_its_event_and_before_the_outcome(log: pd.DataFrame) -> None:
    short = prefixes.truncated(log)
    history = History.from_tables(prefixes.adapt(short))
    rows, length = prefixes.prefixes(short, history, 0)
    case = history.deal_ids[rows.deal]
    assert length[case == "2"].tolist() == [1, 2, 3]
    assert length[case == "3"].tolist() == [1, 2, 3, 4, 5]  # work counts when it is complete
    assert set(rows.cause[case == "2"]) == {LOST}
    assert set(rows.cause[case == "3"]) == {WON}
    assert (rows.duration_days > 0.0).all()
    stage = history.stage(rows.deal, rows.at_us)
    names = [history.stages.names[code].split("/")[1] for code in stage[case == "3"]]
    assert names == ["submitted", "preaccepted", "offer_sent", "following_up", "offer_sent"]


def test_what_follows_the_outcome_changes_nothing(log: pd.DataFrame) -> None:
    without = prefixes.truncated(log[log["activity"] != "A_APPROVED"])
    assert prefixes.adapt(without).fingerprint == prefixes.adapt(prefixes.truncated(log)).fingerprint


def test_the_split_parts_cases_by_when_they_start(log: pd.DataFrame) -> None:
    short = prefixes.truncated(log)
    split = prefixes.split_us(short)
    history = History.from_tables(prefixes.adapt(short))
    rows, _ = prefixes.prefixes(short, history, split)
    assert set(history.deal_ids[rows.deal]) == {"3"}
    assert (rows.at_us > split).all()


@pytest.mark.real
def test_the_real_log_has_the_published_number_of_cases() -> None:
    try:
        raw_file(bpic2012.NAME, "events.csv.gz")
    except UnavailableError as absent:
        pytest.skip(absent.message)
    tables, log = prefixes.load()
    assert len(tables.deals) == 4685
    rows, length = prefixes.prefixes(log, History.from_tables(tables), prefixes.split_us(log))
    assert length.max() <= prefixes.LONGEST
    assert len(np.unique(rows.deal)) == 937
