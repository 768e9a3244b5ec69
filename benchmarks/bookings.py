"""How near, and how sure: quarterly bookings of simulated companies against what came.

    python -m benchmarks.bookings [--companies 6] [--deals 5000] [--drift 0.0] [--markdown FILE]

For each company and each of six quarters, models learn from what was recorded before weeks 0, 4 and 8 of the
quarter and forecast it from there. Shown is the forecast beside the true expectation of the open deals (the
simulator knows it), what came, how often the 80 % range held it, for the company, its regions and its teams,
and its parts: arrivals, amounts given a win, close dates given a win.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from forecast.arrays import Floats
from forecast.bundle import Bundle
from forecast.history import WON, History
from forecast.models import FitSettings, FittedModels, fit_models
from forecast.outlook import Outlook, make_outlook
from forecast.periods import DAY_US, Period, as_of_us
from forecast.rollup import roll_up
from forecast.simulator import Simulation, simulate

QUARTERS = ("2024Q3", "2024Q4", "2025Q1", "2025Q2", "2025Q3", "2025Q4")
WEEKS = (0, 4, 8)
# Close dates are measured where everybody could be followed this long; sooner, only quick wins would count.
FOLLOW_UP_DAYS = 365.0


def one_origin(
    simulation: Simulation, history: History, period: Period, as_of: pd.Timestamp
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows (company, regions, teams) of one forecast and what came, and one row per open deal won later."""
    models = fit_models(history, as_of, FitSettings())
    bundle = Bundle("benchmark", {}, models, [])
    outlook = make_outlook(simulation.tables, bundle, as_of=as_of, period=period, history=history, reasons=0)
    came = history.booked(period.end_us, period.start_us, period.end_us)
    places = simulation.tables.users.set_index("user_id")
    rows = outlook.bookings.table.query("level != 'user'").copy()
    by_level = {
        level: came.groupby(places[level].reindex(came["owner_id"]).to_numpy())["amount"].sum()
        for level in ("region", "team")
    }
    rows["came"] = [
        came["amount"].sum() if level == "company" else by_level[level].get(entity, 0.0)
        for level, entity in zip(rows["level"], rows["entity"], strict=True)
    ]
    company = rows["level"] == "company"
    truth = simulation.expected_bookings(as_of, period)
    rows.loc[company, "true_open"] = truth["expected"].sum()
    rows.loc[company, "true_wins"] = truth["won_in_period"].sum()
    rows.loc[company, "open_wins"] = outlook.scores["won_in_period"].sum()
    rows.loc[company, "crps"] = crps(outlook.bookings.company_draws, float(rows.loc[company, "came"].iloc[0]))

    known = history.known_from_us()[history.index_of(came["deal_id"].to_numpy(object))]
    late = came[known >= as_of_us(as_of)]
    arrived = arrivals_alone(outlook)
    rows.loc[company, "arrived"] = late["amount"].sum()
    rows.loc[company, "arrived_deals"] = len(late)
    rows.loc[company, "arrival_deals"] = outlook.inputs.arrivals["deals"].sum()
    rows.loc[company, ["arrival_p10", "arrival_p90"]] = arrived
    return rows, won_later(simulation, history, models, outlook)


def arrivals_alone(outlook: Outlook) -> Floats:
    """p10 and p90 of what deals not yet created will book."""
    inputs = replace(outlook.inputs, booked=outlook.inputs.booked[:0], open=outlook.inputs.open[:0])
    tables = outlook.tables
    table = roll_up(inputs, tables.users, tables.quotas[:0], outlook.history.money).table
    ends: Floats = table.loc[table["level"] == "company", ["p10", "p90"]].to_numpy(np.float64)[0]
    return ends


