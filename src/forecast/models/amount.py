"""Amount if won: how the amount on record turns into the amount signed.

The ratio of final to current amount is log-normal by segment (pipeline and motion), shrunk to the company's
and that to "no change". A deal without an amount is taken at its segment's average won amount. Amounts are
compared in the deal's own currency, so exchange rates do not enter the ratio.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.history import WON, History, Landmarks

__all__ = ["AmountModel", "Segment", "fit_amount"]

# A segment is diluted with this many deals of the company, the company with as many unchanged ones.
_PRIOR_DEALS: Final = 10.0
_PRIOR_LOG_SD: Final = 0.25  # before any win the signed amount lies within a quarter, two times in three
_TAILS: Final = (0.02, 0.98)  # ratios beyond are typing errors and re-scoped deals


def segments(history: History, deal: Ints) -> list[str]:
    """`pipeline/motion` of each deal."""
    pipeline = history.vocabulary("pipeline").take(history.columns.pipeline[deal])
    motion = history.vocabulary("motion").take(history.columns.motion[deal])
    return [f"{p or 'sales'}/{m or 'new'}" for p, m in zip(pipeline, motion, strict=True)]


def segment_names(history: History) -> tuple[list[str], Ints]:
    """Names of the segments of a history, and (D,) the place of each deal's segment among them."""
    motions = len(history.vocabulary("motion").texts) + 1
    combined = (history.columns.pipeline + 1) * motions + history.columns.motion + 1
    _, first, place = np.unique(combined, return_index=True, return_inverse=True)
    return segments(history, first.astype(np.int64)), place.astype(np.int64)


class Segment(NamedTuple):
    """What was learnt of one segment.

    log_ratio, log_sd : mean and standard deviation of log(final / current amount)
    mean_amount, mean_log_sd : average won amount in the reporting currency (NaN if unknown), and the standard
        deviation of its log
    won_deals : how many it was learnt from
    """

    log_ratio: float
    log_sd: float
    mean_amount: float
    mean_log_sd: float
    won_deals: float


@dataclass(frozen=True)
class AmountModel:
    """Amounts by name of the segment; `*` serves any other."""

    table: dict[str, Segment]

    def predict(self, history: History, deal: Ints, at_us: Ints) -> tuple[Floats, Floats]:
        """(n,) expected amount if won in the reporting currency, and (n,) standard deviation of its log.

        NaN where an amount is on record but no exchange rate is.
        """
        names, place = segment_names(history)
        known_segments = [self.table.get(name, self.table["*"]) for name in names]
        by_segment = np.array(known_segments).reshape(-1, len(Segment._fields))
        mine = Segment(*by_segment[place[deal]].T)
        raw = history.amount_raw(deal, at_us)
        known = np.isfinite(raw) & (raw > 0)
        converted = raw * history.rate(deal, at_us)
        ratio = np.exp(mine.log_ratio + mine.log_sd**2 / 2)
        amount = np.where(known, converted * ratio, mine.mean_amount)
        return amount, np.where(known, mine.log_sd, mine.mean_log_sd)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers by segment; an unknown mean is null."""
        return {
            name: {key: None if np.isnan(v) else float(v) for key, v in segment._asdict().items()}
            for name, segment in sorted(self.table.items())
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AmountModel:
        """Inverse of `to_json`."""
        return cls(
            {
                name: Segment(**{key: np.nan if v is None else float(v) for key, v in row.items()})
                for name, row in data.items()
            }
        )


def fit_amount(history: History, landmarks: Landmarks, until_us: int) -> AmountModel:
    """Learn from the landmarks of won deals; each deal counts once, however often it was looked at."""
    won = landmarks.take(landmarks.cause == WON)
    unique, which, looks = np.unique(won.deal, return_inverse=True, return_counts=True)
    until = np.int64(until_us)
    final = history.amount_raw(won.deal, until)
    current = history.amount_raw(won.deal, won.at_us)
    usable = (final > 0) & (current > 0)
    log_ratio = np.log(np.where(usable, final, 1.0) / np.where(usable, current, 1.0))
    if usable.any():
        low, high = np.quantile(log_ratio[usable], _TAILS)
        log_ratio = np.clip(log_ratio, low, high)
    weight = np.where(usable, 1.0 / looks[which], 0.0) if len(won) else np.empty(0)

    booked = history.amount_raw(unique, until) * history.rate(unique, np.full(len(unique), until))
    names, place = segment_names(history)
    ratio_all = _shrunk(log_ratio, weight, (0.0, _PRIOR_LOG_SD))
    mean_all = _shrunk_mean(booked, (_typical_amount(history, until_us), 1.0))
    table = {"*": Segment(*ratio_all, *mean_all, float(len(unique)))}
    for segment, name in enumerate(names):
        rows = place[won.deal] == segment
        mine = place[unique] == segment
        table[name] = Segment(
            *_shrunk(log_ratio[rows], weight[rows], ratio_all),
            *_shrunk_mean(booked[mine], mean_all),
            float(mine.sum()),
        )
    return AmountModel(table)


def _typical_amount(history: History, until_us: int) -> float:
    """Average amount of all known deals: what to expect before anything was won."""
    every = np.arange(len(history))
    amounts = history.amount(every, np.full(len(every), until_us))
    amounts = amounts[np.isfinite(amounts) & (amounts > 0)]
    return float(amounts.mean()) if len(amounts) else float("nan")


def _shrunk(values: Floats, weight: Floats, prior: tuple[float, float]) -> tuple[float, float]:
    """Weighted mean and standard deviation, diluted with `_PRIOR_DEALS` deals that follow the prior."""
    total = float(weight.sum()) + _PRIOR_DEALS
    mean = (float(weight @ values) + _PRIOR_DEALS * prior[0]) / total
    square = float(weight @ (values - mean) ** 2) + _PRIOR_DEALS * (prior[1] ** 2 + (prior[0] - mean) ** 2)
    return mean, float(np.sqrt(square / total))


def _shrunk_mean(amounts: Floats, prior: tuple[float, float]) -> tuple[float, float]:
    """Mean amount and the standard deviation of its log, diluted in the same way."""
    amounts = amounts[np.isfinite(amounts) & (amounts > 0)]
    if not len(amounts):
        return prior
    centre = prior[0] if np.isfinite(prior[0]) else float(amounts.mean())
    total = len(amounts) + _PRIOR_DEALS
    mean = (float(amounts.sum()) + _PRIOR_DEALS * centre) / total
    spread = float(np.sqrt((len(amounts) * np.log(amounts).var() + _PRIOR_DEALS * prior[1] ** 2) / total))
    return mean, spread
