"""The page of features says what the registry says."""

from __future__ import annotations

from pathlib import Path

from forecast.features.__main__ import markdown

PAGE = Path(__file__).resolve().parents[2] / "docs" / "features.md"


def test_the_page_is_the_one_the_registry_writes() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run python -m forecast.features"
