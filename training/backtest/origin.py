"""One origin: what was said at it by everybody, and what came.

What is said reads the history through as-of look-ups only and is complete before what came is looked at; a test
deletes all later rows of the tables and demands the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from forecast.arrays import Bools, Floats, Ints
from forecast.bundle import Bundle
from forecast.errors import DataError
from forecast.evaluation import metrics
from forecast.evaluation.baselines import (
    Linearity,
    SameQuarterLastYear,
    StageRate,
    all_baselines,
    all_bookings_baselines,
)
from forecast.evaluation.baselines.bookings import amounts_of
from forecast.evaluation.baselines.interface import PeriodForecast
from forecast.evaluation.baselines.past import booked_between
from forecast.history import History, make_landmarks
from forecast.models import FitSettings, Recipe, fit_models
from forecast.outlook import make_outlook
from forecast.periods import DAY_US, as_of_us
from forecast.rollup import LEVELS, Hierarchy
from forecast.tables import Tables
from training.backtest.plan import Origin

__all__ = [
    "ACTUAL",
    "BOOKINGS_COLUMNS",
    "LINES",
    "OURS",
    "QUANTILES",
    "Said",
    "came",
    "deal_columns",
    "said_at",
]

OURS: Final = "ours"
ACTUAL: Final = "actual"
# Parts of a quarter's bookings: booked + open + arrivals = total, open + arrivals = remaining.
LINES: Final = ("booked", "open", "arrivals", "remaining", "total")
QUANTILES: Final[Mapping[str, float]] = {"p025": 0.025, "p10": 0.1, "p50": 0.5, "p90": 0.9, "p975": 0.975}
BOOKINGS_COLUMNS: Final = (
    "period", "as_of", "week", "level", "entity", "forecaster", "line", "value", *QUANTILES, "quota",
    "attainment_probability", "crps", "actual",
)  # fmt: skip
# Of our total only: no rule of thumb says how sure it is.
_OF_TOTAL: Final = (*QUANTILES, "quota", "attainment_probability")
_KEYS: Final = ["level", "entity"]
# Rules that know what is still to come as one sum, not how much of it is there already.
_TOTALS_ONLY: Final = (Linearity.name, SameQuarterLastYear.name)


def deal_columns(horizons_days: Sequence[int]) -> list[str]:
    """Columns of the table of deals.

    won_..d, won_in_period : the probability said; in the rows of the forecaster `actual` 1 if the deal was won
        in time and 0 if not, NaN where the data end too early to know
    won_by_next, open_by_next : ours only, until the quarter's next look
    quiet : the deal was open at the look before and nothing was recorded of it since
    """
    return [
        "period", "as_of", "week", "deal_id", "account_id", "forecaster", *_chances(horizons_days),
        "won_by_next", "open_by_next", "quiet",
    ]  # fmt: skip


@dataclass(frozen=True)
class Said:
    """Everything said at one origin.

    bookings : rows of level, entity, forecaster, line, value and, of our total, quantiles, quota and
        attainment_probability; empty if no amount of any deal is known
    company_draws : (S,) scenarios of our company total
    deals : rows of deal_id, account_id, forecaster, the chances, won_by_next, open_by_next, quiet
    recipe : what our models were made by; reason : why it was chosen
    """

    bookings: pd.DataFrame
    company_draws: Floats
    deals: pd.DataFrame
    recipe: Recipe
    reason: str


def said_at(
    tables: Tables,
    history: History,
    origin: Origin,
    settings: FitSettings,
    horizons_days: Sequence[int],
    recipe: Recipe | None,
) -> Said:
    """Learn from what was recorded before the origin, and forecast.

    recipe : the kind of model to learn; None chooses it by what is known at this origin
    Raises DataError if nothing was recorded before it.
    """
    # The order of sums must not depend on how many threads there are.
    with threadpool_limits(limits=1):
        return _said_at(tables, history, origin, settings, horizons_days, recipe)


def _said_at(
    tables: Tables,
    history: History,
    origin: Origin,
    settings: FitSettings,
    horizons_days: Sequence[int],
    recipe: Recipe | None,
) -> Said:
    at_us, period = as_of_us(origin.as_of), origin.period
    models = fit_models(history, origin.as_of, settings, recipe=recipe)
    reason = next((rung.reason for rung in models.ladder if rung.chosen), "")
    deal = history.open_deals(at_us)
    when = np.full(len(deal), at_us)
    to_end = (period.end_us - at_us) / DAY_US
    asked = (*horizons_days, to_end)

    to_next = (as_of_us(origin.after) - at_us) / DAY_US
    curves = models.incidence(history, deal, at_us, (*asked, to_next))
    chances = {OURS: curves[:, 1, :-1]}
    learn = make_landmarks(history, until_us=at_us, every_days=settings.landmark_every_days).thin(
        settings.max_landmarks, np.random.default_rng(settings.seed)
    )
    baselines = all_baselines(settings.seed)
    for baseline in baselines:
        baseline.fit(history, learn)
        chances[baseline.name] = baseline.predict(history, deal, when, asked)
    deals = _deals(history, origin, deal, chances, horizons_days)
    ours = deals["forecaster"] == OURS
    deals["won_by_next"] = np.where(ours, np.tile(curves[:, 1, -1], len(chances)), np.nan)
    deals["open_by_next"] = np.where(ours, np.tile(curves[:, 0, -1], len(chances)), np.nan)

    rates = next(one.rate for one in baselines if isinstance(one, StageRate))
    rules = {rule.name: rule.forecast(history, at_us, period) for rule in all_bookings_baselines(rates)}
    booked = booked_between(history, at_us, period.start_us, period.end_us)
    for name, chance in chances.items():
        if name != OURS and name not in rules:
            # A rule that knows chances and no bookings is used as one would: chance times today's amount.
            rules[name] = PeriodForecast(
                booked, amounts_of(history, deal, when, chance[:, -1]), booked.iloc[:0, 1:]
            )
    try:
        outlook = make_outlook(
            tables, Bundle("", {}, models, []), as_of=origin.as_of, period=period, history=history, reasons=0,
            seed=settings.seed,
        )  # fmt: skip
    except DataError as error:
        if error.code != "no_amounts":  # chances can be measured without any
            raise
        return Said(pd.DataFrame(), np.empty(0), deals, models.recipe, reason)
    table = outlook.bookings.table.merge(outlook.bookings.tails, on=_KEYS, validate="1:1")
    bookings = pd.concat([_ours(table), *_rules(rules, tables.users)], ignore_index=True)
    return Said(bookings, outlook.bookings.company_draws, deals, models.recipe, reason)


def came(
    said: Said, tables: Tables, history: History, origin: Origin, until_us: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The two tables of an origin, complete: what was said beside what came.

    until_us : the end of what was recorded: an outcome later than this is unknown
    Returns rows of `BOOKINGS_COLUMNS` and of `deal_columns`.
    """
    about: dict[str, Any] = {
        "period": origin.period.label,
        "as_of": origin.as_of,
        "week": origin.week,
    }
    deals = pd.concat([said.deals, _outcomes(said.deals, history, origin, until_us)], ignore_index=True)
    for place, (name, value) in enumerate(about.items()):
        deals.insert(place, name, value)
    if said.bookings.empty:
        return pd.DataFrame(columns=list(BOOKINGS_COLUMNS)), deals
    actual = _came_by_line(history, origin, tables.users)
    bookings = _joined(said, actual)
    for name, value in about.items():
        bookings[name] = value
    return bookings[list(BOOKINGS_COLUMNS)], deals


