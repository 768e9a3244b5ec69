"""What a bundle knows that a request must agree with: its pipelines, stages and currencies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Catalogue"]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Names a request may use.

    stages : pipeline -> its stages
    currencies : those with an exchange rate, the reporting currency among them
    """

    stages: Mapping[str, frozenset[str]]
    currencies: frozenset[str]

    @classmethod
    def of(cls, stages: Iterable[Mapping[str, Any]], currencies: Iterable[str]) -> Catalogue:
        """From rows of the stages table (`pipeline`, `stage`) and currency names."""
        found: dict[str, set[str]] = {}
        for row in stages:
            found.setdefault(str(row["pipeline"]), set()).add(str(row["stage"]))
        return cls({name: frozenset(members) for name, members in found.items()}, frozenset(currencies))
