"""The words of the report, one TOML file per language; see `words/en.toml` for how they are written."""

from __future__ import annotations

from markupsafe import Markup, escape

from forecast.language import Formats, Texts, load_texts

__all__ = ["Words", "load_words"]


def load_words(locale: str, folder: str = "words") -> dict[str, str]:
    """All texts of a language by dotted key, e.g. `head.expected`; another page has another folder."""
    return load_texts("forecast.report", folder, locale)


class Words(Texts):
    """The report's texts in one language; `**strong**` parts are marked up on a page and plain elsewhere."""

    def __init__(self, formats: Formats, folder: str = "words") -> None:
        super().__init__(load_words(formats.locale, folder), formats)

    def __call__(self, key: str, **values: object) -> str:
        """A plain text; whoever shows it escapes it."""
        plain = self._pattern(key, values).replace("**", "")
        return self._elided(plain.format(**self._shown(values)))

    def html(self, key: str, **values: object) -> Markup:
        """A text whose `**strong**` parts are marked up; the values put in are escaped."""
        parts = str(escape(self._pattern(key, values))).split("**")
        marked = "".join(
            f"<strong>{part}</strong>" if place % 2 else part for place, part in enumerate(parts)
        )
        # S704: our own text, escaped above, is the template here; Markup.format escapes every value.
        filled = Markup(marked).format(**self._shown(values))  # noqa: S704
        return Markup(self._elided(filled))  # noqa: S704
