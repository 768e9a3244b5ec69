"""Numbers, money and dates as a reader of English or Italian writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from forecast.errors import UsageError

__all__ = ["LOCALES", "UNKNOWN", "Formats", "formats_of"]

UNKNOWN: Final = "–"
_MINUS: Final = "−"
_SYMBOLS: Final = {"EUR": "€", "USD": "$", "GBP": "£"}


@dataclass(frozen=True, slots=True)
class Formats:
    """How one language writes numbers; every method gives `–` for None."""

    locale: str
    thousands: str
    point: str
    months: tuple[str, ...]
    long_months: tuple[str, ...]
    quarter: str
    million: str
    currency_first: bool
    first_day: str
    currency: str = "EUR"

    def integer(self, value: float | None) -> str:
        """1,234,567 / 1.234.567"""
        return UNKNOWN if value is None else self._digits(value, 0)

    def decimal(self, value: float | None, places: int = 1) -> str:
        """3.2 / 3,2"""
        return UNKNOWN if value is None else self._digits(value, places)

    def percent(self, share: float | None, places: int = 0) -> str:
        """A share as percent: never 0 % or 100 % unless it is exactly that."""
        if share is None:
            return UNKNOWN
        # What rounds to certainty without being it, halves included.
        written = self._digits(100 * share, places)
        if share > 0 and written == self._digits(0.0, places):
            return f"<{self._digits(10.0**-places, places)}%"
        if share < 1 and written == self._digits(100.0, places):
            return f">{self._digits(100 - 10.0**-places, places)}%"
        return f"{written}%"

    def points(self, share: float | None) -> str:
        """A difference of two probabilities in percentage points, with its sign: +7 / −12, +0.4."""
        if share is None:
            return UNKNOWN
        return self._signed(self._digits(abs(100 * share), 0 if abs(share) >= 0.00995 else 1), share)

    def money(self, amount: float | None) -> str:
        """€1,234,567 / 1.234.567 €"""
        return UNKNOWN if amount is None else self._with_currency(self._digits(abs(amount), 0), amount)

    def compact(self, amount: float | None) -> str:
        """Money in two to three significant digits: €1.23M, €456k / 1,23 Mln €, 456k €."""
        return UNKNOWN if amount is None else self._short(amount)

    def tick(self, amount: float) -> str:
        """Money at a round step of an axis, without trailing zeros: €1M, €1.5M."""
        return self._short(amount, trim=True)

    def _short(self, amount: float, *, trim: bool = False) -> str:
        size = abs(amount)
        if size >= 999_500:
            digits, unit = size / 1e6, self.million
        elif size >= 999.5:
            digits, unit = size / 1e3, "k"
        else:
            digits, unit = size, ""
        places = 0 if digits >= 99.95 or not unit else 1 if digits >= 9.995 else 2
        if unit == "k" and digits < 99.95:
            places = 0 if digits >= 9.95 else 1
        shown = self._digits(digits, places)
        if trim and places:
            shown = shown.rstrip("0").rstrip(self.point)
        return self._with_currency(f"{shown}{unit}", amount)

    def change(self, amount: float | None) -> str:
        """A difference of money in short form with its sign: +€120k / −€45k."""
        if amount is None:
            return UNKNOWN
        return self._signed(self.compact(abs(amount)), amount)

    def multiple(self, value: float | None) -> str:
        """3.2× / 3,2×"""
        return UNKNOWN if value is None else f"{self._digits(value, 1)}×"

    def date(self, iso: str | None) -> str:
        """31 Mar 2026 / 31 mar 2026"""
        if iso is None:
            return UNKNOWN
        return f"{self.day(iso)}\u00a0{iso[:4]}"

    def day(self, iso: str | None) -> str:
        """31 Mar / 31 mar; the first of a month is 1º in Italian"""
        if iso is None:
            return UNKNOWN
        day = int(iso[8:10])
        return f"{day}{self.first_day if day == 1 else ''}\u00a0{self.months[int(iso[5:7]) - 1]}"

    def moment(self, iso: str) -> str:
        """2026-03-31T09:30:00+00:00 as 31 Mar 2026, 09:30 UTC"""
        return f"{self.date(iso)}, {iso[11:16]}\u00a0UTC"

    def period(self, label: str) -> str:
        """2026Q1 as Q1 2026 / 1º trimestre 2026; 2026-01 as January 2026; 2026 as it is."""
        if "Q" in label:
            return self.quarter.format(number=label[5], year=label[:4])
        if "-" in label:
            return f"{self.long_months[int(label[5:]) - 1]} {label[:4]}"
        return label

    def _digits(self, value: float, places: int) -> str:
        shown = (
            f"{abs(value):,.{places}f}".replace(",", "\0")
            .replace(".", self.point)
            .replace("\0", self.thousands)
        )
        return f"{_MINUS}{shown}" if value < 0 and any(digit in shown for digit in "123456789") else shown

    def _signed(self, shown: str, value: float) -> str:
        if not any(digit in shown for digit in "123456789"):
            return shown
        return f"{'+' if value > 0 else _MINUS}{shown}"

    def _with_currency(self, digits: str, amount: float) -> str:
        symbol = _SYMBOLS.get(self.currency, self.currency)
        minus = _MINUS if amount < 0 and any(digit in digits for digit in "123456789") else ""
        if not self.currency_first:
            return f"{minus}{digits}\u00a0{symbol}"
        gap = "" if self.currency in _SYMBOLS else "\u00a0"
        return f"{minus}{symbol}{gap}{digits}"


_ENGLISH: Final = Formats(
    locale="en",
    thousands=",",
    point=".",
    months=("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
    long_months=(
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
        "November", "December",
    ),
    quarter="Q{number} {year}",
    million="M",
    currency_first=True,
    first_day="",
)  # fmt: skip
_ITALIAN: Final = Formats(
    locale="it",
    thousands=".",
    point=",",
    months=("gen", "feb", "mar", "apr", "mag", "giu", "lug", "ago", "set", "ott", "nov", "dic"),
    long_months=(
        "gennaio", "febbraio", "marzo", "aprile", "maggio", "giugno", "luglio", "agosto", "settembre",
        "ottobre", "novembre", "dicembre",
    ),
    quarter="{number}º trimestre {year}",
    million="\u00a0Mln",
    currency_first=False,
    first_day="º",
)  # fmt: skip
_BY_LOCALE: Final = {"en": _ENGLISH, "it": _ITALIAN}
LOCALES: Final = tuple(_BY_LOCALE)


def formats_of(locale: str, currency: str = "EUR") -> Formats:
    """The formats of a locale, writing amounts in `currency`.

    >>> formats_of("it").money(1234567.0), formats_of("en").money(1234567.0)
    ('1.234.567\\xa0€', '€1,234,567')
    """
    if locale not in _BY_LOCALE:
        raise UsageError(
            f"locale {locale[:20]!r} is not known; expected {' or '.join(LOCALES)}", code="bad_locale"
        )
    chosen = _BY_LOCALE[locale]
    return Formats(**{name: getattr(chosen, name) for name in Formats.__slots__} | {"currency": currency})
