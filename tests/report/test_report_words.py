"""Every word of the report exists in both languages, says the same things, and is used."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from report_cases import word_faults

import forecast.report
from forecast.language import formats_of
from forecast.report.words import Words, load_words

ENGLISH, ITALIAN = load_words("en"), load_words("it")
# Words both languages share.
SAME = {"pipeline.days", "reason.no", "footer.version_value", "page.span"}


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_have_the_same_keys() -> None:
    assert ENGLISH.keys() == ITALIAN.keys()


@pytest.mark.parametrize("key", sorted(ENGLISH))
def test_both_languages_say_the_same_things(key: str) -> None:
    english, italian = ENGLISH[key], ITALIAN[key]
    assert english.strip()
    assert italian.strip()
    assert placeholders(english) == placeholders(italian)
    assert english.count("**") == italian.count("**")
    assert english.count("**") % 2 == 0


def test_italian_is_not_english_left_standing() -> None:
    same = {key for key in ENGLISH if ENGLISH[key] == ITALIAN[key] and re.search("[a-z]{3}", ENGLISH[key])}
    assert same <= SAME


def test_every_word_is_used_and_every_word_used_exists() -> None:
    package = Path(forecast.report.__file__).parent
    # The page of a back-test has words of its own.
    sources = [
        path
        for path in (*package.rglob("*.py"), *package.rglob("*.html"), package.parent / "cli" / "show.py")
        if "scoreboard" not in path.relative_to(package.parent).as_posix()
    ]
    assert word_faults(ENGLISH, sources) == (set(), set())


def test_one_is_singular() -> None:
    t = Words(formats_of("en"))
    assert t("deals.count", n=1) == "1 deal"
    assert t("deals.count", n=1234) == "1,234 deals"
    assert Words(formats_of("it"))("deals.count", n=1234) == "1.234 trattative"


def test_strong_parts_are_marked_and_values_escaped() -> None:
    t = Words(formats_of("en"))
    assert t.html("head.without_quota", expected="<b>") == "<strong>&lt;b&gt;</strong> expected"
    assert t("head.without_quota", expected="**") == "** expected"


def test_italian_articles_before_numbers() -> None:
    t = Words(formats_of("it"))
    assert t("head.with_quota", expected="1", attainment="82%") == "1 attesi, l'82% dell'obiettivo"
    assert t("head.with_quota", expected="1", attainment="92%") == "1 attesi, il 92% dell'obiettivo"
    assert t("page.as_of", date="8 dic 2025") == "Dati all'8 dic 2025"
