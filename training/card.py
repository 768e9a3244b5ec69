"""The model card: what a bundle was learnt from, how good it was, for whom, and what it is not for.

Facts first, text second: `card_facts` collects plain values, `card_text` writes them as Markdown. Both are
functions of the training alone, so the same training has the same card. It names the bundle and lies beside it
(`card_path`), not inside: the bundle's id speaks of what scores are made of, and of nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from forecast.evaluation.scoreboard import wide
from forecast.features import label
from forecast.history import LOST, WON, History
from forecast.models import FittedModels
from forecast.periods import DAY_US, to_timestamp
from forecast.tables import TABLES, Tables
from training.evidence import Evidence
from training.intervals import LEVEL
from training.settings import Settings
from training.summary import LABELS
from training.train import THIN_CLOSED_DEALS, Training

__all__ = ["MINIMA", "card_facts", "card_path", "card_text"]

Facts = dict[str, Any]

# Vendors' published minimums before they score (docs/small-companies.md): name, won, lost, within so many days.
MINIMA: Final[tuple[tuple[str, int, int, float | None], ...]] = (
    ("Microsoft Dynamics 365", 40, 40, None),
    ("Gong", 50, 150, None),
    ("Salesforce", 200, 200, 730.0),
)
_BITRIX_ITEMS: Final = 2_000
_SHOWN: Final = (("brier", "Brier score", ".4f"), ("skill", "skill", "+.1%"), ("auc", "AUC", ".3f"))
_IMPORTANCES: Final = 10
_LIMITS: Final = (
    "It knows what the CRM recorded. A deal that nobody keeps up to date is judged by its silence.",
    "The models that were measured had learnt only what was recorded before the held-out period; those of this "
    "bundle learnt everything. Metrics are those of the method, one step earlier.",
    "One quarter of bookings is one number: it shows the size of the error, not which rule is better.",
    "Intervals are by deal. What moves all deals of a quarter together makes the true ones wider.",
    "A probability is right on average over deals like this one. It is no promise about this one.",
)


def card_path(bundle: Path) -> Path:
    """Where the card of a bundle folder lies: `models/mine.card.md` beside `models/mine`."""
    return bundle.with_name(f"{bundle.name}.card.md")


def card_facts(training: Training, tables: Tables, evidence: Evidence, settings: Settings) -> Facts:
    """Everything the card says, as plain values; None where something was not measured."""
    models, measured = training.models, training.measured
    chosen = next((rung for rung in models.ladder if rung.chosen), None)
    return {
        "bundle_id": training.bundle_id,
        "as_of": training.as_of.isoformat(),
        "rung": models.outcome.name,
        "rung_reason": None if chosen is None else chosen.reason,
        "data": {
            "fingerprint": training.fingerprint,
            "rows": {name: len(getattr(tables, name)) for name in TABLES if len(getattr(tables, name))},
            "first": _first(training.history, models.trained_until_us),
            "deals": dict(models.counts),
            "currency": models.money.reporting,
        },
        "minimum": _minimum(models, training.history, settings),
        "measured": None
        if measured is None
        else {
            "start": measured.holdout.start.date().isoformat(),
            "end": measured.holdout.end.date().isoformat(),
            "rung": measured.rung,
            "metrics": _metrics(evidence),
            "baselines": _baselines(measured.table),
            "behind": _behind(evidence),
            "bookings": None
            if measured.bookings is None or measured.holdout.quarter is None
            else {"quarter": measured.holdout.quarter.label, "rows": _rows(measured.bookings)},
        },
        "segments": _rows(evidence.segments),
        "least_deals": settings.segments.least_deals,
        "importances": _rows(evidence.importances.query("effect > 0").head(_IMPORTANCES)),
        "left_out": [
            {"feature": one.feature, "label": label(one.feature), "reason": one.reason}
            for one in models.decisions
            if not one.used
        ],
        "notes": list(training.notes),
    }


def card_text(facts: Facts) -> str:
    """The card as Markdown."""
    data, measured = facts["data"], facts["measured"]
    counts = data["deals"]
    closed = counts["won"] + counts["lost"]
    parts = [
        f"# Model card of bundle {facts['bundle_id'][:12]}",
        f"Chances of open deals being won or lost by any date, amounts and bookings, as known before "
        f"{_moment(facts['as_of'])}. Model of outcomes: **{facts['rung']}**"
        + (f" ({facts['rung_reason']})." if facts["rung_reason"] else "."),
        *facts["notes"],
        "## Intended use",
        "Which open deals will be won, by when and for how much, and what the period will book, for the "
        "company whose history it learnt from. It ranks and adds up deals; it does not judge sellers, and it "
        "knows nothing of other companies. Train again each quarter, and earlier where its figures drift.",
        "## Data",
        f"From {data['first'] or 'nothing'} to {_moment(facts['as_of'])}: {closed:,} closed "
        f"deals ({counts['won']:,} won, {counts['lost']:,} lost) and {counts['open']:,} open ones, amounts in "
        f"{data['currency']}.",
        _table(("table", "rows"), ((name, f"{rows:,}") for name, rows in data["rows"].items())),
        f"Fingerprint `{data['fingerprint']}`.",
        "### Is that enough?",
        _table(
            ("minimum", "asks for", "here", "reached"),
            (
                (one["name"], one["asks"], one["here"], "yes" if one["reached"] else "no")
                for one in facts["minimum"]
            ),
        ),
        "Vendors' lines are their published minimums before they score at all, not statements of quality.",
    ]
    unmeasured = ["Nothing was held out to measure on."]
    parts += ["## How good it was", *(_measured(measured) if measured else unmeasured)]
    parts += _parity(facts)
    if facts["importances"]:
        parts += [
            "## What moves its scores",
            "Mean change of the win probability by each feature, over the deals open at the end of training, "
            "in points (the parts of the reasons, which add up exactly).",
            _table(
                ("feature", "points"),
                ((one["label"], f"{100 * one['effect']:.1f}") for one in facts["importances"]),
            ),
        ]
    parts += ["## Fields left out"]
    parts += (
        [_table(("field", "why"), ((one["label"], one["reason"]) for one in facts["left_out"]))]
        if facts["left_out"]
        else ["None."]
    )
    parts += ["## Known limits", "\n".join(f"- {one}" for one in _LIMITS)]
    return "\n\n".join(parts) + "\n"


# -- facts ---------------------------------------------------------------------------------------------------


def _first(history: History, until_us: int) -> str | None:
    known = history.known_from_us()
    known = known[known < until_us]
    return to_timestamp(int(known.min())).date().isoformat() if len(known) else None


def _minimum(models: FittedModels, history: History, settings: Settings) -> list[Facts]:
    """What others ask for, and from where on we do more than lean on common experience."""
    closings, until_us = history.closings, models.trained_until_us
    won, lost = models.counts["won"], models.counts["lost"]
    found = []
    for name, least_won, least_lost, days in MINIMA:
        asks = f"{least_won} won, {least_lost} lost"
        here_won, here_lost = won, lost
        if days is not None:
            asks += f" within {days / 365:.0f} years"
            late = (closings.at_us < until_us) & (closings.at_us >= until_us - int(days * DAY_US))
            here_won, here_lost = (
                len(np.unique(closings.deal[late & (closings.kind == kind)])) for kind in (WON, LOST)
            )
        reached = here_won >= least_won and here_lost >= least_lost
        here = f"{here_won:,} won, {here_lost:,} lost"
        found.append({"name": name, "asks": asks, "here": here, "reached": reached})
    items = len(history)
    found.append(
        {
            "name": "Bitrix24",
            "asks": f"{_BITRIX_ITEMS:,} items",
            "here": f"{items:,} deals",
            "reached": items >= _BITRIX_ITEMS,
        }
    )
    closed = won + lost
    grown = any(rung.name == "boosted" and rung.log_score is not None for rung in models.ladder)
    for step, least, reached in (
        (
            "more than cells by stage",
            f"{settings.fit.min_closed_deals:,} closed",
            closed >= settings.fit.min_closed_deals,
        ),
        ("no warning of thin data", f"{THIN_CLOSED_DEALS:,} closed", closed >= THIN_CLOSED_DEALS),
        ("trees are tried", f"{settings.fit.min_boosted_deals} closed before every window", grown),
    ):
        here = f"{closed:,} closed"
        found.append({"name": f"Forecast: {step}", "asks": least, "here": here, "reached": reached})
    return found


def _metrics(evidence: Evidence) -> list[Facts]:
    return [row for row in _rows(evidence.intervals) if not row["metric"].startswith("brier_gain_")]


def _behind(evidence: Evidence) -> list[Facts]:
    """Baselines our Brier score is not clearly better than: the interval of the gain reaches 0 or less."""
    found = []
    for row in _rows(evidence.intervals):
        if row["metric"].startswith("brier_gain_") and not (row["lower"] or 0.0) > 0.0:
            found.append({**row, "forecaster": row["metric"].removeprefix("brier_gain_")})
    return found


def _baselines(table: pd.DataFrame) -> list[Facts]:
    """Brier score of every forecaster at every horizon."""
    found = wide(table[table["forecaster"] != "actual"], "brier")
    return [
        {"forecaster": forecaster, "brier": {str(h): _plain(value) for h, value in row.items()}}
        for forecaster, row in found.iterrows()
    ]


def _rows(frame: pd.DataFrame) -> list[Facts]:
    return [{str(key): _plain(one) for key, one in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


# -- text ----------------------------------------------------------------------------------------------------


def _measured(measured: Facts) -> list[str]:
    rows = [
        (
            f"{title}, {one['horizon_days']:.0f} d",
            _number(one["value"], style),
            f"{_number(one['lower'], style)} to {_number(one['upper'], style)}",
            f"{one['deals']:,}",
        )
        for metric, title, style in (*_SHOWN, ("bias", "probability less share won", "+.1%"))
        for one in measured["metrics"]
        if one["metric"] == metric
    ]
    parts = [
        f"Measured on {measured['start']} to {measured['end']} by models ({measured['rung']}) that had learnt "
        f"only what was recorded before. P(won within h days) of every deal at each weekly look; intervals of "
        f"{LEVEL:.0%} by drawing whole deals again.",
        _table(("metric", "value", "interval", "deals"), rows),
    ]
    horizons = list(measured["baselines"][0]["brier"]) if measured["baselines"] else []
    parts += [
        "Brier score beside the rules everybody uses, on the same looks:",
        _table(
            ("", *(f"{horizon} d" for horizon in horizons)),
            (
                (LABELS[one["forecaster"]], *(_number(one["brier"][h], ".4f") for h in horizons))
                for one in measured["baselines"]
            ),
        ),
    ]
    if measured["behind"]:
        said = "; ".join(
            f"{LABELS[one['forecaster']]} at {one['horizon_days']:.0f} d ({one['value']:+.4f})"
            for one in measured["behind"]
        )
        parts.append(f"Not clearly better than (gain in Brier score): {said}.")
    elif measured["metrics"]:
        parts.append("Clearly better than each of them at each horizon: no interval of the gain reaches 0.")
    if measured["bookings"]:
        parts += [
            f"Bookings of {measured['bookings']['quarter']}, forecast at its first moment:",
            _table(
                ("", "expected", "80 % range"),
                (
                    (
                        LABELS[one["forecaster"]],
                        _number(one["expected"], ",.0f"),
                        "" if one["p10"] is None else f"{one['p10']:,.0f} to {one['p90']:,.0f}",
                    )
                    for one in measured["bookings"]["rows"]
                ),
            ),
        ]
    return parts


def _parity(facts: Facts) -> list[str]:
    if not facts["segments"]:
        return []
    rows = [
        (
            f"{one['column']}: {one['segment']}",
            f"{one['horizon_days']:.0f} d",
            f"{one['deals']:,}",
            _number(one["share_won"], ".1%"),
            _number(one["bias"], "+.1%"),
            f"{_number(one['bias_lower'], '+.1%')} to {_number(one['bias_upper'], '+.1%')}",
            _number(one["auc"], ".3f"),
        )
        for one in facts["segments"]
    ]
    off = [
        f"{one['column']} {one['segment']} at {one['horizon_days']:.0f} d"
        for one in facts["segments"]
        if one["bias_lower"] is not None and (one["bias_lower"] > 0.0 or one["bias_upper"] < 0.0)
    ]
    verdict = (
        f"Off by more than chance: {'; '.join(off)}. Of {len(rows)} intervals of {LEVEL:.0%}, about "
        f"{(1 - LEVEL) * len(rows):.0f} would be so by chance alone."
        if off
        else "No segment is off by more than chance."
    )
    return [
        "## Does it hold for each kind of deal?",
        f"Off: mean probability less the share won, with its interval by deal. Segments of fewer than "
        f"{facts['least_deals']} deals are put together.",
        _table(("segment", "horizon", "deals", "won", "off", "interval", "AUC"), rows),
        verdict,
    ]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    """A name may hold anything; in a table it must neither end its cell nor begin a tag."""
    return str(text).replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")


def _number(value: float | None, style: str) -> str:
    return "-" if value is None else format(value, style)


def _moment(iso: str) -> str:
    return f"{pd.Timestamp(iso):%Y-%m-%d %H:%M} UTC"
