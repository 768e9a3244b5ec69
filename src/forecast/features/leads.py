"""The builder of features of leads, for all landmarks of a training and for one lead of a request.

A lead has no history of fields: besides its activities there is what came before it (its owner's and its
source's leads, its account's deals) and a snapshot of columns, see `lead_policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features.builder import FeatureMatrix
from forecast.features.registry import LEADS
from forecast.history import DatedRecords, FrozenRecords, History, TrackRecords
from forecast.history.columns import ACTIVITY, ACTIVITY_IN, BANT, FIELDS, MEETING, Vocabulary
from forecast.periods import DAY_US

__all__ = ["Customers", "DatedCustomers", "FrozenCustomers", "build_leads"]

# Leads have one open stage. It is no feature, but the rung of cells asks for it.
_NAMES: Final = ("stage", *(spec.name for spec in LEADS))
_ROW: Final = {name: row for row, name in enumerate(_NAMES)}
_BLOCK: Final = 65_536
_WINDOWS_DAYS: Final = (7, 14, 30, 90)
# (field, moment) pairs looked up: moment 0 is now, 1.. are the starts of the windows.
_ASKED: Final = np.array(
    [
        *((ACTIVITY, moment) for moment in range(5)),
        *((ACTIVITY_IN, moment) for moment in (0, 3)),
        *((MEETING, moment) for moment in (0, 4)),
    ]
)


class Customers(Protocol):
    """Deals closed with an account before a moment, and wins above the usual."""

    def counts(self, account: Ints, at_us: Ints) -> tuple[Floats, Floats]:
        """(closed, wins above) of accounts given by their codes among the leads; 0 for an unknown one (-1)."""
        ...


@dataclass(frozen=True)
class DatedCustomers:
    """Deals closed with each account as they stood at any moment: what training reads.

    place : (A + 1,) code among the deals of each account of the leads; the last serves code -1
    """

    records: DatedRecords
    deals: History
    place: Ints

    @classmethod
    def of(cls, deals: History, leads: History, records: DatedRecords | None = None) -> DatedCustomers:
        """Line the accounts of leads up with those of deals."""
        codes = _codes_among(deals.vocabulary("account_id"), leads.vocabulary("account_id"))
        return cls(DatedRecords.of(deals) if records is None else records, deals, codes)

    def counts(self, account: Ints, at_us: Ints) -> tuple[Floats, Floats]:
        return self.records.counts("account", self.place[account], self.deals.clock.rank(at_us))


@dataclass(frozen=True)
class FrozenCustomers:
    """Deals closed with each account as of the training date: what scoring reads.

    rows : (A + 1, 2) closed and wins above by code of the account among the leads; the last serves code -1
    """

    rows: Floats

    @classmethod
    def of(cls, records: FrozenRecords, leads: History) -> FrozenCustomers:
        """Line the frozen records of deals up with the accounts of leads."""
        known = records.tables["account"]
        found = [known.get(text, (0.0, 0.0)) for text in leads.vocabulary("account_id").texts]
        return cls(np.array([*found, (0.0, 0.0)]))

    def counts(self, account: Ints, at_us: Ints) -> tuple[Floats, Floats]:  # noqa: ARG002  (frozen)
        return self.rows[account, 0], self.rows[account, 1]


def build_leads(
    history: History, lead: Ints, at_us: Ints, records: TrackRecords, customers: Customers
) -> FeatureMatrix:
    """Features of leads as known before given moments.

    history : the past of all leads asked about, see `forecast.history.leads`
    lead : (n,) indices of leads already known at `at_us`
    at_us : (n,) moments; only entries recorded before them are read
    records : track records of conversions by owner and source (dated for training, frozen for scoring)
    customers : the deals of the leads' accounts
    """
    lead, at_us = np.asarray(lead, np.int64), np.asarray(at_us, np.int64)
    names = (*_NAMES, *(f"custom:{name}" for name in history.columns.custom))
    values = np.empty((len(names), len(lead)))
    for start in range(0, len(lead), _BLOCK):
        rows = slice(start, start + _BLOCK)
        _fill(history, lead[rows], at_us[rows], records, customers, values[:, rows])
    return FeatureMatrix(names, values, history)


def _fill(
    history: History, lead: Ints, at_us: Ints, records: TrackRecords, customers: Customers, out: Floats
) -> None:
    """Fill (F, n) features of one block of rows."""
    columns = history.columns
    fields = len(history.fields)
    created_us = columns.created_at_us[lead]
    moments = np.concatenate((at_us[None, :], at_us - np.array(_WINDOWS_DAYS)[:, None] * DAY_US))
    rank = history.clock.rank(moments)
    end = history.index.end(lead * fields + _ASKED[:, :1], rank[_ASKED[:, 1]])
    out[_ROW["stage"]] = 0.0
    out[_ROW["lead_age_days"]] = np.maximum(at_us - created_us, 0) / DAY_US
    out[_ROW["activities_7d"] : _ROW["activities_90d"] + 1] = end[0] - end[1:5]
    out[_ROW["inbound_30d"]] = end[5] - end[6]
    out[_ROW["inbound_all"]] = end[5] - history.index.starts[lead * fields + ACTIVITY_IN]
    out[_ROW["meetings_90d"]] = end[7] - end[8]
    talked = end[0] > history.index.starts[lead * fields + ACTIVITY]
    last_us = np.where(talked, history.at_us[end[0] - 1], created_us)
    out[_ROW["silence_days"]] = np.maximum(at_us - np.maximum(last_us, created_us), 0) / DAY_US

    for kind, code in (("owner", columns.owner[lead]), ("source", columns.source[lead])):
        left, above = records.counts(kind, code, rank[0])
        # As for deals, the difference to the company's rate: a plain rate would stand for the date.
        out[_ROW[f"{kind}_conversion_edge"]] = above / (left + records.dilution[kind])
    closed, above = customers.counts(columns.account[lead], at_us)
    out[_ROW["account_edge"]] = above / (closed + records.dilution["account"])
    out[_ROW["account_closed"]] = closed

    # The snapshot stands at the lead's first moment, see `forecast.history.leads`.
    for row, field in enumerate(BANT, start=_ROW["budget"]):
        out[row] = history.last(lead, field, at_us)
    out[_ROW["source"]] = np.where(columns.source[lead] < 0, np.nan, columns.source[lead])
    for place in range(len(columns.custom)):
        out[len(_NAMES) + place] = history.last(lead, len(FIELDS) + place, at_us)


def _codes_among(those: Vocabulary, these: Vocabulary) -> Ints:
    """(len(these) + 1,) code of each of these texts among those, -1 where unknown; the last serves code -1."""
    return np.array([*(those.places.get(text, -1) for text in these.texts), -1], dtype=np.int64)
