"""`python -m forecast.features` writes docs/features.md from the registry."""

from __future__ import annotations

from pathlib import Path

from forecast.features.registry import BUILT_IN

__all__ = ["markdown"]

_HEAD = """# Features

Every input of the models, when it is known, and why it is there. Written by `python -m forecast.features` from
the registry in `src/forecast/features/registry.py`; a test keeps both alike. Custom attributes of deals join as
`custom:NAME`. Calendar position is not here: it belongs to the hazard (see [method.md](method.md)).

A feature whose field has no events at all in the data is left out of the model, because it is then known only
as it stands today (see [decisions/0006](decisions/0006-fields-without-history.md)).

| Feature | In words | In Italian | Source | Known | Why |
|---|---|---|---|---|---|
"""


def markdown() -> str:
    """The whole page."""
    rows = (
        f"| `{s.name}` | {s.label_en} | {s.label_it} | {s.source} | {s.known} | {s.why} |" for s in BUILT_IN
    )
    return _HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path("docs/features.md").write_text(markdown(), encoding="utf-8")
