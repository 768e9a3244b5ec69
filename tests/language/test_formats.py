"""Numbers, money and dates in the reader's own form."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from forecast.errors import UsageError
from forecast.language import formats_of

EN, IT = formats_of("en"), formats_of("it")
NBSP = "\u00a0"


@pytest.mark.parametrize(
    ("english", "italian", "method", "value"),
    [
        ("1,234,567", "1.234.567", "integer", 1_234_567.4),
        ("−1,234", "−1.234", "integer", -1_234),
        ("0", "0", "integer", -0.4),
        ("€1,234,567", f"1.234.567{NBSP}€", "money", 1_234_567.0),
        ("−€12", f"−12{NBSP}€", "money", -12.0),
        ("€1.23M", f"1,23{NBSP}Mln{NBSP}€", "compact", 1_234_567.0),
        ("€12.3M", f"12,3{NBSP}Mln{NBSP}€", "compact", 12_345_678.0),
        ("€1.00M", f"1,00{NBSP}Mln{NBSP}€", "compact", 999_700.0),
        ("€457k", f"457k{NBSP}€", "compact", 456_789.0),
        ("€9.1k", f"9,1k{NBSP}€", "compact", 9_123.0),
        ("€999", f"999{NBSP}€", "compact", 999.4),
        ("€1M", f"1{NBSP}Mln{NBSP}€", "tick", 1_000_000.0),
        ("€1.5M", f"1,5{NBSP}Mln{NBSP}€", "tick", 1_500_000.0),
        ("€100k", f"100k{NBSP}€", "tick", 100_000.0),
        ("+€55k", f"+55k{NBSP}€", "change", 55_000.0),
        ("−€1.2k", f"−1,2k{NBSP}€", "change", -1_200.0),
        ("€0", f"0{NBSP}€", "change", 0.0),
        ("38%", "38%", "percent", 0.384),
        ("<1%", "<1%", "percent", 0.0004),
        (">99%", ">99%", "percent", 0.9996),
        ("0%", "0%", "percent", 0.0),
        ("100%", "100%", "percent", 1.0),
        ("112%", "112%", "percent", 1.12),
        ("+8", "+8", "points", 0.081),
        ("−0.4", "−0,4", "points", -0.004),
        ("3.2×", "3,2×", "multiple", 3.24),
        (f"31{NBSP}Mar{NBSP}2026", f"31{NBSP}mar{NBSP}2026", "date", "2026-03-31"),
        (f"1{NBSP}Jan", f"1º{NBSP}gen", "day", "2026-01-01"),
        ("Q1 2026", "1º trimestre 2026", "period", "2026Q1"),
        ("May 2026", "maggio 2026", "period", "2026-05"),
        ("2026", "2026", "period", "2026"),
    ],
)
def test_written_in_both_languages(english: str, italian: str, method: str, value: float | str) -> None:
    assert getattr(EN, method)(value) == english
    assert getattr(IT, method)(value) == italian


@pytest.mark.parametrize(
    "method", ["integer", "decimal", "percent", "points", "money", "compact", "change", "multiple", "date"]
)
def test_unknown_is_a_dash(method: str) -> None:
    assert getattr(EN, method)(None) == "–"


@given(st.integers(-(10**12), 10**12))
@settings(deadline=None, max_examples=50)
def test_grouping_loses_no_digit(value: int) -> None:
    for formats, thousands in ((EN, ","), (IT, ".")):
        assert int(formats.integer(value).replace(thousands, "").replace("−", "-")) == value


@given(st.floats(0.0, 1.0))
@example(0.995)
@example(0.005)
@settings(deadline=None, max_examples=50)
def test_only_certainty_is_written_as_certainty(share: float) -> None:
    assert (EN.percent(share) == "0%") == (share == 0.0)
    assert (EN.percent(share) == "100%") == (share == 1.0)


def test_other_currencies_keep_their_code() -> None:
    assert formats_of("en", "CHF").money(1_500.0) == f"CHF{NBSP}1,500"
    assert formats_of("it", "CHF").money(1_500.0) == f"1.500{NBSP}CHF"
    assert formats_of("en", "USD").compact(1_500.0) == "$1.5k"


def test_another_language_is_refused() -> None:
    with pytest.raises(UsageError, match="locale 'de' is not known; expected en or it"):
        formats_of("de")
