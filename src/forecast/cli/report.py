"""`forecast report`: the manager's report for a period, as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from forecast.cli.data_source import data_option
from forecast.cli.options import (
    as_of_option,
    bundle_option,
    locale_option,
    open_inputs,
    out_option,
    period_option,
)
from forecast.database_url import DataSource

__all__ = ["command"]

_EPILOG = """\b
Example:
  forecast report --data sample --bundle models/current --period 2026Q1 --out report.html --locale it
"""


@click.command("report", epilog=_EPILOG)
@data_option()
@bundle_option
@as_of_option
@period_option(required=True)
@out_option("report.html", ".html", ".htm")
@locale_option("Language of the report.")
def command(data: DataSource, bundle: Path, as_of: str | None, period: str, out: Path, locale: str) -> None:
    """Write a manager's report for a period as one self-contained HTML file.

    What will be booked against quota and how sure that is, what changed in four weeks, who brings what, which
    deals to look at, the pipeline and its funnel. The file loads nothing from outside and can be mailed.
    """
    from forecast.outlook import make_outlook
    from forecast.receipts import publish
    from forecast.report import DEALS_PER_QUOTA, collect_facts, render

    reading, loaded, moment, span = open_inputs(data, bundle, as_of, period, "report")
    outlook = make_outlook(
        reading.tables,
        loaded,
        as_of=moment,
        period=span,
        reasons=0,  # the facts explain the deals they show
        deciding=DEALS_PER_QUOTA,
        check=reading.report,
    )
    page = render(collect_facts(outlook, locale)).encode()
    publish(out, page, "report", reading=reading, bundle=loaded, as_of=moment, period=span, locale=locale)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"report for {outlook.period.label} as of {moment:%Y-%m-%d} written to {out}", markup=False)
