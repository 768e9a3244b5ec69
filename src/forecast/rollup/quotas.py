"""Quotas of a period: found, put together from shorter periods, converted, and passed up the hierarchy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from forecast.arrays import Floats
from forecast.errors import DataError
from forecast.periods import Kind, Period, as_of_us
from forecast.rollup.hierarchy import COMPANY, Hierarchy
from forecast.tables.money import Money

__all__ = ["PeriodQuotas"]


_SHORTER: Final[dict[Kind, Kind | None]] = {"year": "quarter", "quarter": "month", "month": None}


@dataclass(frozen=True)
class PeriodQuotas:
    """Every quota stated for a period, in the reporting currency.

    stated      : level -> amount by entity; NaN where the amount could not be converted.
    unconverted : rows for this period, or for a part of it, whose currency had no rate.
    """

    stated: dict[str, pd.Series[float]]
    unconverted: int

    @classmethod
    def read(cls, quotas: pd.DataFrame, period: Period, as_of: pd.Timestamp, money: Money) -> PeriodQuotas:
        """Look up a period in the quotas table.

        A quota for exactly this period counts first; else the sum of its parts if all of them are there, e.g.
        2026Q1 = 2026-01 + 2026-02 + 2026-03, and 2026 = its four quarters, each of them stated or made of
        months. Amounts are converted with the rate in force when the period starts, or at `as_of` if that is
        earlier, so that a quota does not move with the exchange rate while its period runs.

        Raises DataError (`duplicate_quota`) if an entity has two quotas for one period.
        """
        rows = quotas[quotas["period"].isin(_labels(period)) & quotas["amount"].notna()]
        keys = ["level", "entity", "period"]
        twice = rows[rows.duplicated(keys)]
        if len(twice):
            level, entity, label = twice.iloc[0][keys]
            raise DataError(
                f"quotas has two rows for {level} {entity!r} in {label}; expected one",
                code="duplicate_quota",
            )
        moment = min(as_of_us(as_of), period.start_us)
        rate = money.rate(money.codes(rows["currency"]), np.full(len(rows), moment, np.int64))
        converted = rows[keys].assign(amount=rows["amount"].to_numpy() * rate)
        amounts = _amounts(converted, period)
        stated = {
            str(level): part.droplevel("level").sort_index() for level, part in amounts.groupby(level="level")
        }
        return cls(stated, unconverted=int(np.isnan(rate).sum()))

    def holders(self) -> dict[str, set[str]]:
        """level -> entities with a quota of their own."""
        return {level: set(amounts.index) for level, amounts in self.stated.items()}

    def by_level(self, hierarchy: Hierarchy) -> dict[str, Floats]:
        """level -> (E,) quota of each entity, NaN where there is none.

        An entity without a quota of its own has the sum of its users' quotas, if any of them has one. The
        company takes the sum of the regions' own quotas, else the teams', else the users'. A sum with a part
        that could not be converted is unknown, never a part of itself.
        """
        own = {
            level: self._of(level).reindex(names).to_numpy(copy=True).astype(np.float64)
            for level, names in hierarchy.entities.items()
        }
        users = self._of("user")
        holds = hierarchy.entities["user"].isin(users.index)
        for level in ("region", "team"):
            size = len(own[level])
            parents = hierarchy.parents[level][holds]
            summed = np.bincount(parents, weights=own["user"][holds], minlength=size)
            silent = ~hierarchy.entities[level].isin(self._of(level).index)
            inherits = silent & (np.bincount(parents, minlength=size) > 0)
            own[level][inherits] = summed[inherits]
        if COMPANY not in self._of("company").index:
            stated = (self._of(level) for level in ("region", "team", "user"))
            own["company"][0] = next((part.sum(skipna=False) for part in stated if len(part)), np.nan)
        return own

    def _of(self, level: str) -> pd.Series[float]:
        return self.stated.get(level, pd.Series(dtype="float64", index=pd.Index([], dtype="str")))


def _labels(period: Period) -> list[str]:
    """A period and all its parts, by name."""
    shorter = _SHORTER[period.kind]
    parts = period.parts(shorter) if shorter else []
    return [period.label, *(label for part in parts for label in _labels(part))]


def _amounts(rows: pd.DataFrame, period: Period) -> pd.Series[float]:
    """Amount by (level, entity): stated for the period, else the sum of its parts where all are there."""
    stated: pd.Series[float] = rows[rows["period"] == period.label].set_index(["level", "entity"])["amount"]
    shorter = _SHORTER[period.kind]
    if shorter is None or len(stated) == len(rows):
        return stated
    parts = [_amounts(rows, part) for part in period.parts(shorter)]
    summed = pd.concat(parts, axis=1, join="inner").sum(axis=1, skipna=False)
    missing: pd.Series[float] = summed[~summed.index.isin(stated.index)]
    return pd.concat([stated, missing])
