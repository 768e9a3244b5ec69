"""Scores of open deals: will it be won, when, for how much, and why.

Columns and their order are a contract (docs/scores.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.bundle import Bundle
from forecast.errors import UsageError
from forecast.history import History
from forecast.models import HORIZON_CAP_DAYS
from forecast.periods import DAY_US, Period, as_of_us
from forecast.scoring.reasons import Chances, Explainer

__all__ = [
    "HORIZONS_DAYS",
    "SCORE_COLUMNS",
    "column_of",
    "marks_and_span",
    "score_arrays",
    "score_columns",
    "score_deals",
    "score_open_deals",
]

HORIZONS_DAYS: Final = (14, 30, 60, 90, 180, 365)
T = TypeVar("T")
_HORIZONS: Final = np.array(HORIZONS_DAYS)
_BLOCK: Final = 4_096
_THREADS: Final = 4  # more would mostly wait for the interpreter, each with a block in memory
_QUANTILES: Final = (0.1, 0.5, 0.9)
SCORE_COLUMNS: Final = (
    "deal_id", "as_of", "pipeline", "owner_id", "stage", "amount", "win_probability",
    *(f"won_{h}d" for h in HORIZONS_DAYS), *(f"lost_{h}d" for h in HORIZONS_DAYS),
    "won_in_period", "close_on_p10", "close_on_p50", "close_on_p90", "amount_if_won", "expected_bookings",
    "score", "grade", "reasons",
)  # fmt: skip


def score_columns(with_period: bool) -> list[str]:
    """The contract's columns in order; `won_in_period` only where a period is asked about."""
    return [name for name in SCORE_COLUMNS if with_period or name != "won_in_period"]


def score_open_deals(
    history: History,
    bundle: Bundle,
    as_of: pd.Timestamp,
    *,
    period: Period | None = None,
    reasons: int = 5,
    locale: str = "en",
) -> pd.DataFrame:
    """Score every deal open as of `as_of`, in order of deal id.

    period : adds `won_in_period`, the chance of being won inside it (and after `as_of`)
    reasons : how many features to name per deal; 0 leaves the column as `[]`
    locale : `en` or `it`, the language of the reasons
    Returns the contract's columns. Raises UsageError for a period beyond the horizon cap.
    """
    deal = history.open_deals(as_of_us(as_of))
    return score_deals(history, bundle, deal, as_of, period=period, reasons=reasons, locale=locale)


def score_deals(
    history: History,
    bundle: Bundle,
    deal: Ints,
    as_of: pd.Timestamp,
    *,
    period: Period | None = None,
    reasons: int = 5,
    locale: str = "en",
) -> pd.DataFrame:
    """Score given open deals; see `score_open_deals`."""
    arrays = score_arrays(history, bundle, deal, as_of, period=period, reasons=reasons, locale=locale)
    return pd.DataFrame({name: column_of(name, values) for name, values in arrays.items()})


