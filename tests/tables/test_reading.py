"""What is read, what is not, and that every row of a file is accounted for."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_company import COMPANY, Folder

from forecast.errors import DataError, UsageError
from forecast.tables import TABLES, CheckReport, FolderError, Reading, Tables, read_folder, write_folder


def quarantined(reading: Reading) -> list[tuple[str, int, str]]:
    """(table, line, code) of each row that did not load."""
    rows = reading.report.quarantine
    return list(zip(rows["table"], rows["line"], rows["code"], strict=True))


def refusal(folder: Path) -> tuple[str, str, str]:
    """(file, code, reason) of the only file refused."""
    with pytest.raises(FolderError) as caught:
        read_folder(folder)
    (only,) = caught.value.report.refused
    assert caught.value.exit_code == 3
    assert str(caught.value) == f"{only.file} {only.reason}"
    assert "\n" not in str(caught.value)
    assert_adds_up(caught.value.report)
    return only.file, only.code, only.reason


def assert_adds_up(report: CheckReport) -> None:
    for name, count in report.tables.items():
        assert count.read == count.loaded + count.duplicates + count.superseded + count.quarantined, name
        assert count.quarantined == (report.quarantine["table"] == name).sum(), name


def with_row(table: str, row: str) -> dict[str, str]:
    return {table: COMPANY[table] + row + "\n"}


# --- what loads ---------------------------------------------------------------------------------------------


def test_a_clean_folder_loads_whole(company: Folder) -> None:
    reading = read_folder(company())
    assert quarantined(reading) == []
    assert reading.report.warnings == ()
    assert {name: count.loaded for name, count in reading.report.tables.items()} == {
        name: text.count("\n") - 1 for name, text in COMPANY.items()
    }
    assert_adds_up(reading.report)


def test_ids_stay_text(company: Folder) -> None:
    tables = read_folder(company()).tables
    assert tables.deals["deal_id"].tolist() == ["007", "9007199254740993", "None"]
    assert tables.deals["account_id"].tolist() == ["A1", "NA", "A1"]


def test_empty_cells_are_unknown_or_the_default(company: Folder) -> None:
    tables = read_folder(company()).tables
    assert tables.deals["pipeline"].tolist() == ["sales", "sales", "renewals"]
    assert tables.deals["motion"].tolist() == ["new", "new", "renewal"]
    assert tables.users["active"].tolist() == [True, False]
    assert np.isnan(tables.deals["amount"].iloc[2])
    assert tables.deals["currency"].isna().tolist() == [False, False, True]
    assert pd.isna(tables.deal_events["value"].iloc[7])


def test_columns_have_the_types_of_the_contract(company: Folder) -> None:
    tables = read_folder(company()).tables
    for name in TABLES:
        for column, dtype in tables[name].dtypes.items():
            if str(column).endswith("_at"):
                expected = "datetime64[us, UTC]"
            elif column in ("expected_close_on", "valid_from"):
                expected = "datetime64[us]"
            elif column in (
                "amount",
                "rate",
                "default_probability",
                "budget",
                "authority",
                "need",
                "timeline",
            ):
                expected = "float64"
            else:
                expected = {"position": "int64", "active": "bool"}.get(str(column), "str")
            assert str(dtype) == expected, (name, column)


def test_custom_attributes_stay_as_text(company: Folder) -> None:
    deals = read_folder(company()).tables.deals
    assert list(deals.columns) == [*TABLES["deals"], "industry"]
    assert deals["industry"].tolist()[:2] == ["toys", "retail, fashion"]


def test_optional_tables_may_be_absent(company: Folder) -> None:
    optional = dict.fromkeys(("activities", "users", "quotas", "leads", "fx_rates"))
    tables = read_folder(company(**optional)).tables
    for name in optional:
        assert len(tables[name]) == 0
        assert tuple(tables[name].columns) == TABLES[name]


def test_optional_columns_may_be_absent(company: Folder) -> None:
    reading = read_folder(
        company(
            deals="deal_id,created_at\n007,2025-01-13T09:00:00Z\n9007199254740993,2025-01-13T09:00:00Z\n",
            leads=None,
            activities=None,
        )
    )
    assert reading.tables.deals["motion"].tolist() == ["new", "new"]
    assert reading.tables.deals["amount"].isna().all()


@pytest.mark.parametrize(
    "change",
    [
        lambda text: b"\xef\xbb\xbf" + text.encode(),
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\n\n").encode(),
        lambda text: text.rstrip("\n").encode(),
        lambda text: "\n".join(
            ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines() if '"' not in line
        ).encode(),
    ],
    ids=["byte order mark", "CRLF", "CR", "empty lines", "no last line end", "all quoted"],
)
def test_forms_of_csv_read_the_same(company: Folder, change) -> None:  # type: ignore[no-untyped-def]
    plain = read_folder(company())
    other = read_folder(company(deal_events=change(COMPANY["deal_events"])))
    pd.testing.assert_frame_equal(other.tables.deal_events, plain.tables.deal_events)


def test_a_cell_may_hold_line_breaks_and_lines_are_still_counted(company: Folder) -> None:
    deals = COMPANY["deals"].replace("toys", '"toys\nand ""games"""') + "short,row\n"
    reading = read_folder(company(deals=deals))
    assert reading.tables.deals["industry"].iloc[0] == 'toys\nand "games"'
    assert quarantined(reading) == [("deals", 6, "cell_count")]
    assert reading.report.quarantine["raw"].tolist() == ["short,row"]


