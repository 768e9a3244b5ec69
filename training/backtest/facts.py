"""What a back-test says, as plain facts: the page and the terminal word and draw them, and compute nothing.

Plain means that JSON can carry it; unknown is None. Amounts are in the reporting currency, errors are shares of
what came.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.evaluation import metrics
from forecast.report.facts.plain import Fact, number
from training.backtest.figures import LEVEL_OF_INTERVALS, quota_rows
from training.backtest.origin import ACTUAL, LINES, OURS, QUANTILES
from training.backtest.run import Backtest
from training.backtest.store import code_version

__all__ = ["ENOUGH_QUARTERS", "collect"]

# With fewer quarters to draw from, an interval is no interval: it is not shown, and nothing is called certain.
ENOUGH_QUARTERS: Final = 4
_RELIABILITY_BINS: Final = 10


def collect(backtest: Backtest, scoreboard: pd.DataFrame, *, locale: str = "en") -> Fact:
    """All facts of a back-test, for a reader of `locale`."""
    enough = len(backtest.plan.quarters) >= ENOUGH_QUARTERS
    board = _Board(scoreboard, enough)
    rules = board.rules("wape", part="bookings", level="company", line="total")
    losses = _losses(board)
    return {
        "locale": locale,
        "currency": backtest.currency,
        "until": backtest.until.date().isoformat(),
        "data": backtest.fingerprint[:12],
        "code": code_version()[:12],
        "quarters": [period.label for period in backtest.plan.quarters],
        "asked_quarters": bool(backtest.plan.notes),
        "weeks": sorted({origin.week for origin in backtest.plan.origins}),
        "looks": len(backtest.plan.origins),
        "choose": backtest.settings.backtest.choose,
        "interval_share": LEVEL_OF_INTERVALS,
        "enough": enough,
        "ours": next((rule for rule in rules if rule["name"] == OURS), None),
        "rules": rules,
        "nearest": _nearest(rules),
        "remaining": board.rules("wape", part="bookings", level="company", line="remaining"),
        "lines": _lines(board),
        "levels": _levels(board),
        "by_week": _by_week(board),
        "fans": _fans(backtest.bookings),
        "deals": _deals(board, backtest.deals),
        "quota": _quota(board, backtest.bookings),
        "stability": _stability(board),
        "losses": losses,
        "recipes": _recipes(backtest),
    }


class _Board:
    """The scoreboard, to be asked for figures."""

    def __init__(self, table: pd.DataFrame, enough: bool) -> None:
        self.table = table
        self.enough = enough

    def where(self, **keys: str) -> pd.DataFrame:
        found = self.table
        for name, value in keys.items():
            found = found[found[name] == value]
        return found

    def values(self, metric: str, *, week: str = "all", **keys: str) -> dict[str, Fact]:
        """Value, lower, upper and rows by forecaster."""
        found = self.where(metric=metric, week=week, **keys)
        return {
            str(row["forecaster"]): {
                "value": number(row["value"]),
                "lower": number(row["lower"]) if self.enough else None,
                "upper": number(row["upper"]) if self.enough else None,
                "rows": int(row["rows"]),
            }
            for row in found.to_dict("records")
        }

    def one(self, forecaster: str, metric: str, **keys: str) -> Fact:
        return self.values(metric, **keys).get(
            forecaster, {"value": None, "lower": None, "upper": None, "rows": 0}
        )

    def rules(self, metric: str, **keys: str) -> list[Fact]:
        """Every forecaster by its error, ours first, then the nearest; with ours against each."""
        said = self.values(metric, **keys)
        apart = self.values(f"difference_{metric}", **keys)
        more = {name: self.values(name, **keys) for name in ("bias", "mase", "skill", "log_loss", "auc")}
        found = []
        for name, error in said.items():
            against = apart.get(name)
            found.append(
                {
                    "name": name,
                    **error,
                    **{
                        key: values[name]["value"] if name in values else None for key, values in more.items()
                    },
                    "difference": against,
                    "verdict": None if against is None else _verdict(against),
                }
            )
        return sorted(
            found, key=lambda rule: (rule["name"] != OURS, rule["value"] is None, rule["value"] or 0.0)
        )


def _verdict(apart: Fact) -> str | None:
    """`better`, `worse` where the whole interval lies on one side; `ahead`, `behind` where it does not."""
    if apart["value"] is None:
        return None
    if apart["upper"] is not None and apart["upper"] < 0.0:
        return "better"
    if apart["lower"] is not None and apart["lower"] > 0.0:
        return "worse"
    return "behind" if apart["value"] > 0.0 else "ahead"


def _nearest(rules: list[Fact]) -> Fact | None:
    """The rule of the others that came nearest."""
    return next((rule for rule in rules if rule["name"] != OURS and rule["value"] is not None), None)


def _losses(board: _Board) -> list[Fact]:
    """Where a rule was nearer than ours: what is measured, whose rule, both figures and how sure that is."""
    asked: list[tuple[str, str, dict[str, str]]] = []
    bookings = board.where(part="bookings", week="all")
    lines = [("company", line) for line in ("total", "remaining", "open", "arrivals")]
    lines += [(str(level), "total") for level in bookings["level"].unique() if level != "company"]
    asked += [
        ("bookings", "wape", {"part": "bookings", "level": level, "line": line}) for level, line in lines
    ]
    weeks = [week for week in board.where(part="bookings")["week"].unique() if week != "all"]
    asked += [
        ("bookings", "wape", {"part": "bookings", "level": "company", "line": "total", "week": str(week)})
        for week in weeks
    ]
    asked += [
        ("deals", "brier", {"part": "deals", "horizon": str(horizon)})
        for horizon in board.where(part="deals")["horizon"].unique()
    ]
    asked.append(("quota", "brier", {"part": "quota"}))
    found = []
    for part, metric, keys in asked:
        for rule in board.rules(metric, **keys):
            if rule["verdict"] in ("worse", "behind"):
                difference = rule["difference"]
                ours = None if rule["value"] is None else rule["value"] + difference["value"]
                found.append(
                    {
                        "part": part,
                        "metric": metric,
                        "level": keys.get("level"),
                        "line": keys.get("line"),
                        "week": keys.get("week"),
                        "horizon": keys.get("horizon"),
                        "name": rule["name"],
                        "theirs": rule["value"],
                        "ours": ours,
                        "difference": difference,
                        "verdict": rule["verdict"],
                    }
                )
    return found


def _lines(board: _Board) -> list[Fact]:
    """Error and bias of each part of the company's bookings, by forecaster that knows the part."""
    found = []
    for line in LINES:
        keys = {"part": "bookings", "level": "company", "line": line}
        errors, bias = board.values("wape", **keys), board.values("bias", **keys)
        if errors:
            found.append(
                {
                    "line": line,
                    "rules": {
                        name: {"wape": error["value"], "bias": bias[name]["value"]}
                        for name, error in errors.items()
                    },
                }
            )
    return found


