"""What is known of a deal from outside its course: for it, deals of every kind move and close at other rates.

A large deal is slower than a small one, one with a ministry slower than one in software, one of a good seller
faster, of whatever kind they are. Who does not know takes what is slow by nature for a bad deal. So usual rates
are multiplied by factors of the source, the amount, the owner's track record and the company's own attributes:
to another open stage, to won, and to lost each by its own. Every factor is what came over what was to be
expected given the kinds, drawn to one the more, the less the levels of a fact differ beyond chance.

Source: proportional rates as in Holford 1980; factors by iterated proportions as in Deming and Stephan 1940.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from forecast.arrays import Floats, Ints
from forecast.features.kinds.courses import rows_of
from forecast.history import History, TrackRecords
from forecast.history.columns import AMOUNT, FIELDS
from forecast.history.dilution import dilution
from forecast.history.records import PACE

__all__ = ["GROUPS", "Facts", "fact_names", "fact_values", "learn_facts"]

GROUPS: Final = 3  # of moves: to another open stage, to won, to lost
_RECORDS: Final = {"owner_edge": "owner", "owner_pace": PACE}
_NUMBERS: Final = ("amount", *_RECORDS)  # read in bands
_BANDS: Final = 7
_DRAWN: Final = 100.0  # moves to be expected that a factor is diluted with where nothing is known
_MOST: Final = 400.0  # where levels do not differ
_OWN: Final = 100  # deals that a level needs for factors of its own
_MOST_LEVELS: Final = 40
_PASSES: Final = 4
_CUSTOM: Final = "custom:"


@dataclass(frozen=True)
class Facts:
    """Log factors by fact.

    names : (F,) names of features: `source`, `amount`, `owner_edge`, `owner_pace` and attributes (`custom:...`)
    levels : of each the texts that have factors, or the edges between bands of a number
    factors : of each, (rows, GROUPS): a row for each level or band, and a last one, of zeros, for all else
    """

    names: tuple[str, ...]
    levels: tuple[tuple[Any, ...], ...]
    factors: tuple[Floats, ...]

    @classmethod
    def none(cls) -> Facts:
        """Nothing is known to matter."""
        return cls((), (), ())

    def at(self, history: History, values: Mapping[str, Floats], count: int) -> Floats:
        """(GROUPS, n) log factors of n deals.

        values : (n,) of each fact: a number, or a code of `history`; NaN for unknown
        """
        found = np.zeros((GROUPS, count))
        for name, levels, edges, factors in zip(
            self.names, self.levels, self._edges, self._by_group, strict=True
        ):
            found += factors[:, rows(history, name, levels, edges, values[name])]
        return found

    @cached_property
    def _edges(self) -> tuple[Floats, ...]:
        return tuple(
            np.array(levels if name in _NUMBERS else (), dtype=np.float64)
            for name, levels in zip(self.names, self.levels, strict=True)
        )

    @cached_property
    def _by_group(self) -> tuple[Floats, ...]:
        return tuple(np.ascontiguousarray(factors.T) for factors in self.factors)

    def to_json(self) -> list[dict[str, Any]]:
        """Plain numbers and texts."""
        return [
            {"name": name, "levels": list(levels), "factors": factors.tolist()}
            for name, levels, factors in zip(self.names, self.levels, self.factors, strict=True)
        ]

    @classmethod
    def from_json(cls, data: list[dict[str, Any]]) -> Facts:
        """Inverse of `to_json`; ValueError for tables that do not fit each other."""
        names = tuple(str(fact["name"]) for fact in data)
        levels = tuple(tuple(fact["levels"]) for fact in data)
        sizes = [len(own) + (2 if name in _NUMBERS else 1) for name, own in zip(names, levels, strict=True)]
        factors = tuple(
            np.array(fact["factors"], dtype=np.float64).reshape(size, GROUPS)
            for fact, size in zip(data, sizes, strict=True)
        )
        return cls(names, levels, factors)


def rows(history: History, name: str, levels: tuple[Any, ...], edges: Floats, values: Floats) -> Ints:
    """(n,) row of each value in the table of a fact."""
    unknown = np.isnan(values)
    if name in _NUMBERS:
        band = edges.searchsorted(values, side="right")
        return np.where(unknown, len(levels) + 1, band)
    known = history.columns.vocabularies.get(name.removeprefix(_CUSTOM))
    texts = () if known is None else known.texts
    return rows_of(levels, texts)[np.where(unknown, -1.0, values).astype(np.int64)]


def fact_values(
    history: History, records: TrackRecords, names: tuple[str, ...], deal: Ints, at_us: Ints
) -> dict[str, Floats]:
    """(n,) what each fact is before given moments; a custom attribute this history never heard of is unknown.

    The same numbers as those of the features with these names, which one look-up of the builder gives for the
    moment that is asked about; here they are read for moments in the past of a deal.
    """
    found: dict[str, Floats] = {}
    for name in names:
        if name == "source":
            code = history.columns.source[deal]
            found[name] = np.where(code < 0, np.nan, code)
        elif name == "amount":
            raw = history.last(deal, AMOUNT, at_us)
            found[name] = np.maximum(raw * history.rate(deal, at_us), 0.0)
        elif name in _RECORDS:
            kind = _RECORDS[name]
            counted, above = records.counts(kind, history.owner(deal, at_us), history.clock.rank(at_us))
            found[name] = above / (counted + records.dilution[kind])
        elif name.removeprefix(_CUSTOM) in history.columns.custom:
            field = len(FIELDS) + history.columns.custom.index(name.removeprefix(_CUSTOM))
            found[name] = history.last(deal, field, at_us)
        else:
            found[name] = np.full(len(deal), np.nan)
    return found


def fact_names(history: History, use: tuple[str, ...]) -> tuple[str, ...]:
    """The facts of a history that the field policy lets in."""
    every = ("source", *_NUMBERS, *(f"{_CUSTOM}{name}" for name in history.columns.custom))
    return tuple(name for name in every if name in use)


def learn_facts(history: History, values: Mapping[str, Floats], came: Floats, expected: Floats) -> Facts:
    """Factors of n deals' facts.

    values : (n,) of each fact
    came, expected : (GROUPS, n) moves that came, and those to be expected by the kinds
    """
    names, levels, places = [], [], []
    for name, value in values.items():
        own = _levels(history, name, value)
        if own:
            names.append(name)
            levels.append(own)
            edges = np.array(own if name in _NUMBERS else (), dtype=np.float64)
            places.append(rows(history, name, own, edges, value))
    sizes = [int(len(own) + (2 if name in _NUMBERS else 1)) for name, own in zip(names, levels, strict=True)]
    factors = [np.zeros((size, GROUPS)) for size in sizes]
    for _ in range(_PASSES):
        for at, (place, size) in enumerate(zip(places, sizes, strict=True)):
            others = sum(
                (factors[one][places[one]] for one in range(len(names)) if one != at),
                np.zeros((len(place), GROUPS)),
            )
            for group in range(GROUPS):
                seen = _summed(place, came[group], size)
                foretold = _summed(place, expected[group] * np.exp(others[:, group]), size)
                drawn = dilution((seen - foretold)[:-1], foretold[:-1], foretold[:-1], _DRAWN, _MOST)
                factors[at][:, group] = np.log((seen + drawn) / (foretold + drawn))
            factors[at][-1] = 0.0
    return Facts(tuple(names), tuple(levels), tuple(factors))


def _summed(place: Ints, number: Floats, size: int) -> Floats:
    return np.bincount(place, number, size).astype(np.float64)


def _levels(history: History, name: str, value: Floats) -> tuple[Any, ...]:
    """Edges of bands with as many deals each, or the texts that enough deals have; none for too few of them."""
    known = value[~np.isnan(value)]
    if name in _NUMBERS:
        if len(known) < _BANDS * _OWN:
            return ()
        edges = np.unique(np.quantile(known, np.arange(1, _BANDS) / _BANDS))
        return tuple(edges.tolist())
    texts = history.vocabulary(name.removeprefix(_CUSTOM)).texts
    number = np.bincount(known.astype(np.int64), minlength=len(texts))
    enough = [text for text, deals in zip(texts, number, strict=True) if deals >= _OWN]
    return tuple(enough) if 2 <= len(enough) <= _MOST_LEVELS else ()