# --- moments ------------------------------------------------------------------------------------------------


def test_every_moment_is_converted_by_its_own_offset(company: Folder) -> None:
    text = COMPANY["leads"] + (
        "L-2,2025-07-02T09:00:00+02:00,,,,,,,,,,\nL-3,2025-07-02T09:00:00-0500,,,,,,,,,,\n"
        "L-4,2025-07-02 09:00:00.25Z,,,,,,,,,,\nL-5,2025-07-02T09:00Z,,,,,,,,,,\n"
    )
    reading = read_folder(company(leads=text))
    assert reading.tables.leads["created_at"].dt.strftime("%m-%dT%H:%M:%S.%f").tolist() == [
        "01-02T09:00:00.000000", "07-02T07:00:00.000000", "07-02T14:00:00.000000", "07-02T09:00:00.250000",
        "07-02T09:00:00.000000",
    ]  # fmt: skip
    (warning,) = reading.report.warnings
    assert "created_at mixes the offsets +02:00, -0500, Z" in warning


def test_moments_without_zone_are_read_in_the_zone_given_and_counted_once(company: Folder) -> None:
    text = COMPANY["leads"] + "L-2,2025-07-02T09:00:00,,,,,,,,,,\nL-3,2025-01-02,,,,,,,,,,\n"
    reading = read_folder(company(leads=text), zone="Europe/Rome")
    assert reading.tables.leads["created_at"].astype("str").tolist() == [
        "2025-01-02 09:00:00+00:00", "2025-07-02 07:00:00+00:00", "2025-01-01 23:00:00+00:00",
    ]  # fmt: skip
    assert reading.report.warnings == (
        "leads.csv: created_at: 2 moments have no zone while the others have one; read in Europe/Rome",
    )


def test_the_hour_a_clock_skips_or_repeats_has_a_fixed_meaning(company: Folder) -> None:
    # Rome, 30 March 2025: 02:00 became 03:00 (01:00 UTC). 26 October: 03:00 became 02:00 again.
    text = COMPANY["leads"] + "L-2,2025-03-30T02:30:00,,,,,,,,,,\nL-3,2025-10-26T02:30:00,,,,,,,,,,\n"
    created = read_folder(company(leads=text), zone="Europe/Rome").tables.leads["created_at"]
    assert created.iloc[1] == pd.Timestamp("2025-03-30T01:00Z")
    assert created.iloc[2] == pd.Timestamp("2025-10-26T00:30Z")


def test_an_unknown_zone_is_a_wrong_argument(company: Folder) -> None:
    with pytest.raises(UsageError, match="'Mars/Base' is not a time zone"):
        read_folder(company(), zone="Mars/Base")


