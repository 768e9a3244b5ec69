"""What each kind of output reads: the fingerprint in its receipt covers that and nothing else.

So a forecast of bookings stays verifiable when leads are edited, and scores when somebody changes teams.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pandas as pd

from forecast.periods import Period
from forecast.tables import TABLES, Tables, known_before

__all__ = ["KINDS", "Kind", "read_as_of"]

_DEALS: Final = ("stages", "deals", "deal_events", "activities", "fx_rates")
_COMPANY: Final = (*_DEALS, "users", "quotas")
_LIBRARIES: Final = ("numpy", "pandas", "pyarrow", "scipy")


@dataclass(frozen=True)
class Kind:
    """A kind of output: the tables it reads, the libraries that shape its bytes."""

    tables: tuple[str, ...]
    packages: tuple[str, ...] = _LIBRARIES


KINDS: Final = {
    "scores": Kind(_DEALS),
    "questions": Kind(_DEALS),
    "lead_scores": Kind((*_DEALS, "leads")),
    "bookings": Kind(_COMPANY),
    "deciding": Kind(_COMPANY),
    "report": Kind(_COMPANY, (*_LIBRARIES, "altair", "jinja2", "markupsafe", "vl-convert-python")),
}


def read_as_of(tables: Tables, kind: str, as_of: pd.Timestamp, period: Period | None = None) -> Tables:
    """The part of the data an output of that kind may read: known before `as_of`, of its tables alone.

    Of quotas only those of the period and of its parts; addresses of users are in no output. Without a period
    it is the coming quarter.
    """
    known = known_before(tables, as_of)
    wanted = KINDS[kind].tables
    frames = {name: known[name] if name in wanted else known[name].iloc[:0] for name in TABLES}
    if "leads" not in wanted:
        frames["activities"] = _of_deals(frames["activities"])
    span = Period.coming(as_of) if period is None else period
    frames["quotas"] = _within(frames["quotas"], span)
    frames["users"] = frames["users"].assign(
        email=frames["users"]["email"].mask(frames["users"]["email"].notna())
    )
    return Tables(**frames)


def _of_deals(activities: pd.DataFrame) -> pd.DataFrame:
    mask = activities["deal_id"].notna()
    return activities if mask.all() else activities[mask].reset_index(drop=True)


def _within(quotas: pd.DataFrame, period: Period) -> pd.DataFrame:
    """Quotas of the period or of a part of it."""
    spans = {label: Period.parse(label) for label in quotas["period"].unique()}
    inside = [label for label, span in spans.items() if period.start <= span.start and span.end <= period.end]
    return quotas[quotas["period"].isin(inside)].reset_index(drop=True)
