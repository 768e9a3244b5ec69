"""Time, said once: what "as of" means, what a period is, and how moments are stored.

Known is `recorded_at < as_of`; the future is the rest. Periods are half-open, `[start, end)`.
E.g. 2026Q1 is [2026-01-01 00:00, 2026-04-01 00:00): a deal won on 31 March at 23:59 counts, one won on
1 April at 00:00 does not, and a forecast made as of 2026-01-01 00:00 knows nothing recorded at that instant.

Inside the program a moment is an int64 count of microseconds since 1970 in UTC (suffix `_us`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import pandas as pd

from forecast.errors import UsageError

__all__ = ["DAY_US", "Period", "as_of_us", "parse_as_of", "to_timestamp"]

DAY_US: Final = 86_400_000_000
_EARLIEST: Final = pd.Timestamp("1970-01-01", tz="UTC")
_LATEST: Final = pd.Timestamp("2200-01-01", tz="UTC")

Kind = Literal["year", "quarter", "month"]
_MONTHS: Final[dict[Kind, int]] = {"year": 12, "quarter": 3, "month": 1}
_PATTERN: Final = re.compile(r"(?P<year>\d{4})(?:Q(?P<quarter>[1-4])|-(?P<month>0[1-9]|1[0-2]))?")


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar year, quarter or month: `[start, end)` in UTC, named as in the quotas table."""

    label: str
    kind: Kind
    start: pd.Timestamp
    end: pd.Timestamp

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read `2026Q1`, `2026-01` or `2026`.

        >>> Period.parse("2026Q1").end
        Timestamp('2026-04-01 00:00:00+0000', tz='UTC')
        >>> Period.parse("2026Q5")
        Traceback (most recent call last):
        forecast.errors.UsageError: period '2026Q5' is not a period; expected 2026Q1, 2026-01 or 2026
        """
        match = _PATTERN.fullmatch(text.strip())
        if match is None or not _EARLIEST.year <= int(match["year"]) < _LATEST.year:
            raise UsageError(
                f"period {text[:20]!r} is not a period; expected 2026Q1, 2026-01 or 2026", code="bad_period"
            )
        year = int(match["year"])
        if match["quarter"]:
            return cls._of("quarter", year, 3 * int(match["quarter"]) - 2)
        if match["month"]:
            return cls._of("month", year, int(match["month"]))
        return cls._of("year", year, 1)

    @classmethod
    def _of(cls, kind: Kind, year: int, month: int) -> Period:
        start = pd.Timestamp(year=year, month=month, day=1, tz="UTC")
        label = {"year": f"{year}", "quarter": f"{year}Q{(month + 2) // 3}", "month": f"{year}-{month:02d}"}
        return cls(label[kind], kind, start, start + pd.DateOffset(months=_MONTHS[kind]))

    @classmethod
    def containing(cls, moment: pd.Timestamp, kind: Kind = "quarter") -> Period:
        """The period of that kind in which `moment` lies."""
        step = _MONTHS[kind]
        return cls._of(kind, moment.year, (moment.month - 1) // step * step + 1)

    @classmethod
    def coming(cls, as_of: pd.Timestamp, kind: Kind = "quarter") -> Period:
        """The first period of that kind that starts at or after `as_of`.

        >>> Period.coming(pd.Timestamp("2025-12-31 18:00", tz="UTC")).label
        '2026Q1'
        >>> Period.coming(pd.Timestamp("2026-01-01", tz="UTC")).label
        '2026Q1'
        """
        current = cls.containing(as_of, kind)
        return current if current.start == as_of else current.next()

    def next(self) -> Period:
        """The period of the same kind that follows."""
        return Period._of(self.kind, self.end.year, self.end.month)

    def previous(self) -> Period:
        """The period of the same kind that comes before."""
        return Period.containing(self.start - pd.Timedelta(days=1), self.kind)

    def parts(self, kind: Kind) -> list[Period]:
        """The periods of a shorter kind that make up this one, in order."""
        found, part = [], Period.containing(self.start, kind)
        while part.end <= self.end:
            found.append(part)
            part = part.next()
        return found

    @property
    def start_us(self) -> int:
        """First microsecond inside."""
        return as_of_us(self.start)

    @property
    def end_us(self) -> int:
        """First microsecond after."""
        return as_of_us(self.end)


def parse_as_of(text: str, zone: str = "UTC") -> pd.Timestamp:
    """An ISO 8601 date or moment as a UTC timestamp; without a zone it is read in `zone`.

    >>> parse_as_of("2026-01-01")
    Timestamp('2026-01-01 00:00:00+0000', tz='UTC')
    """
    try:
        moment = pd.Timestamp(text)
        moment = moment.tz_localize(zone) if moment.tzinfo is None else moment
        moment = moment.tz_convert("UTC").as_unit("us")
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(
            f"as-of {text[:40]!r} is not a date; expected ISO 8601, e.g. 2026-01-01 or 2026-01-01T09:00:00Z",
            code="bad_as_of",
        ) from error
    if not _EARLIEST <= moment < _LATEST:
        raise UsageError(f"as-of {text[:40]!r} lies outside 1970-2200; check the year", code="bad_as_of")
    return moment


def as_of_us(moment: pd.Timestamp) -> int:
    """A UTC timestamp as microseconds since 1970."""
    return int(moment.value) // 1_000  # Timestamp.value is in nanoseconds, whatever the unit


def to_timestamp(moment_us: int) -> pd.Timestamp:
    """Microseconds since 1970 as a UTC timestamp."""
    return pd.Timestamp(int(moment_us), unit="us", tz="UTC")