# --- rows that do not load ----------------------------------------------------------------------------------

LONG = "x" * 256
DEAL = "{},,new,2025-01-13T09:00:00Z,,,,{},,{},,{},,,,"
BAD_ROWS = [
    ("deals", "007,sales,new,2025-01-13T09:00:00Z", "cell_count"),
    ("deals", DEAL.format("D", "", "", "") + ",extra", "cell_count"),
    ("deals", DEAL.format("", "", "", ""), "blank"),
    ("deals", DEAL.format("   ", "", "", ""), "blank"),
    ("deals", DEAL.format("D\x00", "", "", ""), "control_character"),
    ("deals", DEAL.format("D\x1b[31m", "", "", ""), "control_character"),
    ("deals", DEAL.format('"D\n1"', "", "", ""), "control_character"),
    ("deals", DEAL.format(LONG, "", "", ""), "too_long"),
    ("deals", DEAL.format("D", '"12.000,50"', "", ""), "bad_number"),
    ("deals", DEAL.format("D", '"12,5"', "", ""), "bad_number"),
    ("deals", DEAL.format("D", "abc", "", ""), "bad_number"),
    ("deals", DEAL.format("D", "NaN", "", ""), "bad_number"),
    ("deals", DEAL.format("D", "-inf", "", ""), "bad_number"),
    ("deals", DEAL.format("D", "1e999", "", ""), "bad_number"),
    ("deals", DEAL.format("D", "1_000", "", ""), "bad_number"),
    ("deals", DEAL.format("D", "0x10", "", ""), "bad_number"),
    ("deals", DEAL.format("D", "1e15", "", ""), "out_of_range"),
    ("deals", DEAL.format("D", "", "2025-02-30", ""), "bad_date"),
    ("deals", DEAL.format("D", "", "11/04/2025", ""), "bad_date"),
    ("deals", DEAL.format("D", "", "2025-04-11T15:00:00Z", ""), "bad_date"),
    ("deals", DEAL.format("D", "", "9999-12-31", ""), "out_of_range"),
    ("deals", DEAL.format("D", "", "", "1.01"), "out_of_range"),
    ("deals", DEAL.format("D", "", "", "yes"), "bad_number"),
    ("deals", "D,,upsell,2025-01-13T09:00:00Z,,,,,,,,,,,,", "unknown_value"),
    ("deals", "D,,,2025-01-13T09:00:00Z,,,,,,,Commit,,,,,", "unknown_value"),
    ("deals", "D,partners,,2025-01-13T09:00:00Z,,,,,,,,,,,,", "unknown_pipeline"),
    ("deals", "D,,,,,,,,,,,,,,,", "blank"),
    ("deals", "D,,,1736758800,,,,,,,,,,,,", "bad_moment"),
    ("deals", "D,,,13/01/2025,,,,,,,,,,,,", "bad_moment"),
    ("deals", "D,,,1969-12-31T23:59:59Z,,,,,,,,,,,,", "out_of_range"),
    ("deals", "D,,,9999-01-01T00:00:00Z,,,,,,,,,,,,", "out_of_range"),
    ("deals", "D,,,2025-01-13T25:00:00Z,,,,,,,,,,,,", "bad_moment"),
    ("deals", "D,,,2025-01-13T09:00:00Z,,,,,,,,,,,,nul\x00", "control_character"),
    ("deals", DEAL.format("D", "", "", ""), "no_stage_event"),
    ("deals", 'D,,,2025-01-13T09:00:00Z,,,,,,,,,,,,"never closed', "bad_quotes"),
    ("deals", 'D,,,2025-01-13T09:00:00Z,,,,,,,,,,,,"closed"early', "bad_quotes"),
    ("deals", "D,,,2025-01-13T09:00:00Z,,,,,,,,,,,,bare\rreturn", "bad_quotes"),
    ("deal_events", "X,2025-01-13T09:00:00Z,stage,offer,", "unknown_deal"),
    ("deal_events", "007,2025-01-13T09:00:00Z,stage,ofer,", "unknown_stage"),
    ("deal_events", "None,2025-03-13T09:00:00Z,stage,first call,", "unknown_stage"),
    ("deal_events", "007,2025-01-13T09:00:00Z,stage,,", "blank"),
    ("deal_events", "007,2025-01-13T09:00:00Z,,offer,", "blank"),
    ("deal_events", "007,,stage,offer,", "blank"),
    ("deal_events", "007,2025-01-13T09:00:00Z,amount,much,", "bad_number"),
    ("deal_events", "007,2025-01-13T09:00:00Z,amount,,", "blank"),
    ("deal_events", "007,2025-01-13T09:00:00Z,budget,1.5,", "out_of_range"),
    ("deal_events", "007,2025-01-13T09:00:00Z,timeline,Q3,", "bad_number"),
    ("deal_events", "007,2025-01-13T09:00:00Z,expected_close_on,soon,", "bad_date"),
    ("deal_events", "007,2025-01-13T09:00:00Z,forecast_category,sure,", "unknown_value"),
    ("deal_events", f"007,2025-01-13T09:00:00Z,owner_id,{LONG},", "too_long"),
    ("deal_events", "007,2025-01-13T09:00:00Z,currency,USD,", "unknown_field"),
    ("activities", ",,2025-01-20T10:00:00Z,call,out", "deal_or_lead"),
    ("activities", "007,L-1,2025-01-20T10:00:00Z,call,out", "deal_or_lead"),
    ("activities", "007,,2025-01-20T10:00:00Z,visit,out", "unknown_value"),
    ("activities", "007,,2025-01-20T10:00:00Z,call,sideways", "unknown_value"),
    ("activities", "X,,2025-01-20T10:00:00Z,call,out", "unknown_deal"),
    ("activities", ",X,2025-01-20T10:00:00Z,call,out", "unknown_lead"),
    ("stages", "sales,talk,one,open,,", "bad_number"),
    ("stages", "sales,talk,1.5,open,,", "bad_number"),
    ("stages", "sales,talk,5,pending,,", "unknown_value"),
    ("stages", "sales,talk,5,open,1.2,", "out_of_range"),
    ("users", "carla,,,,,,perhaps", "bad_flag"),
    ("quotas", "user,ana,2026Q5,1,EUR", "bad_period"),
    ("quotas", "user,ana,next year,1,EUR", "bad_period"),
    ("quotas", "user,ana,2026,-1,EUR", "out_of_range"),
    ("quotas", "user,ana,2026,,EUR", "blank"),
    ("quotas", "squad,ana,2026,1,EUR", "unknown_value"),
    ("quotas", "user,zed,2026,1,EUR", "unknown_entity"),
    ("quotas", "team,west,2026,1,EUR", "unknown_entity"),
    ("quotas", "region,ana,2026,1,EUR", "unknown_entity"),
    ("quotas", "company,ACME,2026,1,EUR", "unknown_entity"),
    ("leads", "L-2,2025-01-02T09:00:00Z,,,,2,,,,,,", "out_of_range"),
    ("fx_rates", "USD,2025-01-02,0", "out_of_range"),
    ("fx_rates", "USD,2025-01-02,-1", "out_of_range"),
    ("fx_rates", "USD,someday,1", "bad_date"),
]


