"""Training: measure on a later period, then learn from everything and write the bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from forecast.bundle import bundle_code, write_bundle
from forecast.code_version import sources_hash
from forecast.features import Finding
from forecast.history import History, Leads
from forecast.models import FitSettings, FittedModels, LeadModels, fit_leads, fit_models
from forecast.periods import DAY_US, as_of_us
from forecast.tables import Money, Tables, known_before
from training.audit import Audit, audit_history, check_registrable, told_later
from training.holdout import Measured, choose_holdout, measure_holdout
from training.lead_holdout import MeasuredLeads, measure_leads
from training.segments import check_segments
from training.sense import notes as notes_on
from training.settings import Settings

__all__ = ["Training", "span_days_of", "train", "training_code"]

Tell = Callable[[str, float], None]

# With fewer closed deals than this, what was learnt is mostly what was assumed; see docs/training.md.
THIN_CLOSED_DEALS = 100
# Parts of this package that ask for, record, show or judge a training and change nothing in its bundle.
_NO_RESULT = frozenset(
    {
        "__main__.py",
        "audit_tables.py",
        "backtest",
        "card.py",
        "commands",
        "evidence.py",
        "gate",
        "intervals.py",
        "lock.py",
        "monitoring.py",
        "promotion",
        "recording.py",
        "segments.py",
        "sense.py",
        "settings_page.py",
        "settings_text.py",
        "summary.py",
        "tracking",
        "tuning",
        "verify.py",
    }
)


@dataclass(frozen=True, slots=True)
class Training:
    """What a training left behind.

    audit: which fields leak, and were left out
    notes: plain sentences about how far it can be trusted
    history: what was learnt from
    measured: None if there was too little history to hold any back
    leads, measured_leads: of leads; None if there are none (in the held-out period)
    """

    folder: Path
    bundle_id: str
    models: FittedModels
    as_of: pd.Timestamp
    fingerprint: str
    measured: Measured | None
    notes: tuple[str, ...]
    audit: Audit
    history: History
    leads: LeadModels | None = None
    measured_leads: MeasuredLeads | None = None


def train(
    tables: Tables,
    folder: Path,
    settings: Settings,
    *,
    as_of: pd.Timestamp | None = None,
    registering: bool = False,
    hindsight: bool = True,
    tell: Tell | None = None,
) -> Training:
    """Fit on what was recorded before `as_of` (default: everything) and write the bundle.

    The bundle is a function of data, settings and as-of moment: neither the time of day nor its place on disk
    is in it. It is written last and at once; whatever was in `folder` stays until then. What serves does not
    change: that is up to `forecast.promotion`.

    registering: whether the bundle is going to be registered, which a field that leaks and is trusted stops
    hindsight: leave out what the data after `as_of` show to leak, too (see `told_later`); the settings in the
        bundle say so, and training again from them needs no hindsight
    tell: called with what is being done and the share done, for a progress bar
    Raises GateError, having written nothing, if it is stopped, DataError if nothing is known before `as_of`,
    OutputError if the bundle cannot be written. Callers that may not be alone hold
    `forecast.lock.exclusive(folder)` meanwhile.
    """
    say: Tell = tell or (lambda _text, _share: None)
    moment = tables.default_as_of if as_of is None else as_of
    say("reading the history", 0.0)
    late = told_later(tables, moment, settings) if hindsight else ((), ())
    settings = replace(settings, fit=_without(settings.fit, *late))
    # Nothing later is even at hand; and the fingerprint stays the same while the data grow.
    known = known_before(tables, moment)
    # With nothing known, the error says when the data begin; only the whole of them can.
    tables = known if len(known.deals) else tables
    history = History.from_tables(tables, Money.from_tables(tables, settings.fit.reporting_currency))
    check_segments(history, settings.segments)
    leads = Leads.from_tables(tables, history)
    audited = audit_history(history, leads, moment, settings)
    if registering:
        check_registrable(audited, settings.audit.allow)
    holdout, note = choose_holdout(history, moment, settings.holdout)
    notes = [*notes_on(settings, span_days_of(history, moment)), *([note] if note else [])]
    notes += [
        f"{kind}{one.field} is left out: {one.reason}, as the data after the as-of moment show"
        for kind, findings in zip(("", "leads."), late, strict=True)
        for one in findings
    ]
    measured, measured_leads = None, None
    if holdout is not None:
        measured = measure_holdout(
            tables, history, holdout, settings.fit, tell=lambda text, share: say(text, 0.05 + 0.45 * share)
        )
        notes += _nothing_won(measured)
        measured_leads = measure_leads(leads, history, holdout, settings.fit)
    models = fit_models(history, moment, settings.fit, tell=lambda text, share: say(text, 0.5 + 0.4 * share))
    notes += _thin_data(models)
    of_leads = fit_leads(
        leads, history, moment, settings.fit, tell=lambda text, share: say(text, 0.9 + 0.05 * share)
    )
    say("writing the bundle", 0.95)
    fingerprint = tables.fingerprint
    metrics: dict[str, Any] = {}
    if measured is not None:
        metrics = {"holdout": measured.to_json(), "values": measured.metrics()}
    if measured_leads is not None:
        metrics["leads"] = measured_leads.to_json()
    bundle_id = write_bundle(
        models,
        folder,
        metrics=metrics,
        data_fingerprint=fingerprint,
        leads=of_leads,
        settings=settings.recorded(),
        code=training_code(),
        data_tables=tables.fingerprints,
        dialect=settings.dialect,
    )
    say("done", 1.0)
    return Training(
        folder,
        bundle_id,
        models,
        moment,
        fingerprint,
        measured,
        tuple(notes),
        audited,
        history,
        of_leads,
        measured_leads,
    )


def _without(fit: FitSettings, of_deals: tuple[Finding, ...], of_leads: tuple[Finding, ...]) -> FitSettings:
    """The settings with more fields left out; in order, since a bundle's id depends on them."""

    def more(names: tuple[str, ...], findings: tuple[Finding, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*names, *(one.field for one in findings))))

    return replace(
        fit,
        exclude_fields=more(fit.exclude_fields, of_deals),
        exclude_lead_fields=more(fit.exclude_lead_fields, of_leads),
    )


def training_code() -> dict[str, Any]:
    """What a bundle says of the code that made it."""
    return bundle_code(training=sources_hash(Path(__file__).parent, _NO_RESULT))


def span_days_of(history: History, as_of: pd.Timestamp) -> float:
    """Days from the first deal to `as_of`; 0 without any deal before it."""
    until_us = as_of_us(as_of)
    return (until_us - int(history.known_from_us().min(initial=until_us))) / DAY_US


def _nothing_won(measured: Measured) -> list[str]:
    table = measured.table
    shares = table.loc[(table["forecaster"] == "actual") & (table["metric"] == "share_won"), "value"]
    if (shares > 0.0).any():
        return []
    return ["No deal was won in the held-out period: its figures cannot tell a good forecast from a bad one."]


def _thin_data(models: FittedModels) -> list[str]:
    won, lost = models.counts["won"], models.counts["lost"]
    if won + lost == 0:
        return [
            "No deal has closed yet: every probability rests on the CRM's own stage probabilities and on "
            "common experience, and ranges are wide. Train again as deals close."
        ]
    if won + lost < THIN_CLOSED_DEALS or not won or not lost:
        return [
            f"Only {won} won and {lost} lost deals to learn from: probabilities still lean on the CRM's own "
            "stage probabilities, and ranges are wide. Train again as deals close."
        ]
    return []
