"""Which hidden kind a deal seems to be of, from the course it has taken so far.

Deals differ by more than their columns say: some are bought whatever happens, some were never meant. Let each
be of one of four kinds z, never recorded. Given its kind, what happens to a deal happens at rates of that kind:

    log P(course until t | z) = sum over what was recorded of  log rate_z(label)
                              - sum over the time that passed of  rate_z

with moves and closings at a ratio to what is usual between two stages, activities at a rate by age (times what
is usual in the stage), the share of them that came from the customer, the answers to each question, the
category said in each stage, and how far ahead close dates were set (normal on the log scale). Silence and
standing still count as much as what happened. Bayes' rule gives the odds of each kind; they are additive in
what is recorded, so a running total over the entries answers any moment.

Kinds are in order of their share won. The features are the log odds against the kind `REFERENCE`, and what
these odds mean for the stage a deal is in: each kind moves through the stages at its rates (a Markov chain), so
it has a chance to be won, or lost, within so many days from each stage; their mean by the odds is the deal's,
by its course alone.

Source: latent class analysis (Goodman 1974); joint latent class models of courses and events (Proust-Lima,
Sene, Taylor and Jacqmin-Gadda 2014); heterogeneity of hazards as in Heckman and Singer 1984; mixtures of Markov
chains as in Blumen, Kogan and McCarthy 1955.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features.kinds.ages import Ages
from forecast.features.kinds.courses import BANDS_DAYS, Labels, band_of, read_courses, rows_of
from forecast.features.kinds.facts import GROUPS, Facts, fact_values
from forecast.history import CATEGORIES, History, TrackRecords
from forecast.history.columns import ACTIVITY_IN, CATEGORY, STAGE
from forecast.periods import DAY_US

__all__ = ["CHANCES", "KINDS", "REFERENCE", "BoundKinds", "Kinds", "Likeness", "likeness_of"]

KINDS: Final = 4
REFERENCE: Final = 2
# What courses are asked for: a cause, and within how many days.
CHANCES: Final = (("won", 30), ("won", 90), ("lost", 90))
_CHANCES_DAYS: Final = np.array([days for _, days in CHANCES], dtype=np.float64)
_OTHERS: Final = [kind for kind in range(KINDS) if kind != REFERENCE]
_LEAST: Final = -12.0  # log of the smallest probability of a kind: beyond it odds have nothing to say
# Running totals are kept in whole multiples of 2**-30, which add up without rounding: what is known of a deal
# is the same to the last bit, whatever deals stand before it and whatever comes later.
_UNIT: Final = 2.0**30
_FIELDS: Final = ACTIVITY_IN + 1  # all fields whose entries may have a weight come before


@dataclass(frozen=True)
class Kinds:
    """What was learnt of each kind, in order of their share won.

    stages : S names of open stages, as `pipeline/stage`
    motions, sources : M and Q texts that have figures of their own; any other text has those of all deals
    prior : (M + 1, Q + 1, KINDS) log share of the deals of a motion and a source, of all others last
    weights : (L, KINDS) log-likelihood of a label, see `Labels`
    facts : what multiplies these rates for a deal
    ages : what multiplies them by its motion and its age
    leaving : (M + 1, S, GROUPS, KINDS) rate of leaving a stage for another, for won and for lost, a day
    working : (bands, KINDS) activities a day by age of the deal, in a stage of usual activity
    pace : (S,) activity in each stage, the usual being one
    ahead_log_days : (S,) usual log of days ahead of close dates said in each stage
    ahead_shift : (KINDS,) how much further each kind's dates lie
    ahead_variance : of the log days around that
    chances : (len(CHANCES), M + 1, S, KINDS) of each kind, from each stage
    bends : (GROUPS, len(CHANCES), M + 1, S, KINDS) how the log of each chance's cumulative hazard moves with
        the log factors of a deal's facts
    """

    stages: tuple[str, ...]
    motions: tuple[str, ...]
    sources: tuple[str, ...]
    facts: Facts
    ages: Ages
    prior: Floats
    weights: Floats
    leaving: Floats
    working: Floats
    pace: Floats
    ahead_log_days: Floats
    ahead_shift: Floats
    ahead_variance: float
    chances: Floats
    bends: Floats

    def bind(self, history: History, records: TrackRecords) -> BoundKinds:
        """Read the courses of a history, ready to be asked about any moment; of the last one they are kept."""
        for known, dated, bound in self._kept:
            if known() is history and dated == records.dated:
                return bound
        bound = self._bound(history, records)
        self._kept[:] = [(weakref.ref(history), records.dated, bound)]
        return bound

    @cached_property
    def _kept(self) -> list[tuple[weakref.ref[History], bool, BoundKinds]]:
        return []

    def _bound(self, history: History, records: TrackRecords) -> BoundKinds:
        courses = read_courses(history, self.stages)
        motion, source = self.places(history)
        told = self._weights[courses.label]
        left, stays, dated = courses.left, courses.stays, courses.dated
        told[stays] += self._weights[courses.also]
        deal, until_us = courses.deal[stays], history.at_us[stays]
        told[stays] -= self.expected(
            self.facts.at(
                history, fact_values(history, records, self.facts.names, deal, until_us), len(deal)
            ),
            motion[deal],
            left,
            courses.stood_from_us,
            until_us,
            history.columns.created_at_us[deal],
        )
        further = courses.ahead_log_days - self.ahead_log_days[courses.ahead_slot]
        told[dated] += further[:, None] * self._ahead[0] - self._ahead[1]
        running = np.zeros((len(told) + 1, KINDS), dtype=np.int64)
        np.cumsum(_units(told), axis=0, out=running[1:])
        return BoundKinds(self, running, courses.slots, motion, source)

    def places(self, history: History) -> tuple[Ints, Ints]:
        """(D,) the row of each deal's motion, and of its source, in the tables by motion and source."""
        return (
            rows_of(self.motions, history.vocabulary("motion").texts)[history.columns.motion],
            rows_of(self.sources, history.vocabulary("source").texts)[history.columns.source],
        )

    @cached_property
    def _weights(self) -> Floats:
        """(L + 1, KINDS) weights; the last row serves what has no label."""
        return np.concatenate((self.weights, np.zeros((1, KINDS))))

    @cached_property
    def _ahead(self) -> Floats:
        """(2, KINDS) what a close date says for each log day it lies further, and whatever it says."""
        return np.stack((self.ahead_shift, self.ahead_shift**2 / 2.0)) / self.ahead_variance

    def expected(
        self, factors: Floats, motion: Ints, slot: Ints, from_us: Ints, until_us: Ints, created_us: Ints
    ) -> Floats:
        """(n, KINDS) moves, closings and activities that were to be expected while a deal stood in a stage.

        factors : (GROUPS, n) log factors of its facts
        """
        moments_us = np.empty((2, len(slot)), dtype=np.int64)
        moments_us[0], moments_us[1] = from_us, until_us
        days = np.maximum(moments_us - created_us, 0) / DAY_US
        band = band_of(days)
        worked = self._worked[band] + self.working[band] * days[..., None]
        stood = self.ages.passed(motion, days)
        times = np.exp(factors.T) * (stood[1] - stood[0])
        moved = (self.leaving[motion, slot] * times[..., None]).sum(axis=1)
        passed: Floats = moved + self.pace[slot, None] * (worked[1] - worked[0])
        return passed

    @cached_property
    def _worked(self) -> Floats:
        """(bands, KINDS) activities expected until an age in a band, beyond its rate times that age."""
        full = self.working[:-1] * np.diff(BANDS_DAYS)[:, None]
        begun = np.concatenate((np.zeros((1, KINDS)), np.cumsum(full, axis=0)))
        found: Floats = begun - self.working * BANDS_DAYS[:, None]
        return found

    @cached_property
    def chances_by_slot(self) -> Floats:
        """(len(CHANCES), M + 1, S + 1, KINDS) the same with a last row for an unknown stage."""
        unknown = np.full((len(CHANCES), len(self.motions) + 1, 1, KINDS), np.nan)
        return np.concatenate((self.chances, unknown), axis=2)

    @cached_property
    def bends_by_slot(self) -> Floats:
        """(GROUPS, len(CHANCES), M + 1, S + 1, KINDS) the same."""
        unknown = np.zeros((*self.bends.shape[:3], 1, KINDS))
        return np.concatenate((self.bends, unknown), axis=3)

    @cached_property
    def now_said(self) -> Floats:
        """(S + 1, categories + 1, KINDS) weight of what is said in the stage a deal is in; 0 where unknown."""
        found = np.zeros((len(self.stages) + 1, len(CATEGORIES) + 1, KINDS))
        start = Labels(len(self.stages)).category
        found[:-1, :-1] = self.weights[start:].reshape(len(self.stages), len(CATEGORIES), KINDS)
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "stages": list(self.stages),
            "motions": list(self.motions),
            "sources": list(self.sources),
            "facts": self.facts.to_json(),
            "ages": self.ages.to_json(),
            **{
                name: getattr(self, name).tolist()
                for name in (
                    "prior",
                    "weights",
                    "leaving",
                    "working",
                    "pace",
                    "ahead_log_days",
                    "ahead_shift",
                    "chances",
                    "bends",
                )
            },
            "ahead_variance": self.ahead_variance,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Kinds:
        """Inverse of `to_json`; ValueError for tables that do not fit each other."""
        stages, motions, sources = (tuple(data[name]) for name in ("stages", "motions", "sources"))
        rows = len(motions) + 1
        arrays = {
            name: np.array(data[name], dtype=np.float64).reshape(shape)
            for name, shape in (
                ("prior", (rows, len(sources) + 1, KINDS)),
                ("weights", (Labels(len(stages)).count, KINDS)),
                ("leaving", (rows, len(stages), GROUPS, KINDS)),
                ("working", (len(BANDS_DAYS), KINDS)),
                ("pace", (len(stages),)),
                ("ahead_log_days", (len(stages),)),
                ("ahead_shift", (KINDS,)),
                ("chances", (len(CHANCES), rows, len(stages), KINDS)),
                ("bends", (GROUPS, len(CHANCES), rows, len(stages), KINDS)),
            )
        }
        facts, ages = Facts.from_json(data["facts"]), Ages.from_json(data["ages"], rows)
        return cls(
            stages, motions, sources, facts, ages, **arrays, ahead_variance=float(data["ahead_variance"])
        )


