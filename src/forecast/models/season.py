"""Season: how much more, or less, likely a day of the calendar is to see deals won or lost.

A multiplicative profile over the position of the day in its quarter, its month and its week, estimated by a
Poisson regression of the day's closings on the number of deals open that day. Every calendar quarter has its
own level (a fixed effect), so that neither growth, nor ageing of the pipeline, nor a good year leaks into the
profile. The profile enters the hazard as exposure: one day at three times the rate counts as three days.

Source: piecewise-exponential models as Poisson regressions (Holford 1980; Laird and Olivier 1981), with
calendar-period effects as in age-period models (Clayton and Schifflers 1987).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints

__all__ = ["COLUMNS", "Season", "calendar_columns", "fit_season", "season_days"]

_QUARTER_END: Final = (1, 2, 4, 7, 14, 28)  # buckets of days left: 1 is the last day of the quarter
_MONTH_END: Final = (1, 2, 4)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
COLUMNS: Final = (
    *(f"quarter_end_{days}d" for days in _QUARTER_END),
    "quarter_start_7d",
    "month_2_of_quarter",
    "month_3_of_quarter",
    *_MONTHS,
    *(f"month_end_{days}d" for days in _MONTH_END),
    *_WEEKDAYS,
)
# Groups of columns enter one by one: a quarter-end spike says nothing about weekdays.
_GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "month of quarter": ("month_2_of_quarter", "month_3_of_quarter"),
    "month of the year": _MONTHS,
    "edges of the quarter": (*(f"quarter_end_{days}d" for days in _QUARTER_END), "quarter_start_7d"),
    "end of the month": tuple(f"month_end_{days}d" for days in _MONTH_END),
    "weekday": _WEEKDAYS,
}
# Standard deviation of a log-rate before any data: a factor of three is unusual but possible.
_PRIOR_SD: Final = 0.7
# Of the months of a quarter while no later quarter could confirm them, and of what happens to a month once.
_UNPROVEN_SD: Final = 0.3
_MONTH_SD: Final = 0.2
_MIN_CLOSED: Final = 30  # with fewer closings, or fewer days than a month and a bit, no profile is tried
_MIN_DAYS: Final = 40
_CACHE_DAYS: Final = 84_100  # 1970 to 2200


def calendar_columns(day: Ints, first_month: int = 1) -> NDArray[np.float64]:
    """(n, len(COLUMNS)) indicators of days given as days since 1970.

    first_month : 1 to 12, the month in which fiscal years, and with them quarters, begin
    """
    month_number = _month(day)
    # A quarter begins every three months, counted from the first month of the fiscal year.
    quarter = _first_month_of_quarter(month_number, first_month)
    quarter_start = _first_day(quarter)
    left_in_quarter = _first_day(quarter + 3) - day
    left_in_month = _first_day(month_number + 1) - day
    into_quarter = day - quarter_start
    weekday = (day + 3) % 7  # 1970-01-01 was a Thursday
    columns = [
        *_buckets(left_in_quarter, _QUARTER_END),
        into_quarter < 7,
        month_number - quarter == 1,
        month_number - quarter == 2,
        *(month_number % 12 == number for number in range(12)),
        *_buckets(left_in_month, _MONTH_END),
        *(weekday == number for number in range(7)),
    ]
    return np.stack(columns, axis=1).astype(np.float64)


def _month(day: Ints) -> Ints:
    """Months since January 1970."""
    return day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)


def _first_month_of_quarter(month: Ints, first_month: int) -> Ints:
    """First month of the (fiscal) quarter each month lies in, both counted since January 1970."""
    shift = (first_month - 1) % 3
    return (month - shift) // 3 * 3 + shift


def _first_day(month: Ints) -> Ints:
    """First day of each month, both counted since January 1970."""
    return month.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)


def _buckets(left: Ints, edges: tuple[int, ...]) -> list[NDArray[np.bool_]]:
    """One indicator per bucket (0, 1], (1, 2], (2, 4] ... of days left."""
    return [(left > low) & (left <= high) for low, high in zip((0, *edges[:-1]), edges, strict=True)]


@dataclass(frozen=True)
class Season:
    """A fitted profile; `effects` of zero everywhere is no season at all.

    effects : (len(COLUMNS),) log-rate of each calendar column
    first_month : in which fiscal years begin
    """

    effects: NDArray[np.float64]
    first_month: int = 1

    @classmethod
    def flat(cls) -> Season:
        """No season: every day counts as one day."""
        return cls(np.zeros(len(COLUMNS)))

    @cached_property
    def is_flat(self) -> bool:
        """Whether all days are alike."""
        return not self.effects.any()

    def rate(self, day: Ints) -> Floats:
        """Rate of days (since 1970) relative to an average day of a long run of years."""
        return np.exp(calendar_columns(day, self.first_month) @ self.effects - self._level)

    @cached_property
    def _level(self) -> float:
        # The average is taken over 28 whole years, after which the calendar repeats.
        days = np.arange(10_957, 10_957 + 28 * 365 + 7)
        return float(np.log(np.mean(np.exp(calendar_columns(days, self.first_month) @ self.effects))))

    @cached_property
    def _cumulative(self) -> Floats:
        """Season days from 1970 to the start of each day until 2200."""
        if self.is_flat:
            return np.arange(_CACHE_DAYS + 1, dtype=np.float64)
        return np.concatenate(([0.0], np.cumsum(self.rate(np.arange(_CACHE_DAYS)))))

    def until(self, at_days: Floats) -> Floats:
        """Season days from 1970 until moments given in (fractional) days since 1970; any shape.

        The difference of two of these is the exposure between two moments.
        """
        until: Floats = season_days((self,), np.asarray(at_days, dtype=np.float64))[0]
        return until

    def to_json(self) -> dict[str, Any]:
        """Effects by column name, and the first month of the fiscal year."""
        effects = {name: float(effect) for name, effect in zip(COLUMNS, self.effects, strict=True)}
        return {"effects": effects, "first_month": self.first_month}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Season:
        """Inverse of `to_json`."""
        effects = np.array([float(data["effects"][name]) for name in COLUMNS])
        return cls(effects, int(data["first_month"]))


def season_days(seasons: tuple[Season, ...], at_days: Floats) -> Floats:
    """(S, ...) what `until` of each of S seasons says of the same moments, of any shape."""
    found = np.empty((len(seasons), *at_days.shape))
    # np.clip says the same, and takes several times as long for a few values.
    whole = np.minimum(np.maximum(at_days.astype(np.int64), 0), _CACHE_DAYS - 1)
    part = at_days - whole
    for row, season in enumerate(seasons):
        if season.is_flat:
            found[row] = at_days
        else:
            start = season._cumulative[whole]
            found[row] = start + (season._cumulative[whole + 1] - start) * part
    return found


def fit_season(day: Ints, at_risk: Floats, closed: Floats, first_month: int = 1) -> Season:
    """Fit a profile to daily counts, from the groups of columns that foretell the days of later quarters.

    The first 70 % of the closings choose: groups join one after the other, the most telling first, as long as
    each makes the days of the remaining closings more likely. What joined is then fitted to all days.

    The months of a quarter cannot be judged like that before a whole quarter lies in the part that chooses. But
    that a quarter's end is busier is what most companies see, so until then a single whole quarter is believed
    in part: drawn to no profile, and each month as if something of its own had happened to it, too.

    day : (d,) consecutive days since 1970
    at_risk : (d,) deals open that day
    closed : (d,) deals won (or lost) that day
    first_month : in which fiscal years begin
    """
    used = at_risk > 0
    day, at_risk, closed = day[used], at_risk[used], closed[used]
    if closed.sum() < _MIN_CLOSED or np.ptp(day) < _MIN_DAYS:
        return Season.flat()
    quarter = _first_month_of_quarter(_month(day), first_month)
    cut = day[np.searchsorted(np.cumsum(closed), 0.7 * closed.sum())]
    early, late = day < cut, day >= cut
    if closed[early].sum() < _MIN_CLOSED / 2 or closed[late].sum() < _MIN_CLOSED / 4:
        return Season.flat()

    calendar = calendar_columns(day, first_month)

    def gain(groups: tuple[str, ...]) -> float:
        columns = _columns_of(groups)
        trial = _poisson_effects(calendar[early], at_risk[early], closed[early], quarter[early], columns)
        return _gain(Season(trial, first_month), day[late], at_risk[late], closed[late], quarter[late])

    # One year alone cannot tell August from a slow summer: months need a second one to agree.
    offered = [name for name in _GROUPS if name != "month of the year" or _every_month_twice(day)]
    chosen: tuple[str, ...] = ()
    best = 0.0
    unproven = not _whole_quarter(day[early], first_month) and _whole_quarter(day, first_month)
    if unproven:
        offered.remove("month of quarter")
    while len(chosen) < len(offered):
        found = {name: gain((*chosen, name)) for name in offered if name not in chosen}
        name = max(found, key=lambda key: found[key])
        if found[name] <= best:
            break
        chosen, best = (*chosen, name), found[name]
    effects = np.zeros(len(COLUMNS))
    if unproven:
        month = np.unique(_month(day), return_inverse=True)[1]
        known = 1.0 / (1.0 + _MONTH_SD**2 * np.bincount(month, closed))[month]
        columns = _columns_of(("month of quarter",))
        effects = _poisson_effects(calendar, at_risk * known, closed * known, quarter, columns, _UNPROVEN_SD)
        at_risk = at_risk * np.exp(calendar @ effects)
    if chosen:
        effects = effects + _poisson_effects(calendar, at_risk, closed, quarter, _columns_of(chosen))
    return Season(effects, first_month)


def _every_month_twice(day: Ints) -> bool:
    """Whether every month of the year has days in at least two years."""
    months = np.unique(_month(day))
    return bool((np.bincount(months % 12, minlength=12) >= 2).all())


def _whole_quarter(day: Ints, first_month: int) -> bool:
    """Whether all days of some quarter are among these."""
    quarter, days = np.unique(_first_month_of_quarter(_month(day), first_month), return_counts=True)
    return bool((days == _first_day(quarter + 3) - _first_day(quarter)).any())


def _columns_of(groups: tuple[str, ...]) -> Ints:
    return np.array([COLUMNS.index(name) for group in groups for name in _GROUPS[group]], dtype=np.int64)


def _poisson_effects(
    calendar: Floats, at_risk: Floats, closed: Floats, quarter: Ints, columns: Ints, sd: float = _PRIOR_SD
) -> Floats:
    """(len(COLUMNS),) effects of the chosen columns by Newton's method; quarters free, effects shrunk to 0."""
    level: Floats = (quarter[:, None] == np.unique(quarter)).astype(np.float64)
    design = np.hstack((calendar[:, columns], level))
    profile = len(columns)
    precision = np.full(design.shape[1], 1e-3)
    precision[:profile] = 1.0 / sd**2
    offset = np.log(at_risk)
    beta = np.zeros(design.shape[1])
    beta[profile:] = np.log(max(closed.sum(), 0.5) / at_risk.sum())
    for _ in range(50):
        mean = np.exp(np.clip(design @ beta + offset, -50.0, 50.0))
        gradient = design.T @ (closed - mean) - precision * beta
        hessian = (design * mean[:, None]).T @ design + np.diag(precision)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-9:
            break
    effects: Floats = np.zeros(len(COLUMNS))
    effects[columns] = beta[:profile]
    return effects


def _gain(season: Season, day: Ints, at_risk: Floats, closed: Floats, quarter: Ints) -> float:
    """Log-likelihood gained over a flat profile in telling on which days of a quarter deals close."""
    gain = 0.0
    rate = season.rate(day)
    for number in np.unique(quarter):
        here = quarter == number
        share = at_risk[here] * rate[here]
        flat = at_risk[here]
        gain += float(closed[here] @ np.log((share / share.sum()) / (flat / flat.sum())))
    return gain
