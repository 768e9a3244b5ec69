"""How much a column tells about an outcome, whatever it is made of: words, numbers, dates, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Bools, Floats, Ints
from forecast.history import History, Vocabulary

__all__ = ["Values", "auc", "cramers_v", "custom_values", "rank_correlation"]

_FEW: Final = 20  # rows; on fewer an association is chance
_MOSTLY: Final = 0.95  # of the filled cells must be numbers (dates) for a column to be read as such
_DISTINCT: Final = 12  # numbers with more values than this are cut into tenths


@dataclass(frozen=True)
class Values:
    """One column of n records.

    codes : (n,) what distinguishes two values; NaN is missing
    numbers : (n,) the same as numbers, None for a column of words
    days : (n,) the same as days since 1970, None for a column without dates
    """

    codes: Floats
    numbers: Floats | None = None
    days: Floats | None = None

    @property
    def filled(self) -> Bools:
        """(n,) where there is a value."""
        return np.isfinite(self.codes)

    @cached_property
    def levels(self) -> Ints:
        """(n,) categories: 0 is missing, words are one each, many-valued numbers are cut into tenths.

        A number that many records share (0, say) is a category of its own.
        """
        found = self.filled
        level = np.zeros(len(self.codes), dtype=np.int64)
        number = self.numbers if self.numbers is not None else self.days
        usable = found if number is None else found & np.isfinite(number)
        source = self.codes if number is None else number
        distinct, place = np.unique(source[usable], return_inverse=True)
        if number is not None and len(distinct) > _DISTINCT:
            edges = np.unique(np.quantile(number[usable], np.linspace(0.1, 0.9, 9)))
            place = np.searchsorted(edges, number[usable]) + np.searchsorted(edges, number[usable], "right")
        level[usable] = place + 1
        level[found & ~usable] = level.max(initial=0) + 1
        return level

    def strength(self, rows: Bools, won: Bools) -> tuple[float, float]:
        """Cramer's V, missing being a value, and the AUC of the numbers (at least 1/2) on some rows."""
        v = max(
            cramers_v(self.levels[rows], won[rows]),
            cramers_v(self.codes[rows & self.filled], won[rows & self.filled]),
        )
        number = self.numbers if self.numbers is not None else self.days
        if number is None:
            return v, 0.5
        known = rows & np.isfinite(number)
        return v, auc(number[known], won[known])


def cramers_v(value: Floats | Ints, won: Bools) -> float:
    """Association of a category with the outcome, 0 to 1, with the small-sample bias taken off.

    Source: Bergsma 2013, A bias-correction for Cramer's V.
    """
    if len(value) < _FEW or won.all() or not won.any():
        return 0.0
    codes = np.unique(value, return_inverse=True)[1]
    table = np.zeros((codes.max() + 1, 2))
    np.add.at(table, (codes, won.astype(int)), 1.0)
    if len(table) < 2:
        return 0.0
    total = table.sum()
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) / total
    chi2 = ((table - expected) ** 2 / expected).sum()
    rows = len(table)
    phi2 = max(0.0, chi2 / total - (rows - 1) / (total - 1))
    width = rows - (rows - 1) ** 2 / (total - 1)
    return float(np.sqrt(phi2 / max(min(width - 1, 1.0), 1e-9))) if width > 1 else 0.0


def auc(value: Floats, won: Bools) -> float:
    """Chance that a number ranks a won record apart from a lost one, the better way; 1/2 on few rows."""
    count, wins = len(value), int(won.sum())
    if count < _FEW or not 5 <= wins <= count - 5:
        return 0.5
    ranks = _ranks(value)
    area = (ranks[won].sum() - wins * (wins + 1) / 2) / (wins * (count - wins))
    return float(max(area, 1 - area))


def _ranks(value: Floats) -> Floats:
    """Places from 1 on, equal values sharing the mean of theirs."""
    return np.asarray(pd.Series(value).rank(), dtype=np.float64)


def rank_correlation(first: Floats, second: Floats) -> float:
    """Spearman's rank correlation; 0 where either hardly varies or there are few rows."""
    if len(first) < _FEW or len(np.unique(first)) < 6 or len(np.unique(second)) < 6:
        return 0.0
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def custom_values(history: History, name: str, codes: Floats) -> Values:
    """Values of a custom attribute given as codes, read as numbers or as dates where nearly all of them are."""
    vocabulary = history.vocabulary(name)
    place = np.where(np.isnan(codes), -1, codes).astype(np.int64)
    filled = max(int((place >= 0).sum()), 1)
    numbers = vocabulary.numbers[place]
    if np.isfinite(numbers).sum() >= _MOSTLY * filled:
        return Values(codes, numbers=numbers)
    days = _days(vocabulary)[place]
    if np.isfinite(days).sum() >= _MOSTLY * filled:
        return Values(codes, days=days)
    return Values(codes)


def _days(vocabulary: Vocabulary) -> Floats:
    """(len(texts) + 1,) ISO dates among the texts as days since 1970, NaN for others; the last serves -1."""
    texts = pd.Series([*vocabulary.texts, None], dtype="str")
    # Tell words from dates by their first ones before a long vocabulary is read.
    if not texts.head(200).str.match(r"\d{4}-\d{2}").any():
        return np.full(len(texts), np.nan)
    moments = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True).dt.as_unit("us")
    days: Floats = moments.astype("int64").to_numpy().astype(np.float64) / 86_400_000_000
    days[moments.isna().to_numpy()] = np.nan
    return days