@dataclass(frozen=True)
class BoundKinds:
    """Kinds lined up with one history.

    running : (N + 1, KINDS) running total over its entries of what each says for each kind, in units of 2**-30
    slots : (codes + 1,) place of each stage code among the stages of the kinds
    motion, source : (D,) row of each deal in the tables by motion and source
    """

    kinds: Kinds
    running: Ints
    slots: Ints
    motion: Ints
    source: Ints

    def likeness(
        self,
        deal: Ints,
        start: Ints,
        end: Ints,
        factors: Floats,
        *,
        stage: Floats,
        since_us: Ints,
        category: Floats,
        created_us: Ints,
        at_us: Ints,
    ) -> Likeness:
        """What is known of n deals before `at_us`.

        deal : (n,) their indices
        start, end : (fields, n) positions of each field's entries of a deal that are known
        factors : (GROUPS, n) log factors of what their facts are now
        stage, category : (n,) codes now, NaN for unknown; since_us : since when the stage is held
        """
        slot = self.slots[np.where(np.isnan(stage), -1.0, stage).astype(np.int64)]
        said = np.where(np.isnan(category), len(CATEGORIES), category).astype(np.int64)
        known = (self.running[end[:_FIELDS]] - self.running[start[:_FIELDS]]).sum(axis=0)
        motion = self.motion[deal]
        stands = self.kinds.expected(factors, motion, slot, since_us, at_us, created_us)
        if slot.min(initial=0) < 0:  # a stage that was not there when kinds were learnt says nothing
            stands[slot < 0] = 0.0
        now = self.kinds.prior[motion, self.source[deal]] + self.kinds.now_said[slot, said] - stands
        bends = factors[:, None]
        if not self.kinds.ages.is_flat:
            age_days = np.maximum(at_us - created_us, 0) / DAY_US
            bends = bends + self.kinds.ages.ahead(motion, age_days, _CHANCES_DAYS)
        return Likeness(self.kinds, known, now, bends, motion, slot)