def score_arrays(
    history: History,
    bundle: Bundle,
    deal: Ints,
    as_of: pd.Timestamp,
    *,
    period: Period | None = None,
    reasons: int = 5,
    locale: str = "en",
) -> dict[str, Any]:
    """Scores of given open deals by column of the contract, as plain arrays of shape (n,).

    Texts are objects (None for unknown), `as_of` is int64 microseconds, days are datetime64[D]. For one deal
    a frame would cost as much as the model, so the service reads these.
    """
    models, at_us = bundle.models, as_of_us(as_of)
    when = np.full(len(deal), at_us)
    marks, span = marks_and_span(as_of, period)
    cells = models.cells(at_us, marks)
    features = models.features(history, deal, when)
    owner, raw = history.owner_and_amount_raw(deal, when)
    amount, if_won = models.amount.expected(history, deal, when, raw)

    explainer = None
    if reasons > 0:
        asked = None if period is None else span
        currency = history.money.reporting
        explainer = Explainer(models, cells, span_days=asked, locale=locale, currency=currency)

    def scored(rows: slice) -> tuple[dict[str, Floats], list[str]]:
        block = features.take(rows)
        if explainer is None:
            coefficients, contributions = models.outcome.coefficients(block), None
        else:
            coefficients, contributions = models.outcome.explain(block)
        pace = models.log_pace(block)
        log_hazard = models.on_bins(coefficients) + pace
        curves = cells.curves(log_hazard) if explainer is None else explainer.curves(log_hazard)
        parts = {
            "win": curves.won[:, -1],
            "won": curves.won_by(_HORIZONS),
            "lost": curves.lost_by(_HORIZONS),
            "period": curves.won_between(*span),
            "close": curves.close_quantiles(_QUANTILES),
        }
        if explainer is None or contributions is None:
            return parts, []
        chances = Chances(parts["win"], parts["period"], if_won[rows])
        return parts, explainer.texts(block, coefficients, contributions, pace, chances, reasons)

    numbers: dict[str, list[Floats]] = {}
    explained: list[str] = []
    for parts, texts in _each_block(scored, len(deal)):
        for name, part in parts.items():
            numbers.setdefault(name, []).append(part)
        explained += texts
    if not len(deal):
        shapes = {"win": 0, "won": len(HORIZONS_DAYS), "lost": len(HORIZONS_DAYS), "period": 0, "close": 3}
        numbers = {name: [np.empty((0, width) if width else 0)] for name, width in shapes.items()}
    joined = {name: parts[0] if len(parts) == 1 else np.concatenate(parts) for name, parts in numbers.items()}

    win = joined["win"]
    score = models.grades.score(win)
    stage = features["stage"].astype(np.int64)
    close_on = _dates(at_us, joined["close"])
    data: dict[str, Any] = {
        "deal_id": history.deal_ids[deal],
        "as_of": when,
        "pipeline": history.stages.pipeline_texts[stage],
        "owner_id": history.vocabulary("owner_id").take(owner),
        "stage": history.stages.stage_texts[stage],
        "amount": amount,
        "win_probability": win,
        **{f"won_{h}d": joined["won"][:, at] for at, h in enumerate(HORIZONS_DAYS)},
        **{f"lost_{h}d": joined["lost"][:, at] for at, h in enumerate(HORIZONS_DAYS)},
        "won_in_period": joined["period"],
        **{f"close_on_p{round(100 * q)}": close_on[:, at] for at, q in enumerate(_QUANTILES)},
        "amount_if_won": if_won,
        "expected_bookings": win * if_won,
        "score": score,
        "grade": models.grades.letters(score),
        "reasons": np.array(explained if reasons > 0 else ["[]"] * len(deal), dtype=object),
    }
    return {name: data[name] for name in score_columns(period is not None)}


def marks_and_span(as_of: pd.Timestamp, period: Period | None) -> tuple[Floats, tuple[float, float]]:
    """Where the time axis of scores has its edges, and the period, both in days after `as_of`.

    Without a period its span is (0, 0). Raises UsageError for one that is over or ends beyond the horizon cap.
    """
    marks = [float(h) for h in HORIZONS_DAYS] + [HORIZON_CAP_DAYS]
    if period is None:
        return np.array(marks), (0.0, 0.0)
    at_us = as_of_us(as_of)
    span = ((period.start_us - at_us) / DAY_US, (period.end_us - at_us) / DAY_US)
    if span[1] <= 0:
        raise UsageError(
            f"period {period.label} ended before {as_of.isoformat()}; ask for a later period",
            code="past_period",
        )
    if span[1] > HORIZON_CAP_DAYS:
        raise UsageError(
            f"period {period.label} ends {span[1]:.0f} days after {as_of.isoformat()}, beyond the cap of "
            f"{HORIZON_CAP_DAYS:.0f} days; ask for a nearer period",
            code="beyond_horizon_cap",
        )
    return np.array([*marks, max(span[0], 0.0), span[1]]), span


def column_of(name: str, values: Any) -> Any:
    """A column of the frame from its plain array."""
    if name == "as_of":
        return pd.Series(values, dtype="int64").astype("datetime64[us, UTC]")
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]")
    return pd.array(values, dtype="str") if values.dtype == object else values


def _each_block(work: Callable[[slice], T], rows: int) -> Iterator[T]:
    """Results of the blocks in order; several are worked on at once, by a thread for each of a few cores."""
    blocks = [slice(start, start + _BLOCK) for start in range(0, rows, _BLOCK)]
    # What the first one lays out (tables of trees, chances of the average deal) the others only read.
    for block in blocks[:1]:
        yield work(block)
    if len(blocks) > 1:
        with ThreadPoolExecutor(min(os.cpu_count() or 1, _THREADS, len(blocks) - 1)) as threads:
            yield from threads.map(work, blocks[1:])


def _dates(as_of: int, days: Floats) -> NDArray[np.datetime64]:
    """The calendar day (UTC) that lies `days` after the as-of moment."""
    moments = as_of + np.round(np.asarray(days) * DAY_US).astype(np.int64)
    return (moments // DAY_US).astype("datetime64[D]")
