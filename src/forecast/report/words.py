"""The words of the report, one TOML file per language; see `words/en.toml` for how they are written."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Final

from markupsafe import Markup, escape

from forecast.report.formats import Formats

__all__ = ["Words", "load_words"]


@cache
def load_words(locale: str) -> dict[str, str]:
    """All texts of a language by dotted key, e.g. `head.expected`."""
    content = files("forecast.report").joinpath("words", f"{locale}.toml").read_text(encoding="utf-8")
    return _flat(tomllib.loads(content))


def _flat(table: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = str(value)
    return found


# "ottanta..." and "undici" begin with a vowel: il 80% is written l'80%, dal 8 dic dall'8 dic.
_BEFORE_VOWEL: Final = re.compile(r"\b(il|al|dal|del|nel|sul) (?=8|11(?!\d))", re.IGNORECASE)


def _elide(text: str) -> str:
    """Italian articles before a number that begins with a vowel when spoken.

    >>> _elide("il 82% dal 8 dic, il 11% e il 110%")
    "l'82% dall'8 dic, l'11% e il 110%"
    """
    return _BEFORE_VOWEL.sub(
        lambda m: f"{m[1]}l'" if m[1].lower() != "il" else f"{'L' if m[1] == 'Il' else 'l'}'", text
    )


class Words:
    """Texts in one language with numbers put in. A key with `.one` and `.other` is chosen by `n`."""

    def __init__(self, formats: Formats) -> None:
        self.formats = formats
        self._texts = load_words(formats.locale)

    def __call__(self, key: str, **values: object) -> str:
        """A plain text; whoever shows it escapes it."""
        text = self._pattern(key, values).replace("**", "").format(**self._shown(values))
        return _elide(text) if self.formats.locale == "it" else text

    def html(self, key: str, **values: object) -> Markup:
        """A text whose `**strong**` parts are marked up; the values put in are escaped."""
        parts = str(escape(self._pattern(key, values))).split("**")
        marked = "".join(
            f"<strong>{part}</strong>" if place % 2 else part for place, part in enumerate(parts)
        )
        # S704: our own text, escaped above, is the template here; Markup.format escapes every value.
        filled = Markup(marked).format(**self._shown(values))  # noqa: S704
        return Markup(_elide(filled)) if self.formats.locale == "it" else filled  # noqa: S704

    def _pattern(self, key: str, values: dict[str, object]) -> str:
        if "n" in values and f"{key}.other" in self._texts:
            key = f"{key}.one" if values["n"] == 1 else f"{key}.other"
        return self._texts[key]

    def _shown(self, values: dict[str, object]) -> dict[str, object]:
        return {
            name: self.formats.integer(value) if isinstance(value, int) else value
            for name, value in values.items()
        }
