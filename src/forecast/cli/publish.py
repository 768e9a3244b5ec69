"""`forecast publish`: scores and forecasts of a moment, kept in the ledger for the service to show."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from forecast.cli.data_source import data_option
from forecast.cli.ledger import ledger_option, now_us, open_ledger
from forecast.cli.options import as_of_option, bundle_option, note
from forecast.database_url import DataSource

__all__ = ["command"]

_EPILOG = """\b
Examples:
  forecast publish --data sample --bundle models/sample --period 2026Q1
  forecast publish --data sample --bundle models/sample --period 2026Q1 --period 2026 --ledger sqlite:///ledger.db
"""


@click.command("publish", epilog=_EPILOG)
@data_option()
@bundle_option
@as_of_option
@click.option(
    "--period",
    "periods",
    metavar="PERIOD",
    required=True,
    multiple=True,
    help="2026Q1, 2026-01 or 2026; may be given several times. The scores speak of the first.",
)
@ledger_option
def command(
    data: DataSource, bundle: Path, as_of: str | None, periods: tuple[str, ...], ledger: str | None
) -> None:
    """Compute scores and forecasts as `forecast score` and `forecast roll-up` do, and store them as a snapshot.

    Whole or not at all: killed at any moment, nothing of it is in the ledger. The same data, bundle, code and
    arguments are the same snapshot; published again, nothing is added.
    """
    from forecast.bundle import load_bundle
    from forecast.outlook import check_reach
    from forecast.periods import Period, parse_as_of
    from forecast.publishing import make_snapshot, plan_snapshot
    from forecast.tables import open_tables

    spans = tuple(Period.parse(label) for label in dict.fromkeys(periods))
    asked = None if as_of is None else parse_as_of(as_of)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    # The ledger first: that it cannot be opened is better known before the work than after.
    with open_ledger(ledger) as kept:
        loaded = load_bundle(bundle)
        reading = open_tables(data, dialect=loaded.dialect)
        moment = reading.tables.default_as_of if asked is None else asked
        note(reading, loaded, moment)
        check_reach(reading.tables, moment)
        plan = plan_snapshot(reading, loaded, moment, spans)
        published = kept.published(plan.id)
        if published is None:
            with console.status("scoring open deals and adding up"):
                snapshot = make_snapshot(plan)
            with console.status("storing the snapshot"):
                published = kept.publish(snapshot, now_us=now_us())
        where = kept.place
    name = plan.id[:12]
    if published.already:
        from forecast.periods import to_timestamp

        console.print(
            f"snapshot {name} is in {where} since {to_timestamp(published.published_at_us):%Y-%m-%d %H:%M} "
            "UTC: same data, bundle, code and periods; nothing was added",
            markup=False,
        )
        return
    company = snapshot.forecasts[snapshot.forecasts["level"] == "company"]
    sums = ", ".join(
        f"{row.period} {row.expected:,.0f} {snapshot.currency} expected" for row in company.itertuples()
    )
    console.print(
        f"snapshot {name} of {moment:%Y-%m-%d %H:%M} UTC with bundle {loaded.short_id}: "
        f"{len(snapshot.scores):,} open deals; {sums}; stored in {where}",
        markup=False,
    )