def won_later(
    simulation: Simulation, history: History, models: FittedModels, outlook: Outlook
) -> pd.DataFrame:
    """Open deals that were won by the end of the data: final amounts and close dates beside their quantiles."""
    at_us, end_us = as_of_us(outlook.as_of), as_of_us(simulation.until)
    deal = history.index_of(outlook.scores["deal_id"].to_numpy(object))
    closings = history.closings
    wins = (closings.kind == WON) & (closings.at_us >= at_us) & (closings.at_us < end_us)
    first = pd.Series(closings.at_us[wins]).groupby(closings.deal[wins]).min()
    won = np.isin(deal, first.index.to_numpy())
    deal, scores = deal[won], outlook.scores[won]
    when = np.full(len(deal), at_us)
    days = (first.reindex(deal).to_numpy() - at_us) / DAY_US
    amounts = models.amount.quantiles(history, deal, when, (0.1, 0.5, 0.9))
    final = history.amount_raw(deal, np.full(len(deal), end_us)) * history.rate(deal, when)
    frame = pd.DataFrame(
        {
            "days": days,
            "final": final,
            "amount": scores["amount"].to_numpy(),
            "amount_if_won": scores["amount_if_won"].to_numpy(),
            "amount_p10": amounts[:, 0],
            "amount_p50": amounts[:, 1],
            "amount_p90": amounts[:, 2],
        }
    )
    for name in ("close_on_p10", "close_on_p50", "close_on_p90"):
        frame[name] = (pd.to_datetime(scores[name], utc=True) - outlook.as_of).to_numpy() / np.timedelta64(
            1, "D"
        )
    if (end_us - at_us) / DAY_US < FOLLOW_UP_DAYS:
        return frame.assign(followed=False, true_p50=np.nan)
    return frame.assign(
        followed=True, true_p50=true_median_days(simulation, scores["deal_id"].to_numpy(), outlook.as_of)
    )


def true_median_days(simulation: Simulation, deal_ids: np.ndarray, as_of: pd.Timestamp) -> Floats:
    """(n,) days after which half of a deal's true chance of being won within two years has passed."""
    horizons = np.array(
        [0, 3, 7, 11, 16, 22, 30, 40, 50, 60, 75, 90, 110, 135, 170, 215, 270, 365, 500, 730.0]
    )
    chance = simulation.truth_within(deal_ids, as_of, horizons)
    return np.array([np.interp(row[-1] / 2, row, horizons) for row in chance])


def crps(draws: Floats, came: float) -> float:
    """Continuous ranked probability score of sorted draws, E|X - y| - E|X - X'| / 2; lower is better."""
    n = len(draws)
    pairs = 2.0 * float((2 * np.arange(1, n + 1) - n - 1) @ draws) / n**2
    return float(np.abs(draws - came).mean()) - pairs / 2


def inside(rows: pd.DataFrame, low: str = "p10", value: str = "came", high: str = "p90") -> float:
    """Share of the rows whose outcome lies within two quantiles."""
    return float(np.mean((rows[low] <= rows[value]) & (rows[value] <= rows[high])))


