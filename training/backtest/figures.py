"""The scoreboard: every figure of a back-test with its interval, one long table.

Columns `COLUMNS`. `part` says what a figure is about:

- `bookings`: amounts of a quarter, by level, line and week of the quarter (`all` for all of them together):
  wape, bias, mase, and of our total crps, coverage_80, coverage_95, width_80, width_95 (shares of what came);
- `quota`: whether a quota is reached, all entities with one together: brier (a rule that gives no probability
  says 1 where its total reaches the quota), share_reached;
- `deals`: P(won within a horizon) of every open deal: brier, skill, log_loss, auc, and of ours
  calibration_slope, calibration_intercept, calibration_index;
- `stability`: change_quiet (mean absolute change of P(won in the quarter) from look to look of deals of which
  nothing was recorded), change_unexplained (ours: the part that the earlier curve did not foretell already),
  change_total (mean absolute change of the company's total over what came).

`difference_...` is ours minus the forecaster's, on the rows both speak of: below 0 ours is better. Whole blocks
are drawn again: quarters, and with them entities, or accounts of deals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Texts
from forecast.evaluation import metrics
from forecast.evaluation.scoreboard import REFERENCE
from training.backtest.origin import ACTUAL, LINES, OURS

__all__ = ["COLUMNS", "LAST_YEAR", "LEVEL_OF_INTERVALS", "make_scoreboard", "quota_rows"]

COLUMNS: Final = (
    "part", "level", "line", "week", "horizon", "forecaster", "metric", "value", "lower", "upper", "rows",
    "blocks",
)  # fmt: skip
LAST_YEAR: Final = "last_year"
LEVEL_OF_INTERVALS: Final = 0.9
_ORIGIN: Final = ["period", "week"]
# Calibration costs a fit a sample.
_CALIBRATION_DRAWS: Final = 100


def make_scoreboard(bookings: pd.DataFrame, deals: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """All figures of the two tables of a back-test, columns `COLUMNS`.

    draws : samples an interval is taken from
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    if len(bookings):
        for level in bookings["level"].unique():
            of_level = bookings[bookings["level"] == level]
            for line in LINES:
                rows += _bookings(of_level[of_level["line"] == line], level, line, draws, rng)
        rows += _quotas(bookings, draws, rng)
        rows += _moves_of_total(bookings, draws, rng)
    for horizon in [name for name in deals.columns if name.startswith("won_") and name != "won_by_next"]:
        rows += _deals(deals, horizon, draws, rng)
    rows += _stability(deals, draws, rng)
    return pd.DataFrame(rows, columns=list(COLUMNS))


# -- sums over rows, and their samples ----------------------------------------------------------------


@dataclass(frozen=True)
class _Drawn:
    """How often each of n rows counts: once, and in each of D samples (D, n)."""

    samples: Floats
    blocks: int

    @classmethod
    def of(cls, *blocks: Texts, draws: int, rng: np.random.Generator) -> _Drawn:
        drawn = list(metrics.block_draws(*blocks, rng=rng, draws=draws))
        size = len(blocks[0])
        return cls(
            np.stack(drawn) if drawn else np.full((draws, size), np.nan),
            min(np.unique(np.asarray(block, dtype=object)).size for block in blocks),
        )

    def ratio(self, above: Floats, below: Floats) -> metrics.Interval:
        """Sum of `above` over sum of `below`, both (n,)."""
        return self.interval(*self._ratio(above, below))

    def difference(self, above: Floats, minus: Floats, below: Floats) -> metrics.Interval:
        """A ratio less another with the same denominator."""
        return self.interval(*self._ratio(above - minus, below))

    def interval(self, value: float, samples: Floats) -> metrics.Interval:
        return metrics.interval_of(value, samples, self.blocks, level=LEVEL_OF_INTERVALS)

    def _ratio(self, above: Floats, below: Floats) -> tuple[float, Floats]:
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = float(below.sum())
            samples = (self.samples @ above) / (self.samples @ below)
        return float(above.sum()) / whole if whole > 0.0 else float("nan"), np.where(
            np.isfinite(samples), samples, np.nan
        )


@dataclass(frozen=True)
class _Figures:
    """Rows of one part of the table, growing."""

    part: str
    level: str = ""
    line: str = ""
    week: str = "all"
    horizon: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, forecaster: str, metric: str, found: metrics.Interval | float, rows: int) -> None:
        interval = (
            found if isinstance(found, metrics.Interval) else metrics.Interval(found, np.nan, np.nan, 0)
        )
        self.rows.append(
            {
                "part": self.part,
                "level": self.level,
                "line": self.line,
                "week": self.week,
                "horizon": self.horizon,
                "forecaster": forecaster,
                "metric": metric,
                "value": interval.value,
                "lower": interval.lower,
                "upper": interval.upper,
                "rows": rows,
                "blocks": interval.blocks,
            }
        )