def _chances(horizons_days: Sequence[int]) -> list[str]:
    return [*(f"won_{horizon}d" for horizon in horizons_days), "won_in_period"]


# -- deals ------------------------------------------------------------------------------------------------


def _deals(
    history: History, origin: Origin, deal: Ints, chances: Mapping[str, Floats], horizons_days: Sequence[int]
) -> pd.DataFrame:
    quiet = _quiet(history, origin, deal)
    account = np.array(history.vocabulary("account_id").take(history.columns.account[deal]), dtype=object)
    parts = []
    for name, chance in chances.items():
        part = pd.DataFrame(
            {
                "deal_id": pd.array(history.deal_ids[deal], dtype="str"),
                "account_id": pd.array(account, dtype="str"),
                "forecaster": name,
            }
        )
        part[_chances(horizons_days)] = chance
        parts.append(part.assign(won_by_next=np.nan, open_by_next=np.nan, quiet=quiet))
    return pd.concat(parts, ignore_index=True)


def _quiet(history: History, origin: Origin, deal: Ints) -> Bools:
    """(n,) whether each deal was open at the look before and nothing was recorded of it since."""
    if origin.before is None:
        return np.zeros(len(deal), dtype=bool)
    before_us, at_us = as_of_us(origin.before), as_of_us(origin.as_of)
    fields = len(history.fields)
    group = deal[:, None] * fields + np.arange(fields)
    ranks = history.clock.rank(np.array([before_us, at_us]))
    news = history.index.end(group, ranks[1]) > history.index.end(group, ranks[0])
    then = history.stage(deal, np.int64(before_us))
    quiet: Bools = (then >= 0) & ~news.any(axis=1)
    return quiet


