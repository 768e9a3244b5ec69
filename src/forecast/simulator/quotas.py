"""Quotas that can be reached, most of the time: what the company sold, smoothed, asked for and a bit more."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats, Ints
from forecast.periods import Period
from forecast.simulator.company import REPORTING, TEAMS, Company

__all__ = ["make_quotas"]

_STRETCH: Final = 1.07  # asked above what the trend says
_TEAM_RELIEF: Final = 0.95  # teams answer for a bit less than the sum of their sellers
_STEP: Final = 500.0


def make_quotas(
    company: Company,
    bookings: Floats,
    seller_bookings: Floats,
    quarters: list[Period],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Quotas of users, teams, regions and the company for every quarter, the two coming ones included.

    bookings : (n_past,) of the company in reporting currency, for the first n_past of `quarters`.
    seller_bookings : (n_sellers,) over the whole past.
    """
    n_past = len(bookings)
    trend = _trend(bookings, len(quarters))
    asked = trend * _STRETCH * np.exp(rng.normal(0.0, 0.06, len(quarters)))
    start_us: Ints = np.array([quarter.start_us for quarter in quarters])
    end_us: Ints = np.array([quarter.end_us for quarter in quarters])

    # A seller's share: half what they sold per quarter of service, half an equal share.
    served = np.minimum(company.left_us[:, None], end_us) - np.maximum(company.hired_us[:, None], start_us)
    served = np.clip(served / (end_us - start_us), 0.0, 1.0)
    pace = seller_bookings / np.maximum(served[:, :n_past].sum(axis=1), 0.5)
    weight = (0.5 * pace + 0.5 * pace.mean() + 1.0)[:, None] * served * (served > 0.3)
    user = asked * weight / weight.sum(axis=0) * np.exp(rng.normal(0.0, 0.06, weight.shape))
    user = np.round(user / _STEP) * _STEP

    login = company.users["user_id"].to_numpy()[company.seller_row]
    rows: list[tuple[str, str, str, float]] = []
    for number, quarter in enumerate(quarters):
        here = user[:, number]
        rows += [("user", str(login[i]), quarter.label, here[i]) for i in np.flatnonzero(here > 0)]
        teams = [
            round(here[company.team == t].sum() * _TEAM_RELIEF / _STEP) * _STEP for t in range(len(TEAMS))
        ]
        rows += [
            ("team", team.name, quarter.label, amount) for team, amount in zip(TEAMS, teams, strict=True)
        ]
        for region in dict.fromkeys(team.region for team in TEAMS):
            amount = sum(a for team, a in zip(TEAMS, teams, strict=True) if team.region == region)
            rows.append(("region", region, quarter.label, amount))
        rows.append(("company", "*", quarter.label, sum(teams)))
    frame = pd.DataFrame(rows, columns=["level", "entity", "period", "amount"])
    return frame.assign(currency=REPORTING)


def _trend(bookings: Floats, length: int) -> Floats:
    """Bookings smoothed over three quarters, with last year's season and growth carried into the future.

    The first year of a young company books nearly nothing at first: its quotas follow.
    """
    n = len(bookings)
    if not n:
        return np.full(length, _STEP)
    padded = np.pad(bookings, 1, mode="edge")
    smooth = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4
    # The coming quarters: last year's level and growth, and a third of last year's season.
    last_year = bookings[-4:]
    level = float(last_year.mean())
    growth = float(np.clip(level / max(bookings[-8:-4].mean(), 1.0), 0.95, 1.05)) if n >= 8 else 1.0
    season = (last_year / level) ** (1 / 3) if n >= 8 and (last_year > 0).all() else np.ones(4)
    later = [level * growth * season[ahead % 4] for ahead in range(length - n)]
    trend: Floats = np.maximum(np.concatenate([smooth, later]), _STEP * 4)
    return trend
