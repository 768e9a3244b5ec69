"""The exact probability that a lead is converted, given what was recorded of it: no sampling anywhere.

Under each hidden quality everything recorded of a lead is independent: the answers of its first form, the
time it has waited without being converted or ruled out, its activities and the silence between them. Their
product, times the share of that quality among leads of its source, is P(quality | recorded before as_of).
From then on both exits run at constant rates on one clock, so with E the clock time until the horizon

    P(converted within it) = sum over qualities of P(quality) * c / (c + d) * (1 - exp(-(c + d) E)).

Answers count from the lead's creation, a conversion or an activity from its own moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from forecast.arrays import Bools, Floats, Ints
from forecast.periods import DAY_US
from forecast.simulator import leads as rules
from forecast.simulator.calendar import Clock
from forecast.simulator.evidence import safe_log, sort_key
from forecast.simulator.leads import Leads

__all__ = ["LeadTruth"]


@dataclass(frozen=True)
class LeadTruth:
    """Everything needed to answer; leads are numbered as in `leads`, `clock` is the one they live on."""

    leads: Leads
    clock: Clock

    def is_open(self, lead: Ints, as_of_us: Ints) -> Bools:
        """(n,) whether each lead was known, and neither converted nor ruled out, before its moment."""
        leads = self.leads
        gone_us = np.minimum(leads.converted_us, leads.disqualified_us)
        known: Bools = (leads.created_us[lead] < as_of_us) & (gone_us[lead] >= as_of_us)
        return known

    @cached_property
    def _start(self) -> Floats:
        """(n, qualities) log prior by source, and log-likelihood of the answers on the first form."""
        log = safe_log(rules.QUALITY_BY_SOURCE)[self.leads.source]
        said = safe_log(rules.ANSWERS).T[self.leads.answer]  # (n, questions, qualities)
        start: Floats = log + np.where((self.leads.answer >= 0)[:, :, None], said, 0.0).sum(axis=1)
        return start

    @cached_property
    def _talk(self) -> tuple[Ints, Ints, Ints]:
        """Sort keys of all activities by lead and moment; how many up to each are inbound, and outbound."""
        leads = self.leads
        key = sort_key(leads.activity_lead, leads.activity_us)
        order = np.argsort(key, kind="stable")
        inbound = leads.activity_inbound[order]
        return (
            key[order],
            np.concatenate(([0], np.cumsum(inbound))),
            np.concatenate(([0], np.cumsum(~inbound))),
        )

    def quality(self, lead: Ints, as_of_us: Ints) -> Floats:
        """P(quality | recorded before as_of) of open leads, (n, qualities), rows sum to one."""
        key, inbound, outbound = self._talk
        begin, end = np.searchsorted(key, lead << 32), np.searchsorted(key, sort_key(lead, as_of_us))
        rate = rules.ACTIVITY_RATE
        log_in, log_out = np.log(rate * rules.INBOUND_SHARE), np.log(rate * (1.0 - rules.INBOUND_SHARE))
        created_us = self.leads.created_us[lead]
        begun = self.clock.elapsed(created_us)
        waited = self.clock.elapsed(as_of_us) - begun
        talked = self.clock.elapsed(np.minimum(as_of_us, created_us + rules.CHATTY_DAYS * DAY_US)) - begun
        log = (
            self._start[lead]
            + (inbound[end] - inbound[begin])[:, None] * log_in
            + (outbound[end] - outbound[begin])[:, None] * log_out
            - talked[:, None] * rate
            - waited[:, None] * (rules.CONVERT_RATE + rules.DISQUALIFY_RATE)
        )
        share: Floats = np.exp(log - logsumexp(log, axis=1, keepdims=True))
        return share

    def converted(self, lead: Ints, as_of_us: Ints, until_us: Ints) -> Floats:
        """P(converted in [as_of, until) | recorded before as_of): (n, H) as until_us; NaN if not open."""
        ahead = self.clock.elapsed(until_us) - self.clock.elapsed(as_of_us)[:, None]
        exits = rules.CONVERT_RATE + rules.DISQUALIFY_RATE
        by_quality = rules.CONVERT_RATE / exits * -np.expm1(-ahead[:, :, None] * exits)
        chance = (self.quality(lead, as_of_us)[:, None, :] * by_quality).sum(axis=2)
        return np.where(self.is_open(lead, as_of_us)[:, None], chance, np.nan)