@dataclass(frozen=True)
class Likeness:
    """What speaks for each kind of n deals.

    known : (n, KINDS) of everything recorded, in units of 2**-30
    now : (n, KINDS) of where the deals come from and how they stand now
    factors : (GROUPS, len(CHANCES) or 1, n) log factors of their facts and the ages each chance looks ahead to
    motion : (n,) row of each in the tables by motion
    slot : (n,) place of the stage they are in among the stages of the kinds, -1 for an unknown one
    """

    kinds: Kinds
    known: Ints
    now: Floats
    factors: Floats
    motion: Ints
    slot: Ints

    def take(self, rows: Any) -> Likeness:
        """Some of the deals, by slice, mask or position."""
        return replace(
            self,
            known=self.known[rows],
            now=self.now[rows],
            factors=self.factors[..., rows],
            motion=self.motion[rows],
            slot=self.slot[rows],
        )

    def answered(self, question: int, answer: float) -> Likeness:
        """The same deals with one more answer (0 to 1) to a BANT question, by its place, recorded just now."""
        label = Labels(len(self.kinds.stages)).answer_of(question, answer)
        return replace(self, known=self.known + _units(self.kinds.weights[label]))

    def features(self) -> Floats:
        """(KINDS - 1 + len(CHANCES), n) log odds of the other kinds against the reference, then chances.

        Chances are unknown in a stage that was not there when kinds were learnt.
        """
        found = self.known / _UNIT + self.now
        found -= found.max(axis=1, keepdims=True)
        share = np.exp(found)
        total = share.sum(axis=1, keepdims=True)
        share /= total
        found = np.maximum(found - np.log(total), _LEAST)
        told = np.empty((KINDS - 1 + len(CHANCES), len(found)))
        told[: KINDS - 1] = (found[:, _OTHERS] - found[:, [REFERENCE]]).T
        told[KINDS - 1 :] = (self._chances() * share).sum(axis=2)
        soon, later, lost = told[KINDS - 1 :]
        np.maximum(later, soon, out=later)
        np.minimum(lost, 1.0 - later, out=lost)
        return told

    def _chances(self) -> Floats:
        """(len(CHANCES), n, KINDS) of each kind from the stage of each deal, for its facts."""
        chances = self.kinds.chances_by_slot[:, self.motion, self.slot]
        if not self.kinds.facts.names and self.kinds.ages.is_flat:
            return chances
        bends = self.kinds.bends_by_slot[:, :, self.motion, self.slot]
        bent = np.exp((bends * self.factors[..., None]).sum(axis=0))
        found: Floats = -np.expm1(np.log1p(-chances) * bent)
        return found


def likeness_of(history: History, deal: Ints, at_us: Ints, kinds: Kinds, records: TrackRecords) -> Likeness:
    """What speaks for each kind of deals that are known before given moments, (n,) each."""
    fields = np.arange(_FIELDS)[:, None]
    group = deal * len(history.fields) + fields
    facts = fact_values(history, records, kinds.facts.names, deal, at_us)
    return kinds.bind(history, records).likeness(
        deal,
        history.index.starts[group],
        history.index.end(group, history.clock.rank(at_us)),
        kinds.facts.at(history, facts, len(deal)),
        stage=history.last(deal, STAGE, at_us),
        since_us=np.maximum(history.last_at_us(deal, STAGE, at_us), 0),
        category=history.last(deal, CATEGORY, at_us),
        created_us=history.columns.created_at_us[deal],
        at_us=at_us,
    )


def _units(told: Floats) -> Ints:
    return np.rint(told * _UNIT).astype(np.int64)