def _outcomes(said: pd.DataFrame, history: History, origin: Origin, until_us: int) -> pd.DataFrame:
    """The rows of `actual`: whether each open deal was won in time."""
    rows = said[said["forecaster"] == OURS].assign(forecaster=ACTUAL, won_by_next=np.nan, open_by_next=np.nan)
    at_us = as_of_us(origin.as_of)
    # The one landmark of each open deal at this very moment.
    marks = make_landmarks(
        history, until_us=until_us, first_us=at_us, every_days=(until_us - at_us) / DAY_US + 1
    )
    place = pd.Series(np.arange(len(marks)), index=marks.deal)
    order = place.reindex(history.index_of(rows["deal_id"].to_numpy(object))).to_numpy(np.int64)
    duration, cause = marks.duration_days[order], marks.cause[order]
    follow_up = np.full(len(rows), (until_us - at_us) / DAY_US)
    for name in [name for name in rows.columns if name.startswith("won_") and name != "won_by_next"]:
        days = (origin.period.end_us - at_us) / DAY_US if name == "won_in_period" else float(name[4:-1])
        # Data that end on the evening of the quarter's last day have seen all of it.
        seen = np.maximum(follow_up, days) if name == "won_in_period" else follow_up
        labels = metrics.won_within(duration, cause, days, follow_up_days=seen)
        rows[name] = np.where(labels.weight > 0.0, labels.outcome, np.nan)
    return rows


# -- bookings ---------------------------------------------------------------------------------------------


def _ours(table: pd.DataFrame) -> pd.DataFrame:
    """Our rows of every line, from the roll-up."""
    lines = {name: table[name] for name in ("booked", "open", "arrivals")}
    lines["remaining"] = table["open"] + table["arrivals"]
    lines["total"] = table["expected"]
    parts = []
    for line, value in lines.items():
        part = table[_KEYS].assign(forecaster=OURS, line=line, value=value)
        parts.append(part.join(table[list(_OF_TOTAL)]) if line == "total" else part)
    return pd.concat(parts, ignore_index=True)


def _rules(rules: Mapping[str, PeriodForecast], users: pd.DataFrame) -> list[pd.DataFrame]:
    """Rows of the rules at every level; a rule that has nothing to say has none."""
    found = []
    for name, said in rules.items():
        if np.isnan(said.expected):
            continue
        lines = _by_level({"booked": said.booked, "open": said.open, "arrivals": said.rest}, users)
        for line in LINES:
            if name in _TOTALS_ONLY and line in ("open", "arrivals"):
                continue
            found.append(lines[_KEYS].assign(forecaster=name, line=line, value=lines[line]))
    return found


