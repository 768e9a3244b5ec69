"""A folder in a company's own words reads as the same folder in ours, and what no rule covers is never lost."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_company import COMPANY, Folder, write_company

from forecast.tables import CheckReport, Dialect, FolderError, Reading, read_folder

# The small company as a CRM might have written it. The odd record comes first here, too.
EXPORT = {
    **COMPANY,
    "stages": COMPANY["stages"]
    .replace("first call", "1 - First Call")
    .replace("sales,offer", "sales,2 - Quote")
    .replace("renewals,offer", "renewals,Renewal sent"),
    "deals": COMPANY["deals"]
    .replace("deal_id,", "Opportunity ID,", 1)
    .replace("expected_close_on", "Close Date")
    .replace("industry", "Industry__c")
    .replace(",,1,1,1,0.5,toys", ",, YES ,sì,Confirmed,Partly,toys")
    .replace("commit,,,,,", "commit,TBD,?,n/a,,"),
    "deal_events": COMPANY["deal_events"]
    .replace("stage,first call", "StageName,1 - First Call")
    .replace("D,stage", "D,StageName")
    .replace("stage,offer,ana", "StageName,2 - Quote,ana")
    .replace("stage,offer,bruno", "StageName,2 - Quote,bruno")
    .replace("stage,offer,\n", "StageName,Renewal sent,\n")
    .replace("stage,won", "StageName,won")
    .replace("expected_close_on", "Close Date")
    .replace("budget,1,", "budget,confirmed,"),
    "leads": COMPANY["leads"].replace("A4,,1,,,", "A4,,Yes,,unknown,"),
}
RULES = """
[columns.deals]
"Opportunity ID" = "deal_id"
"Close Date" = "expected_close_on"
"Industry__c" = "industry"
StageName = "stage"
[stages.rename]
"1 - First Call" = "first call"
"Renewal sent" = "never used: the pipeline has its own"
[stages.rename_in.sales]
"2 - Quote" = "offer"
[stages.rename_in.renewals]
"Renewal sent" = "offer"
[bant]
common_words = true
words = { Partly = 0.5 }
"""


def dialect(text: str) -> Dialect:
    return Dialect.from_toml(tomllib.loads(text), "my.toml")


def quarantined(reading: Reading) -> list[tuple[str, str, str]]:
    rows = reading.report.quarantine
    return list(zip(rows["table"], rows["code"], rows["reason"], strict=True))


def assert_adds_up(report: CheckReport) -> None:
    for name, count in report.tables.items():
        assert count.read == count.loaded + count.duplicates + count.superseded + count.quarantined, name


def test_an_export_in_its_own_words_is_the_folder_in_ours(company: Folder, clean: Reading) -> None:
    reading = read_folder(company(**EXPORT), dialect=dialect(RULES))
    assert quarantined(reading) == []
    assert reading.tables.fingerprint == clean.tables.fingerprint
    assert_adds_up(reading.report)


def test_words_that_were_read_as_numbers_are_told(company: Folder) -> None:
    warnings = read_folder(company(**EXPORT), dialect=dialect(RULES)).report.warnings
    assert "deal_events.csv: words in budget were read as numbers (confirmed = 1)" in warnings
    (deals,) = (text for text in warnings if text.startswith("deals.csv"))
    assert deals == (
        "deals.csv: words in authority, budget, need were read as numbers "
        "(YES = 1, TBD = unknown, sì = 1, ? = unknown, Confirmed = 1, n/a = unknown)"
    )


def test_what_no_rule_covers_is_set_aside_with_what_may_be_meant(company: Folder) -> None:
    folder = company(
        deals=COMPANY["deals"].replace(",,1,1,1,0.5", ",,confrimed,1,1,0.5"),
        deal_events=COMPANY["deal_events"]
        .replace("need,,bruno", "need,yes,bruno")
        .replace("None,2025-03-01T00:00:00Z,stage,offer", "None,2025-03-01T00:00:00Z,stage,Ofer"),
    )
    number = "is not a number with a decimal point"
    unknown_stage = (
        "deal_events",
        "unknown_stage",
        "stage 'Ofer' is not a stage of pipeline 'renewals'; is 'offer' meant? "
        "[stages] of the settings renames stages",
    )
    found = quarantined(read_folder(folder))
    assert unknown_stage in found
    assert (
        "deal_events",
        "bad_number",
        f"need 'yes' {number}; common_words = true below [bant] in the settings would read it",
    ) in found
    found = quarantined(read_folder(folder, dialect=dialect("[bant]\ncommon_words = true")))
    assert unknown_stage in found
    assert (
        "deals",
        "bad_number",
        f"budget 'confrimed' {number}; is 'confirmed' meant? [bant] of the settings says what words mean",
    ) in found


def test_two_stages_merged_into_one_are_one_move(company: Folder) -> None:
    """Both names at one moment become one event; the row of the old stage gives way to the new one's."""
    stages = COMPANY["stages"] + "sales,offer (old),2,open,0.9,\n"
    events = COMPANY["deal_events"] + "007,2025-02-20T09:00:00Z,stage,offer (old),ana\n"
    merged = read_folder(
        company(stages=stages, deal_events=events),
        dialect=dialect('[stages.rename]\n"offer (old)" = "offer"'),
    )
    assert quarantined(merged) == []
    plain = read_folder(company())
    assert merged.tables.fingerprint == plain.tables.fingerprint
    assert merged.report.tables["stages"].superseded == 1
    assert merged.report.tables["deal_events"].duplicates == 1
    assert_adds_up(merged.report)


