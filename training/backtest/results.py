"""What a back-test leaves in its folder beside the finished origins, and as figures of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from forecast.report.facts.plain import Fact
from forecast.report.scoreboard import render
from forecast.tables import write_bytes, write_table
from training.backtest.facts import collect
from training.backtest.figures import make_scoreboard
from training.backtest.origin import ACTUAL, OURS
from training.backtest.run import Backtest

__all__ = ["Results", "flat_figures", "origin_figures", "write_results"]


@dataclass(frozen=True)
class Results:
    """Files of a back-test: what was said and came, the scoreboard, the page; and the facts on the page."""

    bookings: Path
    deals: Path
    scoreboard: Path
    page: Path
    figures: pd.DataFrame
    facts: Fact


def write_results(backtest: Backtest, out: Path, *, locale: str) -> Results:
    """Measure and write `backtest.parquet`, `deals.parquet`, `scoreboard.parquet` and `scoreboard.html`.

    Raises OutputError if the folder cannot be written.
    """
    settings = backtest.settings
    figures = make_scoreboard(
        backtest.bookings, backtest.deals, draws=settings.backtest.draws, seed=settings.fit.seed
    )
    facts = collect(backtest, figures, locale=locale)
    results = Results(
        out / "backtest.parquet",
        out / "deals.parquet",
        out / "scoreboard.parquet",
        out / "scoreboard.html",
        figures,
        facts,
    )
    write_table(backtest.bookings, results.bookings)
    write_table(backtest.deals, results.deals)
    write_table(figures, results.scoreboard)
    write_bytes(results.page, render(facts).encode())
    return results


def flat_figures(figures: pd.DataFrame) -> dict[str, float]:
    """The scoreboard as flat names for a tracking server, without weeks: `wape_company_total` for ours,
    `wape_company_total_last_year` for others; the ends of intervals with `_lower` and `_upper`."""
    found: dict[str, float] = {}
    for row in figures[figures["week"] == "all"].to_dict("records"):
        about = [str(row[part]) for part in ("metric", "level", "line", "horizon") if row[part]]
        if row["part"] == "quota":
            about.append("quota")
        if row["forecaster"] not in (OURS, ACTUAL):
            about.append(str(row["forecaster"]))
        name = "_".join(about)
        for ending, key in (("", "value"), ("_lower", "lower"), ("_upper", "upper")):
            if not math.isnan(row[key]):
                found[name + ending] = float(row[key])
    return found


def origin_figures(bookings: pd.DataFrame) -> dict[tuple[str, int], dict[str, float]]:
    """By (period, week): the company's total by forecaster, its error over what came, and ours' range."""
    company = (
        bookings[(bookings["level"] == "company") & (bookings["line"] == "total")]
        if len(bookings)
        else bookings
    )
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in company.to_dict("records"):
        values = found.setdefault((str(row["period"]), int(row["week"])), {"actual": float(row["actual"])})
        ending = "" if row["forecaster"] == OURS else f"_{row['forecaster']}"
        values[f"expected{ending}"] = float(row["value"])
        if row["actual"]:
            values[f"error{ending}"] = float(row["value"] / row["actual"] - 1.0)
        if row["forecaster"] == OURS:
            values |= {name: float(row[name]) for name in ("p10", "p50", "p90", "crps")}
    return found
