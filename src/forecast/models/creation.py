"""How many deals will be created: a weekly rate, or the clock that a win starts in its account.

*Rate.* The number of deals created in a week is Poisson with mean exp(level + slope x years + effect of the
month), fitted to all weeks so far, older ones with less weight (half after a year); slope and months are
shrunk to none. The plain mean of the last 52 weeks takes its place where there is less than a year to learn
from, or where it would clearly have been nearer to the last quarters: by more than two units of
log-likelihood.

*After wins.* A contract won today is renewed next year. Deals of a motion are created in an account at

    rate(t) = background + sum over wins w of the account before t of clock(t - w)

per day, with a clock that is constant in bins of the delay. It is estimated by sharing every creation out
among the wins that may have caused it (and the background), in proportion to their rates, and counting per
day at risk; wins whose delay is not over yet are at risk until now, so censoring is part of it. Motions most
of whose deals follow a win are tried; the clock is used if it foretold the last quarters better than the
rate.

Source: model-independent stochastic declustering (Marsan and Lengline 2008), which is expectation maximisation
for a Hawkes process with a step function as kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import WON, History
from forecast.models.shock import past_quarters
from forecast.models.spread import Spread, shrunk_spread
from forecast.periods import DAY_US, Period

__all__ = ["Clock", "Creation", "Rate", "Wins", "fit_creation"]

_WEEK_US: Final = 7 * DAY_US
_PLAIN_WEEKS: Final = 52
_HALF_LIFE_WEEKS: Final = 52.0
_LEAST_WEEKS: Final = 52  # fewer, and nothing but the plain mean is tried
_FIRST_WEEKS: Final = 26  # quarters this early in the data tell nothing about how well they were foretold
_SLOPE_SD: Final = 0.3  # of the log-rate per year, before any data
_MONTH_SD: Final = 0.2
_PRIOR_SD: Final = 0.10  # between quarters, before any data; see `spread`
_PRIOR_QUARTERS: Final = 4.0
# Half months until a year and a quarter, then months: contracts of one, two and three years.
_DELAY_EDGES: Final = np.concatenate((np.arange(0.0, 450.0, 15.0), np.arange(450.0, 1201.0, 30.0)))
_FOLLOWING: Final = 0.5  # share of a motion's deals that must follow a win in their account
_LEAST_CREATED: Final = 20
_ROUNDS: Final = 30
_CLEARLY: Final = 2.0  # units of log-likelihood
_PRIOR_LEVEL: Final = 5.0  # and by as many the level of the last year is drawn to that of all years
_PRIOR_CREATED: Final = 0.02  # creations that a bin of the clock is diluted with; all bins together: one


@dataclass(frozen=True)
class Rate:
    """Deals created per week as a function of the date.

    at_us : moment the level belongs to
    per_week : rate there, in an average month
    slope : change of the log-rate per year
    months : (12,) log-effects, January first
    """

    at_us: int
    per_week: float
    slope: float
    months: Floats

    def expected(self, start_us: Ints, end_us: Ints) -> Floats:
        """(W,) deals created in short spans [start, end), taken at their middles."""
        middle_us = (start_us + end_us) // 2
        # A trend is not trusted for longer than a year beyond what was seen.
        years = np.minimum((middle_us - self.at_us) / DAY_US / 365.25, 1.0)
        return (
            self.per_week
            * np.exp(self.slope * years + self.months[_month(middle_us)])
            * ((end_us - start_us) / _WEEK_US)
        )


@dataclass(frozen=True)
class Wins:
    """Wins of accounts, which may be followed by renewals and expansions.

    account, at_us, owner : (w,) owner codes are those of now
    per_day : wins per day lately, for those still to come
    """

    account: Ints
    at_us: Ints
    owner: Ints
    per_day: float

    @classmethod
    def before(cls, history: History, until_us: int) -> Wins:
        """Wins recorded before a moment, of deals with an account."""
        closings = history.closings
        account = history.columns.account[closings.deal]
        known = (closings.at_us < until_us) & (closings.kind == WON) & (account >= 0)
        deal = closings.deal[known]
        owner = history.owner(deal, np.full(len(deal), until_us))
        return cls(account[known], closings.at_us[known], owner, 0.0).known_before(until_us)

    @classmethod
    def remembered(cls, at_us: Any, owner: Any) -> Wins:
        """Wins as a model keeps them: for what follows a win it does not matter in which account."""
        moments = np.array(at_us, dtype=np.int64)
        return cls(np.zeros_like(moments), moments, np.array(owner, dtype=np.int64), 0.0)

    def known_before(self, until_us: int) -> Wins:
        """Those of them before an earlier moment, with the number per day of the year before it."""
        early = self.at_us < until_us
        at_us = self.at_us[early]
        days = _days_back(at_us, until_us)
        recent = float((at_us >= until_us - days * DAY_US).sum())
        return Wins(self.account[early], at_us, self.owner[early], recent / days)


def _days_back(at_us: Ints, until_us: int) -> float:
    """Days of the last year that moments cover: at least one, to divide by."""
    return float(np.clip((until_us - int(at_us.min(initial=until_us))) / DAY_US, 1.0, _PLAIN_WEEKS * 7.0))


@dataclass(frozen=True)
class Clock:
    """Deals created per day by the delay since a win in the account.

    rate : (len(_DELAY_EDGES) - 1,) per win and day
    background : deals per day without a win before them
    """

    rate: Floats
    background: float

    def per_win(self, wins: Wins, start_us: int, end_us: int) -> Floats:
        """(w,) deals expected in [start, end) after each known win."""
        return self._until((end_us - wins.at_us) / DAY_US) - self._until((start_us - wins.at_us) / DAY_US)

    def others(self, wins: Wins, as_of_us: int, start_us: int, end_us: int) -> float:
        """Deals expected in [start, end) without a win so far: background, and wins still to come."""
        days = (end_us - start_us) / DAY_US
        ahead = np.arange(as_of_us + DAY_US // 2, end_us, DAY_US)
        follow = self._until((end_us - ahead) / DAY_US) - self._until((start_us - ahead) / DAY_US)
        return self.background * days + wins.per_day * float(follow.sum())

    def _until(self, days: Floats) -> Floats:
        total = np.concatenate(([0.0], np.cumsum(self.rate * np.diff(_DELAY_EDGES))))
        return np.interp(days, _DELAY_EDGES, total)


@dataclass(frozen=True)
class Creation:
    """Creation of deals by motion.

    rates : one per motion
    clocks : one per motion, None where the rate serves
    wins : known at `until_us`, which the clocks follow; owner codes are places in the owners of the model
    spread : of whole quarters around the number expected, relative; chance of single deals apart
    """

    rates: tuple[Rate, ...]
    clocks: tuple[Clock | None, ...]
    wins: Wins
    until_us: int
    spread: Spread

    def expected(
        self, history: History, as_of_us: int, start_us: Ints, end_us: Ints, owners: tuple[str, ...]
    ) -> tuple[Floats, Floats]:
        """Deals of each motion created in W short spans from `as_of` on.

        history : read for wins since the model was learnt; those before it the model remembers, since a
            request holds open deals only
        owners : (O,) names of the owners by code

        Returns (M, W) numbers, and (M, O) how many of all of them follow wins of each owner.
        """
        number = np.stack([rate.expected(start_us, end_us) for rate in self.rates])
        inherited = np.zeros((len(self.rates), len(owners)))
        if any(clock is not None for clock in self.clocks):
            wins = self._wins_before(history, as_of_us, owners)
            owned = wins.owner >= 0
            for m, clock in enumerate(self.clocks):
                if clock is None:
                    continue
                for w, (start, end) in enumerate(zip(start_us.tolist(), end_us.tolist(), strict=True)):
                    follow = clock.per_win(wins, start, end)
                    number[m, w] = follow.sum() + clock.others(wins, as_of_us, start, end)
                    inherited[m] += np.bincount(wins.owner[owned], follow[owned], minlength=len(owners))
        return number, inherited

    def _wins_before(self, history: History, as_of_us: int, owners: tuple[str, ...]) -> Wins:
        """Wins remembered, and those of the history since."""
        since = Wins.before(history, as_of_us)
        new = since.at_us >= self.until_us
        place = {name: code for code, name in enumerate(owners)}
        texts = history.vocabulary("owner_id").texts
        code = np.array([*(place.get(text, -1) for text in texts), -1], dtype=np.int64)
        return Wins(
            np.concatenate((self.wins.account, since.account[new])),
            np.concatenate((self.wins.at_us, since.at_us[new])),
            np.concatenate((self.wins.owner, code[since.owner[new]])),
            0.0,
        ).known_before(as_of_us)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "rates": [
                {"at_us": r.at_us, "per_week": r.per_week, "slope": r.slope, "months": r.months.tolist()}
                for r in self.rates
            ],
            "clocks": [
                None if c is None else {"rate": c.rate.tolist(), "background": c.background}
                for c in self.clocks
            ],
            "wins": {"at_us": self.wins.at_us.tolist(), "owner": self.wins.owner.tolist()},
            "until_us": self.until_us,
            "spread": [self.spread.sd, self.spread.df, self.spread.prior_df],
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Creation:
        """Inverse of `to_json`."""
        return cls(
            tuple(
                Rate(
                    int(row["at_us"]),
                    float(row["per_week"]),
                    float(row["slope"]),
                    np.array(row["months"], dtype=np.float64),
                )
                for row in data["rates"]
            ),
            tuple(
                None
                if row is None
                else Clock(np.array(row["rate"], dtype=np.float64), float(row["background"]))
                for row in data["clocks"]
            ),
            Wins.remembered(data["wins"]["at_us"], data["wins"]["owner"]),
            int(data["until_us"]),
            Spread(*(float(value) for value in data["spread"])),
        )


def fit_creation(history: History, born_us: Ints, motion: Ints, account: Ints, until_us: int) -> Creation:
    """Learn from the deals known before `until_us`.

    born_us, motion, account : (n,) of these deals; motion 0 .. M-1 with M the motions of the history
    """
    motions = max(len(history.vocabulary("motion").texts), 1)
    first_us = int(born_us.min(initial=until_us))
    wins = Wins.before(history, until_us)
    accounts = len(np.unique(account[account >= 0]))
    quarters = past_quarters(first_us + _FIRST_WEEKS * _WEEK_US, until_us)
    rates: list[Rate] = []
    clocks: list[Clock | None] = []
    came = np.zeros(len(quarters))
    expected = np.zeros(len(quarters))
    for m in range(motions):
        births = _Births(np.sort(born_us[motion == m]), first_us)
        children = _Children.of(account[motion == m], born_us[motion == m], wins, accounts)
        seen = np.array([births.between(q.start_us, q.end_us) for q in quarters], dtype=np.float64)
        best = _foretold(births.quarter, quarters, False)
        plain = _gain(_foretold(births.quarter, quarters, True), best, seen) > _CLEARLY
        if plain:
            best = _foretold(births.quarter, quarters, True)
        rates.append(births.rate(until_us, plain))
        clocks.append(None)
        if len(births) >= _LEAST_CREATED and children.following >= _FOLLOWING * len(births):
            said = _foretold(children.quarter, quarters, wins)
            if _gain(said, best, seen) > 0.0:
                best = said
                clocks[m] = children.clock(wins, until_us)
        came += seen
        expected += best
    error = came / np.maximum(expected, 1e-6) - 1.0
    telling = expected > 1.0
    spread = shrunk_spread(
        error[telling], 1.0 / expected[telling], prior_sd=_PRIOR_SD, prior_quarters=_PRIOR_QUARTERS
    )
    followed = wins.at_us >= until_us - round(_DELAY_EDGES[-1] * DAY_US)
    followed &= any(clock is not None for clock in clocks)
    kept = Wins.remembered(wins.at_us[followed], wins.owner[followed])
    return Creation(tuple(rates), tuple(clocks), kept, until_us, spread)


def _gain(said: Floats, best: Floats, seen: Floats) -> float:
    """How much more likely all quarters were by what `said` foretold than by `best`, Poisson log-likelihood."""
    return float((seen * np.log(said / best) - (said - best)).sum())


def _foretold(say: Callable[..., float], quarters: list[Period], *how: Any) -> Floats:
    """(Q,) what one way to forecast would have said at the start of each quarter."""
    return np.array([max(say(q.start_us, q.end_us, *how), 1e-6) for q in quarters])


def _month(at_us: Ints) -> Ints:
    """0 for January."""
    day = (np.asarray(at_us) // DAY_US).astype("datetime64[D]")
    months: Ints = day.astype("datetime64[M]").astype(np.int64) % 12
    return months


@dataclass(frozen=True)
class _Births:
    """When deals of one motion were created, sorted, and where the data begins."""

    at_us: Ints
    first_us: int

    def __len__(self) -> int:
        return len(self.at_us)

    def between(self, start_us: int, end_us: int) -> int:
        """How many in [start, end)."""
        low, high = np.searchsorted(self.at_us, (start_us, end_us))
        return int(high - low)

    def quarter(self, start_us: int, end_us: int, plain: bool) -> float:
        """Deals that a rate learnt before `start` expected in [start, end)."""
        edges = np.append(np.arange(start_us, end_us, _WEEK_US), end_us)
        return float(self.rate(start_us, plain).expected(edges[:-1], edges[1:]).sum())

    def rate(self, until_us: int, plain: bool) -> Rate:
        """The rate as learnt from deals created before `until_us`; plain is the mean of a year."""
        return _fit_rate(self, until_us, plain)


def _fit_rate(births: _Births, until_us: int, plain: bool) -> Rate:
    first_us = births.first_us
    weeks = max((until_us - first_us) // _WEEK_US, 0)
    none = np.zeros(12)
    if plain or weeks < _LEAST_WEEKS:
        span_us = min(max(until_us - first_us, _WEEK_US), _PLAIN_WEEKS * _WEEK_US)
        # Before data there is no rate to speak of: one week is the least that is divided by.
        return Rate(until_us, births.between(until_us - span_us, until_us) / (span_us / _WEEK_US), 0.0, none)
    edges = until_us - np.arange(weeks, -1, -1) * _WEEK_US
    count = np.diff(np.searchsorted(births.at_us, edges)).astype(np.float64)
    middle_us = (edges[:-1] + edges[1:]) // 2
    years = (middle_us - until_us) / DAY_US / 365.25
    weight = 0.5 ** ((until_us - middle_us) / _WEEK_US / _HALF_LIFE_WEEKS)
    in_month = (_month(middle_us)[:, None] == np.arange(12)).astype(np.float64)
    design = np.hstack((np.ones((weeks, 1)), years[:, None], in_month))
    precision = np.concatenate(([1e-6, 1.0 / _SLOPE_SD**2], np.full(12, 1.0 / _MONTH_SD**2)))
    beta = np.zeros(14)
    beta[0] = np.log(max(float(weight @ count), 0.5) / float(weight.sum()))
    for _ in range(30):
        mean = np.exp(np.clip(design @ beta, -20.0, 20.0))
        gradient = design.T @ (weight * (count - mean)) - precision * beta
        hessian = (design * (weight * mean)[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + np.clip(step, -1.0, 1.0)
        if np.abs(step).max() < 1e-9:
            break
    return Rate(until_us, float(np.exp(beta[0])), float(beta[1]), beta[2:])


@dataclass(frozen=True)
class _Children:
    """Deals of one motion and the wins of their accounts before them.

    born_us : (c,); child, delay_days : (p,) pairs of a deal and an earlier win
    accounts : how many share the background
    """

    born_us: Ints
    child: Ints
    delay_days: Floats
    accounts: int

    @property
    def following(self) -> int:
        """How many deals have a win before them."""
        return len(np.unique(self.child))

    @classmethod
    def of(cls, account: Ints, born_us: Ints, wins: Wins, accounts: int) -> _Children:
        order = np.argsort(wins.account, kind="stable")
        low = np.searchsorted(wins.account[order], account, side="left")
        count = np.where(account >= 0, np.searchsorted(wins.account[order], account, side="right") - low, 0)
        child = np.repeat(np.arange(len(account)), count)
        within = np.arange(len(child)) - np.repeat(np.cumsum(count) - count, count)
        win = order[np.repeat(low, count) + within]
        delay = (born_us[child] - wins.at_us[win]) / DAY_US
        kept = (delay > 0) & (delay < _DELAY_EDGES[-1])
        return cls(born_us, child[kept], delay[kept], max(accounts, 1))

    def quarter(self, start_us: int, end_us: int, wins: Wins) -> float:
        """Deals that a clock learnt before `start` expected in [start, end)."""
        then = wins.known_before(start_us)
        clock = self.clock(then, start_us)
        return float(clock.per_win(then, start_us, end_us).sum()) + clock.others(
            then, start_us, start_us, end_us
        )

    def clock(self, wins: Wins, until_us: int) -> Clock:
        """The clock as learnt from deals created before `until_us`; wins are those before it."""
        return _fit_clock(self, wins, until_us)


def _fit_clock(children: _Children, wins: Wins, until_us: int) -> Clock:
    """Share creations out among wins and background until it settles."""
    known = children.born_us[children.child] < until_us
    child, delay = children.child[known], children.delay_days[known]
    bins = len(_DELAY_EDGES) - 1
    place = np.clip(np.searchsorted(_DELAY_EDGES, delay, side="right") - 1, 0, bins - 1)
    waited = (until_us - wins.at_us[wins.at_us < until_us]) / DAY_US
    at_risk = np.diff(np.minimum(_DELAY_EDGES, waited[:, None]), axis=1).sum(axis=0)
    born = children.born_us[children.born_us < until_us]
    # The background is that of the last year: in the first one the wins before the data began stand behind it.
    days = _days_back(born, until_us)
    recent = np.flatnonzero((children.born_us < until_us) & (children.born_us >= until_us - days * DAY_US))
    mean = max(len(np.unique(child)), 0.5) / max(float(at_risk.sum()), 1.0)
    rate = np.full(bins, mean)
    background = 0.5 * len(recent) / days
    for _ in range(_ROUNDS):
        pull = rate[place]
        each = max(background / children.accounts, 1e-12)  # of one account
        total = np.bincount(child, pull, minlength=len(children.born_us)) + each
        caused = np.bincount(place, pull / total[child], minlength=bins)
        background = float((each / total[recent]).sum()) / days
        rate = np.where(at_risk > 0, (caused + _PRIOR_CREATED) / (at_risk + _PRIOR_CREATED / mean), 0.0)
        # The dilution smooths the clock; it adds no deals.
        rate *= float(caused.sum()) / max(float(rate @ at_risk), 1e-12)
    # What a win is followed by changes over the years: the level is that of the last one.
    since_us = until_us - round(days * DAY_US)
    passed = Clock(rate, 0.0).per_win(wins, since_us, until_us)
    lately = float(np.where(wins.at_us < until_us, passed, 0.0).sum())
    came = float(len(recent)) - background * days
    return Clock(rate * (came + _PRIOR_LEVEL) / (lately + _PRIOR_LEVEL), background)
