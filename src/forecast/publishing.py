"""A snapshot to publish: scores and forecasts by the functions of `forecast score` and `forecast roll-up`.

What a snapshot is made from is worked out first (`plan_snapshot`): the same data, bundle, code and arguments
have the same id, so what is published already is not computed again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.ledger import Snapshot
from forecast.outlook import Outlook, make_outlook
from forecast.periods import Period, as_of_us
from forecast.receipts import KINDS, output_code, read_as_of
from forecast.rollup.hierarchy import UNASSIGNED
from forecast.scoring import CURVE_DAYS, score_open_deals, win_and_loss
from forecast.tables import Reading, Tables

__all__ = ["Plan", "make_snapshot", "plan_snapshot"]

_REASONS: Final = 5
_DIGITS: Final = 6


@dataclass(frozen=True)
class Plan:
    """What a snapshot will be made from.

    tables : what is known of it, for each period
    receipt : that in numbers and hashes; `id` is the hash of it
    """

    tables: dict[str, Tables]
    bundle: Bundle
    as_of: pd.Timestamp
    periods: tuple[Period, ...]
    receipt: dict[str, Any]
    id: str


def plan_snapshot(reading: Reading, bundle: Bundle, as_of: pd.Timestamp, periods: tuple[Period, ...]) -> Plan:
    """Cut the data at the moment and name the snapshot they give.

    periods : at least one; the first is the one of `won_in_period`
    """
    known = {span.label: read_as_of(reading.tables, "bookings", as_of, span) for span in periods}
    receipt = {
        "kind": "snapshot",
        "arguments": {"as_of": as_of.isoformat(), "periods": list(known), "reasons": _REASONS},
        "data": {
            label: {
                "fingerprint": tables.fingerprint,
                "tables": {
                    name: {"rows": len(tables[name]), "sha256": tables.fingerprints[name]}
                    for name in KINDS["bookings"].tables
                },
            }
            for label, tables in known.items()
        },
        "bundle": {
            "id": bundle.id,
            "trained_until": bundle.trained_until.isoformat(),
            "settings": bundle.manifest.get("settings", {"fit": bundle.models.settings}),
        },
        "code": output_code("bookings"),
    }
    text = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return Plan(known, bundle, as_of, periods, receipt, hashlib.sha256(text.encode()).hexdigest())


def make_snapshot(plan: Plan) -> Snapshot:
    """Score every open deal and roll up every period. Raises what `make_outlook` does."""
    first, *others = plan.periods
    outlook = make_outlook(
        plan.tables[first.label], plan.bundle, as_of=plan.as_of, period=first, reasons=_REASONS
    )
    bookings = [outlook.bookings.table]
    for span in others:
        further = make_outlook(
            plan.tables[span.label],
            plan.bundle,
            as_of=plan.as_of,
            period=span,
            reasons=0,
            history=outlook.history,
        )
        bookings.append(further.bookings.table)
    places = _places(plan.tables[first.label].users)
    return Snapshot(
        id=plan.id,
        as_of_us=as_of_us(plan.as_of),
        periods=tuple(span.label for span in plan.periods),
        bundle=plan.bundle.id,
        trained_until_us=as_of_us(plan.bundle.trained_until),
        data_fingerprint=plan.tables[first.label].fingerprint,
        newest_record_us=as_of_us(outlook.tables.deal_events["recorded_at"].max()),
        code_version=plan.receipt["code"]["version"],
        currency=outlook.history.money.reporting,
        receipt=plan.receipt,
        curve_days=tuple(float(days) for days in CURVE_DAYS),
        scores=_scores(outlook, places),
        forecasts=_forecasts(pd.concat(bookings, ignore_index=True), places),
    )


def _places(users: pd.DataFrame) -> pd.DataFrame:
    """Team and region of each user as the roll-up reads them."""
    columns = {
        level: users[level].astype("str").fillna("").str.strip().replace("", UNASSIGNED).to_numpy(object)
        for level in ("team", "region")
    }
    return pd.DataFrame(columns, index=users["user_id"].to_numpy(object))


def _of(places: pd.DataFrame, level: str, users: pd.Series[str]) -> pd.Series[str]:
    return users.map(places[level]).astype("str").fillna(UNASSIGNED)


def _scores(outlook: Outlook, places: pd.DataFrame) -> pd.DataFrame:
    """The columns of the ledger's scores."""
    scores, history = outlook.scores, outlook.history
    deal = history.index_of(scores["deal_id"].to_numpy(object))
    won, lost = win_and_loss(history, outlook.bundle, deal, outlook.as_of, outlook.period)
    italian = score_open_deals(
        history, outlook.bundle, outlook.as_of, period=outlook.period, reasons=_REASONS, locale="it"
    )
    stated = scores.drop(columns=["as_of", "reasons"])
    days = [name for name in stated.columns if name.startswith("close_on_")]
    return stated.assign(
        **{name: stated[name].dt.strftime("%Y-%m-%d") for name in days},
        team=_of(places, "team", stated["owner_id"]),
        region=_of(places, "region", stated["owner_id"]),
        account_id=history.vocabulary("account_id").take(history.columns.account[deal]),
        reasons_en=scores["reasons"],
        reasons_it=italian["reasons"],
        curve=[
            json.dumps([one, other], separators=(",", ":"))
            for one, other in zip(
                np.round(won, _DIGITS).tolist(), np.round(lost, _DIGITS).tolist(), strict=True
            )
        ],
        score=stated["score"].astype("int64"),
    )


def _forecasts(bookings: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """The columns of the ledger's forecasts: of a user's row also the team."""
    is_user = bookings["level"] == "user"
    team = _of(places, "team", bookings["entity"]).where(is_user)
    return bookings.drop(columns="as_of").assign(team=team)
