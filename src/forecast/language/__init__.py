"""How English and Italian write numbers and words: what a score, a report and a terminal share."""

from forecast.language.formats import LOCALES, UNKNOWN, Formats, formats_of
from forecast.language.texts import Texts, load_texts

__all__ = ["LOCALES", "UNKNOWN", "Formats", "Texts", "formats_of", "load_texts"]
