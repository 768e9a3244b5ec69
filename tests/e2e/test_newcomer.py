"""What a newcomer's data meets: every odd company gets a clear line or an honest answer, and nothing is lost.

The data comes from `other_company`, which is written by hand and shares no code with the simulator or the
reader. The whole chain runs on each of its variations, through the commands as they are typed.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from exports import export_at
from other_company import OTHER_AS_OF, Rows, as_csv, invent, write_rows

from forecast.bundle import load_bundle
from forecast.cli import cli, run
from forecast.tables import Tables, read_folder, write_folder
from training.__main__ import main as training

pytestmark = pytest.mark.e2e

HORIZONS: Final = (14, 30, 60, 90, 180, 365)
SCORES: Final = [
    "deal_id", "as_of", "pipeline", "owner_id", "stage", "amount", "win_probability",
    *(f"won_{days}d" for days in HORIZONS), *(f"lost_{days}d" for days in HORIZONS), "won_in_period",
    "close_on_p10", "close_on_p50", "close_on_p90", "amount_if_won", "expected_bookings", "score", "grade",
    "reasons",
]  # fmt: skip
BOOKINGS: Final = [
    "period", "as_of", "level", "entity", "booked", "open", "arrivals", "expected", "p10", "p50", "p90",
    "quota", "attainment_probability", "gap", "pipeline_open_amount", "coverage_needed",
]  # fmt: skip
TEXTS: Final = {"deal_id", "pipeline", "owner_id", "stage", "grade", "reasons", "period", "level", "entity"}
FAST: Final = (
    "[fit]\nmax_landmarks = 3000\nwindows = 1\nridge_grid = [12]\nrounds_grid = [20]\n"
    "[tracking]\nenabled = false\n"
)
PERIOD: Final = "2025Q3"


@dataclass(frozen=True)
class Said:
    """How a command ended: exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error:")]

    @property
    def notes(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("note:")]


def say(*arguments: object) -> Said:
    """Run `forecast` (or `train`) as it is typed."""
    words = [str(word) for word in arguments]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = training(words) if words[0] == "train" else run(cli, words, "forecast")
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def company() -> Rows:
    return invent()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, company: Rows) -> Path:
    """A folder with the company's tables, fast settings and a bundle trained on it."""
    folder = tmp_path_factory.mktemp("newcomer")
    write_rows(folder / "data", company)
    (folder / "fast.toml").write_text(FAST, encoding="utf-8")
    assert train(folder / "data", folder / "models" / "own", folder / "fast.toml").code == 0
    return folder