def markdown(rows: pd.DataFrame, won: pd.DataFrame, companies: int, deals: int, drift: float) -> str:
    """The tables of the documentation."""
    by_week = {f"week {week}": rows[rows["week"] == week] for week in WEEKS} | {"all": rows}
    measures: dict[str, list[str]] = {}

    def add(name: str, value: float) -> None:
        measures.setdefault(name, []).append(f"{value:.1%}")

    for part in by_week.values():
        company = part[part["level"] == "company"]
        distance = (company["open"] / company["true_open"] - 1).abs()
        add(
            "open deals: forecast over their true expectation",
            company["open"].sum() / company["true_open"].sum(),
        )
        add(
            "open deals: the same, as a number of wins",
            company["open_wins"].sum() / company["true_wins"].sum(),
        )
        add("open deals: mean distance from it, per as-of date", distance.mean())
        add("open deals: as-of dates within 10 % of it", float((distance <= 0.10).mean()))
        add("arrivals: forecast over what came", company["arrivals"].sum() / company["arrived"].sum())
        add(
            "arrivals: the same, as a number of wins",
            company["arrival_deals"].sum() / company["arrived_deals"].sum(),
        )
        add("arrivals inside their 80 % range", inside(company, "arrival_p10", "arrived", "arrival_p90"))
        add("company: forecast over what came", company["expected"].sum() / company["came"].sum())
        add("company: mean absolute error", (company["expected"] / company["came"] - 1).abs().mean())
        add("company: CRPS over what came", company["crps"].sum() / company["came"].sum())
        add("company: width of the 80 % range over the forecast", width(company))
        for level in ("company", "region", "team"):
            add(f"{level} inside the 80 % range", inside(part[part["level"] == level]))
    head = f"| {companies} companies of {deals:,} deals, {len(QUARTERS)} quarters each, drift {drift:g} | "
    lines = [head + " | ".join(by_week) + " |", "| --- |" + " ---: |" * len(by_week)]
    lines += [f"| {name} | {' | '.join(values)} |" for name, values in measures.items()]

    followed = won[won["followed"]]
    late = (followed["close_on_p50"] - followed["days"]).abs()
    oracle = (followed["true_p50"] - followed["days"]).abs()
    apart = (followed["close_on_p50"] - followed["true_p50"]).abs()
    soon = followed["days"] <= 90
    single = [
        ("final amount: expected over actual, sum", f"{won['amount_if_won'].sum() / won['final'].sum():.1%}"),
        ("final amount: today's amount over actual, sum", f"{won['amount'].sum() / won['final'].sum():.1%}"),
        ("final amount inside its 80 % range", f"{inside(won, 'amount_p10', 'final', 'amount_p90'):.1%}"),
        ("final amount below its median", f"{(won['final'] < won['amount_p50']).mean():.1%}"),
        ("close date: mean distance of the median, days", f"{late.mean():.1f}"),
        ("close date: median distance of the median, days", f"{late.median():.1f}"),
        ("close date: mean distance of the true median, days", f"{oracle.mean():.1f}"),
        ("close date: mean distance between both medians, days", f"{apart.mean():.1f}"),
        ("close date: mean distance of the median, wins within 90 days, days", f"{late[soon].mean():.1f}"),
        (
            "close date inside its 80 % range",
            f"{inside(followed, 'close_on_p10', 'days', 'close_on_p90'):.1%}",
        ),
    ]
    lines += ["", f"| {len(won):,} open deals won later ({len(followed):,} for dates) | |", "| --- | ---: |"]
    lines += [f"| {name} | {value} |" for name, value in single]
    return "\n".join(lines) + "\n"


def width(rows: pd.DataFrame) -> float:
    """Mean width of the 80 % range relative to the forecast."""
    return float(((rows["p90"] - rows["p10"]) / rows["expected"]).mean())


@click.command()
@click.option("--companies", default=6, show_default=True, help="How many, with seeds from --seed on.")
@click.option("--seed", default=11, show_default=True, help="Seed of the first company.")
@click.option("--deals", default=5000, show_default=True, help="Deals of each.")
@click.option("--drift", default=0.0, show_default=True, help="Change of the log rate of winning per year.")
@click.option(
    "--markdown", "target", type=click.Path(path_type=Path), help="Also write the tables to this file."
)
@click.option("--rows", type=click.Path(path_type=Path), help="Also write every forecast to this CSV file.")
def main(companies: int, seed: int, deals: int, drift: float, target: Path | None, rows: Path | None) -> None:
    """Forecast quarters of simulated companies and compare with what came."""
    console = Console()
    found, deals_won = [], []
    for number in track(range(seed, seed + companies), description="companies", console=console):
        simulation = simulate(deals=deals, seed=number, drift_per_year=drift)
        history = History.from_tables(simulation.tables)
        for label in QUARTERS:
            period = Period.parse(label)
            for week in WEEKS:
                as_of = period.start + pd.Timedelta(weeks=week)
                table, won = one_origin(simulation, history, period, as_of)
                found.append(table.assign(seed=number, week=week))
                deals_won.append(won)
    every = pd.concat(found)
    text = markdown(every, pd.concat(deals_won), companies, deals, drift)
    console.print(text, markup=False)
    if target is not None:
        target.write_text(text, encoding="utf-8")
    if rows is not None:
        every.to_csv(rows, index=False)


if __name__ == "__main__":
    main()
