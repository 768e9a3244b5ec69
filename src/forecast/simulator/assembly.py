"""From drawn arrays to contract tables: names for numbers, text for values, one log in order of recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.arrays import Bools, Ints, Texts
from forecast.simulator import process
from forecast.simulator.calendar import NEVER_US
from forecast.simulator.cohort import Cohort, Customers
from forecast.simulator.company import OPERATIONS, REPORTING, Company
from forecast.simulator.evidence import sort_key
from forecast.simulator.leads import Leads
from forecast.simulator.paths import Paths
from forecast.simulator.writing import Activities, Written

__all__ = ["Log", "as_dates", "as_texts", "assemble", "make_log"]

_PIPELINE: Final = "sales"
_DISQUALIFIED: Final = ("no budget", "no answer", "not our market")


@dataclass(frozen=True)
class Log:
    """All changes of all fields before the end, ordered by recording; `value` holds the text of the table."""

    deal: Ints
    moment_us: Ints
    field: Texts
    value: Texts
    actor: Texts


def _names(count: int, prefix: str) -> Texts:
    """`D-00001` and so on; as many digits as the last one needs, at least five."""
    width = max(5, len(str(count)))
    return np.array([f"{prefix}-{number:0{width}d}" for number in range(1, count + 1)], object)


def as_texts(values: NDArray[Any]) -> Texts:
    """Whole numbers as text."""
    distinct, position = np.unique(values.astype(np.int64), return_inverse=True)
    texts: Texts = distinct.astype(str).astype(object)
    return texts[position]


def as_dates(days: Ints) -> Texts:
    """Days since 1970 as ISO dates."""
    distinct, position = np.unique(days, return_inverse=True)
    texts: Texts = distinct.astype("datetime64[D]").astype(str).astype(object)
    return texts[position]


def make_log(
    cohort: Cohort,
    paths: Paths,
    onboarding: Written,
    fields: dict[str, Written],
    owner: Written,
    company: Company,
    end_us: int,
) -> Log:
    """Merge the changes of all fields; values of `fields` are text already, `onboarding` is a stage."""
    stage_name = np.array(process.STAGES, object)
    login = company.users["user_id"].to_numpy(object)
    manager = company.users["manager_id"].to_numpy(object)[company.seller_row]
    seller_login = login[company.seller_row]

    n = len(cohort)
    stages = Written(
        np.concatenate([np.arange(n), paths.move_deal, onboarding.deal]),
        np.concatenate([cohort.created_us, paths.move_us, onboarding.moment_us]),
        np.concatenate([cohort.first_stage, paths.move_to, onboarding.value]),
    )
    cleaned = np.concatenate([np.zeros(n, bool), paths.move_cleaned, np.zeros(len(onboarding.deal), bool)])

    owner_order = np.argsort(sort_key(owner.deal, owner.moment_us), kind="stable")
    owner_key = sort_key(owner.deal, owner.moment_us)[owner_order]
    owner_value = owner.value[owner_order]

    def actor_of(change: Written) -> Texts:
        position = np.searchsorted(owner_key, sort_key(change.deal, change.moment_us), side="right") - 1
        names: Texts = seller_login[owner_value[position]]
        return names

    stage_actor = np.where(cleaned, OPERATIONS, actor_of(stages))
    given = owner.moment_us > cohort.created_us[owner.deal]
    owner_actor = np.where(given, manager[owner.value], seller_login[owner.value])
    parts: list[tuple[str, Written, Texts]] = [
        ("stage", Written(stages.deal, stages.moment_us, stage_name[stages.value]), stage_actor),
        ("owner_id", Written(owner.deal, owner.moment_us, seller_login[owner.value]), owner_actor),
    ]
    parts += [(name, change, actor_of(change)) for name, change in fields.items()]

    deal = np.concatenate([change.deal for _, change, _ in parts])
    moment_us = np.concatenate([change.moment_us for _, change, _ in parts])
    field = np.repeat(np.array([name for name, _, _ in parts], object), [len(c.deal) for _, c, _ in parts])
    value = np.concatenate([change.value.astype(object) for _, change, _ in parts])
    actor = np.concatenate([each.astype(object) for _, _, each in parts])
    order = np.lexsort((deal, moment_us))  # stable: at the same moment the stage comes first
    order = order[moment_us[order] < end_us]
    return Log(deal[order], moment_us[order], field[order], value[order], actor[order])


def _moments(moment_us: Ints) -> pd.DatetimeIndex:
    """UTC timestamps; NEVER_US is unknown."""
    known = pd.DatetimeIndex(
        np.where(moment_us == NEVER_US, np.iinfo(np.int64).min, moment_us).view("M8[us]")
    )
    return known.tz_localize("UTC")


def _or_none(known: Bools, texts: Texts) -> Texts:
    """The texts where known, None elsewhere."""
    kept = texts.copy()
    kept[~known] = None
    return kept


def _latest(log: Log, name: str, deals: int) -> Texts:
    """Each deal's last value of a field, None where it has none."""
    rows = np.flatnonzero(log.field == name)
    last = np.full(deals, None, object)
    last[log.deal[rows]] = log.value[rows]  # the log is in order: the last assignment stays
    return last