@pytest.fixture(autouse=True)
def _without_debug(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_DEBUG", "0")


def train(data: Path, bundle: Path, settings: Path, *more: str) -> Said:
    return say("train", "--data", data, "--bundle", bundle, "--settings", settings, *more)


def ask(command: str, data: Path, bundle: Path, *more: object, period: str = PERIOD) -> Said:
    return say(command, "--data", data, "--bundle", bundle, "--period", period, *more)


def changed(company: Rows, change: Callable[[Rows], object], folder: Path) -> Path:
    rows = copy.deepcopy(company)
    change(rows)
    return write_rows(folder, rows)


def read(path: Path) -> pd.DataFrame:
    """Scores or bookings as written; texts stay texts, and numbers are numbers in an empty file, too."""
    if path.suffix == ".parquet":
        return pd.read_parquet(path)
    found = pd.read_csv(path, dtype="str", keep_default_na=False)
    told = {*TEXTS, "as_of", "close_on_p10", "close_on_p50", "close_on_p90"}
    numbers = [name for name in found.columns if name not in told]
    return found.assign(**{name: found[name].replace("", "nan").astype("float64") for name in numbers})


def check_scores(scores: pd.DataFrame) -> None:
    """What must hold of any scores."""
    assert list(scores.columns) == SCORES
    chances = scores[
        ["win_probability", "won_in_period", *(c for c in SCORES if c.endswith("d") and "_" in c)]
    ]
    numbers = chances.select_dtypes("number").to_numpy()
    assert np.isfinite(numbers).all()
    assert ((numbers >= 0) & (numbers <= 1)).all()
    won, lost = (scores[[f"{cause}_{days}d" for days in HORIZONS]].to_numpy() for cause in ("won", "lost"))
    assert (np.diff(won) >= -1e-12).all()
    assert (np.diff(lost) >= -1e-12).all()
    assert (won + lost <= 1 + 1e-9).all()
    assert (won[:, -1] <= scores["win_probability"] + 1e-12).all()
    days = scores[["close_on_p10", "close_on_p50", "close_on_p90"]].apply(pd.to_datetime).to_numpy()
    assert (np.diff(days) >= np.timedelta64(0)).all()
    expected = scores["win_probability"] * scores["amount_if_won"]
    np.testing.assert_allclose(scores["expected_bookings"], expected, rtol=1e-9)
    assert scores["score"].between(1, 100).all()
    assert set(scores["grade"]) <= set("ABCD")
    assert scores["deal_id"].is_unique
    for text in scores["reasons"]:
        effects = [abs(reason["effect"]) for reason in json.loads(text)]
        assert effects == sorted(effects, reverse=True)


def check_bookings(bookings: pd.DataFrame) -> None:
    """What must hold of any roll-up: parts add up, children add up, ranges are in order."""
    assert list(bookings.columns) == BOOKINGS
    parts = bookings[["booked", "open", "arrivals"]].sum(axis=1)
    np.testing.assert_allclose(bookings["expected"], parts, atol=1e-6)
    for level in ("region", "team", "user"):
        children = bookings[bookings["level"] == level]
        for name in ("booked", "open", "arrivals", "expected", "pipeline_open_amount"):
            np.testing.assert_allclose(children[name].sum(), bookings[name].iloc[0], atol=1e-6)
    assert (bookings["p10"] <= bookings["p50"]).all()
    assert (bookings["p50"] <= bookings["p90"]).all()
    with_quota = bookings["quota"].notna()
    assert bookings.loc[with_quota, "attainment_probability"].between(0, 1).all()
    assert bookings.loc[~with_quota, ["attainment_probability", "gap"]].isna().all(axis=None)
    gap = bookings["quota"] - bookings["expected"]
    np.testing.assert_allclose(bookings["gap"], gap, atol=1e-6)
    assert not bookings.duplicated(["level", "entity"]).any()


# -- the whole chain on a company nobody here had seen ----------------------------------------------------


def test_every_row_loads_and_is_counted(place: Path, company: Rows, tmp_path: Path) -> None:
    told = say("check", place / "data", "--strict", "--json", tmp_path / "check.json")
    assert told.code == 0
    found = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    assert {name: counts["loaded"] for name, counts in found["tables"].items() if counts["read"]} == {
        name: len(rows) for name, rows in company.items()
    }


def test_scores_and_bookings_keep_every_law_in_both_formats(place: Path, tmp_path: Path) -> None:
    data, bundle = place / "data", place / "models" / "own"
    for command, check in (("score", check_scores), ("roll-up", check_bookings)):
        read_back = {}
        for ending in ("csv", "parquet"):
            out = tmp_path / f"{command}.{ending}"
            told = ask(command, data, bundle, "--out", out)
            assert told.code == 0, told.err
            read_back[ending] = read(out)
            check(read_back[ending])
        as_parquet, as_text = read_back["parquet"], read_back["csv"]
        for name, column in as_parquet.items():
            if name in TEXTS:
                assert column.dtype == "str", name
                assert list(column) == list(as_text[name]), name
            elif name == "as_of":
                assert str(column.dtype) == "datetime64[us, UTC]"
                assert (pd.to_datetime(as_text[name]) == column).all()
            elif str(name).startswith("close_on"):
                assert (pd.to_datetime(as_text[name]) == column).all()
            else:
                assert column.dtype.kind in "fi", name
                np.testing.assert_array_equal(as_text[name].to_numpy(float), column.to_numpy(float))


def test_open_deals_are_those_of_the_record(place: Path, company: Rows, tmp_path: Path) -> None:
    kinds = {stage["stage"]: stage["kind"] for stage in company["stages"]}
    stage = {e["deal_id"]: e["value"] for e in company["deal_events"] if e["field"] == "stage"}
    assert ask("score", place / "data", place / "models" / "own", "--out", tmp_path / "s.csv").code == 0
    scores = read(tmp_path / "s.csv").set_index("deal_id")
    assert {deal: one for deal, one in stage.items() if kinds[one] == "open"} == scores["stage"].to_dict()
    owners = {deal["deal_id"]: deal["owner_id"] for deal in company["deals"]}
    assert all(owners[deal] == owner for deal, owner in scores["owner_id"].items())


@pytest.mark.parametrize(("locale", "word"), [("en", "Data as of"), ("it", "Dati al")])
def test_the_report_is_whole_in_both_languages(place: Path, tmp_path: Path, locale: str, word: str) -> None:
    out = tmp_path / "report.html"
    told = ask("report", place / "data", place / "models" / "own", "--out", out, "--locale", locale)
    assert told.code == 0, told.err
    page = out.read_text(encoding="utf-8")
    assert f'lang="{locale}"' in page
    assert page.rstrip().endswith("</html>")
    assert word in page
    assert "Süd" in page
    # Who stands in users without a name goes by the id, and is not said to be missing.
    assert "not in users" not in page
    assert "non fra gli utenti" not in page


def test_the_screen_shows_names_and_dates_as_they_are(place: Path) -> None:
    told = ask("show", place / "data", place / "models" / "own")
    assert told.code == 0, told.err
    assert "\N{REPLACEMENT CHARACTER}" not in told.out
    assert "not in users" not in told.out
    assert max(len(line.rstrip()) for line in told.out.splitlines()) <= 100


def test_a_confirmation_is_one_line(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for command, ending in (("score", "csv"), ("roll-up", "csv"), ("report", "html")):
        out = tmp_path / f"{command}.{ending}"
        told = ask(command, place / "data", place / "models" / "own", "--out", out)
        lines = told.err.splitlines()
        assert lines[-1].endswith(f"written to {out}")
        assert all(line.startswith("note: ") for line in lines[:-1])


# -- training gives the same bundle for the same data ------------------------------------------------------


def test_order_of_rows_and_columns_and_format_do_not_matter(
    place: Path, company: Rows, tmp_path: Path
) -> None:
    draw = random.Random(5)  # noqa: S311  (no secret)
    shuffled = {table: draw.sample(rows, len(rows)) for table, rows in company.items()}
    turned = {table: [dict(reversed(row.items())) for row in rows] for table, rows in shuffled.items()}
    write_rows(tmp_path / "turned", turned)
    write_folder(read_folder(place / "data").tables, tmp_path / "parquet", format="parquet")
    twice = {table: [*rows, *rows] for table, rows in company.items()}
    write_rows(tmp_path / "twice", twice)
    own = load_bundle(place / "models" / "own").id
    for name in ("turned", "parquet", "twice"):
        bundle = tmp_path / "models" / name
        assert train(tmp_path / name, bundle, place / "fast.toml").code == 0
        assert load_bundle(bundle).id == own, name


def test_a_command_run_twice_writes_the_same_bytes(place: Path, tmp_path: Path) -> None:
    for command, name in (("score", "s.csv"), ("roll-up", "b.parquet"), ("report", "r.html")):
        out, found = tmp_path / name, []
        for _ in range(2):
            assert ask(command, place / "data", place / "models" / "own", "--out", out).code == 0
            found.append(out.read_bytes())
        assert found[0] == found[1], command
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"{name}{ending}" for name in ("b.parquet", "r.html", "s.csv") for ending in ("", ".receipt.json")
    ]


# -- the future is invisible -------------------------------------------------------------------------------


def test_later_rows_change_nothing(
    sample_tables: Tables, sample_folder: Path, trained_bundle: Path, tmp_path: Path
) -> None:
    moment = "2025-05-20T12:00:00Z"
    past = export_at(sample_tables, pd.Timestamp(moment))
    assert 0 < len(past.deals) < len(sample_tables.deals)
    write_folder(past, tmp_path / "past")
    for command, name in (("score", "s.csv"), ("roll-up", "b.csv")):
        found = []
        for folder in (sample_folder, tmp_path / "past"):
            out = tmp_path / name
            told = ask(command, folder, trained_bundle, "--as-of", moment, "--out", out, period="2025Q2")
            assert told.code == 0, told.err
            found.append(out.read_bytes())
        assert found[0] == found[1], command
    company = read(tmp_path / "b.csv").iloc[0]
    assert company["booked"] > 0, "the quarter is half over"


# -- odd companies -----------------------------------------------------------------------------------------


def last_stages(rows: Rows) -> dict[str, str]:
    kinds = {stage["stage"]: stage["kind"] for stage in rows["stages"]}
    return {e["deal_id"]: kinds[e["value"]] for e in rows["deal_events"] if e["field"] == "stage"}


def only(rows: Rows, chosen: set[str]) -> None:
    for table in ("deals", "deal_events", "activities"):
        rows[table] = [row for row in rows[table] if row["deal_id"] in chosen]


def only_kinds(**most: int) -> Callable[[Rows], None]:
    """Keep at most so many deals that are now open, won, lost."""

    def change(rows: Rows) -> None:
        kinds = last_stages(rows)
        only(rows, {d for kind, n in most.items() for d in [d for d in kinds if kinds[d] == kind][:n]})

    return change


def without(*tables: str) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for table in tables:
            rows[table] = []

    return change


def each_deal(edit: Callable[[int, dict[str, Any]], object]) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for number, deal in enumerate(rows["deals"]):
            edit(number, deal)

    return change


def each_event(edit: Callable[[dict[str, Any]], object]) -> Callable[[Rows], None]:
    def change(rows: Rows) -> None:
        for event in rows["deal_events"]:
            edit(event)

    return change


def first_stages_only(rows: Rows) -> None:
    rows["deal_events"] = [
        event for event in rows["deal_events"] if event["value"] in ("Erstkontakt", "in scadenza")
    ]


def renewals_only(rows: Rows) -> None:
    only(rows, {deal["deal_id"] for deal in rows["deals"] if deal["motion"] == "renewal"})


def one_year(rows: Rows) -> None:
    only(rows, {deal["deal_id"] for deal in rows["deals"] if deal["created_at"] >= "2024-07-02"})


def naive(rows: Rows) -> None:
    for table, name in (
        ("deals", "created_at"),
        ("deal_events", "recorded_at"),
        ("activities", "occurred_at"),
    ):
        for row in rows[table]:
            row[name] = row[name][:19]


def strange_names(rows: Rows) -> None:
    """Attributes called as features, fields and columns of ours are; one that echoes the outcome."""
    kinds = last_stages(rows)
    for number, deal in enumerate(rows["deals"]):
        deal |= {
            "stage": "x", "activity": "y", "meeting": str(number % 3), "age_days": "old",
            "won": kinds[deal["deal_id"]], "all": "t", "custom:x": "1", "score": "9", "as_of": "2020",
            'said "a, b"': f'"{number % 2}", maybe',
        }  # fmt: skip


ODD_IDS: Final = ("007", "NA", "9007199254740993", "9007199254740992", "7", "None", "ßharp – 日本", 'a,"b"')


def odd_ids(rows: Rows) -> None:
    open_deals = [deal for deal, kind in last_stages(rows).items() if kind == "open"]
    names = dict(zip(open_deals, ODD_IDS, strict=False))
    for table in ("deals", "deal_events", "activities"):
        for row in rows[table]:
            row["deal_id"] = names.get(row["deal_id"], row["deal_id"])


def some_amounts_below_zero(rows: Rows) -> None:
    rows["deal_events"] = [event for event in rows["deal_events"] if event["field"] != "amount"]
    each_deal(lambda n, deal: deal.update(amount=(-500, 0, "", 12_000)[n % 4]))(rows)


HONEST: Final[Mapping[str, Callable[[Rows], object]]] = {
    "only three closed deals": only_kinds(open=90, won=2, lost=1),
    "no closed deals": only_kinds(open=90),
    "no open deals": only_kinds(won=200, lost=300),
    "all won": only_kinds(open=20, won=60),
    "all lost": only_kinds(open=20, lost=60),
    "one open deal": only_kinds(open=1),
    "one won deal": only_kinds(won=1),
    "no quotas": without("quotas"),
    "no users": without("users"),
    "no activities": without("activities"),
    "deals and nothing else": without("users", "quotas", "activities"),
    "one stage": first_stages_only,
    "renewals only": renewals_only,
    "one year": one_year,
    "naive moments": naive,
    "no owners": each_deal(lambda _n, deal: deal.pop("owner_id")),
    "unknown currencies": each_deal(lambda n, deal: deal.update(currency=("XXA", "XXB", "XXC")[n % 3])),
    "strange attributes": strange_names,
    "odd ids": odd_ids,
    "some amounts below zero": some_amounts_below_zero,
}


@pytest.mark.parametrize("name", HONEST)
def test_an_odd_company_gets_an_honest_answer(name: str, place: Path, company: Rows, tmp_path: Path) -> None:
    data = changed(company, HONEST[name], tmp_path / "data")
    bundle, scores, bookings = tmp_path / "models" / "m", tmp_path / "s.csv", tmp_path / "b.csv"
    assert say("check", data, "--strict").code == 0
    told = train(data, bundle, place / "fast.toml")
    assert told.code == 0, told.err
    assert "Traceback" not in told.err
    for command, out in (("score", scores), ("roll-up", bookings)):
        told = ask(command, data, bundle, "--out", out)
        assert told.code == 0, told.err
        assert not told.errors
    found, kinds = read(scores), last_stages(read_rows(data))
    check_scores(found)
    check_bookings(read(bookings))
    assert set(found["deal_id"]) == {deal for deal, kind in kinds.items() if kind == "open"}, "none is lost"
    told = ask("show", data, bundle)
    assert told.code == 0, told.err
    assert not {"nan", "None,", "inf"} & set(told.out.split())


def read_rows(folder: Path) -> Rows:
    """Stages and events as they stand in the files."""
    return {
        table: pd.read_csv(folder / f"{table}.csv", dtype="str", keep_default_na=False).to_dict("records")
        for table in ("stages", "deal_events")
    }  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["no closed deals", "no open deals", "one open deal", "strange attributes"])
