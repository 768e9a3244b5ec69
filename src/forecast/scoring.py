"""Scores of open deals: will it be won, when, for how much, and why.

Columns and their order are a contract (docs/scores.md).
"""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import pandas as pd

from forecast.bundle import Bundle
from forecast.errors import UsageError
from forecast.features import FeatureMatrix, label, spec_of
from forecast.history import History
from forecast.models.fitted import FittedModels
from forecast.models.incidence import HORIZON_CAP_DAYS, Cells
from forecast.models.typing import Floats, Ints
from forecast.periods import DAY_US, Period, as_of_us

__all__ = ["HORIZONS_DAYS", "SCORE_COLUMNS", "score_columns", "score_deals", "score_open_deals"]

HORIZONS_DAYS: Final = (14, 30, 60, 90, 180, 365)
_BLOCK: Final = 4_096
_QUANTILES: Final = (0.1, 0.5, 0.9)
SCORE_COLUMNS: Final = (
    "deal_id", "as_of", "pipeline", "owner_id", "stage", "amount", "win_probability",
    *(f"won_{h}d" for h in HORIZONS_DAYS), *(f"lost_{h}d" for h in HORIZONS_DAYS),
    "won_in_period", "close_on_p10", "close_on_p50", "close_on_p90", "amount_if_won", "expected_bookings",
    "score", "grade", "reasons",
)  # fmt: skip
# Quadrature for the path from the reference deal to this one (Gauss-Legendre on [0, 1]).
_NODES, _NODE_WEIGHTS = (0.5 * (np.polynomial.legendre.leggauss(3)[0] + 1), 0.5 * np.polynomial.legendre.leggauss(3)[1])


def score_columns(with_period: bool) -> list[str]:
    """The contract's columns in order; `won_in_period` only where a period is asked about."""
    return [name for name in SCORE_COLUMNS if with_period or name != "won_in_period"]


def score_open_deals(
    history: History, bundle: Bundle, as_of: pd.Timestamp, *, period: Period | None = None, reasons: int = 5
) -> pd.DataFrame:
    """Score every deal open as of `as_of`, in order of deal id.

    period : adds `won_in_period`, the chance of being won inside it (and after `as_of`)
    reasons : how many features to name per deal; 0 leaves the column as `[]`
    Returns the contract's columns. Raises UsageError for a period beyond the horizon cap.
    """
    return score_deals(history, bundle, history.open_deals(as_of_us(as_of)), as_of, period=period, reasons=reasons)


def score_deals(
    history: History,
    bundle: Bundle,
    deal: Ints,
    as_of: pd.Timestamp,
    *,
    period: Period | None = None,
    reasons: int = 5,
) -> pd.DataFrame:
    """Score given open deals; see `score_open_deals`."""
    models, at_us = bundle.models, as_of_us(as_of)
    when = np.full(len(deal), at_us)
    marks = [float(h) for h in HORIZONS_DAYS] + [HORIZON_CAP_DAYS]
    span = (0.0, 0.0)
    if period is not None:
        span = ((period.start_us - at_us) / DAY_US, (period.end_us - at_us) / DAY_US)
        if span[1] <= 0:
            raise UsageError(
                f"period {period.label} ended before {as_of.isoformat()}; ask for a later period", code="past_period"
            )
        marks += [max(span[0], 0.0), span[1]]
    cells = models.cells(at_us, np.array(marks))
    features = models.features(history, deal, when)
    amount = history.amount(deal, when)
    if_won, _ = models.amount.predict(history, deal, when)

    numbers: dict[str, list[Floats]] = {}
    explained: list[str] = []
    for start in range(0, len(deal), _BLOCK):
        rows = slice(start, start + _BLOCK)
        block = FeatureMatrix(features.names, features.values[:, rows], history)
        coefficients = models.outcome.coefficients(block)
        curves = cells.curves(models.on_bins(coefficients))
        parts = {
            "win": curves.won[:, -1],
            "won": curves.won_by(np.array(HORIZONS_DAYS)),
            "lost": curves.lost_by(np.array(HORIZONS_DAYS)),
            "period": curves.won_between(*span),
            "close": curves.close_quantiles(_QUANTILES),
        }
        for name, part in parts.items():
            numbers.setdefault(name, []).append(part)
        if reasons > 0:
            explained += _reasons(models, block, cells, coefficients, reasons)
    if not len(deal):
        shapes = {"win": 0, "won": len(HORIZONS_DAYS), "lost": len(HORIZONS_DAYS), "period": 0, "close": 3}
        numbers = {name: [np.empty((0, width) if width else 0)] for name, width in shapes.items()}
    joined = {name: np.concatenate(parts) for name, parts in numbers.items()}

    win = joined["win"]
    score = models.grades.score(win)
    stage = history.stage(deal, when)
    data: dict[str, object] = {
        "deal_id": pd.array(history.deal_ids[deal], dtype="str"),
        "as_of": pd.Series([as_of] * len(deal), dtype="datetime64[us, UTC]"),
        "pipeline": pd.array(np.array(history.stages.pipeline, dtype=object)[stage], dtype="str"),
        "owner_id": pd.array(history.vocabulary("owner_id").take(history.owner(deal, when)), dtype="str"),
        "stage": pd.array(np.array(history.stages.stage, dtype=object)[stage], dtype="str"),
        "amount": amount,
        "win_probability": win,
        **{f"won_{h}d": joined["won"][:, at] for at, h in enumerate(HORIZONS_DAYS)},
        **{f"lost_{h}d": joined["lost"][:, at] for at, h in enumerate(HORIZONS_DAYS)},
        "won_in_period": joined["period"],
        **{f"close_on_p{round(100 * q)}": _dates(at_us, joined["close"][:, at]) for at, q in enumerate(_QUANTILES)},
        "amount_if_won": if_won,
        "expected_bookings": win * if_won,
        "score": score,
        "grade": pd.array(models.grades.letters(score), dtype="str"),
        "reasons": pd.array(explained if reasons > 0 else ["[]"] * len(deal), dtype="str"),
    }
    return pd.DataFrame({name: data[name] for name in score_columns(period is not None)})


