"""Amount if won: how the amount on record turns into the amount signed, as a distribution.

The ratio of final to current amount is taken as the wins of a segment (pipeline and motion) showed it,
whatever its shape: many deals are signed at exactly what stands in the CRM, others a little below, a few were
re-scoped. A deal without an amount is taken at what its segment's deals were won for. Amounts are compared in
the deal's own currency, so exchange rates do not enter the ratio.

A distribution is kept as `SLICES` numbers: its values, in order, cut into slices of equal probability, each
slice replaced by its mean. That keeps the mean exactly, an atom (ratio 1) as an atom, and draws from it cost
one look-up. A segment is diluted with ten deals of the company, the company with ten of the prior, by pooling
weighted values before they are cut; so shrinkage acts on the whole distribution and not on its mean alone.

E.g. 40 wins of a segment, 30 of them signed as they stood, 10 at 90 %; the company's 10 pseudo-deals alike:
slices 1 to 5 of 20 hold .9, the others 1, and the mean ratio is .975.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.special import ndtri

from forecast.arrays import Floats, Ints
from forecast.history import WON, History, Landmarks

__all__ = ["SLICES", "AmountModel", "Segment", "fit_amount"]

SLICES: Final = 50
# A segment is diluted with this many deals of the company, the company with as many of the prior.
_PRIOR_DEALS: Final = 10.0
_PRIOR_LOG_SD: Final = 0.25  # before any win the signed amount lies within a quarter, two times in three
_UNKNOWN_LOG_SD: Final = 1.0  # and one that is not on record within a factor of e
_TAILS: Final = (0.005, 0.995)  # ratios beyond are typing errors
_MIDDLES: Final = (np.arange(SLICES) + 0.5) / SLICES


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

    ratio : (SLICES,) final over current amount, increasing
    fresh : (SLICES,) won amounts in the reporting currency, increasing; NaN where no amount is known at all
    won_deals : how many it was learnt from
    """

    ratio: Floats
    fresh: Floats
    won_deals: float