def test_an_odd_company_gets_a_report(name: str, place: Path, company: Rows, tmp_path: Path) -> None:
    data = changed(company, HONEST[name], tmp_path / "data")
    assert train(data, tmp_path / "models" / "m", place / "fast.toml").code == 0
    told = ask("report", data, tmp_path / "models" / "m", "--out", tmp_path / "r.html")
    assert told.code == 0, told.err


def test_with_little_to_learn_from_the_range_is_wide(place: Path, company: Rows, tmp_path: Path) -> None:
    data = changed(company, HONEST["no closed deals"], tmp_path / "data")
    assert train(data, tmp_path / "models" / "m", place / "fast.toml").code == 0
    relative = {}
    for name, folder, bundle in (
        ("much", place / "data", place / "models" / "own"),
        ("none", data, tmp_path / "models" / "m"),
    ):
        assert ask("roll-up", folder, bundle, "--out", tmp_path / "b.csv").code == 0
        row = read(tmp_path / "b.csv").iloc[0]
        relative[name] = (row["p90"] - row["p10"]) / row["expected"]
    assert relative["none"] > 2 * relative["much"]


def test_amounts_nobody_knows_are_not_zero(place: Path, company: Rows, tmp_path: Path) -> None:
    def change(rows: Rows) -> None:
        rows["deal_events"] = [event for event in rows["deal_events"] if event["field"] != "amount"]
        each_deal(lambda _n, deal: deal.pop("amount"))(rows)

    data, bundle = changed(company, change, tmp_path / "data"), tmp_path / "models" / "m"
    assert train(data, bundle, place / "fast.toml").code == 0
    told = ask("score", data, bundle, "--out", tmp_path / "s.csv")
    assert told.code == 0
    assert "no amount known" in told.err
    for command, out in (("roll-up", "b.csv"), ("report", "r.html")):
        told = ask(command, data, bundle, "--out", tmp_path / out)
        assert told.code == 3
        assert len(told.errors) == 1
        assert "nothing to add up" in told.errors[0]
        assert not (tmp_path / out).exists()


