"""Parity: whether the probabilities hold for each kind of deal, or only for all of them together."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.errors import UsageError
from forecast.evaluation import metrics
from forecast.history import History, Landmarks
from training.intervals import seen_at, share_of
from training.settings import SegmentSettings

__all__ = ["COLUMNS", "UNKNOWN", "check_segments", "segment_metrics"]

COLUMNS: Final = (
    "column", "segment", "horizon_days", "deals", "share_won", "mean_probability",
    "bias", "bias_lower", "bias_upper", "brier", "auc",
)  # fmt: skip
UNKNOWN: Final = "(unknown)"
_FACTS: Final = ("pipeline", "motion", "source", "account_id")


def check_segments(history: History, settings: SegmentSettings) -> None:
    """Raise UsageError for a column of `[segments]` that the deals do not have."""
    known = [*_FACTS, "owner_id", *history.columns.custom]
    for name in settings.columns:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise UsageError(
                f"segments.columns names {name!r}, which these deals do not have; {hint}",
                code="unknown_segment",
            )


def segment_metrics(
    history: History,
    landmarks: Landmarks,
    said: Floats,
    horizons_days: Sequence[int],
    settings: SegmentSettings,
    *,
    until_us: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Columns `COLUMNS`: each column, horizon and segment, the largest first.

    said : (n, H) probabilities given at the landmarks
    bias : mean probability given less the share won, with its interval by deal

    A segment is what the deal was at the look. Segments of fewer than `least_deals` deals are put together at
    the end, named by how many they are.
    """
    rows = []
    for name in settings.columns:
        values = _values(history, landmarks.deal, landmarks.at_us, name)
        for place, horizon in enumerate(horizons_days):
            seen = seen_at(landmarks, horizon, until_us=until_us)
            for segment, here in _pooled(values[seen.rows], seen.deal, settings.least_deals):
                mine = seen.where(here)
                p = said[mine.rows, place]
                bias = share_of(mine, p - mine.outcome, None, rng)
                rows.append(
                    (
                        name,
                        segment,
                        horizon,
                        mine.deals,
                        float(np.average(mine.outcome, weights=mine.weight)),
                        float(np.average(p, weights=mine.weight)),
                        bias.value,
                        bias.lower,
                        bias.upper,
                        metrics.brier(mine.outcome, p, weight=mine.weight),
                        metrics.auc(mine.outcome, p, weight=mine.weight),
                    )
                )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _values(history: History, deal: Ints, at_us: Ints, name: str) -> NDArray[np.object_]:
    """(n,) what the column said at each look, as text."""
    columns = history.columns
    vocabulary = history.vocabulary(name)
    if name == "owner_id":
        codes = history.owner(deal, at_us)
    elif name in columns.custom:
        last = history.last(deal, history.fields.index(name), at_us)
        codes = np.nan_to_num(last, nan=-1.0).astype(np.int64)
    else:
        facts = {"account_id": columns.account, "source": columns.source}
        facts |= {"pipeline": columns.pipeline, "motion": columns.motion}
        codes = facts[name][deal]
    texts = vocabulary.take(codes)
    found: NDArray[np.object_] = np.array([UNKNOWN if text is None else text for text in texts], object)
    return found


def _pooled(values: NDArray[np.object_], deal: Ints, least_deals: int) -> list[tuple[str, NDArray[np.bool_]]]:
    """Segments and the rows that are theirs, that of most deals first, the small ones together at the end."""
    if not len(values):
        return []
    names, place = np.unique(values.astype(str), return_inverse=True)
    deals = np.array([len(np.unique(deal[place == number])) for number in range(len(names))])
    large = [number for number in np.argsort(-deals, kind="stable") if deals[number] >= least_deals]
    small = np.setdiff1d(np.arange(len(names)), large)
    found = [(str(names[number]), place == number) for number in large]
    if len(small):
        plural = "segment" if len(small) == 1 else "segments"
        found.append((f"({len(small)} smaller {plural})", np.isin(place, small)))
    return found
