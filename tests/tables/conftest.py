"""The small company as a folder of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_company import Folder, write_company

from forecast.tables import Reading, read_folder


@pytest.fixture
def company(tmp_path: Path) -> Folder:
    """Writes the company as CSV; `company(deals=text)` puts another text there, None leaves a table out."""
    made = 0

    def write(**changed: str | bytes | None) -> Path:
        nonlocal made
        made += 1
        return write_company(tmp_path / f"company{made}", **changed)

    return write


@pytest.fixture(scope="session")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Reading:
    """The company as it reads when nothing is wrong with it."""
    return read_folder(write_company(tmp_path_factory.mktemp("clean") / "company"))
