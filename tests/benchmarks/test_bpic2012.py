"""The lender's event log as contract tables: a made-up handful of cases, and the real log where it is."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.real import bpic2012
from benchmarks.real.source import raw_file
from forecast.errors import UnavailableError
from forecast.history import History
from forecast.periods import as_of_us
from forecast.tables import Tables, read_folder, write_folder

# The odd one first: declined by the machine before it ever became a deal. Case 2 gets a second offer and is
# won; its outcome is told by four events. Case 3 is cancelled with its offer. Case 4 is open, in winter time.
LOG = """\
case_id,reg_date,amount_req,activity,lifecycle,resource,timestamp
1,,5000,A_SUBMITTED,COMPLETE,112,2011-10-01T10:00:00.000+02:00
1,,5000,A_DECLINED,COMPLETE,112,2011-10-01T10:00:40.000+02:00
2,,20000,A_SUBMITTED,COMPLETE,112,2011-10-01T10:00:00.000+02:00
2,,20000,A_PREACCEPTED,COMPLETE,112,2011-10-01T10:01:00.500+02:00
2,,20000,W_Completeren aanvraag,SCHEDULE,112,2011-10-01T10:01:01.000+02:00
2,,20000,W_Completeren aanvraag,START,,2011-10-01T11:00:00.000+02:00
2,,20000,A_ACCEPTED,COMPLETE,10862,2011-10-01T11:10:00.000+02:00
2,,20000,A_FINALIZED,COMPLETE,10862,2011-10-01T11:20:00.000+02:00
2,,20000,O_SELECTED,COMPLETE,10862,2011-10-01T11:20:00.000+02:00
2,,20000,O_SENT,COMPLETE,10862,2011-10-01T11:20:00.900+02:00
2,,20000,W_Completeren aanvraag,COMPLETE,10862,2011-10-01T11:21:00.000+02:00
2,,20000,W_Nabellen offertes,START,10913,2011-10-08T16:00:00.000+02:00
2,,20000,O_SENT_BACK,COMPLETE,11049,2011-10-10T11:00:00.000+02:00
2,,20000,O_CANCELLED,COMPLETE,11179,2011-10-11T11:00:00.000+02:00
2,,20000,O_SENT,COMPLETE,10862,2011-10-11T11:00:01.000+02:00
2,,20000,O_ACCEPTED,COMPLETE,10138,2011-10-13T10:37:29.226+02:00
2,,20000,A_REGISTERED,COMPLETE,10138,2011-10-13T10:37:29.226+02:00
2,,20000,A_APPROVED,COMPLETE,10138,2011-10-13T10:37:29.226+02:00
2,,20000,A_ACTIVATED,COMPLETE,10138,2011-10-13T10:37:29.300+02:00
2,,20000,W_Valideren aanvraag,START,10138,2011-10-13T10:38:00.000+02:00
3,,700,A_PREACCEPTED,COMPLETE,10889,2011-10-29T23:30:00.000+02:00
3,,700,O_CANCELLED,COMPLETE,11203,2011-11-02T00:00:00.000+01:00
3,,700,A_CANCELLED,COMPLETE,11203,2011-11-02T00:00:00.000+01:00
4,,15000,A_PREACCEPTED,COMPLETE,112,2011-10-30T02:30:00.000+01:00
"""


def log(text: str) -> pd.DataFrame:
    return pd.read_csv(StringIO(text), dtype="str", keep_default_na=False, na_values=[""])


@pytest.fixture
def tables() -> Tables:
    return bpic2012.adapt(log(LOG))


def told(tables: Tables, deal_id: str, field: str) -> list[tuple[str, str]]:
    events = tables.deal_events
    events = events[(events["deal_id"] == deal_id) & (events["field"] == field)]
    return [
        (f"{at:%m-%d %H:%M}", str(value))
        for at, value in zip(events["recorded_at"], events["value"], strict=True)
    ]


def test_a_case_declined_before_it_was_preaccepted_is_no_deal(tables: Tables) -> None:
    assert list(tables.deals["deal_id"]) == ["2", "3", "4"]


def test_stages_follow_the_offers_back_and_forth_and_end_with_the_first_outcome(tables: Tables) -> None:
    assert told(tables, "2", "stage") == [
        ("10-01 08:01", "preaccepted"),
        ("10-01 09:00", "completing"),
        ("10-01 09:10", "accepted"),
        ("10-01 09:20", "finalized"),
        ("10-01 09:20", "offer_sent"),
        ("10-08 14:00", "following_up"),
        ("10-10 09:00", "offer_back"),
        ("10-11 09:00", "offer_sent"),
        ("10-13 08:37", "won"),
    ]
    assert [stage for _, stage in told(tables, "3", "stage")] == ["preaccepted", "cancelled"]


def test_work_of_an_earlier_stage_moves_no_deal_back_and_work_done_again_is_no_move() -> None:
    """Planned work is none; the offer's call comes while the papers are assessed, and a second assessment."""
    case = """\
9,,20000,A_PREACCEPTED,COMPLETE,112,2011-10-01T10:00:00.000+02:00
9,,20000,O_SENT,COMPLETE,10862,2011-10-02T10:00:00.000+02:00
9,,20000,W_Valideren aanvraag,SCHEDULE,112,2011-10-03T10:00:00.000+02:00
9,,20000,W_Valideren aanvraag,START,10862,2011-10-04T10:00:00.000+02:00
9,,20000,W_Nabellen offertes,START,10862,2011-10-05T10:00:00.000+02:00
9,,20000,W_Completeren aanvraag,START,10862,2011-10-05T11:00:00.000+02:00
9,,20000,W_Valideren aanvraag,START,10862,2011-10-06T10:00:00.000+02:00
9,,20000,W_Nabellen incomplete dossiers,START,10862,2011-10-07T10:00:00.000+02:00
9,,20000,W_Valideren aanvraag,START,10862,2011-10-08T10:00:00.000+02:00
"""
    stages = told(bpic2012.adapt(log(LOG + case)), "9", "stage")
    assert [(day[:5], stage) for day, stage in stages] == [
        ("10-01", "preaccepted"),
        ("10-02", "offer_sent"),
        ("10-04", "assessing"),
        ("10-07", "incomplete"),
        ("10-08", "assessing"),
    ]