def _dates(as_of: int, days: Floats) -> pd.Series:
    """The calendar day (UTC) that lies `days` after the as-of moment."""
    moments = as_of + np.round(np.asarray(days) * DAY_US).astype(np.int64)
    return pd.Series((moments // DAY_US).astype("datetime64[D]").astype("datetime64[us]"))


def _reasons(
    models: FittedModels, features: FeatureMatrix, cells: Cells, coefficients: Floats, most: int
) -> list[str]:
    """The `most` features that move the win probability furthest from that of the reference deal, as JSON.

    Effects are Aumann-Shapley values: the gradient of the win probability is averaged along the straight path
    from the reference coefficients to the deal's, and shared out by each feature's additive part. They sum to
    the difference of both probabilities.
    Source: Aumann and Shapley 1974; Sundararajan, Taly and Yan 2017 (integrated gradients).
    """
    outcome = models.outcome
    basis = outcome.basis
    reference = outcome.reference
    in_bin = (cells.bin == np.arange(len(outcome.bins))[:, None]).astype(np.float64)
    path = coefficients - reference
    gradient = np.zeros_like(coefficients)
    for node, weight in zip(_NODES, _NODE_WEIGHTS, strict=True):
        point = models.on_bins(reference + node * path)
        gradient += weight * (cells.win_gradient(point, in_bin)[1] @ basis.T)
    parts = outcome.contributions(features)
    effects = np.einsum("ngkb,nkb->ng", parts, gradient)
    start = cells.curves(models.on_bins(reference[None])).won[0, -1]
    target = cells.curves(models.on_bins(coefficients)).won[:, -1] - start
    # Three nodes leave a remainder of the order of 1e-4; it is shared in proportion to size.
    size = np.abs(effects)
    total = size.sum(axis=1)
    effects = effects + (target - effects.sum(axis=1))[:, None] * size / np.maximum(total, 1e-12)[:, None]

    names = outcome.groups
    most = min(most, len(names))
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :most]
    effect = np.take_along_axis(effects, order, axis=1)
    head = [f'{{"feature": {json.dumps(n)}, "label": {json.dumps(label(n))}, "effect": ' for n in names]
    values = [_value_texts(features, name) for name in names]
    rows = []
    for row, (places, moved) in enumerate(zip(order.tolist(), effect.tolist(), strict=True)):
        rows.append(
            "["
            + ", ".join(
                f'{head[g]}{e:.6f}, "value": {values[g][row]}}}' for g, e in zip(places, moved, strict=True)
            )
            + "]"
        )
    return rows


def _value_texts(features: FeatureMatrix, name: str) -> list[str]:
    """(n,) values of one feature as JSON: a text, a number with sensible digits, or null."""
    values = features[name]
    if spec_of(name).kind == "category":
        texts = features.texts(name)
        shown = [text.split("/", 1)[1] if name == "stage" else text for text in texts]
        encoded = [*(json.dumps(text) for text in shown), "null"]
        return [encoded[code] for code in np.where(np.isnan(values), -1, values).astype(np.int64).tolist()]
    digits = 4 if spec_of(name).kind in ("share", "number") else 1
    return ["null" if v != v else repr(round(v, digits)) for v in values.tolist()]
