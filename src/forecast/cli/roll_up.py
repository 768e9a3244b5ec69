"""`forecast roll-up`: bookings of a period by user, team, region and company."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import click
import pandas as pd
from rich.console import Console

from forecast.cli.data_source import data_option
from forecast.cli.options import (
    as_of_option,
    bundle_option,
    open_inputs,
    out_option,
    period_option,
    table_option,
)
from forecast.database_url import DataSource

__all__ = ["command"]

_EPILOG = """\b
Example:
  forecast roll-up --data sample --bundle models/sample --period 2026Q1 --out bookings.csv
  forecast roll-up --data sample --bundle models/sample --period 2026 --out year.csv --deciding deals.csv
"""
_DEALS_NAMED: Final = 10  # per entity with a quota


@click.command("roll-up", epilog=_EPILOG)
@data_option()
@bundle_option
@as_of_option
@period_option(required=True)
@table_option("deciding", "Also write the deals on which each quota hinges: .csv or .parquet.")
@out_option("bookings.csv or bookings.parquet", ".csv", ".parquet")
def command(
    data: DataSource, bundle: Path, as_of: str | None, period: str, deciding: Path | None, out: Path
) -> None:
    """Add up bookings for a period by user, team, region and company.

    Each row is booked + open deals + deals not yet created, with the range p10-p90, the quota and the
    probability of reaching it. Amounts are in the reporting currency.
    """
    from forecast.outlook import make_outlook
    from forecast.receipts import publish
    from forecast.tables import table_bytes

    reading, loaded, moment, span = open_inputs(data, bundle, as_of, period, "bookings")
    # Reasons are for people who look at one deal; a roll-up needs none.
    named = 0 if deciding is None else _DEALS_NAMED
    outlook = make_outlook(reading.tables, loaded, as_of=moment, period=span, reasons=0, deciding=named)
    bookings = outlook.bookings
    if deciding is not None:
        publish(
            deciding,
            table_bytes(bookings.parts, deciding, guard_formulas=True),
            "deciding",
            reading=reading,
            bundle=loaded,
            as_of=moment,
            period=span,
            deals=named,
        )
    publish(
        out,
        table_bytes(bookings.table, out, guard_formulas=True),
        "bookings",
        reading=reading,
        bundle=loaded,
        as_of=moment,
        period=span,
    )

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if bookings.unconverted:
        console.print(
            f"[yellow]note:[/] {bookings.unconverted:,} rows are in no sum: they have no amount, or "
            "no exchange rate for it (see fx_rates)"
        )
    line = _in_a_line(bookings.table.iloc[0], outlook.history.money.reporting)
    console.print(f"{line}; {len(bookings.table)} rows written to {out}", markup=False)
    if deciding is not None:
        quotas = bookings.parts[["level", "entity"]].drop_duplicates()
        console.print(f"deals that decide {len(quotas)} quotas written to {deciding}", markup=False)


def _in_a_line(company: pd.Series, currency: str) -> str:
    """The company's bookings: how much, how sure, and what they are made of."""
    from forecast.language import formats_of

    formats = formats_of("en", currency)
    money = {
        name: formats.compact(float(company[name]))
        for name in ("expected", "p10", "p90", "booked", "open", "arrivals")
    }
    text = (
        f"{company['period']}: {money['expected']} expected (80 %: {money['p10']} to {money['p90']}),"
        f" of which booked {money['booked']}, open {money['open']}, not yet created {money['arrivals']}"
    )
    quota = float(company["quota"])
    if math.isnan(quota):
        return text
    chance = formats.percent(float(company["attainment_probability"]))
    return f"{text}; quota {formats.compact(quota)} reached with {chance}"