@pytest.mark.parametrize(("table", "row", "code"), BAD_ROWS, ids=lambda value: str(value)[:50])
def test_a_bad_row_goes_to_quarantine_and_all_others_load(
    company: Folder, clean: Reading, table: str, row: str, code: str
) -> None:
    # The bad row comes first, so that a reader that loses its place afterwards is found out.
    header, rest = COMPANY[table].split("\n", 1)
    reading = read_folder(company(**{table: f"{header}\n{row}\n{rest}"}))
    assert quarantined(reading) == [(table, 2, code)]
    only = reading.report.quarantine.iloc[0]
    assert only["raw"] == row
    assert only["file"] == f"{table}.csv"
    assert only["reason"].isprintable()
    for name in TABLES:
        pd.testing.assert_frame_equal(reading.tables[name], clean.tables[name])
    assert_adds_up(reading.report)


def test_every_code_is_explained() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")
    assert [code for _, _, code in BAD_ROWS if f"`{code}`" not in page] == []


def test_events_of_a_deal_that_did_not_load_do_not_load(company: Folder) -> None:
    reading = read_folder(company(deals=COMPANY["deals"].replace("8000.5", "8.000,5x")))
    assert quarantined(reading) == [
        ("deals", 3, "cell_count"),
        ("deal_events", 8, "unknown_deal"),
        ("deal_events", 9, "unknown_deal"),
    ]


