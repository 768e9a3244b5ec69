"""An output made again from its receipt, by the same functions as the first time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from forecast.bundle import Bundle
from forecast.outlook import check_as_of, history_of, leads_of, make_outlook
from forecast.periods import Period, parse_as_of
from forecast.receipts.receipt import Receipt
from forecast.report import DEALS_PER_QUOTA, collect_facts, render
from forecast.scoring import open_questions, score_open_deals, score_open_leads
from forecast.tables import CheckReport, Tables, table_bytes
from forecast.tables.check import TableCount

__all__ = ["moment_of", "period_of", "recompute"]


def moment_of(receipt: Receipt) -> pd.Timestamp:
    """The as-of moment of a receipt."""
    return parse_as_of(receipt.arguments["as_of"])


def period_of(receipt: Receipt) -> Period | None:
    """The period of a receipt, None where it has none."""
    label = receipt.arguments["period"]
    return None if label is None else Period.parse(label)


def recompute(receipt: Receipt, tables: Tables, bundle: Bundle) -> bytes:
    """The content of the output, made from the part of the data it reads (`read_as_of`) and a bundle.

    Raises KeyError or TypeError for a receipt whose arguments are not those of its kind, ForecastError where
    the output cannot be made from this data.
    """
    as_of, span, asked = moment_of(receipt), period_of(receipt), receipt.arguments
    if receipt.kind == "report":
        # What was set aside then: later bad rows are no part of this page.
        check = CheckReport(
            tables={name: TableCount(quarantined=count) for name, count in receipt.data["set_aside"].items()}
        )
        outlook = make_outlook(
            tables, bundle, as_of=as_of, period=span, reasons=0, deciding=DEALS_PER_QUOTA, check=check
        )
        return render(collect_facts(outlook, asked["locale"])).encode()
    return table_bytes(
        _table(receipt.kind, tables, bundle, as_of, span, asked),
        Path(receipt.output["file"]),
        guard_formulas=True,
    )


def _table(
    kind: str, tables: Tables, bundle: Bundle, as_of: pd.Timestamp, span: Period | None, asked: dict[str, Any]
) -> pd.DataFrame:
    if kind in ("bookings", "deciding"):
        named = asked["deals"] if kind == "deciding" else 0
        bookings = make_outlook(tables, bundle, as_of=as_of, period=span, reasons=0, deciding=named).bookings
        return bookings.parts if kind == "deciding" else bookings.table
    history = history_of(tables, bundle)
    if kind == "lead_scores":
        leads = leads_of(tables, history, as_of)
        return score_open_leads(leads, bundle, as_of, reasons=asked["reasons"], locale=asked["locale"])
    check_as_of(history, as_of)
    if kind == "questions":
        return open_questions(history, bundle, as_of, period=span, locale=asked["locale"])
    return score_open_deals(
        history, bundle, as_of, period=span, reasons=asked["reasons"], locale=asked["locale"]
    )
