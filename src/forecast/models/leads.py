"""Models of leads: will one be converted, or ruled out, when; and will it become a won deal.

A lead is read as a deal with one open stage, whose win is its conversion (`forecast.history.leads`), so
landmarks, season, the ladder of rungs and the curves are those of deals. What comes after the conversion is
chained to it:

    P(becomes a won deal within H) = sum over cells of P(converted in it) * P(won within H - s | fresh deal)

with s the middle of the cell and the fresh deal one from a lead of this source (`forecast.models.fresh`),
moved by what is known of the lead if that proved itself (`forecast.models.tilt`). It is at most P(converted
within H) and never falls with H, because both factors do not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from forecast.arrays import Floats, Ints
from forecast.features import (
    Customers,
    DatedCustomers,
    Decision,
    FeatureMatrix,
    build_leads,
    decide_lead_fields,
)
from forecast.history import (
    CONVERTED,
    DISQUALIFIED,
    LEAD_STAGES,
    DatedRecords,
    FrozenRecords,
    History,
    Landmarks,
    Leads,
    TrackRecords,
    make_landmarks,
)
from forecast.models.clock import DealClock
from forecast.models.fit import seasons_of
from forecast.models.fitted import RUNGS, Grades, Rung, on_bins
from forecast.models.fresh import FreshDeals, fit_fresh
from forecast.models.hazard import OutcomeModel
from forecast.models.incidence import HORIZON_CAP_DAYS, Cells, Curves
from forecast.models.ladder import fit_outcome
from forecast.models.season import Season
from forecast.models.settings import FitSettings
from forecast.models.tilt import Conversions, Tilt, fit_tilt
from forecast.models.windows import compared_from_us
from forecast.periods import as_of_us

__all__ = ["RANKED_BY_DAYS", "LeadModels", "fit_leads"]

Tell = Callable[[str, float], None]

# A lead's score and its reasons are about its conversion within this time.
RANKED_BY_DAYS: Final = 90.0
_BLOCK: Final = 8_192
_PERCENTILES: Final = np.linspace(0.01, 0.99, 99)
_FEW_OPEN: Final = 50  # leads whose percentiles mean little: the newest landmarks stand beside them
_NEWEST: Final = 1_000
_CAUSES: Final = ("converted", "disqualified")


@dataclass(frozen=True)
class LeadModels:
    """Everything learnt about leads from what was recorded before `trained_until_us`.

    clock : the leads' own clock, by their age
    tilt : what is known of a lead, as it moves the chance of its deal; None if it did not prove itself
    records : conversions by owner and source; an account's record is that of its deals, kept with those
    ladder, ladder_after : how the models of the conversion, and of what follows it, were judged
    grades : percentiles of P(converted within 90 days) among the leads open at training
    """

    trained_until_us: int
    outcome: OutcomeModel
    seasons: tuple[Season, Season]
    clock: DealClock
    fresh: FreshDeals
    tilt: Tilt | None
    records: FrozenRecords
    grades: Grades
    decisions: tuple[Decision, ...]
    ladder: tuple[Rung, ...]
    ladder_after: tuple[Rung, ...]
    counts: dict[str, int]

    def features(
        self,
        history: History,
        lead: Ints,
        at_us: Ints,
        customers: Customers,
        records: TrackRecords | None = None,
    ) -> FeatureMatrix:
        """Features of rows; track records are the frozen ones unless given."""
        bound = self.records.bind(history) if records is None else records
        return build_leads(history, lead, at_us, bound, customers)

    def on_bins(self, coefficients: Floats) -> Floats:
        """(..., 2, B) coefficients laid out on the bins, (..., 2, J), with baseline."""
        return on_bins(coefficients, self.outcome)

    @cached_property
    def average(self) -> Floats:
        """(1, 2, J) log hazards of the average lead."""
        return self.on_bins(self.outcome.reference[None])

    def log_pace(self, features: FeatureMatrix) -> Floats:
        """(n, 2, J) what the leads' own clock adds to the log hazards."""
        return self.clock.log_pace(features, self.outcome.bins)

    def cells(
        self, as_of_us: int, marks_days: Any = (RANKED_BY_DAYS,), until_days: float = HORIZON_CAP_DAYS
    ) -> Cells:
        """Time axis of an as-of moment with edges at the marks."""
        marks = np.asarray(marks_days, np.float64)
        return Cells.at(as_of_us, self.outcome.bins, self.seasons, marks_days=marks, until_days=until_days)

    def fresh_place(self, history: History, lead: Ints) -> Ints:
        """(n,) which level of `fresh` each lead's deal would have; the common one without a trusted source."""
        texts = history.vocabulary("source").texts if self._source_is_used else ()
        place = self.fresh.place(texts)
        source = history.columns.source[lead] if self._source_is_used else np.full(len(lead), -1)
        return place[source]

    @property
    def _source_is_used(self) -> bool:
        return any(decision.feature == "source" and decision.used for decision in self.decisions)

    def becomes_won(
        self,
        curves: Curves,
        features: FeatureMatrix,
        fresh_place: Ints,
        within_days: float = HORIZON_CAP_DAYS,
    ) -> Floats:
        """(n,) P(converted, and the deal won, within so many days); they must be an edge of the curves."""
        last = int(np.searchsorted(curves.edges_days, within_days - 1e-9))
        edges, converted = curves.edges_days[: last + 1], curves.won[:, : last + 1]
        left = within_days - (edges[:-1] + edges[1:]) / 2
        chance = self.fresh.won_within(left)[fresh_place]
        if self.tilt is not None:
            chance = -np.expm1(self.tilt.factor(features)[:, None] * np.log1p(-chance))
        found = (np.diff(converted, axis=1) * chance).sum(axis=1)
        at_most: Floats = np.minimum(found, converted[:, -1])
        return at_most

    def chances(
        self,
        history: History,
        lead: Ints,
        at_us: Ints,
        horizons_days: Any,
        customers: Customers,
        records: TrackRecords | None = None,
    ) -> tuple[Floats, Floats]:
        """(n, H) chances of being converted, and of having become a won deal, within horizons.

        Each row has its own moment; track records are the frozen ones unless given.
        """
        horizons = np.asarray(horizons_days, dtype=np.float64)
        features = self.features(history, lead, at_us, customers, records)
        log_hazard = self.on_bins(self.outcome.coefficients(features)) + self.log_pace(features)
        place = self.fresh_place(history, lead)
        converted, won = np.empty((len(lead), len(horizons))), np.empty((len(lead), len(horizons)))
        moments, moment_of = np.unique(at_us, return_inverse=True)
        order = np.argsort(moment_of, kind="stable")
        bounds = np.searchsorted(moment_of[order], np.arange(len(moments) + 1))
        for number, moment in enumerate(moments):
            cells = self.cells(int(moment), horizons, until_days=float(horizons.max()))
            for start in range(bounds[number], bounds[number + 1], _BLOCK):
                rows = order[start : min(start + _BLOCK, bounds[number + 1])]
                curves = cells.curves(log_hazard[rows])
                converted[rows] = curves.won_by(horizons)
                for at, horizon in enumerate(horizons):
                    won[rows, at] = self.becomes_won(curves, features.take(rows), place[rows], float(horizon))
        return converted, won

    def score(self, converted_within_90_days: Floats) -> Ints:
        """(n,) 1 to 100: rank among the leads open at training; where all are alike, the middle."""
        percentiles = self.grades.percentiles
        below = np.searchsorted(percentiles, converted_within_90_days, side="left")
        up_to = np.searchsorted(percentiles, converted_within_90_days, side="right")
        return 1 + ((below + up_to) // 2).astype(np.int64)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and texts, see models/README.md."""
        return {
            "trained_until_us": self.trained_until_us,
            "outcome": self.outcome.to_json(),
            "season": {cause: season.to_json() for cause, season in zip(_CAUSES, self.seasons, strict=True)},
            "clock": self.clock.to_json(),
            "fresh": self.fresh.to_json(),
            "tilt": None if self.tilt is None else self.tilt.to_json(),
            "records": self.records.to_json(),
            "grades": self.grades.percentiles.tolist(),
            "features": [{"feature": d.feature, "used": d.used, "reason": d.reason} for d in self.decisions],
            "ladder": _plain(self.ladder),
            "ladder_after": _plain(self.ladder_after),
            "counts": self.counts,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> LeadModels:
        """Inverse of `to_json`; KeyError, TypeError or ValueError on content that does not fit."""
        converted, disqualified = (Season.from_json(data["season"][cause]) for cause in _CAUSES)
        return cls(
            trained_until_us=int(data["trained_until_us"]),
            outcome=RUNGS[data["outcome"]["rung"]].from_json(data["outcome"]),
            seasons=(converted, disqualified),
            clock=DealClock.from_json(data["clock"]),
            fresh=FreshDeals.from_json(data["fresh"]),
            tilt=None if data["tilt"] is None else Tilt.from_json(data["tilt"]),
            records=FrozenRecords.from_json(data["records"]),
            grades=Grades(np.array(data["grades"], dtype=np.float64)),
            decisions=tuple(Decision(**row) for row in data["features"]),
            ladder=tuple(Rung.from_json(row) for row in data["ladder"]),
            ladder_after=tuple(Rung.from_json(row) for row in data["ladder_after"]),
            counts={key: int(n) for key, n in data["counts"].items()},
        )


def fit_leads(
    leads: Leads,
    deals: History,
    until: pd.Timestamp,
    settings: FitSettings,
    *,
    first: pd.Timestamp | None = None,
    tell: Tell | None = None,
) -> LeadModels | None:
    """Learn about leads from what was recorded before `until`; None if no lead was known by then.

    first : no landmark lies before it, for a history that is complete only from then on
    tell : called with what is being done and the share done
    """
    # One thread, as for deals: the order of sums must not depend on how many there are.
    with threadpool_limits(limits=1):
        return _fit_leads(leads, deals, until, settings, first, tell or (lambda _text, _share: None))


def _fit_leads(
    leads: Leads,
    deals: History,
    until: pd.Timestamp,
    settings: FitSettings,
    first: pd.Timestamp | None,
    say: Tell,
) -> LeadModels | None:
    history, until_us = leads.history, as_of_us(until)
    if not (history.columns.created_at_us < until_us).any():
        return None
    say("laying landmarks of leads", 0.0)
    every = make_landmarks(
        history,
        until_us=until_us,
        first_us=None if first is None else as_of_us(first),
        every_days=settings.landmark_every_days,
    )
    landmarks = every.thin(settings.max_landmarks, np.random.default_rng(settings.seed))
    decisions = decide_lead_fields(
        history,
        exclude=settings.exclude_lead_fields,
        trust=settings.trust_lead_fields,
        rules=settings.leak_rules,
    )
    use = tuple(decision.feature for decision in decisions if decision.used)
    seasons = (
        seasons_of(history, until_us, settings.fiscal_year_starts)
        if settings.use_season
        else (Season.flat(), Season.flat())
    )
    say("building features of leads", 0.1)
    before_us = compared_from_us(landmarks, until_us, settings)
    of_deals = DatedRecords.of(deals).diluted(deals, before_us)
    records = DatedRecords.of(history).diluted(history, before_us)
    # Accounts are judged by their deals.
    records = replace(records, dilution={**records.dilution, "account": of_deals.dilution["account"]})
    customers = DatedCustomers.of(deals, history, of_deals)
    features = build_leads(history, landmarks.deal, landmarks.at_us, records, customers)
    # Many companies never rule a lead out: conversions are all that must have been seen.
    chosen = fit_outcome(
        landmarks, features, use, seasons, LEAD_STAGES, until_us, settings, causes=(CONVERTED,), tell=say
    )
    say("learning what becomes of deals from leads", 0.9)
    kind = _kind_at(history, until_us)
    born = np.zeros(len(deals), dtype=bool)
    born[leads.deal[(kind == CONVERTED) & (leads.deal >= 0)]] = True
    fresh = fit_fresh(deals, born, until_us)
    conversions = Conversions.of(landmarks, history, leads.deal, deals)
    tilt, ladder_after = fit_tilt(
        conversions, features, use, history, deals, leads.deal, fresh, until_us, settings
    )
    frozen = records.freeze(history, until_us)
    draft = LeadModels(
        trained_until_us=until_us,
        outcome=chosen.model,
        seasons=chosen.seasons,
        clock=chosen.clock,
        fresh=fresh,
        tilt=tilt,
        records=replace(frozen, tables={**frozen.tables, "account": {}}),
        grades=Grades(_PERCENTILES),
        decisions=tuple(decisions),
        ladder=tuple(replace(rung, reason=_of_leads(rung.reason)) for rung in chosen.ladder),
        ladder_after=ladder_after,
        counts={
            "leads": int((history.columns.created_at_us < until_us).sum()),
            "open": len(history.open_deals(until_us)),
            "converted": int((kind == CONVERTED).sum()),
            "disqualified": int((kind == DISQUALIFIED).sum()),
            "became_deals": int(born.sum()),
            "landmarks": len(every),
        },
    )
    say("done", 1.0)
    return replace(draft, grades=_grades(draft, history, landmarks, until_us, customers, records))


def _kind_at(history: History, at_us: int) -> Ints:
    """(L,) what each lead was before a moment: OPEN, CONVERTED or DISQUALIFIED; -1 for one not yet known."""
    stage = history.stage(np.arange(len(history)), np.int64(at_us))
    return np.where(stage >= 0, LEAD_STAGES.kind[stage], -1).astype(np.int64)


def _plain(ladder: tuple[Rung, ...]) -> list[dict[str, Any]]:
    return [asdict(rung) for rung in ladder]


def _of_leads(reason: str) -> str:
    """What the ladder says, in the words of leads."""
    return reason.replace("deal", "lead").replace("won", "converted").replace("lost", "disqualified")


def _grades(
    models: LeadModels,
    history: History,
    landmarks: Landmarks,
    until_us: int,
    customers: Customers,
    records: TrackRecords,
) -> Grades:
    """Percentiles of the leads open at training; with few of them, of the latest landmarks as well."""
    lead = history.open_deals(until_us)
    at_us = np.full(len(lead), until_us)
    if len(lead) < _FEW_OPEN and len(landmarks):
        newest = np.argsort(landmarks.at_us, kind="stable")[-_NEWEST:]
        lead = np.concatenate((lead, landmarks.deal[newest]))
        at_us = np.concatenate((at_us, landmarks.at_us[newest]))
    if not len(lead):
        return models.grades
    chance, _ = models.chances(history, lead, at_us, [RANKED_BY_DAYS], customers, records)
    return Grades(np.quantile(chance[:, 0], _PERCENTILES))
