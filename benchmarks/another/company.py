"""The other company lives day by day, all deals at once; each record says something of what is hidden."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.another.rules import ANSWERS, DAYS, FIRST_DAY, SKIPPED, STAGES, UNTIL, Rates, Rules
from benchmarks.another.truth import QUALITIES, Moment, won_within
from forecast.arrays import Floats, Ints
from forecast.periods import Period
from forecast.tables import Tables

__all__ = ["AnotherCompany", "another_company"]

_QUESTIONS: Final = ("budget", "authority", "need", "timeline")
_SELLERS: Final = 24
_TEAMS: Final = 4
_SOURCES: Final = ("inbound", "outbound", "partner", "referral", "event")
_SOURCE_SHARES: Final = (0.3, 0.25, 0.2, 0.15, 0.1)
_SOURCE_QUALITY: Final = np.array([-0.3, 0.0, 0.2, 0.5, 0.1])
_ZOMBIES: Final = np.array([0.07, 0.05, 0.04, 0.02, 0.03])  # by source
_INDUSTRIES: Final = ("retail", "software", "public", "health", "energy", "transport")
_OPEN, _WON, _LOST = 0, 1, 2


@dataclass(frozen=True)
class AnotherCompany:
    """Its tables, and the truth at the moments it was made for.

    moments : as-of moment -> what everything recorded before it says of each open deal
    """

    tables: Tables
    rules: Rules
    moments: dict[pd.Timestamp, Moment]
    until: pd.Timestamp = UNTIL

    @cached_property
    def _place(self) -> pd.Series:
        deals = self.tables.deals["deal_id"]
        return pd.Series(np.arange(len(deals)), index=deals.to_numpy())

    def truth_within(
        self, deal_ids: Sequence[str] | NDArray[Any], as_of: pd.DatetimeIndex, horizons_days: Sequence[float]
    ) -> Floats:
        """(n, H) exact P(won within h whole days | everything recorded before as_of), luck to come unknown.

        ValueError for a moment the company was not made for; KeyError for a deal that is not open then.
        """
        deal = self._place.loc[np.asarray(deal_ids)].to_numpy()
        found = np.empty((len(deal), len(horizons_days)))
        for at in as_of.unique():
            if at not in self.moments:
                raise ValueError(f"the truth is known as of {sorted(self.moments)} only, not of {at}")
            rows = np.flatnonzero(as_of == at)
            found[rows] = won_within(
                self.rules, self.moments[at].of(deal[rows]), (at - FIRST_DAY).days, horizons_days
            )
        return found

    def expected_bookings(self, as_of: pd.Timestamp, period: Period) -> pd.DataFrame:  # noqa: ARG002
        """Amounts never change here: deal_id and amount_if_won of every deal, at any moment."""
        deals = self.tables.deals
        return pd.DataFrame({"deal_id": deals["deal_id"], "amount_if_won": deals["amount"]})


def another_company(
    *, deals: int, seed: int, moments: Iterable[pd.Timestamp], luck: bool = True
) -> AnotherCompany:
    """A company from 2022 to 2026.

    moments : midnights as of which the truth will be asked
    luck : whether quarters differ by chance; without, outcomes can be checked against the truth
    """
    life = _Life.begun(deals, np.random.default_rng([seed, 2]), luck=luck)
    asked = {(moment - FIRST_DAY).days: moment for moment in moments}
    known = {}
    for day in range(DAYS):
        if day in asked:
            known[asked[day]] = life.moment()
        life.live(day)
    return AnotherCompany(life.tables(), life.rules, known)


@dataclass
class _Diary:
    """What is written down, in the order of the days: deal, moment as days since the first, and more."""

    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def write(self, deal: Ints, at: Floats, *more: NDArray[Any]) -> None:
        if len(deal):
            self.rows.append((deal, at, *more))

    def columns(self) -> list[NDArray[Any]]:
        return [np.concatenate(column) for column in zip(*self.rows, strict=True)]


@dataclass
class _Life:
    """All deals of the company, as they are at the start of a day.

    known : (n, 2, Q) log of P(the records so far, alive or zombie, quality), Q on the grid of the truth
    """

    rng: np.random.Generator
    rules: Rules
    quality: Floats
    zombie: NDArray[np.bool_]
    created: Ints
    source: Ints
    industry: Ints
    seller: Ints
    amount: Floats
    due: Ints
    known: Floats
    stage: Ints
    state: Ints
    answered: Floats
    events: _Diary = field(default_factory=_Diary)
    talks: _Diary = field(default_factory=_Diary)

    @classmethod
    def begun(cls, deals: int, rng: np.random.Generator, *, luck: bool) -> _Life:
        days = pd.date_range(FIRST_DAY, periods=DAYS)
        coming = np.where(days.day_of_week < 5, 1.0, 0.1) * np.linspace(0.8, 1.2, DAYS)
        created = np.sort(rng.choice(DAYS, size=deals, p=coming / coming.sum()))
        source = rng.choice(len(_SOURCES), deals, p=_SOURCE_SHARES)
        industry = rng.integers(len(_INDUSTRIES), size=deals)
        seller = rng.choice(_SELLERS, deals, p=rng.dirichlet(np.full(_SELLERS, 5.0)))
        amount = np.exp(rng.normal(9.3 + 0.2 * (industry - 2.5), 0.8)).round(-1)
        skill, field_of = rng.normal(0.0, 0.3, (2, _SELLERS)), rng.normal(0.0, 0.25, (2, len(_INDUSTRIES)))
        channel = rng.normal(0.0, 0.15, (2, len(_SOURCES)))
        size = (np.log(amount) - 9.3) / 0.85
        winning = skill[0][seller] + field_of[0][industry] + channel[0][source] - 0.3 * size
        losing = 0.5 * (skill[1][seller] + field_of[1][industry]) + channel[1][source]
        bell = np.exp(-0.5 * (QUALITIES - _SOURCE_QUALITY[source][:, None]) ** 2)
        zombies = _ZOMBIES[source][:, None]
        prior = np.log(bell / bell.sum(axis=1, keepdims=True))
        return cls(
            rng=rng,
            rules=Rules.drawn(winning, losing, rng, luck=luck),
            quality=rng.normal(_SOURCE_QUALITY[source], 1.0),
            zombie=rng.random(deals) < _ZOMBIES[source],
            created=created,
            source=source,
            industry=industry,
            seller=seller,
            amount=amount,
            due=created + np.round(np.exp(rng.normal(4.4, 0.5, deals))).astype(np.int64),
            known=np.stack([prior + np.log1p(-zombies), prior + np.log(zombies)], axis=1),
            stage=np.zeros(deals, dtype=np.int64),
            state=np.full(deals, -1),
            answered=np.full((deals, len(_QUESTIONS)), np.nan),
        )

    def moment(self) -> Moment:
        """What has been recorded says this of each open deal."""
        deal = np.flatnonzero(self.state == _OPEN)
        return Moment(deal, self.stage[deal], self.known[deal])

    def live(self, day: int) -> None:
        """Deals come in the early morning; whatever else happens does so in office hours."""
        self._come(np.flatnonzero(self.created == day), day)
        deal = np.flatnonzero(self.state == _OPEN)
        self._answer(deal, day)
        self._talk(deal, day)
        self._push(deal, day)
        self._move(deal, day)

    def _come(self, deal: Ints, day: int) -> None:
        self.state[deal] = _OPEN
        at = day + self.rng.uniform(8.0, 9.0, len(deal)) / 24.0
        self._write(deal, at, "stage", np.full(len(deal), STAGES[0], dtype=object))
        self._write(deal, at, "owner_id", _sellers()[self.seller[deal]])
        self._write(deal, at, "amount", self.amount[deal].astype(str).astype(object))
        self._write(deal, at, "expected_close_on", _dates(self.due[deal]))

    def _answer(self, deal: Ints, day: int) -> None:
        """Each question is answered once; how soon says nothing, what is said does."""
        soon = -np.expm1(-self.rules.asked(self.stage[deal], day))
        chances = np.log(np.stack([self.rules.answers(QUALITIES, zombie) for zombie in (False, True)]))
        for number, question in enumerate(_QUESTIONS):
            asked = (self.rng.random(len(deal)) < soon) & np.isnan(self.answered[deal, number])
            told = deal[asked]
            sums = self.rules.answers(self.quality[told], self.zombie[told]).cumsum(axis=1)
            answer = (self.rng.random((len(told), 1)) > sums[:, :2]).sum(axis=1)
            self.answered[told, number] = np.array(ANSWERS)[answer]
            self.known[told] += np.moveaxis(chances[:, :, answer], 2, 0)
            words = np.array([f"{value:g}" for value in ANSWERS], dtype=object)
            self._write(told, self._hours(told, day), question, words[answer])

    def _talk(self, deal: Ints, day: int) -> None:
        """Calls and mails, or none: silence is told of as well."""
        stage, age = self.stage[deal], day - self.created[deal]
        expected = self.rules.talks(self.quality[deal], self.zombie[deal], stage, age, day)
        number = self.rng.poisson(expected)
        for place, zombie in enumerate((False, True)):
            would = self.rules.talks(QUALITIES, zombie, stage[:, None], age[:, None], day)
            self.known[deal, place] += number[:, None] * np.log(would) - would
        talked = np.repeat(deal, number)
        self.talks.write(talked, self._hours(talked, day))

    def _push(self, deal: Ints, day: int) -> None:
        """A date that has passed is moved some weeks on; it says nothing about the deal."""
        late = deal[(self.due[deal] < day) & (self.rng.random(len(deal)) < 0.12)]
        self.due[late] = day + self.rng.integers(14, 60, len(late))
        self._write(late, self._hours(late, day), "expected_close_on", _dates(self.due[late]))

    def _move(self, deal: Ints, day: int) -> None:
        """Four ways out of a stage race; at most one move a day."""
        stage, luck = self.stage[deal], self.rules.luck[day]
        true = self.rules.rates(deal, self.quality[deal], stage, day, luck)
        dead = true.of_zombies()
        ways = np.stack([getattr(true, way) for way in _WAYS])
        ways = np.where(self.zombie[deal], np.stack([getattr(dead, way) for way in _WAYS]), ways)
        sums = ways.cumsum(axis=0)
        moved = self.rng.random(len(deal)) < -np.expm1(-sums[-1])
        way = (self.rng.random(len(deal)) * sums[-1] > sums[:-1]).sum(axis=0)
        alive = self.rules.rates(deal[:, None], QUALITIES, stage[:, None], day, luck)
        for place, rates in enumerate((alive, alive.of_zombies())):
            self.known[deal, place] += _told(rates, way, moved)
        ends = np.array(["won", "lost"], dtype=object)
        ended = moved & (way < 2)
        self.state[deal[ended]] = np.array([_WON, _LOST])[way[ended]]
        self._write(deal[ended], self._hours(deal[ended], day), "stage", ends[way[ended]])
        gone = moved & (way >= 2)
        on = np.where((stage == 0) & (self.rng.random(len(deal)) < SKIPPED), 2, 1)
        self.stage[deal[gone]] += np.where(way == 2, on, -1)[gone]
        names = np.array(STAGES, dtype=object)[self.stage[deal[gone]]]
        self._write(deal[gone], self._hours(deal[gone], day), "stage", names)

    def _hours(self, deal: Ints, day: int) -> Floats:
        return day + self.rng.uniform(9.0, 17.9, len(deal)) / 24.0

    def _write(self, deal: Ints, at: Floats, name: str, value: NDArray[Any]) -> None:
        self.events.write(deal, at, np.full(len(deal), name, dtype=object), value)

    def tables(self) -> Tables:
        """The contract tables; what is unknown at the end of the data stays unknown."""
        ids = np.array([f"d{number:06d}" for number in range(len(self.created))], dtype=object)
        sellers = _sellers()
        deal, at, name, value = self.events.columns()
        events = pd.DataFrame(
            {
                "deal_id": ids[deal],
                "recorded_at": _moments(at),
                "field": name,
                "value": value,
                "actor": sellers[self.seller[deal]],
            }
        ).sort_values(["recorded_at", "deal_id"], kind="stable", ignore_index=True)
        talked, at = self.talks.columns()
        kinds = np.array(["call", "email", "meeting", "note"], dtype=object)
        activities = pd.DataFrame(
            {
                "deal_id": ids[talked],
                "occurred_at": _moments(at),
                "kind": kinds[self.rng.choice(4, len(talked), p=(0.3, 0.4, 0.2, 0.1))],
                "direction": np.array(["in", "out"], dtype=object)[self.rng.integers(2, size=len(talked))],
            }
        ).sort_values(["occurred_at", "deal_id"], kind="stable", ignore_index=True)
        first = events.groupby("deal_id")["recorded_at"].min()
        deals = pd.DataFrame(
            {
                "deal_id": ids,
                "pipeline": "sales",
                "motion": "new",
                "created_at": first.reindex(ids).array,
                "source": np.array(_SOURCES, dtype=object)[self.source],
                "owner_id": sellers[self.seller],
                "amount": self.amount,
                "currency": "EUR",
                "expected_close_on": (FIRST_DAY + pd.to_timedelta(self.due, unit="D")).tz_localize(None),
                **dict(zip(_QUESTIONS, self.answered.T, strict=True)),
                "industry": np.array(_INDUSTRIES, dtype=object)[self.industry],
            }
        )
        return Tables.from_frames(
            deals=deals, deal_events=events, activities=activities, stages=_stages(), users=_users()
        )


_WAYS: Final = ("won", "lost", "on", "back")


def _told(rates: Rates, way: Ints, moved: NDArray[np.bool_]) -> Floats:
    """(n, Q) log-likelihood of a day: staying, or the way out that was taken."""
    leaving = rates.any
    told = -leaving
    for number, name in enumerate(_WAYS):
        rows = moved & (way == number)
        with np.errstate(divide="ignore"):  # a zombie is not won: log 0
            of_all = np.log(getattr(rates, name)[rows] / leaving[rows])
        told[rows] = np.log(-np.expm1(-leaving[rows])) + of_all
    return told


def _moments(days: Floats) -> pd.DatetimeIndex:
    return FIRST_DAY + pd.to_timedelta(np.round(days * 86_400.0), unit="s")


def _dates(day: Ints) -> NDArray[Any]:
    return (FIRST_DAY + pd.to_timedelta(day, unit="D")).strftime("%Y-%m-%d").to_numpy(dtype=object)


def _sellers() -> NDArray[Any]:
    return np.array([f"u{number:02d}" for number in range(_SELLERS)], dtype=object)


def _stages() -> pd.DataFrame:
    names = (*STAGES, "won", "lost")
    return pd.DataFrame(
        {
            "pipeline": "sales",
            "stage": names,
            "position": np.arange(1, len(names) + 1),
            "kind": [*("open" for _ in STAGES), "won", "lost"],
            "default_probability": [0.05, 0.15, 0.3, 0.5, 0.7, 1.0, 0.0],
            "label": [name.capitalize() for name in names],
        }
    )


def _users() -> pd.DataFrame:
    team = np.arange(_SELLERS) % _TEAMS
    return pd.DataFrame(
        {
            "user_id": _sellers(),
            "name": _sellers(),
            "team": [f"team {number}" for number in team],
            "region": [f"region {number % 2}" for number in team],
            "active": True,
        }
    )
