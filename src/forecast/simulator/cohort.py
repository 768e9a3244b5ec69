"""What is fixed when a deal is created: who, where from, how much, and the hidden quality."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator import process
from forecast.simulator.calendar import Clock
from forecast.simulator.company import TEAMS, Company, rate_at

__all__ = ["GROWTH_PER_YEAR", "Cohort", "Customers", "draw", "follow_on", "make_customers", "new_business"]

# Business grows by a seventh a year.
GROWTH_PER_YEAR: Final = 0.14


@dataclass(frozen=True)
class Cohort:
    """Deals as at their creation, one row each; integers index the vocabularies of `process`."""

    created_us: Ints
    motion: Ints
    source: Ints
    account: Ints
    seller: Ints
    amount: Floats  # in the deal's currency
    rate: Floats  # euros per unit of that currency when the deal was created
    first_stage: Ints
    quality: Ints  # hidden

    def __len__(self) -> int:
        return len(self.created_us)

    def take(self, rows: Ints | slice) -> Cohort:
        """Some of the deals, in that order."""
        return Cohort(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @staticmethod
    def concat(parts: list[Cohort]) -> Cohort:
        """One cohort of all, in order."""
        return Cohort(
            **{
                field.name: np.concatenate([getattr(p, field.name) for p in parts])
                for field in fields(Cohort)
            }
        )


@dataclass(frozen=True)
class Customers:
    """Accounts, one row each."""

    team: Ints
    industry: Ints
    employees: Ints
    dollars: Bools


@dataclass(frozen=True)
class Effects:
    """What is recorded at creation, as effects on the log rates; (n,) each."""

    progress: Floats
    win: Floats
    lose: Floats


def effects(cohort: Cohort, customers: Customers, company: Company) -> Effects:
    """The log-linear part of the process; a deal keeps the skill of the seller who opened it."""
    industry = customers.industry[cohort.account]
    skill = company.skill[cohort.seller]
    size = np.log(cohort.amount * cohort.rate / process.TYPICAL_AMOUNT)
    return Effects(
        progress=process.INDUSTRY_PROGRESS[industry]
        + process.MOTION_PROGRESS[cohort.motion]
        + process.SKILL_PROGRESS * skill
        + process.AMOUNT_PROGRESS * size,
        win=process.INDUSTRY_WIN[industry]
        + process.SOURCE_WIN[cohort.source]
        + process.MOTION_WIN[cohort.motion]
        + process.SKILL_WIN * skill
        + process.AMOUNT_WIN * size,
        lose=process.SOURCE_LOSE[cohort.source]
        + process.MOTION_LOSE[cohort.motion]
        + process.SKILL_LOSE * skill,
    )


def draw(shares: Floats, rng: np.random.Generator) -> Ints:
    """One category for each row of probabilities (n, k)."""
    edges = np.cumsum(shares, axis=1)
    drawn = (rng.random(len(shares))[:, None] > edges).sum(axis=1)
    chosen: Ints = np.minimum(drawn, shares.shape[1] - 1)
    return chosen


def make_customers(n: int, rng: np.random.Generator) -> Customers:
    """`n` accounts."""
    team = rng.choice(len(TEAMS), n, p=[team.share for team in TEAMS])
    return Customers(
        team=team,
        industry=rng.choice(len(process.INDUSTRIES), n, p=process.INDUSTRY_SHARE),
        employees=np.maximum(2, np.round(np.exp(rng.normal(4.6, 1.1, n)))).astype(np.int64),
        dollars=rng.random(n) < np.array([team.dollar_share for team in TEAMS])[team],
    )


def _amounts(customers: Customers, account: Ints, scale: Floats, rng: np.random.Generator) -> Floats:
    """Amounts asked at creation: larger for larger accounts, whole hundreds."""
    size = (np.log(customers.employees[account]) - 4.6) / 1.1
    raw = process.TYPICAL_AMOUNT * scale * np.exp(0.35 * size + rng.normal(0.0, 0.6, len(account)))
    return np.maximum(500.0, np.round(raw / 100) * 100)


def new_business(
    n: int,
    customers: Customers,
    company: Company,
    rates: pd.DataFrame,
    office: Clock,
    end_us: int,
    rng: np.random.Generator,
) -> Cohort:
    """`n` deals won by looking for them, in the order of creation; business grows by a seventh a year."""
    total = office.elapsed(np.array([end_us]))[0]
    growth = GROWTH_PER_YEAR * total / 365.25
    share = np.sort(rng.random(n))
    # Inverse of the distribution with density proportional to exp(growth * x) on [0, 1].
    position = np.log1p(share * np.expm1(growth)) / growth
    created_us = np.minimum(office.moment(position * total * (1 - 1e-9)), end_us - 1)

    # Three deals in four are of a new account, the others of one met before.
    fresh = rng.random(n) < 0.75
    fresh[:1] = True
    known = np.cumsum(fresh)
    account = np.where(fresh, known - 1, (rng.random(n) * known).astype(np.int64))
    source = rng.choice(len(process.NEW_SOURCE_SHARE), n, p=process.NEW_SOURCE_SHARE)
    return Cohort(
        created_us=created_us,
        motion=np.zeros(n, np.int64),
        source=source,
        account=account,
        seller=company.assign(customers.team[account], created_us, rng),
        amount=_amounts(customers, account, np.ones(n), rng),
        rate=rate_at(rates, customers.dollars[account], created_us),
        first_stage=draw(process.FIRST_STAGE[np.zeros(n, np.int64)], rng),
        quality=draw(process.QUALITY_BY_SOURCE[source], rng),
    )


def follow_on(
    won: Cohort,
    won_us: Ints,
    customers: Customers,
    company: Company,
    rates: pd.DataFrame,
    office: Clock,
    end_us: int,
    rng: np.random.Generator,
) -> tuple[Cohort, Ints]:
    """Renewals and expansions after wins, and the row of the win of each.

    A renewal opens about 90 days before the year runs out. Only deals created before `end_us` are returned.
    Their quality does not depend on the parent's: what was recorded of the parent tells nothing about the
    child that its motion does not.
    """
    parts, after = [], []
    for motion, share, wait_days, scale in (
        (1, 0.62, 275 + rng.normal(0.0, 8.0, len(won)), rng.normal(0.03, 0.08, len(won))),
        (2, 0.30, 30 + rng.exponential(200.0, len(won)), rng.normal(-0.9, 0.4, len(won))),
    ):
        chosen = np.flatnonzero(rng.random(len(won)) < share)
        parent = won.take(chosen)
        due_us = won_us[chosen] + (wait_days[chosen] * DAY_US).astype(np.int64)
        # Opened in office hours of the next working moment.
        created_us = office.moment(office.elapsed(due_us) + rng.uniform(0.0, 0.5, len(chosen)))
        n = len(chosen)
        source = np.full(n, process.SOURCES.index("existing"))
        kept = np.flatnonzero(created_us < end_us)
        created_us = np.where(created_us < end_us, created_us, end_us - 1)
        heir = company.assign(customers.team[parent.account], created_us, rng)
        cohort = Cohort(
            created_us=created_us,
            motion=np.full(n, motion),
            source=source,
            account=parent.account,
            seller=np.where(company.employed(parent.seller, created_us), parent.seller, heir),
            amount=np.maximum(500.0, np.round(parent.amount * np.exp(scale[chosen]) / 100) * 100),
            rate=rate_at(rates, customers.dollars[parent.account], created_us),
            first_stage=draw(process.FIRST_STAGE[np.full(n, motion)], rng),
            quality=draw(process.QUALITY_BY_SOURCE[source], rng),
        )
        parts.append(cohort.take(kept))
        after.append(chosen[kept])
    return Cohort.concat(parts), np.concatenate(after)
