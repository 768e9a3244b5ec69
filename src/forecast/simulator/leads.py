"""Leads: contacts before they are deals. Some become one, some are ruled out, the rest are still waiting.

A lead has a hidden quality of its own, drawn at its creation from its source. It sets how fast the lead is
converted or ruled out, what it answered on the first form, and how it and the seller talk. It is *not* the
quality of the deal the lead becomes: that one is drawn anew from the source. So what is recorded of a lead
tells nothing about how its deal will end that its source does not, and the truth about deals needs no leads.

Deals come first in this simulator, so leads are laid behind them in a way that leaves forward time exact.
Leads of a source arrive as a Poisson process that grows like the business; each is converted at rate c and
ruled out at rate d by its quality, on the clock `touch`. Read backwards (an M/G/infinity queue):

- conversions are a Poisson process of the same growth, and given one, quality has weight
  pi * c / (c + d + growth) and the wait behind it is exponential with rate c + d + growth;
- arrivals that are not converted before the end are another, independent one: arrivals, less those that are.

The first are attached to new deals, the second drawn by themselves; a lead from before the start is left out.
Source: Eick, Massey and Whitt 1993, The physics of the M_t/G/infinity queue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator import process
from forecast.simulator.calendar import NEVER_US, Clock
from forecast.simulator.cohort import GROWTH_PER_YEAR, Cohort, Customers, draw
from forecast.simulator.company import TEAMS, Company

__all__ = ["ACTIVITY_RATE", "ANSWERS", "CHATTY_DAYS", "CONVERT_RATE", "DISQUALIFY_RATE", "INBOUND_SHARE",
           "QUALITIES", "QUALITY_BY_SOURCE", "Leads", "make_leads"]  # fmt: skip

QUALITIES: Final = ("idle", "cold", "warm", "hot")
# Share of new deals of each source that began as a lead (the last source is that of follow-on business).
_LEAD_SHARE: Final = np.array([0.80, 0.45, 0.35, 0.85, 0.40, 0.0])
# P(quality | source)
QUALITY_BY_SOURCE: Final = np.array(
    [
        [0.04, 0.40, 0.38, 0.18],  # inbound
        [0.07, 0.63, 0.24, 0.06],  # outbound
        [0.02, 0.22, 0.42, 0.34],  # referral
        [0.06, 0.52, 0.32, 0.10],  # event
        [0.04, 0.34, 0.40, 0.22],  # partner
        [0.04, 0.40, 0.38, 0.18],  # existing: no lead has it
    ]
)
# Per day of the clock `touch`; nobody looks after an idle lead.
CONVERT_RATE: Final = np.array([0.0, 0.0016, 0.013, 0.042])
DISQUALIFY_RATE: Final = np.array([0.0006, 0.021, 0.011, 0.004])
# Answers on the first form: P(answered), alike for all, and P(value | quality), values of process.BANT_VALUES.
_ANSWERED: Final = np.array([0.34, 0.28, 0.46, 0.30])
ANSWERS: Final = np.array([[0.44, 0.34, 0.22], [0.46, 0.32, 0.22], [0.26, 0.36, 0.38], [0.12, 0.30, 0.58]])
# Activities in the first months, and P(inbound), by quality; later a lead is silent whatever it is.
ACTIVITY_RATE: Final = np.array([0.015, 0.050, 0.075, 0.110])
INBOUND_SHARE: Final = np.array([0.05, 0.14, 0.28, 0.42])
CHATTY_DAYS: Final = 120
_KIND_SHARE: Final = (0.38, 0.54, 0.08)
# A lead is of an account met before as often as a deal is.
_KNOWN_ACCOUNT: Final = 0.25
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True)
class Leads:
    """Leads in order of creation, (n,) each, and their activities, (m,) each.

    `deal` is -1 for a lead that did not become one, `answer` (n, 4) are codes into BANT_VALUES or -1, `reason`
    is a code into the reasons for ruling out or -1, and a moment is NEVER_US where the thing has not happened.
    `quality` is hidden. `activity_kind` are codes into process.ACTIVITY_KINDS.
    """

    created_us: Ints
    source: Ints
    seller: Ints
    account: Ints
    answer: Ints
    converted_us: Ints
    deal: Ints
    disqualified_us: Ints
    reason: Ints
    quality: Ints
    activity_lead: Ints
    activity_us: Ints
    activity_kind: Ints
    activity_inbound: Bools


def make_leads(
    cohort: Cohort,
    customers: Customers,
    company: Company,
    office: Clock,
    end_us: int,
    rng: np.random.Generator,
) -> Leads:
    """Leads before some of the new deals, and those that came to nothing."""
    growth = GROWTH_PER_YEAR / 365.25
    total = float(office.elapsed(np.array([end_us]))[0])
    new = np.flatnonzero(cohort.motion == 0)
    exits = CONVERT_RATE + DISQUALIFY_RATE

    # -- converted: a lead behind a deal
    deal = new[rng.random(len(new)) < _LEAD_SHARE[cohort.source[new]]]
    weight = QUALITY_BY_SOURCE * CONVERT_RATE / (exits + growth)
    chance = weight.sum(axis=1)  # that a lead of each source is converted, in the long run
    quality = draw(weight[cohort.source[deal]] / chance[cohort.source[deal], None], rng)
    wait = rng.exponential(1.0 / (exits[quality] + growth))
    begun = office.elapsed(cohort.created_us[deal]) - wait
    inside = begun >= 0.0
    deal, quality, begun = deal[inside], quality[inside], begun[inside]
    converted_us = cohort.created_us[deal]
    created_us = np.minimum(office.moment(begun), converted_us - _SECOND_US)

    # -- not converted before the end
    shares = np.array([*process.NEW_SOURCE_SHARE, 0.0])
    arrivals = rng.poisson(_LEAD_SHARE * shares * len(new) / np.maximum(chance, 1e-12))
    source = np.repeat(np.arange(len(shares)), arrivals)
    span = growth * total
    came = np.log1p(rng.random(len(source)) * np.expm1(span)) / growth
    idle_quality = draw(QUALITY_BY_SOURCE[source], rng)
    left = came + rng.exponential(1.0 / exits[idle_quality])
    converts = rng.random(len(source)) < (CONVERT_RATE / exits)[idle_quality]
    stays = ~(converts & (left < total))
    source, came, left = source[stays], came[stays], left[stays]
    idle_quality, converts = idle_quality[stays], converts[stays]
    dead_us = np.minimum(office.moment(came), end_us - _SECOND_US)
    out_us = np.maximum(office.moment(left), dead_us + _SECOND_US)
    out_us = np.where(~converts & (left < total) & (out_us < end_us), out_us, NEVER_US)
    account, team, seller_later = _as_if_converted(source, came, cohort, customers, company, office, rng)

    created = np.concatenate([created_us, dead_us])
    order = np.argsort(created, kind="stable")
    none = np.full(len(source), -1)
    never = np.full(len(source), NEVER_US)

    def both(of_converted: Ints, of_others: Ints) -> Ints:
        joined: Ints = np.concatenate([of_converted, of_others])[order]
        return joined

    created = created[order]
    quality = both(quality, idle_quality)
    converted_us, disqualified_us = both(converted_us, never), both(np.full(len(deal), NEVER_US), out_us)
    # A lead stays with the seller who later opens the deal, if that seller was here already.
    seller = both(cohort.seller[deal], seller_later)
    teams = both(customers.team[cohort.account[deal]], team)
    here = company.employed(seller, created)
    n = len(created)
    value = draw(ANSWERS[np.repeat(quality, 4)], rng).reshape(n, 4)
    lead, at_us = _activities(
        created, np.minimum(converted_us, disqualified_us), end_us, quality, office, rng
    )
    kinds = rng.choice(len(_KIND_SHARE), len(lead), p=_KIND_SHARE)
    return Leads(
        created_us=created,
        source=both(cohort.source[deal], source),
        seller=np.where(here, seller, company.assign(teams, created, rng)),
        account=both(cohort.account[deal], account),
        answer=np.where(rng.random((n, 4)) < _ANSWERED, value, -1),
        converted_us=converted_us,
        deal=both(deal, none),
        disqualified_us=disqualified_us,
        reason=np.where(disqualified_us < NEVER_US, rng.integers(0, 3, n), -1),
        quality=quality,
        activity_lead=lead,
        activity_us=at_us,
        activity_kind=kinds,
        activity_inbound=rng.random(len(lead)) < INBOUND_SHARE[quality[lead]],
    )


def _as_if_converted(
    source: Ints,
    came: Floats,
    cohort: Cohort,
    customers: Customers,
    company: Company,
    office: Clock,
    rng: np.random.Generator,
) -> tuple[Ints, Ints, Ints]:
    """(account, team, seller) of leads without a deal, drawn as they would be at a conversion.

    Else the account or the owner would tell which leads are converted, and the truth would have to know it.
    """
    n = len(source)
    exits = CONVERT_RATE + DISQUALIFY_RATE
    weight = QUALITY_BY_SOURCE[source] * CONVERT_RATE / exits
    wait = rng.exponential(1.0 / exits[draw(weight / weight.sum(axis=1, keepdims=True), rng)])
    later_us = office.moment(came + wait)
    new = np.flatnonzero(cohort.motion == 0)  # in order of creation
    met = np.maximum.accumulate(cohort.account[new]) + 1
    known = met[np.maximum(np.searchsorted(cohort.created_us[new], later_us) - 1, 0)]
    own = rng.random(n) >= _KNOWN_ACCOUNT
    # An account of its own lies beyond those of the deals.
    account = np.where(own, len(customers.team) + np.arange(n), (rng.random(n) * known).astype(np.int64))
    fresh_team = rng.choice(len(TEAMS), n, p=[team.share for team in TEAMS])
    team = np.where(own, fresh_team, customers.team[np.where(own, 0, account)])
    return account, team, company.assign(team, later_us, rng)


def _activities(
    created_us: Ints, left_us: Ints, end_us: int, quality: Ints, office: Clock, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """(lead, moment) of every activity, in order of the leads."""
    stop_us = np.minimum(np.minimum(left_us, end_us), created_us + CHATTY_DAYS * DAY_US)
    begin = office.elapsed(created_us)
    width = office.elapsed(stop_us) - begin
    lead = np.repeat(np.arange(len(created_us)), rng.poisson(ACTIVITY_RATE[quality] * width))
    at_us = office.moment(begin[lead] + width[lead] * rng.random(len(lead)) * (1 - 1e-9))
    return lead, np.maximum(at_us, created_us[lead])