# -- bookings ---------------------------------------------------------------------------------------------


def _bookings(
    table: pd.DataFrame, level: str, line: str, draws: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    said, actual = _side_by_side(table)
    ours = table[table["forecaster"] == OURS].set_index([*_ORIGIN, "entity"]).sort_index()
    week = said.index.get_level_values("week").to_numpy()
    found: list[dict[str, Any]] = []
    every: list[tuple[str, Bools]] = [("all", np.ones(len(said), dtype=bool))]
    for name, mask in (*every, *((str(one), week == one) for one in np.unique(week))):
        figures = _Figures("bookings", level, line, name)
        part, came = said[mask], actual[mask].to_numpy()
        blocks = [part.index.get_level_values("period").to_numpy(object)]
        if level != "company":
            blocks.append(part.index.get_level_values("entity").to_numpy(object))
        drawn = _Drawn.of(*blocks, draws=draws, rng=rng)
        _errors(figures, drawn, part, came)
        if line == "total":
            _ranges(figures, drawn, ours.reindex(part.index), came)
        found += figures.rows
    return found


def _side_by_side(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series[float]]:
    """What each forecaster said (columns) of each origin and entity (rows), and what came.

    NaN where a forecaster had nothing to say at the origin; an entity it passes over counts 0.
    """
    keys = [*_ORIGIN, "entity"]
    said = table.pivot_table(index=keys, columns="forecaster", values="value", observed=True).sort_index()
    actual = table.groupby(keys)["actual"].first().reindex(said.index)
    speaks = said.notna().groupby(level=_ORIGIN).transform("any")
    return said.fillna(0.0).where(speaks), actual


def _errors(figures: _Figures, drawn: _Drawn, said: pd.DataFrame, came: Floats) -> None:
    size = np.abs(came)
    off = {name: said[name].to_numpy(np.float64) - came for name in said.columns}
    for name, error in off.items():
        speaks = ~np.isnan(error)
        error, below = np.where(speaks, error, 0.0), np.where(speaks, size, 0.0)
        count = int(speaks.sum())
        figures.add(name, "wape", drawn.ratio(np.abs(error), below), count)
        figures.add(name, "bias", drawn.ratio(error, below), count)
        if LAST_YEAR in off and name != LAST_YEAR:
            both = speaks & ~np.isnan(off[LAST_YEAR])
            theirs = np.abs(np.where(both, off[LAST_YEAR], 0.0))
            figures.add(
                name, "mase", drawn.ratio(np.where(both, np.abs(error), 0.0), theirs), int(both.sum())
            )
        if OURS in off and name != OURS:
            both = speaks & ~np.isnan(off[OURS])
            ours = np.abs(np.where(both, off[OURS], 0.0))
            apart = drawn.difference(ours, np.where(both, np.abs(error), 0.0), np.where(both, size, 0.0))
            figures.add(name, "difference_wape", apart, int(both.sum()))


def _ranges(figures: _Figures, drawn: _Drawn, ours: pd.DataFrame, came: Floats) -> None:
    """Coverage beside width, and CRPS, of our totals."""
    known = ours["p10"].notna().to_numpy()
    one, size = np.where(known, 1.0, 0.0), np.where(known, np.abs(came), 0.0)
    for name, low, high in (("80", "p10", "p90"), ("95", "p025", "p975")):
        lower, upper = ours[low].to_numpy(np.float64), ours[high].to_numpy(np.float64)
        inside = (lower <= came) & (came <= upper) & known
        figures.add(OURS, f"coverage_{name}", drawn.ratio(inside.astype(np.float64), one), int(known.sum()))
        figures.add(
            OURS, f"width_{name}", drawn.ratio(np.where(known, upper - lower, 0.0), size), int(known.sum())
        )
    crps = np.where(known, ours["crps"].to_numpy(np.float64), 0.0)
    figures.add(OURS, "crps", drawn.ratio(crps, size), int(known.sum()))


def quota_rows(bookings: pd.DataFrame) -> pd.DataFrame:
    """Totals of entities with a quota: the keys, forecaster, `chance` of reaching it and `reached` (0 or 1).

    A rule that gives no probability says 1 where its total reaches the quota and else 0.
    """
    keys = [*_ORIGIN, "level", "entity"]
    totals = bookings[bookings["line"] == "total"]
    ours = totals[(totals["forecaster"] == OURS) & totals["quota"].notna()]
    quotas = ours[[*keys, "quota"]]
    rows = totals.drop(columns="quota").merge(quotas, on=keys)
    point = (rows["value"] >= rows["quota"]).astype("float64")
    return rows[[*keys, "forecaster"]].assign(
        chance=rows["attainment_probability"].where(rows["forecaster"] == OURS, point),
        reached=(rows["actual"] >= rows["quota"]).astype("float64"),
    )


def _quotas(bookings: pd.DataFrame, draws: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    rows = quota_rows(bookings)
    if not len(rows):
        return []
    keys = [*_ORIGIN, "level", "entity"]
    chance = rows.pivot_table(index=keys, columns="forecaster", values="chance").sort_index()
    reached = rows.groupby(keys)["reached"].first().reindex(chance.index).to_numpy()
    period = chance.index.get_level_values("period").to_numpy(object)
    entity = (
        chance.index.get_level_values("level") + " " + chance.index.get_level_values("entity")
    ).to_numpy(object)
    drawn = _Drawn.of(period, entity, draws=draws, rng=rng)
    figures = _Figures("quota")
    one = np.ones(len(reached))
    figures.add(ACTUAL, "share_reached", drawn.ratio(reached, one), len(reached))
    squared = {name: (chance[name].to_numpy(np.float64) - reached) ** 2 for name in chance.columns}
    for name, loss in squared.items():
        speaks = ~np.isnan(loss)
        figures.add(name, "brier", drawn.ratio(np.where(speaks, loss, 0.0), speaks * one), int(speaks.sum()))
        if OURS in squared and name != OURS:
            both = speaks & ~np.isnan(squared[OURS])
            apart = drawn.difference(
                np.where(both, squared[OURS], 0.0), np.where(both, loss, 0.0), both.astype(np.float64)
            )
            figures.add(name, "difference_brier", apart, int(both.sum()))
    return figures.rows


def _moves_of_total(bookings: pd.DataFrame, draws: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    company = bookings[(bookings["level"] == "company") & (bookings["line"] == "total")]
    said, actual = _side_by_side(company)
    figures = _Figures("stability", "company", "total")
    moved = said.groupby(level="period").diff().abs()
    period = said.index.get_level_values("period").to_numpy(object)
    drawn = _Drawn.of(period, draws=draws, rng=rng)
    for name in said.columns:
        change = moved[name].to_numpy(np.float64)
        known = ~np.isnan(change)
        size = np.where(known, np.abs(actual.to_numpy()), 0.0)
        figures.add(
            str(name), "change_total", drawn.ratio(np.where(known, change, 0.0), size), int(known.sum())
        )
    return figures.rows


# -- deals ------------------------------------------------------------------------------------------------


def _deals(deals: pd.DataFrame, horizon: str, draws: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    chance, actual, about = _deals_side_by_side(deals, horizon)
    figures = _Figures("deals", horizon=horizon.removeprefix("won_"))
    count = len(actual)
    if not count:
        return []
    figures.add(ACTUAL, "share_won", float(actual.mean()), count)
    # A deal without an account is a block of its own.
    account = about["account_id"].where(about["account_id"].notna(), "deal " + about["deal_id"])
    blocks = [about["period"].to_numpy(object), account.to_numpy(object)]
    names = list(chance)
    said = np.column_stack([chance[name] for name in names])
    squared = (said - actual[:, None]) ** 2
    losses = np.column_stack([_log_losses(actual, chance[name]) for name in names])
    places = [np.unique(chance[name], return_inverse=True)[1] for name in names]

    def measured(weight: Floats) -> Floats:
        """(3, F) Brier score, log loss and AUC of all forecasters on the same weighted rows."""
        total = weight.sum()
        ranked = [metrics.auc_by_place(actual, place, weight) for place in places]
        return np.stack((weight @ squared / total, weight @ losses / total, np.array(ranked)))

    value = measured(np.ones(count))
    samples = [
        measured(weight) for weight in metrics.block_draws(*blocks, rng=rng, draws=draws) if weight.any()
    ]
    drawn = np.stack(samples) if samples else np.full((draws, *value.shape), np.nan)
    fewest = min(np.unique(block).size for block in blocks)

    def interval(place: tuple[int, int], *, less: tuple[int, int] | None = None) -> metrics.Interval:
        """Of one row and forecaster of `measured`, or of its difference to another."""
        pick = (..., *place)
        one, many = value[pick], drawn[pick]
        if less is not None:
            one, many = one - value[(..., *less)], many - drawn[(..., *less)]
        return metrics.interval_of(float(one), many, fewest, level=LEVEL_OF_INTERVALS)

    ours, reference = names.index(OURS), names.index(REFERENCE)
    for place, name in enumerate(names):
        figures.add(name, "brier", interval((0, place)), count)
        figures.add(name, "log_loss", interval((1, place)), count)
        figures.add(name, "auc", interval((2, place)), count)
        skill, skills = (1.0 - of[..., 0, place] / of[..., 0, reference] for of in (value, drawn))
        figures.add(
            name,
            "skill",
            metrics.interval_of(float(skill), skills, fewest, level=LEVEL_OF_INTERVALS),
            count,
        )
        if place != ours:
            figures.add(name, "difference_brier", interval((0, ours), less=(0, place)), count)
            figures.add(name, "difference_log_loss", interval((1, ours), less=(1, place)), count)
    _calibration(figures, actual, chance[OURS], blocks, draws, rng)
    return figures.rows


def _deals_side_by_side(deals: pd.DataFrame, horizon: str) -> tuple[dict[str, Floats], Floats, pd.DataFrame]:
    """Chances by forecaster and what came, of the looks whose outcome is known; and who they were about."""
    actual = deals[deals["forecaster"] == ACTUAL]
    known = actual[horizon].notna().to_numpy()
    # Rows of each origin and forecaster stand in the same order of deals.
    chances = {
        str(name): deals.loc[deals["forecaster"] == name, horizon].to_numpy(np.float64)[known]
        for name in deals["forecaster"].unique()
        if name != ACTUAL
    }
    about = actual.loc[known, [*_ORIGIN, "deal_id", "account_id", "quiet"]].reset_index(drop=True)
    return chances, actual[horizon].to_numpy(np.float64)[known], about


def _log_losses(actual: Floats, chance: Floats) -> Floats:
    smallest = np.finfo(np.float64).eps
    p = np.clip(chance, smallest, 1.0 - smallest)
    return np.asarray(-np.log(np.where(actual > 0.0, p, 1.0 - p)))


def _calibration(
    figures: _Figures,
    actual: Floats,
    chance: Floats,
    blocks: Iterable[Texts],
    draws: int,
    rng: np.random.Generator,
) -> None:
    fewer = min(draws, _CALIBRATION_DRAWS)
    count = len(actual)
    found = {
        "calibration_slope": (lambda w: metrics.calibration(actual, chance, weight=w).slope, "percentile"),
        "calibration_intercept": (
            lambda w: metrics.calibration(actual, chance, weight=w).intercept,
            "percentile",
        ),
        "calibration_error": (lambda w: metrics.calibration_error(actual, chance, weight=w), "basic"),
    }
    for name, (metric, kind) in found.items():
        interval = metrics.block_bootstrap(
            metric,
            *blocks,
            rng=rng,
            draws=fewer,
            level=LEVEL_OF_INTERVALS,
            kind=kind,  # type: ignore[arg-type]  # both are literals
        )
        figures.add(OURS, name, interval, count)


def _stability(deals: pd.DataFrame, draws: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Changes from look to look, of the chance of being won in the quarter, of deals without news."""
    figures = _Figures("stability", horizon="in_period")
    actual = deals[deals["forecaster"] == ACTUAL]
    keys = pd.MultiIndex.from_frame(actual[[*_ORIGIN, "deal_id"]])
    weeks = np.sort(actual["week"].unique())
    step = dict(zip(weeks[1:], weeks[:-1], strict=True))
    earlier = pd.MultiIndex.from_arrays(
        [actual["period"], actual["week"].map(step).fillna(-1).astype("int64"), actual["deal_id"]]
    )
    place = keys.get_indexer(earlier)
    quiet = actual["quiet"].to_numpy(bool) & (place >= 0)
    if not quiet.any():
        return []
    then = place[quiet]
    account = actual["account_id"].where(actual["account_id"].notna(), "deal " + actual["deal_id"])
    drawn = _Drawn.of(
        actual["period"].to_numpy(object)[quiet], account.to_numpy(object)[quiet], draws=draws, rng=rng
    )
    one = np.ones(int(quiet.sum()))
    for name in deals["forecaster"].unique():
        if name == ACTUAL:
            continue
        mine = deals[deals["forecaster"] == name]
        chance = mine["won_in_period"].to_numpy(np.float64)
        now, before = chance[quiet], chance[then]
        figures.add(str(name), "change_quiet", drawn.ratio(np.abs(now - before), one), len(one))
        if name == OURS:
            won, still = (
                mine[column].to_numpy(np.float64)[then] for column in ("won_by_next", "open_by_next")
            )
            moved = np.abs(now - metrics.carried_forward(before, won, still))
            known = ~np.isnan(moved)
            figures.add(
                OURS,
                "change_unexplained",
                drawn.ratio(np.where(known, moved, 0.0), known * one),
                int(known.sum()),
            )
    return figures.rows