def _levels(board: _Board) -> list[Fact]:
    found = []
    for level in board.where(part="bookings", line="total", week="all")["level"].unique():
        keys = {"part": "bookings", "level": str(level), "line": "total"}
        rules = board.rules("wape", **keys)
        found.append(
            {
                "level": str(level),
                "ours": next((rule for rule in rules if rule["name"] == OURS), None),
                "nearest": _nearest(rules),
                **{
                    name: board.one(OURS, name, **keys)
                    for name in ("coverage_80", "width_80", "coverage_95", "width_95", "crps", "bias", "mase")
                },
            }
        )
    return found


def _by_week(board: _Board) -> list[Fact]:
    """Error of the company's total by week of the quarter, a line a forecaster, in the order of the rules."""
    names = [rule["name"] for rule in board.rules("wape", part="bookings", level="company", line="total")]
    weeks = sorted(
        {
            int(week)
            for week in board.where(part="bookings", level="company")["week"].unique()
            if week != "all"
        }
    )
    by_week = {
        week: board.values("wape", week=str(week), part="bookings", level="company", line="total")
        for week in weeks
    }
    return [
        {
            "name": name,
            "points": [
                {"week": week, **by_week[week][name]}
                for week in weeks
                if name in by_week[week] and by_week[week][name]["value"] is not None
            ],
        }
        for name in names
    ]


