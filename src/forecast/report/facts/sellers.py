"""Facts about people: how many of the deals each one decided were won, and how sure that figure is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from forecast.periods import DAY_US, as_of_us, to_timestamp
from forecast.report.facts.pipeline import decided_deals
from forecast.report.facts.plain import Fact, date_of, person

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["close_rate_facts", "wilson_interval"]

_WINDOW_DAYS: Final = 365
_Z80: Final = 1.2815515655446004  # normal quantile of 0.9: every range of the report holds 80 %


def wilson_interval(won: int, decided: int) -> tuple[float, float]:
    """80 % score interval of a share (Wilson 1927): honest for 2 of 2 as well as for 200 of 700.

    >>> tuple(round(bound, 2) for bound in wilson_interval(5, 10))
    (0.31, 0.69)
    """
    share, z2 = won / decided, _Z80 * _Z80
    centre = (share + z2 / (2 * decided)) / (1 + z2 / decided)
    half = _Z80 * np.sqrt(share * (1 - share) / decided + z2 / (4 * decided * decided)) / (1 + z2 / decided)
    # min and max: at a share of exactly 0 or 1 the end of the interval is that share, up to rounding.
    return float(min(max(centre - half, 0.0), share)), float(max(min(centre + half, 1.0), share))


def close_rate_facts(outlook: Outlook, names: dict[str, str]) -> Fact:
    """Won of decided deals of the last twelve months, by who owned the deal when it was decided."""
    history, until_us = outlook.history, as_of_us(outlook.as_of)
    since_us = until_us - _WINDOW_DAYS * DAY_US
    decided = decided_deals(history, until_us, since_us)
    owner = history.vocabulary("owner_id").take(decided["owner"].to_numpy(np.int64))
    counts = decided.assign(owner=owner).groupby("owner")["won"].agg(["sum", "size"])
    won, total = int(decided["won"].sum()), len(decided)
    people = [
        {"owner": person(user, names), **_rate(int(row["sum"]), int(row["size"]))}
        for user, row in counts.iterrows()
    ]
    people.sort(key=lambda line: (-line["rate"], -line["decided"], line["owner"]["id"]))
    return {
        "since": date_of(to_timestamp(since_us)),
        "all": _rate(won, total) if total else None,
        "people": people,
        "without_owner": int(decided["owner"].lt(0).sum()),
    }


def _rate(won: int, decided: int) -> Fact:
    low, high = wilson_interval(won, decided)
    return {"won": won, "decided": decided, "rate": won / decided, "low": low, "high": high}
