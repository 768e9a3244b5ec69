"""Windows forward in time, in which the ladder compares: early rows to learn from, late ones to be judged on.

Example: data until 1 July, three windows of 90 days: they begin on 3 October, 1 January and 2 April. A landmark
of 10 January, won on 20 March, is scored in the window of 1 January by models that saw neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from forecast.arrays import Floats
from forecast.history import Landmarks
from forecast.models.bins import Bins, exposures
from forecast.models.clock import DealClock, fit_clock
from forecast.models.encoder import Encoder, fit_encoder
from forecast.models.hazard import Survival, outcome_log_score
from forecast.models.linear import LinearFits, LinearHazard, choose_knots
from forecast.models.rows import Rows
from forecast.models.season import Season
from forecast.models.settings import FitSettings
from forecast.periods import DAY_US

__all__ = ["Base", "Window", "compared_from_us", "lay_windows", "paced_survival"]

_FEW_ROWS: Final = 3_000  # with fewer landmarks the linear rung does not bend
# Of a window: enough to tell one strength of shrinkage, or one clock, from another.
_LINEAR_ROWS: Final = 25_000
_LATE_ROWS: Final = 80_000  # of a window: to be scored on
_BOOSTED_ROWS: Final = 35_000  # of a window: trees want more


@dataclass(frozen=True)
class Base:
    """A set of training rows on the time axis, encoded."""

    rows: Rows
    seasons: tuple[Season, Season]
    bins: Bins
    survival: Survival
    encoder: Encoder
    fits: LinearFits
    fitted: dict[tuple[float, str, bytes], LinearHazard] = field(default_factory=dict)
    clocks: dict[str, DealClock] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Rows, use: tuple[str, ...], seasons: tuple[Season, Season]) -> Base:
        marks = rows.landmarks
        bins = Bins.for_follow_up(float(marks.duration_days.max(initial=7.0)))
        encoder = fit_encoder(rows.features, use, spline=len(rows) >= _FEW_ROWS)
        knots_days = choose_knots(marks.duration_days[marks.cause > 0], bins)
        fits = LinearFits(encoder.encode(rows.features), bins, encoder, knots_days)
        return cls(rows, seasons, bins, Survival.of(marks, bins, seasons), encoder, fits)

    def linear(self, ridge: float, clock: DealClock) -> LinearHazard:
        """Fitted once for each ridge and clock: choices come back to the same ones."""
        key = ridge, clock.feature, clock.pace.tobytes()
        if key not in self.fitted:
            paced = self.survival.paced(clock.log_pace(self.rows.features, self.bins))
            self.fitted[key] = self.fits.fit(paced, ridge)
        return self.fitted[key]

    def clock(self, feature: str, ridge: float) -> DealClock:
        """Fitted once for each feature, too."""
        if not feature:
            return DealClock.flat()

        def log_hazard(clock: DealClock) -> Floats:
            model = self.linear(ridge, clock)
            found: Floats = model.from_design(self.fits.design) @ model.basis + model.baseline
            return found

        if feature not in self.clocks:
            marks = self.rows.landmarks
            self.clocks[feature] = fit_clock(
                feature,
                self.rows.features,
                self.survival,
                marks.duration_days,
                self.bins,
                log_hazard,
                deal=marks.deal,
            )
        return self.clocks[feature]


@dataclass(frozen=True)
class Window:
    """One comparison: early rows to learn from, late ones to be scored on.

    early : those that trees may learn from; base : those the linear stage learns from
    closed_deals : among all that were known
    exposure : (2, m, J) season days of each late row until the window's end, whatever happens
    """

    early: Rows
    late: Rows
    closed_deals: float
    base: Base
    exposure: Floats

    @classmethod
    def of(
        cls,
        rows: Rows,
        use: tuple[str, ...],
        seasons: tuple[Season, Season],
        split_us: int,
        end_us: int,
        seed: int,
    ) -> Window:
        early = rows.seen_at(split_us)
        later = rows.between(split_us, end_us).sample(_LATE_ROWS, seed).seen_at(end_us)
        base = Base.of(early.sample(_LINEAR_ROWS, seed), use, seasons)
        follow_up_days = (end_us - later.landmarks.at_us) / DAY_US
        exposed = [exposures(base.bins, s, later.landmarks.at_us, follow_up_days) for s in seasons]
        grown = early.sample(_BOOSTED_ROWS, seed + 1)
        return cls(grown, later, early.closed_deals, base, np.stack(exposed))

    def score(self, log_hazard: Floats) -> Floats:
        """(m,) log probability given to what became of each late row, from (m, 2, J) log hazards."""
        return outcome_log_score(log_hazard, self.exposure, self.late.landmarks.cause)

    def pace(self, clock: DealClock) -> Floats:
        """(m, 2, J) what a clock adds to the log hazards of the late rows."""
        return clock.log_pace(self.late.features, self.base.bins)


def paced_survival(rows: Rows, seasons: tuple[Season, Season], clock: DealClock, bins: Bins) -> Survival:
    """Rows on the time axis, with season and the deals' own clocks."""
    return Survival.of(rows.landmarks, bins, seasons).paced(clock.log_pace(rows.features, bins))


def lay_windows(
    rows: Rows,
    use: tuple[str, ...],
    seasons: tuple[Season, Season],
    until_us: int,
    settings: FitSettings,
    causes: tuple[int, ...],
) -> list[Window]:
    """The newest window first; fewer than asked for where the data before a window are too few."""
    step_us = _window_us(rows.landmarks, until_us, settings)
    found = []
    for number in range(1, settings.windows + 1):
        split_us = until_us - number * step_us
        early = rows.seen_at(split_us)
        # Half as many as for the final fit will do: a window compares, it does not serve.
        if 2 * early.closed_deals < settings.min_closed_deals or not early.has_seen(causes):
            break
        window = Window.of(rows, use, seasons, split_us, split_us + step_us, settings.seed)
        if len(window.late):  # a window shorter than the step from look to look may hold none
            found.append(window)
    return found


def _window_us(landmarks: Landmarks, until_us: int, settings: FitSettings) -> int:
    """How long a window is: shorter than asked for where the data are."""
    span_us = until_us - int(landmarks.at_us.min(initial=until_us))
    return min(round(settings.window_days * DAY_US), span_us // (2 * settings.windows + 1))


def compared_from_us(landmarks: Landmarks, until_us: int, settings: FitSettings) -> int:
    """When the oldest window begins in which models are compared: what is learnt before knows none of them."""
    return until_us - settings.windows * _window_us(landmarks, until_us, settings)
