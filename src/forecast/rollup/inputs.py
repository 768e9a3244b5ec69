"""What a roll-up is made of, and the check that it can be added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri

from forecast.arrays import Floats
from forecast.errors import DataError, UsageError
from forecast.periods import Period

__all__ = ["Lines", "PeriodInputs", "Uncertainty", "log_normal_shapes", "usable_lines"]

_BOOKED: Final = ("deal_id", "owner_id", "amount")
_OPEN: Final = ("deal_id", "owner_id", "amount", "won_in_period", "amount_if_won", "amount_log_sd")
_ARRIVALS: Final = ("owner_id", "deals", "amount_mean", "amount_cv")
_SLICES: Final = 200  # of a log-normal amount, see `log_normal_shapes`


@dataclass(frozen=True)
class Uncertainty:
    """How much a whole period may turn out better or worse than each of its deals says.

    The shared shock is added to the log-hazard of winning of every deal: t-distributed with `shock_df`
    degrees of freedom (more than 2, infinity for a normal shock) and scaled to the standard deviation
    `shock_sd`. Deals not yet created share a second one: their number is multiplied by a gamma distributed
    factor with mean 1 and standard deviation `arrivals_sd`, because nobody knows how many will be created.
    """

    shock_sd: float
    shock_df: float
    arrivals_sd: float = 0.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.arrivals_sd) and self.arrivals_sd >= 0):
            raise UsageError(
                f"arrivals_sd is {self.arrivals_sd}; expected a finite number >= 0", code="bad_uncertainty"
            )
        if not (np.isfinite(self.shock_sd) and self.shock_sd >= 0):
            raise UsageError(
                f"shock_sd is {self.shock_sd}; expected a finite number >= 0", code="bad_uncertainty"
            )
        if not self.shock_df > 2:
            raise UsageError(
                f"shock_df is {self.shock_df}; expected more than 2, so that the shock has a spread",
                code="bad_uncertainty",
            )


@dataclass(frozen=True)
class PeriodInputs:
    """Everything known as of a moment about the bookings of one period; money in the reporting currency.

    booked   : deal_id, owner_id, amount. Won in the period before `as_of`; an amount that could not be
               converted is NaN.
    open     : deal_id, owner_id, amount (today), won_in_period (probability), amount_if_won (mean),
               amount_log_sd (spread of the logarithm of the final amount), amount_shape (row of
               `amount_shapes`; only with these).
    arrivals : owner_id, deals (expected number not yet created that will be won in the period), amount_mean
               and amount_cv (coefficient of variation) of one of them.
    amount_shapes : (G, K) equally likely final amounts relative to `amount_if_won`, so with mean 1; without
               them final amounts are log-normal.
    """

    period: Period
    as_of: pd.Timestamp
    booked: pd.DataFrame
    open: pd.DataFrame
    arrivals: pd.DataFrame
    uncertainty: Uncertainty
    amount_shapes: Floats | None = None


@dataclass(frozen=True)
class Lines:
    """The rows that can be added up, in an order of their own, and how many could not.

    open has the column `amount_shape`, a row of `shapes` (G, K), whatever the inputs said.
    """

    booked: pd.DataFrame
    open: pd.DataFrame
    arrivals: pd.DataFrame
    shapes: Floats
    unconverted: int


def usable_lines(inputs: PeriodInputs) -> Lines:
    """Check the inputs, put them in a fixed order and set rows without a known amount aside.

    A row whose amount is NaN has no place in any sum: it is left out and counted in `unconverted`. An open
    deal counts by `amount_if_won`: one whose current amount alone is unknown stays.

    Raises DataError (`bad_rollup_input`) for a missing column, a probability outside [0, 1], a negative or
    unknown spread or number of deals: those are faults of the caller, not of a currency.
    """
    booked = _sorted(inputs.booked, "booked", _BOOKED, ("amount",))
    columns = _OPEN if inputs.amount_shapes is None else (*_OPEN, "amount_shape")
    deals = _sorted(inputs.open, "open", columns, columns[2:])
    arrivals = _sorted(inputs.arrivals, "arrivals", _ARRIVALS, _ARRIVALS[1:])
    known = (
        booked["amount"].notna(),
        deals["amount_if_won"].notna(),
        arrivals["amount_mean"].notna(),
    )
    unconverted = sum(int((~mask).sum()) for mask in known)
    booked, deals, arrivals = (
        frame[mask].reset_index(drop=True)
        for frame, mask in zip((booked, deals, arrivals), known, strict=True)
    )
    _require(deals, "open", "won_in_period", 0.0, 1.0)
    _require(deals, "open", "amount_log_sd", 0.0, np.inf)
    _require(arrivals, "arrivals", "deals", 0.0, np.inf)
    _require(arrivals, "arrivals", "amount_cv", 0.0, np.inf)
    shapes = inputs.amount_shapes
    if shapes is None:
        spreads, shape = np.unique(deals["amount_log_sd"].to_numpy(), return_inverse=True)
        deals, shapes = deals.assign(amount_shape=shape), log_normal_shapes(spreads)
    else:
        _require(deals, "open", "amount_shape", 0.0, len(shapes) - 1.0)
    return Lines(booked, deals.astype({"amount_shape": np.int64}), arrivals, shapes, unconverted)


def log_normal_shapes(log_sd: Floats) -> Floats:
    """(G, _SLICES) log-normal amounts of mean 1, cut into slices of equal probability, each at its own mean.

    log_sd : (G,) standard deviations of the logarithm
    """
    borders = ndtri(np.linspace(0.0, 1.0, _SLICES + 1))
    means: Floats = np.diff(ndtr(borders - log_sd[:, None]), axis=1) * _SLICES
    return np.where(log_sd[:, None] > 0, means, 1.0)


def _sorted(frame: pd.DataFrame, name: str, columns: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """The contract columns, numbers as float64, rows in an order that depends on their content alone."""
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise DataError(
            f"roll-up input {name!r} lacks {', '.join(missing)}; expected {', '.join(columns)}",
            code="bad_rollup_input",
        )
    texts = [column for column in columns if column not in numbers]
    typed = frame[list(columns)].astype(dict.fromkeys(texts, "str") | dict.fromkeys(numbers, "float64"))
    return typed.sort_values(list(columns), kind="stable", ignore_index=True)


def _require(frame: pd.DataFrame, name: str, column: str, low: float, high: float) -> None:
    values = frame[column].to_numpy()
    fits = (values >= low) & (values <= high) & np.isfinite(values)
    if not fits.all():
        row = int(np.argmin(fits))
        raise DataError(
            f"roll-up input {name!r} has {column} {values[row]} for {frame.iloc[row, 0]!r};"
            f" expected a finite number from {low:g} to {high:g}",
            code="bad_rollup_input",
        )
