"""What a bundle knows that a request must agree with: its pipelines, stages and currencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

from forecast.tables import PLAIN, Dialect

__all__ = ["Catalogue"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Names a request may use.

    stages : pipeline -> its stages
    currencies : those with an exchange rate, the reporting currency among them
    dialect : names of stages and words of BANT that the bundle was trained to understand
    """

    stages: Mapping[str, frozenset[str]]
    currencies: frozenset[str]
    dialect: Dialect = PLAIN

    @classmethod
    def of(
        cls, stages: Iterable[Mapping[str, Any]], currencies: Iterable[str], dialect: Dialect = PLAIN
    ) -> Catalogue:
        """From rows of the stages table (`pipeline`, `stage`) and currency names."""
        found: dict[str, set[str]] = {}
        for row in stages:
            found.setdefault(str(row["pipeline"]), set()).add(str(row["stage"]))
        named = {name: frozenset(members) for name, members in found.items()}
        return cls(named, frozenset(currencies), dialect)

    def established(self, field: str, value: Any) -> Any:
        """A word or flag that the dialect knows as its number (None for unknown); anything else as it came."""
        word = str(value).lower() if type(value) is bool else value
        share = self.dialect.share(field, word) if type(word) is str else None
        return value if share is None else None if isnan(share) else share