def assemble(
    cohort: Cohort,
    customers: Customers,
    company: Company,
    log: Log,
    done: Activities,
    leads: Leads,
    quotas: pd.DataFrame,
    rates: pd.DataFrame,
    known_size: Bools,
    end_us: int,
) -> dict[str, pd.DataFrame]:
    """The eight contract tables; the current columns of deals are the last values of the log."""
    n = len(cohort)
    deal_id, lead_id = _names(n, "D"), _names(len(leads.created_us), "L")
    accounts = max(int(leads.account.max(initial=0)), int(cohort.account.max())) + 1
    account_id = _names(accounts, "A")
    login = company.users["user_id"].to_numpy(object)[company.seller_row]
    source = np.array(process.SOURCES, object)
    industry = np.array(process.INDUSTRIES, object)
    values = np.array([*map(float, process.BANT_VALUES), np.nan])
    reasons = np.array(_DISQUALIFIED, object)

    deals = pd.DataFrame(
        {
            "deal_id": deal_id,
            "pipeline": _PIPELINE,
            "motion": np.array(process.MOTIONS, object)[cohort.motion],
            "created_at": _moments(cohort.created_us),
            "account_id": account_id[cohort.account],
            "source": source[cohort.source],
            "owner_id": _latest(log, "owner_id", n),
            "amount": _latest(log, "amount", n).astype(np.float64),
            "currency": np.where(customers.dollars[cohort.account], "USD", REPORTING).astype(object),
            "expected_close_on": pd.DatetimeIndex(_latest(log, "expected_close_on", n).astype("M8[us]")),
            "forecast_category": _latest(log, "forecast_category", n),
            **{name: _latest(log, name, n).astype(np.float64) for name in process.BANT},
            "industry": industry[customers.industry[cohort.account]],
            "employees": _or_none(known_size, as_texts(customers.employees[cohort.account])),
        }
    )
    deal_events = pd.DataFrame(
        {
            "deal_id": deal_id[log.deal],
            "recorded_at": _moments(log.moment_us),
            "field": log.field,
            "value": log.value,
            "actor": log.actor,
        }
    )
    lead_frame = pd.DataFrame(
        {
            "lead_id": lead_id,
            "created_at": _moments(leads.created_us),
            "source": source[leads.source],
            "owner_id": login[leads.seller],
            "account_id": account_id[leads.account],
            **{name: values[leads.answer[:, i]] for i, name in enumerate(process.BANT)},
            "converted_at": _moments(leads.converted_us),
            "deal_id": _or_none(leads.deal >= 0, deal_id[leads.deal]),
            "disqualified_at": _moments(leads.disqualified_us),
            # Filled by ruling out and by nothing else: what the field policy has to find out.
            "disqualified_reason": _or_none(leads.reason >= 0, reasons[leads.reason]),
        }
    )
    kinds = np.array(process.ACTIVITY_KINDS, object)
    early = done.moment_us < end_us
    of_lead = leads.activity_us < end_us
    none = np.full(int(early.sum()), None, object), np.full(int(of_lead.sum()), None, object)
    at_us = np.concatenate([done.moment_us[early], leads.activity_us[of_lead]])
    order = np.argsort(at_us, kind="stable")
    activities = pd.DataFrame(
        {
            "deal_id": np.concatenate([deal_id[done.deal[early]], none[1]])[order],
            "lead_id": np.concatenate([none[0], lead_id[leads.activity_lead[of_lead]]])[order],
            "occurred_at": _moments(at_us[order]),
            "kind": kinds[np.concatenate([done.kind[early], leads.activity_kind[of_lead]])][order],
            "direction": np.concatenate(
                [
                    np.array(["out", "in", None], object)[done.direction[early]],
                    np.where(leads.activity_inbound[of_lead], "in", "out").astype(object),
                ]
            )[order],
        }
    )
    stages = pd.DataFrame(
        process.STAGE_ROWS, columns=["stage", "position", "kind", "default_probability", "label"]
    )
    stages.insert(0, "pipeline", _PIPELINE)
    return {
        "stages": stages,
        "deals": deals,
        "deal_events": deal_events,
        "activities": activities,
        "users": company.users,
        "quotas": quotas,
        "leads": lead_frame,
        "fx_rates": rates,
    }
