"""The small company as a folder of files."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_company import COMPANY, Folder


@pytest.fixture
def company(tmp_path: Path) -> Folder:
    """Writes the company as CSV; `company(deals=text)` puts another text there, None leaves a table out."""
    made = 0

    def write(**changed: str | bytes | None) -> Path:
        nonlocal made
        made += 1
        folder = tmp_path / f"company{made}"
        folder.mkdir()
        for table, text in (COMPANY | changed).items():
            if text is not None:
                (folder / f"{table}.csv").write_bytes(text.encode() if isinstance(text, str) else text)
        return folder

    return write