def test_a_deal_without_any_good_stage_event_takes_its_events_along(company: Folder) -> None:
    events = COMPANY["deal_events"].replace(
        "2025-03-01T00:00:00Z,stage,offer", "2025-03-01T00:00:00Z,stage,demo"
    )
    reading = read_folder(company(deal_events=events))
    assert quarantined(reading) == [
        ("deals", 4, "no_stage_event"),
        ("deal_events", 10, "unknown_stage"),
        ("deal_events", 11, "unknown_deal"),
    ]
    assert_adds_up(reading.report)


def test_two_stray_quotes_do_not_swallow_the_rows_between(company: Folder) -> None:
    lines = COMPANY["leads"].splitlines()
    rows = [f"L-{place},2025-01-02T09:00:00Z,event,,,,,,,,," for place in range(2, 8)]
    rows[1] = rows[1].replace("event", '"event')
    rows[4] = rows[4].replace("event", 'event"')
    reading = read_folder(company(leads="\n".join([*lines, *rows])))
    assert quarantined(reading) == [("leads", 4, "bad_quotes")]
    assert reading.tables.leads["lead_id"].tolist() == ["L-1", "L-2", "L-4", "L-5", "L-6", "L-7"]


def test_an_event_may_speak_of_any_custom_attribute(company: Folder) -> None:
    reading = read_folder(company(**with_row("deal_events", "007,2025-01-14T09:00:00Z,shoe size,,")))
    assert quarantined(reading) == []


def test_a_deal_may_be_created_in_the_future(company: Folder) -> None:
    deals = COMPANY["deals"].replace("2025-01-13T09:00:00Z", "2031-01-13T09:00:00Z")
    assert quarantined(read_folder(company(deals=deals))) == []


# --- versions of one row ------------------------------------------------------------------------------------


def test_equal_rows_are_duplicates_and_the_last_version_of_a_key_holds(company: Folder) -> None:
    header, row = COMPANY["leads"].splitlines()
    other = row.replace("event", "fair")
    reading = read_folder(company(leads="\n".join([header, row, other, row, other, row.replace("A4", "A5")])))
    count = reading.report.tables["leads"]
    assert (count.read, count.loaded, count.duplicates, count.superseded) == (5, 1, 0, 4)
    assert reading.tables.leads["account_id"].tolist() == ["A5"]
    again = read_folder(company(leads="\n".join([header, row, other, row]))).report.tables["leads"]
    assert (again.loaded, again.duplicates, again.superseded) == (1, 1, 1)


def test_a_bad_version_does_not_replace_a_good_one(company: Folder) -> None:
    reading = read_folder(company(**with_row("quotas", "user,ana,2026Q1,lots,EUR")))
    assert reading.tables.quotas["amount"].iloc[0] == 40000
    assert reading.report.tables["quotas"].superseded == 0


def test_the_same_event_told_twice_collapses_also_in_another_zone_or_by_another_person(
    company: Folder,
) -> None:
    events = COMPANY["deal_events"] + (
        "007,2025-01-13T10:00:00+01:00,stage,first call,ana\n007,2025-01-13T09:00:00Z,stage,first call,bob\n"
        "007,2025-01-13T09:00:00Z,stage,offer,ana\n"
    )
    reading = read_folder(company(deal_events=events))
    count = reading.report.tables["deal_events"]
    assert (count.read, count.loaded, count.duplicates, count.superseded) == (13, 11, 2, 0)


