"""Amounts in several currencies: dated rates to the one currency that is reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from forecast.errors import BundleError
from forecast.tables.models import Deals, FxRates, Quotas

if TYPE_CHECKING:
    from forecast.tables.tables import Tables

__all__ = ["Money"]

_FALLBACK: Final = "EUR"


@dataclass(frozen=True, eq=False)
class Money:
    """Exchange rates; a currency is spoken of by its code, the index into `currencies`.

    currencies : the reporting currency first, then every other one with a rate, in order of name
    valid_from_us, rates : per currency, increasing; the reporting currency has rate 1 at all times

    A rate holds from its day on until the next. Before the first one the rate is unknown (NaN): an amount
    that cannot be converted is counted apart, never added up as it stands.
    """

    reporting: str
    currencies: tuple[str, ...]
    valid_from_us: tuple[NDArray[np.int64], ...]
    rates: tuple[NDArray[np.float64], ...]

    @classmethod
    def from_tables(cls, tables: Tables, reporting: str | None = None) -> Money:
        """Rates of the `fx_rates` table.

        Without `reporting` it is the one currency of the quotas; else the most frequent currency of deals
        that needs no rate; else EUR.
        """
        chosen = reporting or _reporting_currency(tables)
        dated = tables.fx_rates.sort_values(FxRates.valid_from, kind="stable")
        others = {
            str(name): (
                rows[FxRates.valid_from].to_numpy("datetime64[us]").astype(np.int64),
                rows[FxRates.rate].to_numpy(np.float64),
            )
            for name, rows in dated.groupby(FxRates.currency, sort=True)
            if name != chosen
        }
        return cls._of(chosen, others)

    @classmethod
    def _of(
        cls, reporting: str, others: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]
    ) -> Money:
        return cls(
            reporting=reporting,
            currencies=(reporting, *others),
            valid_from_us=(np.empty(0, np.int64), *(moments for moments, _ in others.values())),
            rates=(np.empty(0), *(rates for _, rates in others.values())),
        )

    def codes(self, currency: pd.Series | NDArray[Any] | list[str | None]) -> NDArray[np.int32]:
        """(n,) code of each currency; 0 (reporting) where it is unknown, -1 where it has no rate at all."""
        code: dict[str | None, int] = {None: 0, "": 0, **{n: at for at, n in enumerate(self.currencies)}}
        if isinstance(currency, list):
            return np.array([code.get(name, -1) for name in currency], dtype=np.int32)
        places, names = pd.factorize(currency)  # the unknown has place -1
        return np.array([*(code.get(name, -1) for name in names), 0], dtype=np.int32)[places]

    def rate(self, codes: ArrayLike, at_us: ArrayLike) -> NDArray[np.float64]:
        """Units of the reporting currency for one unit of each currency at each moment.

        codes, at_us : any shapes that broadcast; moments in microseconds since 1970 UTC.
        NaN before the first rate of a currency and for code -1.
        """
        code, moment = np.asarray(codes, np.int64), np.asarray(at_us, np.int64)
        if not code.any():
            alike = (
                code.shape == moment.shape
            )  # asking numpy for their common shape takes longer than the rest
            return np.ones(code.shape if alike else np.broadcast_shapes(code.shape, moment.shape))
        code, moment = np.broadcast_arrays(code, moment)
        rate = np.where(code == 0, 1.0, np.nan)
        for index in range(1, len(self.currencies)):
            here = code == index
            if here.any():
                place = np.searchsorted(self.valid_from_us[index], moment[here], side="right")
                rate[here] = np.concatenate([[np.nan], self.rates[index]])[place]
        return rate

    def to_json(self) -> dict[str, Any]:
        """Plain JSON: `{"reporting", "rates": {currency: [[valid_from_us, rate], ...]}}`."""
        return {
            "reporting": self.reporting,
            "rates": {
                name: [
                    [int(moment), float(rate)]
                    for moment, rate in zip(self.valid_from_us[code], self.rates[code], strict=True)
                ]
                for code, name in enumerate(self.currencies)
                if code
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Money:
        """Inverse of `to_json`. Raises BundleError if the content has another form."""
        try:
            others = {
                str(name): (
                    np.array([int(moment) for moment, _ in pairs], np.int64),
                    np.array([float(rate) for _, rate in pairs], np.float64),
                )
                for name, pairs in data["rates"].items()
            }
            return cls._of(str(data["reporting"]), others)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f"exchange rates have an unknown form ({error}); write the bundle anew", code="bad_rates"
            ) from error


def _reporting_currency(tables: Tables) -> str:
    of_quotas = tables.quotas[Quotas.currency].dropna().unique()
    if len(of_quotas) == 1:
        return str(of_quotas[0])
    of_deals = tables.deals[Deals.currency].dropna()
    unrated = of_deals[~of_deals.isin(tables.fx_rates[FxRates.currency])]
    # Equal counts go to the first by name: the answer may not depend on the order of rows.
    counts = unrated.value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return str(counts.index[0]) if len(counts) else _FALLBACK