def test_what_cannot_be_added_up_is_counted_and_not_blamed_on_rates(
    place: Path, company: Rows, tmp_path: Path
) -> None:
    data = changed(company, HONEST["unknown currencies"], tmp_path / "data")
    assert train(data, tmp_path / "models" / "m", place / "fast.toml").code == 0
    told = ask("roll-up", data, tmp_path / "models" / "m", "--out", tmp_path / "b.csv")
    assert any("rows are in no sum: they have no amount, or no exchange rate" in note for note in told.notes)


# -- bad rows go to quarantine, the rest loads --------------------------------------------------------------


def text_in_amount(rows: Rows) -> None:
    rows["deals"][0]["amount"] = "twelve thousand"


def stage_nobody_knows(rows: Rows) -> None:
    moves = [event for event in rows["deal_events"] if event["field"] == "stage"]
    moves[-1]["value"] = "Pitch"


def quota_of_a_stranger(rows: Rows) -> None:
    rows["quotas"].append({"level": "user", "entity": "ghost", "period": PERIOD, "amount": 1})


@pytest.mark.parametrize(
    ("change", "table", "code"),
    [
        (text_in_amount, "deals", "bad_number"),
        (stage_nobody_knows, "deal_events", "unknown_stage"),
        (quota_of_a_stranger, "quotas", "unknown_entity"),
    ],
)
def test_a_bad_row_is_shown_and_costs_only_itself(
    change: Callable[[Rows], None], table: str, code: str, place: Path, company: Rows, tmp_path: Path
) -> None:
    data = changed(company, change, tmp_path / "data")
    assert say("check", data).code == 0
    assert say("check", data, "--strict", "--json", tmp_path / "check.json").code == 4
    found = json.loads((tmp_path / "check.json").read_text(encoding="utf-8"))
    first = next(row for row in found["quarantine"] if row["table"] == table)
    assert first["code"] == code
    lines = (data / f"{table}.csv").read_text(encoding="utf-8").splitlines()
    assert first["raw"] == lines[first["line"] - 1]
    for counts in found["tables"].values():
        gone = counts["duplicates"] + counts["superseded"] + counts["quarantined"]
        assert counts["read"] == counts["loaded"] + gone
    told = ask("score", data, place / "models" / "own", "--out", tmp_path / "s.csv")
    assert told.code == 0
    assert any("set aside; `forecast check` shows them" in note for note in told.notes)