# --- files that are refused ---------------------------------------------------------------------------------

DEALS = COMPANY["deals"]
HEADER, FIRST, *_ = DEALS.splitlines()


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("", "empty_file", "is empty"),
        ("\n\n", "empty_file", "is empty"),
        (DEALS.replace(",", ";"), "wrong_separator", "separates its cells by ';'"),
        (DEALS.replace(",", "\t"), "wrong_separator", "by tab"),
        (DEALS.replace("deal_id", "dealid"), "missing_column", "'deal_id'; is 'dealid' meant"),
        (DEALS.replace("created_at", "Created At"), "missing_column", "is 'Created At' meant"),
        (DEALS.replace("source", "amount"), "duplicate_column", "column 'amount' appears twice"),
        (DEALS.replace("source", " "), "blank_column", "column 6 has no name"),
        (DEALS.replace("source", "x" * 300), "bad_column", "more than 255 characters"),
        (DEALS.replace("source", "a\x00b"), "bad_column", "control characters"),
        (HEADER + "".join(f",x{n}" for n in range(1000)), "too_many_columns", "1,016 columns"),
        (f"{HEADER}\n{FIRST},1\n{FIRST},1\n", "cell_count", "17 cells in every row"),
        (DEALS.encode("utf-16"), "not_utf8", "is UTF-16"),
        (DEALS.replace("toys", "caffè").encode("latin-1"), "not_utf8", "byte 0xe8 in line 2"),
        ('"deal_id', "bad_header", "header that cannot be read"),
        (b"PK\x03\x04\x00\x00", "bad_column", "control characters"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "bytes",
)  # fmt: skip
def test_a_bad_file_is_refused_whole(company: Folder, text: str | bytes, code: str, says: str) -> None:
    file, found, reason = refusal(company(deals=text))
    assert (file, found) == ("deals.csv", code)
    assert says in reason


def test_the_other_tables_are_reported_when_one_is_refused(company: Folder) -> None:
    with pytest.raises(DataError) as caught:
        read_folder(company(deals="", **with_row("users", "carla,,,,,,perhaps")))
    report = caught.value.report  # type: ignore[attr-defined]
    assert report.tables["users"].loaded == 2
    assert report.tables["deals"].read == 0
    # Nothing can be said about events while nobody knows the deals.
    assert report.tables["deal_events"].loaded == 10
    assert report.quarantine["table"].tolist() == ["users"]


def test_without_a_won_stage_the_stages_are_refused(company: Folder) -> None:
    file, code, reason = refusal(company(stages=COMPANY["stages"].replace(",won,", ",Won,")))
    assert (file, code) == ("stages.csv", "no_won_stage")
    assert "kind 'Won' is not one of open, won, lost (the first of 2 bad rows)" in reason


def test_a_required_table_must_be_there(company: Folder) -> None:
    folder = company()
    (folder / "deal_events.csv").rename(folder / "deal_event.csv")
    assert refusal(folder)[1:] == (
        "missing_table",
        "is missing and required; is deal_event.csv meant? rename it",
    )


def test_a_header_without_rows_is_a_company_without_deals(company: Folder) -> None:
    deals, events = (COMPANY[name].split("\n")[0] for name in ("deals", "deal_events"))
    reading = read_folder(company(deals=deals, deal_events=events + "\n", leads=None, activities=None))
    assert len(reading.tables.deals) == 0
    assert "deals.csv: no deal was loaded" in reading.report.warnings
    with pytest.raises(DataError, match="no rows"):
        _ = reading.tables.default_as_of


def test_two_files_for_one_table_are_one_too_many(company: Folder) -> None:
    folder = company()
    (folder / "users.parquet").write_bytes(b"")
    assert refusal(folder)[1:] == ("two_files", "stands beside users.parquet; keep the one that is meant")


def test_only_regular_files_are_read(company: Folder) -> None:
    linked, piped, nested = company(), company(), company()
    target = linked / "elsewhere"
    (linked / "users.csv").rename(target)
    (linked / "users.csv").symlink_to(target)
    (piped / "users.csv").unlink()
    os.mkfifo(piped / "users.csv")
    (nested / "users.csv").unlink()
    (nested / "users.csv").mkdir()
    for folder in (linked, piped, nested):
        assert refusal(folder)[:2] == ("users.csv", "not_a_file")


