"""`python -m forecast.features` writes docs/features.md from the registry."""

from __future__ import annotations

from pathlib import Path

from forecast.features.registry import BUILT_IN, LEADS, FeatureSpec

__all__ = ["markdown"]

_PAGE = """# Features

Every input of the models, when it is known, and why it is there. Written by `python -m forecast.features` from
the registry in `src/forecast/features/registry.py`; a test keeps both alike. Custom attributes of deals and of
leads join as `custom:NAME`. Calendar position is not here: it belongs to the hazard (see
[method.md](method.md)).

A feature whose field has no events at all in the data is left out of the model, because it is then known only
as it stands today (see [decisions/0006](decisions/0006-fields-without-history.md)); so is one whose
field leaks, as [the audit](audit.md) finds.

## Deals

{deals}
## Leads

The `leads` table is a snapshot: only creation, conversion, disqualification and activities carry dates. Every
other column is used only if it is filled about as often in open leads as in those that were converted and in
those that were disqualified; else it is left out with its reason (see [leads.md](leads.md)). `converted_at`,
`deal_id` and `disqualified_at` are outcomes and never inputs.

{leads}"""
_TABLE = """| Feature | In words | In Italian | Source | Known | Why |
|---|---|---|---|---|---|
"""


def markdown() -> str:
    """The whole page."""
    return _PAGE.format(deals=_table(BUILT_IN), leads=_table(LEADS))


def _table(specs: tuple[FeatureSpec, ...]) -> str:
    rows = (f"| `{s.name}` | {s.label_en} | {s.label_it} | {s.source} | {s.known} | {s.why} |" for s in specs)
    return _TABLE + "\n".join(rows) + "\n"


if __name__ == "__main__":
    Path("docs/features.md").write_text(markdown(), encoding="utf-8")
