"""How near, and how sure: quarterly bookings of simulated companies against what came.

    python -m benchmarks.bookings [--companies 6] [--deals 5000] [--markdown FILE]

For each company and each of six quarters, models learn from what was recorded before the quarter and forecast
it from its first instant. Shown is the forecast beside the true expectation of the open deals (the simulator
knows it), what came, and how often the 80 % range held it, for the company and for its teams.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track

from forecast.bundle import Bundle
from forecast.history import History
from forecast.models import FitSettings, fit_models
from forecast.outlook import make_outlook
from forecast.periods import Period
from forecast.simulator import Simulation, simulate

QUARTERS = ("2024Q3", "2024Q4", "2025Q1", "2025Q2", "2025Q3", "2025Q4")


def one_quarter(simulation: Simulation, history: History, period: Period) -> pd.DataFrame:
    """Rows (company and teams) of one forecast and what came."""
    models = fit_models(history, period.start, FitSettings())
    bundle = Bundle("benchmark", {}, models, [])
    outlook = make_outlook(
        simulation.tables, bundle, as_of=period.start, period=period, history=history, reasons=0
    )
    came = history.booked(period.end_us, period.start_us, period.end_us)
    team = simulation.tables.users.set_index("user_id")["team"].reindex(came["owner_id"]).to_numpy()
    amount = came.groupby(team)["amount"].sum()
    rows = outlook.bookings.table.query("level in ['company', 'team']").copy()
    rows["came"] = [
        came["amount"].sum() if level == "company" else amount.get(entity, 0.0)
        for level, entity in zip(rows["level"], rows["entity"], strict=True)
    ]
    was_open = came["deal_id"].isin(outlook.scores["deal_id"])
    rows["came_open"] = came.loc[was_open, "amount"].sum()
    rows["true_open"] = simulation.expected_bookings(period.start, period)["expected"].sum()
    return rows


def markdown(rows: pd.DataFrame, companies: int, deals: int) -> str:
    """The table of the documentation."""
    company, teams = rows[rows["level"] == "company"], rows[rows["level"] == "team"]
    arrived = company["came"] - company["came_open"]
    lines = [
        (
            "open deals: forecast over their true expectation",
            company["open"].sum() / company["true_open"].sum(),
        ),
        ("open deals: mean distance from it", (company["open"] / company["true_open"] - 1).abs().mean()),
        ("deals not yet created: forecast over what came", company["arrivals"].sum() / arrived.sum()),
        ("company total: mean absolute error", (company["expected"] / company["came"] - 1).abs().mean()),
        ("company total inside the 80 % range", inside(company)),
        ("team totals inside the 80 % range", inside(teams)),
    ]
    table = "\n".join(f"| {text} | {value:.1%} |" for text, value in lines)
    head = f"| {companies} companies of {deals:,} deals, {len(QUARTERS)} quarters each | |"
    return f"{head}\n| --- | ---: |\n{table}\n"


def inside(rows: pd.DataFrame) -> float:
    """Share of the rows whose outcome lies within p10 and p90."""
    return float(np.mean((rows["p10"] <= rows["came"]) & (rows["came"] <= rows["p90"])))


@click.command()
@click.option("--companies", default=6, show_default=True, help="How many, with seeds 11, 12, ...")
@click.option("--deals", default=5000, show_default=True, help="Deals of each.")
@click.option(
    "--markdown", "target", type=click.Path(path_type=Path), help="Also write the table to this file."
)
def main(companies: int, deals: int, target: Path | None) -> None:
    """Forecast quarters of simulated companies and compare with what came."""
    console = Console()
    found = []
    for seed in track(range(11, 11 + companies), description="companies", console=console):
        simulation = simulate(deals=deals, seed=seed)
        history = History.from_tables(simulation.tables)
        found += [one_quarter(simulation, history, Period.parse(label)) for label in QUARTERS]
    text = markdown(pd.concat(found), companies, deals)
    console.print(text, markup=False)
    if target is not None:
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