@dataclass(frozen=True)
class AmountModel:
    """Amounts by name of the segment; `*` serves any other."""

    table: dict[str, Segment]

    @property
    def shapes(self) -> Floats:
        """(2G, SLICES) amounts relative to their mean, each with mean 1: known amounts of the G segments in
        alphabetical order, then unknown ones."""
        stacked = np.array(
            [
                [s.ratio for _, s in sorted(self.table.items())],
                [s.fresh for _, s in sorted(self.table.items())],
            ]
        ).reshape(-1, SLICES)
        mean = stacked.mean(axis=1, keepdims=True)
        known = np.isfinite(mean) & (mean > 0)
        return np.where(known, stacked / np.where(known, mean, 1.0), 1.0)

    def expected(
        self, history: History, deal: Ints, at_us: Ints, raw: Floats | None = None
    ) -> tuple[Floats, Floats]:
        """(n,) amounts on record and (n,) those expected if won, in the reporting currency.

        raw : (n,) `history.amount_raw` of the same deals, where it was looked up already
        """
        mine, known, converted = self._look_up(history, deal, at_us, raw)
        ratio, fresh = self._means
        return converted, np.where(known, converted * ratio[mine], fresh[mine])

    def predict(self, history: History, deal: Ints, at_us: Ints) -> tuple[Floats, Ints]:
        """(n,) expected amount if won in the reporting currency, and (n,) its row of `shapes`.

        NaN where an amount is on record but no exchange rate is.
        """
        mine, known, converted = self._look_up(history, deal, at_us)
        ratio, fresh = self._means
        return np.where(known, converted * ratio[mine], fresh[mine]), mine + np.where(known, 0, len(ratio))

    @cached_property
    def _means(self) -> tuple[Floats, Floats]:
        """(G,) mean ratio and mean amount of the segments in alphabetical order."""
        listed = [segment for _, segment in sorted(self.table.items())]
        return (
            np.array([segment.ratio.mean() for segment in listed]),
            np.array([segment.fresh.mean() for segment in listed]),
        )

    @cached_property
    def _order(self) -> dict[str, int]:
        """Place of each segment in alphabetical order."""
        return {name: at for at, name in enumerate(sorted(self.table))}

    def quantiles(self, history: History, deal: Ints, at_us: Ints, levels: tuple[float, ...]) -> Floats:
        """(n, len(levels)) quantiles of the final amount given a win, in the reporting currency.

        E.g. levels (0.1, 0.5, 0.9): of deals that are won, one in ten is signed below the first.
        """
        mine, known, converted = self._look_up(history, deal, at_us)
        listed = [segment for _, segment in sorted(self.table.items())]
        ratio, fresh = (
            np.stack([np.interp(levels, _MIDDLES, segment[part]) for segment in listed])[mine]
            for part in (0, 1)
        )
        return np.where(known[:, None], converted[:, None] * ratio, fresh)

    def _look_up(
        self, history: History, deal: Ints, at_us: Ints, raw: Floats | None = None
    ) -> tuple[Ints, Any, Floats]:
        """(n,) place of each deal's segment in the sorted table, whether it has an amount, and that amount."""
        order, columns = self._order, history.columns
        # The last of each names those that have none.
        motions = [motion or "new" for motion in (*history.vocabulary("motion").texts, "")]
        pipelines = [pipeline or "sales" for pipeline in (*history.vocabulary("pipeline").texts, "")]
        table = np.array([[order.get(f"{p}/{m}", order["*"]) for m in motions] for p in pipelines])
        mine = table[columns.pipeline[deal], columns.motion[deal]]
        if raw is None:
            raw = history.amount_raw(deal, at_us)
        known = np.isfinite(raw) & (raw > 0)
        return mine, known, raw * history.rate(deal, at_us)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers by segment; unknown amounts are null."""
        return {
            name: {
                "ratio": segment.ratio.tolist(),
                "fresh": segment.fresh.tolist() if np.isfinite(segment.fresh).all() else None,
                "won_deals": segment.won_deals,
            }
            for name, segment in sorted(self.table.items())
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AmountModel:
        """Inverse of `to_json`."""
        unknown = [np.nan] * SLICES
        return cls(
            {
                name: Segment(
                    np.array(row["ratio"], dtype=np.float64),
                    np.array(unknown if row["fresh"] is None else row["fresh"], dtype=np.float64),
                    float(row["won_deals"]),
                )
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
    ratio = np.where(usable, final, 1.0) / np.where(usable, current, 1.0)
    if usable.any():
        ratio = np.clip(ratio, *np.quantile(ratio[usable], _TAILS))
    weight = np.where(usable, 1.0 / looks[which], 0.0) if len(won) else np.empty(0)
    booked = history.amount_raw(unique, until) * history.rate(unique, np.full(len(unique), until))
    paid = (np.isfinite(booked) & (booked > 0)).astype(np.float64)
    booked = np.where(paid > 0, booked, 1.0)

    names, place = segment_names(history)
    ratio_all = _pooled(ratio, weight, np.exp(_PRIOR_LOG_SD * ndtri(_MIDDLES)))
    fresh_all = _pooled(booked, paid, _typical_amounts(history, until_us))
    table = {"*": Segment(ratio_all, fresh_all, float(len(unique)))}
    for segment, name in enumerate(names):
        rows = place[won.deal] == segment
        mine = place[unique] == segment
        table[name] = Segment(
            _pooled(ratio[rows], weight[rows], ratio_all),
            _pooled(booked[mine], paid[mine], fresh_all),
            float(mine.sum()),
        )
    return AmountModel(table)


def _typical_amounts(history: History, until_us: int) -> Floats:
    """(SLICES,) around the average amount of all known deals: what to expect before anything was won."""
    every = np.arange(len(history))
    amounts = history.amount(every, np.full(len(every), until_us))
    amounts = amounts[np.isfinite(amounts) & (amounts > 0)]
    centre = float(amounts.mean()) if len(amounts) else float("nan")
    shape = np.exp(_UNKNOWN_LOG_SD * ndtri(_MIDDLES))
    spread: Floats = centre * shape / shape.mean()
    return spread


def _pooled(values: Floats, weight: Floats, prior: Floats) -> Floats:
    """(SLICES,) slice means of weighted values pooled with `_PRIOR_DEALS` deals that follow the prior."""
    if not np.isfinite(prior).all():
        if not weight.any():
            return prior
        return _slice_means(values, weight)
    each = np.full(len(prior), _PRIOR_DEALS / len(prior))
    return _slice_means(np.concatenate((values, prior)), np.concatenate((weight, each)))


def _slice_means(values: Floats, weight: Floats) -> Floats:
    """(SLICES,) means of slices of equal weight of the ordered values; a value on a border is shared out.

    The integral of the quantile function up to each border is piecewise linear in the cumulated weight, so
    slice means are differences of one interpolation.
    """
    order = np.argsort(values, kind="stable")
    values, weight = values[order], weight[order]
    reached = np.concatenate(([0.0], np.cumsum(weight)))
    integral = np.concatenate(([0.0], np.cumsum(weight * values)))
    borders = np.linspace(0.0, reached[-1], SLICES + 1)
    means: Floats = np.diff(np.interp(borders, reached, integral)) * SLICES / reached[-1]
    # A slice within one value is that value to the last bit: a deal signed as it stood is no cent away from it.
    slack = 1e-9 * reached[-1]
    low = values[np.minimum(np.searchsorted(reached[1:], borders[:-1] + slack), len(values) - 1)]
    high = values[np.minimum(np.searchsorted(reached[1:], borders[1:] - slack), len(values) - 1)]
    # Differences of large sums: rounding must not unsettle the order.
    return np.maximum.accumulate(np.where(low == high, low, np.clip(means, low, high)))
