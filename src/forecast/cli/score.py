"""`forecast score`: every open deal, or every open lead, with its chances and reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import pandas as pd
from rich.console import Console

from forecast.cli.data_source import data_option
from forecast.cli.options import (
    as_of_option,
    bundle_option,
    locale_option,
    open_inputs,
    out_option,
    period_option,
    table_option,
)
from forecast.errors import UsageError

if TYPE_CHECKING:
    from forecast.bundle import Bundle
    from forecast.database_url import DataSource
    from forecast.history import History
    from forecast.tables import Reading

__all__ = ["command"]


_EPILOG = """\b
Examples:
  forecast score --data sample --bundle models/sample --period 2026Q1 --out scores.csv
  forecast score --data sample --bundle models/sample --out punteggi.csv --questions domande.csv --locale it
  forecast score --leads --data sample --bundle models/sample --out leads.csv
"""


@click.command("score", epilog=_EPILOG)
@data_option()
@bundle_option
@as_of_option
@period_option(required=False)
@click.option("--reasons", default=5, show_default=True, type=click.IntRange(0, 50), help="Reasons for each.")
@click.option("--leads", is_flag=True, help="Score the open leads instead of the open deals.")
@locale_option("Language of reasons and questions.")
@table_option("questions", "Also write which BANT answers would move each deal: .csv or .parquet.")
@out_option("scores.csv or scores.parquet", ".csv", ".parquet")
def command(
    data: DataSource,
    bundle: Path,
    as_of: str | None,
    period: str | None,
    reasons: int,
    leads: bool,
    locale: str,
    questions: Path | None,
    out: Path,
) -> None:
    """Score every deal open as of a moment: chance of being won within 14 to 365 days, when, for how much,
    and the features that speak for and against it. With --leads, score every open lead: chance of being
    converted, and of becoming a won deal.
    """
    if leads and period is not None:
        raise UsageError("--leads knows no period; leave out --period", code="bad_option")
    if leads and questions is not None:
        raise UsageError("--questions are asked about deals; leave it out with --leads", code="bad_option")

    from forecast.outlook import check_as_of, history_of
    from forecast.receipts import publish
    from forecast.scoring import open_questions, score_open_deals
    from forecast.tables import table_bytes

    kind = "lead_scores" if leads else "scores"
    reading, loaded, moment, span = open_inputs(data, bundle, as_of, period, kind)
    history = history_of(reading.tables, loaded)
    if leads:
        _score_leads(reading, history, loaded, moment, reasons, locale, out)
        return
    check_as_of(history, moment)
    scores = score_open_deals(history, loaded, moment, period=span, reasons=reasons, locale=locale)
    if questions is not None:
        asked = open_questions(history, loaded, moment, period=span, locale=locale)
        publish(
            questions,
            table_bytes(asked, questions, guard_formulas=True),
            "questions",
            reading=reading,
            bundle=loaded,
            as_of=moment,
            period=span,
            locale=locale,
        )
    publish(
        out,
        table_bytes(scores, out, guard_formulas=True),
        kind,
        reading=reading,
        bundle=loaded,
        as_of=moment,
        period=span,
        reasons=reasons,
        locale=locale,
    )
    # The sum over deals none of which has an amount is not zero, it is unknown.
    total = scores["expected_bookings"].sum(min_count=min(1, len(scores)))
    currency = history.money.reporting
    expected = "no amount known" if pd.isna(total) else f"{total:,.0f} {currency} expected in all"
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(
        f"{len(scores):,} open deals scored as of {moment:%Y-%m-%d %H:%M} UTC with bundle {loaded.short_id}: "
        f"{expected}; written to {out}",
        markup=False,
    )
    if questions is not None:
        said = f"{len(asked):,} open questions written to {questions}"
        console.print(said if len(asked) else f"{said}: the model in use reads no BANT field", markup=False)


def _score_leads(
    reading: Reading,
    deals: History,
    bundle: Bundle,
    as_of: pd.Timestamp,
    reasons: int,
    locale: str,
    out: Path,
) -> None:
    """Score the open leads and write them."""
    from forecast.outlook import leads_of
    from forecast.receipts import publish
    from forecast.scoring import lead_models, score_open_leads
    from forecast.tables import table_bytes

    lead_models(bundle)  # a bundle that cannot score leads says so before anything else
    history = leads_of(reading.tables, deals, as_of)
    scores = score_open_leads(history, bundle, as_of, reasons=reasons, locale=locale)
    publish(
        out,
        table_bytes(scores, out, guard_formulas=True),
        "lead_scores",
        reading=reading,
        bundle=bundle,
        as_of=as_of,
        reasons=reasons,
        locale=locale,
    )
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"{len(scores):,} open leads scored as of {as_of:%Y-%m-%d %H:%M} UTC with bundle {bundle.short_id}: "
        f"{scores['converted_90d'].sum():,.0f} of them expected to be converted within 90 days, "
        f"{scores['becomes_won'].sum():,.0f} to become a won deal; written to {out}",
        markup=False,
    )
