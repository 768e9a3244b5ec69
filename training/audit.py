"""The leakage audit of a data folder: what `train` leaves out and `python -m training audit` tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from forecast.errors import DataError, GateError
from forecast.features import (
    Finding,
    audit_fields,
    audit_lead_fields,
    check_field_names,
    check_lead_field_names,
    worst_first,
)
from forecast.features.leakage.scramble import Scramble, look_moments, scramble_test
from forecast.history import History, Leads
from forecast.models import FittedModels
from forecast.periods import as_of_us
from forecast.tables import Money, Tables
from training.settings import Settings

__all__ = ["Audit", "audit", "audit_history", "check_registrable", "told_later"]

Tell = Callable[[str, float], None]
# Scores are compared at one horizon: all of them come from one curve.
_HORIZON_DAYS = 90


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit's word on every field of deals and of leads, worst first.

    scramble : None where the test of the future was not asked for
    """

    as_of: pd.Timestamp
    deals: tuple[Finding, ...]
    leads: tuple[Finding, ...]
    scramble: Scramble | None = None

    @property
    def named(self) -> tuple[tuple[str, Finding], ...]:
        """Every finding with its field as it is called in print: `leads.x` for a column of leads."""
        return (
            *((one.field, one) for one in self.deals),
            *((f"leads.{one.field}", one) for one in self.leads),
        )

    def of(self, *verdicts: str) -> tuple[tuple[str, Finding], ...]:
        """Those with one of some verdicts."""
        return tuple((name, one) for name, one in self.named if one.verdict in verdicts)

    def trusted(self, allow: tuple[str, ...] = ()) -> tuple[tuple[str, Finding], ...]:
        """Fields that leak and are used all the same by order of the settings, but for those in `allow`."""
        return tuple(
            (name, one) for name, one in self.of("trusted") if name not in allow and one.field not in allow
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as `--json` writes them."""
        return {
            "as_of": self.as_of.isoformat(),
            "deals": [one.to_json() for one in self.deals],
            "leads": [one.to_json() for one in self.leads],
            "scramble": None if self.scramble is None else self.scramble.to_json(),
        }


def audit_history(history: History, leads: Leads, as_of: pd.Timestamp, settings: Settings) -> Audit:
    """Judge all fields by what was recorded before `as_of`; no scramble test. Takes about a second.

    Raises UsageError for a name in the settings that the data does not have.
    """
    fit = settings.fit
    check_field_names(history, fit.exclude_fields, fit.trust_fields)
    of_deals = audit_fields(
        history, as_of_us(as_of), exclude=fit.exclude_fields, trust=fit.trust_fields, rules=fit.leak_rules
    )
    of_leads: tuple[Finding, ...] = ()
    if len(leads):
        check_lead_field_names(leads.history, fit.exclude_lead_fields, fit.trust_lead_fields)
        of_leads = audit_lead_fields(
            leads.history,
            exclude=fit.exclude_lead_fields,
            trust=fit.trust_lead_fields,
            rules=fit.leak_rules,
        )
    return Audit(as_of, tuple(worst_first(of_deals)), tuple(worst_first(of_leads)))


def told_later(
    tables: Tables, as_of: pd.Timestamp, settings: Settings
) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """Undated columns, of deals and of leads, that leak as the data stand now, for a training of the past.

    Such a column is known only as it stands today: what closing filled in a month later is there already
    in deals that were open then, in all of them alike, so that data cut off at the moment look clean. Fields
    with dates are read as of the moment; what the settings trust stays. Nothing for a training of now.
    """
    now = tables.default_as_of
    if as_of >= now:
        return (), ()
    history = History.from_tables(tables, Money.from_tables(tables, settings.fit.reporting_currency))
    found = audit_history(history, Leads.from_tables(tables, history), now, settings)
    of_deals, of_leads = (
        tuple(one for one in findings if one.verdict == "leaks" and not one.figures.writes)
        for findings in (found.deals, found.leads)
    )
    return of_deals, of_leads


def audit(
    tables: Tables,
    settings: Settings,
    *,
    as_of: pd.Timestamp | None = None,
    models: FittedModels | None = None,
    tell: Tell | None = None,
) -> Audit:
    """Judge all fields, and scramble the future.

    models : whose scores are scrambled, too
    tell : called with what is being done and the share done
    Raises DataError if nothing was recorded before `as_of`.
    """
    say: Tell = tell or (lambda _text, _share: None)
    moment = tables.default_as_of if as_of is None else as_of
    say("reading the history", 0.1)
    money = Money.from_tables(tables, settings.fit.reporting_currency)
    history = History.from_tables(tables, money)
    if not (history.known_from_us() < as_of_us(moment)).any():
        raise DataError(f"no deal was recorded before {moment.isoformat()}", code="nothing_known")
    say("looking at every field", 0.3)
    found = audit_history(history, Leads.from_tables(tables, history), moment, settings)
    say("scrambling the future", 0.5)
    score = None
    if models is not None:
        fitted = models

        def score(past: History, deal: Any, at_us: Any) -> Any:
            return fitted.win_probability(past, deal, at_us, [_HORIZON_DAYS])[:, 0]

    scramble = scramble_test(
        tables, history, look_moments(history, moment), money=money, score=score, seed=settings.fit.seed
    )
    say("done", 1.0)
    return Audit(found.as_of, found.deals, found.leads, scramble)


def check_registrable(found: Audit, allow: tuple[str, ...]) -> None:
    """Raise GateError if a field leaks that the settings trust, and do not allow to be registered."""
    stopped = found.trusted(allow)
    if stopped:
        name, finding = stopped[0]
        more = f" (and {len(stopped) - 1} more)" if len(stopped) > 1 else ""
        raise GateError(
            f"not registered: the trusted field {name!r} leaks{more}: "
            f"{finding.reason.split('although ', 1)[-1]}. Take it out of "
            f"{'trust_lead_fields' if name.startswith('leads.') else 'trust_fields'}, or, if you know better, "
            f"name it in [audit] allow",
            code="leaking_field",
        )