def _fans(bookings: pd.DataFrame) -> list[Fact]:
    """What we said of each quarter from week to week, and what came."""
    if bookings.empty:
        return []
    ours = bookings[(bookings["forecaster"] == OURS) & (bookings["level"] == "company")]
    booked = ours[ours["line"] == "booked"].set_index(["period", "week"])["value"]
    found = []
    for period, rows in ours[ours["line"] == "total"].sort_values("week").groupby("period", sort=True):
        found.append(
            {
                "period": str(period),
                "actual": number(rows["actual"].iloc[0]),
                "quota": number(rows["quota"].iloc[0]),
                "points": [
                    {
                        "week": int(row["week"]),
                        "expected": number(row["value"]),
                        "booked": number(booked[row["period"], row["week"]]),
                        **{name: number(row[name]) for name in QUANTILES},
                    }
                    for row in rows.to_dict("records")
                ],
            }
        )
    return found


def _deals(board: _Board, deals: pd.DataFrame) -> list[Fact]:
    found = []
    for horizon in board.where(part="deals")["horizon"].unique():
        keys = {"part": "deals", "horizon": str(horizon)}
        share = board.one(ACTUAL, "share_won", **keys)
        column = f"won_{horizon}"
        actual = deals.loc[deals["forecaster"] == ACTUAL, column].to_numpy(np.float64)
        ours = deals.loc[deals["forecaster"] == OURS, column].to_numpy(np.float64)
        known = ~np.isnan(actual)
        found.append(
            {
                "horizon": str(horizon),
                "rows": share["rows"],
                "share_won": share["value"],
                "rules": board.rules("brier", **keys),
                "log_loss": board.one(OURS, "log_loss", **keys),
                "auc": board.one(OURS, "auc", **keys),
                **{
                    name: board.one(OURS, name, **keys)
                    for name in ("calibration_slope", "calibration_intercept", "calibration_error")
                },
                "reliability": _reliability(actual[known], ours[known]),
            }
        )
    return found


def _quota(board: _Board, bookings: pd.DataFrame) -> Fact | None:
    share = board.one(ACTUAL, "share_reached", part="quota")
    if not share["rows"]:
        return None
    rows = quota_rows(bookings)
    ours = rows[rows["forecaster"] == OURS]
    return {
        "rows": share["rows"],
        "share_reached": share["value"],
        "rules": board.rules("brier", part="quota"),
        "reliability": _reliability(
            ours["reached"].to_numpy(np.float64), ours["chance"].to_numpy(np.float64)
        ),
    }


def _reliability(actual: Any, chance: Any) -> list[Fact]:
    table = metrics.reliability(actual, chance, bins=_RELIABILITY_BINS)
    return [
        {
            **{name: number(row[name]) for name in ("said", "happened", "lower", "upper")},
            "rows": int(row["rows"]),
        }
        for row in table.to_dict("records")
    ]


def _stability(board: _Board) -> list[Fact]:
    """How far each forecaster moves from look to look, in the order of the rules."""
    quiet = board.values("change_quiet", part="stability")
    total = board.values("change_total", part="stability")
    unexplained = board.values("change_unexplained", part="stability")
    names = dict.fromkeys([*total, *quiet])
    return [
        {
            "name": name,
            "quiet": quiet.get(name),
            "unexplained": unexplained.get(name),
            "total": total.get(name),
        }
        for name in sorted(names, key=lambda name: (name != OURS, total.get(name, {}).get("value") or 0.0))
    ]


def _recipes(backtest: Backtest) -> list[Fact]:
    """The kinds of models the quarters were forecast with."""
    found: dict[str, Fact] = {}
    for one in backtest.finished:
        label = one.origin.period.label
        recipe = one.recipe
        line = {
            "rung": recipe.rung,
            "clock": recipe.clock or None,
            "ridge": recipe.ridge,
            "rounds": list(recipe.rounds),
        }
        kinds = found.setdefault(label, {"period": label, "kinds": []})["kinds"]
        if line not in kinds:
            kinds.append(line)
    return list(found.values())