def test_amsterdam_time_becomes_utc_in_summer_and_in_winter(tables: Tables) -> None:
    created = tables.deals.set_index("deal_id")["created_at"]
    assert created["3"] == pd.Timestamp("2011-10-29T21:30Z")
    # 02:30 happened twice that night: the offset says which one is meant.
    assert created["4"] == pd.Timestamp("2011-10-30T01:30Z")


def test_the_owner_is_a_person_and_never_who_entered_the_outcome(tables: Tables) -> None:
    assert told(tables, "2", "owner_id") == [
        ("10-01 09:10", "10862"),
        ("10-10 09:00", "11049"),
        ("10-11 09:00", "10862"),
    ]
    assert told(tables, "3", "owner_id") == [("10-29 21:30", "10889")]
    assert told(tables, "4", "owner_id") == []
    assert set(tables.users["user_id"]) == {"10862", "10889", "11049"}


def test_an_owner_of_later_does_not_show_before(tables: Tables) -> None:
    """The deals table names today's owner, as an export does; the history must not."""
    assert tables.deals.set_index("deal_id").loc["2", "owner_id"] == "10862"
    history = History.from_tables(tables)
    deal = history.index_of(["2"])
    moments = [as_of_us(pd.Timestamp(text)) for text in ("2011-10-01T09:00Z", "2011-10-10T10:00Z")]
    before, between = (history.owner(deal, np.array([moment])) for moment in moments)
    assert history.vocabulary("owner_id").take(before)[0] is None
    assert history.vocabulary("owner_id").take(between)[0] == "11049"


def test_work_counts_once_when_it_starts_and_not_after_the_outcome(tables: Tables) -> None:
    done = tables.activities[["deal_id", "kind", "direction"]].fillna("").to_numpy().tolist()
    assert done == [["2", "task", ""], ["2", "call", "out"]]


def test_the_amount_asked_for_is_known_from_the_start(tables: Tables) -> None:
    assert told(tables, "3", "amount") == [("10-29 21:30", "700")]


def test_an_application_cancelled_with_its_offer_gives_no_hint_beforehand(tables: Tables) -> None:
    """What is told of case 3 before its end is the same as if the end had not come."""
    unended = bpic2012.adapt(
        log("".join(line + "\n" for line in LOG.splitlines() if "CANCELLED" not in line))
    )
    end = pd.Timestamp("2011-11-01T23:00Z")

    def before(tables: Tables) -> list[list[str]]:
        events = tables.deal_events
        known = events[(events["deal_id"] == "3") & (events["recorded_at"] < end)]
        return known[["field", "value"]].to_numpy().tolist()

    assert before(tables) == before(unended)
    assert told(tables, "3", "stage")[-1][0] == "11-01 23:00"


def test_the_order_of_the_rows_does_not_matter(tables: Tables) -> None:
    shuffled = log(LOG).sample(frac=1.0, random_state=3)
    # Events of the very same moment keep the order of the log, so only distinct moments may be shuffled.
    distinct = shuffled[~shuffled.duplicated(["case_id", "timestamp"], keep=False)]
    ordered = distinct.sort_index()
    assert bpic2012.adapt(distinct).fingerprint == bpic2012.adapt(ordered).fingerprint


def test_an_absent_file_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="set FORECAST_REAL_DATA"):
        bpic2012.load(tmp_path)


@pytest.fixture(scope="module")
def real() -> Tables:
    try:
        raw_file(bpic2012.NAME, "events.csv.gz")
    except UnavailableError as absent:
        pytest.skip(absent.message)
    return bpic2012.load()


@pytest.mark.real
def test_the_real_deals_are_all_there(real: Tables) -> None:
    kinds = real.stages.set_index("stage")["kind"]
    last = real.deal_events[real.deal_events["field"] == "stage"].groupby("deal_id")["value"].last()
    assert last.map(kinds).value_counts().to_dict() == {"won": 2246, "lost": 4722, "open": 399}
    assert len(real.deals) == 7367


@pytest.mark.real
def test_the_real_tables_pass_their_own_reader(real: Tables, tmp_path: Path) -> None:
    write_folder(real, tmp_path, format="parquet")
    reading = read_folder(tmp_path)
    assert reading.report.quarantine.empty
    assert reading.tables.fingerprint == real.fingerprint


@pytest.mark.real
def test_the_machine_owns_nothing(real: Tables) -> None:
    owners = real.deal_events.loc[real.deal_events["field"] == "owner_id", "value"]
    assert bpic2012.AUTOMATIC not in set(owners)
    assert bpic2012.AUTOMATIC not in set(real.deals["owner_id"])


@pytest.mark.real
def test_as_of_the_split_the_real_history_has_the_published_number_of_open_deals(real: Tables) -> None:
    history = History.from_tables(real)
    split = as_of_us(pd.Timestamp("2012-01-09", tz=bpic2012.ZONE).tz_convert("UTC"))
    everyone = History.from_tables(real).open_deals(as_of_us(pd.Timestamp("2012-03-15", tz="UTC")))
    assert len(everyone) == 399
    assert 0 < len(history.open_deals(split)) < len(real.deals)