def test_what_is_no_data_folder_is_said_in_one_line(tmp_path: Path, company: Folder) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert refusal(empty)[1] == "no_tables"
    assert refusal(tmp_path / "absent")[1] == "not_a_folder"
    assert refusal(company() / "deals.csv")[1] == "not_a_folder"


# --- warnings -----------------------------------------------------------------------------------------------


def test_what_is_legal_and_odd_is_a_warning(company: Folder) -> None:
    reading = read_folder(
        company(
            users=COMPANY["users"].replace("bruno", "bertha").replace("email", "mail"),
            deals=COMPANY["deals"].replace("amount", "ammount"),
            leads=COMPANY["leads"].replace("007", "D-77"),
            fx_rates=None,
            stages=COMPANY["stages"] + "partners,sign,1,open,,\n",
        )
    )
    said = "\n".join(reading.report.warnings)
    assert "deals.csv: 1 owners are not in users (bruno)" in said
    assert "deals.csv: column 'ammount' is kept as a custom attribute; is 'amount' meant?" in said
    assert "users.csv: column 'mail' is not in the contract and was left out; is 'email' meant?" in said
    assert "leads.csv: 1 leads became deals" in said
    assert "deals: 1 amounts are in USD" in said
    assert "stages.csv: pipeline 'partners' has no stage of kind 'won'" in said
    assert quarantined(reading) == []


# --- Parquet ------------------------------------------------------------------------------------------------


def as_parquet(folder: Path, table: str, columns: dict[str, pa.Array]) -> None:
    (folder / f"{table}.csv").unlink(missing_ok=True)
    pq.write_table(pa.table(columns), folder / f"{table}.parquet")


def test_typed_parquet_reads_as_the_same_values(company: Folder) -> None:
    folder = company(leads=None, activities=None)
    moment = pd.Timestamp("2025-01-13T09:00:00")
    ids = pa.array([7, 9007199254740993], pa.int64())
    as_parquet(
        folder,
        "deals",
        {
            "deal_id": ids,
            "created_at": pa.array([moment, None], pa.timestamp("ns", "Europe/Rome")).fill_null(moment),
            "amount": pa.array([24000, 1], pa.decimal128(12, 2)),
            "expected_close_on": pa.array([moment.date(), None], pa.date32()),
            "budget": pa.array([1, None], pa.int8()),
            "owner_id": pa.array(["ana", "ana"]).dictionary_encode(),
            "won_before": pa.array([True, None]),
            "seats": pa.array([12, None], pa.int32()),
        },
    )
    as_parquet(
        folder,
        "deal_events",
        {
            "deal_id": ids,
            "recorded_at": pa.array([moment, moment], pa.timestamp("ms")),
            "field": ["stage", "stage"],
            "value": ["offer", "won"],
        },
    )
    reading = read_folder(folder, zone="Europe/Rome")
    deals, events = reading.tables.deals, reading.tables.deal_events
    assert deals["deal_id"].tolist() == ["7", "9007199254740993"]
    assert deals["created_at"].iloc[0] == pd.Timestamp("2025-01-13T09:00Z")
    assert events["recorded_at"].iloc[0] == pd.Timestamp("2025-01-13T08:00Z")
    assert deals["amount"].tolist() == [24000.0, 1.0]
    assert deals["expected_close_on"].iloc[0] == pd.Timestamp("2025-01-13")
    assert deals["won_before"].tolist()[0] == "true"
    assert deals["seats"].tolist()[0] == "12"
    assert any(
        "recorded_at: 2 moments have no zone; read in Europe/Rome" in one for one in reading.report.warnings
    )


