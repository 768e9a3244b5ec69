"""A dialect: every mistake in it is named, it survives the way through a bundle, and one rule is one answer."""

from __future__ import annotations

import json
import math
import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecast.errors import UsageError
from forecast.tables import PLAIN, Dialect, read_dialect
from forecast.tables.models import BANT, TABLES

names = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs")), min_size=1, max_size=12
).filter(str.strip)
ours = st.sampled_from(["discovery", "offer", "won", "lost"])
shares = st.floats(0, 1)


@st.composite
def renames(draw: st.DrawFn) -> dict[str, str]:
    # Theirs never bear one of our names: that a name may not be led on is tested by itself.
    return draw(st.dictionaries(names.map("x{}".format), ours, max_size=4))


@st.composite
def sections(draw: st.DrawFn) -> dict[str, Any]:
    moments = st.datetimes(
        min_value=datetime(2000, 1, 1),
        max_value=datetime(2100, 1, 1),
    )
    redefined = st.fixed_dictionaries(
        {"until": moments, "rename": renames().filter(bool)},
        optional={"pipeline": st.sampled_from(["a", "b"])},
    )
    stated = st.fixed_dictionaries(
        {
            "stage": ours,
            "position": st.integers(-5, 5),
            "kind": st.sampled_from(["open", "won", "lost"]),
        },
        optional={
            "pipeline": st.sampled_from(["a", "b"]),
            "default_probability": shares,
            "label": names,
        },
    )
    words = st.dictionaries(
        st.sampled_from(["yes", "no", "maybe", "a b", "2", "ß"]), shares | st.just(""), max_size=4
    )
    return {
        "reading": {"zone": draw(st.sampled_from(["UTC", "Europe/Rome"]))},
        "columns": {table: draw(st.just({"Their id": TABLES[table][0]}) | st.just({})) for table in TABLES},
        "stages": {
            "rename": draw(renames()),
            "rename_in": draw(st.dictionaries(st.sampled_from(["a", "b"]), renames(), max_size=2)),
            "redefined": draw(st.lists(redefined, max_size=3)),
            "stated": draw(
                st.lists(stated, max_size=3, unique_by=lambda row: (row.get("pipeline"), row["stage"]))
            ),
        },
        "bant": {
            "common_words": draw(st.booleans()),
            "words": draw(words),
            **{name: draw(words) for name in BANT},
        },
    }


@settings(deadline=None)
@given(sections())
def test_a_dialect_survives_the_way_through_a_bundle(given_sections: dict[str, Any]) -> None:
    dialect = Dialect.from_toml(given_sections, "my.toml")
    kept = json.loads(json.dumps(dialect.to_json(), allow_nan=False))
    again = Dialect.from_json(kept)
    assert again.to_json() == dialect.to_json()
    for pipeline in ("a", "b", "c"):
        for name in ("xa", *given_sections["stages"]["rename"]):
            for at_us in (0, 10**15, 5 * 10**15):
                assert again.stage(pipeline, name, at_us) == dialect.stage(pipeline, name, at_us)
    for field in BANT:
        for word in ("Yes", " NO ", "maybe", "A  b", "2", "ẞ", "other"):
            assert str(again.share(field, word)) == str(dialect.share(field, word))


def test_nothing_said_changes_nothing() -> None:
    assert Dialect.from_toml({}, "my.toml") == PLAIN
    assert PLAIN.to_json() == {}
    assert Dialect.from_json({}) == PLAIN
    assert PLAIN.stage("sales", "anything", 0) == "anything"
    assert PLAIN.share("budget", "yes") is None


def test_common_words_of_both_languages_are_read_when_asked_for() -> None:
    dialect = Dialect.from_toml({"bant": {"common_words": True}}, "my.toml")
    ones = ["Yes", "TRUE", "confirmed", "sì", "SÌ", "Confermato"]
    assert [dialect.share("need", word) for word in ones] == [1.0] * len(ones)
    assert [dialect.share("need", word) for word in ("No", "false", "Assente")] == [0.0] * 3
    assert all(math.isnan(dialect.share("need", word) or 0.0) for word in ("TBD", "n/a", "Da definire"))
    # What can be meant in two ways is not guessed.
    assert [dialect.share("need", word) for word in ("None", "partly", "in corso", "high")] == [None] * 4


def test_a_field_s_own_words_go_before_those_of_all_and_those_before_common_ones() -> None:
    dialect = Dialect.from_toml(
        {"bant": {"common_words": True, "words": {"Yes": 0.9, "Open": ""}, "budget": {"yes": 0.5}}}, "my.toml"
    )
    assert dialect.share("budget", "YES") == 0.5
    assert dialect.share("need", "YES") == 0.9
    assert dialect.share("need", "no") == 0.0
    assert math.isnan(dialect.share("need", "open") or 0.0)