def test_a_stage_that_meant_something_else_is_read_by_when_it_was_recorded(company: Folder) -> None:
    rules = '[[stages.redefined]]\nuntil = 2025-02-10\nrename = { offer = "first call" }'
    events = read_folder(company(), dialect=dialect(rules)).tables.deal_events
    stages = events[events["field"] == "stage"]
    moments = stages["deal_id"] + " " + stages["recorded_at"].dt.strftime("%m-%d")
    assert dict(zip(moments, stages["value"], strict=True)) == {
        "007 01-13": "first call",
        "007 02-20": "offer",
        "007 04-10": "won",
        "9007199254740993 02-03": "first call",
        "None 03-01": "offer",
    }


def test_stages_may_be_stated_without_a_file(company: Folder, clean: Reading) -> None:
    stated = "".join(
        f"[[stages.stated]]\npipeline = '{row.pipeline}'\nstage = '{row.stage}'\nposition = {row.position}\n"
        f"kind = '{row.kind}'\n"
        + ("" if pd.isna(row.default_probability) else f"default_probability = {row.default_probability}\n")
        + ("" if pd.isna(row.label) else f"label = '{row.label}'\n")
        for row in clean.tables.stages.itertuples()
    )
    reading = read_folder(company(stages=None), dialect=dialect(stated))
    assert reading.tables.fingerprint == clean.tables.fingerprint
    assert_adds_up(reading.report)
    # With a file they take the place of its rows.
    kinds = COMPANY["stages"].replace("offer,2,open,0.5,Offer", "offer,7,lost,0.9,Wrong")
    reading = read_folder(company(stages=kinds), dialect=dialect(stated))
    assert reading.tables.fingerprint == clean.tables.fingerprint
    assert_adds_up(reading.report)


def test_stated_stages_without_a_won_one_are_refused(company: Folder) -> None:
    rules = dialect("[[stages.stated]]\nstage = 'offer'\nposition = 1\nkind = 'open'")
    with pytest.raises(FolderError, match="no stage of kind 'won'"):
        read_folder(company(stages="pipeline,stage,position,kind\n"), dialect=rules)


def test_flags_and_counts_of_a_typed_file_may_be_words(tmp_path: Path) -> None:
    folder = write_company(tmp_path / "typed", deals=None)
    pq.write_table(
        pa.table(
            {
                "deal_id": ["007", "9007199254740993", "None"],
                "pipeline": ["sales", "sales", "renewals"],
                "created_at": ["2025-01-13T09:00:00Z"] * 3,
                "budget": pa.array([True, None, False]),
                "need": pa.array([2, 0, None]),
                "timeline": pa.array([0.25, None, 1.0]),
            }
        ),
        folder / "deals.parquet",
    )
    rules = dialect("[bant]\ncommon_words = true\nneed = { 2 = 1, 1 = 0.5 }")
    deals = read_folder(folder, dialect=rules).tables.deals[["budget", "need", "timeline"]].fillna(-1.0)
    assert deals["budget"].tolist() == [1.0, -1.0, 0.0]
    assert deals["need"].tolist() == [1.0, 0.0, -1.0]
    assert deals["timeline"].tolist() == [0.25, -1.0, 1.0]