def test_bad_rows_of_parquet_name_their_row(company: Folder) -> None:
    folder = company()
    as_parquet(
        folder,
        "users",
        {"user_id": ["ana", None, "bruno"], "team": ["north", "x,y", "south"], "region": ["italy"] * 3},
    )
    reading = read_folder(folder)
    assert quarantined(reading) == [("users", 2, "blank")]
    assert reading.report.quarantine["raw"].tolist() == [',"x,y",italy']


@pytest.mark.parametrize(
    ("column", "code"),
    [
        ({"deal_id": pa.array([7.0, 9007199254740993.0])}, "wrong_type"),
        ({"deal_id": pa.array([[1], [2]])}, "wrong_type"),
        ({"created_at": pa.array([1736758800, 1736758801])}, "wrong_type"),
        ({"amount": pa.array([True, False])}, "wrong_type"),
        ({"created_at": pa.array([2**60, 0], pa.timestamp("ms", "UTC"))}, "wrong_type"),
    ],
    ids=["float ids", "lists", "epoch numbers", "flags as amounts", "no calendar"],
)
def test_parquet_types_that_cannot_be_meant_are_refused(
    company: Folder, column: dict[str, pa.Array], code: str
) -> None:
    folder = company()
    good = {
        "deal_id": pa.array(["007", "None"]),
        "created_at": pa.array([pd.Timestamp("2025-01-13")] * 2, pa.timestamp("us", "UTC")),
    }
    as_parquet(folder, "deals", good | column)
    assert refusal(folder)[:2] == ("deals.parquet", code)


def test_a_damaged_parquet_file_is_refused(company: Folder) -> None:
    folder = company()
    as_parquet(folder, "users", {"user_id": ["ana"] * 1000})
    path = folder / "users.parquet"
    for content in (b"PAR1", b"no parquet at all", path.read_bytes()[:-20], b""):
        path.write_bytes(content)
        assert refusal(folder)[1] in ("bad_parquet", "empty_file")


def test_a_flipped_bit_in_parquet_is_a_damaged_file_not_another_value(clean: Reading, tmp_path: Path) -> None:
    write_folder(clean.tables, tmp_path / "data", format="parquet")
    path = tmp_path / "data" / "fx_rates.parquet"
    content = bytearray(path.read_bytes())
    pages = pq.ParquetFile(path).metadata.row_group(0).column(2)
    content[pages.data_page_offset + pages.total_compressed_size - 1] ^= 1
    path.write_bytes(content)
    assert refusal(tmp_path / "data")[:2] == ("fx_rates.parquet", "bad_parquet")


# --- there and back -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["csv", "parquet"])
def test_what_is_written_reads_back_the_same(company: Folder, tmp_path: Path, format_: str) -> None:
    tables = read_folder(company()).tables
    write_folder(tables, tmp_path / "copy", format=format_)  # type: ignore[arg-type]
    again = read_folder(tmp_path / "copy")
    assert quarantined(again) == []
    for name in TABLES:
        pd.testing.assert_frame_equal(again.tables[name], tables[name])
    assert again.tables.fingerprint == tables.fingerprint
    assert isinstance(again.tables, Tables)


def test_a_mistyped_year_far_in_the_future_is_pointed_out(company: Folder) -> None:
    stages = [
        f"D-1,2025-01-{day:02d}T09:00:00Z,stage,{('first call', 'offer')[day % 2]}" for day in range(1, 25)
    ]
    rows = ["deal_id,recorded_at,field,value", "D-1,2024-12-31T09:00:00Z,stage,offer", *stages]
    deals = "deal_id,created_at\nD-1,2024-12-31T08:00:00Z\n"
    events = "\n".join([*rows, "D-1,2052-02-01T09:00:00Z,stage,offer"]) + "\n"
    frames = {"deals": deals, "activities": None, "leads": None, "quotas": None}
    quiet = read_folder(company(deal_events="\n".join(rows) + "\n", **frames))
    assert not [one for one in quiet.report.warnings if "half a year" in one]
    found = read_folder(company(deal_events=events, **frames))
    (said,) = [one for one in found.report.warnings if "half a year" in one]
    assert "the newest 1 of 26 events" in said
    assert "end 2025-01-24" in said
    assert found.report.tables["deal_events"].loaded == 26
