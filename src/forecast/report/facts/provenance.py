"""Facts for the footer: what the numbers were made from, so that anybody can make them again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forecast import __version__
from forecast.code_version import code_of
from forecast.periods import as_of_us
from forecast.report.facts.plain import Fact, number

if TYPE_CHECKING:
    from forecast.outlook import Outlook

__all__ = ["provenance_facts"]


def provenance_facts(outlook: Outlook) -> Fact:
    """Data, bundle, model, settings, and every row that did not make it into the numbers."""
    bundle, check = outlook.bundle, outlook.check
    models = bundle.models
    chosen = next((rung for rung in models.ladder if rung.chosen), None)
    history, at_us = outlook.history, as_of_us(outlook.as_of)
    deal = history.open_deals(at_us)
    amounts = history.amount_raw(deal, np.full(len(deal), at_us, dtype=np.int64))
    return {
        "version": __version__,
        "code": code_of(packages=())["sources"]["forecast"],
        "as_of": outlook.as_of.isoformat(),
        "data_fingerprint": outlook.tables.fingerprint,
        "bundle": bundle.id,
        "rung": models.outcome.name,
        "rung_reason": chosen.reason if chosen else None,
        # Without a score there was too little history to compare the rungs at all.
        "rung_compared": chosen is not None and chosen.log_score is not None,
        "trained_until": bundle.trained_until.isoformat(),
        "counts": {name: int(count) for name, count in models.counts.items()},
        "shock": {"sd": number(models.shock.sd), "quarters": models.shock.quarters},
        "settings": models.settings,
        "unconverted": int(outlook.bookings.unconverted),
        "unknown_amounts": int((~(amounts > 0)).sum()),
        "quarantined": (
            None
            if check is None
            else {name: counts.quarantined for name, counts in check.tables.items() if counts.quarantined}
        ),
        "currency": outlook.history.money.reporting,
    }