def test_a_redefinition_holds_before_its_moment_and_the_earliest_one_to_come_counts() -> None:
    """E.g. "proposal" was a first talk until July 2023, then a demo until July 2024, and is an offer today."""
    dialect = Dialect.from_toml(
        tomllib.loads(
            """
            [stages]
            rename = { proposal = "offer" }
            [[stages.redefined]]
            until = 2024-07-01
            rename = { proposal = "demo" }
            [[stages.redefined]]
            until = 2023-07-01
            pipeline = "sales"
            rename = { proposal = "talk" }
            """
        ),
        "my.toml",
    )

    def at(moment: str, pipeline: str = "sales") -> str:
        return dialect.stage(pipeline, "proposal", pd.Timestamp(moment, tz="UTC").value // 1_000)

    assert [at("2023-06-30 23:59"), at("2023-07-01"), at("2024-06-30"), at("2024-07-01")] == [
        "talk",
        "demo",
        "demo",
        "offer",
    ]
    assert at("2023-01-01", "partner") == "demo"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reading = 3", r"reading is '3'; expected a section"),
        ("[reading]\nzone = 'Rome'", r"'Rome' is not a time zone"),
        ("[reading]\nzon = 'UTC'", r"reading\.zon does not exist; did you mean zone\?"),
        ("[columns]\ndeal = {}", r"columns\.deal does not exist; did you mean deals\?"),
        ("[columns]\ndeals = 3", r"columns\.deals is '3'; expected a table such as"),
        (
            "[columns.users]\nId = 'user'",
            r"columns\.users\.'Id' = 'user' does not exist; did you mean user_id",
        ),
        ("[columns.deals]\nId = 3", r"columns\.deals\.'Id' is '3'; expected text in quotes"),
        ("[stages]\nrenames = {}", r"stages\.renames does not exist; did you mean rename\?"),
        ("[stages.rename]\na = 'b'\nb = 'c'", r"stages\.rename\.'a' is 'b'; expected a final name, here 'c'"),
        ("[stages.rename]\na = ''", r"stages\.rename\.'a' is ''; expected text in quotes"),
        ("[stages]\nrename_in = 3", r"stages\.rename_in is '3'; expected a table for each pipeline"),
        ("[stages]\nrename_in = { sales = 1 }", r"stages\.rename_in\.sales is '1'; expected a table"),
        ("[stages]\nstated = {}", r"stages\.stated is '\{\}'; expected tables, each below a line \[\[stages"),
        ("[[stages.stated]]\nposition = 1", r"stages\.stated\[1\]\.stage is 'None'; expected text in quotes"),
        (
            "[[stages.stated]]\nstage = 'a'",
            r"stages\.stated\[1\]\.position is 'None'; expected a whole number",
        ),
        ("[[stages.stated]]\nstage = 'a'\nposition = true", r"position is 'True'; expected a whole number"),
        (
            "[[stages.stated]]\nstage = 'a'\nposition = 1\nkind = 'close'",
            r"kind is 'close'; expected open",
        ),
        (
            "[[stages.stated]]\nstage = 'a'\nposition = 1\nkind = 'won'\nprobability = 1",
            r"stages\.stated\[1\]\.probability does not exist; did you mean default_probability\?",
        ),
        (
            "[[stages.stated]]\nstage = 'a'\nposition = 1\nkind = 'won'\ndefault_probability = 20",
            r"default_probability is '20'; expected a number from 0 to 1",
        ),
        (
            "[[stages.stated]]\nstage = 'a'\nposition = 1\nkind = 'won'\n" * 2,
            r"stages\.stated\[2\] is 'a'; expected a stage that pipeline 'sales' has once",
        ),
        ("[[stages.redefined]]\nrename = { a = 'b' }", r"redefined\[1\]\.until is 'None'; expected a date"),
        ("[[stages.redefined]]\nuntil = 2024-01-01", r"redefined\[1\]\.rename is '\{\}'; expected a table"),
        ("[[stages.redefined]]\nuntil = 'July'\nrename = { a = 'b' }", r"until is 'July'; expected a date"),
        ("[bant]\nbudgets = {}", r"bant\.budgets does not exist; did you mean budget\?"),
        ("[bant]\ncommon_words = 1", r"bant\.common_words is '1'; expected true or false"),
        ("[bant.words]\nyes = 2", r"bant\.words\.'yes' is '2'; expected a number from 0 to 1 or \"\""),
        ("[bant.words]\nyes = true", r"bant\.words\.'yes' is 'True'; expected a number"),
        ("[bant.words]\nyes = nan", r"bant\.words\.'yes' is 'nan'; expected a number"),
        ("[bant.need]\nYes = 1\nyes = 0", r"bant\.need\.'yes' is '0'; expected one meaning for one word"),
    ],
)
def test_a_mistake_is_named_with_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=r"settings my\.toml|is not a time zone") as caught:
        Dialect.from_toml(tomllib.loads(text), "my.toml")
    assert caught.match(message)
    assert "\n" not in str(caught.value)


def test_other_sections_of_a_settings_file_belong_to_training_but_a_slip_is_told(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[fit]\nseed = 1\n[segments]\n[bant]\ncommon_words = true\n", encoding="utf-8")
    assert read_dialect(path).common_words
    path.write_text("[stage]\nrename = {}\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"\[stage\] does not exist; did you mean stages\?"):
        read_dialect(path)


@pytest.mark.parametrize("kept", [3, [], {"fit": {}}, {"bant": 3}, {"stages": {"rename": {"a": 1}}}])
def test_damaged_rules_of_a_bundle_are_refused(kept: Any) -> None:
    with pytest.raises(UsageError):
        Dialect.from_json(kept)
