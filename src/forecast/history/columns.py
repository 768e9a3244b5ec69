"""What a history is made of: plain columns, however they arrived (tables, or one request)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from forecast.arrays import Floats, Ints
from forecast.history.stages import StageMap
from forecast.tables import Money

__all__ = [
    "ACTIVITIES",
    "ACTIVITY",
    "ACTIVITY_IN",
    "AMOUNT",
    "BANT",
    "CATEGORY",
    "EXPECTED_CLOSE",
    "FIELDS",
    "MEETING",
    "MEETING_KINDS",
    "OWNER",
    "STAGE",
    "Columns",
    "Vocabulary",
    "number_or_nan",
]


# Fields every deal has a history of; custom attributes follow them.
FIELDS: Final = (
    "stage",
    "amount",
    "expected_close_on",
    "owner_id",
    "forecast_category",
    "budget",
    "authority",
    "need",
    "timeline",
    "activity",
    "activity_in",
    "meeting",
)
STAGE, AMOUNT, EXPECTED_CLOSE, OWNER, CATEGORY = range(5)
BANT: Final = (5, 6, 7, 8)
ACTIVITY, ACTIVITY_IN, MEETING = 9, 10, 11
ACTIVITIES: Final = (ACTIVITY, ACTIVITY_IN, MEETING)
MEETING_KINDS: Final = ("call", "meeting")


def number_or_nan(text: str) -> float:
    """A text as a finite number, NaN if it is none."""
    try:
        number = float(text)
    except ValueError:
        return float("nan")
    return number if isfinite(number) else float("nan")


@dataclass(frozen=True)
class Vocabulary:
    """The texts of a categorical column in sorted order; a text's place is its code, -1 is unknown."""

    texts: tuple[str, ...]

    @cached_property
    def places(self) -> dict[str, int]:
        """text -> code"""
        return {text: code for code, text in enumerate(self.texts)}

    @cached_property
    def numbers(self) -> Floats:
        """(len(texts) + 1,) the texts read as numbers, NaN for those that are none; the last serves code -1."""
        return np.array([*map(number_or_nan, self.texts), np.nan])

    def codes(self, texts: NDArray[np.object_] | list[str | None]) -> Ints:
        """Codes of many texts; blank and unknown ones are -1."""
        place: Callable[[Any, int], int] = self.places.get
        return np.array([place(text, -1) for text in texts], dtype=np.int64)

    def take(self, codes: Ints) -> NDArray[np.object_]:
        """Texts of many codes; None for -1."""
        return np.array([*self.texts, None], dtype=object)[codes]


@dataclass(frozen=True, slots=True)
class Columns:
    """A history as columns. Deals are sorted by id; entries are not yet sorted.

    deal_ids, created_at_us, currency, pipeline, motion, account, source, owner : (D,) facts of creation; the
        last five are codes into `vocabularies`, `currency` is a code of `money`
    amount_raw, owner : (D,) the deals table's own, for deals of which no event names an amount, an owner
    entry_deal, entry_field, entry_at_us, entry_value : (N,) every dated entry: events and activities
    eventful : fields that have at least one event in the data (see docs/decisions/0006)
    """

    stages: StageMap
    money: Money
    deal_ids: NDArray[np.object_]
    created_at_us: Ints
    currency: NDArray[np.int32]
    pipeline: Ints
    motion: Ints
    account: Ints
    source: Ints
    owner: Ints
    amount_raw: Floats
    entry_deal: Ints
    entry_field: Ints
    entry_at_us: Ints
    entry_value: Floats
    vocabularies: dict[str, Vocabulary]
    custom: tuple[str, ...]
    eventful: frozenset[str]
