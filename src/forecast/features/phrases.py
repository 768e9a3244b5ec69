"""What a feature says about a deal or a lead, in words: `silent for 34 days`, `budget confermato`.

The texts lie in `phrases/en.toml` and `phrases/it.toml`, a table per feature. Which text of its table speaks is
decided by the value alone, in bands that follow from what the feature is:

    count, elapsed days   zero, one, other         overdue, other flags   yes, no
    days to a date        today, ahead, passed     BANT answer            absent, partly, confirmed
    change of an amount   up, down, same           amount                 zero, known
    category              its own text, known      rate, chance, numbers   known
    edge over a rate      above, below, same       likeness to a kind     like, unlike

and `unknown` for each. Elapsed days are whole days that have passed; days to a date count midnights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, Final, Literal

from forecast.features.builder import FeatureMatrix, category_texts
from forecast.features.registry import FeatureSpec, is_built_in, label, spec_of
from forecast.history import FIELDS, History
from forecast.history.columns import BANT
from forecast.language import UNKNOWN, Texts, formats_of, load_texts

__all__ = ["ANSWERS", "BANDS", "Form", "Phrasebook", "form_of", "load_phrases"]

Form = Literal[
    "count",
    "until",
    "amount",
    "change",
    "number",
    "flag",
    "answer",
    "rate",
    "edge",
    "likeness",
    "category",
    "custom",
]

# The questions of BANT, whose answers have words of their own.
ANSWERS: Final = tuple(FIELDS[field] for field in BANT)
# Form -> the texts a feature of this form must have; a category may have one more for each of its levels.
BANDS: Final[dict[Form, tuple[str, ...]]] = {
    "count": ("zero", "one", "other", "unknown"),
    "until": ("today", "ahead.one", "ahead.other", "passed.one", "passed.other", "unknown"),
    "amount": ("zero", "known", "unknown"),
    "change": ("up", "down", "same", "unknown"),
    "number": ("known", "unknown"),
    "flag": ("yes", "no", "unknown"),
    "answer": ("confirmed", "partly", "absent", "unknown"),
    "rate": ("known", "unknown"),
    "likeness": ("like", "unlike", "unknown"),
    "edge": ("above.one", "above.other", "below.one", "below.other", "same", "unknown"),
    "category": ("known", "unknown"),
    "custom": ("known", "unknown", "bare"),
}
# What is said beside a value: the stage a deal has been in, the days of its pushes.
_BESIDE: Final = {"days_in_stage": "stage", "times_pushed": "days_pushed"}
_LONGEST: Final = 60  # letters of a text written by others
_STEEPEST: Final = 20.0  # of a log ratio: beyond it the percentage has nothing to say, and soon no float
_LEAST_CHANGE: Final = 0.005  # smaller ones would be written as 0%
_MOST_KEPT: Final = 20_000


def load_phrases(locale: str) -> dict[str, str]:
    """All texts of a language by dotted key, e.g. `silence_days.other`."""
    return load_texts("forecast.features", "phrases", locale)


def form_of(spec: FeatureSpec) -> Form:
    """How the values of a feature are put into words."""
    return _form(spec.name, spec.kind, spec.unit)


@lru_cache(maxsize=256)
def _form(name: str, kind: str, unit: str) -> Form:
    if not is_built_in(name):
        return "custom"
    if kind == "category":
        return "category"
    if kind == "flag":
        return "flag"
    if kind == "share":
        return "answer" if name in ANSWERS else "rate"
    if kind == "chance":
        return "rate"
    if kind == "number" and unit == "share":
        return "edge"
    if unit == "odds":
        return "likeness"
    if kind == "number":
        return "change" if name == "amount_change" else "number"
    if unit == "amount":
        return "amount"
    return "until" if kind == "signed" else "count"


@lru_cache(maxsize=16)
def _texts_of(locale: str, currency: str) -> Texts:
    formats = formats_of(locale, currency)
    return Texts(load_phrases(locale), formats)


@lru_cache(maxsize=4_096)
def _whole(locale: str, currency: str, name: str, form: Form, n: int, beside: int | str | None) -> str:
    """The phrase of a value that reads as a whole number: these are few, and asked for again and again.

    n : days, or percentage points of an edge
    beside : label of a stage, or whole days; None if unknown or if nothing stands beside
    """
    say = _texts_of(locale, currency)
    if form == "count":
        if name not in _BESIDE:
            told = ""
        elif isinstance(beside, str):
            told = beside
        elif _BESIDE[name] == "stage":
            told = say("beside.stage")
        else:
            told = UNKNOWN if beside is None else say("beside.days", n=beside)
        return say(name, n=n, beside=told) if n > 0 else say(f"{name}.zero", beside=told)
    if form == "until":
        if n == 0:
            return say(f"{name}.today")
        return say(f"{name}.ahead" if n > 0 else f"{name}.passed", n=abs(n))
    if n == 0:
        return say(f"{name}.same")
    return say(f"{name}.above" if n > 0 else f"{name}.below", n=abs(n))


def _points(share: float) -> int:
    return round(100 * share)


# Forms whose values read as whole numbers: days that have passed, days to a date, which begins at midnight, and
# percentage points.
_WHOLE: Final[dict[Form, Callable[[float], int]]] = {
    "count": math.floor,
    "until": math.ceil,
    "edge": _points,
}


class Phrasebook:
    """Phrases in one language.

    locale : `en` or `it`; UsageError for another
    currency : in which amounts are given
    """

    def __init__(self, locale: str = "en", currency: str = "EUR") -> None:
        self.locale, self._currency = locale, currency
        self._say = _texts_of(locale, currency)
        self._history: History | None = None  # whose codes the kept phrases speak of
        self._kept: dict[tuple[str, Hashable], str] = {}

    def phrase(self, name: str, value: float | str | None, beside: float | str | None = None) -> str:
        """One feature's value in words.

        value : a number, or the text of a category (a stage by its label); None or NaN is unknown
        beside : label of the stage for `days_in_stage`, days in all for `times_pushed`
        """
        spec = spec_of(name)
        if spec.name != name:
            return self._say("custom.bare", label=label(name, self.locale))
        if isinstance(value, str):
            return self._text(spec, value)
        if value is None or not math.isfinite(value):
            return self._unknown(spec)
        return self._number(spec, value, beside)

    def phrases(self, features: FeatureMatrix, name: str, rows: list[int], values: list[float]) -> list[str]:
        """(len(rows),) phrases of one feature for some rows of a matrix, where it has these values.

        Phrases are made once for each value that reads differently, not once for each row.
        """
        beside_name = _BESIDE.get(name)
        if beside_name is None:
            besides: list[Any] = [None] * len(values)
        else:
            besides = features[beside_name][rows].tolist()
        form, found = form_of(spec_of(name)), []
        if features.history is not self._history or len(self._kept) > _MOST_KEPT:
            self._history, self._kept = features.history, {}
        for value, beside in zip(values, besides, strict=True):
            if value != value:
                key: Hashable = None
            elif form == "count":
                key = (math.floor(value), beside if beside == beside else None)
            else:
                key = value
            text = self._kept.get((name, key))
            if text is None:
                text = self._of_codes(features.history, name, value, beside)
                self._kept[name, key] = text
            found.append(text)
        return found

    def _of_codes(self, history: History, name: str, value: float, beside: float | None) -> str:
        """The phrase of a row of a feature matrix, whose categories are codes."""
        if beside is not None and _BESIDE[name] == "stage":
            stage = None if beside != beside else history.stages.label[int(beside)]
            return self.phrase(name, value, stage)
        if spec_of(name).kind == "category" and value == value:
            texts = history.stages.label if name == "stage" else category_texts(history, name)
            return self.phrase(name, texts[int(value)])
        return self.phrase(name, value, beside)

    def question(self, name: str, if_confirmed: float, if_absent: float) -> str:
        """What to ask about a BANT field, and the win probability that goes with either answer."""
        percent = self._say.formats.percent
        return self._say(f"question.{name}", confirmed=percent(if_confirmed), absent=percent(if_absent))

    def _unknown(self, spec: FeatureSpec) -> str:
        if form_of(spec) == "custom":
            return self._say("custom.unknown", label=label(spec.name, self.locale))
        return self._say(f"{spec.name}.unknown")

    def _text(self, spec: FeatureSpec, value: str) -> str:
        shown = value if len(value) <= _LONGEST else value[: _LONGEST - 1].rstrip() + "…"
        if form_of(spec) == "custom":
            return self._say("custom.known", label=label(spec.name, self.locale), value=shown)
        own = f"{spec.name}.{value}"
        if value not in ("known", "unknown") and own in self._say:
            return self._say(own)
        return self._say(f"{spec.name}.known", value=shown)

    def _number(self, spec: FeatureSpec, value: float, beside: float | str | None) -> str:
        name, formats, form = spec.name, self._say.formats, form_of(spec)
        if form in _WHOLE:
            if isinstance(beside, float):
                beside = math.floor(beside) if math.isfinite(beside) else None
            return _whole(self.locale, self._currency, name, form, _WHOLE[form](value), beside)
        match form:
            case "amount":
                band = "known" if value > 0 else "zero"
                return self._say(f"{name}.{band}", value=formats.compact(value))
            case "change":
                share = math.expm1(min(value, _STEEPEST))
                if abs(share) <= _LEAST_CHANGE:
                    return self._say(f"{name}.same")
                band = "up" if share > 0 else "down"
                return self._say(f"{name}.{band}", value=formats.percent(abs(share)))
            case "flag":
                return self._say(f"{name}.yes" if value else f"{name}.no")
            case "answer":
                band = "absent" if value <= 0 else "confirmed" if value >= 1 else "partly"
                return self._say(f"{name}.{band}")
            case "likeness":
                return self._say(f"{name}.like" if value > 0 else f"{name}.unlike")
            case "rate":
                return self._say(f"{name}.known", value=formats.percent(value))
            case _:
                shown = formats.integer(value) if float(value).is_integer() else formats.decimal(value)
                return self._text(spec, shown)