def test_a_header_that_would_stand_twice_is_refused(company: Folder) -> None:
    with pytest.raises(FolderError, match=r"would have two columns 'amount': 'amount' and 'currency'"):
        read_folder(company(), dialect=dialect('[columns.deals]\ncurrency = "amount"'))


def test_rules_that_lead_nowhere_are_told_with_the_nearest(company: Folder) -> None:
    rules = dialect(
        """
        [columns.deals]
        Industri = "sector"
        [columns.users]
        Nome = "name"
        [stages.rename]
        "1st call" = "frist call"
        """
    )
    warnings = read_folder(company(users=None), dialect=rules).report.warnings
    assert warnings[:2] == (
        "settings: columns.deals renames 'Industri', which no column is called; is 'industry' meant?",
        "settings: stages rename to 'frist call', which is no stage of the stages table; "
        "is 'first call' meant?",
    )
    # Of a table that was not given nothing can be said.
    assert not any("columns.users" in text for text in warnings)


def test_moments_without_zone_are_read_in_the_zone_of_the_rules(company: Folder) -> None:
    events = COMPANY["deal_events"].replace("2025-01-13T09:00:00Z,stage", "2025-01-13T10:00:00,stage")
    rules = dialect('[reading]\nzone = "Europe/Rome"')
    tables = read_folder(company(deal_events=events), dialect=rules).tables
    assert tables.fingerprint == read_folder(company()).tables.fingerprint
    other = read_folder(company(deal_events=events), zone="UTC", dialect=rules).tables
    assert other.fingerprint != tables.fingerprint


stage_names = st.sampled_from(["first call", "offer", "won", "lost", "demo", "quote"])
theirs = st.sampled_from(["demo", "quote"])
targets = st.sampled_from(["first call", "offer", "lost"])
names = st.dictionaries(theirs, targets, max_size=2)
days = st.integers(1, 28)


@settings(max_examples=25, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.sampled_from(["007", "9007199254740993", "None"]), days, stage_names), max_size=12
    ),
    rename=names,
    own=names,
    redefined=st.lists(
        st.tuples(
            days,
            st.sampled_from(["", "sales", "renewals"]),
            st.dictionaries(stage_names, targets, min_size=1),
        ),
        max_size=3,
    ),
)
def test_a_column_of_events_reads_as_each_event_by_itself(
    tmp_path_factory: pytest.TempPathFactory,
    events: list[tuple[str, int, str]],
    rename: dict[str, str],
    own: dict[str, str],
    redefined: list[tuple[int, str, dict[str, str]]],
) -> None:
    rules = Dialect.from_toml(
        {
            "stages": {
                "rename": rename,
                "rename_in": {"sales": own},
                "redefined": [
                    {"until": f"2025-05-{day:02d}", "rename": rules}
                    | ({"pipeline": pipeline} if pipeline else {})
                    for day, pipeline, rules in redefined
                ],
            }
        },
        "my.toml",
    )
    pipelines = {"007": "sales", "9007199254740993": "sales", "None": "renewals"}

    def company_with(rows: list[tuple[str, int, str]]) -> Path:
        lines = [f"{deal},2025-05-{day:02d}T00:00:00Z,stage,{stage}," for deal, day, stage in rows]
        text = "deal_id,recorded_at,field,value,actor\n" + "\n".join(lines) + "\n"
        return write_company(tmp_path_factory.mktemp("law") / "c", deal_events=text)

    def moment(day: int) -> int:
        return int(pd.Timestamp(f"2025-05-{day:02d}", tz="UTC").value // 1_000)

    one_by_one = [
        (deal, day, rules.stage(pipelines[deal], stage, moment(day))) for deal, day, stage in events
    ]
    at_once = read_folder(company_with(events), dialect=rules)
    each = read_folder(company_with(one_by_one))
    assert at_once.tables.fingerprint == each.tables.fingerprint
    assert_adds_up(at_once.report)