def _by_level(parts: Mapping[str, pd.DataFrame], users: pd.DataFrame) -> pd.DataFrame:
    """Columns level, entity and `LINES`: amounts of parts by owner, added up at every level."""
    hierarchy = Hierarchy.build(users, [part["owner_id"] for part in parts.values()], {})
    size = len(hierarchy.entities["user"])
    by_user = {
        line: np.bincount(
            hierarchy.positions(part["owner_id"]),
            weights=part["amount"].fillna(0.0).to_numpy(np.float64),
            minlength=size,
        )
        for line, part in parts.items()
    }
    levels = []
    for level in LEVELS:
        parents, entities = hierarchy.parents[level], hierarchy.entities[level]
        sums = {
            line: np.bincount(parents, weights=amounts, minlength=len(entities))
            for line, amounts in by_user.items()
        }
        levels.append(pd.DataFrame({"level": level, "entity": entities, **sums}))
    table = pd.concat(levels, ignore_index=True)
    table["remaining"] = table["open"] + table["arrivals"]
    table["total"] = table["booked"] + table["remaining"]
    return table


def _came_by_line(history: History, origin: Origin, users: pd.DataFrame) -> pd.DataFrame:
    """What came, told apart by where it was at the origin: booked already, open, or not yet there.

    A deal booked at the origin and lost again since is in no line: what was booked is then more than what came.
    """
    at_us, period = as_of_us(origin.as_of), origin.period
    every = booked_between(history, period.end_us, period.start_us, period.end_us)
    before = booked_between(history, at_us, period.start_us, period.end_us)
    deal = history.index_of(every["deal_id"].to_numpy(object))
    booked = every["deal_id"].isin(before["deal_id"]).to_numpy()
    there = history.known_from_us()[deal] < at_us
    return _by_level(
        {"booked": every[booked], "open": every[~booked & there], "arrivals": every[~booked & ~there]}, users
    )


def _joined(said: Said, actual: pd.DataFrame) -> pd.DataFrame:
    """What was said beside what came; an entity that only one of both knows has 0 in the other."""
    what = actual.melt(_KEYS, list(LINES), var_name="line", value_name="actual")
    who = said.bookings[["forecaster", "line"]].drop_duplicates()
    wanted = who.merge(what, on="line")
    table = said.bookings.merge(wanted, on=["forecaster", "line", *_KEYS], how="outer", sort=True)
    table[["value", "actual"]] = table[["value", "actual"]].fillna(0.0)
    ours = (table["forecaster"] == OURS) & (table["line"] == "total")
    quantiles = list(QUANTILES)
    table.loc[ours, quantiles] = table.loc[ours, quantiles].fillna(0.0)
    # A user of whom nothing was said, and nothing came, is no row.
    empty = (table["value"] == 0.0) & (table["actual"] == 0.0) & table["quota"].isna()
    empty &= (table["level"] != "company") & ~(ours & (table["p90"] > 0.0))
    table = table[~empty].reset_index(drop=True)
    ours = (table["forecaster"] == OURS) & (table["line"] == "total")
    table["crps"] = np.nan
    said_of = table.loc[ours, quantiles].to_numpy(np.float64)
    came_to = table.loc[ours, "actual"].to_numpy(np.float64)
    scores = [
        metrics.crps_from_draws([actual_total], said.company_draws[None, :])
        if level == "company"
        else metrics.crps_from_quantiles([actual_total], row[None, :], tuple(QUANTILES.values()))
        for level, actual_total, row in zip(table.loc[ours, "level"], came_to, said_of, strict=True)
    ]
    table.loc[ours, "crps"] = scores
    return table
