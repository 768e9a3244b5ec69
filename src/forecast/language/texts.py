"""Texts by key, one TOML file per language: numbers put in, singular or plural, Italian articles elided.

{braces} in a text are filled in, and a text with `one` and `other` is chosen by the number {n}. Whole numbers
are written as the language writes them.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from forecast.language.formats import Formats

__all__ = ["Texts", "load_texts"]

# "ottanta..." and "undici" begin with a vowel: il 80% is written l'80%, dal 8 dic dall'8 dic.
_BEFORE_VOWEL: Final = re.compile(r"\b(il|al|dal|del|nel|sul) (?=8|11(?!\d))", re.IGNORECASE)


@cache
def load_texts(package: str, folder: str, locale: str) -> dict[str, str]:
    """All texts of a language by dotted key, e.g. `head.expected`, from `package/folder/locale.toml`."""
    content = files(package).joinpath(folder, f"{locale}.toml").read_text(encoding="utf-8")
    return _flat(tomllib.loads(content))


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


class Texts:
    """Texts in one language with numbers put in. A key with `.one` and `.other` is chosen by `n`."""

    def __init__(self, texts: dict[str, str], formats: Formats) -> None:
        self.formats = formats
        self._texts = texts

    def __call__(self, key: str, **values: object) -> str:
        """The text of a key, e.g. `("deals.count", n=2)` is `2 deals`; KeyError for one that is not there."""
        return self._elided(self._pattern(key, values).format(**self._shown(values)))

    def __contains__(self, key: str) -> bool:
        return key in self._texts or f"{key}.other" in self._texts

    def _pattern(self, key: str, values: dict[str, object]) -> str:
        if "n" in values and f"{key}.other" in self._texts:
            key = f"{key}.one" if values["n"] == 1 else f"{key}.other"
        return self._texts[key]

    def _shown(self, values: dict[str, object]) -> dict[str, object]:
        return {
            name: self.formats.integer(value) if isinstance(value, int) else value
            for name, value in values.items()
        }

    def _elided(self, text: str) -> str:
        return _elide(text) if self.formats.locale == "it" else text


def _elide(text: str) -> str:
    """Italian articles before a number that begins with a vowel when spoken.

    >>> _elide("il 82% dal 8 dic, il 11% e il 110%")
    "l'82% dall'8 dic, l'11% e il 110%"
    """
    return _BEFORE_VOWEL.sub(
        lambda m: f"{m[1]}l'" if m[1].lower() != "il" else f"{'L' if m[1] == 'Il' else 'l'}'", text
    )