# -- what cannot be answered is one clear line -------------------------------------------------------------


def renamed_column(rows: Rows) -> None:
    rows["deals"] = [{"id": deal.pop("deal_id"), **deal} for deal in rows["deals"]]


REFUSED: Final[Mapping[str, tuple[Callable[[Rows], object], str]]] = {
    "empty folder": (lambda rows: rows.clear(), "holds no table"),
    "missing table": (without("deals"), "deals.csv is missing and required"),
    "no history": (without("deal_events"), "deal_events.csv is missing and required"),
    "wrong column name": (renamed_column, "deals.csv has no column 'deal_id'"),
    "no stage known": (each_event(lambda event: event.update(value="Pitch")), "deal_events has no rows"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_folder_that_cannot_be_used_is_one_line_and_no_file(
    name: str, place: Path, company: Rows, tmp_path: Path
) -> None:
    change, words = REFUSED[name]
    data, bundle = changed(company, change, tmp_path / "data"), place / "models" / "own"
    assert say("check", data).code in (0, 3)
    asked = [
        train(data, tmp_path / "models" / "m", place / "fast.toml"),
        ask("score", data, bundle, "--out", tmp_path / "s.csv"),
        ask("roll-up", data, bundle, "--out", tmp_path / "b.csv"),
        ask("report", data, bundle, "--out", tmp_path / "r.html"),
        ask("show", data, bundle),
    ]
    for told in asked:
        assert told.code == 3, told.err
        assert len(told.errors) == 1
        assert words in told.errors[0]
        assert told.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "models"]
    assert not (tmp_path / "models" / "m").exists()


@pytest.mark.parametrize(
    ("more", "period", "code", "words"),
    [
        (["--as-of", "2001-01-01"], "2001Q2", 2, "nothing was recorded before 2001-01-01"),
        ([], "2025Q1", 2, "period 2025Q1 ended before 2025-06-23"),
        ([], "2032", 2, "period 2032 ends 2749 days after 2025-06-23"),
        ([], "2025Q5", 2, "is not a period"),
    ],
)
def test_a_moment_or_period_nothing_is_known_of(
    more: list[str], period: str, code: int, words: str, place: Path, tmp_path: Path
) -> None:
    for command, out in (("score", "s.csv"), ("roll-up", "b.csv"), ("report", "r.html")):
        bundle, path = place / "models" / "own", tmp_path / out
        told = ask(command, place / "data", bundle, *more, "--out", path, period=period)
        assert (told.code, len(told.errors)) == (code, 1)
        assert words in told.errors[0]
    assert list(tmp_path.iterdir()) == []


def test_months_and_years_are_periods_like_quarters(place: Path, tmp_path: Path) -> None:
    expected = {}
    for period in ("2025-07", "2025-08", "2025-09", "2025Q3", "2025Q4", "2025"):
        told = ask(
            "roll-up", place / "data", place / "models" / "own", "--out", tmp_path / "b.csv", period=period
        )
        assert told.code == 0, told.err
        check_bookings(found := read(tmp_path / "b.csv"))
        expected[period] = found.iloc[0]
    parts = ("open", "arrivals")
    months = sum(expected[month][list(parts)].astype(float) for month in ("2025-07", "2025-08", "2025-09"))
    np.testing.assert_allclose(months, expected["2025Q3"][list(parts)].astype(float), rtol=0.02)
    assert expected["2025"]["booked"] > 0
    assert expected["2025"]["quota"] == 4 * expected["2025Q3"]["quota"]


def test_a_period_just_within_reach_has_a_report_without_a_look_back(place: Path, tmp_path: Path) -> None:
    # Four weeks earlier the end of this period was beyond every horizon.
    told = ask(
        "report", place / "data", place / "models" / "own", "--as-of", OTHER_AS_OF.isoformat(),
        "--out", tmp_path / "r.html", period="2027Q2",
    )  # fmt: skip
    assert told.code == 0, told.err


def test_an_old_export_is_called_old(place: Path, tmp_path: Path) -> None:
    data, out = place / "data", tmp_path / "s.csv"
    told = ask(
        "score", data, place / "models" / "own", "--as-of", "2026-03-01", "--out", out, period="2026Q2"
    )
    assert told.code == 0
    assert any("nothing was recorded in the 250 days before the as-of date" in note for note in told.notes)


@pytest.mark.parametrize(
    ("command", "out", "words"),
    [
        ("score", "missing/s.csv", "there is no folder"),
        ("report", "missing/r.html", "there is no folder"),
        ("score", "s.xlsx", "expected .csv or .parquet"),
        ("roll-up", "b", "expected .csv or .parquet"),
        ("report", "r.parquet", "expected .html or .htm"),
        ("roll-up", "a file/b.csv", "there is no folder"),
    ],
)
def test_an_output_that_cannot_be_is_told_before_any_work(
    command: str, out: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "a file").write_text("", encoding="utf-8")
    told = ask(command, tmp_path / "no data", tmp_path / "no bundle", "--out", tmp_path / out)
    assert (told.code, len(told.errors)) == (8, 1)
    assert words in told.errors[0]


def test_a_full_disk_leaves_the_old_file(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    out = tmp_path / "s.csv"
    out.write_text("old", encoding="utf-8")
    monkeypatch.setattr(os, "fsync", full)
    told = ask("score", place / "data", place / "models" / "own", "--out", out)
    assert (told.code, len(told.errors)) == (8, 1)
    assert "No space left" in told.errors[0]
    assert out.read_text(encoding="utf-8") == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["s.csv"]


def test_a_file_that_is_no_table_is_left_alone(place: Path, company: Rows, tmp_path: Path) -> None:
    data = write_rows(tmp_path / "data", company)
    (data / "notes.txt").write_text("mine", encoding="utf-8")
    (data / "user.csv").write_text(as_csv(company["users"]), encoding="utf-8")
    assert say("check", data, "--strict").code == 0
    assert train(data, tmp_path / "models" / "m", place / "fast.toml").code == 0
    assert load_bundle(tmp_path / "models" / "m").id == load_bundle(place / "models" / "own").id
    assert (data / "notes.txt").read_text(encoding="utf-8") == "mine"


# -- killed at any moment ----------------------------------------------------------------------------------


def killed_after(seconds: float, *arguments: object) -> None:
    """Start a command of its own and end it without warning, unless it is done by then."""
    words = [sys.executable, "-m", *map(str, arguments)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        process.kill()
    assert process.returncode in (0, -signal.SIGKILL)


def test_killed_commands_leave_the_old_result_or_the_new_one(place: Path, tmp_path: Path) -> None:
    data, bundle, page = place / "data", tmp_path / "models" / "m", tmp_path / "r.html"
    settings = place / "fast.toml"
    assert train(data, bundle, settings, "--as-of", "2025-01-01").code == 0
    ids = {load_bundle(bundle).id, load_bundle(place / "models" / "own").id}
    page.write_text("old", encoding="utf-8")
    moments = random.Random(time.time_ns())  # noqa: S311  (no secret; another moment every time)
    for _ in range(2):
        killed_after(
            moments.uniform(1.0, 3.5), "training", "train", "--data", data, "--bundle", bundle,
            "--settings", settings,
        )  # fmt: skip
        assert load_bundle(bundle).id in ids
        killed_after(
            moments.uniform(1.0, 4.5), "forecast.cli", "report", "--data", data, "--bundle", bundle,
            "--period", PERIOD, "--out", page,
        )  # fmt: skip
        text = page.read_text(encoding="utf-8")
        assert text == "old" or text.rstrip().endswith("</html>")
    assert train(data, bundle, settings).code == 0
    assert load_bundle(bundle).id == load_bundle(place / "models" / "own").id
