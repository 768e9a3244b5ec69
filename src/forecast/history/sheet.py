"""The deals of a request as columns, and what of them is known before a moment.

`forecast.service.sheets` reads a request into a `DealSheet`; `columns` gives what `columns_from_request` gives
for the same deals without their future, entry by entry, without a loop over deals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from forecast.arrays import Bools, Floats, Ints
from forecast.history.build import CONTRACT, NAMED, code_of_field, number_reader
from forecast.history.columns import ACTIVITY, ACTIVITY_IN, FIELDS, MEETING, STAGE, Columns, Vocabulary
from forecast.history.stages import StageMap
from forecast.tables import Money

__all__ = ["DealSheet", "Told"]

# Facts of creation: name in `Columns` -> name of the column.
_FACTS: Final = {"pipeline": "pipeline", "motion": "motion", "account": "account_id", "source": "source"}
_STAGE: Final = "stage"


@dataclass(frozen=True, slots=True)
class Told:
    """Events of one field, or a plain column.

    deal, at_us : (n,) place of the deal in the sheet, and when it was recorded
    value : n texts or numbers as they were checked, None for unknown; (n,) numbers with NaN for unknown where
        the field is a number
    """

    deal: Ints
    at_us: Ints
    value: Sequence[Any] | Floats


@dataclass(frozen=True, slots=True)
class DealSheet:
    """Checked deals, in the order they were sent, with everything that was sent of them.

    deal_ids : D texts, no two alike
    created_at_us : (D,)
    facts : `pipeline`, `motion`, `account_id`, `source`, `currency`: D texts each, None for unknown
    plain : columns a field's events would overrule, custom attributes among them: D values, None for unknown
    events : by field
    activity_deal, activity_at_us, inbound, meeting : (A,) of each activity
    """

    deal_ids: list[str]
    created_at_us: Ints
    facts: Mapping[str, list[str | None]]
    plain: Mapping[str, Sequence[Any]]
    events: Mapping[str, Told]
    activity_deal: Ints
    activity_at_us: Ints
    inbound: Bools
    meeting: Bools

    def __len__(self) -> int:
        return len(self.deal_ids)

    def newest_us(self, horizon_us: int, least_us: int) -> int:
        """The newest moment up to `horizon_us` at which anything was recorded; `least_us` if all are older."""
        moments = [self.created_at_us, self.activity_at_us, *(told.at_us for told in self.events.values())]
        every = np.concatenate(moments)
        return int(every[every <= horizon_us].max(initial=least_us))

    def is_known(self, as_of_us: int) -> bool:
        """Whether each deal was created and stood in a stage before `as_of_us`."""
        if len(self) and int(self.created_at_us.max()) >= as_of_us:
            return False
        staged = np.zeros(len(self), dtype=bool)
        stages = self.events.get(_STAGE)
        if stages is not None:
            staged[stages.deal[stages.at_us < as_of_us]] = True
        return bool(staged.all())

    def owners(self, as_of_us: int) -> set[Any]:
        """All owners of the deals as known before `as_of_us`; None if one has none.

        The column of a deal of which more is told later counts only if no event speaks of its owner.
        """
        column = self.plain.get("owner_id", [None] * len(self))
        events = self.events.get("owner_id")
        if events is None:
            return set(column)
        more = {deal for told in self.events.values() for deal in told.deal[told.at_us >= as_of_us].tolist()}
        overruled = more.intersection(events.deal.tolist())
        stated = {None if at in overruled else name for at, name in enumerate(column)}
        return stated | set(_known(events, as_of_us).value)

    def columns(self, as_of_us: int, stages: StageMap, money: Money) -> Columns:
        """What was recorded before `as_of_us`, as a history is made of; the deals must be known (`is_known`).

        A plain column counts as known since its deal's first stage, and not at all if any event of the deal,
        be it later than `as_of_us`, speaks of its field.
        """
        size = len(self)
        order = sorted(range(size), key=self.deal_ids.__getitem__)
        rank = np.empty(size, dtype=np.int64)
        rank[order] = np.arange(size)
        entries = _Entries()
        first_us = np.full(size, np.iinfo(np.int64).max, dtype=np.int64)
        vocabularies: dict[str, Vocabulary] = {}
        custom = tuple(sorted((self.plain.keys() | self.events.keys()) - CONTRACT - NAMED))

        moved = _known(self.events[_STAGE], as_of_us) if _STAGE in self.events else None
        if moved is not None:
            np.minimum.at(first_us, moved.deal, moved.at_us)
            pipeline = self.facts["pipeline"]
            code = stages.code
            steps = [
                code(str(pipeline[deal]), name)
                for deal, name in zip(moved.deal.tolist(), moved.value, strict=True)
            ]
            entries.add(STAGE, moved.deal, moved.at_us, np.array(steps, dtype=np.float64))
        for name in (*sorted(NAMED - {_STAGE}), *custom):
            parts = self._told(name, as_of_us, first_us)
            reader = number_reader(name)
            if reader is None:
                texts = {text for part in parts for text in part.value if text is not None}
                vocabularies[name] = Vocabulary(tuple(sorted(texts)))
                reader = vocabularies[name].places.__getitem__
            for part in parts:
                entries.add(code_of_field(name, custom), part.deal, part.at_us, _numbers(part.value, reader))
        done = self.activity_at_us < as_of_us
        for counter, kept in (
            (ACTIVITY, done),
            (ACTIVITY_IN, done & self.inbound),
            (MEETING, done & self.meeting),
        ):
            deal = self.activity_deal[kept]
            entries.add(counter, deal, self.activity_at_us[kept], np.zeros(len(deal)))

        facts = {}
        for key, name in _FACTS.items():
            texts_of = [self.facts[name][at] for at in order]
            vocabularies[name] = Vocabulary(tuple(sorted({text for text in texts_of if text is not None})))
            places = vocabularies[name].places
            facts[key] = np.array([-1 if text is None else places[text] for text in texts_of], dtype=np.int64)
        deal, field, at_us, value = entries.stacked()
        return Columns(
            stages=stages,
            money=money,
            deal_ids=np.array([self.deal_ids[at] for at in order], dtype=object),
            created_at_us=self.created_at_us[order],
            currency=money.codes([self.facts["currency"][at] for at in order]),
            **facts,
            # A plain owner_id is an entry already, and so is an amount.
            owner=np.full(size, -1, dtype=np.int64),
            amount_raw=np.full(size, np.nan),
            entry_deal=rank[deal],
            entry_field=field,
            entry_at_us=at_us,
            entry_value=value,
            vocabularies=vocabularies,
            custom=custom,
            eventful=frozenset(FIELDS) | set(custom),
        )

    def _told(self, name: str, as_of_us: int, first_us: Ints) -> list[Told]:
        """Entries of a field: its events, and its plain column where no event of the deal speaks of it."""
        events, column = self.events.get(name), self.plain.get(name)
        parts = [] if events is None else [_known(events, as_of_us)]
        if column is not None:
            spoken = set() if events is None else set(events.deal.tolist())
            stated = [at for at, one in enumerate(column) if one is not None and at not in spoken]
            if stated:
                deal = np.array(stated, dtype=np.int64)
                parts.append(Told(deal, first_us[deal], [column[at] for at in stated]))
        return parts


class _Entries:
    """Dated entries as they are found."""

    def __init__(self) -> None:
        self._deal: list[Ints] = []
        self._field: list[int] = []
        self._at_us: list[Ints] = []
        self._value: list[Floats] = []

    def add(self, field: int, deal: Ints, at_us: Ints, value: Floats) -> None:
        if len(deal):
            self._deal.append(deal)
            self._field.append(field)
            self._at_us.append(at_us)
            self._value.append(value)

    def stacked(self) -> tuple[Ints, Ints, Ints, Floats]:
        """(N,) deal, field, moment and value."""
        if not self._deal:
            nothing = np.empty(0, dtype=np.int64)
            return nothing, nothing, nothing, np.empty(0)
        return (
            np.concatenate(self._deal),
            np.repeat(np.array(self._field), [len(deal) for deal in self._deal]),
            np.concatenate(self._at_us),
            np.concatenate(self._value),
        )


def _known(told: Told, as_of_us: int) -> Told:
    kept = told.at_us < as_of_us
    if kept.all():
        return told
    if isinstance(told.value, np.ndarray):
        return Told(told.deal[kept], told.at_us[kept], told.value[kept])
    value = [one for one, keep in zip(told.value, kept.tolist(), strict=True) if keep]
    return Told(told.deal[kept], told.at_us[kept], value)


def _numbers(value: Sequence[Any] | Floats, reader: Callable[[Any], float]) -> Floats:
    """Values as numbers, NaN for unknown; each distinct text is read once."""
    if isinstance(value, np.ndarray) or reader is float:
        return np.asarray(value, dtype=np.float64)
    read: dict[str | None, float] = {text: reader(text) for text in set(value) if text is not None}
    read[None] = np.nan
    return np.array([read[text] for text in value], dtype=np.float64)
