"""Leads: contacts before they are deals. Some become one, some are ruled out, the rest are still waiting.

What is recorded of a lead is independent of the quality of the deal it became: a lead's answers and calls
tell whether it converts, not how its deal will end, so the truth about deals needs no leads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from forecast.arrays import Ints
from forecast.periods import DAY_US
from forecast.simulator.calendar import NEVER_US, Clock
from forecast.simulator.cohort import Cohort, Customers
from forecast.simulator.company import Company

__all__ = ["Leads", "make_leads"]

# Share of new deals of each source that began as a lead.
_LEAD_SHARE: Final = np.array([0.80, 0.45, 0.35, 0.85, 0.40, 0.0])
_DEAD_SOURCE: Final = (0.42, 0.30, 0.05, 0.18, 0.05)
_DEAD_PER_CONVERTED: Final = 1.35
_DISQUALIFIED: Final = 0.72
# P(answered by now), and P(value | answered) in [converted, value]
_ANSWERED: Final = np.array([[0.14, 0.10, 0.26, 0.12], [0.30, 0.34, 0.52, 0.30]])
_VALUE: Final = np.array([[0.46, 0.30, 0.24], [0.16, 0.32, 0.52]])


@dataclass(frozen=True)
class Leads:
    """Leads in order of creation, (n,) each, and their activities, (m,) each.

    `deal` is -1 for a lead that did not become one, `answer` (n, 4) are codes into BANT_VALUES or -1, and a
    moment is NEVER_US where the thing has not happened.
    """

    created_us: Ints
    source: Ints
    seller: Ints
    account: Ints
    answer: Ints
    converted_us: Ints
    deal: Ints
    disqualified_us: Ints
    activity_lead: Ints
    activity_us: Ints


def make_leads(
    cohort: Cohort,
    customers: Customers,
    company: Company,
    office: Clock,
    start_us: int,
    end_us: int,
    rng: np.random.Generator,
) -> Leads:
    """Leads before some of the new deals, and those that came to nothing."""
    new = np.flatnonzero(cohort.motion == 0)
    first_of_account = np.zeros(len(cohort), bool)
    first_of_account[np.unique(cohort.account, return_index=True)[1]] = True
    deal = new[(rng.random(len(new)) < _LEAD_SHARE[cohort.source[new]]) & first_of_account[new]]
    converted_us = cohort.created_us[deal]
    wait_days = np.exp(rng.normal(2.5, 0.9, len(deal)))
    begun_us = converted_us - (wait_days * DAY_US).astype(np.int64)
    early_us = np.minimum(office.moment(office.elapsed(begun_us)), converted_us - 1_000_000)
    created_us = np.maximum(early_us, start_us)
    kept = created_us < converted_us
    deal, converted_us, created_us = deal[kept], converted_us[kept], created_us[kept]

    n_dead = int(_DEAD_PER_CONVERTED * len(deal))
    total = office.elapsed(np.array([end_us]))[0]
    dead_us = office.moment(total * rng.random(n_dead) ** 0.85)
    out_us = dead_us + (np.exp(rng.normal(3.0, 0.8, n_dead)) * DAY_US).astype(np.int64)
    out_us = office.moment(office.elapsed(out_us) + 1e-6)
    ruled_out = (rng.random(n_dead) < _DISQUALIFIED) & (out_us < end_us)
    # A lead that came to nothing has an account of its own, beyond those of the deals.
    account = np.concatenate([cohort.account[deal], len(customers.team) + np.arange(n_dead)])
    team = np.concatenate([customers.team[cohort.account[deal]], rng.choice(customers.team, n_dead)])

    became = np.concatenate([np.ones(len(deal), np.int64), np.zeros(n_dead, np.int64)])
    n = len(became)
    edges = np.cumsum(_VALUE, axis=1)[became]
    value = np.minimum((rng.random((n, 4))[:, :, None] > edges[:, None, :]).sum(axis=2), 2)
    answer = np.where(rng.random((n, 4)) < _ANSWERED[became], value, -1)
    all_created = np.concatenate([created_us, dead_us])
    order = np.argsort(all_created, kind="stable")
    all_created = all_created[order]
    stop_us = np.concatenate([converted_us, np.where(ruled_out, out_us, end_us)])[order]
    stop_us = np.minimum(stop_us, all_created + 90 * DAY_US)

    width = office.elapsed(stop_us) - office.elapsed(all_created)
    lead = np.repeat(np.arange(n), rng.poisson(np.where(became[order] == 1, 0.12, 0.04) * width))
    at_us = office.moment(
        office.elapsed(all_created[lead]) + width[lead] * rng.random(len(lead)) * (1 - 1e-9)
    )
    none = np.full(n_dead, -1)
    # A lead stays with the seller who later opens the deal, if that seller was here already.
    seller = np.concatenate([cohort.seller[deal], np.zeros(n_dead, np.int64)])[order]
    stays = (became[order] == 1) & company.employed(seller, all_created)
    return Leads(
        created_us=all_created,
        source=np.concatenate([cohort.source[deal], rng.choice(len(_DEAD_SOURCE), n_dead, p=_DEAD_SOURCE)])[
            order
        ],
        seller=np.where(stays, seller, company.assign(team[order], all_created, rng)),
        account=account[order],
        answer=answer[order],
        converted_us=np.concatenate([converted_us, np.full(n_dead, NEVER_US)])[order],
        deal=np.concatenate([deal, none])[order],
        disqualified_us=np.concatenate([np.full(len(deal), NEVER_US), np.where(ruled_out, out_us, NEVER_US)])[
            order
        ],
        activity_lead=lead,
        activity_us=at_us,
    )
