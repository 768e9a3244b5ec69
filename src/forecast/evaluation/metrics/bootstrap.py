"""How sure is a metric: the same metric on samples of whole blocks drawn again.

The landmarks of a deal tell the same story many times and the deals of a quarter share its luck, so rows are
no independent observations, and an interval that takes them for such is far too narrow. What is drawn again
is therefore the block: the deal, the account, the quarter. Source: Efron and Tibshirani, An Introduction to
the Bootstrap (1993); two kinds of blocks at once, Owen, The Annals of Applied Statistics 1 (2007).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from forecast.arrays import Floats

__all__ = ["Interval", "block_bootstrap", "block_draws", "interval_of"]

# With fewer samples than this share in which the metric is defined, the rest would be a choice of lucky ones.
_DEFINED_AT_LEAST: Final = 0.5


class Interval(NamedTuple):
    """A metric and how sure it is.

    value: of the rows as they are
    lower, upper: of its interval; NaN if it has none
    blocks: how many there were to draw from, of the kind with fewest. Few blocks make the interval too narrow:
        from eight quarters, one of 90 % holds the truth about four times in five
    """

    value: float
    lower: float
    upper: float
    blocks: int


def block_bootstrap(
    metric: Callable[[Floats], float],
    *blocks: npt.ArrayLike,
    rng: np.random.Generator,
    weight: npt.ArrayLike | None = None,
    draws: int = 1000,
    level: float = 0.9,
    kind: Literal["percentile", "basic"] = "percentile",
) -> Interval:
    """Interval of a metric, by drawing whole blocks of rows with replacement.

    metric: takes the weights of the rows (n,) and returns a number. All metrics here take `weight`, so
        `lambda w: brier(won, said, weight=w)`; of two forecasts on the same rows, take the difference:
        `lambda w: brier(won, ours, weight=w) - brier(won, theirs, weight=w)`
    blocks: (n,) names or numbers of what is drawn again. Several kinds are drawn each on its own and a row
        counts as often as its blocks together, e.g. its quarter twice and its account once: 2
    weight: (n,) the rows' own weights, multiplied in
    draws: how many samples; level: the share of them inside the interval
    kind: `percentile` takes the samples' own quantiles; `basic` reflects them at the value. Drawing again adds
        noise, and what can only grow by it (ICI, calibration error) comes out larger in the samples than on
        the rows, as it does on the rows than in truth: reflected, the two cancel. A lower bound below 0 then
        says that a perfect forecast is not ruled out

    Samples in which the metric is undefined are left out. The bounds are NaN with fewer than two blocks of a
    kind, or if more than half of the samples are left out.
    """
    if not blocks:
        raise ValueError("nothing to draw; expected one or more columns of blocks")
    if draws < 1 or not 0.0 < level < 1.0:
        raise ValueError(f"{draws} draws at level {level}; expected 1 or more, at a level inside (0, 1)")
    own = np.ones(len(np.asarray(blocks[0]))) if weight is None else np.asarray(weight, dtype=np.float64)
    value = float(metric(own))
    found = np.array([metric(own * drawn) for drawn in block_draws(*blocks, rng=rng, draws=draws)])
    fewest = min(np.unique(np.asarray(block)).size for block in blocks)
    return interval_of(value, found if found.size else np.full(draws, np.nan), fewest, level=level, kind=kind)


def block_draws(*blocks: npt.ArrayLike, rng: np.random.Generator, draws: int) -> Iterator[Floats]:
    """How often each row (n,) counts in each of `draws` samples; nothing with fewer than two blocks of a kind.

    For several metrics on the same samples, e.g. of forecasts to be compared: `block_bootstrap` takes one.
    """
    codes = [np.unique(np.asarray(block), return_inverse=True)[1] for block in blocks]
    if len({code.shape for code in codes}) > 1 or codes[0].ndim != 1:
        raise ValueError(f"blocks of shapes {[code.shape for code in codes]}; expected one name a row")
    sizes = [int(code.max(initial=-1)) + 1 for code in codes]
    for _ in range(draws if min(sizes) >= 2 else 0):
        drawn = np.ones(codes[0].shape)
        for code, size in zip(codes, sizes, strict=True):
            times = np.bincount(rng.integers(size, size=size), minlength=size)
            drawn = drawn * times[code]
        yield drawn


def interval_of(
    value: float,
    samples: Floats,
    blocks: int,
    *,
    level: float = 0.9,
    kind: Literal["percentile", "basic"] = "percentile",
) -> Interval:
    """The interval that samples (draws,) of a metric give its value; see `block_bootstrap`."""
    found = samples[~np.isnan(samples)]
    if not found.size or found.size < _DEFINED_AT_LEAST * samples.size:
        return Interval(value, float("nan"), float("nan"), blocks)
    lower, upper = np.quantile(found, [0.5 - 0.5 * level, 0.5 + 0.5 * level])
    if kind == "basic":
        lower, upper = 2.0 * value - upper, 2.0 * value - lower
    return Interval(value, float(lower), float(upper), blocks)
